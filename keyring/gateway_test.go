package keyring

import (
	"fmt"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
)

// confirm is what a gateway reports.
func (w *world) confirm(t testing.TB, account, name string, revision int64, epoch string) {
	t.Helper()
	must(t, w.Confirm(t.Context(), Gateway{Account: account, Name: name, Instance: name + "instance", Revision: revision}, epoch))
}

func TestPromotionWaitsForEveryLiveGatewayOfTheAccount(t *testing.T) {
	for _, test := range []struct {
		name string
		hear func(t *testing.T, w *world, made int64)
		want bool
	}{
		{"one that has the key", func(t *testing.T, w *world, made int64) { w.confirm(t, one, "a", made, w.store.Epoch()) }, true},
		{"one that has not", func(t *testing.T, w *world, made int64) { w.confirm(t, one, "a", made-1, w.store.Epoch()) }, false},
		{"one that has, and one that has not", func(t *testing.T, w *world, made int64) {
			w.confirm(t, one, "a", made, w.store.Epoch())
			w.confirm(t, one, "b", made-1, w.store.Epoch())
		}, false},
		{"one that has not, of another account", func(t *testing.T, w *world, made int64) { w.confirm(t, two, "a", made-1, w.store.Epoch()) }, true},
		{"one that has a revision of another epoch", func(t *testing.T, w *world, made int64) { w.confirm(t, one, "a", made+100, "former") }, false},
		{"one that has not, heard 60 s ago", func(t *testing.T, w *world, made int64) {
			w.confirm(t, one, "a", made-1, w.store.Epoch())
			w.clock.pass(Alive)
		}, false},
		{"a dead one that has not", func(t *testing.T, w *world, made int64) {
			w.confirm(t, one, "a", made-1, w.store.Epoch())
			w.clock.pass(Alive + time.Second)
		}, true},
		{"one that said so a moment after it had not", func(t *testing.T, w *world, made int64) {
			w.confirm(t, one, "a", made-1, w.store.Epoch())
			w.confirm(t, one, "a", made, w.store.Epoch())
		}, true},
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
			must(t, w.Step(t.Context()))
			if got := w.states(t, one)[Retired] == 1; got != test.want {
				t.Errorf("promoted: got %v, want %v", got, test.want)
			}
		})
	}
}

// Who may report for gateways by any name fills nobody's state with them, and those that are known go on.
func TestGatewaysAreBounded(t *testing.T) {
	w := fresh(t)
	for i := range maxGateways {
		w.confirm(t, one, fmt.Sprintf("gw-%d", i), 1, w.store.Epoch())
	}
	if err := w.Confirm(t.Context(), Gateway{Account: one, Name: "new", Instance: "newinstance", Revision: 1}, w.store.Epoch()); !fault.Is(err, fault.Limit) {
		t.Errorf("one more: got %v, want Limit", err)
	}
	w.confirm(t, one, "gw-7", 2, w.store.Epoch())
	w.confirm(t, two, "new", 2, w.store.Epoch())
	w.clock.pass(Alive + time.Second) // those are dead
	must(t, w.Step(t.Context()))
	w.confirm(t, one, "new", 2, w.store.Epoch())
}

func TestAGatewayIsWrittenDownNotEachTime(t *testing.T) {
	w := fresh(t)
	w.confirm(t, one, "a", 1, w.store.Epoch())
	before := w.store.Revision()
	w.clock.pass(Heartbeat - time.Second)
	w.confirm(t, one, "a", before, w.store.Epoch())
	if w.store.Revision() != before {
		t.Error("a report that says nothing new was written")
	}
	w.clock.pass(time.Second)
	w.confirm(t, one, "a", before, w.store.Epoch())
	if w.store.Revision() == before {
		t.Error("a report after ten seconds was not written")
	}
}

func TestGatewaysListsTheAccountsLiveOnes(t *testing.T) {
	w := fresh(t)
	w.confirm(t, one, "dead", 1, w.store.Epoch())
	w.clock.pass(Alive + time.Second)
	w.confirm(t, one, "live", 1, w.store.Epoch())
	w.confirm(t, two, "other", 1, w.store.Epoch())
	live, err := w.Gateways(one)
	must(t, err)
	if len(live) != 1 || live[0].Name != "live" || !live[0].Seen.Equal(w.clock.now()) {
		t.Errorf("got %+v, want the live one alone", live)
	}
	must(t, w.Step(t.Context()))
	if n := w.gateways.Count(""); n != 2 {
		t.Errorf("%d gateways are kept, want the dead one forgotten", n)
	}
}

// The ring of a gateway checks the seal. It has nothing to check the MAC with.
func TestGatewayRing(t *testing.T) {
	w := fresh(t)
	c := w.mint(t, one)
	ring := w.GatewayRing()
	if ring.Server != nil {
		t.Error("the ring of a gateway knows server keys")
	}
	if _, err := session.Open(ring, c.AccessKeyID, c.SessionToken); err != nil {
		t.Errorf("got %v, want the session open", err)
	}
	if _, ok, err := ring.Account(server, session.KeyID{}); ok || err != nil {
		t.Errorf("the server's scope as an account: got a key: %v, %v, want none", ok, err)
	}
}

// A name is one process's: another one has to wait until it is gone.
func TestANameIsOneGatewaysAtATime(t *testing.T) {
	w := fresh(t)
	report := func(account, name, instance string) error {
		return w.Confirm(t.Context(), Gateway{Account: account, Name: name, Instance: instance, Revision: 1}, w.store.Epoch())
	}
	check := func(when string, err error, free bool) {
		t.Helper()
		if free != (err == nil) || err != nil && !fault.Is(err, fault.Exists) {
			t.Errorf("%s: got %v, want it free: %v", when, err, free)
		}
	}
	check("the first", report(one, "a", "first"), true)
	check("a second", report(one, "a", "second"), false)
	check("the first again", report(one, "a", "first"), true)
	check("another name", report(one, "ab", "second"), true)
	check("another account's", report(two, "a", "second"), true)
	w.clock.pass(silent)
	check("a second, while the first may be late", report(one, "a", "second"), false)
	w.clock.pass(time.Second)
	check("a second, after the first died", report(one, "a", "second"), true)
	check("the first, which was only away", report(one, "a", "first"), false)
	must(t, w.Leave(t.Context(), Gateway{Account: one, Name: "a", Instance: "second"}))
	check("a third, after the second left", report(one, "a", "third"), true)
	must(t, w.Leave(t.Context(), Gateway{Account: one, Name: "a", Instance: "nobody"}))
	check("a fourth, after somebody else left", report(one, "a", "fourth"), false)
}
