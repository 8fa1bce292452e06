package gateway

import (
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
)

// operationCase is a request with what it takes to be allowed and what the upstream then gets.
type operationCase struct {
	name, operation  string
	in               request
	action, resource string
	elsewhere        string      // a resource that the denied caller is allowed
	besides          [][2]string // actions and resources that it takes as well
	uri              string      // at the upstream
	forwarded        map[string]string
	body             string // at the upstream, of an operation whose document is made anew
	answer           string // of the upstream
}

// operationCases and moreCases have a case or more for every row of the table.
var operationCases = []operationCase{
	{
		name: "list buckets", operation: "ListBuckets", in: request{method: "GET", path: "/"},
		action: "s3:ListAllMyBuckets", resource: "*", elsewhere: "arn:aws:s3:::pay", uri: "/",
	},
	{
		name: "list buckets as Go's SDK does", operation: "ListBuckets", in: request{method: "GET", path: "/?x-id=ListBuckets&max-buckets=5"},
		action: "s3:ListAllMyBuckets", resource: "*", elsewhere: "arn:aws:s3:::pay", uri: "/?max-buckets=5",
	},
	{
		name: "create a bucket", operation: "CreateBucket", in: request{method: "PUT", path: "/pay"},
		action: "s3:CreateBucket", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay",
	},
	{
		name: "create a bucket in our region", operation: "CreateBucket",
		in: request{
			method: "PUT", path: "/pay",
			body: `<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>`,
		},
		action: "s3:CreateBucket", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::play", uri: "/pay",
	},
	{
		name: "delete a bucket", operation: "DeleteBucket", in: request{method: "DELETE", path: "/pay"},
		action: "s3:DeleteBucket", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::pay/*", uri: "/pay",
	},
	{
		name: "head a bucket as JavaScript's SDK does", operation: "HeadBucket", in: request{method: "HEAD", path: "/pay/"},
		action: "s3:ListBucket", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::pay/*", uri: "/pay",
	},
	{
		name: "list objects", operation: "ListObjects", in: request{method: "GET", path: "/pay?prefix=a%20b%2Fc&delimiter=%2F&encoding-type=url"},
		action: "s3:ListBucket", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::pay/*",
		uri: "/pay?delimiter=%2F&encoding-type=url&prefix=a%20b%2Fc",
	},
	{
		name: "list objects, version 2", operation: "ListObjectsV2", in: request{method: "GET", path: "/pay?list-type=2&prefix=&continuation-token=a%2Bb"},
		action: "s3:ListBucket", resource: "arn:aws:s3:::pay", elsewhere: "arn:aws:s3:::p", uri: "/pay?continuation-token=a%2Bb&list-type=2&prefix=",
	},
	{
		name: "get an object", operation: "GetObject",
		in:     request{method: "GET", path: "/pay/a/b?x-id=GetObject", header: map[string]string{"Range": "bytes=0-3", "If-Match": `"e"`, "X-Amz-Checksum-Mode": "ENABLED"}},
		action: "s3:GetObject", resource: "arn:aws:s3:::pay/a/b", elsewhere: "arn:aws:s3:::pay/a", uri: "/pay/a/b",
		forwarded: map[string]string{"Range": "bytes=0-3", "If-Match": `"e"`, "X-Amz-Checksum-Mode": "ENABLED"},
	},
	{
		name: "get an object with characters that need escaping", operation: "GetObject", in: request{method: "GET", path: "/pay/A%2Fb+c%20%C3%A9~*%3F"},
		action: "s3:GetObject", resource: "arn:aws:s3:::pay/A/b+c é~*?", elsewhere: "arn:aws:s3:::pay/A", uri: "/pay/A/b%2Bc%20%C3%A9~%2A%3F",
	},
	{
		name: "get a folder's marker", operation: "GetObject", in: request{method: "GET", path: "/pay/a/"},
		action: "s3:GetObject", resource: "arn:aws:s3:::pay/a/", elsewhere: "arn:aws:s3:::pay/a", uri: "/pay/a/",
	},
	{
		name: "head an object", operation: "HeadObject", in: request{method: "HEAD", path: "/pay/a?partNumber=1"},
		action: "s3:GetObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay", uri: "/pay/a?partNumber=1",
	},
	{
		name: "put an object", operation: "PutObject",
		in: request{method: "PUT", path: "/pay/a", body: "hello", header: map[string]string{
			"Content-Type": "text/plain", "X-Amz-Meta-Team": "pay", "X-Amz-Checksum-Crc32": "NhCmhg==", "X-Amz-Sdk-Checksum-Algorithm": "CRC32", "If-None-Match": "*",
		}},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a",
		forwarded: map[string]string{
			"Content-Type": "text/plain", "X-Amz-Meta-Team": "pay", "X-Amz-Checksum-Crc32": "NhCmhg==", "X-Amz-Sdk-Checksum-Algorithm": "CRC32", "If-None-Match": "*",
		},
	},
	{
		name: "put an empty object", operation: "PutObject", in: request{method: "PUT", path: "/pay/a"},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a",
	},
	{
		name: "put an object of unsigned content", operation: "PutObject", in: request{method: "PUT", path: "/pay/a", body: "hello", hash: "UNSIGNED-PAYLOAD"},
		action: "s3:PutObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay/b", uri: "/pay/a",
		forwarded: map[string]string{
			"X-Amz-Content-Sha256": sigv4.StreamingUnsignedTrailer, "X-Amz-Decoded-Content-Length": "5", "X-Amz-Trailer": "x-amz-checksum-crc64nvme",
		},
	},
	{
		name: "delete an object", operation: "DeleteObject", in: request{method: "DELETE", path: "/pay/a"},
		action: "s3:DeleteObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay", uri: "/pay/a",
	},
}

// The upstream gets each request when policy allows exactly that, and gets nothing when policy allows the same action on
// something else, or leaves out one of several.
func TestOperations(t *testing.T) {
	w := newWorld(t)
	covered := map[string]bool{}
	for _, c := range append(operationCases, moreCases...) {
		covered[c.operation] = true
		t.Run(c.name, func(t *testing.T) {
			w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
				answer := c.answer
				if isLookup(c.operation, r.Method, r.RequestURI) {
					answer = `<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>`
				}
				_, _ = io.WriteString(w, answer) // the client's side fails the test
			})
			statements := []string{allow(c.action, c.resource)}
			for _, n := range c.besides {
				statements = append(statements, allow(n[0], n[1]))
			}
			resp, text := w.send(t, w.session(t, ours, statements...), c.in)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("allowed: status %d: %s", resp.StatusCode, text)
			}
			seen := w.upstream.take()
			if len(seen) != 1 {
				t.Fatalf("allowed: the upstream saw %d requests, want 1", len(seen))
			}
			checkArrival(t, seen[0], &c)
			for i := range c.besides {
				without := slices.Delete(slices.Clone(statements), i+1, i+2)
				checkDenied(t, w, w.session(t, ours, without...), &c, c.besides[i][0], c.besides[i][1])
			}
			statements[0] = allow(c.action, c.elsewhere)
			checkDenied(t, w, w.session(t, ours, statements...), &c, c.action, c.resource)
		})
	}
	for _, op := range operations {
		if !covered[op.name] && op.name != "DeleteObjects" { // it has tests of its own
			t.Errorf("%s has no case", op.name)
		}
	}
}

// isLookup reports whether it is the gateway itself that asks what tags the source of a copy has.
func isLookup(operation, method, uri string) bool {
	return operation == "CopyObject" && method == http.MethodGet && strings.HasSuffix(uri, "?tagging=")
}

// checkDenied holds that a caller is refused in S3's words for want of one action, and that the upstream hears nothing.
func checkDenied(t *testing.T, w *world, caller session.Credentials, c *operationCase, action, resource string) {
	t.Helper()
	resp, text := w.send(t, caller, c.in)
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("without %s: status %d, want 403: %s", action, resp.StatusCode, text)
	}
	for _, seen := range w.upstream.take() {
		if !isLookup(c.operation, seen.method, seen.uri) {
			t.Errorf("without %s: the upstream saw %s %s, want nothing", action, seen.method, seen.uri)
		}
	}
	if c.in.method == http.MethodHead {
		return
	}
	if resource == "*" {
		resource = "arn:aws:s3:::*"
	}
	want := "is not authorized to perform: " + action + " on resource: " + resource + " because no identity-based policy allows the " + action + " action"
	if got := errorOf(t, text); got.Code != "AccessDenied" || !strings.HasSuffix(got.Message, want) {
		t.Errorf("without %s: %s %q, want AccessDenied and a message that ends in %q", action, got.Code, got.Message, want)
	}
}

// checkArrival holds what the upstream got against what the client sent: of the client's headers only those named, and
// of its credentials nothing.
func checkArrival(t *testing.T, got arrival, c *operationCase) {
	t.Helper()
	own := []string{"Accept-Encoding", "Authorization", "Content-Length", "User-Agent", "X-Amz-Content-Sha256", "X-Amz-Date"}
	wantBody := c.in.body
	if row(c.operation).body == document {
		if wantBody = c.body; wantBody != "" {
			own = append(own, "Content-Type", "Content-Md5")
			if got.header.Get("Content-Md5") != md5Of([]byte(got.body)) || got.header.Get("X-Amz-Content-Sha256") != hashOf(got.body) {
				t.Errorf("the upstream saw a body that is not the one of its hashes")
			}
			if wantBody, _ = strings.CutPrefix(wantBody, xml.Header); !strings.HasPrefix(got.body, xml.Header) {
				t.Errorf("the upstream saw no XML: %q", got.body)
			}
			got.body = strings.TrimPrefix(got.body, xml.Header)
		}
	}
	got.body, _ = got.content()
	if got.method != c.in.method || got.uri != c.uri || got.body != wantBody {
		t.Errorf("the upstream saw %s %s %q, want %s %s %q", got.method, got.uri, got.body, c.in.method, c.uri, wantBody)
	}
	for name, value := range c.forwarded {
		if got.header.Get(name) != value {
			t.Errorf("the upstream saw %s: %q, want %q", name, got.header.Get(name), value)
		}
	}
	for name := range got.header {
		if _, named := c.forwarded[name]; !named && !slices.Contains(own, name) {
			t.Errorf("the upstream saw the header %s", name)
		}
	}
}

func TestConditionKeysComeFromTheQuery(t *testing.T) {
	w := newWorld(t)
	home := w.session(t, ours,
		`{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::pay","Condition":{"StringLike":{"s3:prefix":"home/ann/*"}}}`)
	for _, c := range []struct {
		name, query string
		want        int
	}{
		{"own prefix", "?list-type=2&prefix=home/ann/", http.StatusOK},
		{"another's prefix", "?list-type=2&prefix=home/bob/", http.StatusForbidden},
		{"no prefix", "?list-type=2", http.StatusForbidden},
		{"a way out of the prefix", "?list-type=2&prefix=home/ann/../bob/", http.StatusBadRequest},
		{"two prefixes", "?list-type=2&prefix=home/ann/&prefix=home/bob/", http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, text := w.send(t, home, request{method: "GET", path: "/pay" + c.query})
			if resp.StatusCode != c.want {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, c.want, text)
			}
			if seen := w.upstream.take(); (len(seen) == 1) != (c.want == http.StatusOK) {
				t.Errorf("the upstream saw %d requests", len(seen))
			}
		})
	}
}

// The table itself: no row may forward what changes who reaches what, and a header or parameter with a right of its own only
// where that right is asked for.
func TestTableIsSound(t *testing.T) {
	names := map[string]bool{}
	for _, op := range operations {
		if names[op.name] {
			t.Errorf("%s stands twice", op.name)
		}
		names[op.name] = true
		for _, dangerous := range []string{
			"authorization", "host", "x-amz-acl", "x-amz-grant-full-control", "x-amz-security-token", "x-amz-website-redirect-location", "x-amz-mfa",
			"x-amz-object-ownership", "x-amz-server-side-encryption-customer-key", "x-amz-rename-source", "x-http-method-override",
		} {
			if op.forwards(dangerous) {
				t.Errorf("%s forwards %s", op.name, dangerous)
			}
		}
		for header, with := range map[string]bool{
			"x-amz-bypass-governance-retention": op.also != nil || op.document == deletions, "x-amz-copy-source": op.header == copySource,
			"x-amz-tagging": op.also != nil, "x-amz-object-lock-mode": op.also != nil, "x-amz-bucket-object-lock-enabled": op.also != nil,
		} {
			if op.forwards(header) && !with {
				t.Errorf("%s forwards %s and does not ask for its right", op.name, header)
			}
		}
		for _, n := range never {
			if op.allows(n.parameter) {
				t.Errorf("%s takes ?%s", op.name, n.parameter)
			}
		}
		if op.allows(versionID) && op.versioned == "" || op.versioned != "" && op.level != object {
			t.Errorf("%s takes a version of what has none", op.name)
		}
		if (op.body == document) != (op.document != nil) || op.level == bucket && op.tagged {
			t.Errorf("%s has a row that cannot be", op.name)
		}
	}
	if len(names) < 45 {
		t.Errorf("%d operations", len(names))
	}
}

// What users read of the table names each operation and each action.
func TestTableIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/COMPATIBILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### S3 (")
	section, _, found := strings.Cut(section, "\n### ")
	if !found {
		t.Fatal("docs/COMPATIBILITY.md has no section of S3")
	}
	for _, op := range operations {
		for _, want := range []string{op.name, op.action, op.versioned} {
			if !regexp.MustCompile(`\b` + want + `\b`).MatchString(section) {
				t.Errorf("%s: docs/COMPATIBILITY.md does not name %s", op.name, want)
			}
		}
	}
}
