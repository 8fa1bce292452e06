package registry

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/store"
)

// next waits until the follower is woken and returns what it is told, in words.
func next(t *testing.T, f *Follower) []string {
	t.Helper()
	if _, open := <-f.Woken; !open {
		return []string{"cut"}
	}
	return words(t, f)
}

func words(t *testing.T, f *Follower) (list []string) {
	t.Helper()
	c, err := f.Next()
	must(t, err)
	if c.Reset {
		list = append(list, "reset")
	}
	if c.Cluster != nil {
		list = append(list, "settings "+c.Cluster.S3Endpoint)
	}
	for _, a := range c.Removed {
		list = append(list, "-"+a.Namespace+"/"+a.ServiceAccount)
	}
	for _, a := range c.Associations {
		list = append(list, "+"+a.Namespace+"/"+a.ServiceAccount)
	}
	if c.HasAddons {
		list = append(list, "addons")
		for _, a := range c.Addons {
			list = append(list, a.Name+" "+a.Desired.Action)
		}
	}
	if c.RecheckKeys {
		list = append(list, "recheck")
	}
	return list
}

// A follower is told everything first, and then each change of its own cluster and of no other.
func TestFollow(t *testing.T) {
	w := fresh(t)
	prod, other := w.join(t, one, "prod"), w.join(t, one, "other")
	role := w.role(t, one, "app")
	first := w.associate(t, prod, "ns", "first", role)
	f := w.Follow(prod)
	defer f.Close()
	check := func(what string, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("at first", words(t, f), "reset", "settings ", "+ns/first", "addons")

	w.associate(t, other, "ns", "foreign", role)
	w.associate(t, prod, "ns", "second", role)
	check("an association", next(t, f), "+ns/second")
	_, err := w.DeleteAssociation(t.Context(), one, "prod", first.ID)
	must(t, err)
	check("one less", next(t, f), "-ns/first")
	_, err = w.UpdateCluster(t.Context(), one, "prod", ClusterChange{NodeBinding: new(false)})
	must(t, err)
	_, err = w.UpdateCluster(t.Context(), one, "prod", ClusterChange{S3Endpoint: new("https://10.0.0.1")})
	must(t, err)
	check("an endpoint", next(t, f), "settings https://10.0.0.1")
	_, err = w.CreateAddon(t.Context(), NewAddon{Account: one, Cluster: "prod", Name: addon.Agent})
	must(t, err)
	check("an add-on", next(t, f), "addons", addon.Agent+" apply")
	must(t, w.ReportConnector(t.Context(), one, "prod", Connector{Instance: "c", Leader: true}, []AddonReport{{Name: addon.Agent, Generation: 1, Status: AddonActive}}))
	_, err = w.DeleteAddon(t.Context(), one, "prod", addon.Agent, false)
	must(t, err)
	check("no more add-on", next(t, f), "addons", addon.Agent+" delete")

	if !w.AskForKeys(prod.ID) {
		t.Error("the first question for keys was not asked")
	}
	check("keys are asked for", next(t, f), "recheck")
	w.clock.pass(recheckPause - time.Millisecond)
	if w.AskForKeys(prod.ID) || w.AskForKeys(other.ID) {
		t.Error("asked again within five seconds, or where nobody listens")
	}
	w.clock.pass(time.Millisecond)
	if !w.AskForKeys(prod.ID) {
		t.Error("not asked after five seconds")
	}
	check("keys are asked for again", next(t, f), "recheck")
	_, err = w.DeregisterCluster(t.Context(), one, "prod")
	must(t, err)
	for range 2 { // what the sweep removed may come before the end
		if got := next(t, f); cmp.Equal(got, []string{"cut"}) {
			return
		}
	}
	t.Error("the follower of a cluster that is gone is not cut off")
}

// TestARemovalIsToldAtItsOwnRevision has followers that ask without being woken, so that they ask while the copy gets one.
func TestARemovalIsToldAtItsOwnRevision(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	role := w.role(t, one, "app")
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	told := make([]map[string]int64, 3) // positions by association, of each follower
	for i := range told {
		told[i] = map[string]int64{}
		f := w.Follow(prod)
		_, err := f.Next() // from now on removals are told
		must(t, err)
		asking.Go(func() {
			defer f.Close()
			for ended := false; !ended; {
				ended = ctx.Err() != nil // and once more after that
				c, err := f.Next()
				if err != nil {
					t.Error(err)
					return
				}
				for _, a := range c.Removed {
					told[i][a.ID] = c.Revision
				}
			}
		})
	}
	removed := map[string]int64{}
	for i := range 40 {
		a := w.associate(t, prod, "ns", strconv.Itoa(i), role)
		_, err := w.DeleteAssociation(t.Context(), one, "prod", a.ID)
		must(t, err)
		removed[a.ID] = w.Position().Revision
	}
	stop()
	asking.Wait()
	for _, told := range told {
		if len(told) != len(removed) {
			t.Errorf("a follower is told of %d removals of %d", len(told), len(removed))
		}
		for id, at := range told {
			if at < removed[id] {
				t.Errorf("association %s was removed by revision %d and told so at %d", id, removed[id], at)
			}
		}
	}
}

// A miss is answered with what is newer than the position, and with everything after a restore.
func TestConnectorSince(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	role := w.role(t, one, "app")
	w.associate(t, prod, "ns", "first", role)
	at := w.Position()
	w.associate(t, prod, "ns", "second", role)
	c, err := w.ConnectorSince(prod, at)
	must(t, err)
	if c.Reset || len(c.Associations) != 1 || c.Associations[0].ServiceAccount != "second" {
		t.Errorf("since the first: got %+v, want the second alone", c)
	}
	c, err = w.ConnectorSince(prod, Position{"other", at.Revision})
	must(t, err)
	if !c.Reset || len(c.Associations) != 2 || c.Cluster == nil || !c.HasAddons {
		t.Errorf("of another history: got %+v, want everything", c)
	}
}

// A list that is told again is confirmed, and what was verified with it stays verified.
func TestAConfirmedListIsNotANewOne(t *testing.T) {
	w := fresh(t)
	key := newKey(t, "k")
	before := w.join(t, one, "prod", key)
	w.clock.pass(time.Minute)
	after, err := w.PutClusterKeys(t.Context(), one, "prod", before.Issuers, []podtoken.Key{key})
	must(t, err)
	if after.Generation != before.Generation || !after.Confirmed.After(before.Confirmed) {
		t.Errorf("told again: generation %d to %d, confirmed %v to %v", before.Generation, after.Generation, before.Confirmed, after.Confirmed)
	}
	after, err = w.PutClusterKeys(t.Context(), one, "prod", before.Issuers, []podtoken.Key{newKey(t, "l")})
	must(t, err)
	if after.Generation == before.Generation {
		t.Error("a new key has the generation of the old one")
	}
}

// Sessions of a deleted pod are over, whenever they were issued; others and other clusters' are not. It is forgotten when no
// session can live any more.
func TestDeletedPods(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	s := w.podSession(t, w.associate(t, prod, "ns", "sa", w.role(t, one, "app")))
	s.Origin.PodUID = "gone"
	must(t, w.Honours(s))
	live, _ := w.watch(t, Watch{Cluster: prod, Caller: "n", After: w.Position()})
	n, err := w.DeletePods(t.Context(), one, "prod", "arn:by", []DeletedPod{{UID: "gone"}, {UID: "gone"}, {UID: "other"}})
	must(t, err)
	if n != 2 {
		t.Errorf("got %d new uids, want 2", n)
	}
	if b := <-live.Batches; !cmp.Equal(b.Invalidations, []Invalidation{{ByPodUID, "gone"}, {ByPodUID, "other"}}) {
		t.Errorf("watchers are told %+v", b)
	}
	at := w.Position()
	if n, err = w.DeletePods(t.Context(), one, "prod", "arn:by", []DeletedPod{{UID: "gone"}}); n != 0 || err != nil || w.Position() != at {
		t.Errorf("told again: got %d, %v and a write: %v", n, err, w.Position() != at)
	}
	wants(t, "a session of before", w.Honours(s), fault.ExpiredCredentials)
	s.Revision, s.Issued = at.Revision+1000, w.clock.now().Add(time.Hour)
	wants(t, "a session of later", w.Honours(s), fault.ExpiredCredentials)
	s.Origin.PodUID = "living"
	must(t, w.Honours(s))
	_, err = w.DeletePods(t.Context(), two, "prod", "arn:by", []DeletedPod{{UID: "living"}})
	wants(t, "another account's cluster", err, fault.NotFound)

	w.clock.pass(keepDeleted)
	must(t, w.Sweep(t.Context()))
	if !w.PodDeleted(prod.ID, "gone") {
		t.Error("forgotten while a session may live")
	}
	w.clock.pass(time.Second)
	must(t, w.Sweep(t.Context()))
	if w.PodDeleted(prod.ID, "gone") {
		t.Error("kept for longer than any session lives")
	}
}

// An add-on's associations are its own: it makes, replaces and deletes them, and takes over nobody's. They are looked after
// here and not at the door, since no add-on that there is has a service account for a role.
func TestAnAddonOwnsItsAssociations(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	role, second := w.role(t, one, "app"), w.role(t, one, "second")
	_, err := w.CreateAddon(t.Context(), NewAddon{Account: one, Cluster: "prod", Name: addon.Agent})
	must(t, err)
	a, err := w.Addon(one, "prod", addon.Agent)
	must(t, err)
	own := func(roles ...AddonRole) (changed bool, err error) {
		err = w.store.Update(t.Context(), func(tx *store.Tx) (err error) {
			changed, err = w.ownAssociations(tx, a, "kube-system", roles)
			return err
		})
		return changed, err
	}
	changed, err := own(AddonRole{"x", role})
	must(t, err)
	made := w.OwnedBy(a)
	if !changed || len(made) != 1 || made[0].Owner != a.ARN().String() {
		t.Fatalf("got %v and %+v, want one association with an owner", changed, made)
	}
	if changed, err = own(AddonRole{"x", role}); changed || err != nil {
		t.Errorf("the same again: got %v, %v", changed, err)
	}
	if changed, err = own(AddonRole{"x", second}); !changed || err != nil || w.OwnedBy(a)[0].ID != made[0].ID || w.OwnedBy(a)[0].Role.String() != second {
		t.Errorf("another role: got %v, %v, %+v", changed, err, w.OwnedBy(a))
	}
	w.associate(t, prod, "kube-system", "y", role)
	_, err = own(AddonRole{"x", second}, AddonRole{"y", role})
	wants(t, "somebody else's association", err, fault.Exists)
	if changed, err = own(); !changed || err != nil || len(w.OwnedBy(a)) != 0 {
		t.Errorf("none: got %v, %v, %+v", changed, err, w.OwnedBy(a))
	}
	if _, err := w.Association(prod.ID, "kube-system", "y"); err != nil {
		t.Errorf("the association of nobody's add-on: %v", err)
	}
	must(t, func() error { _, err := own(AddonRole{"x", role}); return err }())
	_, err = w.DeleteAddon(t.Context(), one, "prod", addon.Agent, true)
	must(t, err)
	if kept, err := w.Association(prod.ID, "kube-system", "x"); err != nil || kept.Owner != "" {
		t.Errorf("preserved: got %+v, %v", kept, err)
	}
}

func TestCreatingAnAddonAgainWithTheSameRequestToken(t *testing.T) {
	w := fresh(t)
	w.join(t, one, "prod")
	in := NewAddon{Account: one, Cluster: "prod", Name: addon.Agent, Tags: []directory.Tag{{Key: "a", Value: "b"}}, RequestToken: "t1"}
	first, err := w.CreateAddon(t.Context(), in)
	must(t, err)
	at := w.Position()
	in.Version, in.Conflicts = first.Desired.Version, "NONE" // are meant by nothing
	if again, err := w.CreateAddon(t.Context(), in); err != nil || again.UID != first.UID || w.Position() != at {
		t.Errorf("the same again: got %+v, %v and a write: %v; want the same add-on", again, err, w.Position() != at)
	}
	for name, change := range map[string]struct {
		edit func(*NewAddon)
		want fault.Kind
	}{
		"another token":    {func(in *NewAddon) { in.RequestToken = "t2" }, fault.Exists},
		"no token":         {func(in *NewAddon) { in.RequestToken = "" }, fault.Exists},
		"a token too long": {func(in *NewAddon) { in.RequestToken = strings.Repeat("t", 257) }, fault.Invalid},
		"another version":  {func(in *NewAddon) { in.Version = "v1.3.2-eksbuild.2" }, fault.Invalid},
		"other values":     {func(in *NewAddon) { in.Values = "{}" }, fault.Invalid},
		"other conflicts":  {func(in *NewAddon) { in.Conflicts = "OVERWRITE" }, fault.Invalid},
		"other tags":       {func(in *NewAddon) { in.Tags = nil }, fault.Invalid},
	} {
		other := in
		change.edit(&other)
		got, err := w.CreateAddon(t.Context(), other)
		wants(t, name, err, change.want)
		if got != nil {
			t.Errorf("%s: got the add-on", name)
		}
	}
	// No add-on that there is has a service account for a role.
	role := w.role(t, one, "app")
	parsed, err := arn.Parse(role)
	must(t, err)
	owned := []*Association{{ServiceAccount: "x", Role: parsed}}
	wants(t, "without its role", first.repeats(in, owned), fault.Invalid)
	in.Roles = []AddonRole{{"x", role}}
	wants(t, "with its role", first.repeats(in, owned), accepted)
	wants(t, "with a role that it has not", first.repeats(in, nil), fault.Invalid)
	in.Roles = []AddonRole{{"y", role}}
	wants(t, "with the role of another service account", first.repeats(in, owned), fault.Invalid)
}

func TestUpdatingAnAddonAgainWithTheSameRequestToken(t *testing.T) {
	w := fresh(t)
	w.join(t, one, "prod")
	_, err := w.CreateAddon(t.Context(), NewAddon{Account: one, Cluster: "prod", Name: addon.Agent})
	must(t, err)
	change := AddonChange{Values: new("{}"), Params: []UpdateParam{{"ConfigurationValues", "{}"}}, RequestToken: "t1"}
	_, first, err := w.UpdateAddon(t.Context(), one, "prod", addon.Agent, change)
	must(t, err)
	at := w.Position()
	a, again, err := w.UpdateAddon(t.Context(), one, "prod", addon.Agent, change)
	must(t, err)
	if again.ID != first.ID || a.Desired.Generation != first.Generation || w.Position() != at {
		t.Errorf("the same again: got %+v, generation %d, and a write: %v; want update %s", again, a.Desired.Generation, w.Position() != at, first.ID)
	}
	other := change
	other.Values, other.Params = new(""), []UpdateParam{{"ConfigurationValues", ""}}
	_, _, err = w.UpdateAddon(t.Context(), one, "prod", addon.Agent, other)
	wants(t, "other values", err, fault.Invalid)
	other.RequestToken = strings.Repeat("t", 257)
	_, _, err = w.UpdateAddon(t.Context(), one, "prod", addon.Agent, other)
	wants(t, "a token too long", err, fault.Invalid)
	other.RequestToken = "t2"
	_, second, err := w.UpdateAddon(t.Context(), one, "prod", addon.Agent, other)
	must(t, err)
	if second.ID == first.ID || w.Position() == at {
		t.Errorf("another token: got update %s again", second.ID)
	}
}

// Add-ons are gone with their cluster.
func TestDeregisteringRemovesAddons(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	_, err := w.CreateAddon(t.Context(), NewAddon{Account: one, Cluster: "prod", Name: addon.Agent})
	must(t, err)
	_, err = w.DeletePods(t.Context(), one, "prod", "by", []DeletedPod{{UID: "gone"}})
	must(t, err)
	_, err = w.DeregisterCluster(t.Context(), one, "prod")
	must(t, err)
	if n := w.addons.Count(prod.ID) + w.deleted.Count(prod.ID); n != 0 {
		t.Errorf("%d records of the cluster are left", n)
	}
}

// When nobody reports for long, an add-on's health says so.
func TestASilentConnectorIsAnIssue(t *testing.T) {
	w := fresh(t)
	w.join(t, one, "prod")
	_, err := w.CreateAddon(t.Context(), NewAddon{Account: one, Cluster: "prod", Name: addon.Agent})
	must(t, err)
	issues := func() int {
		a, err := w.Addon(one, "prod", addon.Agent)
		must(t, err)
		return len(a.Issues)
	}
	w.clock.pass(unreachable)
	if issues() != 0 {
		t.Error("an issue before anybody could have reported")
	}
	w.clock.pass(time.Second)
	if issues() != 1 {
		t.Error("no issue after two minutes of silence")
	}
	must(t, w.ReportConnector(t.Context(), one, "prod", Connector{Instance: "c"}, nil))
	if issues() != 0 {
		t.Error("an issue though somebody has reported")
	}
}

func TestClusterSettings(t *testing.T) {
	w := fresh(t)
	w.join(t, one, "prod")
	long := "https://10.0.0.1:" + strings.Repeat("1", 255)
	for _, c := range []struct {
		change ClusterChange
		want   fault.Kind
	}{
		{ClusterChange{S3Endpoint: new("https://10.0.0.1:8443/")}, accepted},
		{ClusterChange{STSEndpoint: new("https://[fd00::1]")}, accepted},
		{ClusterChange{S3Endpoint: new("http://127.0.0.1:8080")}, accepted},
		{ClusterChange{S3Endpoint: new("")}, accepted},
		{ClusterChange{S3Endpoint: new("http://10.0.0.1")}, fault.Invalid},
		{ClusterChange{S3Endpoint: new("http://10.0.0.1"), InsecureHTTP: true}, accepted},
		{ClusterChange{S3Endpoint: new("ftp://10.0.0.1"), InsecureHTTP: true}, fault.Invalid},
		{ClusterChange{S3Endpoint: new("http://gateway.example"), InsecureHTTP: true}, fault.Invalid},
		{ClusterChange{STSEndpoint: new("http://10.0.0.1"), InsecureHTTP: true}, fault.Invalid},
		{ClusterChange{S3Endpoint: new("")}, accepted},
		{ClusterChange{S3Endpoint: new("https://s3.example")}, fault.Invalid},
		{ClusterChange{S3Endpoint: new("https://10.0.0.1/path")}, fault.Invalid},
		{ClusterChange{S3Endpoint: new("https://u:p@10.0.0.1")}, fault.Invalid},
		{ClusterChange{S3Endpoint: new("https://10.0.0.1?x")}, fault.Invalid},
		{ClusterChange{STSEndpoint: &long}, fault.Invalid},
		{ClusterChange{CABundle: new("x")}, fault.Invalid},
		{ClusterChange{MaxToken: new(10 * time.Minute)}, accepted},
		{ClusterChange{MaxToken: new(24 * time.Hour)}, accepted},
		{ClusterChange{MaxToken: new(10*time.Minute - time.Second)}, fault.Invalid},
		{ClusterChange{MaxToken: new(24*time.Hour + time.Second)}, fault.Invalid},
	} {
		_, err := w.UpdateCluster(t.Context(), one, "prod", c.change)
		wants(t, "a change", err, c.want)
	}
}

// A cluster of before there were settings is read, with tokens of up to a day.
func TestClusterRecordOfVersionOne(t *testing.T) {
	c, err := clusterCodec.Decode(nil, one+"/prod", 1, []byte(`{"id":"i","account":"`+one+`","name":"prod","status":"ACTIVE","nodeBinding":true}`))
	must(t, err)
	if c.MaxToken != DefaultMaxToken || c.Name != "prod" || !c.NodeBinding || c.S3Endpoint != "" {
		t.Errorf("got %+v", c)
	}
}
