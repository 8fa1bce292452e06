package agent

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// counting serves, and counts the connections that it was asked for.
func counting(t *testing.T, serve func()) (server *httptest.Server, made *atomic.Int64) {
	made = &atomic.Int64{}
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { serve() }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server, made
}

func get(t *testing.T, client *transport, url string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if _, _, _, err := send(client, &atomic.Int64{}, r); err != nil {
		t.Error(err)
	}
}

func TestNoMoreConnectionsThanCallsAtOnce(t *testing.T) {
	const atOnce, each = 16, 200
	server, made := counting(t, func() {})
	client := newClient(nil)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for range each {
				get(t, client, server.URL)
			}
		})
	}
	all.Wait()
	if got := made.Load(); got > atOnce {
		t.Errorf("%d connections for %d calls at once", got, atOnce)
	}
	if client.calls != 0 || int64(client.open) != made.Load() {
		t.Errorf("%d calls and %d connections are counted after all, want 0 and %d", client.calls, client.open, made.Load())
	}
	client.CloseIdleConnections()
	if open := client.open; open != 0 {
		t.Errorf("%d connections are counted when all are closed", open)
	}
}

// What is idle at one server is no use at another, which the count does not tell apart.
func TestAnotherServersConnectionHoldsACallUpForAMomentOnly(t *testing.T) {
	first, _ := counting(t, func() {})
	second, made := counting(t, func() {})
	client := newClient(nil)
	get(t, client, first.URL)
	get(t, client, second.URL)
	if made.Load() != 1 {
		t.Errorf("%d connections to the second server, want 1", made.Load())
	}
}

// A call whose idle connection the server has just closed is made again, on a connection that it waits for once more.
func TestACallIsMadeAgainWhenItsConnectionWasClosed(t *testing.T) {
	server, made := counting(t, func() {})
	client := newClient(nil)
	for range 20 {
		get(t, client, server.URL)
		server.CloseClientConnections()
	}
	if got := made.Load(); got != 20 {
		t.Errorf("%d connections, want 20", got)
	}
}

// A call that a slow one's connection cannot serve gets its own at once.
func TestASlowCallHoldsNobodyUp(t *testing.T) {
	const atOnce = 8
	var arriving sync.WaitGroup
	arriving.Add(atOnce)
	server, made := counting(t, func() { // no answer before all calls are there
		arriving.Done()
		arriving.Wait()
	})
	client := newClient(nil)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() { get(t, client, server.URL) })
	}
	all.Wait()
	if got := made.Load(); got != atOnce {
		t.Errorf("%d connections for %d calls at once, want as many", got, atOnce)
	}
}

// Whoever can answer in the server's place, for a moment, is not to have tokens sent on to where nobody configured.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere, made := counting(t, func() {})
	r := newRig(t, nil)
	redirect := func(w http.ResponseWriter) bool {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusTemporaryRedirect) // followed, it would take the body along
		return true
	}
	r.fake.answerWith(func(w http.ResponseWriter, _ string) bool { return redirect(w) })
	r.wantStatus(t, day("a"), http.StatusServiceUnavailable)
	r.fake.stream = func(w http.ResponseWriter, _ *http.Request, _ string) { redirect(w) }
	if _, err := r.openStream(t.Context()); err == nil {
		t.Error("a redirect of the stream is a stream")
	}
	r.fake.sts = redirect
	if _, err := r.upstream.identity.assume(t.Context()); err == nil {
		t.Error("a redirect of STS is an identity")
	}
	if got := made.Load(); got != 0 {
		t.Errorf("%d connections to where the answers point", got)
	}
}
