package directory

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// What is stored is read back as it was, by another process.
func TestRecordsSurviveARestart(t *testing.T) {
	dir, key := folder(t), store.NewMasterKey()
	w := open(t, dir, key)
	secret := w.account(t, one)
	must(t, w.PutPolicy(t.Context(), Who{Users, one, Administrator}, "list", listAll))
	_, _, err := w.CreateAccount(t.Context(), NewAccount{ID: two, Name: "aws", AWS: &AWSAccount{Region: "us-east-1", Endpoint: "https://x", Unverified: true}})
	must(t, err)
	w.create(t, NewRole{
		Account: one, Path: "/team/", Name: "App", Description: "dé", MaxSession: 90 * time.Minute, Tags: []Tag{{"a", "b"}, {"c", ""}},
	})
	must(t, w.PutPolicy(t.Context(), Who{Roles, one, "App"}, "list", listAll))
	name := w.managed(t, "deny", denyAll)
	_, _, err = w.CreatePolicyVersion(t.Context(), one, name, listAll, true)
	must(t, err)
	must(t, w.DeletePolicyVersion(t.Context(), one, name, 1))
	must(t, w.TagPolicy(t.Context(), one, name, []Tag{{"a", "b"}}))
	must(t, w.Attach(t.Context(), Who{Roles, one, "App"}, name))
	must(t, w.Attach(t.Context(), Who{Users, one, Administrator}, name))
	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
		return w.PutClusterRole(tx, ClusterRole{Account: one, Name: "agent", Cluster: "c1", Trust: podTrust, Permissions: listAll})
	}))
	all := func(w *world) []any {
		account, err := w.Account(one)
		must(t, err)
		backed, err := w.Account(two)
		must(t, err)
		k, user, err := w.AccessKey(secret.ID)
		must(t, err)
		app, err := w.Role(one, "App")
		must(t, err)
		agent, err := w.Role(one, "agent")
		must(t, err)
		managed, err := w.ManagedPolicy(one, name)
		must(t, err)
		used := w.UseCount(one, managed, Permissions)
		if used != 2 || len(w.roleMay(t, app)) != 2 || len(w.userMay(t, user)) != 3 {
			t.Errorf("attached: got %d, want the role and the user", used)
		}
		return []any{account, backed, k, string(k.Secret), user, app, agent, managed}
	}
	before := all(w)
	must(t, w.store.Close())

	again := open(t, dir, key)
	text := cmp.Comparer(func(a, b *policy.Document) bool { return a.Text() == b.Text() })
	if diff := cmp.Diff(before, all(again), text, cmp.AllowUnexported(Identity{})); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	must(t, again.store.Ready())
}

// A record of a version to come is neither skipped nor written over: it counts as unknown, not as absent.
func TestRecordsOfAnUnknownVersionAreRefused(t *testing.T) {
	dir, key := folder(t), store.NewMasterKey()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: key})
	must(t, err)
	later := store.Codec[string]{
		Version: 4,
		Encode:  func(_ *store.Sealer, _ string, v string) ([]byte, error) { return []byte(v), nil },
		Decode:  func(_ *store.Sealer, _ string, _ int, data []byte) (string, error) { return string(data), nil },
	}
	tables := map[string]*store.Table[string]{}
	for _, name := range []string{"account", "user", "accesskey", "role", "policy"} {
		tables[name] = store.NewTable(st, name, later)
	}
	must(t, st.Start(t.Context()))
	must(t, st.Update(t.Context(), func(tx *store.Tx) error {
		for name, key := range map[string]string{"account": one, "user": one + "/ann", "accesskey": "AKIAX", "role": one + "/app", "policy": one + "/p"} {
			if err := tables[name].Put(tx, key, "{}"); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, st.Close())

	w := open(t, dir, key)
	if err := w.store.Ready(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "/lanyard/") {
		t.Errorf("Ready: got %v, want Unavailable with a key", err)
	}
	for name, read := range map[string]func() error{
		"Account":             func() error { _, err := w.Account(one); return err },
		"Accounts":            func() error { _, err := w.Accounts(); return err },
		"User":                func() error { _, err := w.User(one, "ann"); return err },
		"AccessKey":           func() error { _, _, err := w.AccessKey("AKIAX"); return err },
		"Role":                func() error { _, err := w.Role(one, "app"); return err },
		"UpdateTrust":         func() error { return w.UpdateTrust(t.Context(), one, "app", podTrust) },
		"ManagedPolicy":       func() error { _, err := w.ManagedPolicy(one, policyARN("p")); return err },
		"DeleteManagedPolicy": func() error { return w.DeleteManagedPolicy(t.Context(), one, policyARN("p")) },
		"AttachRolePolicy":    func() error { return w.Attach(t.Context(), Who{Roles, one, "app"}, policyARN("p")) },
		"DeleteRole":          func() error { return w.DeleteRole(t.Context(), one, "app") },
		"CreateRole": func() error {
			_, err := w.CreateRole(t.Context(), NewRole{Account: one, Name: "app", Trust: podTrust})
			return err
		},
		"PutUserPolicy": func() error { return w.PutPolicy(t.Context(), Who{Users, one, "ann"}, "p", listAll) },
	} {
		wants(t, name, read(), fault.Unavailable)
	}
	if _, err := w.Role(one, "other"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a role that does not exist: got %v, want NotFound", err)
	}
}
