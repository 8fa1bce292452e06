package audit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

func TestRefusalsAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	r := refusals{window: time.Minute}
	key := func(i int) refusalKey { return refusalKey{token: [32]byte{byte(i), byte(i >> 8)}, reason: "trust"} }
	for range 3 {
		r.note(key(0), &Event{EventID: "first"}, now)
	}
	var evicted []*refusal
	for i := 1; i <= 2*maxRefusals; i++ {
		first, old := r.note(key(i), &Event{}, now)
		if !first {
			t.Fatalf("refusal %d was taken for a known one", i)
		}
		if old != nil {
			evicted = append(evicted, old)
		}
	}
	if len(r.live) > maxRefusals || len(r.order) > maxRefusals {
		t.Errorf("%d and %d refusals are remembered, want at most %d", len(r.live), len(r.order), maxRefusals)
	}
	if len(evicted) != 1 || evicted[0].repeats != 2 || evicted[0].first.EventID != "first" {
		t.Errorf("evicted with a count: %+v, want the one that was repeated twice", evicted)
	}
	if counted := r.over(now.Add(59 * time.Second)); len(counted) != 0 || len(r.live) == 0 {
		t.Errorf("before the minute is over: %d counts, %d remembered", len(counted), len(r.live))
	}
	if counted := r.over(now.Add(time.Minute)); len(counted) != 0 || len(r.live) != 0 || len(r.order) != 0 {
		t.Errorf("after the minute: %d counts, %d remembered; want none", len(counted), len(r.live))
	}
}

func TestRefusalForgotten(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	r := refusals{window: time.Minute}
	key := refusalKey{reason: "trust"}
	r.note(key, &Event{}, now)
	r.forget(key)
	if first, _ := r.note(key, &Event{}, now); !first {
		t.Error("a refusal that could not be recorded was not recorded the next time")
	}
}

// closedFile is a log whose descriptor is gone, as after an I/O error that does not pass.
func closedFile(t *testing.T) *Log {
	t.Helper()
	l, err := Open(t.TempDir()+"/a", Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // the descriptor is closed already
	if err := l.rotate(); err != nil {
		t.Fatal(err)
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFailedWriteAnswersUnavailable(t *testing.T) {
	l := closedFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	early, err := l.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Place{p, early} {
		p.Record(&Event{})
		if err := p.Commit(t.Context()); !fault.Is(err, fault.Unavailable) || strings.Contains(fault.Message(err), "/") {
			t.Errorf("Commit: %v, want Unavailable that names no path to the caller", err)
		}
		p.Release()
	}
	if _, err := l.Reserve(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Reserve after a failed write: %v, want Unavailable: what cannot be recorded is not to be decided", err)
	}
	if l.Head() != (Head{}) {
		t.Errorf("head %v after nothing was written", l.Head())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v, want it to go on until its context ends", err)
	}
}

func TestFailedSyncEndsTheWriter(t *testing.T) {
	l := closedFile(t)
	l.last.Seq = 1 // as if a write had reached the cache
	p, err := l.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	p.Record(&Event{})
	l.config.FileSize = 0 // the next write begins a file, and syncs this one first
	committed := make(chan error, 1)
	go func() { committed <- p.Commit(t.Context()) }()
	if err := l.Run(t.Context()); err == nil || !errors.Is(err, l.broken) {
		t.Errorf("Run: %v, want the failed sync", err)
	}
	if err := <-committed; !fault.Is(err, fault.Unavailable) {
		t.Errorf("Commit: %v, want Unavailable", err)
	}
	if err := l.sync(); err == nil {
		t.Error("a later sync hid the one that failed")
	}
}

// A stranger's file in the way of the next one stops the log, and it goes on when the file is gone.
func TestFailedRotation(t *testing.T) {
	l, err := Open(t.TempDir()+"/a", Config{FileSize: 1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	p := &Place{log: l}
	p.Record(&Event{})
	if err := l.append([]*Place{p}); err != nil {
		t.Fatal(err)
	}
	obstacle := filepath.Join(l.dir, fileName(2))
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := l.last
	if err := l.append([]*Place{p}); err == nil || l.last != before {
		t.Errorf("append over a file in the way: %v, and the chain is at %d", err, l.last.Seq)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.append([]*Place{p}), l.sync(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if head, err := Verify(l.dir, before, l.Head()); err != nil || head.Seq != 2 {
		t.Errorf("Verify = %v, %v; want two records", head, err)
	}
}

// Strangers cost two files of a fixed size at most.
func TestStreamRotates(t *testing.T) {
	s, err := openStream(t.TempDir(), Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.size = streamSize
		if !s.write([]byte("{}\n")) || s.size != 3 {
			t.Errorf("after a rotation the file has %d bytes, want 3", s.size)
		}
	}
	names, err := filepath.Glob(s.name + "*")
	if err != nil || len(names) != 2 {
		t.Errorf("files %v, %v; want the present one and the one before", names, err)
	}
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	if s.write([]byte("{}\n")) || s.dropped.Load() != 1 {
		t.Errorf("a failed write counts %d as dropped, want 1", s.dropped.Load())
	}
}

func TestLinkIsReadFromTheEndOnly(t *testing.T) {
	inner := appendLink([]byte(`{"userAgent":"x"`), Head{Seq: 7})
	line := appendLink(append([]byte(`{"userAgent":`), append(appendString(nil, string(inner)), "}"...)...), Head{Seq: 9, Hash: [32]byte{1}})
	if link, ok := parseLink(line); !ok || link.Seq != 9 {
		t.Errorf("parseLink(%s) = %v, %v; want the outer link", line, link, ok)
	}
	negative := strings.Replace(string(line), `"seq":9`, `"seq":-9`, 1)
	for _, bad := range []string{"", "{}", string(line[:len(line)-1]), string(line) + " ", negative} {
		if link, ok := parseLink([]byte(bad)); ok {
			t.Errorf("parseLink(%q) = %v, want a refusal", bad, link)
		}
	}
}

// TestPlain holds the eight bytes at a time against one after the other, with each byte in each place.
func TestPlain(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			text := []byte("all of this is plain")
			text[at] = byte(c)
			want := 0
			for want < len(text) && isPlain[text[want]] {
				want++
			}
			if got := plain(string(text)); got != want {
				t.Errorf("plain(%q) = %d, want %d", text, got, want)
			}
		}
	}
}
