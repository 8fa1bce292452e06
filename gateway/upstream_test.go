package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// The upstream gets a whole body only if it is the signed one.
func TestBodies(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	w := newWorld(t)
	all := w.session(t, ours, everything)
	for _, c := range []struct {
		name, body, hash string
		status           int
	}{
		{"right hash", "hello", hashOf("hello"), 200},
		{"right hash of one byte", "h", hashOf("h"), 200},
		{"right hash of a large body", large, hashOf(large), 200},
		{"no hash", "hello", sigv4.UnsignedPayload, 200},
		{"wrong hash", "hello", hashOf("hullo"), 400},
		{"wrong hash of one byte", "h", hashOf("u"), 400},
		{"wrong hash of a large body", large, hashOf(large[1:]), 400},
		{"hash of nothing", "hello", hashOf(""), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, text := w.send(t, all, request{method: "PUT", path: "/pay/a", body: c.body, hash: c.hash})
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", resp.StatusCode, c.status, text)
			}
			for _, seen := range w.upstream.take() {
				content, whole := seen.content()
				complete := whole && content == c.body
				if complete != (c.status == 200) {
					t.Errorf("the upstream has %d of %d bytes (error %v)", len(seen.body), len(c.body), seen.err)
				}
			}
			if c.status != 200 {
				if got := errorOf(t, text).Code; got != "XAmzContentSHA256Mismatch" {
					t.Errorf("code %s", got)
				}
			}
		})
	}
}

func TestVerifyKeepsTheLastPart(t *testing.T) {
	const body = "the quick brown fox"
	asItIs := func(r io.Reader) io.Reader { return r }
	for _, c := range []struct {
		name         string
		source, read func(io.Reader) io.Reader
		sent, passed string // what there is, and what of it is let go under a wrong hash
	}{
		{"at once", asItIs, asItIs, body, ""},
		{"that comes byte by byte", iotest.OneByteReader, asItIs, body, ""},
		{"read byte by byte", asItIs, iotest.OneByteReader, body, body[:len(body)-1]},
		{"that comes with its end", iotest.DataErrReader, asItIs, body, ""},
		{"longer than promised", asItIs, asItIs, body + "!", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := func(hash string) (string, error) {
				u, err := verify(c.source(strings.NewReader(c.sent)), int64(len(body)), hash)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(c.read(u))
				return string(got), err
			}
			if got, err := read(hashOf(body)); err != nil || got != body {
				t.Errorf("right hash: got %q, %v", got, err)
			}
			got, err := read(hashOf("x"))
			var mismatch *refusal
			if !errors.As(err, &mismatch) || got != c.passed {
				t.Errorf("wrong hash: got %q, %v", got, err)
			}
		})
	}
	short, err := verify(strings.NewReader(body), int64(len(body))+1, hashOf(body))
	if err != nil {
		t.Fatal(err)
	}
	var incomplete *refusal
	if _, err := io.ReadAll(short); !errors.As(err, &incomplete) || incomplete.code.name != "IncompleteBody" {
		t.Errorf("shorter than promised: %v, want IncompleteBody", err)
	}
}

// What a client gets to see of the upstream's answer, and what not.
func TestAnswers(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	reader := w.session(t, ours, allow("s3:GetObject", "*"))
	s3Error := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Request-Id", "UPSTREAM")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>said so</Message><Resource>/inside</Resource><RequestId>UPSTREAM</RequestId><HostId>inside</HostId></Error>`)
		}
	}
	get := request{method: "GET", path: "/pay/a"}
	for _, c := range []struct {
		name         string
		in           request
		answer       http.HandlerFunc
		reader       bool
		status       int
		code, reason string
	}{
		{name: "no such bucket", in: get, answer: s3Error(404, "NoSuchBucket"), status: 404, code: "NoSuchBucket", reason: "said so"},
		{name: "no such key", in: get, answer: s3Error(404, "NoSuchKey"), status: 404, code: "NoSuchKey", reason: "said so"},
		{name: "no such key, for who may not list", in: get, answer: s3Error(404, "NoSuchKey"), reader: true, status: 403, code: "AccessDenied", reason: "s3:ListBucket"},
		{name: "no such bucket, for who may not list", in: get, answer: s3Error(404, "NoSuchBucket"), reader: true, status: 404, code: "NoSuchBucket"},
		{name: "precondition", in: get, answer: s3Error(412, "PreconditionFailed"), status: 412, code: "PreconditionFailed"},
		{name: "bucket not empty", in: request{method: "DELETE", path: "/pay"}, answer: s3Error(409, "BucketNotEmpty"), status: 409, code: "BucketNotEmpty"},
		{name: "our own key refused", in: get, answer: s3Error(403, "InvalidAccessKeyId"), status: 500, code: "InternalError"},
		{name: "our own signature refused", in: get, answer: s3Error(403, "SignatureDoesNotMatch"), status: 500, code: "InternalError"},
		{
			name: "a redirect", in: get, status: 500, code: "InternalError",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://inside/")
				w.WriteHeader(http.StatusTemporaryRedirect)
			},
		},
		{name: "no XML", in: get, answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "inside", http.StatusTeapot) }, status: 500, code: "InternalError"},
		{name: "overloaded proxy", in: get, answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "inside", http.StatusBadGateway) }, status: 503, code: "ServiceUnavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.upstream.respond(c.answer)
			credentials := all
			if c.reader {
				credentials = reader
			}
			resp, text := w.send(t, credentials, c.in)
			got := errorOf(t, text)
			if resp.StatusCode != c.status || got.Code != c.code || !strings.Contains(got.Message, c.reason) {
				t.Errorf("got %d %s %q, want %d %s %q", resp.StatusCode, got.Code, got.Message, c.status, c.code, c.reason)
			}
			if strings.Contains(text, "inside") || strings.Contains(text, "UPSTREAM") || resp.Header.Get("Location") != "" {
				t.Errorf("the upstream shows through: %s", text)
			}
			if got.Resource != c.in.path || got.RequestID != resp.Header.Get("X-Amz-Request-Id") {
				t.Errorf("resource %q, request id %q (header %q)", got.Resource, got.RequestID, resp.Header.Get("X-Amz-Request-Id"))
			}
		})
	}
}

func TestAnswerPassesThrough(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, value := range map[string]string{
			"Content-Type": "text/html", "Content-Range": "bytes 0-4/9", "ETag": `"e"`, "X-Amz-Meta-Team": "pay", "X-Amz-Checksum-Crc32": "NhCmhg==",
			"Server": "inside", "X-Amz-Id-2": "inside", "Set-Cookie": "a=b", "X-Powered-By": "inside", "Content-Security-Policy": "none",
		} {
			h.Set(name, value)
		}
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "hello")
	})
	resp, text := w.send(t, all, request{method: "GET", path: "/pay/a"})
	if resp.StatusCode != http.StatusPartialContent || text != "hello" {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html", "Content-Range": "bytes 0-4/9", "ETag": `"e"`, "X-Amz-Meta-Team": "pay", "X-Amz-Checksum-Crc32": "NhCmhg==",
		"Server": "", "X-Amz-Id-2": hostID, "Set-Cookie": "", "X-Powered-By": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	checkMarks(t, resp)

	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	resp, text = w.send(t, all, request{method: "HEAD", path: "/pay/a"})
	if resp.StatusCode != http.StatusNotFound || text != "" {
		t.Errorf("HEAD: got %d %q, want 404 and no body", resp.StatusCode, text)
	}
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	resp, _ = w.send(t, all, request{method: "GET", path: "/pay/a", header: map[string]string{"If-None-Match": `"e"`}})
	if resp.StatusCode != http.StatusNotModified {
		t.Errorf("If-None-Match: got %d, want 304", resp.StatusCode)
	}
}

// An answer that breaks off must not look whole.
func TestBrokenAnswerBreaksTheConnection(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("half", 64<<10)) // more than is kept back before the header is sent
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	resp, err := http.DefaultTransport.RoundTrip(w.sign(t, w.session(t, ours, everything), request{method: "GET", path: "/pay/a"}))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("got %d bytes as if they were all", len(text))
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestUpstreamDown(t *testing.T) {
	w := newWorld(t)
	all := w.session(t, ours, everything)
	w.upstream.server.Close()
	resp, text := w.send(t, all, request{method: "PUT", path: "/pay/a", body: "hello"})
	if got := errorOf(t, text); resp.StatusCode != http.StatusServiceUnavailable || got.Code != "ServiceUnavailable" || strings.Contains(text, "refused") {
		t.Errorf("got %d %s", resp.StatusCode, text)
	}
}

func TestEveryKindHasACode(t *testing.T) {
	for _, kind := range fault.Kinds() {
		c, ok := codes[kind]
		if !ok || c.name == "" || c.status < 400 || c.sentence == "" {
			t.Errorf("%v has the code %+v", kind, c)
		}
	}
	if len(codes) != len(fault.Kinds()) {
		t.Errorf("%d codes for %d kinds", len(codes), len(fault.Kinds()))
	}
}

func TestWriteErrorHidesWhatIsOurs(t *testing.T) {
	for _, c := range []struct {
		name, method string
		err          error
		status       int
		want         string
	}{
		{"a cause without a kind", "GET", errors.New("the disk at /x broke"), 500, `<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message><Resource>/a&amp;b</Resource><RequestId>ID</RequestId><HostId>lanyard</HostId></Error>`},
		{"a kind", "GET", fault.New(fault.Denied, "no <way>"), 403, `<Error><Code>AccessDenied</Code><Message>no &lt;way&gt;</Message><Resource>/a&amp;b</Resource><RequestId>ID</RequestId><HostId>lanyard</HostId></Error>`},
		{"a kind, to HEAD", "HEAD", fault.New(fault.Denied, "no"), 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteError(w, httptest.NewRequest(c.method, "/a&b", http.NoBody), "ID", c.err)
			_, got, _ := strings.Cut(w.Body.String(), "\n")
			if w.Code != c.status || got != c.want {
				t.Errorf("got %d %s, want %d %s", w.Code, got, c.status, c.want)
			}
		})
	}
}

// One event for each decision, in the file before the upstream is asked; none that cannot be written is acted upon.
func TestAudit(t *testing.T) {
	folder := t.TempDir() + "/audit"
	log, err := audit.Open(folder, audit.Config{Capacity: 2})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.config.Audit = log
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- log.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-stopped, log.Close()); err != nil {
			t.Error(err)
		}
	})
	w.serve(t)
	reader := w.session(t, ours, allow("s3:GetObject", "*"))
	w.send(t, reader, request{method: "GET", path: "/pay/a"})
	w.send(t, reader, request{method: "PUT", path: "/pay/a", body: "x"})
	w.send(t, reader, request{method: "PUT", path: "/pay?policy"})
	want := []string{"GetObject//pay/a", "PutObject/AccessDenied/pay/a", "Unknown/NotImplemented//"}
	events := readEvents(t, folder)
	if len(events) != len(want) {
		t.Fatalf("%d events, want %d", len(events), len(want))
	}
	for i, event := range events {
		parameters, _ := event.RequestParameters.(map[string]any)
		bucket, _ := parameters["bucketName"].(string)
		key, _ := parameters["key"].(string)
		if got := event.EventName + "/" + event.ErrorCode + "/" + bucket + "/" + key; got != want[i] {
			t.Errorf("event %d is %s, want %s", i, got, want[i])
		}
		if event.UserIdentity.Type != "AssumedRole" || event.UserIdentity.AccessKeyID != reader.AccessKeyID || event.RequestID == "" {
			t.Errorf("event %d is by %+v, request %q", i, event.UserIdentity, event.RequestID)
		}
	}
	w.upstream.take()
	for range 2 { // every place is taken
		place, err := log.Reserve()
		if err != nil {
			t.Fatal(err)
		}
		defer place.Release()
	}
	resp, text := w.send(t, reader, request{method: "GET", path: "/pay/a"})
	if resp.StatusCode != http.StatusServiceUnavailable || errorOf(t, text).Code != "ServiceUnavailable" {
		t.Errorf("with the audit full: got %d %s, want 503", resp.StatusCode, text)
	}
	if seen := w.upstream.take(); len(seen) != 0 {
		t.Errorf("with the audit full the upstream saw %d requests", len(seen))
	}
}

func readEvents(t *testing.T, folder string) []audit.Event {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit files: %v, %v", files, err)
	}
	var events []audit.Event
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var event audit.Event
			if err := json.Unmarshal([]byte(line), &event); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			events = append(events, event)
		}
	}
	return events
}

func TestOneLogLineARequest(t *testing.T) {
	var lines bytes.Buffer
	w := newWorld(t)
	w.config.Logger = slog.New(slog.NewJSONHandler(&lines, nil))
	w.serve(t)
	secret := w.session(t, ours, allow("s3:GetObject", "*"))
	w.send(t, secret, request{method: "GET", path: "/pay/a"})
	w.send(t, secret, request{method: "DELETE", path: "/pay/a"})
	w.gateway.Close() // waits for the handlers
	if got := strings.Count(lines.String(), "\n"); got != 2 {
		t.Errorf("%d lines for 2 requests:\n%s", got, lines.String())
	}
	for _, want := range []string{`"operation":"DeleteObject"`, `"code":"AccessDenied"`, `"key":"a"`, `"status":200`} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, lines.String())
		}
	}
	if strings.Contains(lines.String(), secret.SessionToken) || strings.Contains(lines.String(), secret.SecretAccessKey) {
		t.Error("the log shows a credential")
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	address := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		name   string
		change func(c *Config)
	}{
		{"no account", func(c *Config) { c.Account = "" }},
		{"no access", func(c *Config) { c.Access = nil }},
		{"no audit", func(c *Config) { c.Audit = nil }},
		{"no bound of a principal", func(c *Config) { c.Principals = nil }},
		{"no upstream", func(c *Config) { c.Upstream.URL = nil }},
		{"an upstream of another scheme", func(c *Config) { c.Upstream.URL = address("ftp://store") }},
		{"an upstream with a path", func(c *Config) { c.Upstream.URL = address("http://store/bucket") }},
		{"an upstream with a password", func(c *Config) { c.Upstream.URL = address("http://a:b@store") }},
		{"no key", func(c *Config) { c.Upstream.SecretAccessKey = "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := w.config
			c.change(&config)
			if _, err := New(config); err == nil {
				t.Error("made")
			} else if strings.Contains(err.Error(), "a:b@") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
	if _, err := New(w.config); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

// A body that ends early is the client's fault, and the upstream does not get what there is of it.
func TestTruncatedBody(t *testing.T) {
	w := newWorld(t)
	req := w.sign(t, w.session(t, ours, everything), request{method: "PUT", path: "/pay/a", body: "hello"})
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	var head strings.Builder
	head.WriteString("PUT /pay/a HTTP/1.1\r\nHost: " + req.URL.Host + "\r\nContent-Length: 5\r\n")
	if err := req.Header.Write(&head); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, head.String()+"\r\nhell"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err = errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(string(answer), "HTTP/1.1 2") {
		t.Errorf("got %s", answer)
	}
	w.gateway.Close()
	w.upstream.server.Close() // both wait for their handlers
	for _, seen := range w.upstream.take() {
		if seen.err == nil {
			t.Errorf("the upstream took %q for the whole", seen.body)
		}
	}
}

func TestPrincipalsHaveABound(t *testing.T) {
	w := newWorld(t)
	w.config.Principals = limit.NewRates(0.001, 1, 16)
	w.serve(t)
	eager, other := w.session(t, ours, everything), w.session(t, ours, everything)
	in := request{method: "GET", path: "/pay/a"}
	for i, c := range []struct {
		name        string
		credentials session.Credentials
		status      int
	}{{"the first", eager, 200}, {"one too many", eager, 503}, {"another principal's", other, 200}} {
		if resp, text := w.send(t, c.credentials, in); resp.StatusCode != c.status {
			t.Errorf("request %d, %s: status %d, want %d: %s", i, c.name, resp.StatusCode, c.status, text)
		}
	}
}

// A panic is a line in the log and InternalError to the client, never an empty success.
func TestPanicIsOurs(t *testing.T) {
	var lines bytes.Buffer
	w := newWorld(t)
	w.config.Logger = slog.New(slog.NewJSONHandler(&lines, nil))
	w.config.Upstream.Transport = broken{}
	w.serve(t)
	resp, text := w.send(t, w.session(t, ours, everything), request{method: "GET", path: "/pay/a"})
	if resp.StatusCode != http.StatusInternalServerError || errorOf(t, text).Code != "InternalError" || strings.Contains(text, "boiler") {
		t.Errorf("got %d %s", resp.StatusCode, text)
	}
	w.gateway.Close() // waits for the handler
	if got := lines.String(); !strings.Contains(got, "the boiler burst") || !strings.Contains(got, resp.Header.Get("X-Amz-Request-Id")) {
		t.Errorf("the log has %s", got)
	}
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { panic("the boiler burst") }
