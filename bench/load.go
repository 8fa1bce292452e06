package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connections   = 32
	loadLimit     = 30 * time.Second // a server that takes longer hangs
	longestAnswer = 16 << 10         // bytes
	sources       = 8                // loopback addresses that a load comes from, as a server bounds what one may ask
)

// load sends each request once over n connections that are kept, and the next on a connection when the last is answered.
// An answer that is not a success ends it with an error: what was refused was not measured.
// Under a tls.Config, nil for none, the handshakes are a part of it: one for each hundred requests here, fewer in life.
func load(ctx context.Context, n int, address string, secure *tls.Config, requests [][]byte) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			if err := client(ctx, address, secure, byte(i%sources), requests, &next); err != nil {
				cancel(err)
			}
		})
	}
	clients.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func client(ctx context.Context, address string, secure *tls.Config, source byte, requests [][]byte, next *atomic.Int64) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1+source)}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(loadLimit)); err != nil {
		return err
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	in := bufio.NewReaderSize(conn, longestAnswer)
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= len(requests) {
			return nil
		}
		if _, err := conn.Write(requests[i]); err != nil {
			return err
		}
		if _, err := answer(in); err != nil {
			return err
		}
	}
	return nil
}

// answer reads one answer and returns its body if that fits into the reader, which is the reader's until the next one is read. It costs the load's
// processor less than net/http would, so that the server is never the one who waits.
func answer(in *bufio.Reader) ([]byte, error) {
	status, err := line(in)
	if err != nil {
		return nil, err
	}
	good := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	said := "" // only of a failure: nothing is allocated for the others
	if !good {
		said = string(status)
	}
	length := -1
	for {
		header, err := line(in)
		if err != nil {
			return nil, err
		}
		if len(header) == 0 {
			break
		}
		const name = "Content-Length: "
		if len(header) > len(name) && bytes.EqualFold(header[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(header[len(name):])); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case length < 0:
		return nil, errors.New("the answer's body is of unknown length")
	case length > in.Size() && good: // nobody looks into an object
		_, err := in.Discard(length)
		return nil, err
	case length > in.Size():
		return nil, fmt.Errorf("answered %s", said)
	}
	body, err := in.Peek(length)
	if err != nil {
		return nil, err
	}
	if !good {
		return nil, fmt.Errorf("answered %s: %s", said, body)
	}
	_, err = in.Discard(length)
	return body, err
}

func line(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	return bytes.TrimRight(text, "\r\n"), err
}

// wire is a request as it goes over a connection.
func wire(r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	err := r.Write(&b)
	return b.Bytes(), err
}

// ask sends one request on a connection of its own and returns the answer's body.
func ask(ctx context.Context, address string, request []byte) ([]byte, error) {
	return askBy(ctx, &net.Dialer{}, address, request)
}

func askBy(ctx context.Context, dialer *net.Dialer, address string, request []byte) ([]byte, error) {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(loadLimit)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return answer(bufio.NewReaderSize(conn, longestAnswer))
}

// repeat makes n requests of a few.
func repeat(few [][]byte, n int) func(int) ([][]byte, error) {
	all := make([][]byte, n)
	for i := range all {
		all[i] = few[i%len(few)]
	}
	return func(int) ([][]byte, error) { return all, nil }
}
