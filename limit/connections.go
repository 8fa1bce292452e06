package limit

import (
	"net"
	"sync"
)

// Connections bounds how many connections of a listener are open at once, in all and from one source (see Source). One
// beyond is closed as soon as it is accepted: were it left waiting in the kernel instead, one source that holds all the
// places would keep out everybody.
func Connections(l net.Listener, inAll, fromOne int) net.Listener {
	return &connections{Listener: l, inAll: inAll, fromOne: fromOne, from: map[string]int{}}
}

type connections struct {
	net.Listener
	inAll, fromOne int

	mu   sync.Mutex
	open int
	from map[string]int
}

// Accept returns the next connection that finds a place.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := Source(conn.RemoteAddr().String())
		if c.enter(source) {
			return &connection{Conn: conn, leave: sync.OnceFunc(func() { c.leave(source) })}, nil
		}
		_ = conn.Close() // what it could say is of no use to anybody
	}
}

func (c *connections) enter(source string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.inAll || c.from[source] >= c.fromOne {
		return false
	}
	c.open++
	c.from[source]++
	return true
}

func (c *connections) leave(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.from[source]--; c.from[source] == 0 {
		delete(c.from, source)
	}
}

type connection struct {
	net.Conn
	leave func()
}

// Close gives the place back, once.
func (c *connection) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
