package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/sigv4"
)

// dayKeys remembers the signing keys of long-term access keys, which the server derives. Whoever knows an access key id can
// make a gateway ask for one in a region of their invention. So what is asked is bounded for each access key; and what is
// remembered, over all: when it is full, any of it may go.
type dayKeys struct {
	ask    func(ctx context.Context, keyID, date, region string) (sigv4.Key, error)
	rates  *limit.Rates
	asking singleflight.Group

	mu    sync.Mutex
	known map[dayScope]sigv4.Key
}

type dayScope struct{ keyID, date, region string }

const (
	dayKeysKept  = 4096
	askPerSecond = 10 // for one access key
	askTime      = 3 * time.Second
)

func newDayKeys(ask func(ctx context.Context, keyID, date, region string) (sigv4.Key, error)) *dayKeys {
	return &dayKeys{ask: ask, rates: limit.NewRates(askPerSecond, 4*askPerSecond, dayKeysKept), known: map[dayScope]sigv4.Key{}}
}

// get is access.Access's SigningKey. The access key is one that the copy has as active at this moment.
func (d *dayKeys) get(ctx context.Context, keyID, date, region, service string) (sigv4.Key, error) {
	if service != "s3" {
		return sigv4.Key{}, fault.New(fault.UnknownKey, "a gateway verifies signatures for s3, not for %.20q", service)
	}
	scope := dayScope{keyID, strings.Clone(date), strings.Clone(region)} // pieces of a header, which an entry must not keep whole
	d.mu.Lock()
	key, ok := d.known[scope]
	d.mu.Unlock()
	if ok {
		return key, nil
	}
	if !d.rates.Allow(keyID, time.Now()) {
		return key, fault.New(fault.Throttled, "Please reduce your request rate.")
	}
	flight := d.asking.DoChan(keyID+" "+date+" "+region, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		key, err := d.ask(ctx, keyID, date, region)
		if err == nil {
			d.keep(scope, key)
		}
		return key, err
	})
	select {
	case got := <-flight:
		key, _ = got.Val.(sigv4.Key)
		return key, got.Err
	case <-ctx.Done():
		return key, fault.Hide(fault.Unavailable, ctx.Err(), "The access key cannot be verified just now. Please try again.")
	}
}

func (d *dayKeys) keep(scope dayScope, key sigv4.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.known {
		if len(d.known) < dayKeysKept {
			break
		}
		delete(d.known, other)
	}
	d.known[scope] = key
}
