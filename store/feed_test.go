package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

// shared is a notebook whose notes a viewer sees if it owns them, without their secret; and a second table, of covers, each
// of which is seen by whoever owns a note that names it.
type shared struct {
	*notebook
	covers *Table[*note]
	hidden *Table[*note]
}

func declareShared(s *Store) *shared {
	b := &shared{notebook: declare(s), covers: NewTable(s, "cover", noteCodec), hidden: NewTable(s, "hidden", noteCodec)}
	Share(b.notes, Rule[*note]{
		See: func(viewer, _ string, n *note) (*note, bool) {
			without := *n
			without.Secret = ""
			return &without, n.Owner == viewer
		},
		Touches: func(_, _ string, n *note) []Ref { return []Ref{{"cover", n.Text}} },
	})
	Share(b.covers, Rule[*note]{See: func(viewer, key string, n *note) (*note, bool) {
		for _, owned := range b.byOwner.Get(viewer) {
			if owned.Text == key {
				return n, true
			}
		}
		return nil, false
	}})
	return b
}

func begun(t testing.TB, s *Store, err error) *shared {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b := declareShared(s)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func sharing(t testing.TB) *shared {
	t.Helper()
	s, err := Open(t.Context(), Config{Dir: folder(t), MasterKey: NewMasterKey()})
	return begun(t, s, err)
}

func (b *shared) putCover(t testing.TB, key string, n *note) {
	t.Helper()
	if err := b.Update(t.Context(), func(tx *Tx) error { return b.covers.Put(tx, key, n) }); err != nil {
		t.Fatal(err)
	}
}

// wire is the way from a feed to its follower, which a test may cut or close.
type wire struct {
	mu     sync.Mutex
	cut    context.CancelFunc
	closed bool
	opened int
	from   Position   // of the last
	ended  chan error // why each feed ended
}

// open is a Config.Feed of what the store tells the viewer.
func (w *wire) open(s *Store, viewer string, allowed func() error) func(context.Context, Position) (io.ReadCloser, error) {
	w.ended = make(chan error, 64)
	return func(ctx context.Context, from Position) (io.ReadCloser, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.closed {
			return nil, errors.New("no way")
		}
		ctx, w.cut = context.WithCancel(ctx)
		w.opened++
		w.from = from
		read, write := io.Pipe()
		go func() {
			err := s.Feed(ctx, viewer, from, write, allowed)
			w.ended <- err
			_ = write.CloseWithError(err) // never fails
		}()
		return read, nil
	}
}

// close cuts the way, waits until the feed on it has ended, and lets no other one begin.
func (w *wire) close(t testing.TB) {
	t.Helper()
	w.mu.Lock()
	w.closed = true
	w.cut()
	w.mu.Unlock()
	if err := <-w.ended; err == nil {
		t.Error("a feed that is cut is an error")
	}
}

// isOpened waits until the way was opened so often.
func (w *wire) isOpened(t testing.TB, times int) {
	t.Helper()
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		w.mu.Lock()
		opened := w.opened
		w.mu.Unlock()
		if opened >= times {
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("the way was opened %d times, want %d", opened, times)
		}
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = false
}

func always() error { return nil }

// follow is a follower of what the source tells the viewer.
func follow(t testing.TB, source *shared, viewer string) (*shared, *wire) {
	t.Helper()
	w := &wire{}
	s, err := Open(t.Context(), Config{Feed: w.open(source.Store, viewer, always)})
	return begun(t, s, err), w
}

// caughtUp waits until the follower has all that the source has.
func (b *shared) caughtUp(t testing.TB, source *shared) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.WaitRevision(ctx, source.Revision()); err != nil {
		t.Fatal(err)
	}
}

// keysOf returns a table's keys.
func keysOf(t testing.TB, table *Table[*note]) string {
	t.Helper()
	entries, err := table.List("", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return strings.Join(keys, " ")
}

func TestAFollowerHasWhatItMaySee(t *testing.T) {
	source := sharing(t)
	source.put(t, "a", &note{Owner: "me", Text: "c1", Secret: "hush", N: 1})
	source.put(t, "b", &note{Owner: "you", Text: "c2"})
	source.putCover(t, "c1", &note{N: 10})
	source.putCover(t, "c2", &note{N: 20})
	if err := source.Update(t.Context(), func(tx *Tx) error { return source.hidden.Put(tx, "h", &note{Owner: "me"}) }); err != nil {
		t.Fatal(err)
	}
	mine, _ := follow(t, source, "me")
	check := func(when, notes, covers string) {
		t.Helper()
		mine.caughtUp(t, source)
		if diff := cmp.Diff([]string{notes, covers, ""}, []string{keysOf(t, mine.notes), keysOf(t, mine.covers), keysOf(t, mine.hidden)}); diff != "" {
			t.Errorf("%s: notes, covers, hidden (-want +got):\n%s", when, diff)
		}
	}
	check("at first", "a", "c1")
	if got, _, _ := mine.notes.Get("a"); got.Secret != "" || got.N != 1 {
		t.Errorf("note a: got %+v, want it without its secret", got)
	}
	if mine.Epoch() != source.Epoch() || mine.Revision() != source.Revision() {
		t.Errorf("got epoch %q and revision %d, want those of the source", mine.Epoch(), mine.Revision())
	}

	source.put(t, "a", &note{Owner: "me", Text: "c1", N: 2})
	check("changed", "a", "c1")
	if got, _, _ := mine.notes.Get("a"); got.N != 2 || len(mine.byOwner.Get("me")) != 1 {
		t.Errorf("note a: got %+v and %d in the index, want the changed one", got, len(mine.byOwner.Get("me")))
	}
	source.put(t, "b", &note{Owner: "me", Text: "c2"})
	check("given to me, with what it touches", "a b", "c1 c2")
	source.put(t, "a", &note{Owner: "you", Text: "c1"})
	check("taken from me, with what it touches", "b", "c2")
	source.putCover(t, "c1", &note{N: 11})
	source.putCover(t, "c2", &note{N: 21})
	check("covers changed", "b", "c2")
	if got, _, _ := mine.covers.Get("c2"); got.N != 21 {
		t.Errorf("cover c2: got %+v, want the changed one", got)
	}
	source.remove(t, "b")
	check("removed", "", "")
	source.put(t, "z", &note{Owner: "you"})
	check("a change of somebody else moves the revision alone", "", "")
}

// What goes over the wire names nothing that is not the viewer's.
func TestAFeedNamesNothingElse(t *testing.T) {
	source := sharing(t)
	source.put(t, "mine", &note{Owner: "me", Text: "mycover", Secret: "my-secret"})
	source.put(t, "theirs", &note{Owner: "you", Text: "theircover", Secret: "their-secret"})
	source.putCover(t, "theircover", &note{Text: "theirtext"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var seen bytes.Buffer
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- source.Feed(ctx, "me", Position{}, write, always) }()
	lines := bufio.NewScanner(read)
	until := func(key string) {
		t.Helper()
		for lines.Scan() {
			var l feedLine
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			seen.WriteString(l.Table + " " + l.Key + " " + string(l.Value) + "\n")
			if l.Key == key || key == "" && l.Revision > 0 {
				return
			}
		}
		t.Fatalf("the feed ended: %v", lines.Err())
	}
	until("")
	source.put(t, "theirs", &note{Owner: "you", Text: "theircover", N: 2})
	source.remove(t, "theirs")
	source.put(t, "last", &note{Owner: "me"})
	until("last")
	stop()
	go func() { _, _ = io.Copy(io.Discard, read) }()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the feed ended with %v, want its context's end", err)
	}
	if !strings.Contains(seen.String(), "note mine ") {
		t.Errorf("the feed does not have what is the viewer's:\n%s", seen.String())
	}
	for _, other := range []string{"their", "you", "hidden"} {
		if strings.Contains(seen.String(), other) {
			t.Errorf("the feed has %q:\n%s", other, seen.String())
		}
	}
}

func TestAFollowerIsNotWrittenTo(t *testing.T) {
	source := sharing(t)
	mine, _ := follow(t, source, "me")
	err := mine.Update(t.Context(), func(tx *Tx) error { return mine.notes.Put(tx, "x", &note{Owner: "me"}) })
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("Update: got %v, want Unavailable", err)
	}
	if err := mine.Barrier(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Barrier: got %v, want Unavailable", err)
	}
	source.has(t, "x", false)
	mine.has(t, "x", false)
}

// After a cut the state is made whole again: what went meanwhile is gone, and nothing is served in between that is not the
// state of one moment.
func TestAFollowerComesBack(t *testing.T) {
	source := sharing(t)
	source.put(t, "goes", &note{Owner: "me"})
	source.put(t, "stays", &note{Owner: "me"})
	mine, way := follow(t, source, "me")
	way.close(t)
	source.remove(t, "goes")
	source.put(t, "comes", &note{Owner: "me"})
	if err := mine.Ready(); err != nil {
		t.Errorf("cut off: got %v, want the copy to go on being served", err)
	}
	mine.has(t, "goes", true)
	way.mend()
	mine.caughtUp(t, source)
	if got := keysOf(t, mine.notes); got != "comes stays" {
		t.Errorf("after the cut: got %q, want \"comes stays\"", got)
	}
	source.put(t, "after", &note{Owner: "me"})
	mine.caughtUp(t, source)
	mine.has(t, "after", true)
}

func TestAFollowersAgeGrowsWhileItIsCut(t *testing.T) {
	source := sharing(t)
	at, way := &clock{}, &wire{}
	s, err := Open(t.Context(), Config{Feed: way.open(source.Store, "me", always), Now: at.now})
	mine := begun(t, s, err)
	if age := mine.Age(); age != 0 {
		t.Errorf("following: got age %v, want 0", age)
	}
	way.close(t)
	at.past.Add(int64(time.Minute))
	if age := mine.Age(); age != time.Minute {
		t.Errorf("cut for a minute: got age %v", age)
	}
	source.put(t, "x", &note{Owner: "me"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := mine.WaitRevision(ctx, source.Revision()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a revision from beyond the cut: got %v, want Unavailable", err)
	}
}

// A feed lasts as long as the right to it.
func TestAFeedEndsWithTheRight(t *testing.T) {
	source := sharing(t)
	gone := fault.New(fault.Denied, "no more")
	err := source.Feed(t.Context(), "me", Position{}, io.Discard, func() error { return gone })
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want what the question answered", err)
	}
	if len(source.feeds) != 0 {
		t.Errorf("%d feeds are left", len(source.feeds))
	}
}

// dawdling is a viewer that takes its time for each piece.
type dawdling struct{ taken int }

func (d *dawdling) Write(p []byte) (int, error) {
	d.taken++
	time.Sleep(FeedBeat)
	return len(p), nil
}

// Nor does a snapshot last longer, however slowly its viewer takes it.
func TestASnapshotEndsWithTheRight(t *testing.T) {
	source := sharing(t)
	for i := range 8 { // of more than a piece each
		source.put(t, strconv.Itoa(i), &note{Owner: "me", Text: strings.Repeat("x", 64<<10)})
	}
	gone, viewer := fault.New(fault.Denied, "no more"), &dawdling{}
	err := source.Feed(t.Context(), "me", Position{}, viewer, func() error {
		if viewer.taken > 0 {
			return gone
		}
		return nil
	})
	if !errors.Is(err, gone) || viewer.taken > 1 {
		t.Errorf("got %v after %d pieces, want what the question answered after the first", err, viewer.taken)
	}
}

// blocked is a viewer that takes nothing after the snapshot.
type blocked struct {
	written chan struct{}
	free    chan struct{}
	once    sync.Once
}

func (b *blocked) Write(p []byte) (int, error) {
	b.once.Do(func() { close(b.written) })
	<-b.free
	return len(p), nil
}

func TestASlowViewerIsCutOff(t *testing.T) {
	source := sharing(t)
	viewer := &blocked{written: make(chan struct{}), free: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- source.Feed(t.Context(), "me", Position{}, viewer, always) }()
	<-viewer.written
	source.mu.Lock()
	for range feedQueue + 1 {
		source.note(change{table: source.notes})
	}
	for f := range source.feeds {
		if len(f.changes) != 0 {
			t.Errorf("%d changes are kept for a viewer that is cut off", len(f.changes))
		}
	}
	source.mu.Unlock()
	close(viewer.free)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "too slow") {
		t.Errorf("got %v, want the viewer cut off", err)
	}
}

func TestFeedsAreBounded(t *testing.T) {
	source := sharing(t)
	for i := range maxFeeds {
		if _, _, err := source.openFeed(strconv.Itoa(i), Position{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := source.Feed(t.Context(), "me", Position{}, io.Discard, always); !fault.Is(err, fault.Throttled) {
		t.Errorf("one too many: got %v, want Throttled", err)
	}
}

// A viewer that has all the places, as any account's principal may take them, gives them up to others until it has no more than they.
func TestNoViewerKeepsOthersOut(t *testing.T) {
	source := sharing(t)
	greedy := make([]*feed, maxFeeds)
	for i := range greedy {
		var err error
		if greedy[i], _, err = source.openFeed("greedy", Position{}); err != nil {
			t.Fatal(err)
		}
	}
	open := func(viewer string) error {
		_, _, err := source.openFeed(viewer, Position{})
		return err
	}
	for n := range maxFeeds / 2 {
		if err := open("me"); err != nil {
			t.Fatalf("feed %d beside the greedy viewer's: %v", n+1, err)
		}
		if err := open("greedy"); !fault.Is(err, fault.Throttled) {
			t.Fatalf("one more of the greedy viewer's, beside %d: got %v, want Throttled", n+1, err)
		}
	}
	if err := open("me"); !fault.Is(err, fault.Throttled) {
		t.Errorf("more than the greedy viewer has: got %v, want Throttled", err)
	}
	lost := 0
	for _, f := range greedy {
		if _, _, err := f.take(); err != nil {
			lost++
		}
	}
	if lost != maxFeeds/2 || len(source.feeds) != maxFeeds {
		t.Errorf("%d feeds of the greedy viewer end, of all %d are left; want %d and %d", lost, len(source.feeds), maxFeeds/2, maxFeeds)
	}
}

// A replica that cannot read a record cannot say what a viewer ought to know.
func TestAFeedOfAnUnreadyStoreIsRefused(t *testing.T) {
	source := sharing(t)
	if _, err := source.client.Put(t.Context(), root+"note/new", "2 {}"); err != nil {
		t.Fatal(err)
	}
	source.put(t, "x", &note{}) // by now the copy has the one before
	if err := source.Feed(t.Context(), "me", Position{}, io.Discard, always); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want Unavailable", err)
	}
}

// Who follows a store that turns out to be restored begins anew with it.
func TestARestoreReachesFollowers(t *testing.T) {
	source := sharing(t)
	mine, _ := follow(t, source, "me")
	at := Position{Epoch: source.Epoch(), Revision: source.Revision()}
	if err := source.Reach(t.Context(), at); err != nil {
		t.Errorf("what the store has: got %v", err)
	}
	if err := source.Reach(t.Context(), Position{Epoch: "another", Revision: 1 << 40}); err != nil || source.Epoch() != at.Epoch {
		t.Errorf("what is of another history: got %v and epoch %q", err, source.Epoch())
	}
	at.Revision += 100
	if err := source.Reach(t.Context(), at); !fault.Is(err, fault.Unavailable) {
		t.Errorf("what was lost: got %v, want Unavailable", err)
	}
	for tick := time.NewTicker(time.Millisecond); mine.Epoch() == at.Epoch; <-tick.C {
		if t.Context().Err() != nil {
			t.Fatal("the follower has the former epoch")
		}
	}
	source.put(t, "x", &note{Owner: "me"})
	mine.caughtUp(t, source)
	mine.has(t, "x", true)
	if mine.Epoch() != source.Epoch() {
		t.Errorf("the follower has epoch %q, the store %q", mine.Epoch(), source.Epoch())
	}
}
