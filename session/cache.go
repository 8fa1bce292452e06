package session

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Cache remembers sessions that were opened, since one session signs many requests. It is safe for concurrent use.
//
// An entry counts for its key only as long as it could have been opened with it: entries are forgotten after a minute or
// two even when they are in use, so that a key that was taken away does not live on here.
type Cache struct {
	half int // entries in a generation

	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*Session
	turned     time.Time
}

const generation = time.Minute

// NewCache returns a cache of at most size sessions; below 2 it is 2.
func NewCache(size int) *Cache {
	return &Cache{half: max(size/2, 1), young: map[[sha256.Size]byte]*Session{}}
}

// Open answers what the function Open does, from memory where it can. The session is shared: it is not to be changed.
func (c *Cache) Open(ring Ring, accessKeyID, token string, now time.Time) (*Session, error) {
	if len(token) > maxToken || len(accessKeyID) > maxToken {
		return Open(ring, accessKeyID, token) // which refuses it; not worth a digest
	}
	var space [2048]byte // for most of both
	text := append(append(append(space[:0], accessKeyID...), 0), token...)
	key := sha256.Sum256(text)
	if s := c.find(key, now); s != nil {
		return s, nil
	}
	s, err := Open(ring, accessKeyID, token)
	if err == nil {
		c.add(key, s)
	}
	return s, err
}

func (c *Cache) find(key [sha256.Size]byte, now time.Time) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.turned); age > generation || age < 0 {
		c.turn()
		if age > 2*generation || age < 0 {
			c.old = nil
		}
		c.turned = now
	}
	if s := c.young[key]; s != nil {
		return s
	}
	return c.old[key]
}

func (c *Cache) add(key [sha256.Size]byte, s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= c.half {
		c.turn()
	}
	c.young[key] = s
}

// turn makes the young generation the old one, and forgets that.
func (c *Cache) turn() {
	c.old, c.young = c.young, make(map[[sha256.Size]byte]*Session)
}
