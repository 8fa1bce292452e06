package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
)

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	page   = "<!doctype html><title>page</title>"
	script = "alert(1)"
)

func newConsole(t *testing.T) *Console {
	t.Helper()
	c, err := read(fstest.MapFS{
		".gitignore":            {Data: []byte("*")},
		"index.html.gz":         {Data: zip(t, page)},
		"hashed/index-x1.js.gz": {Data: zip(t, script)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a path as it is, past what a client would make of it.
func ask(t *testing.T, c *Console, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1"+target, nil)
	r.Header = header
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Result()
}

// nobody takes an answer and keeps nothing of it.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header         { return n.header }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

// TestUnpacksOnce: nobody has to sign to ask, and unpacking costs more than asking.
func TestUnpacksOnce(t *testing.T) {
	c, err := read(fstest.MapFS{"large.js.gz": {Data: zip(t, strings.Repeat("alert(1);", 1<<17))}})
	if err != nil {
		t.Fatal(err)
	}
	serve := func() {
		c.ServeHTTP(nobody{http.Header{}}, httptest.NewRequest("GET", "http://127.0.0.1/console/large.js", nil))
	}
	serve()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 50 {
		serve()
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / 50; n > 16<<10 {
		t.Errorf("an answer takes %d bytes of memory", n)
	}
}

func TestServes(t *testing.T) {
	const keep, ask1 = "public, max-age=31536000, immutable", "no-cache"
	c := newConsole(t)
	if !c.Built() {
		t.Error("the console is said to be missing")
	}
	for _, tt := range []struct {
		name, method, path, accept string
		status                     int
		kind, caching, encoding    string
		body                       string
	}{
		{"the page", "GET", "/console/", "gzip, br", 200, "text/html; charset=utf-8", ask1, "gzip", page},
		{"the page to who takes no gzip", "GET", "/console/", "", 200, "text/html; charset=utf-8", ask1, "", page},
		{"the page to who refuses gzip", "GET", "/console/", "br, gzip; q=0", 200, "text/html; charset=utf-8", ask1, "", page},
		{"the page to who likes gzip least", "GET", "/console/", "identity, gzip;q=0.1", 200, "text/html; charset=utf-8", ask1, "gzip", page},
		{"the page by its name", "GET", "/console/index.html", "", 200, "text/html; charset=utf-8", ask1, "", page},
		{"a script", "GET", "/console/hashed/index-x1.js", "gzip", 200, "text/javascript; charset=utf-8", keep, "gzip", script},
		{"its header", "HEAD", "/console/hashed/index-x1.js", "gzip", 200, "text/javascript; charset=utf-8", keep, "gzip", ""},
		{"without the slash", "GET", "/console", "", 308, "text/html; charset=utf-8", "", "", "<a href=\"/console/\">Permanent Redirect</a>.\n\n"},
	} {
		got := ask(t, c, tt.method, tt.path, http.Header{"Accept-Encoding": {tt.accept}})
		if got.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", tt.name, got.StatusCode, tt.status)
		}
		for header, want := range map[string]string{
			"Content-Type": tt.kind, "Cache-Control": tt.caching, "Content-Encoding": tt.encoding,
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := got.Header.Get(header); got != want {
				t.Errorf("%s: %s %q, want %q", tt.name, header, got, want)
			}
		}
		body := got.Body.(io.Reader)
		if tt.encoding == "gzip" && tt.method == "GET" {
			var err error
			if body, err = gzip.NewReader(got.Body); err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
		}
		if text, err := io.ReadAll(body); err != nil || string(text) != tt.body {
			t.Errorf("%s: body %q, %v, want %q", tt.name, text, err, tt.body)
		}
	}
}

func TestOtherSpellingsLeadNowhere(t *testing.T) {
	c := newConsole(t)
	for _, path := range []string{
		"/console/index.html.gz", "/console/.gitignore", "/console/hashed", "/console/hashed/", "/console/hashed/index-x2.js",
		"/console//", "/console//index.html", "/console/./index.html", "/console/hashed/../index.html", "/console/%69ndex.html",
		"/console/hashed%2findex-x1.js", "/console/..%2findex.html", "/console/%2e%2e/console/index.html", "/console/index.html/",
		"/console/index.html%00", "/console/console.go", "/console/clusters/dev",
	} {
		got := ask(t, c, "GET", path, nil)
		if got.StatusCode != http.StatusNotFound || got.Header.Get("Content-Security-Policy") != policy {
			t.Errorf("%s: status %d with policy %q, want 404 with the console's", path, got.StatusCode, got.Header.Get("Content-Security-Policy"))
		}
	}
}

func TestUnchangedIsNotSentAgain(t *testing.T) {
	c := newConsole(t)
	tag := ask(t, c, "GET", "/console/", nil).Header.Get("ETag")
	for sent, want := range map[string]int{tag: 304, `"other", ` + tag: 304, `"other"`: 200, "": 200} {
		if got := ask(t, c, "GET", "/console/", http.Header{"If-None-Match": {sent}}); got.StatusCode != want {
			t.Errorf("If-None-Match %q: status %d, want %d", sent, got.StatusCode, want)
		}
	}
}

func TestWithoutABuild(t *testing.T) {
	c, err := read(fstest.MapFS{".gitignore": {Data: []byte("*")}})
	if err != nil || c.Built() {
		t.Fatalf("read: built %v, %v", c.Built(), err)
	}
	for _, path := range []string{"/console/", "/console/index.html", "/console/x"} {
		got := ask(t, c, "GET", path, nil)
		text, err := io.ReadAll(got.Body)
		if err != nil || got.StatusCode != http.StatusNotFound || !strings.Contains(string(text), "make build") {
			t.Errorf("%s: %d %q, %v: want 404 and how to get the console", path, got.StatusCode, text, err)
		}
	}
}

func TestUnknownKindsAreRefused(t *testing.T) {
	if _, err := read(fstest.MapFS{"index.exe.gz": {Data: zip(t, "")}}); err == nil {
		t.Error("a file of an unknown kind is served")
	}
}

// TestTheBuild holds what is embedded, where something is: each file unpacks, and the page is there.
func TestTheBuild(t *testing.T) {
	c := New()
	for name, f := range c.files {
		r, err := gzip.NewReader(bytes.NewReader(f.gzipped))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, found := c.files["index.html"]; c.Built() && !found {
		t.Error("the build has no index.html")
	}
}
