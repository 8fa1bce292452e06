package api_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestABodyHasItsTime holds that a body that never ends keeps nobody's goroutine.
func TestABodyHasItsTime(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	config := w.config()
	config.BodyTimeout = time.Millisecond
	server := w.serve(t, config)
	r := w.build(t, server.URL, request{as: admin, service: "eks", method: "POST", path: "/clusters", body: "{}"})
	endless, feeder := io.Pipe()
	defer func() { _ = feeder.Close() }()
	r.Body, r.ContentLength, r.GetBody = endless, 2, nil
	if got := do(t, server.Client(), r); got.code() != "SerializationException" {
		t.Errorf("a body that does not come: %d %q, want SerializationException", got.status, got.code())
	}
	if got := w.send(t, server, request{as: admin, service: "eks", method: "GET", path: "/clusters"}); got.status != 200 {
		t.Errorf("a call without a body: %d %s, want 200", got.status, got.body)
	}
}

// TestARefusedBodyHasItsTime holds the same of what nobody reads: net/http does, before it answers.
func TestARefusedBodyHasItsTime(t *testing.T) {
	w := newWorld(t)
	config := w.config()
	config.BodyTimeout = time.Millisecond
	server := w.serve(t, config)
	for _, line := range []string{"POST /clusters", "PUT /bucket/key", "OPTIONS /bucket", "GET /healthz", "GET /console/"} {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close() }()
		if _, err := io.WriteString(connection, line+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := connection.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, connection); err != nil {
			t.Errorf("%s: the connection is kept for a body that does not come: %v", line, err)
		}
	}
}

// TestAnAnswerIsTakenInItsTime holds that who asks and does not read keeps no goroutine either.
func TestAnAnswerIsTakenInItsTime(t *testing.T) {
	w := newWorld(t)
	config := w.config()
	config.AnswerTimeout = 100 * time.Millisecond
	server := w.serve(t, config)
	for _, line := range []string{"GET /clusters", "OPTIONS /", "GET /healthz"} {
		connection, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close() }()
		if err := connection.SetWriteDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for many := strings.Repeat(line+" HTTP/1.1\r\nHost: x\r\n\r\n", 1000); err == nil; {
			_, err = io.WriteString(connection, many)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection is kept for answers that nobody takes", line)
		}
	}
}
