package keyring

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
)

// check holds the states of an account's keys.
func (w *world) check(t *testing.T, when string, want map[State]int) {
	t.Helper()
	if diff := cmp.Diff(want, w.states(t, one)); diff != "" {
		t.Errorf("%s: states (-want +got):\n%s", when, diff)
	}
}

func TestAKeyGoesFromNextToCurrentToRetired(t *testing.T) {
	w := fresh(t)
	old := w.mint(t, one)
	before, _, err := w.Sealing(t.Context(), one)
	must(t, err)

	must(t, w.Rotate(t.Context()))
	w.check(t, "rotated", map[State]int{Next: 1, Current: 1})
	if now, _, err := w.Sealing(t.Context(), one); err != nil || now != before {
		t.Errorf("a next key seals already: %v", err)
	}
	must(t, w.Rotate(t.Context()))
	w.check(t, "rotated twice", map[State]int{Next: 1, Current: 1})

	w.clock.pass(time.Minute)
	must(t, w.Step(t.Context()))
	w.check(t, "stepped", map[State]int{Current: 1, Retired: 1})
	now, _, err := w.Sealing(t.Context(), one)
	must(t, err)
	if now.ID == before.ID {
		t.Error("the former key seals still")
	}
	keys, err := w.Keys(one)
	must(t, err)
	for _, k := range keys {
		if !k.Since.Equal(w.clock.now()) {
			t.Errorf("%s: since %v, want %v", k.State, k.Since, w.clock.now())
		}
	}

	w.clock.pass(Keep)
	must(t, w.Step(t.Context()))
	w.check(t, "37 h later", map[State]int{Current: 1, Retired: 1})
	if _, err := session.Open(w.Ring(), old.AccessKeyID, old.SessionToken); err != nil {
		t.Errorf("37 h after its key was retired: got %v, want the session open", err)
	}
	w.clock.pass(time.Second)
	must(t, w.Step(t.Context()))
	w.check(t, "and a second", map[State]int{Current: 1})
	if _, err := session.Open(w.Ring(), old.AccessKeyID, old.SessionToken); !fault.Is(err, fault.UnknownKey) {
		t.Errorf("a second later: got %v, want UnknownKey", err)
	}
}

func TestAnOldKeyGetsASuccessorByItself(t *testing.T) {
	w := fresh(t)
	w.mint(t, one)
	w.clock.pass(MaxAge - time.Second)
	must(t, w.Step(t.Context()))
	w.check(t, "a second before 30 days", map[State]int{Current: 1})
	w.clock.pass(time.Second)
	must(t, w.Step(t.Context()))
	w.check(t, "30 days", map[State]int{Next: 1, Current: 1})
	must(t, w.Step(t.Context())) // whose heartbeat says that this replica, too, has the key
	w.check(t, "a step later", map[State]int{Current: 1, Retired: 1})
}

func TestPromotionWaitsForEveryLiveReplica(t *testing.T) {
	for _, test := range []struct {
		name string
		hear func(t *testing.T, w *world, made int64)
		want bool
	}{
		{"no other", func(*testing.T, *world, int64) {}, true},
		{"one that has the key", func(t *testing.T, w *world, made int64) { w.hear(t, "other", 0, made) }, true},
		{"one that has not", func(t *testing.T, w *world, made int64) { w.hear(t, "other", 0, made-1) }, false},
		{"one that has not, heard 60 s ago", func(t *testing.T, w *world, made int64) { w.hear(t, "other", Alive, made-1) }, false},
		{"a dead one that has not", func(t *testing.T, w *world, made int64) { w.hear(t, "other", Alive+time.Second, made-1) }, true},
		{"one that has, and one that has not", func(t *testing.T, w *world, made int64) {
			w.hear(t, "a", 0, made)
			w.hear(t, "b", 0, made-1)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := fresh(t)
			w.mint(t, one)
			must(t, w.Rotate(t.Context()))
			entries, err := w.keys.List(one+"/", "", 0)
			must(t, err)
			var made int64
			for _, e := range entries {
				if e.Value.State == Next {
					made = e.Created
				}
			}
			test.hear(t, w, made)
			must(t, w.Step(t.Context()))
			if got := w.states(t, one)[Retired] == 1; got != test.want {
				t.Errorf("promoted: got %v, want %v", got, test.want)
			}
			w.hear(t, "other", 0, w.store.Revision())
			w.hear(t, "b", 0, w.store.Revision())
			must(t, w.Step(t.Context()))
			if w.states(t, one)[Retired] != 1 {
				t.Error("not promoted once all have it")
			}
		})
	}
}

func TestADeadReplicaIsForgotten(t *testing.T) {
	w := fresh(t)
	w.hear(t, "dead", Alive+time.Second, 1)
	w.hear(t, "live", Alive, 1)
	must(t, w.Step(t.Context()))
	for name, want := range map[string]bool{"dead": false, "live": true, w.replica: true} {
		if _, got, err := w.replicas.Get(name); err != nil || got != want {
			t.Errorf("replica %s: got %v, %v, want %v", name, got, err, want)
		}
	}
}

func TestOfManyRotationsAtOnceOneMakesTheNextKey(t *testing.T) {
	w := fresh(t)
	w.mint(t, one)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := w.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.check(t, "rotated eight times at once", map[State]int{Next: 1, Current: 1})
	for range 4 { // and many steps at once leave one current key
		all.Go(func() {
			if err := w.Step(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.check(t, "stepped four times at once", map[State]int{Current: 1, Retired: 1})
}

// While keys are rotated again and again, every session that is minted opens, at once and at the end.
func TestRotationUnderLoadRefusesNoSession(t *testing.T) {
	w := fresh(t)
	w.mint(t, one)
	w.mint(t, two)
	ring := w.Ring()
	done := make(chan struct{})
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			account := []string{one, two}[i%2]
			var minted []session.Credentials
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
				}
				sealing, mac, err := w.Sealing(t.Context(), account)
				if err != nil {
					t.Errorf("Sealing: %v", err)
					return
				}
				now := w.clock.now()
				s := &session.Session{Account: account, Name: "s", Issued: now, Expires: now.Add(12 * time.Hour)}
				c, err := session.Mint(s, sealing, mac)
				if err != nil {
					t.Errorf("Mint: %v", err)
					return
				}
				if _, err := session.Open(ring, c.AccessKeyID, c.SessionToken); err != nil {
					t.Errorf("a session minted just now: %v", err)
					return
				}
				if len(minted) < 500 {
					minted = append(minted, c)
				}
			}
			for _, c := range minted {
				if _, err := session.Open(ring, c.AccessKeyID, c.SessionToken); err != nil {
					t.Errorf("a session minted earlier: %v", err)
					return
				}
			}
		})
	}
	const rotations = 12
	for range rotations { // 12 h in all, as long as the longest session of a role
		w.clock.pass(time.Hour)
		if err := w.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
		if err := w.Step(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	load.Wait()
	if got := w.states(t, one); got[Retired] != rotations {
		t.Errorf("states: got %v, want %d retired: the test rotated nothing", got, rotations)
	}
}
