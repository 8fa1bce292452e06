package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/access"
)

// BenchmarkGateway measures the gateway's handler against the same proxy that asks nobody: both make the request anew,
// sign it for the upstream and pass the answer on. The upstream costs nothing, so the difference is what authorization
// costs: signature, session, policy of five statements, audit, log.
func BenchmarkGateway(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1.6KB", 1600}, {"1MiB", 1 << 20}} {
		w := newWorld(b)
		w.config.Access.Sessions = access.NewSessions(64) // as a server has one
		payload := strings.Repeat("x", size.bytes)
		w.config.Upstream.Transport = instant(payload)
		g, err := New(w.config)
		if err != nil {
			b.Fatal(err)
		}
		credentials := w.session(b, ours,
			allow("s3:ListAllMyBuckets", "*"), allow("s3:ListBucket", "arn:aws:s3:::pay"), allow("s3:PutObject", "arn:aws:s3:::pay/in/*"),
			allow("s3:DeleteObject", "arn:aws:s3:::pay/tmp/*"), allow("s3:GetObject", "arn:aws:s3:::pay/*"))
		req := w.sign(b, credentials, request{method: "GET", path: "/pay/reports/2026/11/a.json"})
		// As a server gets it.
		req.RequestURI, req.RemoteAddr, req.Host = req.URL.Path, "127.0.0.1:1", req.URL.Host
		b.Run(size.name+"/authorized", func(b *testing.B) { serve(b, g, req, size.bytes) })
		b.Run(size.name+"/thin", func(b *testing.B) { serve(b, thin{g}, req, size.bytes) })
	}
}

// BenchmarkAuthorize measures the parts alone.
func BenchmarkAuthorize(b *testing.B) {
	w := newWorld(b)
	w.config.Access.Sessions = access.NewSessions(64) // as a server has one
	g, err := New(w.config)
	if err != nil {
		b.Fatal(err)
	}
	credentials := w.session(b, ours,
		allow("s3:ListAllMyBuckets", "*"), allow("s3:ListBucket", "arn:aws:s3:::pay"), allow("s3:PutObject", "arn:aws:s3:::pay/in/*"),
		allow("s3:DeleteObject", "arn:aws:s3:::pay/tmp/*"), allow("s3:GetObject", "arn:aws:s3:::pay/*"))
	req := w.sign(b, credentials, request{method: "GET", path: "/pay/reports/2026/11/a.json"})
	req.RequestURI, req.RemoteAddr, req.Host = req.URL.Path, "127.0.0.1:1", req.URL.Host
	b.ReportAllocs()
	for b.Loop() {
		sig, principal, err := g.authenticate(req)
		if err != nil {
			b.Fatal(err)
		}
		c, err := g.parse(req)
		if err != nil {
			b.Fatal(err)
		}
		if err := g.prepare(req, http.NoBody, sig, principal, c); err != nil {
			b.Fatal(err)
		}
		if _, _, err := g.authorize(req, principal, c); err != nil {
			b.Fatal(err)
		}
	}
}

// serve runs 32 callers at once and reports the processor time of a request, which other programs on the machine disturb
// less than its duration.
func serve(b *testing.B, handler http.Handler, req *http.Request, size int) {
	b.Helper()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(32 / runtime.GOMAXPROCS(0))
	before := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := &discard{header: http.Header{}}
			handler.ServeHTTP(w, req)
			if w.status != http.StatusOK || w.n != size {
				b.Errorf("status %d, %d bytes", w.status, w.n)
			}
		}
	})
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N)/1e3, "cpu-µs/op")
}

// processorTime is what the process has used so far, in user and system mode.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkHop measures whole hops over loopback sockets: client, proxy and upstream share the machine.
func BenchmarkHop(b *testing.B) {
	w := newWorld(b)
	w.config.Access.Sessions = access.NewSessions(64) // as a server has one
	payload := strings.Repeat("x", 1600)
	w.upstream.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, payload) })
	g, err := New(w.config)
	if err != nil {
		b.Fatal(err)
	}
	credentials := w.session(b, ours, allow("s3:GetObject", "arn:aws:s3:::pay/*"))
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"authorized", g}, {"thin", thin{g}}} {
		server := httptest.NewServer(c.handler)
		req := w.sign(b, credentials, request{method: "GET", path: "/pay/a"})
		req.Host = req.URL.Host // that was signed
		req.URL.Host = strings.TrimPrefix(server.URL, "http://")
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || int(n) != len(payload) {
					b.Fatalf("%d bytes, %v", n, err)
				}
				_ = resp.Body.Close()
			}
		})
		server.Close()
	}
}

// thin is the gateway without its questions.
type thin struct{ *Gateway }

func (t thin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := t.parse(r)
	if err != nil {
		WriteError(w, r, "", err)
		return
	}
	body, err := verify(http.NoBody, 0, emptyHash)
	if err != nil {
		WriteError(w, r, "", err)
		return
	}
	resp, err := t.send(r.Context(), c, body, emptyHash)
	if err != nil {
		WriteError(w, r, "", err)
		return
	}
	_, _ = t.relay(w, c, resp)
	_ = resp.Body.Close()
}

// instant answers every request with the payload, without a network.
type instant string

func (i instant) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, ContentLength: int64(len(i)), Body: io.NopCloser(strings.NewReader(string(i))),
		Header: http.Header{"Content-Type": {"application/octet-stream"}, "Etag": {`"e"`}},
	}, nil
}

type discard struct {
	header http.Header
	status int
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }
