package registry

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/store"
)

// What is stored is read back as it was, by another process.
func TestRecordsSurviveARestart(t *testing.T) {
	dir, master := folder(t), store.NewMasterKey()
	w := open(t, dir, master)
	waiting, err := w.RegisterCluster(t.Context(), NewCluster{
		Account: one, Name: "waiting", Provider: "GKE", RoleARN: "arn:aws:iam::111122223333:role/r", RequestToken: "t",
		Tags: []directory.Tag{{Key: "a", Value: "b"}},
	})
	must(t, err)
	c := w.join(t, one, "prod")
	_, err = w.PutClusterKeys(t.Context(), one, "prod", []string{issuer, "https://oidc.example"}, []podtoken.Key{newKey(t, "k2")})
	must(t, err) // one listed, one that lingers
	_, err = w.UpdateCluster(t.Context(), one, "prod", ClusterChange{NodeBinding: new(false)})
	must(t, err)
	_, err = w.CreateAssociation(t.Context(), NewAssociation{
		Account: one, Cluster: "prod", Namespace: "ns", ServiceAccount: "sa", Role: w.role(t, one, "app"), RequestToken: "u",
		Target: targetName, Policy: narrow, DisableTags: true,
		Tags: []directory.Tag{{Key: "a", Value: ""}},
	})
	must(t, err)
	target := Target{ByPod, c.ID + "/ns/pod"}
	_, err = w.Revoke(t.Context(), one, "arn:by", target)
	must(t, err)

	all := func(w *world) []any {
		prod, err := w.Cluster(one, "prod")
		must(t, err)
		pending, err := w.ClusterByActivation(waiting.Activation.ID)
		must(t, err)
		a, err := w.Association(c.ID, "ns", "sa")
		must(t, err)
		rev, ok, err := w.revocations.Get(target.key())
		if err != nil || !ok {
			t.Fatalf("the revocation: got %v, %v", ok, err)
		}
		return []any{prod, prod.KeySet(w.clock.now()), pending, string(pending.Activation.Secret), a, rev}
	}
	before := all(w)
	must(t, w.store.Close())
	again := open(t, dir, master)
	if diff := cmp.Diff(before, all(again), cmp.AllowUnexported(Cluster{})); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	must(t, again.store.Ready())
}

// A record of a version to come is neither skipped nor written over. A revocation that cannot be read refuses.
func TestRecordsOfAnUnknownVersionAreRefused(t *testing.T) {
	dir, master := folder(t), store.NewMasterKey()
	w := open(t, dir, master)
	role := w.role(t, one, "app")
	a := w.associate(t, w.join(t, one, "prod"), "ns", "sa", role)
	s := w.podSession(t, a)
	other := w.podSession(t, a)
	other.RoleID = "AROA2"
	must(t, w.store.Close())

	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: master})
	must(t, err)
	later := store.Codec[string]{
		Version: 99,
		Encode:  func(_ *store.Sealer, _ string, v string) ([]byte, error) { return []byte(v), nil },
		Decode:  func(_ *store.Sealer, _ string, _ int, data []byte) (string, error) { return string(data), nil },
	}
	records := map[string]string{"cluster": one + "/new", "association": a.ClusterID + "/new/sa", "revocation": "role/" + s.RoleID}
	tables := map[string]*store.Table[string]{}
	for name := range records {
		tables[name] = store.NewTable(st, name, later)
	}
	must(t, st.Start(t.Context()))
	must(t, st.Update(t.Context(), func(tx *store.Tx) error {
		for name, key := range records {
			if err := tables[name].Put(tx, key, "{}"); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, st.Close())

	w = open(t, dir, master)
	if err := w.store.Ready(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Ready: got %v, want Unavailable", err)
	}
	for name, call := range map[string]func() error{
		"Cluster":      func() error { _, err := w.Cluster(one, "new"); return err },
		"Clusters":     func() error { _, err := w.Clusters(one, "", 0); return err },
		"Association":  func() error { _, err := w.Association(a.ClusterID, "new", "sa"); return err },
		"Associations": func() error { _, _, err := w.Associations(one, "prod", AssociationQuery{Limit: 5}); return err },
		"Honours":      func() error { return w.Honours(s) },
		"Revoke":       func() error { _, err := w.Revoke(t.Context(), one, "arn", Target{ByRole, s.RoleID}); return err },
		"RegisterCluster": func() error {
			_, err := w.RegisterCluster(t.Context(), NewCluster{Account: one, Name: "new", Provider: "GKE"})
			return err
		},
		"CreateAssociation": func() error {
			_, err := w.CreateAssociation(t.Context(), NewAssociation{Account: one, Cluster: "prod", Namespace: "new", ServiceAccount: "sa", Role: role})
			return err
		},
	} {
		wants(t, name, call(), fault.Unavailable)
	}
	wants(t, "Honours of a session of another role", w.Honours(other), accepted)
	if _, err := w.Association(a.ClusterID, "old", "sa"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an association that does not exist: got %v, want NotFound", err)
	}
}
