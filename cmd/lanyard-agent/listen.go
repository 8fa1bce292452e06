package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listeners are bound first and served later.
type listeners struct {
	shared bool // with another process
	all    []*listener
}

type listener struct {
	net.Listener
	server   *http.Server
	served   chan struct{} // closed when nothing is accepted any more
	leaving  atomic.Bool   // answers end their connections
	accepted atomic.Int64  // connections
	fresh    atomic.Int64  // of these, what has not sent a request yet
}

func (l *listeners) listen(ctx context.Context, host string, port uint16) (addr string, err error) {
	var config net.ListenConfig
	if l.shared {
		config.Control = sharePort
		config.SetMultipathTCP(false) // its sockets cannot be steered
	}
	socket, err := config.Listen(ctx, "tcp", net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(port))))
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	if l.shared {
		unsteer(socket)
	}
	l.all = append(l.all, &listener{Listener: socket})
	return socket.Addr().String(), nil
}

// listenOwn takes a Unix socket that no other process shares. What a process of before left there is in the way.
func (l *listeners) listenOwn(ctx context.Context, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making room for the socket: %w", err)
	}
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	l.all = append(l.all, &listener{Listener: socket})
	return nil
}

// isMissing reports whether the node lacks an address, or the whole family.
func isMissing(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

func (l *listeners) serve(i int, server *http.Server, failed chan<- error) {
	one := l.all[i]
	one.server, one.served = server, make(chan struct{})
	handler, count := server.Handler, server.ConnState
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if one.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
	known := sync.Map{} // of connections, until their first request
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			known.Store(conn, true)
			one.accepted.Add(1)
			one.fresh.Add(1)
		} else if _, was := known.LoadAndDelete(conn); was {
			one.fresh.Add(-1)
		}
		if count != nil {
			count(conn, state)
		}
	}
	go func() {
		defer close(one.served)
		err := server.Serve(one.Listener)
		if !one.leaving.Load() && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			failed <- fmt.Errorf("serving %s: %w", one.Addr(), err)
		}
	}()
}

// handshake is more than the making of a connection takes on a node.
const handshake = 25 * time.Millisecond

// giveWay has new connections go to the other agent on the addresses, if there is one, so that none is under way to a listener that
// closes. An agent that takes over comes second, so the other is the second one; where connections go on coming, it is the first.
func (l *listeners) giveWay() {
	for _, one := range l.all {
		steer(one.Listener, 1)
	}
	time.Sleep(handshake)
	before := make([]int64, len(l.all))
	for i, one := range l.all {
		before[i] = one.accepted.Load()
	}
	time.Sleep(handshake)
	for i, one := range l.all {
		if one.accepted.Load() > before[i] {
			steer(one.Listener, 0)
		}
	}
	time.Sleep(handshake)
}

// settle is how long connections that were just accepted may take to send their request.
const settle = time.Second

// shutdown stops accepting, answers what was accepted, and ends. The server's own Shutdown would close a connection
// whose request arrives after it began.
func (l *listeners) shutdown(ctx context.Context) error {
	for _, one := range l.all {
		one.leaving.Store(true)
	}
	if l.shared {
		l.giveWay()
	}
	settled, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for _, one := range l.all {
		// What the kernel holds ready for a listener that closes is reset.
		for !endIfIdle(one.Listener) && settled.Err() == nil {
			<-again.C
		}
		_ = one.Close() // the server closes it once more
		<-one.served
	}
	for settled.Err() == nil && slices.ContainsFunc(l.all, func(one *listener) bool { return one.fresh.Load() > 0 }) {
		<-again.C
	}
	var all error
	for _, one := range l.all {
		all = errors.Join(all, one.server.Shutdown(ctx))
	}
	return all
}

// close frees what was bound when the start failed half-way; after shutdown there is nothing left to close.
func (l *listeners) close() {
	for _, one := range l.all {
		_ = one.Close()
	}
}
