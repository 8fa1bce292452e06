package broker

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

const (
	one         = "111122223333"
	two         = "444455556666"
	tokenIssuer = "https://kubernetes.default.svc.cluster.local" // of every cluster here, as of half the world's

	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

// clock is a time that the test moves.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_795_000_000, 0).UTC().Add(time.Duration(c.past.Load()))
}
func (c *clock) pass(by time.Duration) { c.past.Add(int64(by)) }

// world is one replica's broker with what stands below it.
type world struct {
	*Broker
	clock *clock
}

// open starts a replica and closes its store with the test.
func open(t testing.TB, config store.Config) *world {
	t.Helper()
	c := &clock{}
	config.Now = c.now
	st, err := store.Open(t.Context(), config)
	must(t, err)
	d := directory.New(st, c.now)
	w := &world{&Broker{
		Store: st, Directory: d, Registry: registry.New(st, d, registry.Config{Region: "us-west-2", Now: c.now}),
		Keyring: keyring.New(st, slog.New(slog.DiscardHandler), c.now), Verifier: podtoken.NewVerifier(1000), Now: c.now,
	}, c}
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

func fresh(t testing.TB) *world {
	t.Helper()
	return open(t, store.Config{Dir: filepath.Join(t.TempDir(), "store"), MasterKey: store.NewMasterKey()})
}

// signer is a cluster's signing key with its private half.
type signer struct {
	podtoken.Key
	private crypto.Signer
}

func newSigner(t testing.TB, id string) signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return signer{podtoken.Key{ID: id, Algorithm: "ES256", Public: private.Public()}, private}
}

// rsaKey is what most clusters sign with. It is made once, for it takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaSigner(t testing.TB, id string) signer {
	t.Helper()
	private, err := rsaKey()
	must(t, err)
	return signer{podtoken.Key{ID: id, Algorithm: "RS256", Public: private.Public()}, private}
}

// cluster is a registered cluster whose key we hold.
type cluster struct {
	*registry.Cluster
	signer signer
}

// practice makes a cluster whose key list is always the newest.
func (w *world) practice(t testing.TB, account, name string) cluster {
	t.Helper()
	return w.join(t, account, name, newSigner(t, "k1"), true)
}

func (w *world) join(t testing.TB, account, name string, s signer, practice bool) cluster {
	t.Helper()
	c, err := w.Registry.RegisterCluster(t.Context(), registry.NewCluster{Account: account, Name: name, Provider: "OTHER"})
	must(t, err)
	c, err = w.Registry.ActivateCluster(t.Context(), c.Activation.ID, registry.Joining{
		Issuers: []string{tokenIssuer}, Keys: []podtoken.Key{s.Key}, Practice: practice,
	})
	must(t, err)
	return cluster{c, s}
}

// claims are a token's, as Kubernetes writes them. A nil value of an edit removes a claim.
type claims map[string]any

// podToken signs a token of service account default/app on a node, with claims changed by the edits.
func (w *world) podToken(t testing.TB, s signer, node string, edits ...claims) string {
	t.Helper()
	return w.token(t, s, "default", "app", registry.PodAudience, node, edits...)
}

func (w *world) token(t testing.TB, s signer, namespace, account, audience, node string, edits ...claims) string {
	t.Helper()
	now := w.clock.now().Unix()
	k8s := map[string]any{
		"namespace":      namespace,
		"serviceaccount": map[string]any{"name": account, "uid": "sa-uid"},
		"pod":            map[string]any{"name": account + "-7c9f4d8b5-x2x", "uid": "pod-uid"},
	}
	if node != "" {
		k8s["node"] = map[string]any{"name": node, "uid": node + "-uid"}
	}
	all := jwt.MapClaims{
		"iss": tokenIssuer, "sub": "system:serviceaccount:" + namespace + ":" + account, "aud": []string{audience},
		"iat": now, "nbf": now, "exp": now + 3600, "kubernetes.io": k8s,
	}
	for _, edit := range edits {
		maps.Copy(all, edit)
	}
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	token := jwt.NewWithClaims(jwt.GetSigningMethod(s.Algorithm), all)
	token.Header["kid"] = s.ID
	text, err := token.SignedString(s.private)
	must(t, err)
	return text
}

// agentToken signs the token of a cluster's agent on a node.
func (w *world) agentToken(t testing.TB, s signer, node string, edits ...claims) string {
	t.Helper()
	return w.token(t, s, "kube-system", "eks-pod-identity-agent", registry.AgentAudience, node, edits...)
}

// agent is the principal of the agent on the cluster's node, got as agents get it.
func (w *world) agent(t testing.TB, c cluster, node string) *directory.Principal {
	t.Helper()
	role, err := w.Directory.Role(c.Account, c.AgentRole())
	must(t, err)
	g, err := w.ForWebIdentity(t.Context(), WebIdentity{Role: role.ARN().String(), SessionName: node, Token: w.agentToken(t, c.signer, node)})
	must(t, err)
	s, err := session.Open(w.Keyring.Ring(), g.Credentials.AccessKeyID, g.Credentials.SessionToken)
	must(t, err)
	p, err := w.Directory.SessionPrincipal(role, s)
	must(t, err)
	return p
}

// role makes a role, with its trust policy unless it is that for pods, and returns its ARN.
func (w *world) role(t testing.TB, account, name, trust string) string {
	t.Helper()
	if trust == "" {
		trust = podTrust
	}
	r, err := w.Directory.CreateRole(t.Context(), directory.NewRole{Account: account, Name: name, Trust: trust})
	must(t, err)
	return r.ARN().String()
}

func (w *world) associate(t testing.TB, c cluster, namespace, account, role string) *registry.Association {
	t.Helper()
	a, err := w.Registry.CreateAssociation(t.Context(), registry.NewAssociation{
		Account: c.Account, Cluster: c.Name, Namespace: namespace, ServiceAccount: account, Role: role,
	})
	must(t, err)
	return a
}

// accepted stands in tables for "no error": it is no kind that a room returns.
const accepted = fault.Internal

// wants holds an answer against the kind that is wanted; a refusal must come without credentials.
func wants(t testing.TB, what string, g *Grant, err error, want fault.Kind) {
	t.Helper()
	switch {
	case want == accepted && err != nil:
		t.Errorf("%s: got %v, want no error", what, err)
	case want != accepted && !fault.Is(err, want):
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
	if (g.Credentials != session.Credentials{}) != (err == nil) {
		t.Errorf("%s: got credentials %v with error %v", what, g.Credentials, err)
	}
}

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
