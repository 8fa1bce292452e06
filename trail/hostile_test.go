package trail_test

import (
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/trail"
)

// brought puts a file into an account's folder of today, as somebody may who can write there.
func brought(t *testing.T, to, account, name string, write func(w io.Writer)) (file string) {
	t.Helper()
	file = filepath.Join(dayFolder(t, to, account), name+".json.gz")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	packed := gzip.NewWriter(f)
	write(packed)
	if err := errors.Join(packed.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return file
}

func dayFolder(t *testing.T, to, account string) string {
	t.Helper()
	dir := filepath.Join(to, "AWSLogs", account, "CloudTrail", region, time.Now().UTC().Format("2006/01/02"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// events writes a log file.
func events(records ...string) func(io.Writer) {
	return func(w io.Writer) { _, _ = fmt.Fprintf(w, `{"Records":[%s]}`, strings.Join(records, ",")) }
}

func record(account, name string, at time.Time) string {
	return fmt.Sprintf(`{"eventID":%q,"eventName":%q,"eventTime":%q,"managementEvent":true,"recipientAccountId":%q}`,
		name+account, name, at.UTC().Format(time.RFC3339), account)
}

func scanned(t *testing.T, to string) *trail.Index {
	t.Helper()
	x := openIndex(t, trail.IndexConfig{Sink: trail.Folder(to)})
	if err := x.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}

// TestEventsAreOfTheAccountWhoseFolderTheyAreIn: who may write an account's folder alone invents no events of another.
func TestEventsAreOfTheAccountWhoseFolderTheyAreIn(t *testing.T) {
	to, now := t.TempDir(), time.Now()
	brought(t, to, ours, "a", events(record(ours, "Own", now), record(theirs, "Invented", now), record("", "Resume", now)))
	brought(t, to, "no-account", "b", events(record(ours, "Elsewhere", now), record("no-account", "Strange", now)))
	x := scanned(t, to)
	if got := names(t, x, trail.Query{Account: ours}); got != "Own" {
		t.Errorf("of the folder's account: got %q", got)
	}
	if got := names(t, x, trail.Query{Account: theirs}); got != "" {
		t.Errorf("of another account: got %q", got)
	}
	if got := names(t, x, trail.Query{}); got != "Resume Own" {
		t.Errorf("of all: got %q", got)
	}
}

// TestEventsOfTheFutureAreNotTaken: they would be the last to go when the index has too many.
func TestEventsOfTheFutureAreNotTaken(t *testing.T) {
	to, now := t.TempDir(), time.Now()
	brought(t, to, ours, "a", events(record(ours, "Late", now.Add(24*time.Hour)), record(ours, "Now", now), record(ours, "Never", now.AddDate(7000, 0, 0))))
	if got := names(t, scanned(t, to), trail.Query{}); got != "Now" {
		t.Errorf("got %q", got)
	}
}

// TestAnOldEventTakesNoOtherWithIt: one that is about to be too old is brought to an index whose own are young.
func TestAnOldEventTakesNoOtherWithIt(t *testing.T) {
	log, _ := openLog(t, t.TempDir()+"/audit")
	now, to := time.Now(), t.TempDir()
	x := openIndex(t, trail.IndexConfig{Read: log.Read, Sink: trail.Folder(to), Now: func() time.Time { return now }})
	commit(t, log, called(ours, "A"), called(ours, "B"))
	brought(t, to, ours, "a", events(record(ours, "Old", now.Add(-90*24*time.Hour+2*time.Second))))
	if err := errors.Join(x.Fill(t.Context()), x.Scan(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{}); got != "B A Old" {
		t.Errorf("at first: got %q", got)
	}
	now = now.Add(10 * time.Second)
	commit(t, log, called(ours, "C"))
	if err := x.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{}); got != "C B A" {
		t.Errorf("then: got %q", got)
	}
}

// TestBombsAreLeftOut: a file of a hundred kilobytes may be one of gigabytes when it is unpacked, or in memory.
func TestBombsAreLeftOut(t *testing.T) {
	repeated := func(before, text, after string, times int) func(io.Writer) {
		return func(w io.Writer) {
			defer func() { _, _ = io.WriteString(w, after) }()
			_, _ = io.WriteString(w, before)
			block := strings.Repeat(text, 1<<10)
			for range times >> 10 {
				_, _ = io.WriteString(w, block)
			}
		}
	}
	for name, write := range map[string]func(io.Writer){
		"many small records":   repeated(`{"Records":[`, "0,", `0]}`, 40<<20),
		"one large record":     repeated(`{"Records":[{"eventID":"`, "x", `"}]}`, 100<<20),
		"another large member": repeated(`{"Other":"`, "x", `","Records":[]}`, 100<<20),
		"white space":          repeated(`{"Records":[`, " ", `]}`, 100<<20),
		"deep records":         repeated(`{"Records":[`, "[", ``, 100<<20),
		"endless white space":  repeated(``, "\n", `{"Records":[]}`, 100<<20),
	} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			brought(t, to, ours, "a", write)
			brought(t, to, ours, "b", events(record(ours, "Whole", time.Now())))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			x := scanned(t, to)
			runtime.ReadMemStats(&after)
			if got := names(t, x, trail.Query{}); got != "Whole" {
				t.Errorf("got %q", got)
			}
			if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 64 {
				t.Errorf("it cost %d MiB of memory", n)
			}
		})
	}
}

// TestTheLargestRecordsAreTaken: the log's bound is 256 KiB.
func TestTheLargestRecordsAreTaken(t *testing.T) {
	to, now := t.TempDir(), time.Now()
	var all []string
	for i := range 40 {
		name := fmt.Sprintf("Call%d", i)
		all = append(all, strings.TrimSuffix(record(ours, name, now), "}")+`,"requestParameters":{"x":"`+strings.Repeat("x", 256<<10)+`"}}`)
	}
	brought(t, to, ours, "a", events(all...))
	if got := strings.Fields(names(t, scanned(t, to), trail.Query{})); len(got) != len(all) {
		t.Errorf("got %d of %d events", len(got), len(all))
	}
}

// TestARecordIsFoundByFewResources: one of the log's has a handful, and one that was brought may have ten thousand.
func TestARecordIsFoundByFewResources(t *testing.T) {
	to, file := t.TempDir(), filepath.Join(t.TempDir(), "index.db")
	var all []string
	for i := range 10_000 {
		all = append(all, fmt.Sprintf(`{"ARN":"arn:aws:s3:::b/%d"}`, i))
	}
	brought(t, to, ours, "a", events(strings.TrimSuffix(record(ours, "Wide", time.Now()), "}")+`,"resources":[`+strings.Join(all, ",")+`]}`))
	x := openIndex(t, trail.IndexConfig{File: file, Sink: trail.Folder(to)})
	if err := x.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{Has: map[trail.Kind]string{trail.ResourceName: "b/0"}}); got != "Wide" {
		t.Errorf("by its first resource: got %q", got)
	}
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	var terms int
	if err := errors.Join(db.QueryRow("SELECT count(*) FROM management_term").Scan(&terms), db.Close()); err != nil || terms > 1000 {
		t.Errorf("it has %d terms in the index (%v)", terms, err)
	}
}

// TestWhatIsNoFileIsNotRead: what lies in a folder under a log file's name may have no end, or lead out of it.
func TestWhatIsNoFileIsNotRead(t *testing.T) {
	to := t.TempDir()
	elsewhere := brought(t, t.TempDir(), ours, "x", events(record(ours, "Elsewhere", time.Now())))
	brought(t, to, ours, "z", events(record(ours, "Whole", time.Now())))
	dir := dayFolder(t, to, ours)
	sparse := filepath.Join(dir, "c.json.gz")
	for _, err := range []error{
		syscall.Mkfifo(filepath.Join(dir, "a.json.gz"), 0o600),
		os.Symlink(elsewhere, filepath.Join(dir, "b.json.gz")),
		os.WriteFile(sparse, nil, 0o600), os.Truncate(sparse, 1<<40),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, scanned(t, to), trail.Query{}); got != "Whole" {
		t.Errorf("got %q", got)
	}
	other := filepath.Join(to, "AWSLogs", "000000000000") // the first of all, with a pipe in the place of a folder
	if err := errors.Join(os.MkdirAll(other, 0o700), syscall.Mkfifo(filepath.Join(other, "CloudTrail"), 0o600)); err != nil {
		t.Fatal(err)
	}
	x := openIndex(t, trail.IndexConfig{Sink: trail.Folder(to)})
	if err := x.Scan(t.Context()); err == nil {
		t.Error("nothing is told of the pipe")
	}
	if got := names(t, x, trail.Query{}); got != "Whole" {
		t.Errorf("beside a pipe: got %q", got)
	}
	for _, name := range []string{"a", "b", "c"} { // which may have taken a file's place since the folder was listed
		file, err := filepath.Rel(to, filepath.Join(dir, name+".json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := trail.Folder(to).Get(t.Context(), filepath.ToSlash(file)); err == nil {
			t.Errorf("%s: read %d bytes", name, len(text))
		}
	}
}

// refusing is a sink that does not give out one file.
type refusing struct {
	trail.Sink
	name string
	err  error
}

func (r refusing) Get(ctx context.Context, name string) ([]byte, error) {
	if strings.Contains(name, r.name) {
		return nil, r.err
	}
	return r.Sink.Get(ctx, name)
}

// TestOneAccountsFolderHidesNoOther: the first file of all cannot be read.
func TestOneAccountsFolderHidesNoOther(t *testing.T) {
	to, now := t.TempDir(), time.Now()
	brought(t, to, ours, "bad", events(record(ours, "Bad", now)))
	brought(t, to, theirs, "good", events(record(theirs, "Good", now)))
	x := openIndex(t, trail.IndexConfig{Sink: refusing{trail.Folder(to), "bad", errors.New("the store is away")}})
	if err := x.Scan(t.Context()); err == nil {
		t.Error("nothing is told of the file that was not read")
	}
	if got := names(t, x, trail.Query{}); got != "Good" {
		t.Errorf("got %q", got)
	}
	x.Sink = trail.Folder(to) // it is read when it can be
	if err := x.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(strings.Fields(names(t, x, trail.Query{}))); got != 2 {
		t.Errorf("then got %d events", got)
	}
}

// counting is a sink that counts how often it is asked for a list.
type counting struct {
	trail.Sink
	lists *int
}

func (c counting) List(ctx context.Context, prefix string) ([]trail.File, []string, error) {
	*c.lists++
	return c.Sink.List(ctx, prefix)
}

// TestAnAccountHasFewRegions: each is a question a day, and who may write an account's folder makes as many as the others wait for.
func TestAnAccountHasFewRegions(t *testing.T) {
	to, now, lists := t.TempDir(), time.Now(), 0
	brought(t, to, ours, "a", events(record(ours, "Own", now)))
	brought(t, to, theirs, "b", events(record(theirs, "Other", now)))
	for i := range 200 {
		if err := os.MkdirAll(filepath.Join(to, "AWSLogs", ours, "CloudTrail", fmt.Sprintf("zz-%d", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	x := openIndex(t, trail.IndexConfig{Sink: counting{trail.Folder(to), &lists}})
	if err := x.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{}); got != "Other Own" && got != "Own Other" {
		t.Errorf("got %q", got)
	}
	if most := 70 * 92; lists > most {
		t.Errorf("it is asked for %d lists, want at most %d", lists, most)
	}
}

// TestASecondMayBeFull: whoever fills a second's numbers keeps no event of the log out of the index.
func TestASecondMayBeFull(t *testing.T) {
	log, _ := openLog(t, t.TempDir()+"/audit")
	file := filepath.Join(t.TempDir(), "index.db")
	x := openIndex(t, trail.IndexConfig{File: file, Read: log.Read})
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	for second := time.Now().Unix() - 5; second < time.Now().Unix()+30; second++ { // the last number of each, as after a million events
		if _, err := db.Exec("INSERT INTO management VALUES (?, '{}'), (?, '{}')", second<<20, (second+1)<<20-1); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	commit(t, log, called(ours, "A"), called(ours, "B"))
	if err := x.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{Account: ours}); got != "B A" {
		t.Errorf("got %q", got)
	}
}
