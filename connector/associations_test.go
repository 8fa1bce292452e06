package connector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// A source is a server's side of the stream: what is created is answered to its author before it is told.
type source struct {
	mu       sync.Mutex
	revision int64
	lines    chan *Line
	asked    atomic.Int64
}

func (s *source) create(who Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	s.lines <- &Line{Epoch: "e", Revision: s.revision, Associations: []Association{{ID: "a-" + who.ServiceAccount, Identity: who}}}
}

func (s *source) position(context.Context) (Position, error) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return Position{"e", s.revision}, nil
}

func (s *source) tell(t *testing.T, a *Associations) {
	for line := range s.lines {
		if err := a.Apply(line); err != nil {
			t.Error(err)
		}
	}
}

// TestReadyMeansReady asks about a pod as soon as its association has been answered, a thousand times at once.
func TestReadyMeansReady(t *testing.T) {
	s := &source{lines: make(chan *Line, 1000)}
	a := NewAssociations(s.position, nil)
	if err := a.Apply(&Line{Epoch: "e", Reset: true}); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{})
	go func() { defer close(told); s.tell(t, a) }()
	var pods sync.WaitGroup
	var found atomic.Int64
	for i := range 1000 {
		pods.Go(func() {
			who := Identity{"ns", fmt.Sprint(i)}
			s.create(who)
			if _, ok := a.ID(who); !ok {
				if err := a.Settle(t.Context()); err != nil {
					t.Errorf("pod %d: %v", i, err)
				}
			}
			if id, ok := a.ID(who); ok && id == "a-"+who.ServiceAccount {
				found.Add(1)
			}
			if _, ok := a.ID(Identity{"other", who.ServiceAccount}); ok {
				t.Errorf("pod %d: an association of another namespace was found", i)
			}
		})
	}
	pods.Wait()
	close(s.lines)
	<-told
	if found.Load() != 1000 {
		t.Errorf("%d pods were found, want 1000", found.Load())
	}
}

// TestSharedBarrier holds that those who come while a question is on its way share the next, and that one who was too
// late for the first is not served by it.
func TestSharedBarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		answers := make(chan Position)
		a := NewAssociations(func(context.Context) (Position, error) { asked++; return <-answers, nil }, nil)
		if err := a.Apply(&Line{Epoch: "e", Reset: true}); err != nil {
			t.Fatal(err)
		}
		var done atomic.Int64
		settle := func() {
			if err := a.Settle(t.Context()); err != nil {
				t.Error(err)
			}
			done.Add(1)
		}
		go settle()
		synctest.Wait()
		for range 100 {
			go settle()
		}
		synctest.Wait()
		answers <- Position{"e", 0} // of the first question, which is not about the hundred
		synctest.Wait()
		if done.Load() != 1 || asked != 2 {
			t.Fatalf("after the first answer %d are served and %d questions asked, want 1 and 2", done.Load(), asked)
		}
		answers <- Position{"e", 5}
		synctest.Wait()
		if done.Load() != 1 {
			t.Fatalf("before revision 5 is here %d are served, want 1", done.Load())
		}
		if err := a.Apply(&Line{Epoch: "e", Revision: 5}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if done.Load() != 101 || asked != 2 {
			t.Errorf("%d are served by %d questions, want 101 by 2", done.Load(), asked)
		}
	})
}

// TestBroken holds how long a pod waits where the server is silent, away or out of reach.
func TestBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := func(ctx context.Context) (Position, error) { <-ctx.Done(); return Position{}, ctx.Err() }
		opened, refused := 0, true
		var a *Associations
		a = NewAssociations(forever, func() {
			if opened++; refused {
				go a.Broken()
			}
		})
		start := time.Now()
		if err := a.Settle(t.Context()); !errors.Is(err, context.DeadlineExceeded) || IsBroken(err) || time.Since(start) != settleBudget {
			t.Errorf("a silent server: %v after %v, want a deadline after %v", err, time.Since(start), settleBudget)
		}
		wantBroken := func(name string, after time.Duration, attempts int) {
			t.Helper()
			start := time.Now()
			if err := a.Settle(t.Context()); !IsBroken(err) || fault.Of(err) != fault.Unavailable || time.Since(start) != after || opened != attempts {
				t.Errorf("%s: %v after %v and %d attempts, want broken after %v and %d", name, err, time.Since(start), opened, after, attempts)
			}
		}
		ended := make(chan error)
		start = time.Now()
		go func() { ended <- a.Settle(t.Context()) }()
		synctest.Wait()
		a.Broken()
		if err := <-ended; !IsBroken(err) || time.Since(start) != 0 {
			t.Errorf("broken while waiting: %v after %v, want broken at once", err, time.Since(start))
		}
		wantBroken("broken just now", 0, 0)
		time.Sleep(mendPause)
		wantBroken("refused once more", 0, 1)
		wantBroken("refused just now", 0, 1)
		time.Sleep(mendPause)
		refused = false
		gone, leave := context.WithCancel(t.Context())
		go func() { synctest.Wait(); leave() }()
		if err := a.Settle(gone); !IsBroken(err) {
			t.Errorf("who asked has left: %v", err)
		}
		time.Sleep(mendPause)
		wantBroken("out of reach", mendBudget, 3)
		wantBroken("known to be out of reach", 0, 3)
		if err := a.Apply(&Line{Epoch: "e", Reset: true}); err != nil {
			t.Fatal(err)
		}
		a.position = func(context.Context) (Position, error) { return Position{"e", 0}, nil }
		synctest.Wait()
		time.Sleep(settleBudget) // until the question of before has ended
		if err := a.Settle(t.Context()); err != nil || opened != 3 {
			t.Errorf("mended: %v after %d attempts", err, opened)
		}
	})
}

// TestServerIsBack: the server is back and an association is created before the stream has been opened again. The pod that
// follows is what opens it.
func TestServerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a *Associations
		who := Identity{"ns", "app"}
		a = NewAssociations(func(context.Context) (Position, error) { return Position{"e", 7}, nil }, func() {
			go func() {
				time.Sleep(mendBudget / 2)
				if err := a.Apply(&Line{Epoch: "e", Revision: 7, Associations: []Association{{"a-1", who}}}); err != nil {
					t.Error(err)
				}
			}()
		})
		if err := a.Apply(&Line{Epoch: "e", Reset: true}); err != nil {
			t.Fatal(err)
		}
		a.Broken()
		time.Sleep(time.Hour)
		if err := a.Settle(t.Context()); err != nil {
			t.Errorf("the server is back: %v", err)
		}
		if id, _ := a.ID(who); id != "a-1" {
			t.Errorf("the association is %q", id)
		}
	})
}

// TestApply holds what lines do, and which do not continue what is held.
func TestApply(t *testing.T) {
	one, two := Identity{"ns", "one"}, Identity{"ns", "two"}
	begin := Line{Epoch: "e", Revision: 3, Reset: true, Settings: &Settings{Region: "r"}, Associations: []Association{{"a-1", one}}}
	tests := []struct {
		name     string
		lines    []Line
		one, two string
		refused  bool // the last line
		at       Position
	}{
		{"all", []Line{begin}, "a-1", "", false, Position{"e", 3}},
		{"one more", []Line{begin, {Epoch: "e", Revision: 4, Associations: []Association{{"a-2", two}}}}, "a-1", "a-2", false, Position{"e", 4}},
		{"one less", []Line{begin, {Epoch: "e", Revision: 4, Removed: []Identity{one}}}, "", "", false, Position{"e", 4}},
		{"one replaced", []Line{begin, {Epoch: "e", Revision: 4, Removed: []Identity{one}, Associations: []Association{{"a-3", one}}}}, "a-3", "", false, Position{"e", 4}},
		{"nothing new", []Line{begin, {Epoch: "e", Revision: 3}}, "a-1", "", false, Position{"e", 3}},
		{"all anew", []Line{begin, {Epoch: "f", Revision: 1, Reset: true, Associations: []Association{{"a-2", two}}}}, "", "a-2", false, Position{"f", 1}},
		{"no beginning", []Line{{Epoch: "e", Associations: []Association{{"a-2", two}}}}, "", "", true, Position{}},
		{"another epoch", []Line{begin, {Epoch: "f", Revision: 4, Associations: []Association{{"a-2", two}}}}, "a-1", "", true, Position{"e", 3}},
		{"backwards", []Line{begin, {Epoch: "e", Revision: 2, Associations: []Association{{"a-2", two}}}}, "a-1", "", true, Position{"e", 3}},
	}
	for _, tt := range tests {
		a := NewAssociations(nil, nil)
		var err error
		for i := range tt.lines {
			err = a.Apply(&tt.lines[i])
		}
		if (err != nil) != tt.refused {
			t.Errorf("%s: error %v, want one: %t", tt.name, err, tt.refused)
		}
		got1, _ := a.ID(one)
		got2, _ := a.ID(two)
		if got1 != tt.one || got2 != tt.two {
			t.Errorf("%s: associations %q and %q, want %q and %q", tt.name, got1, got2, tt.one, tt.two)
		}
		at, ready := a.Position()
		if at != tt.at || ready != (tt.at != Position{}) || ready != (a.Settings() != nil) {
			t.Errorf("%s: position %v, ready %t, settings %v: want %v", tt.name, at, ready, a.Settings(), tt.at)
		}
	}
}
