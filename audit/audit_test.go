package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// started is a log whose writer runs until stop, or the test's end.
type started struct {
	*audit.Log
	stop func()
}

func start(tb testing.TB, dir string, config audit.Config) started {
	tb.Helper()
	if config.Logger == nil {
		config.Logger = quiet
	}
	log, err := audit.Open(dir, config)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, log.Close()); err != nil {
			tb.Errorf("stopping the log: %v", err)
		}
	})
	tb.Cleanup(stop)
	return started{log, stop}
}

func reserve(tb testing.TB, log *audit.Log) *audit.Place {
	tb.Helper()
	place, err := log.Reserve()
	if err != nil {
		tb.Fatalf("Reserve: %v", err)
	}
	return place
}

func commit(tb testing.TB, log *audit.Log, events ...*audit.Event) {
	tb.Helper()
	place := reserve(tb, log)
	defer place.Release()
	place.Record(events...)
	if err := place.Commit(tb.Context()); err != nil {
		tb.Fatalf("Commit: %v", err)
	}
}

func named(name string) *audit.Event {
	return &audit.Event{EventSource: "eks.amazonaws.com", EventName: name, ManagementEvent: true}
}

// chainFiles lists the chain's files in order; a folder without one fails the test.
func chainFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no audit files in the folder: %v", err)
	}
	return names
}

// read returns all events of the chain.
func read(t *testing.T, dir string) []audit.Event {
	t.Helper()
	var events []audit.Event
	if _, err := audit.Read(t.Context(), dir, audit.Mark{}, func(f audit.Found) bool {
		var e audit.Event
		if err := json.Unmarshal(f.Text, &e); err != nil {
			t.Fatalf("record %d is %q: %v", f.Seq, f.Text, err)
		}
		events = append(events, e)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return events
}

func names(events []audit.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.EventName)
	}
	return all
}

func TestCommitIsReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log := start(t, dir, audit.Config{})
	commit(t, log.Log, named("A"))
	first := log.Head()
	commit(t, log.Log, named("B"), named("C"))
	last := log.Head()
	if first.Seq != 1 || last.Seq != 3 || first.Hash == last.Hash {
		t.Errorf("heads after one and three records: %v and %v", first, last)
	}
	log.stop()

	events := read(t, dir)
	if got, want := names(events), []string{"A", "B", "C"}; !slices.Equal(got, want) {
		t.Fatalf("events %v, want %v", got, want)
	}
	if events[1].SharedEventID == "" || events[1].SharedEventID != events[2].SharedEventID {
		t.Errorf("one decision's records have shared ids %q and %q", events[1].SharedEventID, events[2].SharedEventID)
	}
	if events[0].SharedEventID != "" || events[0].EventID == "" || events[0].EventCategory != "Management" {
		t.Errorf("a single record was filled in as %+v", events[0])
	}
	if head, err := audit.Verify(dir, first, last); err != nil || head != last {
		t.Errorf("Verify = %v, %v; want %v", head, err, last)
	}

	again := start(t, dir, audit.Config{})
	if got := again.Head(); got != last {
		t.Errorf("head after opening again: %v, want %v", got, last)
	}
	commit(t, again.Log, named("D"))
	again.stop()
	if head, err := audit.Verify(dir, last); err != nil || head.Seq != 4 {
		t.Errorf("Verify after another record = %v, %v; want 4 records", head, err)
	}
}

func TestReserveFull(t *testing.T) {
	log := start(t, t.TempDir()+"/a", audit.Config{Capacity: 2})
	first, second := reserve(t, log.Log), reserve(t, log.Log)
	if _, err := log.Reserve(); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("Reserve of a full log: %v, want Unavailable", err)
	}
	first.Release()
	first.Release()
	third := reserve(t, log.Log)
	if _, err := log.Reserve(); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("Reserve after one place was released twice: %v, want Unavailable", err)
	}
	third.Record(named("A"))
	if err := third.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	third.Release()
	reserve(t, log.Log).Release()
	second.Release()
}

func TestPlaceMisuse(t *testing.T) {
	log := start(t, t.TempDir()+"/a", audit.Config{})
	empty := reserve(t, log.Log)
	defer empty.Release()
	if err := empty.Commit(t.Context()); err == nil {
		t.Error("a commit without a record succeeded")
	}
	twice := reserve(t, log.Log)
	defer twice.Release()
	twice.Record(named("A"))
	if err := twice.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := twice.Commit(t.Context()); err == nil {
		t.Error("a second commit succeeded")
	}
	odd := reserve(t, log.Log)
	defer odd.Release()
	odd.Record(&audit.Event{RequestParameters: map[string]any{"f": func() {}}})
	if err := odd.Commit(t.Context()); err == nil {
		t.Error("an event that is not JSON was committed")
	}
}

func TestWriterGone(t *testing.T) {
	log := start(t, t.TempDir()+"/a", audit.Config{})
	late := reserve(t, log.Log)
	defer late.Release()
	late.Record(named("A"))
	log.stop()
	if err := late.Commit(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Commit to a closed log: %v, want Unavailable", err)
	}
}

func TestCommitWithoutWriter(t *testing.T) {
	log, err := audit.Open(t.TempDir()+"/a", audit.Config{Capacity: 1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	place := reserve(t, log)
	place.Record(named("A"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := place.Commit(ctx); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Commit while nothing writes: %v, want Unavailable", err)
	}
	place.Release()
	if _, err := log.Reserve(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Reserve while the only place is still queued: %v, want Unavailable", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCommitWithPatienceWithoutWriter(t *testing.T) {
	log, err := audit.Open(t.TempDir()+"/a", audit.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	place := reserve(t, log)
	place.Record(named("A"))
	place.Patience = time.Nanosecond
	if err := place.Commit(t.Context()); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit while nothing writes: %v, want Unavailable", err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// openFile makes a file that others may read, whatever the umask is.
func openFile(path string) error {
	return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o644))
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(dir string) error
		accept bool
	}{
		{"nothing spoilt", func(string) error { return nil }, true},
		{"open folder", func(dir string) error { return os.Chmod(dir, 0o755) }, false},
		{"open file", func(dir string) error {
			return openFile(filepath.Join(dir, "audit-0000000000000000001.jsonl"))
		}, false},
		{"open stream", func(dir string) error {
			return openFile(filepath.Join(dir, "unauthenticated.jsonl"))
		}, false},
		{"empty file out of turn", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "audit-0000000000000000007.jsonl"), nil, 0o600)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			log, err := audit.Open(dir, audit.Config{Logger: quiet})
			if (err == nil) != tt.accept {
				t.Fatalf("Open: %v, want accepted %v", err, tt.accept)
			}
			if err == nil {
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestOneProcessOnly(t *testing.T) {
	dir := t.TempDir() + "/a"
	log := start(t, dir, audit.Config{})
	if _, err := audit.Open(dir, audit.Config{Logger: quiet}); !fault.Is(err, fault.InUse) {
		t.Errorf("a second Open: %v, want InUse", err)
	}
	log.stop()
	start(t, dir, audit.Config{})
}

func TestConcurrentCommits(t *testing.T) {
	dir := t.TempDir() + "/a"
	log := start(t, dir, audit.Config{Capacity: 16, FileSize: 20_000})
	const workers, each = 12, 25
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				place, err := log.Reserve()
				if err != nil {
					t.Errorf("Reserve: %v", err)
					return
				}
				place.Record(named(fmt.Sprintf("%d/%d", w, i)))
				if w%3 == 0 {
					err = place.Write(t.Context())
				} else {
					err = place.Commit(t.Context())
				}
				if err != nil {
					t.Errorf("recording: %v", err)
				}
				place.Release()
				log.Unauthenticated(named("nobody"))
			}
		})
	}
	group.Wait()
	log.stop()

	got := names(read(t, dir))
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != workers*each {
		t.Errorf("%d different records, want %d", n, workers*each)
	}
	if n := len(chainFiles(t, dir)); n < 3 {
		t.Errorf("%d files: the log did not rotate", n)
	}
	if _, err := audit.Verify(dir, log.Head()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	again := start(t, dir, audit.Config{})
	if again.Head() != log.Head() {
		t.Errorf("head after opening again: %v, want %v", again.Head(), log.Head())
	}
}

func TestRefusedOnceAMinute(t *testing.T) {
	dir := t.TempDir() + "/a"
	var mu sync.Mutex
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	config := audit.Config{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}}
	log := start(t, dir, config)
	refuse := func(token byte, reason string) {
		place := reserve(t, log.Log)
		defer place.Release()
		if err := place.Refuse(t.Context(), [32]byte{token}, reason, named("Refused-"+reason)); err != nil {
			t.Fatalf("Refuse: %v", err)
		}
	}
	for range 5 {
		refuse(1, "trust")
	}
	refuse(1, "node")
	refuse(2, "trust")
	if got := log.Head().Seq; got != 3 {
		t.Errorf("%d records within the minute, want 3", got)
	}
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	log.stop() // writes the counts

	events := read(t, dir)
	if len(events) != 4 {
		t.Fatalf("events %v, want the three refusals and one count", names(events))
	}
	count := events[3].AdditionalEventData.(map[string]any)
	if count["refusedAgain"] != 4.0 || count["firstEventID"] != events[0].EventID || count["reason"] != "trust" {
		t.Errorf("the count is %v, want 4 of %s", count, events[0].EventID)
	}
}

func TestUnauthenticatedIsSampled(t *testing.T) {
	dir := t.TempDir() + "/a"
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	log := start(t, dir, audit.Config{Now: func() time.Time { return now }})
	const calls = 1000
	for range calls {
		log.Unauthenticated(named("nobody"))
	}
	log.stop()
	text, err := os.ReadFile(filepath.Join(dir, "unauthenticated.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	kept, dropped := 0, 0
	for _, line := range lines {
		var e struct {
			EventName string
			Dropped   int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if e.EventName == "nobody" {
			kept++
		}
		dropped += e.Dropped
	}
	if kept == 0 || kept > 100 || kept+dropped != calls {
		t.Errorf("%d kept and %d dropped of %d, want at most 100 kept and all accounted for", kept, dropped, calls)
	}
	if got := log.Head().Seq; got != 0 {
		t.Errorf("%d records in the chain, want none", got)
	}
}
