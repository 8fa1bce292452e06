package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

// TestRotationWithAGateway changes the account's keys again and again while sessions that were minted just now are used at
// a gateway. The server is in this process, so that its keys can be changed at will; between the two is the real wire.
func TestRotationWithAGateway(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	p, err := openPlane(t.Context(), planeConfig{
		State: t.TempDir() + "/state", Audit: t.TempDir() + "/audit", MasterKey: store.NewMasterKey(), Region: dev.Region, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer func() {
		stop()
		running.Wait()
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	_, key, err := p.directory.CreateAccount(ctx, directory.NewAccount{ID: dev.Account, Name: "it"})
	if err != nil {
		t.Fatal(err)
	}
	role, err := p.directory.CreateRole(ctx, directory.NewRole{Account: dev.Account, Name: "reader", Trust: trustsPods})
	if err == nil {
		err = p.directory.PutPolicy(ctx, directory.Roles.Named(dev.Account, "reader"), "it", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	}
	if err == nil {
		_, _, err = p.keyring.Sealing(ctx, dev.Account) // the first keys, of which next ones are successors
	}
	if err != nil {
		t.Fatal(err)
	}
	listener, err := listenLoopback("", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		if err := serve(ctx, listener, p.frame("eks"), log); err != nil {
			t.Error(err)
		}
	})
	folder := t.TempDir()
	writeKeyFile(t, folder+"/key", key.ID, string(key.Secret))
	writeKeyFile(t, folder+"/upstream", upstreamID, upstreamSecret)
	g, err := startLanyard(folder, os.Environ(), func(p *process) bool { return strings.Contains(p.err.String(), `"msg":"ready"`) },
		"gateway", "--server", "http://"+listener.Addr().String(), "--key-file", "key", "--account", dev.Account, "--listen", "127.0.0.1:0",
		"--upstream", startBucket(t).URL, "--upstream-key-file", "upstream", "--audit-dir", folder+"/audit",
		"--rate-per-address", "1000000", "--rate-per-principal", "1000000") // a fast machine would be told to slow down
	if err != nil {
		t.Fatal(err)
	}
	defer g.kill()
	at, _ := g.serving()

	var load sync.WaitGroup
	done, wire := make(chan struct{}), &http.Client{}
	var used atomic.Int64
	for range 3 {
		load.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				status, err := useFreshSession(ctx, wire, p, role, "http://"+at)
				if err != nil || status != http.StatusNotFound { // the bucket is empty: what is allowed finds nothing
					t.Errorf("a session minted just now: status %d, %v", status, err)
					return
				}
				used.Add(1)
			}
		})
	}
	const rotations = 3
	for n := 1; n <= rotations; n++ {
		before := used.Load()
		if err := p.keyring.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		retired := func() bool {
			if err := p.keyring.Step(ctx); err != nil {
				t.Error(err)
			}
			keys, err := p.keyring.Keys(dev.Account)
			return err == nil && len(keys) == n+1 && used.Load() > before && !slices.ContainsFunc(keys, func(k *keyring.Key) bool { return k.State == keyring.Next })
		}
		if err := eventually(retired, "rotation %d is not over", n); err != nil {
			t.Error(err)
		}
	}
	close(done)
	load.Wait()
	if err := g.stop(); err != nil {
		t.Errorf("stopping the gateway: %v\n%s", err, g.err.String())
	}
	t.Logf("%d sessions were used", used.Load())
}

func writeKeyFile(t *testing.T, file, id, secret string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("AWS_ACCESS_KEY_ID="+id+"\nAWS_SECRET_ACCESS_KEY='"+secret+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// useFreshSession mints a session of the role as it would be minted now, and uses it once.
func useFreshSession(ctx context.Context, wire *http.Client, p *plane, role *directory.Role, endpoint string) (int, error) {
	sealing, mac, err := p.keyring.Sealing(ctx, role.Account)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	c, err := session.Mint(&session.Session{
		Account: role.Account, RoleID: role.ID, RoleName: role.Name, Name: "it", Issued: now, Expires: now.Add(time.Hour),
		Revision: p.store.Revision(), Epoch: p.store.Epoch(),
	}, sealing, mac)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/store/none", nil)
	if err != nil {
		return 0, err
	}
	sigv4.Sign(r, c.AccessKeyID, c.SecretAccessKey, c.SessionToken, dev.Region, "s3", emptyPayload, now)
	response, err := wire.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

const emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
