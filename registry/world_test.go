package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

const (
	one    = "111122223333"
	two    = "444455556666"
	region = "us-west-2"
	issuer = "https://kubernetes.default.svc.cluster.local"

	podTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
)

// clock is a time that the test moves.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_795_000_000, 0).UTC().Add(time.Duration(c.past.Load()))
}
func (c *clock) pass(by time.Duration) { c.past.Add(int64(by)) }

// world is a registry with what stands below it. A cluster has room for three associations.
type world struct {
	*Registry
	store     *store.Store
	directory *directory.Directory
	clock     *clock
}

// open starts a registry in the folder and closes it with the test.
func open(t testing.TB, dir string, master store.MasterKey) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: master})
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	d := directory.New(st, c.now)
	w := &world{New(st, d, Config{Region: region, MaxAssociations: 3, Now: c.now}), st, d, c}
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

func folder(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }

func fresh(t testing.TB) *world {
	t.Helper()
	return open(t, folder(t), store.NewMasterKey())
}

// newKey makes a cluster's signing key.
func newKey(t testing.TB, id string) podtoken.Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return podtoken.Key{ID: id, Algorithm: "ES256", Public: private.Public()}
}

func (w *world) register(t testing.TB, account, name string) *Cluster {
	t.Helper()
	c, err := w.RegisterCluster(t.Context(), NewCluster{Account: account, Name: name, Provider: "OTHER", RoleARN: "arn:aws:iam::" + account + ":role/connector"})
	must(t, err)
	return c
}

// join registers and activates a cluster, with a new key unless one is given.
func (w *world) join(t testing.TB, account, name string, keys ...podtoken.Key) *Cluster {
	t.Helper()
	if len(keys) == 0 {
		keys = []podtoken.Key{newKey(t, "k1")}
	}
	c, err := w.ActivateCluster(t.Context(), w.register(t, account, name).Activation.ID, Joining{Issuers: []string{issuer}, Keys: keys})
	must(t, err)
	return c
}

// role makes a role that pods may have, and returns its ARN.
func (w *world) role(t testing.TB, account, name string) string {
	t.Helper()
	r, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: account, Name: name, Trust: podTrust})
	must(t, err)
	return r.ARN().String()
}

func (w *world) associate(t testing.TB, c *Cluster, namespace, serviceAccount, role string) *Association {
	t.Helper()
	a, err := w.CreateAssociation(t.Context(), NewAssociation{Account: c.Account, Cluster: c.Name, Namespace: namespace, ServiceAccount: serviceAccount, Role: role})
	must(t, err)
	return a
}

// podSession is what a pod of the association's service account holds.
func (w *world) podSession(t testing.TB, a *Association) *session.Session {
	t.Helper()
	role, err := w.directory.RoleByARN(a.Role)
	must(t, err)
	digest, err := w.Digest(a)
	must(t, err)
	now := w.clock.now()
	return &session.Session{
		Account: a.Account, RoleID: role.ID, RoleName: role.Name, Name: "s", AccessKeyID: "ASIA1", Through: []string{"AROAFIRST", "AROASECOND", one + "/ASIAFIRST"}, Issued: now, Expires: now.Add(6 * time.Hour),
		Origin: &session.Origin{
			Cluster: a.ClusterID, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount, PodName: "pod", PodUID: "pod-uid",
			NodeName: "node", NodeUID: "node-uid", Association: a.ID, Digest: digest,
		},
	}
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
