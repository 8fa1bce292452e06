package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// filled returns a notebook, not connected to anything, whose copy has n records.
func filled(n int) (*notebook, []string) {
	s := &Store{master: NewMasterKey(), tables: map[string]table{}, faulty: map[string]error{}}
	book := declare(s)
	keys := make([]string, n)
	for i := range n {
		keys[i] = fmt.Sprintf("c-0123456789abcdef/namespace-%04d/service-account-%07d", i%1000, i)
		book.notes.replace(&record[*note]{key: keys[i], value: &note{Owner: keys[i], N: i}, modified: int64(i + 1)})
	}
	return book, keys
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		book, keys := filled(n)
		step := n/2 + 7_919 // walks over the keys without a pattern that a cache could like
		b.Run(fmt.Sprintf("floor, a map and a mutex/records=%d", n), func(b *testing.B) {
			var mu sync.Mutex
			plain := map[string]*note{}
			for _, key := range keys {
				plain[strings.Clone(key)] = &note{}
			}
			at := 0
			for b.Loop() {
				at = (at + step) % n
				mu.Lock()
				found := plain[keys[at]]
				mu.Unlock()
				if found.N != 0 {
					b.Fatal("not found")
				}
			}
		})
		b.Run(fmt.Sprintf("key/records=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				at = (at + step) % n
				if _, ok, err := book.notes.Get(keys[at]); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
		b.Run(fmt.Sprintf("index/records=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				at = (at + step) % n
				if len(book.byOwner.Get(keys[at])) != 1 {
					b.Fatal("not found")
				}
			}
		})
		b.Run(fmt.Sprintf("parallel/records=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				at := 0
				for pb.Next() {
					at = (at + step) % n
					if _, ok, err := book.notes.Get(keys[at]); !ok || err != nil {
						b.Error(ok, err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkStart measures a restart on a full folder: etcd's own start, the one range, and the decoding.
func BenchmarkStart(b *testing.B) {
	const records, each = 100_000, 1000
	config := Config{Dir: folder(b), MasterKey: NewMasterKey()}
	book := open(b, config)
	for i := range records / each {
		err := book.Update(b.Context(), func(tx *Tx) error {
			for j := range each {
				key := fmt.Sprintf("c-0123456789abcdef/namespace-%03d/service-account-%07d", j, i*each+j)
				if err := book.notes.Put(tx, key, &note{Owner: key, Text: strings.Repeat("x", 250)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := book.Close(); err != nil {
			b.Fatal(err)
		}
		if book = open(b, config); book.notes.Count("") != records {
			b.Fatal("records are missing")
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	book := fresh(b)
	b.Run("one writer", func(b *testing.B) {
		for b.Loop() {
			book.put(b, "x", &note{Owner: "ann", Text: "some text"})
		}
	})
	b.Run("64 writers", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			key := fmt.Sprintf("%p", pb)
			for pb.Next() {
				if err := book.increment(b.Context(), key); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	for i := range 5000 {
		book.put(b, fmt.Sprintf("c/%05d", i), &note{Owner: "ann"})
	}
	b.Run("under a limit of 5000", func(b *testing.B) {
		for b.Loop() {
			err := book.Update(b.Context(), func(tx *Tx) error {
				if n := book.notes.ReadCount(tx, "c/"); n != 5000 {
					return fmt.Errorf("got %d records", n)
				}
				return book.notes.Put(tx, "c/00000", &note{Owner: "bob"})
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBarrier(b *testing.B) {
	sole := fresh(b)
	b.Run("sole member", func(b *testing.B) {
		for b.Loop() {
			if err := sole.Barrier(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	r := startReplicas(b)
	r.startSecond(b)
	b.Run("external etcd", func(b *testing.B) {
		for b.Loop() {
			if err := r.second.Barrier(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("external etcd, 64 at once", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := r.second.Barrier(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
