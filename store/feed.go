package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// A feed tells a viewer, who is no client of etcd, what it may know of the records: everything first, then each change,
// in the order in which the copy gets them. What it may know is said by the rooms that own the records: a table without a
// rule is told to nobody.
//
// It is a stream of JSON lines. The first says which history of revisions this is and which key the secrets in the records
// are sealed under, a random one for each stream; so the stream is as secret as what carries it. Then come records as they are
// stored, and marks: "what came before is the state at this revision". The first mark ends the snapshot.
//
// A viewer that was cut off says what it has. If the store remembers all changes since, the first line says so, and they come
// in the snapshot's place.
type feedLine struct {
	Form  int    `json:"form,omitempty"` // of the first line: which form this is
	Epoch string `json:"epoch,omitempty"`
	Seal  string `json:"seal,omitempty"` // a master key in its file form
	// Resumes says that what comes is to be added to what the viewer said that it has.
	Resumes bool `json:"resumes,omitempty"`

	Table    string `json:"table,omitempty"`
	Key      string `json:"key,omitempty"`
	Value    []byte `json:"value,omitempty"` // with its version in front; none: the record is gone
	Created  int64  `json:"created,omitempty"`
	Modified int64  `json:"modified,omitempty"`

	Revision int64 `json:"revision,omitempty"` // of a mark
	Age      int64 `json:"age,omitempty"`      // of a mark: milliseconds since the server's own copy was known to be up to date
}

const (
	// feedForm is another number whenever a rule lets a viewer see more: it must not resume what it was told by the former.
	feedForm = 2
	// feedPage is how many records are looked at under one lock.
	feedPage = 1000
	// feedQueue bounds what is kept for a viewer that is slower than the changes; beyond it the viewer begins anew.
	feedQueue = 1 << 16
	// maxFeeds bounds the feeds of one replica.
	maxFeeds = 256
	// FeedBeat is how often a feed says that it lives.
	FeedBeat = time.Second
)

// Rule says what of a table's records a viewer may have. The viewer is an account.
type Rule[T any] struct {
	// See returns the record as the viewer may see it, without what it has no need of, or false. It may ask other tables.
	See func(viewer, key string, v T) (T, bool)
	// Touches names the records of other tables that the viewer may see because of this one. nil: none.
	Touches func(viewer, key string, v T) []Ref
}

// Ref names a record.
type Ref struct{ Table, Key string }

// Share declares the rule of a table before Start, and panics after it.
func Share[T any](t *Table[T], rule Rule[T]) {
	if t.store.hasStarted() {
		panic("store: rule of " + t.name + " declared after Start")
	}
	t.rule = &rule
}

// feed is what waits to be told to one viewer. The store's writer adds under the store's lock and then this one's.
type feed struct {
	viewer string

	mu       sync.Mutex
	changes  []change
	revision int64 // which the copy had with all changes up to the last
	lost     error // why this feed cannot go on
	wake     chan struct{}
}

// change is a record before and after; either may be nil.
type change struct {
	table    table
	old, now any // *record[T] of the table
}

// note keeps a change for every feed; under the store's lock.
func (s *Store) note(c change) {
	s.past.note(c)
	for f := range s.feeds {
		f.mu.Lock()
		if len(f.changes) == feedQueue {
			f.lost, f.changes = errors.New("the viewer is too slow"), nil
		}
		if f.lost == nil {
			f.changes = append(f.changes, c)
		}
		f.mu.Unlock()
	}
}

// mark has every feed told that the copy is at a revision; under the store's lock.
func (s *Store) mark(revision int64) {
	s.past.mark(revision)
	for f := range s.feeds {
		f.mu.Lock()
		f.revision = revision
		f.mu.Unlock()
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// cutFeeds ends every feed: revisions count from elsewhere now. Under the store's lock.
func (s *Store) cutFeeds() {
	s.past = history{}
	for f := range s.feeds {
		f.mu.Lock()
		f.lost = errRestored
		f.mu.Unlock()
	}
}

func (f *feed) take() (changes []change, revision int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changes, f.changes = f.changes, nil
	return changes, f.revision, f.lost
}

// openFeed also says whether the feed goes on where the viewer is: then it begins with the changes since.
func (s *Store) openFeed(viewer string, from Position) (f *feed, resumes bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.feeds) >= maxFeeds && !s.makeRoom(viewer) {
		return nil, false, fault.New(fault.Throttled, "this server has %d feeds already, which is the most: try another one", maxFeeds)
	}
	f = &feed{viewer: viewer, revision: s.Revision(), wake: make(chan struct{}, 1)}
	if from.Epoch == s.epoch && from.Epoch != "" {
		f.changes, resumes = s.past.since(from.Revision)
	}
	s.feeds[f] = struct{}{}
	return f, resumes, nil
}

// makeRoom takes a place from the viewer that has most, if that leaves it no fewer than the one who comes then has: none is to keep
// others out. Under the store's lock.
func (s *Store) makeRoom(viewer string) bool {
	count := map[string]int{}
	var of *feed
	for f := range s.feeds {
		if count[f.viewer]++; of == nil || count[f.viewer] > count[of.viewer] {
			of = f
		}
	}
	if count[of.viewer] <= count[viewer]+1 {
		return false
	}
	of.mu.Lock()
	of.lost, of.changes = errors.New("another viewer needs its place"), nil
	of.mu.Unlock()
	delete(s.feeds, of)
	return true
}

func (s *Store) closeFeed(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.feeds, f)
}

// cut returns why the feed cannot go on; nil: it can.
func (f *feed) cut() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// asking is where a feed is written to. Whether it may go on is asked each second, in the middle of a snapshot too: its viewer may
// take hours for one.
type asking struct {
	io.Writer
	may   func() error
	asked time.Time
}

// Write implements io.Writer.
func (a *asking) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(a.asked) > FeedBeat/2 { // by each beat's mark, then
		if err := a.may(); err != nil {
			return 0, err
		}
		a.asked = now
	}
	return a.Writer.Write(p)
}

// Feed writes the viewer's feed, from a position on or from the beginning, to w until ctx ends, a write fails, or allowed, which is asked every second, returns an
// error. What it writes holds secrets. It always returns why it ended.
func (s *Store) Feed(ctx context.Context, viewer string, from Position, w io.Writer, allowed func() error) error {
	if err := s.Ready(); err != nil {
		return err
	}
	f, resumes, err := s.openFeed(viewer, from)
	if err != nil {
		return err
	}
	defer s.closeFeed(f)
	seal := NewMasterKey()
	// A record that this replica cannot read might be one that the viewer ought to know.
	may := func() error { return errors.Join(f.cut(), s.Ready(), allowed()) }
	buffer := bufio.NewWriterSize(&asking{Writer: w, may: may}, 64<<10)
	t := &teller{store: s, viewer: viewer, seal: seal, lines: json.NewEncoder(buffer)}
	if err := t.lines.Encode(feedLine{Form: feedForm, Epoch: s.Epoch(), Seal: string(seal.Text()), Resumes: resumes}); err != nil {
		return err
	}
	if !resumes {
		if err := t.snapshot(ctx); err != nil {
			return err
		}
	}
	beat := time.NewTicker(FeedBeat)
	defer beat.Stop()
	for {
		changes, revision, err := f.take()
		if err != nil {
			return err
		}
		for _, c := range changes {
			if err := c.table.tellChange(t, c); err != nil {
				return err
			}
		}
		if err := t.lines.Encode(feedLine{Revision: revision, Age: s.Age().Milliseconds()}); err != nil {
			return err
		}
		if err := buffer.Flush(); err != nil {
			return err
		}
		select {
		case <-f.wake:
		case <-beat.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// teller writes lines of one feed.
type teller struct {
	store  *Store
	viewer string
	seal   MasterKey
	lines  *json.Encoder
}

// snapshot tells all records, page by page, so that the copy is never locked for long. Changes meanwhile wait in the feed.
func (t *teller) snapshot(ctx context.Context) error {
	names := make([]string, 0, len(t.store.tables))
	for name := range t.store.tables {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for after, more := "", true; more; {
			var err error
			if err = ctx.Err(); err == nil {
				after, more, err = t.store.tables[name].tellPage(t, after)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Table[T]) tellPage(to *teller, after string) (last string, more bool, err error) {
	if t.rule == nil {
		return "", false, nil
	}
	entries, err := t.List("", after, feedPage)
	if err != nil || len(entries) == 0 {
		return "", false, err
	}
	for _, e := range entries {
		if v, ok := t.rule.See(to.viewer, e.Key, e.Value); ok {
			if err := t.tellRecord(to, e.Key, v, e.Created, e.Modified); err != nil {
				return "", false, err
			}
		}
	}
	return entries[len(entries)-1].Key, len(entries) == feedPage, nil
}

func (t *Table[T]) tellChange(to *teller, c change) error {
	old, _ := c.old.(*record[T])
	now, _ := c.now.(*record[T])
	if now != nil && now.err != nil {
		return now.err
	}
	before, saw := t.seen(to.viewer, old)
	after, sees := t.seen(to.viewer, now)
	var err error
	switch {
	case sees:
		err = t.tellRecord(to, now.key, after, now.created, now.modified)
	case saw:
		err = to.lines.Encode(feedLine{Table: t.name, Key: old.key})
	}
	if err != nil || t.rule.Touches == nil {
		return err
	}
	var touched []Ref
	if saw {
		touched = t.rule.Touches(to.viewer, old.key, before)
	}
	if sees {
		touched = append(touched, t.rule.Touches(to.viewer, now.key, after)...)
	}
	for _, ref := range touched {
		if ref.Key == "" { // an optional name, which is not given
			continue
		}
		other, ok := to.store.tables[ref.Table]
		if !ok {
			return fmt.Errorf("table %s touches the table %q, which there is not", t.name, ref.Table)
		}
		if err := other.tellAgain(to, ref.Key); err != nil {
			return err
		}
	}
	return nil
}

// tellAgain tells what has become of a record that is seen, or was, because of another one.
func (t *Table[T]) tellAgain(to *teller, key string) error {
	t.store.mu.RLock()
	r := t.records[key]
	t.store.mu.RUnlock()
	if r != nil && r.err != nil {
		return r.err
	}
	if v, ok := t.seen(to.viewer, r); ok {
		return t.tellRecord(to, key, v, r.created, r.modified)
	}
	return to.lines.Encode(feedLine{Table: t.name, Key: key})
}

func (t *Table[T]) seen(viewer string, r *record[T]) (v T, ok bool) {
	if t.rule == nil || r == nil || r.err != nil {
		return v, false
	}
	return t.rule.See(viewer, r.key, r.value)
}

func (t *Table[T]) tellRecord(to *teller, key string, v T, created, modified int64) error {
	data, err := t.frame(&Sealer{master: to.seal, table: t.name}, key, v)
	if err != nil {
		return err
	}
	return to.lines.Encode(feedLine{Table: t.name, Key: key, Value: data, Created: created, Modified: modified})
}
