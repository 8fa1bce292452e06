package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

const (
	one = "111122223333"
	two = "444455556666"

	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

// clock is a time that the test moves.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_795_000_000, 0).UTC().Add(time.Duration(c.past.Load()))
}
func (c *clock) pass(by time.Duration) { c.past.Add(int64(by)) }

// world is the room with what stands below it: an account with its administrator, a cluster, a role and an association.
type world struct {
	*Access
	keyring *keyring.Keyring
	clock   *clock

	admin       *directory.AccessKey
	cluster     *registry.Cluster
	role        *directory.Role
	association *registry.Association
}

// open starts the room in a folder and closes its store with the test.
func open(t testing.TB, dir string, master store.MasterKey) *world {
	t.Helper()
	return start(t, &clock{}, store.Config{Dir: dir, MasterKey: master})
}

func start(t testing.TB, c *clock, config store.Config) *world {
	t.Helper()
	config.Now = c.now
	st, err := store.Open(t.Context(), config)
	must(t, err)
	d := directory.New(st, c.now)
	ring := keyring.New(st, slog.New(slog.DiscardHandler), c.now)
	w := &world{keyring: ring, clock: c, Access: &Access{
		Store: st, Directory: d, Registry: registry.New(st, d, registry.Config{Region: "us-west-2", Now: c.now}), Ring: ring.Ring(), Now: c.now,
	}}
	if err := st.Start(t.Context()); err != nil {
		t.Fatal(errors.Join(err, st.Close()))
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// follow starts the room of a gateway of the account, whose copy follows this one's.
func (w *world) follow(t testing.TB) *world {
	t.Helper()
	g := start(t, w.clock, store.Config{Feed: func(ctx context.Context, from store.Position) (io.ReadCloser, error) {
		read, write := io.Pipe()
		go func() {
			err := w.Store.Feed(ctx, one, from, write, func() error { return nil })
			_ = write.CloseWithError(err) // never fails
		}()
		return read, nil
	}})
	g.Ring = g.keyring.GatewayRing()
	return g
}

func folder(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }

// copyFolder copies a store that is not open, as a backup does.
func copyFolder(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(file string, entry fs.DirEntry, err error) error {
		mode := fs.FileMode(0o600)
		if entry.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Chmod(file, mode))
	})
}

// fresh opens a new world and fills it.
func fresh(t testing.TB) *world {
	t.Helper()
	w := open(t, folder(t), store.NewMasterKey())
	w.fill(t)
	return w
}

func (w *world) fill(t testing.TB) {
	t.Helper()
	var err error
	_, w.admin, err = w.Directory.CreateAccount(t.Context(), directory.NewAccount{ID: one, Name: "one"})
	must(t, err)
	w.role, err = w.Directory.CreateRole(t.Context(), directory.NewRole{Account: one, Name: "app", Trust: podTrust})
	must(t, err)
	w.cluster = w.register(t, "prod")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	w.cluster, err = w.Registry.ActivateCluster(t.Context(), w.cluster.Activation.ID, joining(private))
	must(t, err)
	w.association, err = w.Registry.CreateAssociation(t.Context(), registry.NewAssociation{
		Account: one, Cluster: "prod", Namespace: "ns", ServiceAccount: "sa", Role: w.role.ARN().String(),
	})
	must(t, err)
}

func (w *world) register(t testing.TB, name string) *registry.Cluster {
	t.Helper()
	c, err := w.Registry.RegisterCluster(t.Context(), registry.NewCluster{Account: one, Name: name, Provider: "OTHER"})
	must(t, err)
	return c
}

func joining(key *ecdsa.PrivateKey) registry.Joining {
	return registry.Joining{
		Issuers: []string{"https://kubernetes.default.svc.cluster.local"},
		Keys:    []podtoken.Key{{ID: "k1", Algorithm: "ES256", Public: key.Public()}},
	}
}

// podSession is what a pod of the association gets, for 6 h.
func (w *world) podSession(t testing.TB) *session.Session {
	t.Helper()
	digest, err := w.Registry.Digest(w.association)
	must(t, err)
	now := w.clock.now()
	return &session.Session{
		Account: one, RoleID: w.role.ID, RoleName: "app", Name: "s1", Issued: now, Expires: now.Add(6 * time.Hour),
		Origin: &session.Origin{
			Cluster: w.cluster.ID, Namespace: "ns", ServiceAccount: "sa", PodName: "pod", PodUID: "pod-uid", NodeName: "node", NodeUID: "node-uid",
			Association: w.association.ID, Digest: digest,
		},
		Revision: w.Store.Revision(), Epoch: w.Store.Epoch(),
	}
}

// signer is what a client signs with.
type signer struct{ keyID, secret, token string }

// mint seals a session with the keys of now.
func (w *world) mint(t testing.TB, s *session.Session) signer {
	t.Helper()
	sealing, mac, err := w.keyring.Sealing(t.Context(), s.Account)
	must(t, err)
	return sealed(t, s, sealing, mac)
}

func sealed(t testing.TB, s *session.Session, sealing, mac session.Key) signer {
	t.Helper()
	c, err := session.Mint(s, sealing, mac)
	must(t, err)
	return signer{c.AccessKeyID, c.SecretAccessKey, c.SessionToken}
}

func byKey(k *directory.AccessKey) signer { return signer{keyID: k.ID, secret: string(k.Secret)} }

func byActivation(a *registry.Activation) signer {
	return signer{keyID: a.ID, secret: string(a.Secret)}
}

var emptyHash = func() string {
	sum := sha256.Sum256(nil)
	return hex.EncodeToString(sum[:])
}()

// signed is a request as a client sends it at a moment.
func signed(t testing.TB, s signer, at time.Time) (*http.Request, *sigv4.Signature) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8780/clusters?maxResults=5", nil)
	sigv4.Sign(r, s.keyID, s.secret, s.token, "us-west-2", "eks", emptyHash, at)
	sig, err := sigv4.Parse(r)
	must(t, err)
	return r, sig
}

// authenticate sends a request of now.
func (w *world) authenticate(t testing.TB, s signer) (*directory.Principal, error) {
	t.Helper()
	r, sig := signed(t, s, w.clock.now())
	return w.Authenticate(r, sig, emptyHash)
}

// accepted stands in tables for "no error": it is no kind that a room returns.
const accepted = fault.Internal

// wants holds an error against the kind that is wanted.
func wants(t testing.TB, what string, err error, want fault.Kind) {
	t.Helper()
	switch {
	case want == accepted && err != nil:
		t.Errorf("%s: got %v, want no error", what, err)
	case want != accepted && !fault.Is(err, want):
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
