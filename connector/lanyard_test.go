package connector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/lanyard"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

const (
	testAccount = "111122223333"
	testRegion  = "us-west-2"
	testIssuer  = "https://kubernetes.default.svc.cluster.local"
)

// server is Lanyard's own doors over real rooms, with a cluster "dev" that is registered and has not joined.
type server struct {
	*httptest.Server
	registry *registry.Registry
	broker   *broker.Broker
	keyring  *keyring.Keyring
	cluster  *registry.Cluster
	frame    *api.Frame
}

func newServer(t *testing.T) *server {
	t.Helper()
	ctx := t.Context()
	st, err := store.Open(ctx, store.Config{Dir: t.TempDir() + "/state", MasterKey: store.NewMasterKey()})
	if err != nil {
		t.Fatal(err)
	}
	dir := directory.New(st, time.Now)
	ring := keyring.New(st, nil, time.Now)
	reg := registry.New(st, dir, registry.Config{Region: testRegion, Now: time.Now})
	if err := st.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, _, err := dir.CreateAccount(ctx, directory.NewAccount{ID: testAccount, Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Sealing(ctx, testAccount); err != nil {
		t.Fatal(err)
	}
	s := &server{
		registry: reg, keyring: ring,
		broker: &broker.Broker{Store: st, Directory: dir, Registry: reg, Keyring: ring, Verifier: podtoken.NewVerifier(64), Now: time.Now},
	}
	s.frame = api.New(api.Config{
		Region:    testRegion,
		Access:    &access.Access{Store: st, Directory: dir, Registry: reg, Ring: ring.Ring(), Keys: sigv4.NewCache(64), Now: time.Now},
		Audit:     openAudit(t),
		Addresses: limit.NewRates(1e6, 1e6, 64), Principals: limit.NewRates(1e6, 1e6, 64), Gate: limit.NewGate(64, 16),
		Ready: st.Ready, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}, "lanyard", lanyard.New(st, dir, ring, reg, s.broker, nil), sts.New(s.broker))
	s.Server = httptest.NewServer(s.frame)
	t.Cleanup(func() {
		s.frame.EndStreams()
		s.Close()
	})
	if s.cluster, err = reg.RegisterCluster(ctx, registry.NewCluster{
		Account: testAccount, Name: "dev", Provider: "OTHER", RoleARN: "arn:aws:iam::" + testAccount + ":role/connector",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.CreateRole(ctx, directory.NewRole{
		Account: testAccount, Name: "pod",
		Trust: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`,
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func openAudit(t *testing.T) *audit.Log {
	t.Helper()
	log, err := audit.Open(t.TempDir()+"/audit", audit.Config{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- log.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for _, err := range []error{<-stopped, log.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return log
}

func (s *server) connectorRole() string {
	return arn.Role(testAccount, "/", s.cluster.ConnectorRole()).String()
}

// now is the cluster as the server has it now.
func (s *server) now(t *testing.T) *registry.Cluster {
	t.Helper()
	c, err := s.registry.Cluster(testAccount, "dev")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *server) associate(t *testing.T, namespace, serviceAccount string) *registry.Association {
	t.Helper()
	made, err := s.registry.CreateAssociation(t.Context(), registry.NewAssociation{
		Account: testAccount, Cluster: "dev", Namespace: namespace, ServiceAccount: serviceAccount, Role: "arn:aws:iam::" + testAccount + ":role/pod",
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// isDeleted reports whether the server refuses what the pod had.
func (s *server) isDeleted(t *testing.T, uid string) bool {
	t.Helper()
	now := time.Now()
	return s.registry.Honours(&session.Session{
		Account: testAccount, Issued: now, Expires: now.Add(time.Hour),
		Origin: &session.Origin{Cluster: s.cluster.ID, Namespace: "default", ServiceAccount: "app", PodUID: uid},
	}) != nil
}

// signingKey is a key of a cluster's API server.
type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func newSigningKey(t *testing.T, id string) signingKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{id, private}
}

func (k signingKey) public() podtoken.Key {
	return podtoken.Key{ID: k.id, Algorithm: "ES256", Public: &k.private.PublicKey}
}

// token is one of a service account, as the API server makes it.
func (k signingKey) token(t *testing.T, namespace, account, audience string) string {
	t.Helper()
	return k.tokenOf(t, namespace, account, audience, nil)
}

// tokenOf is one that is bound to something.
func (k signingKey) tokenOf(t *testing.T, namespace, account, audience string, bound map[string]any) string {
	t.Helper()
	now := time.Now()
	object := map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": account, "uid": "sa-1"}}
	maps.Copy(object, bound)
	made := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": testIssuer, "aud": []string{audience}, "sub": "system:serviceaccount:" + namespace + ":" + account,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
		"kubernetes.io": object,
	})
	made.Header["kid"] = k.id
	text, err := made.SignedString(k.private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func jwks(t *testing.T, keys ...signingKey) json.RawMessage {
	t.Helper()
	public := make([]podtoken.Key, len(keys))
	for i, k := range keys {
		public[i] = k.public()
	}
	text, err := podtoken.MarshalKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
