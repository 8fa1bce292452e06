package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// The kernel resets what a listener that closes has not accepted.
func TestWhatIsConnectedIsAnsweredBeforeTheListenerEnds(t *testing.T) {
	var l listeners
	addr, err := l.listen(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	waiting := make([]net.Conn, 50)
	for i := range waiting {
		if waiting[i], err = net.Dial("tcp", addr); err != nil {
			t.Fatal(err)
		}
		defer waiting[i].Close()
	}
	if endIfIdle(l.all[0].Listener) {
		t.Error("a listener with connections that wait ended")
	}
	failed := make(chan error, 1)
	l.serve(0, &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		ReadHeaderTimeout: time.Minute,
	}, failed)
	ended := make(chan error, 1)
	go func() { ended <- l.shutdown(context.WithoutCancel(t.Context())) }()
	for i, conn := range waiting {
		if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Errorf("connection %d: %v", i, err)
			continue
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("connection %d: %v", i, err)
			continue
		}
		if _ = response.Body.Close(); response.StatusCode != http.StatusNoContent {
			t.Errorf("connection %d: status %d", i, response.StatusCode)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	select {
	case err := <-failed:
		t.Errorf("ending counts as a failure: %v", err)
	default:
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("an ended listener is connected to")
	}
}
