package sigv4_test

import (
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"github.com/openlanyard/lanyard/sigv4"
)

func TestDerive(t *testing.T) {
	// The values are the example of AWS's documentation of the derivation.
	key := sigv4.Derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam")
	if got, want := hex.EncodeToString(key[:]), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"; got != want {
		t.Errorf("Derive = %s, want %s", got, want)
	}
}

func TestCache(t *testing.T) {
	cache := sigv4.NewCache(4)
	for range 3 {
		for i := range 10 { // more than it holds
			region := fmt.Sprint("r", i)
			for _, s := range []string{"one", "two"} {
				if got, want := cache.Derive(s, "20260309", region, "s3"), sigv4.Derive(s, "20260309", region, "s3"); got != want {
					t.Errorf("the cache has another key for %s in %s", s, region)
				}
			}
		}
	}
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	cache := sigv4.NewCache(8)
	want := sigv4.Derive(secret, "20260309", "r3", "s3")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 100 {
				if got := cache.Derive(secret, "20260309", fmt.Sprint("r", i%16), "s3"); (got == want) != (i%16 == 3) {
					t.Errorf("the cache mixes keys at %d", i)
				}
			}
		})
	}
	wait.Wait()
}

func BenchmarkDerive(b *testing.B) {
	for b.Loop() {
		sigv4.Derive(secret, "20260309", "us-east-1", "s3")
	}
}

func BenchmarkCacheDerive(b *testing.B) {
	cache := sigv4.NewCache(1024)
	for b.Loop() {
		cache.Derive(secret, "20260309", "us-east-1", "s3")
	}
}

func BenchmarkParse(b *testing.B) {
	r := signed(b, "s3")
	for b.Loop() {
		if _, err := sigv4.Parse(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify has the key at hand, as a door with a Cache has.
func BenchmarkVerify(b *testing.B) {
	for _, service := range []string{"s3", "eks"} {
		b.Run(service, func(b *testing.B) {
			r := signed(b, service)
			s, err := sigv4.Parse(r)
			if err != nil {
				b.Fatal(err)
			}
			key := sigv4.Derive(secret, s.Date, s.Region, s.Service)
			for b.Loop() {
				if err := s.Verify(r, key, emptyHash); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
