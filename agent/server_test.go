package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A pod that asks with ever new junk while EKS Auth hangs takes its own places only.
func TestJunkHurtsNobodyElse(t *testing.T) {
	r := newRig(t, nil)
	good := day("honest")
	full, release := make(chan struct{}), make(chan struct{})
	var junked atomic.Int64
	r.fake.answerWith(func(_ http.ResponseWriter, token string) bool {
		if token == good {
			return false
		}
		if junked.Add(1) == int64(r.gate.perPeer) {
			close(full)
		}
		<-release
		return false
	})
	ask := func(token, peer string) int {
		request := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+Path, nil)
		request.RemoteAddr = peer
		request.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, request)
		return w.Code
	}
	var flood sync.WaitGroup
	for i := range 300 {
		flood.Go(func() { ask(day(fmt.Sprint(i)), "10.6.6.6:1000") })
	}
	<-full
	if got := ask(good, "10.0.0.1:1000"); got != http.StatusOK {
		t.Errorf("the honest pod got status %d", got)
	}
	close(release)
	flood.Wait()
}

func TestConnectionsOfAPeerAreBounded(t *testing.T) {
	c := &connections{limit: 2, open: map[netip.Addr]int{}}
	open := func(peer string) *fakeConn {
		conn := &fakeConn{peer: peer}
		c.count(conn, http.StateNew)
		return conn
	}
	first, second, third := open("10.6.6.6:1"), open("10.6.6.6:2"), open("10.6.6.6:3")
	other := open("10.0.0.1:1")
	if first.closed || second.closed || !third.closed || other.closed {
		t.Errorf("closed: %v %v %v, another's %v; want only the third", first.closed, second.closed, third.closed, other.closed)
	}
	c.count(third, http.StateClosed)
	c.count(first, http.StateActive)
	c.count(first, http.StateClosed)
	if again := open("10.6.6.6:4"); again.closed {
		t.Error("a place that was given back is not given again")
	}
}

// fakeConn has an address, which a loopback connection cannot choose.
type fakeConn struct {
	net.Conn
	peer   string
	closed bool
}

func (f *fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.peer))
}
func (f *fakeConn) Close() error { f.closed = true; return nil }

// Who reaches a node's metrics is bounded as pods are that ask for credentials: what does not come or go on is not waited for.
func TestNoConnectionIsKeptForNothing(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":         "",
		"half a head":     "GET / HTTP/1.1\r\nHost: x\r\n",
		"a promised body": "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		"no next request": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				server := NewServer(http.NotFoundHandler())
				ended := make(chan error, 1)
				go func() { ended <- server.Serve(p) }()
				conn, err := p.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, text) }()
				if _, err := io.Copy(io.Discard, conn); err != nil || time.Since(began) > 3*time.Minute {
					t.Errorf("the connection ends after %v: %v", time.Since(began), err)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
				if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
					t.Errorf("Serve: %v", err)
				}
			})
		})
	}
}
