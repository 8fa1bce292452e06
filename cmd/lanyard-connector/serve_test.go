package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kubeconfig is of an API server that serves nothing yet.
func kubeconfig(t *testing.T) string {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the API server is starting", http.StatusServiceUnavailable)
	}))
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"users":[{"name":"u","user":{}}],"clusters":[{"name":"c","cluster":{"server":%q}}]}`, api.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// started is a command under way.
type started struct {
	webhook, metrics string // as it logs them; empty when it ended first
	ended            <-chan error
}

func start(ctx context.Context, t *testing.T, args ...string) started {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	logs, log := io.Pipe()
	cmd := newCommand()
	cmd.SetErr(log)
	cmd.SetArgs(append([]string{
		"--cluster-name", "dev", "--endpoint", "https://127.0.0.1:1", "--region", "us-east-1", "--instance", "connector-0", "--namespace", "lanyard-system",
		"--role-arn", "arn:aws:iam::111122223333:role/lanyard-connector-0123456789abcdef0123456789abcdef", "--web-identity-token-file", token,
		"--image-repository", "registry.example/lanyard", "--kubeconfig", kubeconfig(t), "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		"--linger", "0",
	}, args...))
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		_ = log.CloseWithError(err)
		done <- err
	}()
	s := started{ended: done}
	for lines := bufio.NewScanner(logs); s.webhook == "" && lines.Scan(); {
		var line struct{ Webhook, Metrics string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("log line %s: %v", lines.Text(), err)
		}
		s.webhook, s.metrics = line.Webhook, line.Metrics
	}
	go func() { _, _ = io.Copy(io.Discard, logs) }()
	return s
}

func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// A connector whose API server and server are both away lives, says that it is not ready, and stops when it is told to.
func TestItWaitsAndStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := start(ctx, t)
	if s.webhook == "" || s.metrics == "" {
		t.Fatalf("it ended with %v", <-s.ended)
	}
	if status, body := ask(t, "http://"+s.metrics+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d, %s", status, body)
	}
	if status, body := ask(t, "http://"+s.metrics+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "has not told") {
		t.Errorf("/readyz: %d, %s", status, body)
	}
	if status, body := ask(t, "http://"+s.metrics+"/metrics"); status != http.StatusOK || !strings.Contains(body, "lanyard_connector_") {
		t.Errorf("/metrics: %d, %.200s", status, body)
	}
	// Without a certificate no one is answered, least of all without TLS.
	dialer := tls.Dialer{Config: &tls.Config{ServerName: "lanyard-connector.lanyard-system.svc"}}
	if conn, err := dialer.DialContext(ctx, "tcp", s.webhook); err == nil {
		_ = conn.Close()
		t.Error("the webhook answers without a certificate")
	}
	stop()
	if err := <-s.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	for _, addr := range []string{s.webhook, s.metrics} {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			t.Errorf("%s still answers", addr)
		}
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no cluster", []string{"--cluster-name", ""}, "cluster"},
		{"plain HTTP", []string{"--endpoint", "http://192.0.2.1"}, "https"},
		{"no region", []string{"--region", ""}, "region"},
		{"the agent's role", []string{"--role-arn", "arn:aws:iam::111122223333:role/lanyard-agent-0123456789abcdef0123456789abcdef"}, "lanyard-connector-ID"},
		{"no namespace", []string{"--namespace", ""}, "namespace"},
		{"no repository", []string{"--image-repository", ""}, "image repository"},
		{"a repository with a tag", []string{"--image-repository", "registry.example/a:b"}, "image repository"},
		{"a failure policy", []string{"--failure-policy", "Maybe"}, `--failure-policy "Maybe"`},
		{"an agent right", []string{"--agent-rights", "verify-pods,everything"}, `agent right "everything"`},
		{"no CA", []string{"--ca-file", os.DevNull}, "certificate"},
		{"no kubeconfig", []string{"--kubeconfig", filepath.Join(t.TempDir(), "none")}, "none"},
		{"no pod", []string{"--kubeconfig", ""}, "--kubeconfig"},
		{"an address that is taken", []string{"--listen", taken.Addr().String()}, "in use"},
		{"a metrics address that is taken", []string{"--metrics-listen", taken.Addr().String()}, "in use"},
		{"verbosity", []string{"--verbosity", "loud"}, `"loud"`},
		{"an argument", []string{"extra"}, "extra"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			s := start(t.Context(), t, c.args...)
			if err := <-s.ended; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it ended with %v, want an error that names %s", err, c.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	var out strings.Builder
	cmd := newCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"version"})
	if err := cmd.Execute(); err != nil || !strings.HasPrefix(out.String(), "lanyard-connector ") {
		t.Errorf("version printed %q, %v", out.String(), err)
	}
}
