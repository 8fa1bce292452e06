package awssts

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/openlanyard/lanyard/fault"
)

// Keeper stands between those who want sessions and STS, so that STS is asked once for each, not too often for all, and
// is no longer needed for what was got already: what is kept is handed out until two thirds of its life are over, and after
// that for as long as STS gives nothing better.
type Keeper[T Mortal] struct {
	now   func() time.Time
	size  int
	rate  rate.Limit
	burst int

	mu       sync.Mutex
	kept     map[Key]*place[T]
	accounts map[string]*account
	swept    time.Time
}

// Mortal is something that lives from one moment to another.
type Mortal interface{ Life() (from, to time.Time) }

// Key is the digest of all that a session depends on.
type Key [32]byte

// Pace bounds what one account asks of STS. AWS allows 600 calls a second for an account and a region, and others use them
// too.
type Pace struct {
	Rate  float64 // calls a second; 0: 100
	Burst int     // 0: 200
	Size  int     // how many sessions are kept at most; 0: 50,000, which may be 150 MB
}

// NewKeeper returns a keeper that keeps nothing yet. A nil now is time.Now.
func NewKeeper[T Mortal](p Pace, now func() time.Time) *Keeper[T] {
	if now == nil {
		now = time.Now
	}
	k := &Keeper[T]{now: now, size: p.Size, rate: rate.Limit(p.Rate), burst: p.Burst, kept: map[Key]*place[T]{}, accounts: map[string]*account{}}
	if k.size == 0 {
		k.size = 50_000
	}
	if k.rate == 0 {
		k.rate, k.burst = 100, 200
	}
	return k
}

// place is what is known under one key.
type place[T Mortal] struct {
	value  T
	has    bool
	renew  time.Time // when value is due
	ends   time.Time // of value
	call   *call[T]  // under way; nil: none
	refuse error     // STS's last word, where that was a refusal
	until  time.Time // how long that is remembered
}

// call is one question to STS, which goes on when those who wait for it go away: its answer serves the next who asks.
type call[T Mortal] struct {
	done  chan struct{}
	value T
	err   error
}

const (
	spent         = 15 * time.Second // what is left when a session is not handed out any more
	callTime      = 15 * time.Second // for one call with its retries, and the wait for the bucket
	refusalMemory = 2 * time.Second
	maxCalls      = 256 // of one account at once
	sweepEach     = time.Minute
)

// Get returns the session under the key, by asking where none is kept that is good and not due. It waits until ctx is over;
// the call goes on. Errors: those of ask, Throttled when the account asks too much, Unavailable when there is no answer in
// time and none is kept.
func (k *Keeper[T]) Get(ctx context.Context, of string, key Key, good func(T) bool, ask func(context.Context) (T, error)) (value T, fresh bool, err error) {
	for range 3 {
		kept, c, err := k.enter(of, key, good, ask)
		if err != nil || c == nil {
			return kept, false, err
		}
		select {
		case <-c.done:
			err = c.err
		case <-ctx.Done():
			err = fault.Hide(fault.Unavailable, ctx.Err(), "AWS STS has not answered yet; try again.")
		}
		if err == nil && good(c.value) {
			return c.value, true, nil
		}
		if err == nil {
			continue // it was revoked while STS was asked
		}
		if kept, ok := k.still(key, good); ok && !isFinal(err) {
			return kept, false, nil
		}
		return value, false, err
	}
	return value, false, fault.New(fault.Unavailable, "Sessions are being revoked; try again.")
}

// enter answers from what is kept, or returns a call to wait for.
func (k *Keeper[T]) enter(of string, key Key, good func(T) bool, ask func(context.Context) (T, error)) (value T, c *call[T], err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.sweep(now)
	p, known := k.kept[key]
	if known && p.has && (!now.Before(p.ends) || !good(p.value)) {
		var none T
		p.value, p.has = none, false
	}
	switch {
	case known && p.has && now.Before(p.renew):
		return p.value, nil, nil
	case known && p.call != nil:
		return value, p.call, nil
	case known && p.refuse != nil && now.Before(p.until):
		return value, nil, p.refuse
	}
	a := k.account(of)
	has := known && p.has
	if why := a.refuses(now, has, has && p.ends.Sub(now) > p.ends.Sub(p.renew)/2); why != nil {
		if has {
			return p.value, nil, nil
		}
		return value, nil, why
	}
	if !known {
		if len(k.kept) >= k.size {
			k.evict()
		}
		p = &place[T]{}
		k.kept[key] = p
	}
	p.call = &call[T]{done: make(chan struct{})}
	a.calls++
	go k.run(a, p, p.call, ask)
	return value, p.call, nil
}

// run asks, in its own time.
func (k *Keeper[T]) run(a *account, p *place[T], c *call[T], ask func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	if err := a.bucket.Wait(ctx); err != nil {
		c.err = fault.Hide(fault.Throttled, err, "Too many sessions of this AWS account are asked for at once; try again.")
	} else {
		c.value, c.err = ask(ctx)
	}
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	a.calls--
	a.learn(c.err, now)
	p.call, p.refuse = nil, nil
	switch {
	case c.err == nil:
		from, to := c.value.Life()
		p.value, p.has, p.ends = c.value, true, to.Add(-spent)
		wait := to.Sub(from) * 2 / 3
		p.renew = from.Add(wait - rand.N(wait/5+1)) // pods that started together do not renew together
	case isFinal(c.err):
		var none T
		p.value, p.has = none, false
		p.refuse, p.until = c.err, now.Add(refusalMemory)
	}
	close(c.done)
}

// still returns what is kept and good, due or not.
func (k *Keeper[T]) still(key Key, good func(T) bool) (value T, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.kept[key]; p != nil && p.has && k.now().Before(p.ends) && good(p.value) {
		return p.value, true
	}
	return value, false
}

// isFinal reports whether STS itself has said no: what was kept is then not handed out any more. Everything else may pass.
func isFinal(err error) bool {
	switch fault.Of(err) {
	case fault.Denied, fault.Invalid, fault.MalformedPolicy, fault.Limit, fault.BadState:
		return true
	}
	return false
}

// sweep forgets what is over, now and then.
func (k *Keeper[T]) sweep(now time.Time) {
	if now.Sub(k.swept) < sweepEach {
		return
	}
	k.swept = now
	for key, p := range k.kept {
		if p.call == nil && (!p.has || !now.Before(p.ends)) && !now.Before(p.until) {
			delete(k.kept, key)
		}
	}
}

// evict makes a place, of eight at random that of what ends first. Who loses it asks STS again.
func (k *Keeper[T]) evict() {
	var victim Key
	var ends time.Time
	seen := 0
	for key, p := range k.kept { // in no order
		if p.call != nil {
			continue
		}
		if seen == 0 || p.ends.Before(ends) {
			victim, ends = key, p.ends
		}
		if seen++; seen == 8 {
			break
		}
	}
	if seen > 0 {
		delete(k.kept, victim)
	}
}

// account is what holds one account's calls back.
type account struct {
	bucket   *rate.Limiter
	calls    int // under way
	failures int // in a row, those of one time counted as one
	until    time.Time
	failed   time.Time
	last     error
}

func (k *Keeper[T]) account(name string) *account {
	a := k.accounts[name]
	if a == nil {
		a = &account{bucket: rate.NewLimiter(k.rate, k.burst)}
		k.accounts[name] = a
	}
	return a
}

// How long renewals pause while STS does not answer or asks for less: from the first to the last, doubled each time and with
// jitter. A pod that has nothing yet is held back for two seconds at most.
const (
	firstPause  = time.Second
	lastPause   = time.Minute
	newcomerMax = 2 * time.Second
)

// refuses says why a call is not made now; nil: it is. Who has something that lives may be told to wait longer, and while
// that is not urgent leaves a quarter of the bucket to who has nothing.
func (a *account) refuses(now time.Time, has, calm bool) error {
	until := a.until
	if latest := a.failed.Add(newcomerMax); !has && latest.Before(until) {
		until = latest
	}
	switch {
	case now.Before(until):
		return a.last
	case a.calls >= maxCalls, calm && a.bucket.Tokens() < float64(a.bucket.Burst())/4:
		return fault.New(fault.Throttled, "Too many sessions of this AWS account are asked for at once; try again.")
	}
	return nil
}

func (a *account) learn(err error, now time.Time) {
	switch fault.Of(err) {
	case fault.Throttled, fault.Unavailable:
		if now.Before(a.until) {
			return
		}
		pause := min(firstPause<<min(a.failures, 10), lastPause)
		a.failures++
		a.failed, a.until, a.last = now, now.Add(pause/2+rand.N(pause/2+1)), err
	default:
		a.failures, a.until = 0, time.Time{}
	}
}
