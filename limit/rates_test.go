package limit_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/limit"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// count asks n times at one moment and returns how often the answer was yes.
func count(r *limit.Rates, key string, n int, now time.Time) int {
	allowed := 0
	for range n {
		if r.Allow(key, now) {
			allowed++
		}
	}
	return allowed
}

func TestRatesBurstAndRefill(t *testing.T) {
	r := limit.NewRates(10, 5, 100)
	if got := count(r, "a", 20, start); got != 5 {
		t.Errorf("at once: %d allowed, want the burst of 5", got)
	}
	if got := count(r, "a", 20, start.Add(99*time.Millisecond)); got != 0 {
		t.Errorf("after 99 ms: %d allowed, want 0", got)
	}
	if got := count(r, "a", 20, start.Add(200*time.Millisecond)); got != 2 {
		t.Errorf("after 200 ms: %d allowed, want 2", got)
	}
	if got := count(r, "a", 20, start.Add(time.Hour)); got != 5 {
		t.Errorf("after an hour: %d allowed, want the burst of 5 and no more", got)
	}
}

func TestRatesAreApart(t *testing.T) {
	r := limit.NewRates(10, 5, 100)
	if got := count(r, "203.0.113.1", 1000, start); got != 5 {
		t.Errorf("the flood: %d allowed, want 5", got)
	}
	if !r.Allow("203.0.113.2", start) {
		t.Error("another address was refused during the flood")
	}
}

func TestRatesFloodOfKeys(t *testing.T) {
	const keys, burst = 64, 5
	r := limit.NewRates(1, burst, keys)
	if got := count(r, "victim", 100, start); got != burst {
		t.Fatalf("the victim before the flood: %d allowed, want %d", got, burst)
	}
	allowed := 0
	for i := range 100_000 {
		if r.Allow("flood-"+strconv.Itoa(i), start) {
			allowed++
		}
	}
	// 16 sets of 7 slots: each key in a slot has one request so far; the rest share one burst a set.
	if most := 16*7 + 16*burst; allowed > most {
		t.Errorf("a flood of distinct keys: %d allowed, want at most %d", allowed, most)
	}
	if r.Allow("victim", start) {
		t.Error("the flood gave an emptied bucket back")
	}
	if !r.Allow("victim", start.Add(time.Second)) {
		t.Error("a second later the victim's bucket has one token, but it was refused")
	}
	if got := count(r, "newcomer", 100, start.Add(time.Hour)); got != burst {
		t.Errorf("a newcomer after the flood: %d allowed, want %d", got, burst)
	}
}

func TestRatesClockSetBack(t *testing.T) {
	r := limit.NewRates(1, 5, 10)
	count(r, "a", 100, start)
	back := start.Add(-24 * time.Hour)
	if r.Allow("a", back) {
		t.Error("a clock set back filled an empty bucket")
	}
	if !r.Allow("a", back.Add(time.Second)) {
		t.Error("a clock set back locked the key out for longer than a token takes")
	}
}

func TestRatesExtremes(t *testing.T) {
	for _, perSecond := range []float64{-1, 0, 1e-300, 1e300} {
		r := limit.NewRates(perSecond, -1, -1)
		if !r.Allow("a", start) {
			t.Errorf("rate %g: the first request was refused", perSecond)
		}
		if perSecond < 1 && r.Allow("a", start.Add(time.Hour)) {
			t.Errorf("rate %g: a second request within the hour was allowed", perSecond)
		}
	}
}

func TestRatesDoNotAllocate(t *testing.T) {
	r := limit.NewRates(1, 1, 10)
	if n := testing.AllocsPerRun(100, func() { r.Allow("arn:aws:iam::111122223333:role/pay-api", start) }); n != 0 {
		t.Errorf("Allow makes %g allocations, want none", n)
	}
}

func TestSource(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"IPv4", "192.0.2.7:41000", "192.0.2.7"},
		{"IPv4 without port", "192.0.2.7", "192.0.2.7"},
		{"IPv6", "[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"},
		{"same network", "[2001:db8:1:2:ffff::1]:1", "2001:db8:1:2::/64"},
		{"another network", "[2001:db8:1:3::1]:1", "2001:db8:1:3::/64"},
		{"IPv6 without port", "2001:db8::1", "2001:db8::/64"},
		{"zone", "[fe80::1%eth0]:80", "fe80::/64"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.7]:80", "192.0.2.7"},
		{"unix socket", "@", "@"},
		{"nothing", "", ""},
		{"a name", "example.com:80", "example.com:80"},
	}
	for _, tt := range tests {
		if got := limit.Source(tt.in); got != tt.want {
			t.Errorf("%s: Source(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	r := limit.NewRates(1e6, 1e4, 65536)
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprintf("arn:aws:sts::111122223333:assumed-role/lanyard-agent/node-%d", i)
	}
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.Allow(keys[i&1023], start)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				r.Allow(keys[i&1023], start)
			}
		})
	})
}

func BenchmarkSource(b *testing.B) {
	for _, peer := range []string{"192.0.2.7:41000", "[2001:db8:1:2:3:4:5:6]:443"} {
		b.Run(peer, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				limit.Source(peer)
			}
		})
	}
}
