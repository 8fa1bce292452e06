package gateway

import (
	"net/http"
	"strings"
	"testing"
)

// The ACL that S3 gives by itself is taken from whoever may write, and the store never hears of it. What is refused of ACLs is
// among the hostile requests.
func TestAPrivateACLIsDropped(t *testing.T) {
	w := newWorld(t)
	writer, reader := w.session(t, ours, everything), w.session(t, ours, allow("s3:GetObject", "*"))
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(copySource) != "" {
			_, _ = w.Write([]byte("<CopyObjectResult/>")) // the client's side fails the test
		}
	})
	for _, c := range []struct {
		name string
		in   request
	}{
		{"PutObject", request{method: "PUT", path: "/pay/a", body: "x"}},
		{"CopyObject", copyOf("pay/b")},
		{"CreateMultipartUpload", request{method: "POST", path: "/pay/a?uploads"}},
		{"CreateBucket", request{method: "PUT", path: "/pay"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := map[string]string{"X-Amz-Acl": "private"}
			for name, value := range c.in.header {
				with[name] = value
			}
			c.in.header = with
			if resp, text := w.send(t, writer, c.in); resp.StatusCode != http.StatusOK {
				t.Errorf("status %d: %s", resp.StatusCode, text)
			}
			seen := w.upstream.take()
			if len(seen) == 0 {
				t.Fatal("the upstream saw nothing")
			}
			for _, a := range seen {
				for name := range a.header {
					if strings.Contains(strings.ToLower(name), "acl") {
						t.Errorf("the upstream saw %s: %q", name, a.header[name])
					}
				}
			}
			if resp, text := w.send(t, reader, c.in); resp.StatusCode != http.StatusForbidden {
				t.Errorf("who may not write: status %d: %s", resp.StatusCode, text)
			}
			if seen := w.upstream.take(); len(seen) != 0 {
				t.Errorf("the upstream saw %s %s of who may not write", seen[0].method, seen[0].uri)
			}
		})
	}
}
