package registry

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
)

func TestClusterKeysAreChecked(t *testing.T) {
	w := fresh(t)
	w.join(t, one, "prod")
	key := newKey(t, "k")
	repeated := func(s string, n int) []string {
		return strings.Split(strings.TrimSuffix(strings.Repeat(s+" ", n), " "), " ")
	}
	for _, test := range []struct {
		name    string
		issuers []string
		keys    int
		want    fault.Kind
	}{
		{"one of each", []string{issuer}, 1, accepted},
		{"eight issuers", repeated(issuer, 8), 1, accepted},
		{"nine", repeated(issuer, 9), 1, fault.Invalid},
		{"none", nil, 1, fault.Invalid},
		{"an issuer without a scheme", []string{"oidc.example.com/id"}, 1, fault.Invalid},
		{"an issuer of 256 characters", []string{"https://" + strings.Repeat("a", 248)}, 1, fault.Invalid},
		{"no key", []string{issuer}, 0, fault.Invalid},
		{"33 keys", []string{issuer}, 33, fault.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			var keys []podtoken.Key
			for range test.keys {
				keys = append(keys, key)
			}
			_, err := w.PutClusterKeys(t.Context(), one, "prod", test.issuers, keys)
			wants(t, "PutClusterKeys", err, test.want)
		})
	}
}

// ids returns the names of the keys that verify the cluster's tokens now.
func (w *world) ids(t testing.TB, account, name string) string {
	t.Helper()
	c, err := w.Cluster(account, name)
	must(t, err)
	var ids []string
	for _, k := range c.KeySet(w.clock.now()).Keys {
		ids = append(ids, k.ID)
	}
	return strings.Join(ids, " ")
}

// The generations matter: a verified token must not outlive its key in the verifier's memory.
func TestAKeyThatIsNoLongerListedLingersForADay(t *testing.T) {
	w := fresh(t)
	a, b, c := newKey(t, "a"), newKey(t, "b"), newKey(t, "c")
	w.join(t, one, "prod", a)
	put := func(keys ...podtoken.Key) *Cluster {
		t.Helper()
		got, err := w.PutClusterKeys(t.Context(), one, "prod", []string{issuer}, keys)
		must(t, err)
		return got
	}
	check := func(when, want string) {
		t.Helper()
		if got := w.ids(t, one, "prod"); got != want {
			t.Errorf("%s: got keys %q, want %q", when, got, want)
		}
	}
	put(a, b)
	check("one more", "a b")
	put(b)
	check("a is no longer listed", "b a")
	w.clock.pass(time.Hour)
	put(c)
	check("b, an hour later", "c b a")
	w.clock.pass(23*time.Hour - time.Second)
	check("a second before its day is over", "c b a")
	full, err := w.Cluster(one, "prod")
	must(t, err)
	all := full.KeySet(w.clock.now())
	w.clock.pass(time.Second)
	check("a day after it was listed", "c b")
	withoutA := full.KeySet(w.clock.now())
	w.clock.pass(time.Hour)
	check("a day after b", "c")
	withoutB := full.KeySet(w.clock.now())
	if all.Generation == withoutA.Generation || withoutA.Generation == withoutB.Generation {
		t.Errorf("generations: got %d, %d, %d, want each list to have its own", all.Generation, withoutA.Generation, withoutB.Generation)
	}
	put(c, a)
	check("a is back", "c a")
	w.clock.pass(100 * time.Hour)
	check("and stays", "c a")
	if got := put(c, a); len(got.Keys) != 2 {
		t.Errorf("stored keys: got %d, want those that left forgotten", len(got.Keys))
	}
}

func TestLingeringKeysAreBounded(t *testing.T) {
	w := fresh(t)
	w.join(t, one, "prod")
	put := func(n int) error {
		keys := make([]podtoken.Key, n)
		for i := range keys {
			keys[i] = newKey(t, fmt.Sprint("k-", w.clock.now().Unix(), "-", i))
		}
		_, err := w.PutClusterKeys(t.Context(), one, "prod", []string{issuer}, keys)
		return err
	}
	for _, step := range []struct {
		after time.Duration
		n     int
		want  fault.Kind
	}{{time.Second, 32, accepted}, {time.Second, 31, accepted}, {time.Second, 1, fault.Limit}, {25 * time.Hour, 32, accepted}} {
		w.clock.pass(step.after)
		wants(t, fmt.Sprintf("%d other keys, %v later", step.n, step.after), put(step.n), step.want)
	}
}

// Who waits for a newer list is served by one that is confirmed unchanged.
func TestConfirmingTheListCountsAsNews(t *testing.T) {
	w := fresh(t)
	before := w.join(t, one, "prod")
	w.clock.pass(time.Minute)
	after, err := w.PutClusterKeys(t.Context(), one, "prod", []string{issuer}, []podtoken.Key{before.Keys[0].Key})
	must(t, err)
	if !after.Confirmed.Equal(w.clock.now()) || before.Confirmed.Equal(after.Confirmed) {
		t.Errorf("confirmed: got %v, want %v", after.Confirmed, w.clock.now())
	}
}

func TestAKeyOfAnotherClusterOfTheAccountIsRefused(t *testing.T) {
	w := fresh(t)
	shared, other := newKey(t, "shared"), newKey(t, "other")
	renamed := shared
	renamed.ID = "renamed"
	w.join(t, one, "prod", shared)
	w.join(t, one, "test", other)
	put := func(account, name string, k podtoken.Key) error {
		_, err := w.PutClusterKeys(t.Context(), account, name, []string{issuer}, []podtoken.Key{k})
		return err
	}
	wants(t, "the other's key", put(one, "test", shared), fault.Exists)
	wants(t, "the other's key by another name", put(one, "test", renamed), fault.Exists)
	_, err := w.ActivateCluster(t.Context(), w.register(t, one, "third").Activation.ID, Joining{Issuers: []string{issuer}, Keys: []podtoken.Key{shared}})
	wants(t, "to join with the other's key", err, fault.Exists)
	wants(t, "its own key by another name", put(one, "prod", renamed), accepted)
	if diff := cmp.Diff("renamed", w.ids(t, one, "prod")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}

	w.join(t, two, "prod", newKey(t, "k"))
	wants(t, "another account's key", put(two, "prod", shared), accepted)

	wants(t, "a new key", put(one, "prod", newKey(t, "next")), accepted)
	wants(t, "the other's key that lingers", put(one, "test", shared), fault.Exists)
	_, err = w.DeregisterCluster(t.Context(), one, "prod")
	must(t, err)
	wants(t, "the key of a cluster that is gone", put(one, "test", shared), accepted)
}

func TestOfTwoClustersThatBringOneKeyAtOnceOneIsRefused(t *testing.T) {
	w := fresh(t)
	for range 5 {
		key := newKey(t, "k")
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i, name := range []string{"a", "b"} {
			activation := w.register(t, one, name).Activation.ID
			both.Go(func() {
				_, errs[i] = w.ActivateCluster(t.Context(), activation, Joining{Issuers: []string{issuer}, Keys: []podtoken.Key{key}})
			})
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Errorf("got %v and %v, want one refused", errs[0], errs[1])
		}
		for _, name := range []string{"a", "b"} {
			_, err := w.DeregisterCluster(t.Context(), one, name)
			must(t, err)
		}
	}
}
