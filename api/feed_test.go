package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

const theirs = "444455556666"

// watching asks for the feed of an account.
func (w *world) watching(tb testing.TB, base string, as signer, account string) *http.Request {
	tb.Helper()
	return w.watchingFrom(tb, base, as, account, store.Position{})
}

// watchingFrom asks for what comes after a position.
func (w *world) watchingFrom(tb testing.TB, base string, as signer, account string, from store.Position) *http.Request {
	tb.Helper()
	return w.build(tb, base, request{
		as: as, service: "lanyard", method: http.MethodPost, path: "/lanyard/v1/feed",
		body: fmt.Sprintf(`{"account":%q,"gateway":"gw-1","region":%q,"epoch":%q,"revision":%d}`, account, region, from.Epoch, from.Revision),
	})
}

// gatewaySide is the rooms of a gateway process, on a copy that follows a server.
type gatewaySide struct {
	store     *store.Store
	directory *directory.Directory
	keyring   *keyring.Keyring
	registry  *registry.Registry
	access    *access.Access
}

func (w *world) follow(tb testing.TB, server *httptest.Server, as signer, account string) *gatewaySide {
	tb.Helper()
	st, err := store.Open(tb.Context(), store.Config{Feed: func(ctx context.Context, from store.Position) (io.ReadCloser, error) {
		response, err := server.Client().Do(w.watchingFrom(tb, server.URL, as, account, from).WithContext(ctx))
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return nil, errors.Join(errors.New(response.Status), response.Body.Close())
		}
		return response.Body, nil
	}})
	if err != nil {
		tb.Fatal(err)
	}
	g := &gatewaySide{store: st, directory: directory.New(st, w.clock), keyring: keyring.New(st, slog.New(slog.DiscardHandler), w.clock)}
	g.registry = registry.New(st, g.directory, registry.Config{Region: region, Now: w.clock})
	if err := st.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	g.access = &access.Access{Store: st, Directory: g.directory, Registry: g.registry, Ring: g.keyring.GatewayRing(), Now: w.clock}
	return g
}

func (w *world) caughtUp(tb testing.TB, g *gatewaySide) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	if err := g.store.WaitRevision(ctx, w.store.Revision()); err != nil {
		tb.Fatal(err)
	}
}

// TestFeed follows the feed of one account, in the rooms that a gateway has.
func TestFeed(t *testing.T) {
	w := newWorld(t)
	admin, _ := w.account(t, ours), w.account(t, theirs)
	mine, other := w.associate(t, ours), w.associate(t, theirs)
	waiting, err := w.registry.RegisterCluster(t.Context(), registry.NewCluster{Account: ours, Name: "waiting", Provider: "OTHER"})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []struct{ account, cluster string }{{ours, mine.ClusterID}, {theirs, other.ClusterID}} {
		if _, err := w.registry.Revoke(t.Context(), target.account, "somebody", registry.Target{Kind: registry.ByPod, Value: target.cluster + "/ns/pod"}); err != nil {
			t.Fatal(err)
		}
	}
	server := w.serve(t, w.config())
	g := w.follow(t, server, admin, ours)

	has := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: got %v, want it", what, err)
		}
	}
	lacks := func(what string, err error) {
		t.Helper()
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: got %v, want NotFound", what, err)
		}
	}
	_, err = g.directory.Role(ours, "pod")
	has("our role", err)
	_, err = g.directory.Role(theirs, "pod")
	lacks("their role", err)
	_, err = g.directory.User(ours, "administrator")
	has("our user", err)
	_, err = g.directory.User(theirs, "administrator")
	lacks("their user", err)
	key, _, err := g.directory.AccessKey(admin.id)
	has("our access key", err)
	if key.Secret != "" || !key.Active {
		t.Errorf("our access key: it has a secret of %d characters and active is %v, want none and true", len(key.Secret), key.Active)
	}
	_, _, err = g.directory.AccessKey(w.root.ID)
	lacks("the management account's key", err)
	_, err = g.registry.Association(mine.ClusterID, "default", "app")
	has("our association", err)
	_, err = g.registry.Association(other.ClusterID, "default", "app")
	lacks("their association", err)
	cluster, err := g.registry.ClusterByID(mine.ClusterID)
	has("our cluster", err)
	if len(cluster.Keys) != 0 || cluster.Activation != nil {
		t.Errorf("our cluster: got %d keys and activation %v, which no gateway needs", len(cluster.Keys), cluster.Activation)
	}
	_, err = g.registry.ClusterByID(other.ClusterID)
	lacks("their cluster", err)
	_, err = g.registry.ClusterByActivation(waiting.Activation.ID)
	lacks("our waiting cluster's activation", err)
	wantKeys := func(scope string, want int) {
		t.Helper()
		if keys, err := g.keyring.Keys(scope); err != nil || len(keys) != want {
			t.Errorf("keys of %s: got %d and error %v, want %d", scope, len(keys), err, want)
		}
	}
	wantKeys(ours, 1)
	wantKeys(theirs, 0)
	wantKeys("server", 0)
	wantKeys("", 1)

	if err := w.directory.PutPolicy(t.Context(), directory.Roles.Named(ours, "pod"), "p", trustEverything); err != nil {
		t.Fatal(err)
	}
	if err := w.keyring.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.caughtUp(t, g)
	role, err := g.directory.Role(ours, "pod")
	has("our role", err)
	if len(role.Inline) != 1 {
		t.Errorf("our role: got %d policies, want the new one", len(role.Inline))
	}
	wantKeys("", 2)
	if _, err := w.registry.DeregisterCluster(t.Context(), ours, "dev"); err != nil {
		t.Fatal(err)
	}
	w.caughtUp(t, g)
	_, err = g.registry.ClusterByID(mine.ClusterID)
	lacks("our cluster, deregistered", err)
	_, err = g.registry.Association(mine.ClusterID, "default", "app")
	lacks("its association", err)
}

// TestFeedTellsWhatUsersMay follows a user's group, boundary and key at a gateway, which decides by its own copy.
func TestFeedTellsWhatUsersMay(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	ctx, d := t.Context(), w.directory
	if _, err := d.CreateUser(ctx, directory.NewUser{Account: ours, Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	key, err := d.CreateAccessKey(ctx, ours, "ann")
	if err != nil {
		t.Fatal(err)
	}
	g := w.follow(t, server, admin, ours)
	ann, group := directory.Users.Named(ours, "ann"), directory.Groups.Named(ours, "readers")
	for _, step := range []struct {
		name string
		do   func() error
		want policy.Effect
	}{
		{"a group", func() error { _, err := d.CreateGroup(ctx, ours, "", "readers"); return err }, policy.ImplicitDeny},
		{"joined", func() error { return d.Join(ctx, ours, "readers", "ann") }, policy.ImplicitDeny},
		{"its policy", func() error { return d.PutPolicy(ctx, group, "p", trustEverything) }, policy.Allow},
		{"a boundary", func() error { return d.PutBoundary(ctx, ann, directory.AWSPolicies+"IAMFullAccess") }, policy.ImplicitDeny},
		{"no boundary", func() error { return d.DeleteBoundary(ctx, ann) }, policy.Allow},
		{"its policy deleted", func() error { return d.DeletePolicy(ctx, group, "p") }, policy.ImplicitDeny},
		{"one that every account has", func() error { return d.Attach(ctx, group, directory.AWSPolicies+"AmazonS3ReadOnlyAccess") }, policy.Allow},
		{"detached", func() error { return d.Detach(ctx, group, directory.AWSPolicies+"AmazonS3ReadOnlyAccess") }, policy.ImplicitDeny},
		{"left", func() error { return d.Leave(ctx, ours, "readers", "ann") }, policy.ImplicitDeny},
		{"the group deleted", func() error { return d.DeleteGroup(ctx, ours, "readers") }, policy.ImplicitDeny},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		w.caughtUp(t, g)
		k, u, err := g.directory.AccessKey(key.ID)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		p, err := g.directory.UserPrincipal(u, k.ID)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := p.Layers.Evaluate(&policy.Question{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}).Effect; got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
	if err := d.ActivateAccessKey(ctx, ours, "ann", key.ID, false); err != nil {
		t.Fatal(err)
	}
	w.caughtUp(t, g)
	if k, _, err := g.directory.AccessKey(key.ID); err != nil || k.Active {
		t.Errorf("the key put out of use: got %+v, %v", k, err)
	}
}

const trustEverything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

// TestFeedTables reads the wire: nothing of another account is named in it, and a table that is new in it is added here by
// somebody who has asked whether it may be.
func TestFeedTables(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	w.account(t, theirs)
	mine, other := w.associate(t, ours), w.associate(t, theirs)
	for account, name := range map[string]string{ours: "shown", theirs: "not-ours"} {
		if _, err := w.directory.CreateManagedPolicy(t.Context(), directory.NewManagedPolicy{
			Account: account, Name: name, Text: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`,
		}); err != nil {
			t.Fatal(err)
		}
	}
	for account, name := range map[string]string{ours: "shown", theirs: "not-ours"} {
		if _, err := w.directory.CreateGroup(t.Context(), account, "/", name); err != nil {
			t.Fatal(err)
		}
	}
	for _, cluster := range []string{mine.ClusterID, other.ClusterID} {
		account := map[string]string{mine.ClusterID: ours, other.ClusterID: theirs}[cluster]
		if _, err := w.registry.Revoke(t.Context(), account, "somebody", registry.Target{Kind: registry.ByCluster, Value: cluster}); err != nil {
			t.Fatal(err)
		}
	}
	server := w.serve(t, w.config())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	response, err := server.Client().Do(w.watching(t, server.URL, admin, ours).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines, tables := bufio.NewScanner(response.Body), []string{}
	foreign := []string{theirs, other.ClusterID, other.ID, management, w.root.ID, admin.secret, string(w.root.Secret), "somebody", "not-ours"}
	for lines.Scan() {
		var l struct {
			Table, Key string
			Value      []byte
			Revision   int64
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if l.Revision > 0 {
			break
		}
		if l.Table != "" && !slices.Contains(tables, l.Table) {
			tables = append(tables, l.Table)
		}
		for _, needle := range foreign {
			if strings.Contains(l.Key+" "+string(l.Value), needle) {
				t.Errorf("the record %s %s has %q, which is none of our gateway's business: %s", l.Table, l.Key, needle, l.Value)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(tables)
	if want := []string{"accesskey", "association", "cluster", "group", "policy", "revocation", "role", "sealingkey", "user"}; !slices.Equal(tables, want) {
		t.Errorf("the feed tells of the tables %q, want %q", tables, want)
	}
}

// ended waits until a feed is over. What it tells until then is read.
func ended(t *testing.T, response *http.Response) {
	t.Helper()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status %s", response.Status)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Errorf("the feed broke off: %v", err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
}

// TestFeedEndsWithTheRight takes away, one after the other, everything that a right to the feed hangs on.
func TestFeedEndsWithTheRight(t *testing.T) {
	tests := []struct {
		name string
		lose func(*testing.T, *world, context.CancelFunc) error
	}{
		{"its policy", func(t *testing.T, w *world, _ context.CancelFunc) error {
			return w.directory.DeletePolicy(t.Context(), directory.Roles.Named(ours, "watcher"), "watch")
		}},
		{"its policy for another gateway", func(t *testing.T, w *world, _ context.CancelFunc) error {
			return w.directory.PutPolicy(t.Context(), directory.Roles.Named(ours, "watcher"), "watch", mayWatch("gw-2"))
		}},
		{"its sessions", func(t *testing.T, w *world, _ context.CancelFunc) error {
			role, err := w.directory.Role(ours, "watcher")
			if err == nil {
				_, err = w.registry.Revoke(t.Context(), ours, "somebody", registry.Target{Kind: registry.ByRole, Value: role.ID})
			}
			return err
		}},
		{"its time", func(_ *testing.T, w *world, _ context.CancelFunc) error {
			w.setClock(time.Now().Add(2 * time.Hour))
			return nil
		}},
		{"the server", func(_ *testing.T, _ *world, stop context.CancelFunc) error {
			stop()
			return nil
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.account(t, ours)
			if _, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: ours, Name: "watcher", Trust: trust}); err != nil {
				t.Fatal(err)
			}
			if err := w.directory.PutPolicy(t.Context(), directory.Roles.Named(ours, "watcher"), "watch", mayWatch("gw-1")); err != nil {
				t.Fatal(err)
			}
			frame := api.New(w.config(), "eks", w.doors()...)
			server := httptest.NewServer(frame)
			t.Cleanup(server.Close)
			response, err := server.Client().Do(w.watching(t, server.URL, w.role(t, ours, "watcher"), ours))
			if err != nil {
				t.Fatal(err)
			}
			if err := test.lose(t, w, frame.EndStreams); err != nil {
				t.Fatal(err)
			}
			ended(t, response)
		})
	}
}

func mayWatch(gateway string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lanyard:WatchFeed","Resource":"arn:aws:lanyard:` + region + `:` + ours + `:gateway/` + gateway + `"}}`
}

// TestFeedNeedsTLS asks over plain HTTP from an address that is not loopback, and from one that is.
func TestFeedNeedsTLS(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	frame := api.New(w.config(), "eks", w.doors()...)
	keys := w.build(t, "http://192.0.2.1", request{
		as: admin, service: "lanyard", method: http.MethodPost, path: "/lanyard/v1/signing-keys",
		body: `{"accessKeyId":"` + admin.id + `","date":"` + w.clock().UTC().Format("20060102") + `","region":"r"}`,
	})
	for name, r := range map[string]*http.Request{"feed": w.watching(t, "http://192.0.2.1", admin, ours), "signing key": keys} {
		r.RemoteAddr = "192.0.2.7:4711"
		answer := httptest.NewRecorder()
		frame.ServeHTTP(answer, r)
		if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "TLS") {
			t.Errorf("%s: got %d %s, want it refused for want of TLS", name, answer.Code, answer.Body)
		}
	}
}

// TestAGatewayCannotForge shows what an opening key is good for, and what not: a session that is made with it alone opens at
// gateways of the account, and at no door of the server.
func TestAGatewayCannotForge(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	g := w.follow(t, server, admin, ours)
	keys, err := g.keyring.Keys("")
	if err != nil || len(keys) != 1 {
		t.Fatalf("the gateway has %d keys, %v", len(keys), err)
	}
	role, err := g.directory.Role(ours, "pod")
	if err != nil {
		t.Fatal(err)
	}
	now := w.clock()
	forge := func(mac session.Key) signer {
		t.Helper()
		made, err := session.Mint(&session.Session{
			Account: ours, RoleID: role.ID, RoleName: "pod", Name: "forged", Issued: now, Expires: now.Add(time.Hour),
			Revision: g.store.Revision(), Epoch: g.store.Epoch(),
		}, keys[0].Key, mac)
		if err != nil {
			t.Fatal(err)
		}
		return byCredentials(made)
	}
	_, known, err := w.keyring.Sealing(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	guess := session.Key{ID: known.ID, Secret: [32]byte{1}} // the id of the server's key is in every token
	for name, forged := range map[string]signer{"with a key of its own": forge(keys[0].Key), "with a guess at the server's": forge(guess)} {
		answer := w.send(t, server, request{as: forged, service: "sts", method: http.MethodPost, path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15"})
		if answer.status != http.StatusForbidden || !strings.Contains(answer.body, "InvalidClientTokenId") {
			t.Errorf("%s: the server answers %d %s, want InvalidClientTokenId", name, answer.status, answer.body)
		}
		r := w.build(t, "http://gateway", request{as: forged, service: "s3", method: http.MethodGet, path: "/"})
		sig, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.access.Authenticate(r, sig, sig.PayloadHash); err != nil {
			t.Errorf("%s: the gateway says %v; TRUST.md says that it cannot tell", name, err)
		}
	}
}

// TestAFollowerVerifiesNoSecretThatItHasNot signs with an empty secret, which is what the gateway's copy has.
func TestAFollowerVerifiesNoSecretThatItHasNot(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	g := w.follow(t, w.serve(t, w.config()), admin, ours)
	try := func(as signer) error {
		t.Helper()
		r := w.build(t, "http://gateway", request{as: as, service: "s3", method: http.MethodGet, path: "/"})
		sig, err := sigv4.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.access.Authenticate(r, sig, sig.PayloadHash)
		return err
	}
	empty := signer{id: admin.id}
	if err := try(empty); !fault.Is(err, fault.UnknownKey) {
		t.Errorf("an empty secret: got %v, want UnknownKey", err)
	}
	asked := 0
	g.access.SigningKey = func(_ context.Context, keyID, date, region, service string) (sigv4.Key, error) {
		asked++
		if keyID != admin.id {
			t.Errorf("asked for %s", keyID)
		}
		return sigv4.Derive(admin.secret, date, region, service), nil
	}
	if err := try(empty); !fault.Is(err, fault.BadSignature) {
		t.Errorf("an empty secret against the day's key: got %v, want BadSignature", err)
	}
	if err := try(admin); err != nil || asked != 2 {
		t.Errorf("the right secret: got %v after asking %d times", err, asked)
	}
	if err := try(byKey(w.root)); !fault.Is(err, fault.UnknownKey) || asked != 2 {
		t.Errorf("another account's key: got %v after asking %d times, want UnknownKey and no question", err, asked)
	}
}
