package agent

import (
	"container/list"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"
	"unique"
)

const (
	// clip is the longest validity that a pod is told. SDKs do not refresh when they are refused, so this is how soon a
	// changed role reaches every SDK, while the agent itself holds the whole session.
	clip = time.Hour

	// fresh is how long a prepared answer is reused before its Expiration moves on.
	fresh = time.Minute

	// idle is how long an entry is renewed without being asked for. As no client is told more than an hour, one that stays
	// away for two is gone, and renewing for dead pods would eat the account's rate.
	idle = 2 * time.Hour

	// spent is the remaining lifetime at which credentials are not handed out any more.
	spent = 15 * time.Second

	zulu = "2006-01-02T15:04:05Z"
)

// key is the SHA-256 of a token: a lookup by it tells nothing about the tokens that are held.
type key [sha256.Size]byte

func keyOf(token string) key { return sha256.Sum256([]byte(token)) }

// entry is one token's credentials, kept only as the answer in which they leave.
type entry struct {
	key          key
	token        packed
	tokenExpires time.Time
	expires      time.Time // the session's end
	body         []byte    // never changed in place: writers may still hold it
	length       []string  // Content-Length; all bodies of an entry are equally long
	remake       time.Time // when body's Expiration is to be moved on
	used         time.Time
	renew        time.Time
	doubted      time.Time // until when it should be asked about again, if something of it may have changed
	origin       origin
}

// credentials is what EKS Auth answered. It has no String method on purpose: nothing prints it.
type credentials struct {
	accessKeyID, secret, token string
	account                    string // empty where the role's ARN does not tell
	expires                    time.Time
	namespace, serviceAccount  string
	association, role          string // their ids; empty where EKS Auth does not tell
}

// newEntry prepares the answer. The members stand in the order in which AWS's agent writes them.
func newEntry(k key, t podToken, c credentials, now time.Time) (*entry, error) {
	body, err := json.Marshal(struct {
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		AccountID       string `json:"AccountId,omitempty"`
		Expiration      string
	}{c.accessKeyID, c.secret, c.token, c.account, zulu})
	if err != nil {
		return nil, err
	}
	e := &entry{
		key: k, token: t.packed, tokenExpires: t.expires, expires: c.expires, used: now,
		body: body, length: []string{strconv.Itoa(len(body))},
		origin: origin{unique.Make(c.namespace + "/" + c.serviceAccount), unique.Make(c.association), unique.Make(c.role)},
	}
	e.prepare(now)
	return e, nil
}

// prepare writes the Expiration for an answer given now: 20 bytes before the closing quote and brace. It is UTC with a Z
// and without fractions, because one SDK takes nothing else.
func (e *entry) prepare(now time.Time) {
	until := e.expires
	if soon := now.Add(clip); soon.Before(until) {
		until = soon
	}
	body := slices.Clone(e.body)
	copy(body[len(body)-len(zulu)-2:], until.UTC().Format(zulu))
	e.body, e.remake = body, now.Add(fresh)
}

// usable reports whether the entry may be answered now.
func (e *entry) usable(now time.Time) bool {
	return now.Before(e.tokenExpires) && now.Add(spent).Before(e.expires)
}

// answer is a body ready to be sent, with its Content-Length header.
type answer struct {
	body   []byte
	length []string
}

// cache holds the latest used successes, at most size.
type cache struct {
	mu      sync.Mutex
	size    int
	entries map[key]*list.Element
	order   *list.List // of *entry, latest used first
}

func newCache(size int) *cache {
	return &cache{size: size, entries: map[key]*list.Element{}, order: list.New()}
}

// find answers from the cache. An entry that may not be answered any more leaves.
func (c *cache) find(k key, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, ok := c.entries[k]
	if !ok {
		return answer{}, false
	}
	e := place.Value.(*entry)
	if !e.usable(now) {
		c.remove(place)
		return answer{}, false
	}
	if e.remake.Before(now) {
		e.prepare(now)
	}
	e.used = now
	c.order.MoveToFront(place)
	return answer{e.body, e.length}, true
}

// put stores or replaces an entry and returns how many had to leave for it. A replaced entry keeps its place and its last
// use: a renewal is no use.
func (c *cache) put(e *entry) (evicted int) {
	if c.size < 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if place, ok := c.entries[e.key]; ok {
		e.used = place.Value.(*entry).used
		place.Value = e
		return 0
	}
	c.entries[e.key] = c.order.PushFront(e)
	for c.order.Len() > c.size {
		c.remove(c.order.Back())
		evicted++
	}
	return evicted
}

// drop forgets a token. It reports whether it was held.
func (c *cache) drop(k key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, ok := c.entries[k]
	if ok {
		c.remove(place)
	}
	return ok
}

func (c *cache) remove(place *list.Element) {
	delete(c.entries, place.Value.(*entry).key)
	c.order.Remove(place)
}

// due is an entry whose renewal is due.
type due struct {
	key   key
	token podToken
	by    time.Time // when it should be renewed at the latest
}

// by is the end of the entry, or of the time in which a doubt is to be settled. A doubt that could not be settled in its
// time hurries nobody any more.
func (e *entry) by(now time.Time) time.Time {
	if now.Before(e.doubted) {
		return e.doubted
	}
	return e.expires.Add(-spent)
}

// collect returns what is due, the most urgent first, and removes what is spent.
func (c *cache) collect(now time.Time) (list []due, spent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for place := c.order.Front(); place != nil; {
		e, next := place.Value.(*entry), place.Next()
		switch {
		case !e.usable(now):
			c.remove(place)
			spent++
		case !now.Before(e.renew) && now.Sub(e.used) < idle:
			list = append(list, due{e.key, podToken{e.token.text(), e.token, e.tokenExpires}, e.by(now)})
		}
		place = next
	}
	slices.SortFunc(list, func(a, b due) int { return a.by.Compare(b.by) })
	return list, spent
}

// postpone says when an entry is due again.
func (c *cache) postpone(k key, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if place, ok := c.entries[k]; ok {
		place.Value.(*entry).renew = until
	}
}

const (
	refusalMemory = 2 * time.Second // SDKs ask three to five times in three seconds for what was refused
	refusalCount  = 4096            // so many at most: one pod's junk pushes out others' memory, which costs them one call
)

// refusals remembers final refusals for a moment. All live equally long, so the oldest is the next to go.
type refusals struct {
	mu    sync.Mutex
	known map[key]refusal
	order []key // oldest first
}

type refusal struct {
	err   error
	until time.Time
}

func (r *refusals) find(k key, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.known[k]; ok && now.Before(known.until) {
		return known.err
	}
	return nil
}

func (r *refusals) put(k key, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[key]refusal{}
	}
	for len(r.order) > 0 && (len(r.order) >= refusalCount || !now.Before(r.known[r.order[0]].until)) {
		delete(r.known, r.order[0])
		r.order = r.order[1:]
	}
	if _, ok := r.known[k]; !ok {
		r.order = append(r.order, k)
	}
	r.known[k] = refusal{err, now.Add(refusalMemory)}
}
