package agent

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// connectionsPerPeer bounds what one pod can take of the agent's memory by opening connections: about 20 MB. Pods of the
// host's network are one peer, so it is generous.
const connectionsPerPeer = 2048

// Server returns a server of credentials for one listener. Its owner calls Serve and Shutdown.
func (a *Agent) Server() *http.Server { return NewServer(a.Handler()) }

// NewServer returns a server for a listener that pods reach, with bounds on what a connection and a pod can take: of metrics and
// probes too, for it is the same agent's memory.
func NewServer(h http.Handler) *http.Server {
	peers := &connections{limit: connectionsPerPeer, open: map[netip.Addr]int{}}
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    2 * maxToken,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,

		DisableGeneralOptionsHandler: true, // it would answer past every limit
		ConnState:                    peers.count,
	}
}

// connections counts open connections by peer.
type connections struct {
	limit int
	mu    sync.Mutex
	open  map[netip.Addr]int
}

// count closes a new connection over the limit; the server then finds it closed and reports that too.
func (c *connections) count(conn net.Conn, state http.ConnState) {
	if state == http.StateActive || state == http.StateIdle {
		return // on each request: not worth an address
	}
	peer := peerAddress(conn.RemoteAddr().String())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		if c.open[peer]++; c.open[peer] > c.limit {
			_ = conn.Close() // the peer is not owed a reason
		}
	case http.StateClosed, http.StateHijacked:
		if c.open[peer]--; c.open[peer] <= 0 {
			delete(c.open, peer)
		}
	}
}
