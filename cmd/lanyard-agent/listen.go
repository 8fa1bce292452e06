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
	server  *http.Server
	served  chan struct{} // closed when nothing is accepted any more
	leaving atomic.Bool   // answers end their connections
	fresh   atomic.Int64  // connections that have not sent a request yet
}

func (l *listeners) listen(ctx context.Context, host string, port uint16) (addr string, err error) {
	var config net.ListenConfig
	if l.shared {
		config.Control = sharePort
	}
	socket, err := config.Listen(ctx, "tcp", net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(port))))
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
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

// settle is how long connections that were just accepted may take to send their request.
const settle = time.Second

// shutdown stops accepting, answers what was accepted, and ends. The server's own Shutdown would close a connection
// whose request arrives after it began.
func (l *listeners) shutdown(ctx context.Context) error {
	for _, one := range l.all {
		one.leaving.Store(true)
	}
	settled, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for _, one := range l.all {
		// What the kernel holds ready for a listener that closes is reset, unless it may hand it on (migration).
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
