package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/openlanyard/lanyard/policy"
)

func TestAnswer(t *testing.T) {
	for _, tt := range []struct{ name, wire, body, err string }{
		{"a success", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 2\r\n\r\nokHTTP/1.1", "ok", ""},
		{"an empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", ""},
		{"a refusal says why", "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nslow", "", "answered HTTP/1.1 429 Too Many Requests: slow"},
		{"a body without a length", "HTTP/1.1 200 OK\r\n\r\nok", "", "of unknown length"},
		{"a body that ends early", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "", "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, err := answer(bufio.NewReaderSize(strings.NewReader(tt.wire), longestAnswer))
			if got := string(body); err == nil && got != tt.body {
				t.Errorf("answer(%q) = %q, want %q", tt.wire, got, tt.body)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("answer(%q) = error %v, want one with %q", tt.wire, err, tt.err)
			}
		})
	}
}

// The floor has to answer as the engine does, or the ratio compares two questions.
func TestScanAgreesWithThePolicy(t *testing.T) {
	document, err := policy.Parse(policy.Identity, documentOf(2))
	if err != nil {
		t.Fatal(err)
	}
	docs, rules := []*policy.Document{document}, rulesOf(2)
	for _, tt := range []struct {
		action, resource string
		want             bool
	}{
		{"s3:GetObject", bucketOf(1) + "/team-a/x", true},
		{"s3:GetObject", bucketOf(2) + "/team-a/x", false},
		{"s3:GetObject", bucketOf(0) + "/secret/x", false},
		{"s3:PutObject", bucketOf(0) + "/pay/x", true},
		{"s3:PutObject", bucketOf(0) + "/web/x", false},
		{"s3:ListBucket", bucketOf(0), true},
		{"s3:DeleteObject", bucketOf(0) + "/pay/x", false},
	} {
		q := question(tt.action, "arn:aws:s3:::"+tt.resource)
		if got := scan(rules, &q); got != tt.want {
			t.Errorf("scan of %s on %s = %v, want %v", tt.action, tt.resource, got, tt.want)
		}
		if got := policy.Evaluate(&q, docs).Effect == policy.Allow; got != tt.want {
			t.Errorf("policy on %s on %s = %v, want %v", tt.action, tt.resource, got, tt.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %g = %g, want %g", q, got, want)
		}
	}
}

// Each pod asks once, from an address of its own, and one that is refused is a failure and is not asked again.
func TestArrive(t *testing.T) {
	var mu sync.Mutex
	sources := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		mu.Lock()
		sources[host] = true
		mu.Unlock()
		if r.URL.Path != "/yes" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "answer")
	}))
	defer server.Close()
	request := func(path string) []byte { return []byte("GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") }
	waited, failed, first := arrive(t.Context(), server.Listener.Addr().String(), [][]byte{request("/yes"), request("/no"), request("/yes"), request("/no")})
	if len(waited) != 4 || failed != 2 || first == nil || !strings.Contains(first.Error(), "503") {
		t.Errorf("%d waited, %d failed, the first with %v: want 4, 2 and status 503", len(waited), failed, first)
	}
	if len(sources) != 4 {
		t.Errorf("they came from %d addresses, want 4: %v", len(sources), sources)
	}
}
