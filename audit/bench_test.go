package audit_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/audit"
)

// BenchmarkRecord makes, fills and encodes the pair of events of one pod's credentials.
func BenchmarkRecord(b *testing.B) {
	log := start(b, b.TempDir()+"/a", audit.Config{})
	b.ReportAllocs()
	for b.Loop() {
		place := reserve(b, log.Log)
		place.Record(asked(), issued())
		place.Release()
	}
}

// BenchmarkEvents makes the pair alone: the caller's share of Record.
func BenchmarkEvents(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		asked()
		issued()
	}
}

// BenchmarkEncodingJSON is the peer: the standard library on the same pair.
func BenchmarkEncodingJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		for _, e := range []*audit.Event{asked(), issued()} {
			if _, err := json.Marshal(e); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkCommit records the pair with as many at a time as a busy server has under way.
func BenchmarkCommit(b *testing.B) { benchmark(b, (*audit.Place).Commit) }

// BenchmarkWrite does so without waiting for the disk.
func BenchmarkWrite(b *testing.B) { benchmark(b, (*audit.Place).Write) }

// benchmark reports the processor time of the whole process beside the time on the clock, which is the disk's.
func benchmark(b *testing.B, submit func(*audit.Place, context.Context) error) {
	log := start(b, b.TempDir()+"/a", audit.Config{})
	b.ReportAllocs()
	b.SetParallelism(64)
	before := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			place, err := log.Reserve()
			if err != nil {
				b.Error(err)
				return
			}
			place.Record(asked(), issued())
			if err := submit(place, b.Context()); err != nil {
				b.Error(err)
			}
			place.Release()
		}
	})
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkFind looks for what is not there, which reads the whole log: the rate is that of one lookup.
func BenchmarkFind(b *testing.B) {
	dir := b.TempDir() + "/a"
	log := start(b, dir, audit.Config{})
	for range 200 {
		place := reserve(b, log.Log)
		for range 100 {
			place.Record(asked(), issued())
		}
		if err := place.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		place.Release()
	}
	q := audit.Query{Contains: [][]byte{[]byte(`"managementEvent":true`), []byte(`"eventName":"None"`)}}
	b.SetBytes(bytesOf(b, dir))
	for b.Loop() {
		if _, err := log.Find(b.Context(), q, audit.Mark{}, func(audit.Found) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}

func bytesOf(b *testing.B, dir string) (size int64) {
	files, err := filepath.Glob(dir + "/audit-*.jsonl")
	if err != nil || len(files) == 0 {
		b.Fatalf("no audit files: %v", err)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	return size
}
