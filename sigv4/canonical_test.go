package sigv4

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestCanonicalQuery(t *testing.T) {
	for _, tt := range []struct{ name, raw, want string }{
		{"none", "", ""},
		{"name alone", "uploads", "uploads="},
		{"sorted by name", "b=1&a=2&A=3", "A=3&a=2&b=1"},
		{"sorted by name before value", "a-b=1&a=2", "a=2&a-b=1"},
		{"sorted by value", "a=2&a=10&a=", "a=&a=10&a=2"},
		{"sorted as encoded, not as decoded", "a=b&a=%7B", "a=%7B&a=b"},
		{"escapes in one spelling", "a=%2f%7e%41", "a=%2F~A"},
		{"what need not be plain", "a=*!'()/:@", "a=%2A%21%27%28%29%2F%3A%40"},
		{"plus is a space", "a=b+c&d=%2B", "a=b%20c&d=%2B"},
		{"equals in a value", "a=b=c", "a=b%3Dc"},
		{"empty pairs", "&a=1&&b=2&", "a=1&b=2"},
		{"empty name", "=x", "=x"},
		{"raw UTF-8", "é=1", "%C3%A9=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := appendQuery(nil, tt.raw)
			if !ok || string(got) != tt.want {
				t.Errorf("appendQuery(%q) = %q, %v; want %q", tt.raw, got, ok, tt.want)
			}
		})
	}
	for _, raw := range []string{"a=%", "a=%2", "a=%2g", "%zz=1", "a=1;b=2", "a=1&b=%"} {
		if got, ok := appendQuery(nil, raw); ok {
			t.Errorf("appendQuery(%q) = %q; want it refused", raw, got)
		}
	}
}

func TestCanonicalPath(t *testing.T) {
	for _, tt := range []struct{ name, path, once, twice string }{
		{"empty", "", "/", "/"},
		{"root", "/", "/", "/"},
		{"plain", "/a/b-._~", "/a/b-._~", "/a/b-._~"},
		{"escaped space", "/a%20b", "/a%20b", "/a%2520b"},
		{"escaped slash", "/a%2fb", "/a%2Fb", "/a%252fb"},
		{"plain where escaped is usual", "/a=b:c+d", "/a%3Db%3Ac%2Bd", "/a%3Db%3Ac%2Bd"},
		{"escaped where plain is usual", "/%61", "/a", "/%2561"},
		{"raw UTF-8", "/é", "/%C3%A9", "/%C3%A9"},
		{"percent alone", "/100%", "/100%25", "/100%25"},
		{"empty segments", "//a//b//", "//a//b//", "/a/b/"},
		{"dot segments", "/a/./b/../c", "/a/./b/../c", "/a/c"},
		{"above the root", "/../../a", "/../../a", "/a"},
		{"dots only", "/./", "/./", "/"},
		{"a name with dots", "/.a/..b/...", "/.a/..b/...", "/.a/..b/..."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(appendPath(nil, tt.path, encodeOnce)); got != tt.once {
				t.Errorf("%q at S3 is %q, want %q", tt.path, got, tt.once)
			}
			if got := string(appendPath(nil, tt.path, encodeTwice)); got != tt.twice {
				t.Errorf("%q elsewhere is %q, want %q", tt.path, got, tt.twice)
			}
		})
	}
}

func TestHeaderValue(t *testing.T) {
	r := &http.Request{
		Host: "h:1", URL: &url.URL{}, ContentLength: -1, TransferEncoding: []string{"chunked"},
		Header: http.Header{"My-Header1": {" a   b ", "", "c\td"}, "X": {""}},
	}
	for _, tt := range []struct {
		name, want string
		present    bool
	}{
		{"my-header1", "a b,,c\td", true},
		{"x", "", true},
		{"host", "h:1", true},
		{"transfer-encoding", "chunked", true},
		{"content-length", "", false},
		{"absent", "", false},
		{strings.Repeat("n", 2*maxHeaderName), "", false},
	} {
		value, ok := appendHeader(nil, r, tt.name)
		if got, present := string(value), hasHeader(r, tt.name); got != tt.want || present != tt.present || ok != present {
			t.Errorf("header %q = %q, present %v; want %q, %v", tt.name, got, present, tt.want, tt.present)
		}
	}
	r.ContentLength = 7
	if got, ok := appendHeader(nil, r, "content-length"); string(got) != "7" || !ok || !hasHeader(r, "content-length") {
		t.Errorf("content-length of a request of our own = %q, want 7", got)
	}
}

// TestWirePath: a RawPath that says something else than Path was put there by someone, and is not believed.
func TestWirePath(t *testing.T) {
	for _, tt := range []struct {
		u    url.URL
		want string
	}{
		{url.URL{Path: "/a b"}, "/a%20b"},
		{url.URL{Path: "/a/b", RawPath: "/a%2Fb"}, "/a%2Fb"},
		{url.URL{Path: "/é", RawPath: "/é"}, "/é"},
		{url.URL{Path: "/a", RawPath: "/b"}, "/a"},
		{url.URL{Path: "/a", RawPath: "/%zz"}, "/a"},
	} {
		if got := wirePath(&tt.u); got != tt.want {
			t.Errorf("wirePath of %q, %q = %q, want %q", tt.u.Path, tt.u.RawPath, got, tt.want)
		}
	}
}

// FuzzCanonical holds that a canonical form is its own canonical form, and that it keeps the meaning that the doors read.
func FuzzCanonical(f *testing.F) {
	f.Add("/a//b/../c%2Fd", "b=1&a=%7B+&a-b&a=")
	f.Add("", "")
	f.Add("/%C3%A9/é/%", "é=%zz")
	f.Add("/./..//.", "&&=&%41=;")
	f.Fuzz(func(t *testing.T, path, raw string) {
		once := appendPath(nil, path, encodeOnce)
		if again := appendPath(nil, string(once), encodeOnce); string(again) != string(once) {
			t.Errorf("path %q: canonical %q, and again %q", path, once, again)
		}
		if decoded, err := url.PathUnescape(path); err == nil && path != "" {
			if got, err := url.PathUnescape(string(once)); err != nil || got != decoded {
				t.Errorf("path %q: canonical %q means %q, %v; want %q", path, once, got, err, decoded)
			}
		}
		if twice := string(appendPath(nil, path, encodeTwice)); strings.Contains(twice, "//") || strings.Contains(twice+"/", "/../") {
			t.Errorf("path %q is normalised to %q", path, twice)
		}
		canonical, ok := appendQuery(nil, raw)
		values, err := url.ParseQuery(raw)
		if ok != (err == nil) {
			t.Fatalf("query %q: ok %v, and the doors' reader says %v", raw, ok, err)
		}
		if !ok {
			return
		}
		again, ok := appendQuery(nil, string(canonical))
		if !ok || string(again) != string(canonical) {
			t.Errorf("query %q: canonical %q, and again %q, %v", raw, canonical, again, ok)
		}
		got, err := url.ParseQuery(string(canonical))
		if err != nil || len(got) != len(values) {
			t.Errorf("query %q: canonical %q means %v, %v; want %v", raw, canonical, got, err, values)
		}
		for name := range values {
			if len(got[name]) != len(values[name]) {
				t.Errorf("query %q: canonical %q has %d values of %q, want %d", raw, canonical, len(got[name]), name, len(values[name]))
			}
		}
	})
}
