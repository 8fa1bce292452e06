package keyring

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

func TestOfManyFirstCallersOneMakesTheKeys(t *testing.T) {
	w := fresh(t)
	const callers = 16
	var got [callers][2]session.Key
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			var err error
			if got[i][0], got[i][1], err = w.Sealing(t.Context(), one); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range callers {
		if got[i] != got[0] {
			t.Errorf("caller %d: got other keys than the first", i)
		}
	}
	for _, scope := range []string{one, server} {
		if diff := cmp.Diff(map[State]int{Current: 1}, w.states(t, scope)); diff != "" {
			t.Errorf("keys of %s (-want +got):\n%s", scope, diff)
		}
	}
	if got[0][0].Secret == got[0][1].Secret || got[0][0].Secret == [32]byte{} {
		t.Error("the account's and the server's secrets: want two that are not empty")
	}
}

func TestEachAccountHasItsOwnKey(t *testing.T) {
	w := fresh(t)
	first, mac, err := w.Sealing(t.Context(), one)
	must(t, err)
	second, sameMAC, err := w.Sealing(t.Context(), two)
	must(t, err)
	if first.Secret == second.Secret || first.ID == second.ID {
		t.Error("two accounts share a key")
	}
	if mac != sameMAC {
		t.Error("the server's key differs by account")
	}
	ring := w.Ring()
	for _, test := range []struct {
		name, account string
		id            session.KeyID
		want          bool
	}{
		{"an account's key", one, first.ID, true},
		{"another account's key", one, second.ID, false},
		{"the server's key as an account's", one, mac.ID, false},
		{"the server as an account", server, mac.ID, false},
		{"an account without keys", "999900001111", first.ID, false},
	} {
		if _, ok, err := ring.Account(test.account, test.id); ok != test.want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", test.name, ok, err, test.want)
		}
	}
	if _, ok, err := ring.Server(mac.ID); !ok || err != nil {
		t.Errorf("the server's key is not found: %v", err)
	}
	if _, ok, err := ring.Server(first.ID); ok || err != nil {
		t.Errorf("an account's key as the server's: got %v, %v, want none", ok, err)
	}
}

func TestKeysSurviveARestart(t *testing.T) {
	dir, master := folder(t), store.NewMasterKey()
	w := open(t, dir, master)
	c := w.mint(t, one)
	must(t, w.Rotate(t.Context()))
	w.hear(t, "other", 0, 17)
	before, err := w.Keys("")
	must(t, err)
	heard, err := w.replicas.List("", "", 0)
	must(t, err)
	must(t, w.store.Close())

	again := open(t, dir, master)
	after, err := again.Keys("")
	must(t, err)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	heardAgain, err := again.replicas.List("", "", 0)
	must(t, err)
	if diff := cmp.Diff(heard, heardAgain); diff != "" {
		t.Errorf("replicas (-want +got):\n%s", diff)
	}
	if _, err := session.Open(again.Ring(), c.AccessKeyID, c.SessionToken); err != nil {
		t.Errorf("a session of before: got %v, want it open", err)
	}
}

// A key of a version to come may be the current one: another one beside it would be wrong.
func TestKeysOfAnUnknownVersionAreRefused(t *testing.T) {
	dir, master := folder(t), store.NewMasterKey()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: master})
	must(t, err)
	later := store.NewTable(st, "sealingkey", store.Codec[string]{
		Version: 2,
		Encode:  func(_ *store.Sealer, _ string, v string) ([]byte, error) { return []byte(v), nil },
		Decode:  func(_ *store.Sealer, _ string, _ int, data []byte) (string, error) { return string(data), nil },
	})
	must(t, st.Start(t.Context()))
	must(t, st.Update(t.Context(), func(tx *store.Tx) error { return later.Put(tx, recordKey(one, session.KeyID{1}), "{}") }))
	must(t, st.Close())

	w := open(t, dir, master)
	if err := w.store.Ready(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Ready: got %v, want Unavailable", err)
	}
	if _, _, err := w.Sealing(t.Context(), one); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Sealing: got %v, want Unavailable", err)
	}
	if _, ok, err := w.Ring().Account(one, session.KeyID{1}); ok || !fault.Is(err, fault.Unavailable) {
		t.Errorf("Ring: got a key: %v, %v, want Unavailable: a session of that key is not unknown", ok, err)
	}
	if _, _, err := w.Sealing(t.Context(), two); err != nil {
		t.Errorf("Sealing of another account: got %v, want a key", err)
	}
}
