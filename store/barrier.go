package store

import (
	"context"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// barrierTime bounds a Barrier: the whole EKS Auth call has 800 ms, since AWS's agent gives up at a second.
	barrierTime = 500 * time.Millisecond
	// nudgeTime is how long a copy may be behind before etcd is asked for progress. Only the revisions of others' keys
	// need asking for; events of ours come by themselves.
	nudgeTime = 2 * time.Millisecond
)

// barrier lets one linearizable read be in flight. Whoever comes while it is needs the next one, since that read may
// have been answered before they came; all who come meanwhile share the next.
type barrier struct {
	mu            sync.Mutex
	running, next *flight
}

type flight struct {
	done chan struct{}
	err  error
}

// Barrier returns nil when the copy has everything that was acknowledged anywhere before the call. It costs nothing
// with the sole embedded member, where each write is in the copy before it is acknowledged. After 500 ms, or when etcd
// does not answer, the error is of kind Unavailable.
func (s *Store) Barrier(ctx context.Context) error {
	if s.Following() {
		return fault.New(fault.Unavailable, "a copy that follows a server cannot know what is newest")
	}
	if s.sole() {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if s.broken != nil {
			return fault.Hide(fault.Unavailable, s.broken, "the store does not follow etcd")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, barrierTime)
	defer cancel()
	f := s.board()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fault.Hide(fault.Unavailable, ctx.Err(), "the store does not answer in time")
	}
}

// board returns the flight to wait for.
func (s *Store) board() *flight {
	b := &s.barrier
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		b.running = &flight{done: make(chan struct{})}
		go s.fly(b.running)
		return b.running
	}
	if b.next == nil {
		b.next = &flight{done: make(chan struct{})}
	}
	return b.next
}

// fly reads the revision, lets the next flight start, and waits for the copy.
func (s *Store) fly(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), barrierTime)
	defer cancel()
	answer, err := s.client.Get(ctx, root, clientv3.WithCountOnly())

	b := &s.barrier
	b.mu.Lock()
	if b.running, b.next = b.next, nil; b.running != nil {
		go s.fly(b.running)
	}
	b.mu.Unlock()

	if err == nil {
		err = s.WaitRevision(ctx, answer.Header.Revision)
	} else {
		err = fault.Hide(fault.Unavailable, err, "the store does not answer")
	}
	f.err = err
	close(f.done)
}

// waiter is someone who waits for the copy to have a revision.
type waiter struct {
	revision int64
	reached  chan struct{}
}

// Reach is WaitRevision for what another copy has had; of another history there is nothing to wait for. The sole member's copy has
// whatever was acknowledged: what it lacks was lost with a restore, and would be waited for in vain.
func (s *Store) Reach(ctx context.Context, p Position) error {
	switch {
	case p.Epoch != s.Epoch():
		return nil
	case s.sole() && p.Revision > s.Revision():
		return fault.Hide(fault.Unavailable, s.renewEpoch(ctx, p.Epoch), "the server was restored to an earlier state: try again")
	}
	return s.WaitRevision(ctx, p.Revision)
}

// WaitRevision returns nil once the copy has the revision, and an error of kind Unavailable when ctx ends first.
func (s *Store) WaitRevision(ctx context.Context, revision int64) error {
	if s.Revision() >= revision {
		return nil
	}
	w := waiter{revision: revision, reached: make(chan struct{})}
	s.mu.Lock()
	if s.Revision() >= revision {
		s.mu.Unlock()
		return nil
	}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()

	nudge := time.NewTimer(nudgeTime)
	defer nudge.Stop()
	for wait := nudgeTime; ; {
		select {
		case <-w.reached:
			return nil
		case <-nudge.C:
			s.requestProgress(ctx)
			wait = min(2*wait, 50*time.Millisecond)
			nudge.Reset(wait)
		case <-ctx.Done():
			s.mu.Lock()
			s.waiting = slices.DeleteFunc(s.waiting, func(other waiter) bool { return other == w })
			s.mu.Unlock()
			return fault.Hide(fault.Unavailable, ctx.Err(), "this replica does not have the latest changes yet")
		}
	}
}

// advance makes the revision that of the copy and wakes who waited for it; under the lock.
func (s *Store) advance(revision int64) {
	if revision > s.Revision() {
		s.revision.Store(revision)
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiter) bool {
		if w.revision > s.Revision() {
			return false
		}
		close(w.reached)
		return true
	})
}
