package api_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/audit"
)

// TestFloodsNeitherStopCredentialsNorFillTheLog sends many requests of each kind that nobody has verified, while a pod gets its
// credentials again and again with few places in the audit.
func TestFloodsNeitherStopCredentialsNorFillTheLog(t *testing.T) {
	const atOnce, each, fetches = 8, 150, 20
	w := newWorld(t)
	admin := w.account(t, ours)
	w.associate(t, ours)
	agent, config, dir := w.agent(t, ours), w.config(), t.TempDir()+"/flooded"
	// The flood has no place for itself; the one that decides has.
	config.Audit = openAudit(t, dir, audit.Config{Capacity: atOnce + 1})
	server := w.serve(t, config)
	wrong := admin
	wrong.secret = "x"
	honest := w.pod(agent, w.token(t, podToken(w.clock())))
	for _, tt := range []struct {
		name string
		in   request
	}{
		{"unsigned", request{service: "sts", method: "POST", path: "/", body: identity}},
		{"signed by nobody", request{as: signer{id: "AKIANOBODYATALLXXXXX", secret: "x"}, service: "eks", method: "GET", path: "/clusters"}},
		{"with a wrong signature", request{as: wrong, service: "eks", method: "GET", path: "/clusters"}},
		{"with junk tokens, through an honest agent", w.pod(agent, "eyJhbGciOiJSUzI1NiJ9."+strings.Repeat("x", 2000)+".y")},
	} {
		before, size := config.Audit.Head(), bytesIn(t, dir)
		var flood sync.WaitGroup
		failures := make(chan string, atOnce*each)
		for range atOnce {
			flood.Go(func() {
				for range each {
					if got := w.send(t, server, tt.in); got.status/100 != 4 {
						failures <- fmt.Sprintf("%d %s", got.status, got.body)
					}
				}
			})
		}
		for range fetches {
			if got := w.send(t, server, honest); got.status != 200 {
				t.Errorf("%s: an honest pod is refused: %d %s", tt.name, got.status, got.body)
			}
		}
		flood.Wait()
		if len(failures) > 0 {
			t.Errorf("%s: %d of the flood were not refused as what they are, such as %s", tt.name, len(failures), <-failures)
		}
		if n := config.Audit.Head().Seq - before.Seq; n != 2*fetches {
			t.Errorf("%s: %d records in the chain, want the two of each of the %d fetches", tt.name, n, fetches)
		}
		// The stream takes a hundred at once and twenty a second, of at most a few KiB each.
		if grown := bytesIn(t, dir) - size; grown > 400*4096 {
			t.Errorf("%s: the folder grew by %d bytes", tt.name, grown)
		}
	}
	if config.Audit.State().Dropped == 0 {
		t.Error("nothing was dropped: the flood was none")
	}
}

func bytesIn(t *testing.T, dir string) (size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

// TestALogThatCannotBeWrittenStopsDecisionsAndHeals takes the log's folder away, as a full or broken disk does, and gives it
// back. (A disk that fills up in the middle of a line is tried in the audit's own tests.)
func TestALogThatCannotBeWrittenStopsDecisionsAndHeals(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	w.associate(t, ours)
	config, dir := w.config(), filepath.Join(t.TempDir(), "audit")
	config.Audit = openAudit(t, dir, audit.Config{FileSize: 1}) // each write begins a file
	server := w.serve(t, config)
	write := request{as: admin, service: "lanyard", method: "PATCH", path: "/lanyard/v1/clusters/dev", body: `{"nodeBinding":false}`}
	credentials := w.pod(w.agent(t, ours), w.token(t, podToken(w.clock())))
	for name, in := range map[string]request{"a write": write, "credentials": credentials} {
		if got := w.send(t, server, in); got.status != 200 {
			t.Fatalf("%s: %d %s", name, got.status, got.body)
		}
	}
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first learns it, the second is told before anything is decided
		for name, in := range map[string]request{"a write": write, "credentials": credentials} {
			got := w.send(t, server, in)
			if got.status != 503 || !strings.Contains(got.body, "audit log") || strings.Contains(got.body, "secretAccessKey") {
				t.Errorf("%s while the log cannot be written: %d %s, want 503 that names the audit log", name, got.status, got.body)
			}
		}
	}
	if state := config.Audit.State(); !state.Full || state.TurnedAway == 0 {
		t.Errorf("the metrics tell %+v, want that the log is full and who was turned away", state)
	}
	if got := w.send(t, server, request{service: "sts", method: "POST", path: "/", body: identity}); got.status != 403 && got.status != 400 {
		t.Errorf("a stranger: %d %s, want the usual refusal", got.status, got.body)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); config.Audit.State().Full; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log is still full after 20 s")
		}
	}
	for name, in := range map[string]request{"a write": write, "credentials": credentials} {
		if got := w.send(t, server, in); got.status != 200 {
			t.Errorf("%s with the log back: %d %s", name, got.status, got.body)
		}
	}
	if _, err := audit.Verify(dir, config.Audit.Head()); err != nil {
		t.Errorf("the log is broken: %v", err)
	}
}
