package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// renewal is how long to wait before asking again: the retention, or two thirds of what is left, and up to a fifth
// earlier, so that pods started together are not renewed together.
func renewal(retention, left time.Duration) time.Duration {
	wait := min(retention, left*2/3)
	return wait - rand.N(wait/5+1)
}

// parallelRenewals bounds the renewals under way: a slow upstream delays them and does not pile them up.
const parallelRenewals = 32

// renewDue starts the renewals that the pace allows now, the next to expire first; it is called each second. The pace is
// the configured one unless entries would expire at it: then it is what gets all of them renewed in time.
func (a *Agent) renewDue(ctx context.Context) {
	now := a.now()
	list, gone := a.cache.collect(now)
	a.metrics.evicted.Add(float64(gone))
	a.credit = min(a.credit+a.qps, max(a.qps, 1))
	start := int(a.credit)
	for i, d := range list {
		// i+1 renewals must be made before d's time is over; half of that time is kept for trying again.
		seconds := max(d.by.Sub(now).Seconds()/2, 1)
		start = max(start, int(float64(i+1)/seconds)+1)
		if start >= len(list) {
			break
		}
	}
	if len(list) > 0 {
		start = a.pause.limit(start, now, list[0].by)
	}
	// A second's share may wait for places, but not into the next second, which looks anew at what is most urgent.
	enough := time.NewTimer(time.Second)
	defer enough.Stop()
	for _, d := range list[:min(start, len(list))] {
		select {
		case a.renewals <- struct{}{}:
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
		a.credit = max(a.credit-1, 0)
		// Until the answer is there, and after a failure: a minute or two, but soon enough for several attempts.
		left := d.by.Sub(now)
		a.cache.postpone(d.key, now.Add(min(time.Minute+rand.N(time.Minute), left/8+time.Second)))
		a.work.Go(func() {
			defer func() { <-a.renewals }()
			a.renew(ctx, d)
		})
	}
}

func (a *Agent) renew(ctx context.Context, d due) {
	_, err := a.fetch(ctx, d.key, func(ctx context.Context) (answer, error) {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		return a.ask(ctx, d.key, d.token)
	})
	if err == nil {
		a.metrics.renewed.Inc()
		return
	}
	if unlogged, ok := a.quiet.pass(a.now()); ok {
		a.log.LogAttrs(ctx, slog.LevelWarn, "credentials not renewed", slog.Bool("dropped", final[fault.Of(err)]),
			slog.String("error", err.Error()), slog.Int("unlogged", unlogged))
	}
}

// pause holds renewals back while EKS Auth does not answer or asks for less: nodes whose entries are due by the thousand
// would keep it down. After a growing while, with jitter, one renewal tries; any success ends the pause. Pods with a new
// token are never held back.
type pause struct {
	mu       sync.Mutex
	failures int
	until    time.Time
}

const (
	firstPause = 2 * time.Second
	endOfPause = time.Minute // it grows no longer than this
)

// learn takes a call's outcome. What was under way together counts as one failure.
func (p *pause) learn(err error, now time.Time) {
	kind := fault.Of(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil || final[kind]: // a refusal is an answer too
		p.failures, p.until = 0, time.Time{}
	case (kind == fault.Unavailable || kind == fault.Throttled) && !now.Before(p.until):
		wait := min(firstPause<<min(p.failures, 10), endOfPause)
		p.failures, p.until = p.failures+1, now.Add(wait/2+rand.N(wait/2+1))
	}
}

// limit returns how many of the renewals may start, where the most urgent should be made by a moment: a pause never takes
// more than an eighth of the time that is left.
func (p *pause) limit(start int, now, by time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures == 0 {
		return start
	}
	if latest := now.Add(by.Sub(now) / 8); latest.Before(p.until) {
		p.until = latest
	}
	if now.Before(p.until) {
		return 0
	}
	return min(start, 1)
}

// renewIdentity keeps the agent's own session ahead of its end, off the path of pods.
func (a *Agent) renewIdentity(ctx context.Context) {
	if !a.upstream.identity.due() {
		return
	}
	select {
	case a.renewals <- struct{}{}:
	default:
		return
	}
	a.work.Go(func() {
		defer func() { <-a.renewals }()
		switch renewed, err := a.upstream.identity.renew(ctx); {
		case renewed:
			a.log.LogAttrs(ctx, slog.LevelInfo, "the agent's identity is renewed")
		case err != nil && ctx.Err() == nil:
			a.log.LogAttrs(ctx, slog.LevelWarn, "the agent's identity is not renewed", slog.String("error", err.Error()))
		}
	})
}
