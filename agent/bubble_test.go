package agent

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A bubble's time stands still until everybody in it waits, and real sockets do not belong to it: agent and upstream speak
// HTTP over pipes there. So hours of an outage take a moment, and nothing is measured.

// pipes is a listener whose connections are pipes, and a network that can fail.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    sync.Once

	refusing atomic.Bool // new connections
	dialed   atomic.Int64

	mu   sync.Mutex
	open []*lossy
}

func newPipes() *pipes {
	return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if p.refusing.Load() {
		return nil, errors.New("connection refused")
	}
	p.dialed.Add(1)
	here, there := net.Pipe()
	conn := &lossy{Conn: here}
	p.mu.Lock()
	p.open = append(p.open, conn)
	p.mu.Unlock()
	select {
	case p.accepted <- there:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// halfOpen makes all present connections dead without saying so, as a firewall does that has forgotten them.
func (p *pipes) halfOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.open {
		conn.dead.Store(true)
	}
}

// lossy is a connection that may lose everything.
type lossy struct {
	net.Conn
	dead atomic.Bool
}

func (l *lossy) Write(b []byte) (int, error) {
	if l.dead.Load() {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

func (l *lossy) Read(b []byte) (int, error) {
	for {
		n, err := l.Conn.Read(b)
		if err != nil || !l.dead.Load() {
			return n, err
		}
	}
}

// newBubble is a rig in a bubble.
func newBubble(t *testing.T, change func(*Config)) (*rig, *pipes) {
	t.Helper()
	p := newPipes()
	fake := newFake(t, p)
	fake.clock.began = time.Now()
	r := newRigOn(t, fake, change)
	transport := r.upstream.client
	transport.dialer, transport.Proxy = p.dial, nil
	return r, p
}

// run runs the agent until the end of the test, or of what is returned.
func (r *rig) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
}
