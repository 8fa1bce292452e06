package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/cloudtrail"
	"github.com/openlanyard/lanyard/api/eks"
	"github.com/openlanyard/lanyard/api/eksauth"
	"github.com/openlanyard/lanyard/api/iam"
	"github.com/openlanyard/lanyard/api/lanyard"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/oidc"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
	"github.com/openlanyard/lanyard/trail"
)

const (
	management = "999988887777" // the first account
	region     = "us-west-2"
	issuer     = "https://kubernetes.default.svc.cluster.local"
	trust      = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`
)

// world is the whole server behind its frame: real rooms over a real store and a real audit log, on a clock that tests set.
type world struct {
	store     *store.Store
	directory *directory.Directory
	registry  *registry.Registry
	keyring   *keyring.Keyring
	broker    *broker.Broker
	access    *access.Access
	audit     *audit.Log
	index     *trail.Index
	auditDir  string
	root      *directory.AccessKey // the management account's administrator
	signer    clusterKey
	log       *lockedBuffer

	mu  sync.Mutex
	now func() time.Time
}

// clusterKey signs a cluster's tokens.
type clusterKey struct {
	id      string
	private any
	method  jwt.SigningMethod
	key     podtoken.Key
}

func newClusterKey(tb testing.TB, id string) clusterKey {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return clusterKey{id, private, jwt.SigningMethodES256, podtoken.Key{ID: id, Algorithm: "ES256", Public: &private.PublicKey}}
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	ctx := tb.Context()
	w := &world{now: time.Now, auditDir: tb.TempDir() + "/audit", signer: newClusterKey(tb, "key-1"), log: &lockedBuffer{}}
	var err error
	if w.store, err = store.Open(ctx, store.Config{Dir: tb.TempDir() + "/state", MasterKey: store.NewMasterKey()}); err != nil {
		tb.Fatal(err)
	}
	w.directory = directory.New(w.store, w.clock)
	w.keyring = keyring.New(w.store, nil, w.clock)
	w.registry = registry.New(w.store, w.directory, registry.Config{
		Region: region, Now: w.clock,
		Try: func(ctx context.Context, a *registry.Association) error { return w.broker.Try(ctx, a) },
	})
	if err := w.store.Start(ctx); err != nil {
		tb.Fatal(err)
	}
	w.audit = openAudit(tb, w.auditDir, audit.Config{Now: w.clock})
	if w.index, err = trail.OpenIndex(trail.IndexConfig{File: tb.TempDir() + "/index.db", Read: w.audit.Read, Now: w.clock}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.index.Close(); err != nil {
			tb.Error(err)
		}
		if err := w.store.Close(); err != nil {
			tb.Error(err)
		}
	})
	w.broker = &broker.Broker{
		Store: w.store, Directory: w.directory, Registry: w.registry, Keyring: w.keyring, Verifier: podtoken.NewVerifier(1024), OIDC: &oidc.Client{}, Now: w.clock,
	}
	w.access = &access.Access{
		Store: w.store, Directory: w.directory, Registry: w.registry, Ring: w.keyring.Ring(), Keys: sigv4.NewCache(256), Now: w.clock,
	}
	if _, w.root, err = w.directory.CreateAccount(ctx, directory.NewAccount{ID: management, Name: "management"}); err != nil {
		tb.Fatal(err)
	}
	return w
}

// openAudit opens a log, runs it, and closes it when the test is over.
func openAudit(tb testing.TB, dir string, config audit.Config) *audit.Log {
	tb.Helper()
	log, err := audit.Open(dir, config)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- log.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		for _, err := range []error{<-stopped, log.Close()} {
			if err != nil {
				tb.Error(err)
			}
		}
	})
	return log
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now()
}

// setClock stops the clock at a moment.
func (w *world) setClock(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = func() time.Time { return now }
}

// config is that of a frame with limits that no ordinary test meets.
func (w *world) config() api.Config {
	return api.Config{
		Region: region, Access: w.access, Audit: w.audit,
		Addresses: limit.NewRates(1e6, 1e6, 64), Principals: limit.NewRates(1e6, 1e6, 64), Gate: limit.NewGate(64, 16),
		Ready: w.store.Ready, Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: w.clock,
	}
}

// doors are all doors of the server but S3's.
func (w *world) doors() []*api.Door {
	return []*api.Door{
		cloudtrail.New(w.index),
		eks.New(w.registry), eksauth.New(w.broker), iam.New(w.directory), sts.New(w.broker),
		lanyard.New(w.store, w.directory, w.keyring, w.registry, w.broker, words),
	}
}

// words are some that the doors' policies may speak of.
var words = &policy.Vocabulary{
	Actions: map[string][]string{"s3": {"GetObject", "ListBucket"}, "sts": {"AssumeRole", "TagSession"}},
	Keys:    []string{"aws:PrincipalTag/*", "aws:SourceArn"},
}

// serve starts a frame with every door, and with more.
func (w *world) serve(tb testing.TB, config api.Config, more ...*api.Door) *httptest.Server {
	tb.Helper()
	server := httptest.NewServer(api.New(config, "eks", append(w.doors(), more...)...))
	tb.Cleanup(server.Close)
	return server
}

// signer is who signs a request; the zero value is nobody.
type signer struct{ id, secret, token string }

func byKey(k *directory.AccessKey) signer { return signer{id: k.ID, secret: string(k.Secret)} }

func byCredentials(c session.Credentials) signer {
	return signer{c.AccessKeyID, c.SecretAccessKey, c.SessionToken}
}

// account makes an account with a cluster "dev" that has joined, a role "pod" that may be associated, and a role
// "nobody" without permissions.
func (w *world) account(tb testing.TB, id string) signer {
	tb.Helper()
	ctx := tb.Context()
	_, admin, err := w.directory.CreateAccount(ctx, directory.NewAccount{ID: id, Name: "account " + id})
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"nobody", "pod"} {
		if _, err := w.directory.CreateRole(ctx, directory.NewRole{Account: id, Name: name, Trust: trust}); err != nil {
			tb.Fatal(err)
		}
	}
	cluster, err := w.registry.RegisterCluster(ctx, registry.NewCluster{
		Account: id, Name: "dev", Provider: "OTHER", RoleARN: "arn:aws:iam::" + id + ":role/connector",
	})
	if err != nil {
		tb.Fatal(err)
	}
	// A practice cluster's key list is always the newest: an unknown key is refused at once.
	if _, err := w.registry.ActivateCluster(ctx, cluster.Activation.ID, registry.Joining{
		Issuers: []string{issuer}, Keys: []podtoken.Key{w.signer.key}, Practice: true,
	}); err != nil {
		tb.Fatal(err)
	}
	if _, _, err := w.keyring.Sealing(ctx, id); err != nil {
		tb.Fatal(err)
	}
	return byKey(admin)
}

// associate lets default/app of the account's cluster dev become the role pod.
func (w *world) associate(tb testing.TB, account string) *registry.Association {
	tb.Helper()
	made, err := w.registry.CreateAssociation(tb.Context(), registry.NewAssociation{
		Account: account, Cluster: "dev", Namespace: "default", ServiceAccount: "app", Role: "arn:aws:iam::" + account + ":role/pod",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return made
}

// role is a session of a role of the account, as if a pod had assumed it.
func (w *world) role(tb testing.TB, account, name string) signer {
	tb.Helper()
	role, err := w.directory.Role(account, name)
	if err != nil {
		tb.Fatal(err)
	}
	sealing, mac, err := w.keyring.Sealing(tb.Context(), account)
	if err != nil {
		tb.Fatal(err)
	}
	now := w.clock()
	credentials, err := session.Mint(&session.Session{
		Account: account, RoleID: role.ID, RoleName: role.Name, Name: "test", Issued: now, Expires: now.Add(time.Hour),
		Revision: w.store.Revision(), Epoch: w.store.Epoch(),
	}, sealing, mac)
	if err != nil {
		tb.Fatal(err)
	}
	return byCredentials(credentials)
}

// agent is the agent of the account's cluster dev, on node-1, by web identity.
func (w *world) agent(tb testing.TB, account string) signer {
	tb.Helper()
	grant, err := w.broker.ForWebIdentity(tb.Context(), broker.WebIdentity{
		Role: w.agentRole(tb, account), SessionName: "agent", Token: w.token(tb, agentToken(w.clock())), Duration: time.Hour,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return byCredentials(grant.Credentials)
}

// connector is the connector of the account's cluster dev, by web identity.
func (w *world) connector(tb testing.TB, account string) signer {
	tb.Helper()
	cluster, err := w.registry.Cluster(account, "dev")
	if err != nil {
		tb.Fatal(err)
	}
	claims := agentToken(w.clock())
	claims["aud"], claims["sub"] = []string{registry.ConnectorAudience}, registry.ConnectorSubject
	object := claims["kubernetes.io"].(map[string]any)
	object["namespace"], object["serviceaccount"] = "lanyard-system", map[string]any{"name": "lanyard-connector", "uid": "connector-sa"}
	grant, err := w.broker.ForWebIdentity(tb.Context(), broker.WebIdentity{
		Role:        "arn:aws:iam::" + account + ":role/" + cluster.ConnectorRole(),
		SessionName: "connector", Token: w.token(tb, claims), Duration: time.Hour,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return byCredentials(grant.Credentials)
}

func (w *world) agentRole(tb testing.TB, account string) string {
	tb.Helper()
	cluster, err := w.registry.Cluster(account, "dev")
	if err != nil {
		tb.Fatal(err)
	}
	return "arn:aws:iam::" + account + ":role/" + cluster.AgentRole()
}

// podToken is what the kubelet gives the pod app-1 of default/app on node-1.
func podToken(now time.Time) jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "aud": []string{registry.PodAudience}, "sub": "system:serviceaccount:default:app",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{
			"namespace":      "default",
			"serviceaccount": map[string]any{"name": "app", "uid": "sa-uid"},
			"pod":            map[string]any{"name": "app-1", "uid": "pod-uid"},
			"node":           map[string]any{"name": "node-1", "uid": "node-uid"},
		},
	}
}

// agentToken is that of the agent on node-1.
func agentToken(now time.Time) jwt.MapClaims {
	claims := podToken(now)
	claims["aud"], claims["sub"] = []string{registry.AgentAudience}, registry.AgentSubject
	object := claims["kubernetes.io"].(map[string]any)
	object["namespace"], object["serviceaccount"] = "kube-system", map[string]any{"name": "eks-pod-identity-agent", "uid": "agent-sa"}
	object["pod"] = map[string]any{"name": "agent-1", "uid": "agent-pod"}
	return claims
}

func (w *world) token(tb testing.TB, claims jwt.MapClaims) string {
	tb.Helper()
	return w.signer.sign(tb, claims)
}

func (k clusterKey) sign(tb testing.TB, claims jwt.MapClaims) string {
	tb.Helper()
	token := jwt.NewWithClaims(k.method, claims)
	token.Header["kid"] = k.id
	text, err := token.SignedString(k.private)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// request is one call. An empty content type is that of the service's protocol.
type request struct {
	as            signer
	service       string
	method, path  string
	body          string
	header        http.Header
	at            time.Time // of signing; the zero value is the world's now
	signedPayload string    // the body that is signed, where it is not the one that is sent
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// build makes the signed HTTP request.
func (w *world) build(tb testing.TB, base string, in request) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), in.method, base+in.path, strings.NewReader(in.body))
	if err != nil {
		tb.Fatal(err)
	}
	for name, values := range in.header {
		r.Header[name] = values
	}
	if r.Header.Get("Content-Type") == "" && in.body != "" {
		r.Header.Set("Content-Type", contentType(in.service))
	}
	if in.as.id == "" {
		return r
	}
	payload := in.body
	if in.signedPayload != "" {
		payload = in.signedPayload
	}
	sum := sha256.Sum256([]byte(payload))
	at := in.at
	if at.IsZero() {
		at = w.clock()
	}
	sigv4.Sign(r, in.as.id, in.as.secret, in.as.token, region, in.service, hex.EncodeToString(sum[:]), at)
	return r
}

func contentType(service string) string {
	if isQuery(service) {
		return "application/x-www-form-urlencoded; charset=utf-8"
	}
	if service == "cloudtrail" {
		return "application/x-amz-json-1.1"
	}
	return "application/json"
}

func isQuery(service string) bool { return service == "iam" || service == "sts" }

// send makes a call to a server.
func (w *world) send(tb testing.TB, server *httptest.Server, in request) answer {
	tb.Helper()
	return do(tb, server.Client(), w.build(tb, server.URL, in))
}

func do(tb testing.TB, client *http.Client, r *http.Request) answer {
	tb.Helper()
	resp, err := client.Do(r)
	if err != nil {
		tb.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%s %s: reading the answer: %v", r.Method, r.URL, err)
	}
	if err := resp.Body.Close(); err != nil {
		tb.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
