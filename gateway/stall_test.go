package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// behind puts a gateway in front of another upstream, which a test has in its hand, and returns a channel that ends with the
// test.
func (w *world) behind(t *testing.T, handler http.HandlerFunc) (over chan struct{}) {
	t.Helper()
	server := httptest.NewServer(handler)
	over = make(chan struct{})
	t.Cleanup(func() {
		close(over)
		server.Close()
	})
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.config.Upstream.URL = address
	w.serve(t)
	return over
}

// free reports whether no principal has a request under way.
func (w *world) free() bool {
	f := &w.gateway.Config.Handler.(*Gateway).flights
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.count) == 0
}

// isFree waits until no principal has a request under way.
func (w *world) isFree(t *testing.T) {
	t.Helper()
	for tick := time.NewTicker(time.Millisecond); !w.free(); <-tick.C {
		if t.Context().Err() != nil {
			t.Fatal("a request goes on")
		}
	}
}

// endless writes until nobody takes it any more, and says then that it ended.
func endless(ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		piece := []byte(strings.Repeat("x", 64<<10))
		var err error
		for err == nil {
			_, err = w.Write(piece)
		}
		ended <- err
	}
}

// A client that goes away in the middle of a download ends the upstream's request and gives its place back.
func TestAClientThatGoesEndsTheDownload(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	ended := make(chan error, 1)
	w.behind(t, endless(ended))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp, err := (&http.Transport{}).RoundTrip(w.sign(t, all, request{method: "GET", path: "/pay/a"}).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	if w.free() {
		t.Error("a download that goes on has no place")
	}
	leave()
	_ = resp.Body.Close() // it was given up
	if err := <-ended; err == nil {
		t.Error("the store wrote all of what has no end")
	}
	w.isFree(t)
}

// A client that does not take its download, and stays, is given up as well.
func TestAClientThatDoesNotTakeItsDownload(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	w.config.Idle = 50 * time.Millisecond
	ended := make(chan error, 1)
	w.behind(t, endless(ended))
	resp, err := (&http.Transport{}).RoundTrip(w.sign(t, all, request{method: "GET", path: "/pay/a"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the store wrote all of what has no end")
	}
	w.isFree(t)
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("the download of %d bytes looks whole", n)
	}
	_ = resp.Body.Close() // read
}

// An upstream that stops in the middle of an answer is given up: its request ends, and the client sees that the answer is
// not whole. What was read before it is answered at all is an error of S3's form.
func TestAnUpstreamThatStopsAnswering(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	half := strings.Repeat("<half>", 16<<10) // more than is kept back on the way
	for _, c := range []struct {
		name   string
		length string
		in     request
		status int // 0: the answer has begun
	}{
		{"an object", "1000000", request{method: "GET", path: "/pay/a"}, 0},
		{"an object of unknown length", "", request{method: "GET", path: "/pay/a"}, 0},
		{"a listing", "", request{method: "GET", path: "/pay"}, 0},
		{"a short document", "", request{method: "GET", path: "/pay?location"}, http.StatusServiceUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			ended := make(chan struct{})
			w.config.Stall = 50 * time.Millisecond
			over := w.behind(t, nil)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.length != "" {
					w.Header().Set("Content-Length", c.length)
				}
				_, _ = io.WriteString(w, half) // the client's side fails the test
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					close(ended)
				case <-over:
				}
			}))
			defer server.Close()
			address, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			w.config.Upstream.URL = address
			w.serve(t)
			resp, err := (&http.Transport{}).RoundTrip(w.sign(t, all, c.in))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close() // read
			if c.status == 0 && (err == nil || len(text) == 0 || !strings.HasPrefix(half, string(text))) {
				t.Errorf("got %d bytes, %v, want some of the half and that they are not all", len(text), err)
			}
			if c.status != 0 && (err != nil || resp.StatusCode != c.status || errorOf(t, string(text)).Code != "ServiceUnavailable") {
				t.Errorf("got status %d, %q, %v", resp.StatusCode, text, err)
			}
			<-ended
			w.isFree(t)
		})
	}
}

// An upstream that takes its time, but goes on, is waited for.
func TestASlowUpstreamIsNotStalled(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	w.config.Stall = 5 * time.Second
	more, some := make(chan struct{}), strings.Repeat("piece", 32<<10)
	w.behind(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, some) // the client's side fails the test
			_ = http.NewResponseController(w).Flush()
			if _, on := <-more; !on {
				return
			}
		}
	})
	t.Cleanup(func() { close(more) })
	resp, err := (&http.Transport{}).RoundTrip(w.sign(t, all, request{method: "GET", path: "/pay/a"}))
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, len(some)-4<<10) // less than is kept back on the way
	for range 3 {
		if n, err := io.ReadFull(resp.Body, piece); err != nil {
			t.Fatalf("got %d bytes, %v", n, err)
		}
		more <- struct{}{}
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 3*(len(some)-len(piece)) {
		t.Errorf("at the end: %d bytes, %v", len(rest), err)
	}
	_ = resp.Body.Close() // read
}

// An upstream that stops taking an upload is given up, and the client told.
func TestAnUpstreamThatStopsTaking(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	w.config.Stall = 50 * time.Millisecond
	var over chan struct{}
	over = w.behind(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1<<10)
		<-over
	})
	resp, text := w.send(t, all, request{method: "PUT", path: "/pay/a", body: strings.Repeat("x", 32<<20), hash: "UNSIGNED-PAYLOAD"})
	if resp.StatusCode != http.StatusServiceUnavailable || errorOf(t, text).Code != "ServiceUnavailable" {
		t.Errorf("got status %d, %s", resp.StatusCode, text)
	}
	w.isFree(t)
}

// The clock is the upstream's alone: it stands while the body's source has the next move.
func TestTheClockStandsWhileTheClientSends(t *testing.T) {
	e := newExchange(t.Context(), time.Hour)
	defer e.end()
	source, client := io.Pipe()
	body := &sending{Reader: source, stall: &e.sent}
	runs := func() bool { return e.sent.timer != nil && e.sent.timer.Stop() } // it was not stopped before
	go func() { _, _ = client.Write([]byte("x")) }()
	if _, err := body.Read(make([]byte, 1)); err != nil || !runs() {
		t.Errorf("behind a piece the clock does not run: %v", err)
	}
	_ = client.CloseWithError(io.EOF) // never fails
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || runs() {
		t.Errorf("behind the end the clock runs: %v", err)
	}
}
