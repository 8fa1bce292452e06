package sigv4_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// presign makes a URL with the signer of AWS's SDK, and of it the request that a server gets.
func presign(t *testing.T, method, target, service, payload, expires string, header http.Header) *http.Request {
	t.Helper()
	out := request(t, method, target)
	if expires != "" {
		out.URL.RawQuery = strings.TrimPrefix(out.URL.RawQuery+"&X-Amz-Expires="+expires, "&")
	}
	for name, values := range header {
		out.Header[name] = values
	}
	keys := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: token}
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), keys, out, payload, service, "us-east-1", noon, func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = service == "s3"
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, signed, http.NoBody)
	for name, values := range header {
		r.Header[name] = values
	}
	return r
}

func TestPresigned(t *testing.T) {
	for _, tt := range []struct {
		name, method, target, service, signed, payload string
		header                                         http.Header
	}{
		{"S3", "GET", "http://127.0.0.1:8780/bucket/key", "s3", sigv4.UnsignedPayload, sigv4.UnsignedPayload, nil},
		{"S3, virtual host", "GET", "https://bucket.s3.example.com/a%20b//c", "s3", sigv4.UnsignedPayload, sigv4.UnsignedPayload, nil},
		{"S3, query", "GET", "http://127.0.0.1/b?list-type=2&prefix=a%2Fb&a-b=1&a=+", "s3", sigv4.UnsignedPayload, sigv4.UnsignedPayload, nil},
		{"S3, hash in the query", "PUT", "http://127.0.0.1/b/k?X-Amz-Content-Sha256=" + otherHash, "s3", otherHash, otherHash, nil},
		{"S3, hash in a header", "PUT", "http://127.0.0.1/b/k", "s3", otherHash, otherHash, http.Header{"X-Amz-Content-Sha256": {otherHash}}},
		{"S3, unsigned body said", "PUT", "http://127.0.0.1/b/k?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "s3", sigv4.UnsignedPayload, sigv4.UnsignedPayload, nil},
		{"S3, signed header", "PUT", "http://127.0.0.1/b/k", "s3", sigv4.UnsignedPayload, sigv4.UnsignedPayload, http.Header{"Content-Type": {"text/plain"}}},
		{"STS", "GET", "https://127.0.0.1/?Action=GetCallerIdentity&Version=2011-06-15", "sts", emptyHash, emptyHash, http.Header{"X-K8s-Aws-Id": {"dev"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			good := func() *http.Request {
				return presign(t, tt.method, tt.target, tt.service, tt.signed, "900", tt.header)
			}
			r := good()
			s, err := sigv4.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Presigned() || !sigv4.IsPresigned(r) || s.Expires != 15*time.Minute || s.Token != token {
				t.Errorf("presigned %v, expires %v, token %q", s.Presigned(), s.Expires, s.Token)
			}
			if err := verify(r, tt.payload); err != nil {
				t.Errorf("verify: %v", err)
			}
			for name, change := range map[string]func(r *http.Request){
				"another method":         func(r *http.Request) { r.Method = http.MethodHead },
				"another path":           func(r *http.Request) { r.URL.Path += "x"; r.URL.RawPath = "" },
				"another host":           func(r *http.Request) { r.Host = "h" },
				"another parameter":      func(r *http.Request) { r.URL.RawQuery += "&versionId=1" },
				"a longer life":          editQuery("X-Amz-Expires=900", "X-Amz-Expires=901"),
				"another time":           editQuery("T120000Z", "T120001Z"),
				"another token":          editQuery("X-Amz-Security-Token=a", "X-Amz-Security-Token=b"),
				"no token":               editQuery("X-Amz-Security-Token="+url.QueryEscape(token), ""),
				"a header added":         set("X-Amz-Acl", "public-read"),
				"a header's value":       set("Content-Type", "text/html"),
				"a parameter taken away": editQuery("X-Amz-SignedHeaders", "X-Amz-Signedheaders"),
			} {
				if name == "a header's value" && !strings.Contains(tt.name, "signed header") || name == "another method" && tt.service == "sts" {
					continue
				}
				r := good()
				change(r)
				if err := verify(r, tt.payload); !fault.Is(err, fault.BadSignature) && !fault.Is(err, fault.IncompleteAuth) {
					t.Errorf("%s: %v, want a refusal", name, err)
				}
			}
		})
	}
}

// editQuery changes one part of a query, which has to be there.
func editQuery(from, to string) func(r *http.Request) {
	return func(r *http.Request) {
		if !strings.Contains(r.URL.RawQuery, from) {
			panic(from + " is not in " + r.URL.RawQuery)
		}
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, from, to, 1)
	}
}

func TestPresignedRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(r *http.Request)
		kind   fault.Kind
		says   string
	}{
		{"as presigned", func(*http.Request) {}, 0, ""},
		{"a header's signature too", set("Authorization", "AWS4-HMAC-SHA256 x"), fault.IncompleteAuth, "exactly one"},
		{"a signature of version 2 too", more("&AWSAccessKeyId=AKIA"), fault.Unsupported, "signature_version s3v4"},
		{"another algorithm", editQuery("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), fault.IncompleteAuth, "X-Amz-Algorithm"},
		{"version 4A", editQuery("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), fault.Unsupported, "AWS_AUTH_SCHEME_PREFERENCE=sigv4"},
		{"express", editQuery("%2Fs3%2F", "%2Fs3express%2F"), fault.Unsupported, "s3express"},
		{"EKS", editQuery("%2Fs3%2F", "%2Feks%2F"), fault.Unsupported, `"eks"`},
		{"IAM", editQuery("%2Fs3%2F", "%2Fiam%2F"), fault.Unsupported, `"iam"`},
		{"STS, not by GET", editQuery("%2Fs3%2F", "%2Fsts%2F"), fault.Unsupported, `"PUT"`},
		{"no algorithm", editQuery("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""), fault.IncompleteAuth, "lacks X-Amz-Algorithm"},
		{"no expiry", editQuery("X-Amz-Expires=900", ""), fault.IncompleteAuth, "lacks X-Amz-Expires"},
		{"expiry of nothing", editQuery("X-Amz-Expires=900", "X-Amz-Expires=0"), fault.IncompleteAuth, "from 1 to 604800"},
		{"empty expiry", editQuery("X-Amz-Expires=900", "X-Amz-Expires="), fault.IncompleteAuth, "empty X-Amz-Expires"},
		{"negative expiry", editQuery("X-Amz-Expires=900", "X-Amz-Expires=-900"), fault.IncompleteAuth, "from 1 to 604800"},
		{"expiry with a sign", editQuery("X-Amz-Expires=900", "X-Amz-Expires=%2B900"), fault.IncompleteAuth, "from 1 to 604800"},
		{"expiry with a zero", editQuery("X-Amz-Expires=900", "X-Amz-Expires=0900"), fault.IncompleteAuth, "from 1 to 604800"},
		{"expiry in hexadecimal", editQuery("X-Amz-Expires=900", "X-Amz-Expires=0x900"), fault.IncompleteAuth, "from 1 to 604800"},
		{"expiry over a week", editQuery("X-Amz-Expires=900", "X-Amz-Expires=604801"), fault.IncompleteAuth, "less than a week"},
		{"expiry beyond 64 bits", editQuery("X-Amz-Expires=900", "X-Amz-Expires=99999999999999999999"), fault.IncompleteAuth, "from 1 to 604800"},
		{"expiry that overflows a duration", editQuery("X-Amz-Expires=900", "X-Amz-Expires=4294967295"), fault.IncompleteAuth, "less than a week"},
		{"expiry twice", more("&X-Amz-Expires=901"), fault.IncompleteAuth, "two X-Amz-Expires"},
		{"signature twice", more("&X-Amz-Signature=" + emptyHash), fault.IncompleteAuth, "two X-Amz-Signature"},
		{"signature twice, escaped", more("&X-Amz%2DSignature=" + emptyHash), fault.IncompleteAuth, "two X-Amz-Signature"},
		{"credential twice", more("&X-Amz-Credential=a"), fault.IncompleteAuth, "two X-Amz-Credential"},
		{"token twice", more("&X-Amz-Security-Token=a"), fault.IncompleteAuth, "two X-Amz-Security-Token"},
		{"in small letters", more("&x-amz-date=20260309T120000Z"), fault.IncompleteAuth, "as AWS spells them"},
		{"hash in small letters", more("&x-amz-content-sha256=" + emptyHash), fault.IncompleteAuth, "as AWS spells them"},
		{"time in a header too", set("X-Amz-Date", "20260309T120000Z"), fault.IncompleteAuth, "X-Amz-Date"},
		{"token in a header too", set("X-Amz-Security-Token", token), fault.IncompleteAuth, "X-Amz-Security-Token"},
		{"a header that is not signed", set("X-Amz-Acl", "public-read"), fault.IncompleteAuth, "X-Amz-Acl"},
		{"a hash that is not signed", set("X-Amz-Content-Sha256", otherHash), fault.IncompleteAuth, "not in SignedHeaders"},
		{"chunks", more("&X-Amz-Content-Sha256=" + sigv4.StreamingSigned), fault.Unsupported, "send the body as it is"},
		{"unsigned chunks", more("&X-Amz-Content-Sha256=" + sigv4.StreamingUnsignedTrailer), fault.Unsupported, "send the body as it is"},
		{"another day", editQuery("X-Amz-Date=20260309", "X-Amz-Date=20260310"), fault.IncompleteAuth, "the same day"},
		{"host not signed", editQuery("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=date"), fault.IncompleteAuth, "lacks host"},
		{"a signed header that is not there", editQuery("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bx-amz-acl"), fault.IncompleteAuth, "x-amz-acl"},
		{"a signature of rubbish", editQuery("X-Amz-Signature=", "X-Amz-Signature=x"), fault.IncompleteAuth, "64 hex digits"},
		{"a bad escape", more("&a=%zz"), fault.IncompleteAuth, "percent escape"},
		{"a form", func(r *http.Request) {
			r.Method, r.URL.RawQuery = http.MethodPost, ""
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		}, fault.Unsupported, "POST policy"},
		{"a query without an end", more("&a=" + strings.Repeat("a", 33<<10)), fault.IncompleteAuth, "bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := presign(t, http.MethodPut, "http://127.0.0.1/b/k", "s3", sigv4.UnsignedPayload, "900", nil)
			tt.change(r)
			_, err := sigv4.Parse(r)
			if tt.says == "" && err == nil {
				return
			}
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Parse: %v of kind %v, want %v with %q", err, fault.Of(err), tt.kind, tt.says)
			}
		})
	}
}

// more adds to a query.
func more(text string) func(r *http.Request) {
	return func(r *http.Request) { r.URL.RawQuery += text }
}

func TestPresignedTimes(t *testing.T) {
	identity := "https://127.0.0.1/?Action=GetCallerIdentity&Version=2011-06-15"
	for _, tt := range []struct {
		name, target, service, expires string
		at                             time.Duration // after the time of signing
		says                           string
	}{
		{"at once", "http://127.0.0.1/b/k", "s3", "60", 0, ""},
		{"at its last moment", "http://127.0.0.1/b/k", "s3", "60", time.Minute - 1, ""},
		{"at its expiry", "http://127.0.0.1/b/k", "s3", "60", time.Minute, "Request has expired"},
		{"a week", "http://127.0.0.1/b/k", "s3", "604800", 7*24*time.Hour - 1, ""},
		{"over a week", "http://127.0.0.1/b/k", "s3", "604800", 7 * 24 * time.Hour, "Request has expired"},
		{"a clock that is behind", "http://127.0.0.1/b/k", "s3", "60", -sigv4.MaxSkew, ""},
		{"not yet", "http://127.0.0.1/b/k", "s3", "60", -sigv4.MaxSkew - 1, "at most 15 minutes"},
		{"get-token, used late", identity, "sts", "60", 14 * time.Minute, ""},
		{"get-token, over", identity, "sts", "604800", sigv4.MaxSkew + 1, "at most 15 minutes"},
		{"get-token, not yet", identity, "sts", "60", -sigv4.MaxSkew - 1, "at most 15 minutes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := sigv4.Parse(presign(t, http.MethodGet, tt.target, tt.service, sigv4.UnsignedPayload, tt.expires, nil))
			if err != nil {
				t.Fatal(err)
			}
			err = s.CheckTime(noon.Add(tt.at))
			if tt.says == "" && err != nil || tt.says != "" && (!fault.Is(err, fault.Skewed) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}
