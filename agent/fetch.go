package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/openlanyard/lanyard/fault"
)

// flight is one upstream call, on which everyone who has the same token waits.
type flight struct {
	done  chan struct{}
	found answer
	err   error
}

// fetch makes a call about a token, once for all who ask at the same time. The call goes on when ctx ends, as others may
// wait for it; only this caller's waiting ends.
func (a *Agent) fetch(ctx context.Context, k key, call func(context.Context) (answer, error)) (answer, error) {
	a.mu.Lock()
	if f := a.flights[k]; f != nil {
		a.mu.Unlock()
		select {
		case <-f.done:
			return f.found, f.err
		case <-ctx.Done():
			return answer{}, fault.Hide(fault.Unavailable, ctx.Err(), "the client left")
		}
	}
	f := &flight{done: make(chan struct{}), err: errBroken}
	a.flights[k] = f
	a.mu.Unlock()

	defer func() { // also when call panics: nobody may wait for ever
		a.mu.Lock()
		delete(a.flights, k)
		a.mu.Unlock()
		close(f.done)
	}()
	f.found, f.err = call(context.WithoutCancel(ctx))
	return f.found, f.err
}

var errBroken = fault.New(fault.Unavailable, "the call to EKS Auth broke off: try again")

// miss answers a pod whose token is not held. It looks a second time, as another's call may have ended between the first
// look and the start of this one.
func (a *Agent) miss(ctx context.Context, k key, t podToken, addr netip.Addr) (answer, error) {
	return a.fetch(ctx, k, func(ctx context.Context) (answer, error) {
		ctx, cancel := context.WithTimeout(ctx, deadline) // the wait at the gate included
		defer cancel()
		now := a.now()
		if found, ok := a.cache.find(k, now); ok {
			return found, nil
		}
		if err := a.refusals.find(k, now); err != nil {
			return answer{}, err
		}
		if a.junk.over(addr, now) {
			return answer{}, errBusy
		}
		if err := a.gate.enter(addr); err != nil {
			return answer{}, err
		}
		defer a.gate.leave(addr)
		found, err := a.ask(ctx, k, t)
		if final[fault.Of(err)] {
			a.junk.count(addr, now)
		}
		return found, err
	})
}

// ask makes the call and keeps what it teaches: credentials in the cache, a final refusal for a moment. A refusal that
// tells that the token is worth nothing any more ends what is held for it. What was invalidated during the call is asked
// for once more, and kept only if that was not.
func (a *Agent) ask(ctx context.Context, k key, t podToken) (answer, error) {
	ctx, span := a.tracer.Start(ctx, "AssumeRoleForPodIdentity", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	for again := true; ; again = false {
		since, start := a.changes.now(), a.now()
		e, err := a.exchange(ctx, k, t)
		a.metrics.observeCall(err, a.now().Sub(start))
		a.pause.learn(err, a.now())
		if err != nil {
			a.failed(k, err)
			span.SetStatus(codes.Error, code(fault.Of(err)))
			return answer{}, err
		}
		made := *e // once it is in the cache, others change it
		a.metrics.evicted.Add(float64(a.cache.put(e)))
		current := !a.changes.end(&made, since) // what ends it later finds it in the cache
		if !current {
			a.cache.drop(k)
		}
		if current || !again {
			return answer{made.body, made.length}, nil
		}
	}
}

// exchange makes the call, which ends with ctx, and prepares the entry of its answer.
func (a *Agent) exchange(ctx context.Context, k key, t podToken) (*entry, error) {
	if a.kubernetes != nil && a.kubernetes.VerifyPods {
		if err := a.kubernetes.review(ctx, t.text); err != nil {
			return nil, err
		}
	}
	c, err := a.upstream.assume(ctx, t.text)
	if err != nil {
		return nil, err
	}
	now := a.now()
	if !now.Add(spent).Before(c.expires) {
		return nil, fault.New(fault.Unavailable, "the credentials end at %s, and this node's clock says %s: is it right?",
			c.expires.UTC().Format(zulu), now.UTC().Format(zulu))
	}
	e, err := newEntry(k, t, c, now)
	if err != nil {
		return nil, err
	}
	if len(e.body) > maxBody {
		return nil, fault.New(fault.Unavailable, "credentials of %d bytes: SDKs read at most %d", len(e.body), maxBody)
	}
	e.renew = now.Add(renewal(a.retention, c.expires.Sub(now)))
	if unlogged, ok := a.quiet.pass(now); ok {
		a.log.LogAttrs(ctx, slog.LevelInfo, "credentials got", slog.String("namespace", c.namespace),
			slog.String("service_account", c.serviceAccount), slog.Time("expires", c.expires), slog.Int("unlogged", unlogged))
	}
	return e, nil
}

// failed notes what a failure means for what is held and for the next who asks.
func (a *Agent) failed(k key, err error) {
	kind := fault.Of(err)
	kinds := "Recoverable"
	if final[kind] {
		a.cache.drop(k)
		kinds = "NonRecoverable"
	}
	a.metrics.cacheErrors.WithLabelValues(kinds, code(kind)).Inc()
	if final[kind] || kind == fault.Invalid || kind == fault.BadState {
		a.refusals.put(k, err, a.now())
	}
}

// maxBody is where the strictest SDK stops reading.
const maxBody = 10_000

// final has the refusals that end what is held for a token. After any other failure the old credentials stay.
var final = map[fault.Kind]bool{fault.NotFound: true, fault.Denied: true, fault.ExpiredToken: true, fault.BadToken: true}

// quiet bounds the log lines that pods can cause.
type quiet struct {
	mu       sync.Mutex
	second   int64
	lines    int
	unlogged int
}

// pass reports whether a line may be written, and how many were not since the last one.
func (q *quiet) pass(now time.Time) (unlogged int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := now.Unix(); s != q.second {
		q.second, q.lines = s, 0
	}
	if q.lines++; q.lines > 10 {
		q.unlogged++
		return 0, false
	}
	unlogged, q.unlogged = q.unlogged, 0
	return unlogged, true
}
