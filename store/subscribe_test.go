package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryChangeIsToldBeforeItsRevision(t *testing.T) {
	key := NewMasterKey()
	dir := folder(t)
	before := open(t, Config{Dir: dir, MasterKey: key})
	before.put(t, "old", &note{Text: "from before"})
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	s, err := Open(t.Context(), Config{Dir: dir, MasterKey: key})
	if err != nil {
		t.Fatal(err)
	}
	book := declare(s)
	var told []string
	Subscribe(book.notes, func(c Change[*note]) {
		line := c.Key
		if c.Was {
			line += " was " + c.Before.Text
		}
		if c.Is {
			line += " is " + c.After.Text
		}
		told = append(told, line)
	})
	reached := map[int64]int{} // changes that had been told by a revision
	s.SubscribeRevisions(func(epoch string, revision int64) {
		if revision <= s.Revision() && revision > 0 && len(reached) > 1 {
			t.Errorf("revision %d is told after the copy said %d", revision, s.Revision())
		}
		if epoch == "" {
			t.Error("a revision without its epoch is told")
		}
		reached[revision] = len(told)
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	start := s.Revision()
	if err := s.Update(t.Context(), func(tx *Tx) error {
		return book.notes.Put(tx, "a", &note{Text: "one"})
	}); err != nil {
		t.Fatal(err)
	}
	first := s.Revision()
	if err := s.Update(t.Context(), func(tx *Tx) error {
		if err := book.notes.Put(tx, "a", &note{Text: "two"}); err != nil {
			return err
		}
		return book.notes.Delete(tx, "old")
	}); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What the start read was no change. The order within a transaction is etcd's.
	if len(told) != 3 || told[0] != "a is one" || !sameSet(told[1:], "a was one is two", "old was from before") {
		t.Errorf("told %q", told)
	}
	want := map[int64]int{start: 0, first: 1, s.Revision(): 3}
	for revision, n := range want {
		if got, ok := reached[revision]; !ok || got != n {
			t.Errorf("by revision %d %d changes were told (%v), want %d", revision, got, ok, n)
		}
	}
}

func sameSet(got []string, want ...string) bool {
	return len(got) == len(want) && (cmp.Equal(got, want) || cmp.Equal(got, []string{want[1], want[0]}))
}

func TestSubscribingAfterStartIsABrokenProgram(t *testing.T) {
	book := fresh(t)
	for name, subscribe := range map[string]func(){
		"records":   func() { Subscribe(book.notes, func(Change[*note]) {}) },
		"revisions": func() { book.SubscribeRevisions(func(string, int64) {}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: subscribed after Start", name)
				}
			}()
			subscribe()
		}()
	}
}

func TestSince(t *testing.T) {
	book := fresh(t)
	for i := range 4 {
		book.put(t, fmt.Sprintf("x/%d", i), &note{})
	}
	book.put(t, "y/0", &note{})
	after := book.Revision()
	book.put(t, "x/1", &note{Text: "again"})
	book.put(t, "x/4", &note{})
	book.put(t, "y/1", &note{})
	for _, c := range []struct {
		prefix   string
		revision int64
		limit    int
		want     []string
		all      bool
	}{
		{"x/", after, 10, []string{"x/1", "x/4"}, true},
		{"x/", after, 2, []string{"x/1", "x/4"}, true},
		{"x/", after, 1, []string{"x/1"}, false},
		{"x/", 0, 10, []string{"x/0", "x/1", "x/2", "x/3", "x/4"}, true},
		{"", after, 10, []string{"x/1", "x/4", "y/1"}, true},
		{"", book.Revision(), 10, nil, true},
	} {
		entries, all, err := book.notes.Since(c.prefix, c.revision, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Key)
		}
		if diff := cmp.Diff(got, c.want); diff != "" || all != c.all {
			t.Errorf("Since(%q, %d, %d): all %v (-got +want):\n%s", c.prefix, c.revision, c.limit, all, diff)
		}
	}
}
