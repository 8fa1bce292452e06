package registry

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

// follow is what a gateway of the account has of the registry.
func (w *world) follow(t testing.TB, account string) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Feed: func(ctx context.Context, _ store.Position) (io.ReadCloser, error) {
		read, write := io.Pipe()
		go func() {
			_ = write.CloseWithError(w.store.Feed(ctx, account, store.Position{}, write, func() error { return nil })) // never fails
		}()
		return read, nil
	}})
	must(t, err)
	d := directory.New(st, w.clock.now)
	f := &world{New(st, d, Config{Region: region, Now: w.clock.now}), st, d, w.clock}
	must(t, st.Start(t.Context()))
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (w *world) caughtUp(t testing.TB, source *world) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, w.store.WaitRevision(ctx, source.store.Revision()))
}

// TestAnAssociationTiesAClusterToAnotherAccount gives a service account of two's cluster a target role of one: with it, and
// only as long as it is there, one's gateways know the cluster, what was revoked in it, and the first role by its name.
func TestAnAssociationTiesAClusterToAnotherAccount(t *testing.T) {
	w := fresh(t)
	role, err := arn.Parse(w.role(t, two, "first"))
	must(t, err)
	target, err := arn.Parse(w.role(t, one, "app"))
	must(t, err)
	cluster, other := w.join(t, two, "prod"), w.join(t, two, "other")
	pod := Target{ByPod, cluster.ID + "/ns/pod"}
	_, err = w.Revoke(t.Context(), two, "somebody", pod)
	must(t, err)
	_, err = w.Revoke(t.Context(), two, "somebody", Target{ByPod, other.ID + "/ns/pod"})
	must(t, err)
	gateway := w.follow(t, one)
	check := func(when string, want int) {
		t.Helper()
		gateway.caughtUp(t, w)
		got := [...]int{gateway.associations.Count(""), gateway.clusters.Count(""), gateway.revocations.Count("")}
		if got != [...]int{want, want, want} {
			t.Errorf("%s: got %v associations, clusters and revocations, want %d of each", when, got, want)
		}
	}
	check("before", 0)
	a := &Association{
		ID: "a-12345678901234567", ClusterID: cluster.ID, Account: two, Region: region, Cluster: "prod", Namespace: "ns", ServiceAccount: "sa", Role: role, Target: target,
		Tags: []directory.Tag{{Key: "team", Value: "secret project"}}, RequestToken: "token",
	}
	put := func() error {
		return w.store.Update(t.Context(), func(tx *store.Tx) error {
			return w.associations.Put(tx, associationKey(cluster.ID, "ns", "sa"), a)
		})
	}
	must(t, put())
	check("associated", 1)
	told, err := gateway.Association(cluster.ID, "ns", "sa")
	must(t, err)
	if told.Tags != nil || told.RequestToken != "" || told.ID != a.ID {
		t.Errorf("the association is told as %+v, want it without tags and request token", told)
	}
	want, err := w.Digest(a)
	must(t, err)
	if got, err := gateway.Digest(told); err != nil || got != want {
		t.Errorf("the association's digest is another one at the gateway, which would not honour what is created again: %v", err)
	}
	if _, ok, _ := gateway.revocations.Get(pod.key()); !ok {
		t.Error("what was revoked before is not told")
	}
	c, err := gateway.ClusterByID(cluster.ID)
	must(t, err)
	if len(c.Keys) != 0 || len(c.Issuers) != 0 {
		t.Errorf("the cluster is told with %d keys and %d issuers, want its name alone", len(c.Keys), len(c.Issuers))
	}
	_, err = w.TagCluster(t.Context(), two, "other", []directory.Tag{{Key: "a", Value: "b"}}, nil)
	must(t, err)
	_, err = w.Revoke(t.Context(), two, "somebody", Target{ByNode, other.ID + "/node"})
	must(t, err)
	check("something in the other cluster", 1)

	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
		return w.associations.Delete(tx, associationKey(cluster.ID, "ns", "sa"))
	}))
	check("no longer associated", 0)
	if _, err := gateway.directory.RoleByARN(role); err == nil {
		t.Error("the first role is known still")
	}
	must(t, put())
	check("associated again", 1)
	_, err = w.DeregisterCluster(t.Context(), two, "prod")
	must(t, err)
	gateway.caughtUp(t, w)
	if _, err := gateway.ClusterByID(cluster.ID); err == nil {
		t.Error("a cluster that is deregistered is still there")
	}
}

// A session of one's role may have come through a role or a session of two: one's gateways end it, and learn no more than
// the id.
func TestWhatIsRevokedOnTheWayIsToldToEveryAccount(t *testing.T) {
	w := fresh(t)
	gateway := w.follow(t, one)
	through := func(ids ...string) *session.Session {
		return &session.Session{Account: one, RoleID: "AROAONE", Through: ids, Epoch: w.store.Epoch(), Revision: w.store.Revision()}
	}
	role, former, neither := through("AROATWO", two+"/ASIA2"), through("AROATHREE", two+"/ASIA1"), through("AROATHREE", two+"/ASIA2")
	wants(t, "a role, at first", gateway.Honours(role), accepted)
	wants(t, "a session, at first", gateway.Honours(former), accepted)
	for _, target := range []Target{{ByRole, "AROATWO"}, {BySession, two + "/ASIA1"}, {ByCluster, "c-two"}} {
		_, err := w.Revoke(t.Context(), two, "somebody", target)
		must(t, err)
	}
	gateway.caughtUp(t, w)
	wants(t, "the role is revoked", gateway.Honours(role), fault.ExpiredCredentials)
	wants(t, "the session is revoked", gateway.Honours(former), fault.ExpiredCredentials)
	wants(t, "a session that came through others", gateway.Honours(neither), accepted)
	all, err := gateway.revocations.List("", "", 0)
	must(t, err)
	for _, e := range all {
		if e.Value.Account != "" || e.Value.By != "" || e.Value.Target.Kind == ByCluster {
			t.Errorf("one is told %+v", e.Value)
		}
	}
	if len(all) != 2 {
		t.Errorf("one is told of %d revocations, want those of the role and of the session", len(all))
	}
}
