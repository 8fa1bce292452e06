package sigv4_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// verify does what a door does: parse, find the key, verify. The key id is not part of what is signed; it picks the key.
func verify(r *http.Request, payloadHash string) error {
	s, err := sigv4.Parse(r)
	if err != nil {
		return err
	}
	if s.KeyID != keyID {
		return fault.New(fault.UnknownKey, "no access key %q", s.KeyID)
	}
	return s.Verify(r, sigv4.Derive(secret, s.Date, s.Region, s.Service), payloadHash)
}

func TestVerify(t *testing.T) {
	for _, tt := range []struct{ name, method, target, service, token, payload string }{
		{"S3", "GET", "http://127.0.0.1:8780/bucket/key", "s3", token, emptyHash},
		{"S3, unsigned body", "PUT", "http://127.0.0.1:8780/bucket/key", "s3", "", sigv4.UnsignedPayload},
		{"S3, odd key", "GET", "http://127.0.0.1/b/a//b/../%2F%20+%25%C3%A9", "s3", "", emptyHash},
		{"S3, query", "GET", "http://127.0.0.1/b?b=2&a=%20x&a-b&a=&a=+", "s3", "", emptyHash},
		{"EKS", "POST", "https://127.0.0.1/clusters/dev/pod-identity-associations", "eks", token, otherHash},
		{"EKS, ARN in the path", "GET", "https://127.0.0.1/tags/arn%3Aaws%3Aeks%3Ar%3A1%3Acluster%2Fdev", "eks", "", emptyHash},
		{"no path", "GET", "http://[::1]:8780", "sts", "", emptyHash},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t, tt.method, tt.target)
			sigv4.Sign(r, keyID, secret, tt.token, "us-east-1", tt.service, tt.payload, noon)
			if err := verify(r, tt.payload); err != nil {
				t.Errorf("verify: %v", err)
			}
			sigv4.Sign(r, keyID, secret+"x", tt.token, "us-east-1", tt.service, tt.payload, noon)
			if err := verify(r, tt.payload); !fault.Is(err, fault.BadSignature) {
				t.Errorf("verify with another secret: %v, want BadSignature", err)
			}
		})
	}
}

// TestSameMeaningVerifies changes the spelling of a signed request and nothing of what it says.
func TestSameMeaningVerifies(t *testing.T) {
	for _, tt := range []struct {
		name, service string
		change        func(*http.Request)
	}{
		{"query in another order", "s3", query("prefix=a%2Fb&list-type=2")},
		{"query with other escapes", "s3", query("l%69st-type=2&prefix=a%2fb")},
		{"query with empty pairs", "s3", query("&list-type=2&&prefix=a%2Fb&")},
		{"path with other escapes", "s3", path("/b%75cket/key%20one")},
		{"dot segments", "eks", path("/x/..//./bucket/key%20one")},
		{"spaces in a signed header", "s3", set("Content-Type", "  text/plain ")},
		{"an unsigned header", "s3", set("User-Agent", "any")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t, tt.service)
			tt.change(r)
			if err := verify(r, emptyHash); err != nil {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

// path sets the path as a server would have received it.
func path(raw string) func(*http.Request) {
	return func(r *http.Request) {
		r.URL.Path, r.URL.RawPath = "", ""
		if decoded, err := url.PathUnescape(raw); err == nil {
			r.URL.Path, r.URL.RawPath = decoded, raw
		}
	}
}

// TestAnotherMeaningFails changes one thing that the signature covers.
func TestAnotherMeaningFails(t *testing.T) {
	for _, tt := range []struct {
		name, service string
		change        func(*http.Request)
	}{
		{"method", "s3", func(r *http.Request) { r.Method = http.MethodPut }},
		{"escaped slash for slash", "s3", path("/bucket%2Fkey%20one")},
		{"plus for space in a path", "s3", path("/bucket/key+one")},
		{"doubled slash at S3", "s3", path("//bucket/key%20one")},
		{"dot segment at S3", "s3", path("/x/../bucket/key%20one")},
		{"other escapes outside S3", "eks", path("/b%75cket/key%20one")},
		{"trailing slash", "eks", path("/bucket/key%20one/")},
		{"parameter added", "s3", query("list-type=2&prefix=a%2Fb&x")},
		{"parameter taken away", "s3", query("list-type=2")},
		{"parameter twice", "s3", query("list-type=2&list-type=2&prefix=a%2Fb")},
		{"value to another name", "s3", query("list-type=a%2Fb&prefix=2")},
		{"bad escape", "s3", query("list-type=2&prefix=a%2Fb&x=%2")},
		{"bare semicolon", "s3", query("list-type=2&prefix=a%2Fb;x=1")},
		{"host", "s3", func(r *http.Request) { r.Host = "127.0.0.1:8781" }},
		{"token", "s3", set("X-Amz-Security-Token", "another")},
		{"token away", "s3", all(unset("X-Amz-Security-Token"), edit(";x-amz-security-token", ""))},
		{"header twice", "s3", add("Content-Type", "text/plain")},
		{"inner space away", "s3", set("Content-Type", "text/pl ain")},
		{"time within the day", "s3", set("X-Amz-Date", "20260309T120001Z")},
		{"region", "s3", edit("eu-west-1", "eu-west-2")},
		{"service", "eks", edit("/eks/", "/sts/")},
		{"declared hash", "s3", set("X-Amz-Content-Sha256", otherHash)},
		{"declared unsigned", "s3", set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)},
		{"another order of signed headers' values", "s3", all(set("Content-Type", token), set("X-Amz-Security-Token", "text/plain"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t, tt.service)
			tt.change(r)
			if err := verify(r, emptyHash); !fault.Is(err, fault.BadSignature) {
				t.Errorf("verify: %v, want BadSignature", err)
			}
		})
	}
}

// TestAnyByteCounts changes each byte of each covered part, one at a time.
func TestAnyByteCounts(t *testing.T) {
	parts := []struct {
		name string
		get  func(*http.Request) string
		set  func(*http.Request, string)
	}{
		{"method", func(r *http.Request) string { return r.Method }, func(r *http.Request, s string) { r.Method = s }},
		{"path", func(r *http.Request) string { return r.URL.Path }, func(r *http.Request, s string) { r.URL.Path, r.URL.RawPath = s, "" }},
		{"host", func(r *http.Request) string { return r.URL.Host }, func(r *http.Request, s string) { r.Host = s }},
		{"query", func(r *http.Request) string { return r.URL.RawQuery }, func(r *http.Request, s string) { r.URL.RawQuery = s }},
		headerPart("Authorization"),
		headerPart("Content-Type"),
		headerPart("X-Amz-Date"),
		headerPart("X-Amz-Security-Token"),
		headerPart("X-Amz-Content-Sha256"),
	}
	for _, service := range []string{"s3", "eks"} {
		for _, part := range parts {
			value := part.get(signed(t, service))
			for i := range len(value) {
				for _, flip := range []byte{1, 2, 0x20} {
					changed := []byte(value)
					changed[i] ^= flip
					if part.name == "query" && strings.EqualFold(string(changed), value) {
						continue // the case of an escape
					}
					if part.name == "Authorization" && value[i] == ' ' {
						continue // padding between the parts
					}
					r := signed(t, service)
					part.set(r, string(changed))
					if err := verify(r, emptyHash); err == nil {
						t.Errorf("%s: %s %q verifies in the place of %q", service, part.name, changed, value)
					}
				}
			}
		}
		for i := range len(emptyHash) {
			changed := []byte(emptyHash)
			changed[i] ^= 1
			if err := verify(signed(t, service), string(changed)); err == nil {
				t.Errorf("%s: body hash %s verifies in the place of %s", service, changed, emptyHash)
			}
		}
	}
}

func headerPart(name string) struct {
	name string
	get  func(*http.Request) string
	set  func(*http.Request, string)
} {
	return struct {
		name string
		get  func(*http.Request) string
		set  func(*http.Request, string)
	}{
		name,
		func(r *http.Request) string { return r.Header.Get(name) },
		func(r *http.Request, s string) { r.Header.Set(name, s) },
	}
}

func TestUnsignedPayloadIsS3s(t *testing.T) {
	for _, tt := range []struct {
		service, payload string
		ok               bool
	}{
		{"s3", sigv4.UnsignedPayload, true},
		{"eks", sigv4.UnsignedPayload, false},
		{"s3", sigv4.StreamingUnsignedTrailer, true},
		{"s3", sigv4.StreamingSigned, true},
		{"s3", sigv4.StreamingSignedTrailer, true},
		{"s3", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", false},
		{"eks", sigv4.StreamingUnsignedTrailer, false},
		{"s3", "", false},
		{"eks", "", false},
		{"eks", strings.ToUpper(emptyHash), false},
	} {
		r := request(t, http.MethodPut, "http://127.0.0.1/b/k")
		sigv4.Sign(r, keyID, secret, "", "r", tt.service, tt.payload, noon)
		if err := verify(r, tt.payload); (err == nil) != tt.ok {
			t.Errorf("payload hash %q at %s: %v, want ok %v", tt.payload, tt.service, err, tt.ok)
		}
	}
}

func TestSignWithoutCanonicalFormSignsNothing(t *testing.T) {
	r := request(t, http.MethodGet, "http://127.0.0.1/")
	r.URL.RawQuery = "a=%zz"
	sigv4.Sign(r, keyID, secret, "", "r", "s3", emptyHash, noon)
	if got := r.Header.Get("Authorization"); got != "" {
		t.Errorf("Authorization %q for a query without canonical form", got)
	}
}

// TestAnotherSigner holds the AWS SDK's signer against Verify, through a real server, and against Sign.
func TestAnotherSigner(t *testing.T) {
	seen := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verify(r, hash(body))
		}
		seen <- err
	}))
	defer server.Close()
	for _, tt := range []struct{ name, method, target, service, body string }{
		{"S3 get", "GET", "/bucket/a%20key", "s3", ""},
		{"S3 odd keys", "GET", "/bucket/a//b/%2Fc%2B%3Dd%25/%C3%A9?x-id=GetObject", "s3", ""},
		{"S3 put", "PUT", "/bucket/key?x-id=PutObject", "s3", "some bytes"},
		{"S3 head with a slash", "HEAD", "/bucket/", "s3", ""},
		{"S3 query", "GET", "/bucket?list-type=2&prefix=a%2Fb%20c&delimiter=%2F&start-after=%C3%A9", "s3", ""},
		{"S3 subresource", "GET", "/bucket?uploads", "s3", ""},
		{"EKS", "POST", "/clusters/dev/pod-identity-associations", "eks", `{"namespace":"default"}`},
		{"EKS tags", "DELETE", "/tags/arn%3Aaws%3Aeks%3Ar%3A1%3Apodidentityassociation%2Fdev%2Fa-1?tagKeys=a&tagKeys=b", "eks", ""},
		{"STS", "POST", "/", "sts", "Action=GetCallerIdentity&Version=2011-06-15"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			build := func() *http.Request {
				r, err := http.NewRequest(tt.method, server.URL+tt.target, strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-thing;  a=b")
				if tt.service == "s3" {
					r.Header.Set("X-Amz-Content-Sha256", hash([]byte(tt.body)))
					r.Header.Set("Accept-Encoding", "identity")
				}
				r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
				return r
			}
			signSDK := func(r *http.Request) {
				credentials := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: token}
				err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, hash([]byte(tt.body)), tt.service, "us-east-1", noon,
					func(o *v4.SignerOptions) { o.DisableURIPathEscaping = tt.service == "s3" })
				if err != nil {
					t.Fatal(err)
				}
			}
			send := func(r *http.Request) error {
				response, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				if err := response.Body.Close(); err != nil {
					t.Fatal(err)
				}
				return <-seen
			}
			theirs := build()
			signSDK(theirs)
			if err := send(theirs); err != nil {
				t.Errorf("verify the SDK's request: %v", err)
			}
			ours := build()
			sigv4.Sign(ours, keyID, secret, token, "us-east-1", tt.service, hash([]byte(tt.body)), noon)
			if err := send(ours); err != nil {
				t.Errorf("verify our own request: %v", err)
			}

			// With the same headers to sign, both signers must say the same, byte for byte.
			bare := build()
			bare.ContentLength = 0
			bare.Header.Del("Amz-Sdk-Request")
			bare.Header.Del("Accept-Encoding")
			again := bare.Clone(context.Background())
			signSDK(bare)
			sigv4.Sign(again, keyID, secret, token, "us-east-1", tt.service, hash([]byte(tt.body)), noon)
			if got, want := again.Header.Get("Authorization"), bare.Header.Get("Authorization"); got != want {
				t.Errorf("Sign makes\n%s\nand the SDK\n%s", got, want)
			}
		})
	}
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
