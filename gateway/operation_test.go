package gateway

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// operationCases have a case or more for every row of the table.
var operationCases = []struct {
	name, operation  string
	in               request
	action, resource string
	elsewhere        string // a resource that the denied caller is allowed
	uri              string // at the upstream
	forwarded        map[string]string
}{
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
		forwarded: map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"},
	},
	{
		name: "delete an object", operation: "DeleteObject", in: request{method: "DELETE", path: "/pay/a"},
		action: "s3:DeleteObject", resource: "arn:aws:s3:::pay/a", elsewhere: "arn:aws:s3:::pay", uri: "/pay/a",
	},
}

// The upstream gets each request when policy allows exactly that, and gets nothing when policy allows the same action on
// something else.
func TestOperations(t *testing.T) {
	w := newWorld(t)
	covered := map[string]bool{}
	for _, c := range operationCases {
		covered[c.operation] = true
		t.Run(c.name, func(t *testing.T) {
			resp, text := w.send(t, w.session(t, ours, allow(c.action, c.resource)), c.in)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("allowed: status %d: %s", resp.StatusCode, text)
			}
			seen := w.upstream.take()
			if len(seen) != 1 {
				t.Fatalf("allowed: the upstream saw %d requests, want 1", len(seen))
			}
			checkArrival(t, seen[0], c.in, c.uri, c.forwarded)

			resp, text = w.send(t, w.session(t, ours, allow(c.action, c.elsewhere)), c.in)
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("denied: status %d, want 403: %s", resp.StatusCode, text)
			}
			if seen := w.upstream.take(); len(seen) != 0 {
				t.Errorf("denied: the upstream saw %s %s, want nothing", seen[0].method, seen[0].uri)
			}
			if c.in.method == http.MethodHead {
				return
			}
			resource := c.resource
			if resource == "*" {
				resource = "arn:aws:s3:::*"
			}
			want := "is not authorized to perform: " + c.action + " on resource: " + resource + " because no identity-based policy allows the " + c.action + " action"
			if got := errorOf(t, text); got.Code != "AccessDenied" || !strings.HasSuffix(got.Message, want) {
				t.Errorf("denied: %s %q, want AccessDenied and a message that ends in %q", got.Code, got.Message, want)
			}
		})
	}
	for _, op := range operations {
		if !covered[op.name] {
			t.Errorf("%s has no case", op.name)
		}
	}
}

// checkArrival holds what the upstream got against what the client sent: of the client's headers only those named, and
// of its credentials nothing.
func checkArrival(t *testing.T, got arrival, in request, uri string, forwarded map[string]string) {
	t.Helper()
	wantBody := in.body
	if strings.Contains(wantBody, "<CreateBucketConfiguration>") {
		wantBody = ""
	}
	if got.method != in.method || got.uri != uri || got.body != wantBody {
		t.Errorf("the upstream saw %s %s %q, want %s %s %q", got.method, got.uri, got.body, in.method, uri, wantBody)
	}
	for name, value := range forwarded {
		if got.header.Get(name) != value {
			t.Errorf("the upstream saw %s: %q, want %q", name, got.header.Get(name), value)
		}
	}
	own := []string{"Accept-Encoding", "Authorization", "Content-Length", "User-Agent", "X-Amz-Content-Sha256", "X-Amz-Date"}
	for name := range got.header {
		if _, named := forwarded[name]; !named && !slices.Contains(own, name) {
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

// The table itself: a selector must not be hidden by a plain row, and no row may forward what changes who reaches what.
func TestTableIsSound(t *testing.T) {
	names := map[string]bool{}
	for _, op := range operations {
		if names[op.name] {
			t.Errorf("%s stands twice", op.name)
		}
		names[op.name] = true
		for _, dangerous := range []string{
			"authorization", "host", "x-amz-acl", "x-amz-bypass-governance-retention", "x-amz-copy-source", "x-amz-grant-full-control", "x-amz-security-token",
			"x-amz-tagging", "x-amz-website-redirect-location",
		} {
			if op.forwards(dangerous) {
				t.Errorf("%s forwards %s", op.name, dangerous)
			}
		}
		for _, parameter := range []string{"acl", "policy", "publicAccessBlock", "versionId", "website"} {
			if op.allows(parameter) {
				t.Errorf("%s takes ?%s", op.name, parameter)
			}
		}
	}
	want := []string{
		"CreateBucket", "DeleteBucket", "DeleteObject", "GetObject", "HeadBucket", "HeadObject", "ListBuckets", "ListObjects", "ListObjectsV2", "PutObject",
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(names)), want); diff != "" {
		t.Errorf("operations (-got +want):\n%s", diff)
	}
}
