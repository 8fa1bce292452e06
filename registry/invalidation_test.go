package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

func (w *world) watch(t testing.TB, in Watch) (*Watcher, *Batch) {
	t.Helper()
	watcher, first, err := w.Watch(t.Context(), in)
	must(t, err)
	t.Cleanup(watcher.Close)
	return watcher, first
}

// told takes what waits: a write has handed it out before it returns.
func told(w *Watcher) (list []Invalidation) {
	for {
		select {
		case b, open := <-w.Batches:
			if !open {
				return append(list, Invalidation{Kind: "cut off"})
			}
			switch {
			case !b.Resolve():
				continue // nobody sees it
			case b.Recheck:
				list = append(list, Invalidation{Kind: "recheck"})
			case len(b.Invalidations) == 0:
				list = append(list, Invalidation{Kind: "a batch of nothing"})
			}
			list = append(list, b.Invalidations...)
		default:
			return list
		}
	}
}

// ending is something that ends credentials, or does not.
type ending struct {
	name string
	do   func(*world, context.Context, *Cluster, *Association) error
	live []Invalidation
	late []Invalidation // for who was away and holds something of the association and its role; nil: as live
}

func endings() []ending {
	none := []Invalidation(nil)
	cases := []ending{
		{"an association made", func(w *world, ctx context.Context, c *Cluster, a *Association) error {
			_, err := w.CreateAssociation(ctx, NewAssociation{Account: one, Cluster: c.Name, Namespace: "ns", ServiceAccount: "new", Role: a.Role.String()})
			return err
		}, []Invalidation{{ByServiceAccount, "ns/new"}}, nil},
		{"changed", func(w *world, ctx context.Context, c *Cluster, a *Association) error {
			_, err := w.UpdateAssociation(ctx, one, c.Name, a.ID, toRole("arn:aws:iam::"+one+":role/second"))
			return err
		}, []Invalidation{{ByServiceAccount, "ns/sa"}}, nil},
		{"tagged", func(w *world, ctx context.Context, c *Cluster, a *Association) error {
			_, err := w.TagAssociation(ctx, one, c.Name, a.ID, []directory.Tag{{Key: "k", Value: "v"}}, nil)
			return err
		}, none, []Invalidation{{ByServiceAccount, "ns/sa"}}}, // a revision does not tell what changed
		{"deleted", func(w *world, ctx context.Context, c *Cluster, a *Association) error {
			_, err := w.DeleteAssociation(ctx, one, c.Name, a.ID)
			return err
		}, []Invalidation{{ByServiceAccount, "ns/sa"}}, []Invalidation{{ByAssociation, "{a}"}}},
		{"its role deleted", func(w *world, ctx context.Context, _ *Cluster, _ *Association) error {
			return w.directory.DeleteRole(ctx, one, "app")
		}, []Invalidation{{ByRole, "{role}"}}, nil},
		{"a role's permissions changed", func(w *world, ctx context.Context, _ *Cluster, _ *Association) error {
			return w.directory.PutPolicy(ctx, directory.Roles.Named(one, "app"), "p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
		}, none, []Invalidation{{ByServiceAccount, "ns/sa"}}}, // as above
		{"a role's trust policy changed", func(w *world, ctx context.Context, _ *Cluster, _ *Association) error {
			return w.directory.UpdateTrust(ctx, one, "app", strings.Replace(podTrust, `"sts:TagSession"`, `"sts:SetSourceIdentity"`, 1))
		}, []Invalidation{{ByServiceAccount, "ns/sa"}}, nil},
		{"another cluster's association", func(w *world, ctx context.Context, _ *Cluster, a *Association) error {
			_, err := w.CreateAssociation(ctx, NewAssociation{Account: one, Cluster: "test", Namespace: "ns", ServiceAccount: "sa", Role: a.Role.String()})
			return err
		}, none, none},
		{"the cluster's keys", func(w *world, ctx context.Context, c *Cluster, _ *Association) error {
			_, err := w.UpdateCluster(ctx, one, c.Name, ClusterChange{NodeBinding: new(false)})
			return err
		}, none, none},
		{"the cluster deregistered", func(w *world, ctx context.Context, c *Cluster, _ *Association) error {
			_, err := w.DeregisterCluster(ctx, one, c.Name)
			return err
		}, []Invalidation{{ByRole, "{agent}"}, {ByRole, "{connector}"}, {Kind: ByCluster}, {ByServiceAccount, "ns/sa"}}, []Invalidation{{ByAssociation, "{a}"}}},
		{"another cluster deregistered", func(w *world, ctx context.Context, _ *Cluster, _ *Association) error {
			_, err := w.DeregisterCluster(ctx, two, "prod")
			return err
		}, none, none},
	}
	for _, kind := range targetKinds {
		value := map[TargetKind]string{BySession: one + "/ASIA1", ByRole: "AROA1", ByCluster: "{c}", ByAssociation: "{c}/a-1", ByNode: "{c}/n", ByServiceAccount: "{c}/ns/sa", ByPod: "{c}/ns/p"}[kind]
		want := map[TargetKind]string{BySession: "ASIA1", ByRole: "AROA1", ByCluster: "", ByAssociation: "a-1", ByNode: "n", ByServiceAccount: "ns/sa", ByPod: "ns/p"}[kind]
		cases = append(cases, ending{"revoked by " + string(kind), func(w *world, ctx context.Context, c *Cluster, _ *Association) error {
			_, err := w.Revoke(ctx, one, "admin", Target{kind, strings.ReplaceAll(value, "{c}", c.ID)})
			return err
		}, []Invalidation{{kind, want}}, nil})
	}
	return cases
}

// What ends credentials is told to those who watch the cluster while it happens, and found by those who come later. The
// others hear nothing.
func TestWhatEndsCredentialsIsTold(t *testing.T) {
	for _, c := range endings() {
		t.Run(c.name, func(t *testing.T) {
			w := fresh(t)
			prod := w.join(t, one, "prod")
			w.join(t, one, "test")
			foreign := w.join(t, two, "prod")
			app := w.role(t, one, "app")
			w.role(t, one, "second")
			a := w.associate(t, prod, "ns", "sa", app)
			role, err := w.directory.RoleByARN(a.Role)
			must(t, err)
			place := w.Position()
			live, first := w.watch(t, Watch{Cluster: prod, Caller: "n", After: place})
			if first.Recheck || len(first.Invalidations) > 0 {
				t.Errorf("at first: %+v, though nothing has happened", first)
			}
			other, _ := w.watch(t, Watch{Cluster: foreign, Caller: "o", After: place})

			names := map[string]string{"{a}": a.ID, "{role}": role.ID}
			for name, full := range map[string]string{"{agent}": prod.AgentRole(), "{connector}": prod.ConnectorRole()} {
				found, err := w.directory.Role(one, full)
				must(t, err)
				names[name] = found.ID
			}
			resolve := func(list []Invalidation) (all []Invalidation) {
				for _, i := range list {
					for name, value := range names {
						i.Value = strings.ReplaceAll(i.Value, name, value)
					}
					all = append(all, i)
				}
				return all
			}
			must(t, c.do(w, t.Context(), prod, a))
			if diff := cmp.Diff(told(live), resolve(c.live), anyOrder); diff != "" {
				t.Errorf("who watches is told (-got +want):\n%s", diff)
			}
			if got := told(other); len(got) > 0 && c.name != "another cluster deregistered" {
				t.Errorf("another account's watcher is told %v", got)
			}
			if c.late == nil {
				c.late = c.live
			}
			_, second := w.watch(t, Watch{Cluster: prod, Caller: "n", After: place, Associations: []string{a.ID}, Roles: []string{role.ID}})
			if diff := cmp.Diff(second.Invalidations, resolve(c.late), anyOrder); diff != "" || second.Recheck {
				t.Errorf("who was away is told (recheck %v; -got +want):\n%s", second.Recheck, diff)
			}
			_, third := w.watch(t, Watch{Cluster: prod, Caller: "n", After: second.Position})
			if len(third.Invalidations) > 0 || third.Recheck {
				t.Errorf("told again: %+v", third)
			}
		})
	}
}

func TestWhoKnowsNothingAsksAboutEverything(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	now := w.Position()
	for name, after := range map[string]Position{
		"no position":              {},
		"a revision without epoch": {Revision: now.Revision},
		"another store's":          {"other", now.Revision},
	} {
		if _, first := w.watch(t, Watch{Cluster: c, Caller: name, After: after}); !first.Recheck || first.Position != now {
			t.Errorf("%s: %+v, want a recheck at %+v", name, first, now)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a replica that is behind has not caught up by then
	if _, _, err := w.Watch(ctx, Watch{Cluster: c, After: Position{now.Epoch, now.Revision + 1}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a position that this replica has not reached: %v, want Unavailable", err)
	}
	if len(w.feed.clusters) != 1 || w.feed.count != 3 {
		t.Errorf("%d clusters are watched %d times, want one by three", len(w.feed.clusters), w.feed.count)
	}
}

func TestASlowWatcherIsCutOff(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	place := w.Position()
	slow, _ := w.watch(t, Watch{Cluster: c, Caller: "slow", After: place})
	quick, _ := w.watch(t, Watch{Cluster: c, Caller: "quick", After: place})
	for i := range pendingBatches + 1 {
		_, err := w.Revoke(t.Context(), one, "admin", Target{ByPod, c.ID + "/ns/" + fmt.Sprint(i)})
		must(t, err)
		if got := told(quick); len(got) != 1 {
			t.Fatalf("the quick one is told %v", got)
		}
	}
	got := told(slow)
	if n := len(got); n != pendingBatches+1 || got[n-1].Kind != "cut off" {
		t.Errorf("the slow one got %d, the last %v; want %d and the end", n, got[len(got)-1], pendingBatches)
	}
	slow.Close() // harmless
	// It comes again and has missed nothing.
	if _, first := w.watch(t, Watch{Cluster: c, Caller: "slow", After: place}); len(first.Invalidations) != pendingBatches+1 {
		t.Errorf("told %d when it comes again, want %d", len(first.Invalidations), pendingBatches+1)
	}
}

func TestTheOldestWatcherOfACallerGivesWay(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	other, _ := w.watch(t, Watch{Cluster: c, Caller: "other"})
	var own []*Watcher
	for range watchersPerCaller + 1 {
		watcher, _ := w.watch(t, Watch{Cluster: c, Caller: "node"})
		own = append(own, watcher)
	}
	for i, watcher := range append(own, other) {
		got, want := told(watcher), 0
		if i == 0 {
			want = 1 // the end
		}
		if len(got) != want {
			t.Errorf("watcher %d: %v", i, got)
		}
		watcher.Close()
	}
	if f := w.feed; f.count != 0 || len(f.clusters)+len(f.callers)+len(f.pending) != 0 {
		t.Errorf("something is left of watchers that are closed: %+v", f)
	}
}

func TestTooManyAtOnceAreARecheck(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	place := w.Position()
	watcher, _ := w.watch(t, Watch{Cluster: c, Caller: "n", After: place})
	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
		for i := range maxInvalidations + 1 {
			target := Target{ByPod, c.ID + "/ns/" + fmt.Sprint(i)}
			if err := w.revocations.Put(tx, target.key(), &Revocation{Target: target, Account: one}); err != nil {
				return err
			}
		}
		return nil
	}))
	if got := told(watcher); len(got) != 1 || got[0].Kind != "recheck" {
		t.Errorf("told %d, want one recheck", len(got))
	}
	if _, first := w.watch(t, Watch{Cluster: c, Caller: "n", After: place}); !first.Recheck {
		t.Error("who was away is told of them one by one")
	}
}

func TestARestoreCutsEveryoneOff(t *testing.T) {
	w := fresh(t)
	c := w.join(t, one, "prod")
	watcher, _ := w.watch(t, Watch{Cluster: c, Caller: "n"})
	w.feed.reached("another epoch", 1) // as the store tells it
	if got := told(watcher); len(got) != 1 || got[0].Kind != "cut off" {
		t.Errorf("told %v, want the end", got)
	}
}

// anyOrder compares invalidations whatever their order: within a transaction it is etcd's.
var anyOrder = cmp.Transformer("sorted", func(list []Invalidation) []string {
	texts := []string{}
	for _, i := range list {
		texts = append(texts, string(i.Kind)+" "+i.Value)
	}
	slices.Sort(texts)
	return texts
})
