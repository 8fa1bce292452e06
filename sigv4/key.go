package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// Key signs one day's requests to one service in one region. It is what a gateway may hold in a secret's place, and is
// itself a secret for that day.
type Key [sha256.Size]byte

// Format hides the key from every verb of package fmt.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "REDACTED") }

// LogValue hides the key from logs.
func (Key) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Derive computes the signing key of a secret for a scope; date is YYYYMMDD.
func Derive(secret, date, region, service string) Key {
	sum := mac([]byte("AWS4"+secret), []byte(date))
	for _, part := range [...]string{region, service, terminator} {
		sum = mac(sum[:], []byte(part))
	}
	return sum
}

func mac(key, message []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	h.Sum(sum[:0])
	return sum
}

// Cache remembers derived keys. It is safe for concurrent use.
//
// A caller picks date, region and service before its signature is known to be good, so anyone who knows a key id can make
// entries. The cache is therefore bounded and forgets by halves: such a caller costs the others a derivation, no more.
type Cache struct {
	half int // entries in a generation

	mu         sync.Mutex
	young, old map[cacheKey]Key
}

// cacheKey holds a digest in the secret's place, so that the cache is no second store of secrets.
type cacheKey struct {
	secret                [sha256.Size]byte
	date, region, service string
}

// NewCache returns a cache of at most size keys; below 2 it is 2.
func NewCache(size int) *Cache {
	return &Cache{half: max(size/2, 1), young: map[cacheKey]Key{}}
}

// Derive answers what the function Derive does, from memory where it can.
func (c *Cache) Derive(secret, date, region, service string) Key {
	k := cacheKey{sha256.Sum256([]byte(secret)), date, region, service}
	c.mu.Lock()
	key, ok := c.find(k)
	c.mu.Unlock()
	if ok {
		return key
	}
	key = Derive(secret, date, region, service)
	// The strings are pieces of an Authorization header, which an entry must not keep whole.
	k.date, k.region, k.service = strings.Clone(date), strings.Clone(region), strings.Clone(service)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, key)
	return key
}

// find looks in both generations; what is still in use moves to the young one, and so outlives the old.
func (c *Cache) find(k cacheKey) (Key, bool) {
	if key, ok := c.young[k]; ok {
		return key, true
	}
	key, ok := c.old[k]
	if ok {
		c.add(k, key)
	}
	return key, ok
}

func (c *Cache) add(k cacheKey, key Key) {
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[cacheKey]Key, c.half)
	}
	c.young[k] = key
}
