package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said opens a follower that is told these lines.
func said(t *testing.T, lines ...feedLine) (*shared, error) {
	t.Helper()
	var text bytes.Buffer
	for _, l := range lines {
		if err := json.NewEncoder(&text).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), Config{Feed: func(context.Context, Position) (io.ReadCloser, error) {
		return nil, errors.New("told once")
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := declareShared(s)
	s.follower.open = func(context.Context, Position) (io.ReadCloser, error) { return io.NopCloser(&text), nil }
	return b, s.readFeed(t.Context())
}

func TestWhatAFeedSaysIsChecked(t *testing.T) {
	hello := feedLine{Form: feedForm, Epoch: "e", Seal: string(NewMasterKey().Text())}
	record := feedLine{Table: "note", Key: "k", Value: []byte(`1 {"owner":"me"}`), Created: 1, Modified: 2}
	mark := feedLine{Revision: 5}
	tests := []struct {
		name  string
		lines []feedLine
		has   string
		ready bool
	}{
		{"whole", []feedLine{hello, record, mark}, "k", true},
		{"cut before its mark", []feedLine{hello, record}, "", false},
		{"no first line", []feedLine{record, mark}, "", false},
		{"another form", []feedLine{{Form: feedForm + 1, Epoch: "e", Seal: hello.Seal}, record, mark}, "", false},
		{"no epoch", []feedLine{{Form: feedForm, Seal: hello.Seal}, record, mark}, "", false},
		{"no key", []feedLine{{Form: feedForm, Epoch: "e"}, record, mark}, "", false},
		{"a newer record", []feedLine{hello, {Table: "note", Key: "k", Value: []byte("2 {}")}, mark}, "?", false},
		{"a table that is not known", []feedLine{hello, {Table: "other", Key: "k", Value: []byte("1 {}")}, mark}, "", false},
		{"the store's own table", []feedLine{hello, {Table: "store", Key: "epoch", Value: []byte("x")}, mark}, "", false},
		{"a path for a table", []feedLine{hello, {Table: "a/b", Key: "k", Value: []byte("x")}, mark}, "", false},
		{"no key of a record", []feedLine{hello, {Table: "note", Value: []byte("1 {}")}, mark}, "", false},
		{"an age below zero", []feedLine{hello, record, {Revision: 5, Age: -1}}, "", false},
		{"an empty line", []feedLine{hello, record, {}, mark}, "", false},
		{"gone within the snapshot", []feedLine{hello, record, {Table: "note", Key: "k"}, mark}, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := said(t, test.lines...)
			if err == nil {
				t.Error("a feed that ends is an error")
			}
			entries, err := b.notes.List("", "", 0)
			got := ""
			if err != nil {
				got = "?"
			} else if len(entries) > 0 {
				got = entries[0].Key
			}
			if ready := b.Ready() == nil; got != test.has || ready != test.ready {
				t.Errorf("got %q and ready %v, want %q and %v (%v)", got, ready, test.has, test.ready, b.Ready())
			}
		})
	}
}

// A follower takes a restored state for what it is: revisions count anew.
func TestAnotherEpochCountsAnew(t *testing.T) {
	hello := feedLine{Form: feedForm, Epoch: "e1", Seal: string(NewMasterKey().Text())}
	b, _ := said(t, hello, feedLine{Revision: 50})
	if b.Revision() != 50 || b.Epoch() != "e1" {
		t.Fatalf("got %d of %q", b.Revision(), b.Epoch())
	}
	hello.Epoch = "e2"
	var text bytes.Buffer
	for _, l := range []feedLine{hello, {Revision: 7}} {
		if err := json.NewEncoder(&text).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	b.follower.open = func(context.Context, Position) (io.ReadCloser, error) { return io.NopCloser(&text), nil }
	if err := b.readFeed(t.Context()); err == nil {
		t.Error("a feed that ends is an error")
	}
	if b.Revision() != 7 || b.Epoch() != "e2" {
		t.Errorf("got revision %d of %q, want 7 of e2", b.Revision(), b.Epoch())
	}
}

// While records are written, a follower that is cut again and again ends up with the same as its source.
func TestAFollowerUnderLoad(t *testing.T) {
	source := sharing(t)
	mine, way := follow(t, source, "me")
	var writing sync.WaitGroup
	for writer := range 4 {
		writing.Go(func() {
			for n := range 100 {
				key := string(rune('a'+writer)) + string(rune('a'+n%10))
				owner := []string{"me", "you"}[n%3%2]
				err := source.Update(t.Context(), func(tx *Tx) error {
					if n%7 == 0 {
						return source.notes.Delete(tx, key)
					}
					return source.notes.Put(tx, key, &note{Owner: owner, N: n})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range 5 {
		way.close(t)
		way.mend()
		way.isOpened(t, n+2)
	}
	writing.Wait()
	mine.caughtUp(t, source)
	want := map[string]int{}
	all, err := source.notes.List("", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Value.Owner == "me" {
			want[e.Key] = e.Value.N
		}
	}
	got := map[string]int{}
	if all, err = mine.notes.List("", "", 0); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		got[e.Key] = e.Value.N
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Errorf("the follower's notes (-source +follower):\n%s", diff)
	}
}
