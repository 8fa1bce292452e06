// Package store keeps Lanyard's records in etcd (https://etcd.io/docs/v3.7/learning/api/) and serves them from a watched copy in memory.
//
// A program opens the store, declares its tables and indexes, and starts it:
//
//	s, err := store.Open(ctx, store.Config{Dir: dir, MasterKey: key})
//	roles := store.NewTable(s, "role", roleCodec)
//	byID := store.NewIndex(roles, func(_ string, r *Role) []string { return []string{r.ID} })
//	err = s.Start(ctx)
//
// Reads are answered by the copy, without a call and without an allocation. Writes are optimistic transactions
// that return once the copy has them. Barrier says that the copy has everything any replica had written when it was called.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/openlanyard/lanyard/fault"
)

// Config says where the records are and which key opens their secrets.
type Config struct {
	// Dir is the folder of the embedded etcd member. It is made with mode 0700 when it does not exist; a folder or a file
	// in it that others may read is refused. Not used with Endpoints.
	Dir string
	// Endpoints are the addresses of an external etcd cluster, and TLS how to speak to it.
	Endpoints []string
	TLS       *tls.Config
	// Feed opens the stream that another store's Feed writes. A store with it has no etcd and no folder: it only follows.
	// It is told what the store has already: the zero Position at first.
	Feed func(ctx context.Context, from Position) (io.ReadCloser, error)
	// MasterKey encrypts every secret in a record. Required but with Feed, which brings keys of its own.
	MasterKey MasterKey
	// Logger takes what happens outside any call; nil is silence. Now is the clock of Age; nil is time.Now.
	Logger *slog.Logger
	Now    func() time.Time
}

// Store is one replica's copy of the records and its way to etcd. All methods may be called at once from many goroutines.
type Store struct {
	log      *slog.Logger
	now      func() time.Time
	master   MasterKey
	member   *member // nil with an external cluster
	client   *clientv3.Client
	follower *follower // nil unless a feed fills the copy: then there is no client
	tables   map[string]table

	stop  context.CancelFunc
	tasks sync.WaitGroup

	closing sync.Once
	closed  error // what Close answers

	// mu guards the copy: every table's records and indexes and what follows. The writer holds it for whole revisions,
	// so a reader sees all keys of a transaction or none.
	mu      sync.RWMutex
	epoch   string
	faulty  map[string]error // by etcd key: records that this program cannot read
	started bool
	broken  error // why the watch does not run
	waiting []waiter
	feeds   map[*feed]struct{}
	past    history

	subscribers []func(epoch string, revision int64)

	revision atomic.Int64 // of the copy; written under mu
	progress atomic.Int64 // when the watch last said that it is up to date, in Unix nanoseconds
	lane     sync.Mutex   // held by a transaction that was in conflict, so that losers do not fight each other
	barrier  barrier
}

// Open takes the folder and starts its embedded etcd member, or connects to an external cluster. It reads no records:
// declare the tables, then call Start. The embedded member has no socket; only this process reaches it. Errors are of
// kind BadState when another process has the folder, and Invalid when others may read it or the master key is missing.
func Open(ctx context.Context, config Config) (*Store, error) {
	if len(config.MasterKey.keys) == 0 && config.Feed == nil {
		return nil, fault.New(fault.Invalid, "the store needs a master key")
	}
	s := &Store{
		log: config.Logger, now: config.Now, master: config.MasterKey,
		tables: map[string]table{}, faulty: map[string]error{},
		feeds: map[*feed]struct{}{}, stop: func() {},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if config.Feed != nil {
		s.follower = &follower{open: config.Feed, loaded: make(chan struct{})}
		return s, nil
	}
	if len(config.Endpoints) > 0 {
		client, err := dial(config)
		if err != nil {
			return nil, err
		}
		s.client = client
		return s, nil
	}
	m, err := startMember(ctx, config.Dir, s.log)
	if err != nil {
		return nil, err
	}
	s.member, s.client = m, m.client
	return s, nil
}

// Start reads every record in one range, since small pages cost etcd quadratic time, and follows all later changes.
// After it the copy is served. It fails when etcd cannot be read or the master key is not the one of these records; a
// record that this program cannot read does not make it fail, but Ready says so.
func (s *Store) Start(ctx context.Context) error {
	s.mu.RLock()
	started := s.started
	s.mu.RUnlock()
	if started {
		return errors.New("store: started twice")
	}
	if s.Following() {
		return s.startFollowing(ctx)
	}
	if err := s.establishEpoch(ctx); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.started = true
	s.mu.Unlock()

	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.tasks.Go(func() { s.follow(running) })
	if !s.sole() {
		s.tasks.Go(func() { s.askProgress(running) })
	}
	return nil
}

// Close stops following, and the embedded member. The copy can still be read; nothing can be written. A second call
// answers as the first.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Store) close() error {
	s.stop()
	s.mu.Lock()
	s.broken = errors.New("it is closed")
	s.mu.Unlock()
	switch {
	case s.Following():
		s.tasks.Wait()
		return nil
	case s.member != nil:
		s.tasks.Wait()
		return s.member.close()
	}
	err := s.client.Close()
	s.tasks.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Ready returns nil when the copy may be served, or why not: it is not started, it has lost its place in etcd's
// history, or a record cannot be read, as of a newer version (Unavailable, naming the key). A connection that is cut
// is not seen here: Age grows.
func (s *Store) Ready() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case !s.started:
		return fault.New(fault.Unavailable, "the store is not started")
	case s.broken != nil:
		return fault.Hide(fault.Unavailable, s.broken, "the store does not follow etcd")
	case len(s.faulty) > 0:
		key := slices.Min(slices.Collect(maps.Keys(s.faulty)))
		return fmt.Errorf("%d records cannot be read, one is %w", len(s.faulty), s.faulty[key])
	}
	return nil
}

// Epoch is a random name of this history of revisions, made by the first start. A restore gives another one, so that a
// revision of a lost history is not waited for.
func (s *Store) Epoch() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.epoch
}

// Revision is the etcd revision that the copy has.
func (s *Store) Revision() int64 { return s.revision.Load() }

// Age is the time since the copy was last known to be up to date, by an event or a progress notification. The sole
// embedded member's copy has no age while it follows, since every write passes through this process.
func (s *Store) Age() time.Duration {
	s.mu.RLock()
	broken := s.broken
	s.mu.RUnlock()
	if s.sole() && broken == nil {
		return 0
	}
	return max(0, s.now().Sub(time.Unix(0, s.progress.Load())))
}

// sole reports whether this process alone can write to etcd.
func (s *Store) sole() bool { return s.member != nil }

// dial connects to an external cluster. Keepalives find a connection that is half open; faster ones would break
// etcd's default rule of one in five seconds.
func dial(config Config) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: config.Endpoints, TLS: config.TLS,
		DialTimeout: 5 * time.Second, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		PermitWithoutStream: true, Logger: newLogger(config.Logger).zap,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd: %w", err)
	}
	return client, nil
}
