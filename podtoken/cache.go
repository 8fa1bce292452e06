package podtoken

import (
	"container/list"
	"sync"
)

// cacheKey holds everything that the verdict on a token depends on, but the time. The generation lets a cluster's change of
// keys take effect at once; the cluster's id keeps a token from counting at another cluster that has the same keys.
type cacheKey struct {
	cluster    string
	generation int64
	audience   string
	hash       [32]byte
}

type cacheEntry struct {
	key   cacheKey
	token *Token
}

// cache remembers good tokens, the last used ones. What is refused is not remembered: a flood of bad tokens must not push
// the good ones out.
type cache struct {
	size int

	mu      sync.Mutex
	entries map[cacheKey]*list.Element // of cacheEntry
	used    *list.List                 // the last used first
}

func newCache(size int) *cache {
	return &cache{size: size, entries: map[cacheKey]*list.Element{}, used: list.New()}
}

func (c *cache) get(key cacheKey) *Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[key]
	if !ok {
		return nil
	}
	c.used.MoveToFront(element)
	return element.Value.(cacheEntry).token
}

func (c *cache) put(key cacheKey, token *Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; ok || c.size <= 0 {
		return
	}
	if c.used.Len() == c.size {
		oldest := c.used.Back()
		delete(c.entries, c.used.Remove(oldest).(cacheEntry).key)
	}
	c.entries[key] = c.used.PushFront(cacheEntry{key, token})
}
