package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runProbe is what a kubelet does in the agent's container.
func runProbe(t *testing.T, args ...string) error {
	t.Helper()
	cmd := newCommand()
	cmd.SetArgs(append([]string{"probe"}, args...))
	cmd.SetErr(io.Discard)
	return cmd.ExecuteContext(t.Context())
}

// socketPath is short: a Unix socket's name has at most 107 bytes.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "probe.sock")
}

// Two agents share the probe port, as in an upgrade. The old one has its identity and the new one does not: whoever asks
// the port is answered by either, and each socket by its own agent.
func TestEachAgentAnswersItsOwnProbe(t *testing.T) {
	released := make(chan struct{})
	close(released)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no identity today", http.StatusServiceUnavailable)
	}))
	defer refusing.Close()
	good, bad := socketPath(t), socketPath(t)
	// What an agent that was killed has left is no obstacle.
	if err := os.WriteFile(good, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	oldAddr, oldEnded := start(ctx, t, "--endpoint", control(t, released, make(chan struct{}, 1)), "--sts-endpoint", "", "--probe-socket", good)
	_, newEnded := start(ctx, t, "--endpoint", refusing.URL, "--sts-endpoint", "", "--probe-socket", bad)
	if oldAddr == "" {
		t.Fatal("the old agent did not start")
	}
	if err := fetchOnce(ctx, http.DefaultClient, oldAddr, podToken()); err != nil { // it has its identity now
		t.Fatal(err)
	}
	if err := runProbe(t, "readyz", "--socket", good); err != nil {
		t.Errorf("the old agent: %v", err)
	}
	if err := runProbe(t, "readyz", "--socket", bad); err == nil || !strings.Contains(err.Error(), "readyz: ") {
		t.Errorf("the new agent has no identity and answers %v", err)
	}
	if err := runProbe(t, "healthz", "--socket", bad); err != nil {
		t.Errorf("the new agent is healthy, and answers %v", err)
	}
	stop()
	for _, ended := range []<-chan error{oldEnded, newEnded} {
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	}
	if err := runProbe(t, "healthz", "--socket", good); err == nil {
		t.Error("an agent that ended answers")
	}
}

func TestProbeRefusesBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"readyz"},
		{"metrics", "--socket", "x"},
		{"readyz", "healthz", "--socket", "x"},
		{"readyz", "--socket", filepath.Join(t.TempDir(), "none")},
	} {
		if err := runProbe(t, args...); err == nil {
			t.Errorf("probe %q succeeds", args)
		}
	}
	_, ended := start(t.Context(), t, "--endpoint", "https://lanyard.example", "--probe-socket", filepath.Join(t.TempDir(), "no", "folder"))
	if err := <-ended; err == nil || !strings.Contains(fmt.Sprint(err), "listening") {
		t.Errorf("a socket in no folder: %v", err)
	}
}
