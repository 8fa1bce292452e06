package agent

import (
	"context"
	"errors"
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

func newTransport(t *http.Transport, dialer func(ctx context.Context, network, address string) (net.Conn, error)) *transport {
	c := &transport{Transport: t, dialer: dialer}
	t.DialContext = c.dial
	return c
}

type wantedKey struct{} // of an *atomic.Bool: whether the call waits for a connection

// RoundTrip makes a call, whose context tells dial, as that outlives the call, whether a connection is wanted still.
func (c *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	wanted := &atomic.Bool{}
	ctx := httptrace.WithClientTrace(context.WithValue(r.Context(), wantedKey{}, wanted), &httptrace.ClientTrace{
		GetConn: func(string) { wanted.Store(true) }, // once more where a call is tried again
		GotConn: func(httptrace.GotConnInfo) { wanted.Store(false) },
	})
	c.begin()
	response, err := c.Transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		wanted.Store(false)
		c.end()
		return nil, err
	}
	response.Body = &ending{ReadCloser: response.Body, end: c.end}
	return response, nil
}

func (c *transport) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
}

func (c *transport) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls--
}

// ending is a body whose closing ends its call.
type ending struct {
	io.ReadCloser
	once sync.Once
	end  func()
}

func (b *ending) Close() error {
	defer b.once.Do(b.end)
	return b.ReadCloser.Close()
}

var errServed = errors.New("the call has got another connection")

func (c *transport) dial(ctx context.Context, network, address string) (net.Conn, error) {
	wanted, _ := ctx.Value(wantedKey{}).(*atomic.Bool)
	for patience := settle; !c.reserve(patience <= 0); patience -= time.Millisecond {
		time.Sleep(time.Millisecond)
		if !wanted.Load() {
			return nil, errServed
		}
	}
	conn, err := c.dialer(ctx, network, address)
	if err != nil {
		c.closed()
		return nil, err
	}
	return &counted{Conn: conn, closed: c.closed}, nil
}

// reserve counts one more connection if there are fewer than calls, or if it is wanted anyway.
func (c *transport) reserve(anyway bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.calls && !anyway {
		return false
	}
	c.open++
	return true
}

func (c *transport) closed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *counted) Close() error {
	defer c.once.Do(c.closed)
	return c.Conn.Close()
}
