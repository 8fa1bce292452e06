package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// metaTable holds the store's own records.
	metaTable = "store"
	epochPath = root + metaTable + "/epoch"
	// progressTime is how often etcd is asked whether the copy is up to date. Its own notifications come every ten
	// minutes, and five seconds decide whether a hit may be served without a barrier.
	progressTime = time.Second
	// retryTime is the pause before a broken watch is set up again.
	retryTime = 100 * time.Millisecond
)

// establishEpoch makes the epoch if this is the first start. It is sealed, so that a store is not started with another
// master key than its own: every secret would fail to open, one at a time.
func (s *Store) establishEpoch(ctx context.Context) error {
	answer, err := s.putEpoch(ctx, clientv3.Compare(clientv3.CreateRevision(epochPath), "=", 0))
	if err != nil {
		return fault.Hide(fault.Unavailable, err, "the store does not answer")
	}
	if answer.Succeeded {
		s.log.Info("made a new store")
	}
	return nil
}

// renewEpoch gives a history that has lost revisions, as a restored one has, another name, unless that was just done: who knows of the
// lost ones would take those that come in their place for known. The watch then has everything read again. It always returns an error.
func (s *Store) renewEpoch(ctx context.Context, former string) error {
	answer, err := s.client.Get(ctx, epochPath)
	if err != nil || len(answer.Kvs) == 0 {
		return errors.Join(errRestored, err)
	}
	named := answer.Kvs[0]
	if epoch, err := s.openEpoch(named.Value); err != nil || epoch != former {
		return errors.Join(errRestored, err)
	}
	s.log.Warn("the store was restored: its history gets another name")
	_, err = s.putEpoch(ctx, clientv3.Compare(clientv3.ModRevision(epochPath), "=", named.ModRevision))
	return errors.Join(errRestored, err)
}

// putEpoch writes a new name of the history, if what is said of the record of the former one is so.
func (s *Store) putEpoch(ctx context.Context, so clientv3.Cmp) (*clientv3.TxnResponse, error) {
	made := (&Sealer{master: s.master, table: metaTable}).Seal("epoch", []byte(rand.Text()))
	return s.client.Txn(ctx).If(so).Then(clientv3.OpPut(epochPath, string(made))).Commit()
}

var errRestored = errors.New("the store was restored")

func (s *Store) openEpoch(value []byte) (string, error) {
	epoch, err := (&Sealer{master: s.master, table: metaTable}).Open("epoch", value)
	if err != nil {
		return "", fault.New(fault.Invalid, "the master key is not the one of this store: %w", err)
	}
	return string(epoch), nil
}

// load makes the copy what etcd has: it reads all, decodes what the copy does not have in that revision, and puts it
// in at once. It serves the start and a watch that has lost its place.
func (s *Store) load(ctx context.Context) error {
	answer, err := s.client.Get(ctx, root, clientv3.WithPrefix())
	if err != nil {
		return fault.Hide(fault.Unavailable, err, "the store does not answer")
	}
	epoch := ""
	for _, kv := range answer.Kvs {
		if string(kv.Key) != epochPath {
			continue
		}
		if epoch, err = s.openEpoch(kv.Value); err != nil {
			return err
		}
	}
	if epoch == "" {
		return fmt.Errorf("the store has lost its record %s", epochPath)
	}
	// After a restore an equal revision says nothing.
	again := s.hasStarted()
	same := again && epoch == s.Epoch()
	if same && answer.Header.Revision < s.Revision() {
		return s.renewEpoch(ctx, epoch)
	}
	changes := make([]func(), len(answer.Kvs))
	onAllProcessors(len(answer.Kvs), func(i int) {
		kv := answer.Kvs[i]
		if path := string(kv.Key); !same || !s.has(path, kv.ModRevision) {
			changes[i] = s.prepare(path, kv.Value, kv.CreateRevision, kv.ModRevision)
		}
	})
	present := map[string]bool{}
	for i := 0; again && i < len(answer.Kvs); i++ {
		present[string(answer.Kvs[i].Key)] = true
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if again {
		s.dropAbsent(present)
	}
	for _, change := range changes {
		if change != nil {
			change()
		}
	}
	if again && epoch != s.epoch {
		s.cutFeeds()
	}
	s.epoch = epoch
	if answer.Header.Revision < s.Revision() {
		s.revision.Store(answer.Header.Revision) // etcd was restored: its history begins again
	}
	s.moved(answer.Header.Revision)
	return nil
}

// onAllProcessors calls do for 0 to n-1, in one run of neighbours for each processor.
func onAllProcessors(n int, do func(i int)) {
	parts := runtime.GOMAXPROCS(0)
	var all sync.WaitGroup
	for part := range parts {
		all.Go(func() {
			for i := n * part / parts; i < n*(part+1)/parts; i++ {
				do(i)
			}
		})
	}
	all.Wait()
}

// dropAbsent takes out of the copy what is not among the paths; under the lock.
func (s *Store) dropAbsent(present map[string]bool) {
	for _, t := range s.tables {
		var gone []string
		t.each(func(key, path string) {
			if !present[path] {
				gone = append(gone, key)
			}
		})
		for _, key := range gone {
			t.drop(key)
		}
	}
	maps.DeleteFunc(s.faulty, func(path string, _ error) bool { return !present[path] })
}

// has reports whether the copy has the record in this revision.
func (s *Store) has(path string, modified int64) bool {
	t, key, ok := s.locate(path)
	if !ok {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return t.revisionOf(key) == modified
}

// locate finds the table that a path belongs to.
func (s *Store) locate(path string) (t table, key string, ok bool) {
	name, key, ok := strings.Cut(strings.TrimPrefix(path, root), "/")
	if !ok {
		return nil, "", false
	}
	t, ok = s.tables[name]
	return t, key, ok
}

// prepare decodes a record outside the lock and returns what puts it into the copy. A table that this program does not
// know is like a record of a newer version: something may be decided there that we would miss.
func (s *Store) prepare(path string, value []byte, created, modified int64) func() {
	if path == epochPath {
		return func() {}
	}
	t, key, ok := s.locate(path)
	if !ok {
		return func() {
			s.faulty[path] = fault.New(fault.Unavailable, "the record %s is of no table that this program knows", path)
		}
	}
	return t.prepare(key, value, created, modified)
}

// moved notes that the copy is up to date at the revision; under the lock.
func (s *Store) moved(revision int64) {
	s.progress.Store(s.now().UnixNano())
	s.broken = nil
	for _, tell := range s.subscribers {
		tell(s.epoch, revision)
	}
	s.advance(revision)
	s.mark(s.Revision())
}

// follow keeps the copy up to date until ctx ends. When the watch breaks, or etcd has compacted what it needed, all
// is read again.
func (s *Store) follow(ctx context.Context) {
	for {
		err := s.watch(ctx)
		for err != nil {
			if ctx.Err() != nil {
				return
			}
			s.mu.Lock()
			s.broken = err
			s.mu.Unlock()
			s.log.Warn("the watch broke; reading everything again", "error", err)
			select {
			case <-time.After(retryTime):
			case <-ctx.Done():
				return
			}
			err = s.load(ctx)
		}
	}
}

// watch applies what etcd reports from the copy's revision on, until it ends with an error.
func (s *Store) watch(ctx context.Context) error {
	// Every watch has its own context, so that the one that broke is given up on both sides.
	ctx, cancel := context.WithCancel(s.watchContext(ctx))
	defer cancel()
	for answer := range s.client.Watch(ctx, root, clientv3.WithPrefix(), clientv3.WithRev(s.Revision()+1)) {
		if err := answer.Err(); err != nil {
			return err
		}
		if err := s.apply(answer); err != nil {
			return err
		}
	}
	return errors.New("the watch ended")
}

// watchContext gives up a watch at an etcd member that has lost its leader. The request for progress goes by the
// stream of the same context.
func (s *Store) watchContext(ctx context.Context) context.Context {
	if s.sole() {
		return ctx
	}
	return clientv3.WithRequireLeader(ctx)
}

// apply puts an answer's events into the copy. etcd never splits a revision over two answers.
func (s *Store) apply(answer clientv3.WatchResponse) error {
	changes := make([]func(), 0, len(answer.Events))
	for _, event := range answer.Events {
		path := string(event.Kv.Key)
		switch {
		case path == epochPath:
			return errRestored
		case event.Type == clientv3.EventTypeDelete:
			changes = append(changes, func() { s.drop(path) })
		default:
			changes = append(changes, s.prepare(path, event.Kv.Value, event.Kv.CreateRevision, event.Kv.ModRevision))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, change := range changes {
		change()
	}
	revision := answer.Header.Revision
	if n := len(answer.Events); n > 0 {
		// The header may be ahead of the events while the watch catches up.
		revision = answer.Events[n-1].Kv.ModRevision
	}
	if n := len(answer.Events); n > 0 || answer.IsProgressNotify() {
		s.moved(revision)
	}
	return nil
}

func (s *Store) drop(path string) {
	if t, key, ok := s.locate(path); ok {
		t.drop(key)
		return
	}
	delete(s.faulty, path)
}

// askProgress has etcd say every second whether the copy is up to date.
func (s *Store) askProgress(ctx context.Context) {
	tick := time.NewTicker(progressTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.requestProgress(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// requestProgress asks for a progress notification, which the watch then brings. Errors are left to the watch.
func (s *Store) requestProgress(ctx context.Context) {
	if s.Following() {
		return // a feed tells by itself
	}
	ctx, cancel := context.WithTimeout(ctx, progressTime)
	defer cancel()
	if err := s.client.RequestProgress(s.watchContext(ctx)); err != nil {
		s.log.Debug("asking etcd for progress", "error", err)
	}
}

// hasStarted reports whether the copy is served, after which tables cannot be declared.
func (s *Store) hasStarted() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.started
}
