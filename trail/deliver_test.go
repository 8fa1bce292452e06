package trail_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/trail"
)

// deliver runs a delivery until the log's last record is delivered, and stops it.
func deliver(t *testing.T, d *trail.Delivery) {
	t.Helper()
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); d.Delivered() < d.Log.Head().Seq; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not delivered within 30 s")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func delivery(log *audit.Log, dir string, sink trail.Sink) *trail.Delivery {
	return &trail.Delivery{
		Log: log, Dir: dir, Sink: sink, Writer: "server", Region: region, Account: ours, Each: time.Millisecond, Logger: quiet,
	}
}

// read returns the delivered events' names by account, and how many files there are.
func read(t *testing.T, dir string) (events map[string]string, files []string) {
	t.Helper()
	events = map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		files = append(files, name)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		from, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		text, err := io.ReadAll(from)
		var file struct{ Records []audit.Event }
		if err := errors.Join(err, f.Close(), json.Unmarshal(text, &file)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, e := range file.Records {
			events[strings.Split(filepath.ToSlash(name), "/")[1]] += e.EventName + " "
		}
		if strings.Contains(string(text), `"chain"`) {
			t.Errorf("%s: it has the links of the chain", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, files
}

func TestDeliveryHasCloudTrailsLayout(t *testing.T) {
	dir, to := t.TempDir()+"/audit", t.TempDir()
	log, _ := openLog(t, dir)
	commit(t, log, called(ours, "A"), called(theirs, "B"))
	commit(t, log, readObject(ours, "p", "k"))
	commit(t, log, &audit.Event{EventName: "Resume", ManagementEvent: true})
	deliver(t, delivery(log, dir, trail.Folder(to)))
	events, files := read(t, to)
	if events[ours] != "A GetObject Resume " || events[theirs] != "B " || len(events) != 2 || len(files) != 2 {
		t.Errorf("delivered %v in %v", events, files)
	}
	layout := regexp.MustCompile(`^AWSLogs/(\d{12})/CloudTrail/us-east-1/\d{4}/\d\d/\d\d/(\d{12})_CloudTrail_us-east-1_\d{8}T\d{4}Z_[A-Z0-9]{16}\.json\.gz$`)
	for _, name := range files {
		if found := layout.FindStringSubmatch(filepath.ToSlash(name)); found == nil || found[1] != found[2] {
			t.Errorf("%s is not named as CloudTrail names it", name)
		}
		if info, err := os.Stat(filepath.Join(to, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	// What was delivered is not delivered again.
	commit(t, log, called(ours, "C"))
	deliver(t, delivery(log, dir, trail.Folder(to)))
	if events, files := read(t, to); events[ours] != "A GetObject Resume C " && events[ours] != "C A GetObject Resume " || len(files) != 3 {
		t.Errorf("then delivered %v in %v", events, files)
	}
}

// TestALogThatBeginsAnewReplacesNoFile: a gateway whose folder does not stay begins with record 1 at each start, and two may start
// within a minute.
func TestALogThatBeginsAnewReplacesNoFile(t *testing.T) {
	to := t.TempDir()
	for _, name := range []string{"A", "B"} {
		dir := t.TempDir() + "/audit"
		log, _ := openLog(t, dir)
		commit(t, log, called(ours, name))
		d := delivery(log, dir, trail.Folder(to))
		d.Now = func() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }
		deliver(t, d)
	}
	if events, files := read(t, to); len(events[ours]) != len("A B ") || len(files) != 2 {
		t.Errorf("delivered %v in %v", events, files)
	}
}

// watched is a sink that says what it is brought.
type watched struct {
	trail.Sink
	put func()
}

func (w watched) Put(ctx context.Context, name string, body []byte) error {
	w.put()
	return w.Sink.Put(ctx, name, body)
}

// calledBy is an event of each of so many accounts.
func calledBy(accounts int) []*audit.Event {
	events := make([]*audit.Event, accounts)
	for i := range events {
		events[i] = called(fmt.Sprintf("%012d", i), "A")
	}
	return events
}

// TestABatchHasFewAccounts: each file under way takes half a megabyte, however little is in it.
func TestABatchHasFewAccounts(t *testing.T) {
	const many = 250
	dir, to := t.TempDir()+"/audit", &s3{objects: map[string][]byte{}}
	log, _ := openLog(t, dir)
	commit(t, log, calledBy(many)...)
	var d *trail.Delivery
	first := 0 // files before the first batch was there
	d = delivery(log, dir, watched{bucketOf(t, to), func() {
		if d.Delivered() == 0 {
			first++
		}
	}})
	deliver(t, d)
	if first > 100 || len(to.objects) != many {
		t.Errorf("%d files in the first batch, and %d in all, want one of each of the %d accounts", first, len(to.objects), many)
	}
}

// TestADeliveryEndsWithNothingLeft: what a gateway whose folder does not stay has not delivered by its end is gone.
func TestADeliveryEndsWithNothingLeft(t *testing.T) {
	const many = 250 // accounts, which are three batches
	// A bucket: the folders of so many accounts, each synced, could take a slow disk longer than an end may.
	dir, to := t.TempDir()+"/audit", &s3{objects: map[string][]byte{}}
	log, _ := openLog(t, dir)
	commit(t, log, calledBy(many)...)
	d := delivery(log, dir, bucketOf(t, to))
	d.Each = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(d.Open(), d.Run(ctx)); err != nil {
		t.Fatal(err)
	}
	if len(to.objects) != many {
		t.Errorf("the files of %d accounts are delivered, want %d", len(to.objects), many)
	}
}

// TestAKilledDeliveryGoesOn ends deliveries in the middle of a batch.
func TestAKilledDeliveryGoesOn(t *testing.T) {
	dir, to := t.TempDir()+"/audit", t.TempDir()
	log, _ := openLog(t, dir)
	commit(t, log, called(ours, "A"), called(theirs, "B"), called("777788889999", "C"))
	for i := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		d := delivery(log, dir, &killing{trail.Folder(to), i, cancel})
		if err := d.Open(); err != nil {
			t.Fatal(err)
		}
		if err := d.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		commit(t, log, called(ours, fmt.Sprintf("D%d", i))) // is not to get into the batch that was under way
	}
	deliver(t, delivery(log, dir, trail.Folder(to)))
	events, files := read(t, to)
	for account, want := range map[string]int{ours: 4, theirs: 1, "777788889999": 1} {
		if n := len(strings.Fields(events[account])); n != want {
			t.Errorf("account %s got %q, want %d events, each once", account, events[account], want)
		}
	}
	if len(files) > 6 {
		t.Errorf("files %v, want each account's once for each batch", files)
	}
}

// killing lets so many files through, and then none.
type killing struct {
	trail.Sink
	times int
	kill  func()
}

func (k *killing) Put(ctx context.Context, name string, body []byte) error {
	if k.times == 0 {
		k.kill()
		return errors.New("killed")
	}
	k.times--
	return k.Sink.Put(ctx, name, body)
}

func TestASinkThatFailsHoldsUpNobody(t *testing.T) {
	dir, to := t.TempDir()+"/audit", t.TempDir()
	log, _ := openLog(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	tried := 0
	d := delivery(log, dir, watched{&failing{trail.Folder(to), 1 << 30}, func() {
		if tried++; tried > 1 { // the first failure is there until it was seen
			<-ctx.Done()
		}
	}})
	metrics := prometheus.NewRegistry()
	d.Describe(metrics)
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		commit(t, log, called(ours, fmt.Sprintf("A%d", i)))
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(time.Millisecond) {
		err := testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP lanyard_trail_failures_total Attempts to deliver audit records that failed.
# TYPE lanyard_trail_failures_total counter
lanyard_trail_failures_total 1
# HELP lanyard_trail_undelivered_records Audit records that are not delivered yet.
# TYPE lanyard_trail_undelivered_records gauge
lanyard_trail_undelivered_records 20
`), "lanyard_trail_failures_total", "lanyard_trail_undelivered_records")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the metrics: %v", err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	deliver(t, delivery(log, dir, &failing{trail.Folder(to), 1}))
	if events, _ := read(t, to); len(strings.Fields(events[ours])) != 20 {
		t.Errorf("once the sink is back, delivered %v", events)
	}
}

// TestABacklogIsNoYoungerForABatch: each file takes a minute, and the sink fails after the first of three batches.
func TestABacklogIsNoYoungerForABatch(t *testing.T) {
	dir, to := t.TempDir()+"/audit", t.TempDir()
	log, _ := openLog(t, dir)
	commit(t, log, calledBy(250)...)
	ctx, cancel := context.WithCancel(t.Context())
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	sink := &killing{watched{trail.Folder(to), func() { now = now.Add(time.Minute) }}, 100, cancel}
	d := delivery(log, dir, sink)
	d.Now = func() time.Time { return now }
	metrics := prometheus.NewRegistry()
	d.Describe(metrics)
	behind := func(want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP lanyard_trail_behind_seconds How long audit records have been waiting for delivery.
# TYPE lanyard_trail_behind_seconds gauge
lanyard_trail_behind_seconds `+want+"\n"), "lanyard_trail_behind_seconds"); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(d.Open(), d.Run(ctx)); err != nil {
		t.Fatal(err)
	}
	behind("6000")
	// Who starts anew knows how long.
	d = delivery(log, dir, sink)
	d.Now = func() time.Time { return now }
	metrics = prometheus.NewRegistry()
	d.Describe(metrics)
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	behind("6000")
	sink.times = 1 << 30
	deliver(t, d)
	behind("0")
}

func TestIndexFindsWhatOthersDelivered(t *testing.T) {
	to := trail.Folder(t.TempDir())
	write := func(name, writer string, events ...*audit.Event) {
		t.Helper()
		dir := t.TempDir() + "/audit"
		log, _ := openLog(t, dir)
		for _, e := range events {
			commit(t, log, e)
		}
		d := delivery(log, dir, to)
		d.Writer = writer
		deliver(t, d)
	}
	write("gateway", "gateway/"+ours+"/a", readObject(ours, "cart-1", "x"), readObject(ours, "cart-2", "y"))
	dir := t.TempDir() + "/audit"
	log, _ := openLog(t, dir)
	commit(t, log, called(ours, "CreateRole"))
	deliver(t, delivery(log, dir, to))
	x := openIndex(t, trail.IndexConfig{Read: log.Read, Sink: to})
	for range 2 { // its own events come by both ways, and again
		if err := errors.Join(x.Fill(t.Context()), x.Scan(t.Context())); err != nil {
			t.Fatal(err)
		}
		got := names(t, x, trail.Query{Account: ours, Data: true})
		if len(strings.Fields(got)) != 3 || strings.Index(got, "y") > strings.Index(got, "x") { // CreateRole is of the second of either
			t.Errorf("got %q, want three events", got)
		}
	}
	write("replica", "another", called(ours, "DeleteRole"))
	if err := os.WriteFile(filepath.Join(string(to), "AWSLogs", ours, "CloudTrail", region, time.Now().UTC().Format("2006/01/02"), "x.json.gz"), []byte("no file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{Account: ours, Has: map[trail.Kind]string{trail.EventName: "DeleteRole"}}); got != "DeleteRole" {
		t.Errorf("of another replica: got %q", got)
	}
	// An index that is deleted is filled from both again.
	fresh := openIndex(t, trail.IndexConfig{Read: log.Read, Sink: to})
	if err := errors.Join(fresh.Scan(t.Context()), fresh.Fill(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := names(t, fresh, trail.Query{Data: true}); len(strings.Fields(got)) != 4 {
		t.Errorf("deleted and filled: got %q, want four events", got)
	}
}

// TestAnIndexWithoutItsLogHasWhatOthersDelivered: where the own log cannot be read.
func TestAnIndexWithoutItsLogHasWhatOthersDelivered(t *testing.T) {
	to, dir := trail.Folder(t.TempDir()), t.TempDir()+"/audit"
	log, _ := openLog(t, dir)
	commit(t, log, called(ours, "CreateRole"))
	deliver(t, delivery(log, dir, to))
	x := openIndex(t, trail.IndexConfig{Sink: to, Read: func(_ context.Context, from audit.Mark, _ func(audit.Found) bool) (audit.Mark, error) {
		return from, errors.New("the log is away")
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); names(t, x, trail.Query{Account: ours}) != "CreateRole"; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not found within 30 s")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestAFailureOfTheSinkIsToldOnce though an index has more to do between one look at the sink and the next.
func TestAFailureOfTheSinkIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		x, err := trail.OpenIndex(trail.IndexConfig{File: t.TempDir() + "/index", Sink: noList{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := errors.Join(x.Run(ctx), x.Close()); err != nil {
			t.Error(err)
		}
		if got := strings.Count(log.String(), "the sink is away"); got != 1 {
			t.Errorf("told %d times in a minute, want once:\n%s", got, &log)
		}
	})
}

type noList struct{ trail.Sink }

func (noList) List(context.Context, string) ([]trail.File, []string, error) {
	return nil, nil, errors.New("the sink is away")
}
