package session

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Cache remembers sessions that were opened, since one session signs many requests, each as the T that its user makes of
// it. It is safe for concurrent use.
//
// An entry counts for its key only as long as it could have been opened with it: entries are forgotten after a minute or
// two even when they are in use, so that a key that was taken away does not live on here.
type Cache[T any] struct {
	half int // entries in a generation
	of   func(*Session) *T

	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*T
	turned     time.Time
}

const generation = time.Minute

// NewCache returns a cache of at most size sessions; below 2 it is 2. What is remembered of each is made by of.
func NewCache[T any](size int, of func(*Session) *T) *Cache[T] {
	return &Cache[T]{half: max(size/2, 1), of: of, young: map[[sha256.Size]byte]*T{}}
}

// Open answers what the function Open does, from memory where it can. What it returns is shared: the session is not to be
// changed.
func (c *Cache[T]) Open(ring Ring, accessKeyID, token string, now time.Time) (*T, error) {
	if len(token) > maxToken || len(accessKeyID) > maxToken {
		_, err := Open(ring, accessKeyID, token) // which refuses it; not worth a digest
		return nil, err
	}
	var space [2048]byte // for most of both
	text := append(append(append(space[:0], accessKeyID...), 0), token...)
	key := sha256.Sum256(text)
	if found := c.find(key, now); found != nil {
		return found, nil
	}
	s, err := Open(ring, accessKeyID, token)
	if err != nil {
		return nil, err
	}
	made := c.of(s)
	c.add(key, made)
	return made, nil
}

func (c *Cache[T]) find(key [sha256.Size]byte, now time.Time) *T {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.turned); age > generation || age < 0 {
		c.turn()
		if age > 2*generation || age < 0 {
			c.old = nil
		}
		c.turned = now
	}
	if found := c.young[key]; found != nil {
		return found
	}
	return c.old[key]
}

func (c *Cache[T]) add(key [sha256.Size]byte, made *T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.half {
		c.turn()
	}
	c.young[key] = made
}

// turn makes the young generation the old one, and forgets that.
func (c *Cache[T]) turn() {
	c.old, c.young = c.young, make(map[[sha256.Size]byte]*T)
}
