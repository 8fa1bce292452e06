package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/agent"
)

// control is EKS Auth and STS on one address, as a Lanyard server is. hold keeps a question open.
func control(t *testing.T, hold <-chan struct{}, asked chan<- struct{}) string {
	t.Helper()
	end := time.Now().Add(6 * time.Hour)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/" {
			fmt.Fprintf(w, `<R><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></R>`,
				end.UTC().Format(time.RFC3339))
			return
		}
		if strings.HasPrefix(r.URL.Path, "/lanyard/") {
			http.NotFound(w, r) // it pushes nothing
			return
		}
		if r.URL.Path != "/clusters/dev/assume-role-for-pod-identity" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		asked <- struct{}{}
		<-hold
		fmt.Fprintf(w, `{"credentials":{"accessKeyId":"A","secretAccessKey":"S","sessionToken":"T","expiration":%d}}`, end.Unix())
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func podToken() string {
	claims := fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Hour).Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// start runs the command and returns the address that it logs.
func start(ctx context.Context, t *testing.T, args ...string) (addr string, ended <-chan error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a.b.c"), 0o600); err != nil {
		t.Fatal(err)
	}
	logs, log := io.Pipe()
	cmd := newCommand()
	cmd.SetErr(log)
	cmd.SetArgs(append([]string{
		"server", "--cluster-name", "dev", "--bind-hosts", "127.0.0.1", "--port", "0", "--probe-port", "0", "--metrics-address", "127.0.0.1",
		"--metrics-port", "0", "--region", "us-east-1", "--role-arn", "arn:aws:iam::111122223333:role/agent", "--web-identity-token-file", file,
	}, args...))
	done := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		_ = log.CloseWithError(err)
		done <- err
	}()
	lines := bufio.NewScanner(logs)
	for addr == "" && lines.Scan() {
		var line struct{ Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("log line %s: %v", lines.Text(), err)
		}
		addr = line.Address
	}
	go func() { _, _ = io.Copy(io.Discard, logs) }()
	return addr, done
}

func fetchOnce(ctx context.Context, client *http.Client, addr, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+agent.Path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", token)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return errors.Join(err, response.Body.Close())
}

func TestServerAnswersAndDrains(t *testing.T) {
	hold, asked := make(chan struct{}), make(chan struct{}, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	addr, ended := start(ctx, t, "--endpoint", control(t, hold, asked), "--sts-endpoint", "")
	type outcome struct {
		status int
		body   string
		err    error
	}
	got := make(chan outcome, 1)
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+agent.Path, nil)
		if err != nil {
			got <- outcome{err: err}
			return
		}
		request.Header.Set("Authorization", podToken())
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			got <- outcome{err: err}
			return
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		got <- outcome{response.StatusCode, string(body), err}
	}()
	<-asked
	stop() // a request is under way: it is answered all the same
	close(hold)
	if o := <-got; o.err != nil || o.status != http.StatusOK || !strings.HasPrefix(o.body, `{"AccessKeyId":"A"`) {
		t.Errorf("the request under way: %+v", o)
	}
	if err := <-ended; err != nil {
		t.Errorf("server ended with %v", err)
	}
}

func TestServerRefusesBadSettings(t *testing.T) {
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"no endpoint", []string{"--endpoint", "", "--sts-endpoint", ""}, "endpoint"},
		{"plain HTTP", []string{"--endpoint", "http://10.0.0.1"}, "https"},
		{"no cluster", []string{"--cluster-name", ""}, "cluster name"},
		{"no pace", []string{"--max-service-qps", "0"}, "--max-service-qps"},
		{"negative cache", []string{"--max-cache-size", "-1"}, "--max-cache-size"},
		{"no CA", []string{"--ca-file", os.DevNull}, "certificate"},
		{"a foreign address", []string{"--bind-hosts", "192.0.2.1"}, "listening"},
		{"verbosity", []string{"--verbosity", "loud"}, `"loud"`},
		{"an argument", []string{"extra"}, "extra"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--endpoint", "https://lanyard.example"}, c.args...)
			_, ended := start(t.Context(), t, args...)
			if err := <-ended; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ended with %v, want an error that names %s", err, c.want)
			}
		})
	}
}

// The flags and defaults of AWS's agent: its Helm values and additionalArgs must fit.
func TestServerHasTheFlagsOfAWSsAgent(t *testing.T) {
	server, _, err := newCommand().Find([]string{"server"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"cluster-name": "", "port": "80", "bind-hosts": "[169.254.170.23,[fd00:ec2::23]]", "probe-port": "2703",
		"metrics-address": "0.0.0.0", "metrics-port": "2705", "max-credential-retention-before-renewal": "3h0m0s",
		"max-cache-size": "2000", "max-service-qps": "3", "rotate-credentials": "false",
	} {
		flag := server.Flags().Lookup(name)
		if flag == nil {
			t.Errorf("no flag --%s", name)
			continue
		}
		if flag.DefValue != want {
			t.Errorf("--%s defaults to %q, want %q", name, flag.DefValue, want)
		}
	}
	for short, name := range map[string]string{"c": "cluster-name", "p": "port", "b": "bind-hosts"} {
		if flag := server.Flags().ShorthandLookup(short); flag == nil || flag.Name != name {
			t.Errorf("-%s is not --%s", short, name)
		}
	}
}

func TestZeroFlagsKeepNothing(t *testing.T) {
	s := settings{cacheSize: 0, retention: 0, qps: 3, node: "n"}
	cfg, err := s.config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.CacheSize >= 0 || cfg.Retention >= 0 {
		t.Errorf("size %d and retention %v, want both negative", cfg.CacheSize, cfg.Retention)
	}
}

func TestVersion(t *testing.T) {
	var out strings.Builder
	cmd := newCommand()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"version"})
	if err := cmd.Execute(); err != nil || !strings.HasPrefix(out.String(), "lanyard-agent ") {
		t.Errorf("version printed %q, %v", out.String(), err)
	}
}
