package store

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told returns whether a feed from a position resumes, and the keys that it tells up to its first mark; - is one that is gone.
func (b *shared) told(t *testing.T, viewer string, from Position) (resumes bool, keys string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := b.Feed(ctx, viewer, from, write, always)
		_ = write.CloseWithError(err) // never fails
		ended <- err
	}()
	var all []string
	for lines := bufio.NewScanner(read); lines.Scan(); {
		var l feedLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		switch {
		case l.Form != 0:
			resumes = l.Resumes
		case l.Revision != 0:
			stop()
			_ = read.Close() // never fails
			if err := <-ended; err == nil {
				t.Error("a feed that is cut is an error")
			}
			return resumes, strings.Join(all, " ")
		case len(l.Value) == 0:
			all = append(all, "-"+l.Key)
		default:
			all = append(all, l.Key)
		}
	}
	t.Fatalf("the feed ended: %v", <-ended)
	return false, ""
}

func TestAFeedGoesOnWhereTheViewerIs(t *testing.T) {
	source := sharing(t)
	source.put(t, "a", &note{Owner: "me", Text: "c"})
	source.put(t, "b", &note{Owner: "me", Text: "c"})
	source.put(t, "theirs", &note{Owner: "you", Text: "c"})
	at := source.position()
	elsewhere, ahead := at, at
	elsewhere.Epoch = "another"
	ahead.Revision += 1000
	before := Position{Epoch: at.Epoch, Revision: 1} // the store was begun later
	check := func(when string, from Position, resumes bool, keys string) {
		t.Helper()
		gotResumes, got := source.told(t, "me", from)
		if gotResumes != resumes || got != keys {
			t.Errorf("%s: resumes %v and tells %q, want %v and %q", when, gotResumes, got, resumes, keys)
		}
	}
	check("nothing happened", at, true, "")
	source.put(t, "a", &note{Owner: "me", N: 2})
	source.remove(t, "b")
	source.put(t, "theirs", &note{Owner: "you", N: 2})
	source.put(t, "new", &note{Owner: "me", Text: "d"})
	source.putCover(t, "d", &note{})
	check("what changed since, and what was lost", at, true, "a -c -b -c new d d")
	check("all of it, to a new viewer", Position{}, false, "d a new")
	check("all of it, to one of another epoch", elsewhere, false, "d a new")
	check("all of it, to one that is ahead", ahead, false, "d a new")
	check("all of it, to one that is behind what is remembered", before, false, "d a new")
	source.mu.Lock()
	source.cutFeeds()
	source.mu.Unlock()
	check("all of it, after a restore", at, false, "d a new")
}

// A follower that was cut off comes back with what it missed, and with nothing that it had lost meanwhile.
func TestAFollowerResumes(t *testing.T) {
	source := sharing(t)
	source.put(t, "a", &note{Owner: "me", Text: "c1"})
	source.put(t, "b", &note{Owner: "me", Text: "c2", Secret: "one"})
	source.putCover(t, "c1", &note{})
	mine, way := follow(t, source, "me")
	mine.caughtUp(t, source)
	way.close(t)
	source.remove(t, "a")
	source.put(t, "b", &note{Owner: "me", Text: "c1", N: 2})
	source.put(t, "c", &note{Owner: "me"})
	source.put(t, "d", &note{Owner: "me"})
	source.put(t, "d", &note{Owner: "you"})
	way.mend()
	mine.caughtUp(t, source)
	if resumed, _ := source.told(t, "me", mine.position()); !resumed {
		t.Error("the follower is where no feed goes on")
	}
	way.mu.Lock()
	from := way.from
	way.mu.Unlock()
	if from.Epoch != source.Epoch() || from.Revision == 0 || from.Revision >= source.Revision() {
		t.Errorf("the follower asked for %+v", from)
	}
	if diff := cmp.Diff([]string{"b c", "c1"}, []string{keysOf(t, mine.notes), keysOf(t, mine.covers)}); diff != "" {
		t.Errorf("notes, covers (-want +got):\n%s", diff)
	}
	if b, _, _ := mine.notes.Get("b"); b.N != 2 {
		t.Errorf("note b: got %+v, want the changed one", b)
	}
}

// A feed that claims to go on from elsewhere is not believed.
func TestAFeedThatResumesSomethingElseIsRefused(t *testing.T) {
	mine, _ := follow(t, sharing(t), "me")
	seal := NewMasterKey()
	in := &intake{store: mine.Store}
	if err := in.take(feedLine{Form: feedForm, Epoch: "another", Seal: string(seal.Text()), Resumes: true}); err == nil {
		t.Error("a feed of another epoch was taken for more of this one")
	}
	if err := in.take(feedLine{Form: feedForm, Epoch: mine.Epoch(), Seal: string(seal.Text()), Resumes: true}); err != nil {
		t.Error(err)
	}
}

func TestHistoryForgets(t *testing.T) {
	var h history
	h.mark(10)
	for i := range historyMost {
		h.note(change{now: i})
		h.mark(int64(11 + i))
	}
	if got, ok := h.since(10); !ok || len(got) != historyMost {
		t.Errorf("before the oldest are forgotten: %d changes, %v; want all %d", len(got), ok, historyMost)
	}
	h.note(change{now: historyMost})
	h.mark(11 + historyMost)
	const oldest = historyMost + 1 - historyKept // the first change that is known
	if _, ok := h.since(10 + oldest - 1); ok {
		t.Error("what is forgotten is told as nothing")
	}
	if got, ok := h.since(10 + oldest); !ok || len(got) != historyKept || got[0].now != oldest {
		t.Errorf("since the oldest that is known: %d changes, %v", len(got), ok)
	}
	if got, ok := h.since(11 + historyMost); !ok || len(got) != 0 {
		t.Errorf("since now: %d changes, %v", len(got), ok)
	}
	last := h.revision
	for range historyMost + 2 {
		h.note(change{})
	}
	if _, ok := h.since(last); ok {
		t.Error("a history that overran is told")
	}
	h.mark(last + 1)
	if _, ok := h.since(last); ok {
		t.Error("what overran is told as nothing")
	}
	if got, ok := h.since(last + 1); !ok || len(got) != 0 {
		t.Errorf("after it overran: %d changes, %v", len(got), ok)
	}
	h.mark(5)
	if _, ok := h.since(last + 1); ok {
		t.Error("another history is told as this one")
	}
}
