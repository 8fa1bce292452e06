package sigv4_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// FuzzParse holds that what Parse accepts is what its documentation says, and that it refuses with a kind of its own.
func FuzzParse(f *testing.F) {
	good := signed(f, "s3")
	f.Add(good.Header.Get("Authorization"), "20260309T120000Z", "", emptyHash, "a=b", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/20260309/b/c/aws4_request,SignedHeaders=date;host,Signature="+emptyHash, "", "Mon, 09 Mar 2026 12:00:00 GMT", "", "", "0")
	f.Add("AWS a:b", "", "", "", "X-Amz-Signature=0", "")
	f.Add("", "", "", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260309%2Fb%2Fs3%2Faws4_request&X-Amz-Date=20260309T120000Z"+
		"&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature="+emptyHash, "")
	f.Add("AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;,Signature==", "2026", "x", "STREAMING-", "&%=", "-1")
	f.Fuzz(func(t *testing.T, authorization, amzDate, date, payloadHash, rawQuery, length string) {
		r := &http.Request{Method: http.MethodPut, Host: "h", URL: &url.URL{Path: "/b/k", RawQuery: rawQuery}, Header: http.Header{}}
		for name, value := range map[string]string{
			"Authorization": authorization, "X-Amz-Date": amzDate, "Date": date, "X-Amz-Content-Sha256": payloadHash, "Content-Length": length,
		} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		s, err := sigv4.Parse(r)
		if err != nil {
			if kind := fault.Of(err); kind != fault.MissingAuth && kind != fault.IncompleteAuth && kind != fault.Unsupported {
				t.Errorf("Parse: %v of kind %v", err, kind)
			}
			return
		}
		if !slices.IsSorted(s.SignedHeaders) || !slices.Contains(s.SignedHeaders, "host") {
			t.Errorf("signed headers %q", s.SignedHeaders)
		}
		text := authorization
		if s.Presigned() {
			if text, err = url.QueryUnescape(rawQuery); err != nil {
				t.Errorf("%q is a presigned query", rawQuery)
			}
		}
		if scope := strings.Join([]string{"Credential=" + s.KeyID, s.Date, s.Region, s.Service, "aws4_request"}, "/"); !strings.Contains(text, scope) {
			t.Errorf("scope %q is not in %q", scope, text)
		}
		if s.Time.Format("20060102") != s.Date {
			t.Errorf("time %v on day %q", s.Time, s.Date)
		}
		if err := s.Verify(r, sigv4.Derive(secret, s.Date, s.Region, s.Service), emptyHash); !fault.Is(err, fault.BadSignature) {
			t.Errorf("a signature out of thin air: %v, want BadSignature", err)
		}
	})
}

// FuzzVerify signs any request, verifies it, and then changes its method and one header.
func FuzzVerify(f *testing.F) {
	f.Add("GET", "/b/k", "a=b&a=+", "127.0.0.1:8780", "some  value ", "s3")
	f.Add("", "/a//../%2F/é", "", "h", "", "eks")
	f.Add("POST", "", "%41=%", "h", "\t", "sts")
	f.Fuzz(func(t *testing.T, method, path, rawQuery, host, value, service string) {
		u, err := url.ParseRequestURI("/" + path)
		if err != nil {
			return
		}
		u.RawPath, u.RawQuery = "", rawQuery
		r := &http.Request{Method: method, Host: host, URL: u, Header: http.Header{"X-Amz-Meta-Any": {value}}}
		sigv4.Sign(r, keyID, secret, token, "us-east-1", service, emptyHash, noon)
		s, err := sigv4.Parse(r)
		if err != nil {
			return // a host, service or query that no client may have
		}
		key := sigv4.Derive(secret, s.Date, s.Region, s.Service)
		if err := s.Verify(r, key, emptyHash); err != nil {
			t.Fatalf("verify what was signed: %v", err)
		}
		r.Method += "X"
		if err := s.Verify(r, key, emptyHash); !fault.Is(err, fault.BadSignature) {
			t.Errorf("another method: %v, want BadSignature", err)
		}
		r.Method = method
		r.Header.Set("X-Amz-Meta-Any", value+"x")
		if err := s.Verify(r, key, emptyHash); !fault.Is(err, fault.BadSignature) {
			t.Errorf("another header: %v, want BadSignature", err)
		}
	})
}
