package keyring

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

const (
	one = "111122223333"
	two = "444455556666"
)

// clock is a time that the test moves.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Unix(1_795_000_000, 0).UTC().Add(time.Duration(c.past.Load()))
}
func (c *clock) pass(by time.Duration) { c.past.Add(int64(by)) }

// world is one replica's keyring with its store and clock.
type world struct {
	*Keyring
	store *store.Store
	clock *clock
}

// open starts a keyring in the folder and closes it with the test.
func open(t testing.TB, dir string, master store.MasterKey) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: master})
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	w := &world{New(st, slog.New(slog.DiscardHandler), c.now), st, c}
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

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hear writes the heartbeat of another replica: how long ago, and which revision its copy had reached.
func (w *world) hear(t testing.TB, name string, ago time.Duration, revision int64) {
	t.Helper()
	seen := &replica{Seen: w.clock.now().Add(-ago), Revision: revision}
	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error { return w.replicas.Put(tx, name, seen) }))
}

// states counts a scope's keys by state.
func (w *world) states(t testing.TB, scope string) map[State]int {
	t.Helper()
	keys, err := w.Keys(scope)
	must(t, err)
	count := map[State]int{}
	for _, k := range keys {
		count[k.State]++
	}
	return count
}

// mint makes a session of an account with the keys of now.
func (w *world) mint(t testing.TB, account string) session.Credentials {
	t.Helper()
	sealing, mac, err := w.Sealing(t.Context(), account)
	must(t, err)
	now := w.clock.now()
	c, err := session.Mint(&session.Session{Account: account, RoleID: "AROA1", Name: "s", Issued: now, Expires: now.Add(12 * time.Hour)}, sealing, mac)
	must(t, err)
	return c
}
