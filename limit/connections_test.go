package limit

import (
	"errors"
	"net"
	"testing"
)

// TestConnections: the bounds of one source and of all, and that a place is given back once.
func TestConnections(t *testing.T) {
	queue := &queue{arriving: make(chan net.Conn, 16)}
	l := Connections(queue, 4, 2)
	arrive := func(source string) *fakeConn {
		c := &fakeConn{source: source}
		queue.arriving <- c
		return c
	}
	accept := func(want *fakeConn) net.Conn {
		t.Helper()
		c, err := l.Accept()
		if err != nil || c.RemoteAddr().String() != want.source {
			t.Fatalf("accepted %v, %v; want the one from %s", c, err, want.source)
		}
		return c
	}
	first := accept(arrive("192.0.2.1:1"))
	accept(arrive("192.0.2.1:2"))
	third, other := arrive("192.0.2.1:3"), arrive("192.0.2.2:1")
	accept(other)
	if !third.closed || other.closed {
		t.Errorf("the third of one source is closed: %v, want true; one of another source: %v, want false", third.closed, other.closed)
	}
	accept(arrive("[2001:db8::1]:1"))
	fifth := arrive("192.0.2.3:1")
	for range 2 { // the second time gives nothing back
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := arrive("192.0.2.4:1")
	// The fifth came when four were open and is judged when it is accepted: by then there is one place, which it takes.
	accept(fifth)
	queue.arriving <- nil
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener = %v, want net.ErrClosed", err)
	}
	if !again.closed {
		t.Error("one beyond all is not closed: a place was given back twice")
	}
}

// queue is a listener to which connections come by a channel; nil closes it.
type queue struct {
	net.Listener
	arriving chan net.Conn
}

func (q *queue) Accept() (net.Conn, error) {
	if c := <-q.arriving; c != nil {
		return c, nil
	}
	return nil, net.ErrClosed
}

type fakeConn struct {
	net.Conn
	source string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return address(c.source) }
func (c *fakeConn) Close() error         { c.closed = true; return nil }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
