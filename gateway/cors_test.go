package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const page = "https://app.example"

// opens is a store that lets the page use every bucket, and answers what else is asked with no content.
func opens(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") == page {
		w.Header().Set("Access-Control-Allow-Origin", page)
		w.Header().Set("Vary", "Origin")
	}
	w.Header().Set("Access-Control-Max-Age", "60")
	w.Header().Set("Set-Cookie", "of=the-store")
	w.Header().Set("X-Amz-Version-Id", "1")
}

// ask sends a preflight, which nobody signs.
func (w *world) ask(t *testing.T, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.gateway.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.Body.Close() != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func asks(method string) http.Header { return http.Header{"Origin": {page}, methodHeader: {method}} }

// What a browser asks goes to the store without the rest of the request, and of the answer comes back what browsers go by.
func TestPreflight(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(opens)
	header := asks("PUT")
	header[headersHeader] = []string{"authorization,x-amz-date", "x-amz-meta-a"}
	header["Cookie"] = []string{"a=b"}
	resp, text := w.ask(t, "/pay-bucket/a%20b+c?X-Amz-Signature=0&x-id=PutObject", header, "")
	if resp.StatusCode != http.StatusOK || text != "" {
		t.Errorf("status %d: %s", resp.StatusCode, text)
	}
	got := http.Header{}
	for name, values := range resp.Header {
		if isCORS(name) || name == "Set-Cookie" || name == "X-Amz-Version-Id" {
			got[name] = values
		}
	}
	want := http.Header{"Access-Control-Allow-Origin": {page}, "Access-Control-Max-Age": {"60"}, "Vary": {"Origin"}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("the answer (-got +want):\n%s", diff)
	}
	seen := w.upstream.take()
	if len(seen) != 1 || seen[0].method != http.MethodOptions || seen[0].uri != "/pay-bucket/a%20b%2Bc" {
		t.Fatalf("the store saw %+v", seen)
	}
	asked := http.Header{}
	for _, name := range []string{"Origin", methodHeader, headersHeader, "Cookie"} {
		if values, ok := seen[0].header[name]; ok {
			asked[name] = values
		}
	}
	want = http.Header{"Origin": {page}, methodHeader: {"PUT"}, headersHeader: {"authorization,x-amz-date,x-amz-meta-a"}}
	if diff := cmp.Diff(asked, want); diff != "" {
		t.Errorf("the store was asked (-got +want):\n%s", diff)
	}
}

func TestPreflightsRefused(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<Error><Code>NoSuchBucket</Code></Error>")
		case "/closed":
			w.Header().Set("Access-Control-Allow-Origin", page)
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<Error><Code>AccessForbidden</Code></Error>")
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			opens(w, r)
		}
	})
	for name, c := range map[string]struct {
		path   string
		header http.Header
		body   string
		code   string
		asked  bool
	}{
		"without an origin":         {"/open", http.Header{methodHeader: {"GET"}}, "", "BadRequest", false},
		"with two origins":          {"/open", http.Header{"Origin": {page, page}, methodHeader: {"GET"}}, "", "BadRequest", false},
		"without a method":          {"/open", http.Header{"Origin": {page}}, "", "BadRequest", false},
		"with a body":               {"/open", asks("GET"), "x", "InvalidArgument", false},
		"of the service":            {"/", asks("GET"), "", "MethodNotAllowed", false},
		"of a path that leads away": {"/open/a/%2e%2e/b", asks("GET"), "", "InvalidURI", false},
		"of another store's path":   {"/OPEN/a", asks("GET"), "", "InvalidBucketName", false},
		"of no bucket":              {"/none", asks("GET"), "", "AccessForbidden", true},
		"of a closed bucket":        {"/closed", asks("GET"), "", "AccessForbidden", true},
		"of another page's bucket":  {"/open", http.Header{"Origin": {"https://other.example"}, methodHeader: {"GET"}}, "", "AccessForbidden", true},
		"while the store is down":   {"/down", asks("GET"), "", "ServiceUnavailable", true},
	} {
		resp, text := w.ask(t, c.path, c.header, c.body)
		if got := errorOf(t, text).Code; got != c.code {
			t.Errorf("%s: %s, want %s", name, got, c.code)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: refused, and a page may read it", name)
		}
		if asked := len(w.upstream.take()) > 0; asked != c.asked {
			t.Errorf("%s: the store was asked: %v, want %v", name, asked, c.asked)
		}
	}
}

// A page that may use the bucket reads what was refused and why; for another, and where no page asks, nothing is added.
func TestAnswersThatAPageMayRead(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(opens)
	reader := w.session(t, ours, allow("s3:GetObject", "arn:aws:s3:::pay-bucket/*"))
	deletions := `<Delete><Object><Key>a</Key></Object></Delete>`
	get, put := request{method: "GET", path: "/pay-bucket/a"}, request{method: "PUT", path: "/pay-bucket/a", body: "x"}
	batch := request{method: "POST", path: "/pay-bucket?delete", body: deletions, header: map[string]string{"Content-Md5": md5Of([]byte(deletions))}}
	for name, c := range map[string]struct {
		in     request
		origin string
		status int
		open   bool
		seen   string // by the store
	}{
		"allowed":                    {get, page, 200, true, "GET"},
		"allowed, another page":      {get, "https://other.example", 200, false, "GET"},
		"allowed, no page":           {get, "", 200, false, "GET"},
		"refused":                    {put, page, 403, true, "OPTIONS PUT"},
		"refused, another page":      {put, "https://other.example", 403, false, "OPTIONS PUT"},
		"refused, no page":           {put, "", 403, false, ""},
		"refused in each part":       {batch, page, 200, true, "OPTIONS POST"},
		"refused in each, no page":   {batch, "", 200, false, ""},
		"not understood, the page's": {request{method: "GET", path: "/pay-bucket/a?acl"}, page, 501, true, "OPTIONS GET"},
	} {
		r := w.sign(t, reader, c.in)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin) // a browser adds it, unsigned
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if open := resp.Header.Get("Access-Control-Allow-Origin") == page; resp.StatusCode != c.status || open != c.open {
			t.Errorf("%s: status %d, open %v; want %d, %v", name, resp.StatusCode, open, c.status, c.open)
		}
		var seen []string
		for _, a := range w.upstream.take() {
			seen = append(seen, strings.TrimSpace(a.method+" "+a.header.Get(methodHeader)))
			if got := a.header.Get("Origin"); got != c.origin {
				t.Errorf("%s: the store heard of the origin %q", name, got)
			}
		}
		if got := strings.Join(seen, ", "); got != c.seen {
			t.Errorf("%s: the store saw %q, want %q", name, got, c.seen)
		}
	}
}

// A link that has expired is refused before anybody is known.
func TestAPageReadsThatItsLinkHasExpired(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(opens)
	r := httptest.NewRequest(http.MethodGet, "/pay-bucket/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20200101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="+emptyHash, nil)
	r.Header.Set("Origin", page)
	answer := httptest.NewRecorder()
	w.gateway.Config.Handler.ServeHTTP(answer, r)
	if answer.Code != http.StatusForbidden || answer.Header().Get("Access-Control-Allow-Origin") != page {
		t.Errorf("status %d, headers %v: %s", answer.Code, answer.Header(), answer.Body)
	}
}

// A store that is slow does not let one address have any number of preflights wait for it.
func TestPreflightsOfOneAddressAreBounded(t *testing.T) {
	w := newWorld(t)
	w.config.InFlight = 2
	w.serve(t)
	arrived, answer := make(chan struct{}), make(chan struct{})
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-answer
		opens(w, r)
	})
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() {
			if resp, text := w.ask(t, "/open", asks("GET"), ""); resp.StatusCode != http.StatusOK {
				t.Errorf("status %d: %s", resp.StatusCode, text)
			}
		})
		<-arrived
	}
	_, text := w.ask(t, "/open", asks("GET"), "")
	if got := errorOf(t, text).Code; got != "SlowDown" {
		t.Errorf("the third: %s, want SlowDown", got)
	}
	close(answer)
	waiting.Wait()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What a refusal waits for, or a caller who may be anybody, is no matter of minutes.
func TestPreflightsHaveAnEnd(t *testing.T) {
	w := newWorld(t)
	w.config.Upstream.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if until, ok := r.Context().Deadline(); !ok || time.Until(until) > lookupTime {
			t.Errorf("the store is waited for until %v", until)
		}
		return nil, context.DeadlineExceeded
	})
	w.serve(t)
	_, text := w.ask(t, "/open", asks("GET"), "")
	if got := errorOf(t, text).Code; got != "ServiceUnavailable" {
		t.Errorf("got %s, want ServiceUnavailable", got)
	}
}
