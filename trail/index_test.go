package trail_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/trail"
)

func TestIndexFindsWhatTheLogHas(t *testing.T) {
	log, _ := openLog(t, t.TempDir()+"/audit")
	for _, name := range []string{"CreateRole", "GetRole"} {
		commit(t, log, called(ours, name))
		commit(t, log, called(theirs, name))
	}
	commit(t, log, readObject(ours, "cart-1", "a"), readObject(ours, "cart-2", "b"))
	commit(t, log, &audit.Event{EventName: "Resume", ManagementEvent: true})
	x := openIndex(t, trail.IndexConfig{Read: log.Read})
	if err := x.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	has := func(k trail.Kind, value string) map[trail.Kind]string { return map[trail.Kind]string{k: value} }
	for _, tt := range []struct {
		name string
		q    trail.Query
		want string
	}{
		{"management events of an account", trail.Query{Account: ours}, "GetRole CreateRole"},
		{"of another", trail.Query{Account: theirs}, "GetRole CreateRole"},
		{"of one that has none", trail.Query{Account: "777788889999"}, ""},
		{"of all", trail.Query{}, "Resume GetRole GetRole CreateRole CreateRole"},
		{"data events, too", trail.Query{Account: ours, Data: true}, "b a GetRole CreateRole"},
		{"by name", trail.Query{Account: ours, Has: has(trail.EventName, "GetRole")}, "GetRole"},
		{"by half a name", trail.Query{Account: ours, Has: has(trail.EventName, "GetRol")}, ""},
		{"a value of another kind", trail.Query{Account: ours, Has: has(trail.Username, "GetRole")}, ""},
		{"by user", trail.Query{Account: ours, Has: has(trail.Username, "administrator")}, "GetRole CreateRole"},
		{"by key", trail.Query{Account: ours, Has: has(trail.AccessKeyID, "AKIAEXAMPLE")}, "GetRole CreateRole"},
		{"by source", trail.Query{Account: ours, Has: has(trail.EventSource, "s3.amazonaws.com"), Data: true}, "b a"},
		{"by a resource's ARN", trail.Query{Data: true, Has: has(trail.ResourceName, "arn:aws:s3:::b/a")}, "a"},
		{"by a resource's name", trail.Query{Data: true, Has: has(trail.ResourceName, "b/a")}, "a"},
		{"by half a resource's name", trail.Query{Data: true, Has: has(trail.ResourceName, "b")}, ""},
		{"by type", trail.Query{Account: ours, Has: has(trail.ResourceType, "AWS::IAM::Role")}, "GetRole CreateRole"},
		{"by pod", trail.Query{Data: true, Has: has(trail.PodName, "cart-2")}, "b"},
		{"by namespace", trail.Query{Data: true, Has: has(trail.Namespace, "shop")}, "b a"},
		{"by service account", trail.Query{Data: true, Has: has(trail.ServiceAccount, "shop/cart")}, "b a"},
		{"by node", trail.Query{Data: true, Has: has(trail.Node, "node-1")}, "b a"},
		{"by association", trail.Query{Data: true, Has: has(trail.Association, "a-1")}, "b a"},
		{"by the role that called", trail.Query{Data: true, Has: has(trail.Role, "app")}, "b a"},
		{"by two values", trail.Query{Data: true, Has: map[trail.Kind]string{trail.PodName: "cart-1", trail.EventName: "GetObject"}}, "a"},
		{"by two that no event has", trail.Query{Data: true, Has: map[trail.Kind]string{trail.PodName: "cart-1", trail.EventName: "PutObject"}}, ""},
		{"since now", trail.Query{Account: ours, Since: time.Now().Add(-time.Minute)}, "GetRole CreateRole"},
		{"since later", trail.Query{Account: ours, Since: time.Now().Add(time.Minute)}, ""},
		{"until now", trail.Query{Account: ours, Until: time.Now()}, "GetRole CreateRole"},
		{"until earlier", trail.Query{Account: ours, Until: time.Now().Add(-time.Minute)}, ""},
	} {
		if got := names(t, x, tt.q); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestIndexFindsOverManyAccounts: each account has its own results, and there are more accounts than connections to the file.
func TestIndexFindsOverManyAccounts(t *testing.T) {
	const many = 300
	log, _ := openLog(t, t.TempDir()+"/audit")
	var all []*audit.Event
	for i := range many {
		account := fmt.Sprintf("%012d", i)
		all = append(all, called(account, "CreateRole"), readObject(account, "p", "k"))
	}
	commit(t, log, all...)
	x := openIndex(t, trail.IndexConfig{Read: log.Read})
	if err := x.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n := 0
	if err := x.Find(ctx, trail.Query{Data: true}, 0, func(trail.Found) bool { n++; return true }); err != nil || n != 2*many {
		t.Errorf("found %d events of %d: %v", n, 2*many, err)
	}
}

func TestIndexPages(t *testing.T) {
	log, _ := openLog(t, t.TempDir()+"/audit")
	x := openIndex(t, trail.IndexConfig{Read: log.Read})
	var want []string
	for i := range 30 {
		name := fmt.Sprintf("Call%d", i)
		commit(t, log, called(ours, name))
		want = append([]string{name}, want...)
		if i%7 == 0 { // the events of one second come in several transactions
			if err := x.Fill(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := x.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for page := 1; page < 32; page++ {
		var got []string
		before := int64(0)
		for range 40 {
			n := 0
			if err := x.Find(t.Context(), trail.Query{Account: ours}, before, func(f trail.Found) bool {
				r, _ := trail.ParseRecord(f.Text)
				got = append(got, r.EventName)
				before = f.ID
				n++
				return n < page
			}); err != nil {
				t.Fatal(err)
			}
			if n < page {
				break
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%d a page: got %v", page, got)
		}
	}
}

func TestIndexIsACache(t *testing.T) {
	dir, file := t.TempDir()+"/audit", filepath.Join(t.TempDir(), "index", "index.db")
	log, stop := openLog(t, dir)
	commit(t, log, called(ours, "A"))
	fill := func() string {
		x, err := trail.OpenIndex(trail.IndexConfig{File: file, Logger: quiet, Read: log.Read})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}()
		return names(t, x, trail.Query{})
	}
	if got := fill(); got != "A" {
		t.Errorf("at first: got %q", got)
	}
	commit(t, log, called(ours, "B"))
	if got := fill(); got != "B A" {
		t.Errorf("opened again: got %q", got)
	}
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	if got := fill(); got != "B A" {
		t.Errorf("deleted: got %q", got)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fill(); got != "B A" {
		t.Errorf("spoilt: got %q", got)
	}
	// A log that was replaced is taken from its beginning.
	stop()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	log, _ = openLog(t, dir)
	commit(t, log, called(ours, "C"))
	if got := fill(); got != "C B A" {
		t.Errorf("with another log: got %q", got)
	}
}

// TestIndexIsOvertaken: who asks does not wait for the index that fills itself at leisure, and neither takes an event twice.
func TestIndexIsOvertaken(t *testing.T) {
	log, _ := openLog(t, t.TempDir()+"/audit")
	const many = 700
	events := make([]*audit.Event, many)
	for i := range events {
		events[i] = called(ours, "CreateRole")
	}
	commit(t, log, events...)
	x := openIndex(t, trail.IndexConfig{Read: log.Read})
	ctx, stop := context.WithCancel(t.Context())
	var running, asking sync.WaitGroup
	running.Go(func() {
		if err := x.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		asking.Go(func() {
			if err := x.Fill(t.Context()); err != nil {
				t.Error(err)
			}
			if n := len(strings.Fields(names(t, x, trail.Query{}))); n != many {
				t.Errorf("%d events, want %d", n, many)
			}
		})
	}
	asking.Wait()
	commit(t, log, called(theirs, "GetRole"))
	for began := time.Now(); names(t, x, trail.Query{Account: theirs}) == ""; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("the one that fills itself does not go on")
		}
	}
	stop()
	running.Wait()
}

func TestIndexKeepsTheNewest(t *testing.T) {
	log, _ := openLog(t, t.TempDir()+"/audit")
	x := openIndex(t, trail.IndexConfig{Read: log.Read, Most: 5})
	for i := range 12 {
		commit(t, log, called(ours, fmt.Sprintf("Call%d", i)), readObject(ours, "p", fmt.Sprintf("key%d", i)))
		if err := x.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, x, trail.Query{}); got != "Call11 Call10 Call9 Call8 Call7" {
		t.Errorf("management events: got %q", got)
	}
	if got := names(t, x, trail.Query{Data: true, Has: map[trail.Kind]string{trail.EventName: "GetObject"}}); got != "key11 key10 key9 key8 key7" {
		t.Errorf("data events: got %q", got)
	}
	if got := names(t, x, trail.Query{Has: map[trail.Kind]string{trail.EventName: "Call3"}}); got != "" {
		t.Errorf("an old one: got %q", got)
	}
}

// TestAnAccountDrivesOutItsOwnEvents: who calls as much as the index holds takes the history of no other account.
func TestAnAccountDrivesOutItsOwnEvents(t *testing.T) {
	log, _ := openLog(t, t.TempDir()+"/audit")
	x := openIndex(t, trail.IndexConfig{Read: log.Read, Most: 6})
	commit(t, log, called(theirs, "A"), called(theirs, "B"))
	for i := range 30 {
		commit(t, log, called(ours, fmt.Sprintf("Call%d", i)))
		if i%10 == 0 {
			if err := x.Fill(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	commit(t, log, called(theirs, "C"))
	if err := x.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, x, trail.Query{Account: theirs}); got != "C B A" {
		t.Errorf("of the other: got %q", got)
	}
	if got := names(t, x, trail.Query{Account: ours}); got != "Call29 Call28 Call27" {
		t.Errorf("its own: got %q", got)
	}
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkFill is what an event costs the index.
func BenchmarkFill(b *testing.B) {
	log, _ := openLog(b, b.TempDir()+"/audit")
	for done := 0; done < b.N; {
		n := min(500, b.N-done)
		events := make([]*audit.Event, n)
		for i := range events {
			events[i] = called(ours, fmt.Sprintf("Call%d", (done+i)%50))
		}
		commit(b, log, events...)
		done += n
	}
	x := openIndex(b, trail.IndexConfig{Read: log.Read})
	b.ResetTimer()
	before := processorTime(b)
	if err := x.Fill(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// slow is a sink that takes its time to give a file out.
type slow struct{ trail.Sink }

func (s slow) Get(ctx context.Context, name string) ([]byte, error) {
	time.Sleep(10 * time.Second)
	return s.Sink.Get(ctx, name)
}

// TestASlowSinkIsNotRestedFor: while the index waits for a store it takes nothing from anybody.
func TestASlowSinkIsNotRestedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to, now := t.TempDir(), time.Now()
		for _, name := range []string{"A", "B", "C"} {
			brought(t, to, ours, name, events(record(ours, name, now)))
		}
		x := openIndex(t, trail.IndexConfig{Sink: slow{trail.Folder(to)}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- x.Run(ctx) }()
		time.Sleep(time.Minute)
		if got := names(t, x, trail.Query{}); got != "C B A" {
			t.Errorf("after a minute: got %q, want all of three files, each of which takes ten seconds", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
