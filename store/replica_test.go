package store

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/openlanyard/lanyard/fault"
)

// holdableWatch is the real watch behind a gate. While the gate is locked, nothing that etcd reports comes through.
type holdableWatch struct {
	clientv3.Watcher
	gate sync.Mutex
	cut  atomic.Pointer[context.CancelFunc]
}

func (h *holdableWatch) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	h.gate.Lock()
	defer h.gate.Unlock()
	inner, cut := context.WithCancel(ctx)
	h.cut.Store(&cut)
	answers := h.Watcher.Watch(inner, key, opts...)
	passed := make(chan clientv3.WatchResponse)
	go func() {
		defer close(passed)
		for answer := range answers {
			h.pass(ctx, passed, answer)
		}
	}()
	return passed
}

func (h *holdableWatch) pass(ctx context.Context, passed chan<- clientv3.WatchResponse, answer clientv3.WatchResponse) {
	h.gate.Lock()
	defer h.gate.Unlock()
	select {
	case passed <- answer:
	case <-ctx.Done():
	}
}

// hold keeps back what etcd reports until release is called or the test ends.
func (h *holdableWatch) hold(t testing.TB) (release func()) {
	h.gate.Lock()
	release = sync.OnceFunc(h.gate.Unlock)
	t.Cleanup(release)
	return release
}

// clock is a time that the test moves.
type clock struct{ past atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(c.past.Load())) }

// replicas are two stores on one separate etcd process. The second one's watch can be held back, and its clock moved.
type replicas struct {
	etcd        *child
	first       *notebook
	second      *notebook
	secondWatch *holdableWatch
	secondClock *clock
}

func startReplicas(t testing.TB) *replicas {
	t.Helper()
	r := &replicas{etcd: startChild(t, "etcd", filepath.Join(t.TempDir(), "etcd")), secondClock: &clock{}}
	config := Config{Endpoints: r.etcd.line(t, "address"), MasterKey: NewMasterKey()}
	r.first = open(t, config)

	config.Now = r.secondClock.now
	s, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r.second = declare(s)
	r.secondWatch = &holdableWatch{Watcher: s.client.Watcher}
	s.client.Watcher = r.secondWatch
	return r
}

func (r *replicas) startSecond(t testing.TB) {
	t.Helper()
	if err := r.second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// barrier calls the second's Barrier in the background.
func (r *replicas) barrier(ctx context.Context) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- r.second.Barrier(ctx) }()
	return answer
}

func TestBarrier(t *testing.T) {
	r := startReplicas(t)
	r.first.put(t, "old", &note{})
	r.startSecond(t)
	if err := r.second.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.second.has(t, "old", true)
	if r.first.Epoch() != r.second.Epoch() {
		t.Errorf("epochs: got %q and %q, want one", r.first.Epoch(), r.second.Epoch())
	}

	t.Run("a held watch is waited for", func(t *testing.T) {
		release := r.secondWatch.hold(t)
		r.first.remove(t, "old")
		r.first.put(t, "new", &note{})
		r.second.has(t, "old", true) // else the test holds nothing back
		answer := r.barrier(t.Context())
		release()
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		r.second.has(t, "old", false)
		r.second.has(t, "new", true)
	})

	t.Run("a stuck watch is unavailable", func(t *testing.T) {
		release := r.secondWatch.hold(t)
		r.first.remove(t, "new")
		answers := []<-chan error{r.barrier(t.Context()), r.barrier(t.Context()), r.barrier(t.Context())}
		for _, answer := range answers {
			if err := <-answer; !fault.Is(err, fault.Unavailable) {
				t.Errorf("got %v, want Unavailable", err)
			}
		}
		r.second.has(t, "new", true)
		release()
		if err := r.second.Barrier(t.Context()); err != nil {
			t.Errorf("released: got %v, want nil", err)
		}
		r.second.has(t, "new", false)
	})

	t.Run("keys of others in the same etcd do not hold it up", func(t *testing.T) {
		if _, err := r.first.client.Put(t.Context(), "/other/key", "x"); err != nil {
			t.Fatal(err)
		}
		if err := r.second.Barrier(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})

	t.Run("a write through either is a conflict for the other", func(t *testing.T) {
		inParallel(t, 8, func(i int) error {
			book := []*notebook{r.first, r.second}[i%2]
			for range 5 {
				if err := book.increment(t.Context(), "counter"); err != nil {
					return err
				}
			}
			return nil
		})
		if err := r.second.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, _, err := r.second.notes.Get("counter"); err != nil || n.N != 40 {
			t.Errorf("got %+v, %v, want 40", n, err)
		}
	})

	t.Run("a refusal rests on fresh records", func(t *testing.T) {
		release := r.secondWatch.hold(t)
		r.first.put(t, "late", &note{})
		answer := make(chan error, 1)
		go func() {
			answer <- r.second.Update(t.Context(), func(tx *Tx) error {
				if _, ok, err := r.second.notes.Read(tx, "late"); !ok || err != nil {
					return fault.New(fault.NotFound, "no late")
				}
				return r.second.notes.Put(tx, "late", &note{N: 1})
			})
		}()
		release()
		if err := <-answer; err != nil {
			t.Errorf("got %v, want the write", err)
		}
	})
}

func TestAgeAndACutConnection(t *testing.T) {
	r := startReplicas(t)
	r.first.put(t, "x", &note{})
	r.startSecond(t)
	r.secondClock.past.Add(int64(time.Minute))
	if got := r.second.Age(); got != time.Minute {
		t.Errorf("Age after a minute of nothing: got %v, want 1m", got)
	}
	// A revision of another key comes to the watch as progress only.
	answer, err := r.first.client.Put(t.Context(), "/other/key", "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.second.WaitRevision(t.Context(), answer.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if got := r.second.Age(); got != 0 {
		t.Errorf("Age after progress: got %v, want 0", got)
	}

	r.etcd.kill()
	if err := r.second.Barrier(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Barrier without etcd: got %v, want Unavailable", err)
	}
	r.secondClock.past.Add(int64(time.Hour))
	if got := r.second.Age(); got != time.Hour {
		t.Errorf("Age without etcd: got %v, want 1h", got)
	}
	r.second.has(t, "x", true)
	ctx, cancel := context.WithTimeout(t.Context(), barrierTime)
	defer cancel()
	missing := func(tx *Tx) error { return fault.New(fault.NotFound, "no such thing") }
	if err := r.second.Update(ctx, missing); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a refusal without etcd: got %v, want Unavailable and never NotFound", err)
	}
}

func TestAWatchThatLostItsPlaceReadsEverythingAgain(t *testing.T) {
	r := startReplicas(t)
	for _, key := range []string{"gone", "changed", "same"} {
		r.first.put(t, key, &note{Owner: "ann"})
	}
	change := func() int64 {
		r.first.remove(t, "gone")
		r.first.put(t, "changed", &note{Owner: "bob"})
		r.first.put(t, "made", &note{Owner: "ann"})
		return r.first.Revision()
	}
	check := func(t *testing.T, revision int64) {
		t.Helper()
		if err := r.second.WaitRevision(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]bool{"gone": false, "changed": true, "same": true, "made": true} {
			r.second.has(t, key, want)
		}
		if got := len(r.second.byOwner.Get("ann")); got != 2 {
			t.Errorf("index: got %d, want 2", got)
		}
		if err := r.second.Ready(); err != nil {
			t.Errorf("Ready: got %v, want nil", err)
		}
	}

	release := r.secondWatch.hold(t) // the watch begins only when etcd has forgotten where it would
	r.startSecond(t)
	revision := change()
	if _, err := r.first.client.Compact(t.Context(), revision); err != nil {
		t.Fatal(err)
	}
	r.second.has(t, "gone", true)
	release()
	check(t, revision)

	t.Run("and so does one that broke", func(t *testing.T) {
		r.first.put(t, "gone", &note{Owner: "ann"})
		if err := r.second.WaitRevision(t.Context(), r.first.Revision()); err != nil {
			t.Fatal(err)
		}
		(*r.secondWatch.cut.Load())()
		check(t, change())
	})
}

// A restored etcd names its history as before, and its revisions begin again below what is known. Who has heard of the lost ones must
// not take those that come in their place for known.
func TestARestoreGivesAnotherEpoch(t *testing.T) {
	r := startReplicas(t)
	r.startSecond(t)
	r.first.put(t, "x", &note{})
	before, kept := r.second.Epoch(), r.first.Revision()
	if err := r.second.WaitRevision(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	cutWatch := *r.secondWatch.cut.Load()
	r.second.mu.Lock()
	r.second.revision.Store(kept + 100) // that etcd has lost
	r.second.mu.Unlock()
	cutWatch()
	for tick := time.NewTicker(time.Millisecond); r.second.Epoch() == before || r.first.Epoch() != r.second.Epoch(); <-tick.C {
		if t.Context().Err() != nil {
			t.Fatalf("epoch %q of the first and %q of the second, which was %q: want another one of both", r.first.Epoch(), r.second.Epoch(), before)
		}
	}
	if got := r.second.Revision(); got >= kept+100 {
		t.Errorf("revision %d is still the lost one", got)
	}
	r.first.put(t, "y", &note{})
	if err := r.second.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.second.has(t, "y", true)
}
