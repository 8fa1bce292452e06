package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// presign makes a URL with the signer of AWS's SDK.
func (w *world) presign(t *testing.T, as session.Credentials, method, target string, header http.Header) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.gateway.URL+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	query := req.URL.Query()
	if !query.Has("X-Amz-Expires") {
		query.Set("X-Amz-Expires", "60")
	}
	req.URL.RawQuery = query.Encode()
	keys := aws.Credentials{AccessKeyID: as.AccessKeyID, SecretAccessKey: as.SecretAccessKey, SessionToken: as.SessionToken}
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), keys, req, sigv4.UnsignedPayload, "s3", region, time.Now(), func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = true
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	out, err := http.NewRequestWithContext(t.Context(), method, w.gateway.URL+u.EscapedPath()+"?"+u.RawQuery, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	out.Host = req.Host
	return out
}

// Parameters of a presigned URL count as the headers that they stand for.
func TestPresignedURLs(t *testing.T) {
	w := newWorld(t)
	w.config.Domains = []string{"s3.example.com"}
	w.serve(t)
	all := w.session(t, ours, everything)
	tagged := w.session(t, ours, `{"Effect":"Allow","Action":["s3:PutObject","s3:PutObjectTagging"],"Resource":"*","Condition":{"StringEquals":{"s3:RequestObjectTag/team":"pay"}}}`)
	vhost := http.Header{"Host": {"pay.s3.example.com"}}
	for _, c := range []struct {
		name           string
		as             session.Credentials
		method, target string
		header         http.Header
		body           string
		change         func(r *http.Request)
		status         int
		code           string
		uri            string            // at the upstream
		sees           map[string]string // headers there
	}{
		{name: "get", as: all, method: "GET", target: "/pay/a?x-id=GetObject", status: 200, uri: "/pay/a"},
		{name: "get, virtual host", as: all, method: "GET", target: "/a/b", header: vhost, status: 200, uri: "/pay/a/b"},
		{name: "put", as: all, method: "PUT", target: "/pay/a", body: "hello", status: 200, uri: "/pay/a", sees: map[string]string{"X-Amz-Content-Sha256": sigv4.StreamingUnsignedTrailer}},
		{name: "metadata", as: all, method: "PUT", target: "/pay/a?X-Amz-Meta-Team=pay", status: 200, uri: "/pay/a", sees: map[string]string{"X-Amz-Meta-Team": "pay"}},
		{name: "tags that the policy wants", as: tagged, method: "PUT", target: "/pay/a?x-amz-tagging=team%3Dpay", status: 200, uri: "/pay/a", sees: map[string]string{"X-Amz-Tagging": "team=pay"}},
		{name: "other tags", as: tagged, method: "PUT", target: "/pay/a?x-amz-tagging=team%3Dops", status: 403, code: "AccessDenied"},
		{name: "no tags", as: tagged, method: "PUT", target: "/pay/a", status: 403, code: "AccessDenied"},
		{name: "a copy is a copy", as: tagged, method: "PUT", target: "/pay/a?x-amz-copy-source=other%2Fsecret&x-amz-tagging=team%3Dpay&x-amz-tagging-directive=REPLACE", status: 403, code: "AccessDenied"},
		{name: "acl", as: all, method: "PUT", target: "/pay/a?X-Amz-Acl=public-read", status: 501, code: "NotImplemented"},
		{name: "private acl", as: all, method: "PUT", target: "/pay/a?X-Amz-Acl=private", status: 200, uri: "/pay/a", sees: map[string]string{"X-Amz-Acl": ""}},
		{name: "acl in small letters", as: all, method: "PUT", target: "/pay/a?x-amz-acl=public-read", status: 501, code: "NotImplemented"},
		{name: "grant", as: all, method: "PUT", target: "/pay/a?X-Amz-Grant-Read=uri%3Dx", status: 501, code: "NotImplemented"},
		{name: "another owner", as: all, method: "GET", target: "/pay/a?X-Amz-Expected-Bucket-Owner=" + theirs, status: 403, code: "AccessDenied"},
		{name: "its checksum", as: all, method: "PUT", target: "/pay/a?x-amz-checksum-crc32=AAAAAA%3D%3D", body: "hello", status: 400, code: "BadDigest"},
		{name: "a parameter twice", as: all, method: "PUT", target: "/pay/a?X-Amz-Meta-A=1&x-amz-meta-a=2", status: 400, code: "InvalidArgument"},
		{name: "a week and a second", as: all, method: "GET", target: "/pay/a?X-Amz-Expires=604801", status: 400, code: "AuthorizationQueryParametersError"},
		{
			name: "an acl added", as: all, method: "GET", target: "/pay/a", status: 400, code: "AuthorizationQueryParametersError",
			change: func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") },
		},
		{
			name: "a parameter added", as: all, method: "GET", target: "/pay/a", status: 403, code: "SignatureDoesNotMatch",
			change: func(r *http.Request) { r.URL.RawQuery += "&versionId=1" },
		},
		{
			name: "another bucket", as: all, method: "GET", target: "/a", header: vhost, status: 403, code: "SignatureDoesNotMatch",
			change: func(r *http.Request) { r.Host = "secret.s3.example.com" },
		},
		{
			name: "two ways", as: all, method: "GET", target: "/pay/a", status: 400, code: "InvalidArgument",
			change: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 x") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := w.presign(t, c.as, c.method, c.target, c.header)
			if c.change != nil {
				c.change(req)
			}
			status, text := put(t, req, c.body)
			seen := w.upstream.take()
			if c.code != "" {
				if got := errorOf(t, text); status != c.status || got.Code != c.code {
					t.Errorf("got %d %s %q, want %d %s", status, got.Code, got.Message, c.status, c.code)
				}
				for _, at := range seen {
					if at.err == nil {
						t.Errorf("the upstream saw %s %s", at.method, at.uri)
					}
				}
				return
			}
			if status != c.status || len(seen) != 1 {
				t.Fatalf("got %d %s, the upstream %+v", status, text, seen)
			}
			if content, whole := seen[0].content(); seen[0].uri != c.uri || content != c.body || !whole {
				t.Fatalf("got %d %s, the upstream %+v", status, text, seen)
			}
			for name, want := range c.sees {
				if got := seen[0].header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
	now := time.Now()
	for at, says := range map[time.Duration]string{time.Minute: "Request has expired", -16 * time.Minute: "minutes apart"} {
		req := w.presign(t, all, "GET", "/pay/a", nil)
		w.config.Access.Now = func() time.Time { return now.Add(at + time.Second) }
		status, text := put(t, req, "")
		if got := errorOf(t, text); status != 403 || got.Code != "AccessDenied" || !strings.Contains(got.Message, says) {
			t.Errorf("%v later: %d %s", at, status, text)
		}
	}
}

// A host names a bucket below a domain of the gateway, and nowhere else.
func TestVirtualHosts(t *testing.T) {
	w := newWorld(t)
	w.config.Domains = []string{"example.com", "s3.example.com"}
	w.serve(t)
	only := w.session(t, ours, allow("s3:GetObject", "arn:aws:s3:::pay/*"), allow("s3:ListBucket", "arn:aws:s3:::pay"), allow("s3:GetObject", "arn:aws:s3:::a.b/*"))
	for _, c := range []struct {
		host, path, uri string
		status          int
		code            string
	}{
		{"pay.s3.example.com", "/k/x", "/pay/k/x", 200, ""},
		{"PAY.S3.Example.com:8780", "/k", "/pay/k", 200, ""},
		{"pay.s3.example.com.", "/k", "/pay/k", 200, ""},
		{"pay.s3.example.com", "/", "/pay", 200, ""},
		{"pay.example.com", "/k", "/pay/k", 200, ""},
		{"a.b.s3.example.com", "/k", "/a.b/k", 200, ""},
		{"s3.example.com", "/pay/k", "/pay/k", 200, ""},
		{"s3.example.com.evil.test", "/pay/k", "/pay/k", 200, ""},
		{"evils3.example.com.test", "/pay/k", "/pay/k", 200, ""},
		{"127.0.0.1:80", "/pay/k", "/pay/k", 200, ""},
		{"[::1]:80", "/pay/k", "/pay/k", 200, ""},
		{"[::1]", "/pay/k", "/pay/k", 200, ""},
		{"secret.s3.example.com", "/pay/k", "", 403, "AccessDenied"},
		{"pay.s3.example.com", "/../secret/k", "", 400, "InvalidURI"},
		{"pay.s3.example.com", "//secret/k", "", 400, "InvalidURI"},
		{".s3.example.com", "/pay/k", "", 400, "InvalidBucketName"},
		{"..s3.example.com", "/pay/k", "", 400, "InvalidBucketName"},
		{"p_y.s3.example.com", "/pay/k", "", 400, "InvalidBucketName"},
		{"pay.s3.example.com:80:80", "/k", "", 400, "InvalidRequest"},
		{"pay.s3.example.com:http", "/k", "", 400, "InvalidRequest"},
	} {
		t.Run(c.host+c.path, func(t *testing.T) {
			req := w.sign(t, only, request{method: "GET", path: c.path})
			req.Host = c.host
			sigv4.Sign(req, only.AccessKeyID, only.SecretAccessKey, only.SessionToken, region, "s3", emptyHash, time.Now())
			g, err := New(w.config)
			if err != nil {
				t.Fatal(err)
			}
			recorder := httptest.NewRecorder()
			req.RemoteAddr = "127.0.0.1:1"
			g.ServeHTTP(recorder, req)
			seen := w.upstream.take()
			if recorder.Code != c.status || c.code != "" && errorOf(t, recorder.Body.String()).Code != c.code {
				t.Errorf("got %d %s", recorder.Code, recorder.Body)
			}
			if c.uri != "" && (len(seen) != 1 || seen[0].uri != c.uri) || c.uri == "" && len(seen) != 0 {
				t.Errorf("the upstream saw %+v, want %q", seen, c.uri)
			}
		})
	}
	for _, domain := range []string{"", ".", "S3.example.com", "s3.example.com:80", "127.0.0.1", ".s3.example.com", "s3.example.com.", "*.example.com"} {
		config := w.config
		config.Domains = []string{domain}
		if _, err := New(config); err == nil {
			t.Errorf("the domain %q is accepted", domain)
		}
	}
}
