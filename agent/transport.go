package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// settle is how long a call waits for a connection of others at most before it makes its own.
const settle = 50 * time.Millisecond

// transport is net/http's, but holds no more connections than calls were under way at once. net/http's alone dials
// whenever none is idle. A call that meanwhile gets another's connection leaves its dial behind, and the next call, which
// cannot know of that one, dials again. Here a dial waits while there are as many connections as calls: one of them is
// free then, or about to be.
type transport struct {
	*http.Transport
	dialer func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	calls int // until their bodies are closed
	open  int // those being made included
}

func newTransport(base *http.Transport, dialer func(ctx context.Context, network, address string) (net.Conn, error)) *transport {
	t := &transport{Transport: base, dialer: dialer}
	base.DialContext = t.dial
	return t
}

type wantedKey struct{} // of an *atomic.Bool: whether the call waits for a connection

// RoundTrip makes a call, whose context tells dial, as that outlives the call, whether a connection is wanted still.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	wanted := &atomic.Bool{}
	ctx := httptrace.WithClientTrace(context.WithValue(r.Context(), wantedKey{}, wanted), &httptrace.ClientTrace{
		GetConn: func(string) { wanted.Store(true) }, // once more where a call is tried again
		GotConn: func(httptrace.GotConnInfo) { wanted.Store(false) },
	})
	t.count(1, 0)
	response, err := t.Transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		wanted.Store(false)
		t.count(-1, 0)
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL, err)
	}
	response.Body = &body{response.Body, sync.OnceFunc(func() { t.count(-1, 0) })}
	return response, nil
}

func (t *transport) count(calls, open int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls += calls
	t.open += open
}

// body is that of an answer. Its closing ends the call.
type body struct {
	io.ReadCloser
	closed func() // works once
}

func (b *body) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}

var errServed = errors.New("the call has got another connection")

func (t *transport) dial(ctx context.Context, network, address string) (net.Conn, error) {
	wanted, _ := ctx.Value(wantedKey{}).(*atomic.Bool)
	for patience := settle; !t.reserve(patience <= 0); patience -= time.Millisecond {
		time.Sleep(time.Millisecond)
		if !wanted.Load() {
			return nil, errServed
		}
	}
	conn, err := t.dialer(ctx, network, address)
	if err != nil {
		t.count(0, -1)
		return nil, err
	}
	return &connection{conn, sync.OnceFunc(func() { t.count(0, -1) })}, nil
}

// reserve counts one more connection if there are fewer than calls, or if it is wanted anyway.
func (t *transport) reserve(anyway bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= t.calls && !anyway {
		return false
	}
	t.open++
	return true
}

type connection struct {
	net.Conn
	closed func() // works once
}

func (c *connection) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
