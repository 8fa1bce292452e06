package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// A Deny that asks how a request came is heard here as at every door.
func TestConditionKeysOfTheRequest(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pay/missing" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte("<Error><Code>NoSuchKey</Code></Error>")) // the client's side fails the test
		}
	})
	deny := func(action, condition string) string {
		return `{"Effect":"Deny","Action":"` + action + `","Resource":"*","Condition":` + condition + `}`
	}
	for _, c := range []struct {
		name, deny string
		path       string
		want       int
	}{
		{"without TLS", deny("s3:*", `{"Bool":{"aws:SecureTransport":"false"}}`), "/pay/a", 403},
		{"with TLS", deny("s3:*", `{"Bool":{"aws:SecureTransport":"true"}}`), "/pay/a", 200},
		{"from here", deny("s3:*", `{"StringEquals":{"aws:SourceIp":"127.0.0.1"}}`), "/pay/a", 403},
		{"from elsewhere", deny("s3:*", `{"StringEquals":{"aws:SourceIp":"10.0.0.1"}}`), "/pay/a", 200},
		{"in this region", deny("s3:*", `{"StringEquals":{"aws:RequestedRegion":"`+region+`"}}`), "/pay/a", 403},
		{"in another region", deny("s3:*", `{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`), "/pay/a", 200},
		{"what is missing, without TLS", deny("s3:ListBucket", `{"Bool":{"aws:SecureTransport":"false"}}`), "/pay/missing", 403},
		{"what is missing, with TLS", deny("s3:ListBucket", `{"Bool":{"aws:SecureTransport":"true"}}`), "/pay/missing", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			if resp, text := w.send(t, w.session(t, ours, everything, c.deny), request{method: "GET", path: c.path}); resp.StatusCode != c.want {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, c.want, text)
			}
		})
	}
}

// A session that is revoked is a verified caller: its attempts are on record, once a minute. Who only found its token is not.
func TestARevokedSessionIsOnRecord(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir() + "/audit"
	ended := w.session(t, ours, everything)
	stranger := ended
	stranger.SecretAccessKey = "x"
	t.Run("asking", func(t *testing.T) { // at its end the log is whole
		w.config.Audit = runAudit(t, folder)
		w.serve(t)
		if _, err := w.config.Access.Registry.Revoke(t.Context(), ours, "test", registry.Target{Kind: registry.BySession, Value: ours + "/" + ended.AccessKeyID}); err != nil {
			t.Fatal(err)
		}
		before := w.config.Audit.Head()
		if resp, text := w.send(t, stranger, request{method: "GET", path: "/pay/a"}); resp.StatusCode != 403 {
			t.Errorf("with another secret: status %d, want 403: %s", resp.StatusCode, text)
		}
		if w.config.Audit.Head() != before {
			t.Error("a stranger made a durable record")
		}
		for range 3 {
			if resp, text := w.send(t, ended, request{method: "GET", path: "/pay/a"}); errorOf(t, text).Code != "ExpiredToken" {
				t.Errorf("status %d, want ExpiredToken: %s", resp.StatusCode, text)
			}
		}
		if w.config.Audit.Head() == before {
			t.Error("no durable record")
		}
	})
	var found []audit.Event
	for _, event := range readEvents(t, folder) {
		if event.UserIdentity.AccessKeyID == ended.AccessKeyID {
			found = append(found, event)
		}
	}
	if len(found) != 2 || found[0].ErrorCode != "ExpiredToken" || found[0].EventName != "GetObject" || found[0].UserIdentity.Type != "AssumedRole" {
		t.Errorf("the records are %+v, want one of the first attempt and one of the count", found)
	}
	if seen := w.upstream.take(); len(seen) != 0 {
		t.Errorf("the upstream saw %d requests", len(seen))
	}
}

// runAudit opens a log and runs it until the test is over.
func runAudit(t *testing.T, folder string) *audit.Log {
	t.Helper()
	log, err := audit.Open(folder, audit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- log.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-stopped, log.Close()); err != nil {
			t.Error(err)
		}
	})
	return log
}

// A bound is that of the role, however many sessions it has.
func TestSessionsOfARoleShareItsBound(t *testing.T) {
	w := newWorld(t)
	w.config.Principals = limit.NewRates(0.001, 1, 16)
	w.serve(t)
	first := w.session(t, ours, everything)
	role, err := w.directory.Role(ours, "role-1")
	if err != nil {
		t.Fatal(err)
	}
	again, other := w.mint(t, role, "another-name", 0), w.session(t, ours, everything)
	for _, c := range []struct {
		name        string
		credentials session.Credentials
		want        int
	}{{"the first", first, 200}, {"another session of the role", again, 503}, {"another role", other, 200}} {
		if resp, text := w.send(t, c.credentials, request{method: "GET", path: "/pay/a"}); resp.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.name, resp.StatusCode, c.want, text)
		}
	}
}

// What a client does not wait for is no failure of the audit. One that the audit cannot take is.
func TestAClientThatLeftIsNoError(t *testing.T) {
	w := newWorld(t)
	log, err := audit.Open(t.TempDir()+"/audit", audit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	w.config.Audit, w.config.Logger = log, slog.New(slog.NewJSONHandler(&lines, nil))
	g, err := New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	caller := w.session(t, ours, everything)
	ask := func(ctx context.Context) string {
		lines.Reset()
		r := w.sign(t, caller, request{method: "GET", path: "/pay/a"}).WithContext(ctx)
		r.RequestURI, r.RemoteAddr = r.URL.Path, "127.0.0.1:1"
		g.ServeHTTP(httptest.NewRecorder(), r)
		return lines.String()
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if got := ask(gone); !strings.Contains(got, `"level":"INFO"`) || !strings.Contains(got, "RequestTimeout") { // nobody writes the log yet
		t.Errorf("the client is gone: %s, want INFO", got)
	}
	if err := errors.Join(log.Run(gone), log.Close()); err != nil {
		t.Fatal(err)
	}
	if log.Head().Seq == 0 {
		t.Error("the record went with the client")
	}
	if got := ask(t.Context()); !strings.Contains(got, `"level":"ERROR"`) {
		t.Errorf("the log is closed: %s, want ERROR", got)
	}
	if seen := w.upstream.take(); len(seen) != 0 {
		t.Errorf("the upstream saw %d requests", len(seen))
	}
}

// The door in the frame of a server: it is measured by its own words, and takes no session that a gateway could make.
func TestDoorInTheFrame(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pay/odd" {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte("<Error><Code>MadeUp</Code></Error>")) // the client's side fails the test
		}
	})
	g, err := New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	w.gateway.Config.Handler = api.New(api.Config{
		Region: region, Access: w.config.Access, Audit: w.audit, Addresses: limit.NewRates(1e6, 1e6, 64), Principals: w.config.Principals,
		Gate: limit.NewGate(4, 1), Ready: w.store.Ready, Log: slog.New(slog.DiscardHandler), Metrics: metrics,
	}, "s3", g.Door())
	reader := w.session(t, ours, allow("s3:GetObject", "*"))
	role, err := w.directory.Role(ours, "role-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		credentials session.Credentials
		in          request
		want        string // the error's code
	}{
		{"allowed", reader, request{method: "GET", path: "/pay/a"}, ""},
		{"denied", reader, request{method: "PUT", path: "/pay/a", body: "x"}, "AccessDenied"},
		{"refused by the upstream, in its words", reader, request{method: "GET", path: "/pay/odd"}, "MadeUp"},
		{"a session of another server", w.mint(t, role, "pod", 1), request{method: "GET", path: "/pay/a"}, "InvalidToken"},
	} {
		resp, text := w.send(t, c.credentials, c.in)
		got := ""
		if resp.StatusCode != 200 {
			got = errorOf(t, text).Code
		}
		if got != c.want {
			t.Errorf("%s: got %d %q, want %q", c.name, resp.StatusCode, got, c.want)
		}
	}
	w.gateway.Close() // waits for the handlers
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got = append(got, strings.Join(labels, "/")) // code, door, operation
		}
	}
	if want := "/s3/GetObject AccessDenied/s3/PutObject InvalidToken/s3/ Upstream/s3/GetObject"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// dawdling is a body that takes its time.
type dawdling struct{ io.Reader }

func (d dawdling) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return d.Reader.Read(p)
}

// The frame's times are for what it reads and answers itself: a store may take longer, and a body or an object hours.
func TestTheFramesTimesAreNotTheDoors(t *testing.T) {
	w := newWorld(t)
	g, err := New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.gateway.Config.Handler = api.New(api.Config{
		Region: region, Access: w.config.Access, Audit: w.audit, Addresses: limit.NewRates(1e6, 1e6, 64), Principals: w.config.Principals,
		Gate: limit.NewGate(4, 1), Ready: w.store.Ready, Log: slog.New(slog.DiscardHandler),
		BodyTimeout: time.Millisecond, AnswerTimeout: time.Millisecond,
	}, "s3", g.Door())
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		if r.URL.Path == "/pay/none" {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	owner := w.session(t, ours, allow("s3:*", "*"))
	for _, c := range []struct {
		in     request
		status int
	}{
		{request{method: "HEAD", path: "/pay/a"}, http.StatusOK},
		{request{method: "HEAD", path: "/pay/none"}, http.StatusNotFound},
		{request{method: "PUT", path: "/pay/a", body: strings.Repeat("x", 1<<20)}, http.StatusOK},
	} {
		r := w.sign(t, owner, c.in)
		r.Body = io.NopCloser(dawdling{r.Body})
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Errorf("%s %s: %v", c.in.method, c.in.path, err)
			continue
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != c.status {
			t.Errorf("%s %s: status %d, %v, want %d", c.in.method, c.in.path, resp.StatusCode, err, c.status)
		}
	}
}
