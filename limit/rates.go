// Package limit keeps one caller's load from becoming everyone's: rates per key, and a bound of concurrency with a reserve.
//
// The rate is the generic cell rate algorithm (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm), which is a token
// bucket in one number: a key costs sixteen bytes, whatever its length, and memory is fixed when the limiter is made.
package limit

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// slots is the number of keys that share a lock; with it and the common slot a set is two cache lines.
	slots = 7
	// spread is how many keys a set is meant for. The difference to slots is room for sets that get more than their share.
	spread = 4
)

// Rates is a token bucket for each key. A flood of distinct keys cannot win: a bucket is forgotten only when it is full
// again, so forgetting gives nobody tokens back, and where no bucket may be forgotten the newcomers share one. To get
// there a flood has to send as many requests a second as all keys together are allowed.
type Rates struct {
	seed  maphash.Seed // random, so that nobody can aim at another's set
	sets  []set
	cost  int64 // nanoseconds that one request takes from a bucket
	depth int64 // nanoseconds of a whole bucket
}

// set holds a few buckets as the moment, in Unix nanoseconds, when each is full again: in the past, it is full now.
type set struct {
	mu     sync.Mutex
	common int64 // the bucket of those who find no slot
	keys   [slots]uint64
	full   [slots]int64
}

// NewRates allows each key perSecond requests a second and burst at once, for about as many keys as are given at a time.
// Rates of zero or less allow nothing beyond one burst in a day; burst and keys are at least 1.
func NewRates(perSecond float64, burst, keys int) *Rates {
	cost := int64(24 * time.Hour)
	if perSecond > 0 {
		cost = int64(max(1, min(float64(cost), float64(time.Second)/perSecond)))
	}
	return &Rates{
		seed:  maphash.MakeSeed(),
		sets:  make([]set, (max(1, keys)+spread-1)/spread),
		cost:  cost,
		depth: cost * int64(max(1, min(burst, 1<<16))),
	}
}

// Allow takes a token from the key's bucket and reports whether there was one. It does not allocate.
func (r *Rates) Allow(key string, now time.Time) bool {
	hash := maphash.String(r.seed, key) | 1 // zero is a slot that was never used
	s := &r.sets[(hash>>32)*uint64(len(r.sets))>>32]
	nanos := now.UnixNano()

	s.mu.Lock()
	defer s.mu.Unlock()
	unused := -1
	for i := range s.keys {
		if s.keys[i] == hash {
			return r.take(&s.full[i], nanos)
		}
		// Later than a whole bucket from now is only possible when the clock was set back.
		if unused < 0 && (s.full[i] <= nanos || s.full[i] > nanos+r.depth) {
			unused = i
		}
	}
	if unused < 0 {
		return r.take(&s.common, nanos)
	}
	s.keys[unused], s.full[unused] = hash, nanos
	return r.take(&s.full[unused], nanos)
}

func (r *Rates) take(full *int64, now int64) bool {
	// A clock that was set back may not lock anybody out for longer than an empty bucket does.
	at := min(max(*full, now), now+r.depth)
	if at+r.cost > now+r.depth {
		*full = at
		return false
	}
	*full = at + r.cost
	return true
}

// Source is the key of a peer, from a request's RemoteAddr: the address without its port. IPv6 addresses count by their
// /64, the smallest network that one customer is given. What is no address, such as a unix socket's name, is its own key.
func Source(remoteAddr string) string {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		host = remoteAddr
	}
	address, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return remoteAddr
	case address.Is4():
		return host // a part of the argument: no allocation
	case address.Is4In6():
		return address.Unmap().String()
	}
	network, err := address.WithZone("").Prefix(64)
	if err != nil {
		return remoteAddr
	}
	return network.String()
}
