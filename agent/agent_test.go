package agent

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

func TestConfigIsChecked(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Config)
		want   string // part of the message; empty: accepted
	}{
		{"complete", func(*Config) {}, ""},
		{"https", func(c *Config) { c.Endpoint = "https://lanyard.example:8443/" }, ""},
		{"http on IPv6 loopback", func(c *Config) { c.Endpoint = "http://[::1]:8780" }, ""},
		{"http elsewhere", func(c *Config) { c.Endpoint = "http://10.0.0.1:8780" }, "http://10.0.0.1:8780"},
		{"http to a name", func(c *Config) { c.STSEndpoint = "http://localhost:8780" }, "localhost"},
		{"a password", func(c *Config) { c.Endpoint = "https://a:b@lanyard.example" }, "endpoint"},
		{"no URL", func(c *Config) { c.Endpoint = "lanyard" }, `"lanyard"`},
		{"no endpoint", func(c *Config) { c.Endpoint = "" }, "endpoint"},
		{"no region", func(c *Config) { c.Region = "" }, "region"},
		{"no role", func(c *Config) { c.RoleARN = "" }, "role ARN"},
		{"no token file", func(c *Config) { c.TokenFile = "" }, "token file"},
		{"no cluster", func(c *Config) { c.Cluster = "" }, "cluster name"},
		{"a path in the cluster", func(c *Config) { c.Cluster = "a/../b" }, `"a/../b"`},
		{"a long cluster", func(c *Config) { c.Cluster = strings.Repeat("c", 101) }, "cluster name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{Cluster: "dev", Region: "us-east-1", Endpoint: "https://x.example", RoleARN: "arn", TokenFile: "f"}
			c.change(&cfg)
			_, err := New(cfg)
			if c.want == "" {
				if err != nil {
					t.Errorf("New = %v", err)
				}
				return
			}
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New = %v, want an Invalid that names %s", err, c.want)
			}
		})
	}
}

func TestSessionName(t *testing.T) {
	for _, c := range []struct{ name, node, want string }{
		{"as it is", "ip-10-0-0-1.ec2.internal", "ip-10-0-0-1.ec2.internal"},
		{"foreign letters", "knöten/1 x", "kn-ten-1-x"},
		{"too long", strings.Repeat("n", 80), strings.Repeat("n", 64)},
		{"too short", "n", "lanyard-agent"},
		{"none", "", "lanyard-agent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sessionName(c.node); got != c.want {
				t.Errorf("sessionName(%q) = %q, want %q", c.node, got, c.want)
			}
		})
	}
}

func TestProbes(t *testing.T) {
	r := newRig(t, nil)
	front := httptest.NewServer(r.Handler())
	probes := httptest.NewServer(r.Probes(front.URL))
	defer probes.Close()
	want := func(path string, status int) {
		t.Helper()
		response, err := http.Get(probes.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("%s: status %d, want %d: %s", path, response.StatusCode, status, body)
		}
	}
	want("/healthz", 200)
	want("/readyz", 503) // no identity yet
	r.second(t)
	want("/readyz", 200)
	front.Close()
	want("/healthz", 503)
	want("/readyz", 503)
	want(Path, 404)
}

func TestMetricsBearTheNamesOfAWSsAgent(t *testing.T) {
	r := newRig(t, nil)
	r.wantStatus(t, day("a"), 200)
	r.wantStatus(t, day("a"), 200)
	r.fake.refuseWith(404, "ResourceNotFoundException", "no")
	r.wantStatus(t, day("b"), 404)
	r.fake.refuseWith(500, "InternalServerException", "no")
	r.wantStatus(t, day("c"), 503)
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			line := family.GetName()
			for _, label := range m.GetLabel() {
				line += " " + label.GetName() + "=" + label.GetValue()
			}
			if c := m.GetCounter(); c != nil && c.GetValue() > 0 {
				got = append(got, line)
			}
			if h := m.GetHistogram(); h != nil && h.GetSampleCount() > 0 {
				got = append(got, line)
			}
		}
	}
	want := []string{
		"lanyard_agent_request_seconds outcome=hit",
		"lanyard_agent_request_seconds outcome=miss",
		"lanyard_agent_request_seconds outcome=refused",
		"lanyard_agent_upstream_seconds code=ResourceNotFoundException",
		"lanyard_agent_upstream_seconds code=ServiceUnavailable",
		"lanyard_agent_upstream_seconds code=ok",
		"pod_identity_cache_errors code=ResourceNotFoundException type=NonRecoverable",
		"pod_identity_cache_errors code=ServiceUnavailable type=Recoverable",
		"pod_identity_cache_state state=hit",
		"pod_identity_cache_state state=miss",
		"pod_identity_http_response code=200",
		"pod_identity_http_response code=404",
		"pod_identity_http_response code=503",
	}
	if !slices.Equal(got, want) {
		t.Errorf("metrics\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
