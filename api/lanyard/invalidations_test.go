package lanyard

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/registry"
)

// followed is a stream whose batches and heartbeats the test gives.
type followed struct {
	stream
	in    chan *registry.Batch
	beats chan time.Time
	lines chan invalidationsLine
	ended chan error
}

func follow(t *testing.T, change func(*stream)) *followed {
	t.Helper()
	f := &followed{
		in: make(chan *registry.Batch, 8), beats: make(chan time.Time, 8),
		lines: make(chan invalidationsLine, 8), ended: make(chan error, 1),
	}
	f.stream = stream{
		batches: f.in, node: "node-1", may: func() error { return nil },
		position: func() registry.Position { return registry.Position{Epoch: "e", Revision: 9} },
		write:    func(v any) error { f.lines <- v.(invalidationsLine); return nil },
	}
	if change != nil {
		change(&f.stream)
	}
	go func() { f.ended <- f.follow(t.Context(), f.beats) }()
	return f
}

func batch(revision int64, list ...registry.Invalidation) *registry.Batch {
	return &registry.Batch{Position: registry.Position{Epoch: "e", Revision: revision}, Invalidations: list}
}

func TestAHeartbeatTellsThePosition(t *testing.T) {
	f := follow(t, nil)
	f.beats <- time.Time{}
	want := invalidationsLine{Epoch: "e", Revision: 9, Invalidations: []invalidation{}}
	if diff := cmp.Diff(<-f.lines, want); diff != "" {
		t.Errorf("the heartbeat (-got +want):\n%s", diff)
	}
	f.in <- batch(10, registry.Invalidation{Kind: registry.ByPod, Value: "ns/p"})
	want = invalidationsLine{Epoch: "e", Revision: 10, Invalidations: []invalidation{{registry.ByPod, "ns/p"}}}
	if diff := cmp.Diff(<-f.lines, want); diff != "" {
		t.Errorf("the line (-got +want):\n%s", diff)
	}
}

// A heartbeat that came after the watcher was cut off would name a position whose changes were never told: the watcher
// would go on from there.
func TestNoHeartbeatHidesWhatWaits(t *testing.T) {
	for range 50 { // select takes any of two that are ready
		f := follow(t, func(s *stream) {
			s.position = func() registry.Position { return registry.Position{Epoch: "e", Revision: 99} }
		})
		close(f.in)
		f.beats <- time.Time{}
		if err := <-f.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		if len(f.lines) > 0 {
			t.Fatalf("after the cut it says %+v", <-f.lines)
		}
	}
}

func TestLastWords(t *testing.T) {
	gone := func(s *stream) { s.may = func() error { return errors.New("revoked") } }
	pod := registry.Invalidation{Kind: registry.ByPod, Value: "ns/p"}
	for _, c := range []struct {
		name string
		list []registry.Invalidation
		want []invalidation
	}{
		{"nothing of its own", []registry.Invalidation{pod}, nil},
		{"another node", []registry.Invalidation{pod, {Kind: registry.ByNode, Value: "node-2"}}, nil},
		{"its node", []registry.Invalidation{pod, {Kind: registry.ByNode, Value: "node-1"}}, []invalidation{{registry.ByNode, "node-1"}}},
		{"its cluster", []registry.Invalidation{{Kind: registry.ByCluster}, pod}, []invalidation{{registry.ByCluster, ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := follow(t, gone)
			f.in <- batch(10, c.list...)
			if err := <-f.ended; err != nil {
				t.Errorf("ended with %v", err)
			}
			close(f.lines)
			var got []invalidation
			for line := range f.lines {
				got = append(got, line.Invalidations...)
			}
			if diff := cmp.Diff(got, c.want); diff != "" {
				t.Errorf("told (-got +want):\n%s", diff)
			}
		})
	}
	f := follow(t, gone)
	f.beats <- time.Time{}
	if err := <-f.ended; err != nil || len(f.lines) > 0 {
		t.Errorf("at a heartbeat: %v and %d lines, want the end and nothing", err, len(f.lines))
	}
}

func TestAClientThatDoesNotReadEndsTheStream(t *testing.T) {
	dead := errors.New("write: timeout")
	f := follow(t, func(s *stream) { s.write = func(any) error { return dead } })
	f.in <- batch(10)
	if err := <-f.ended; !errors.Is(err, dead) {
		t.Errorf("ended with %v, want %v", err, dead)
	}
}
