package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/sigv4"
)

// tagged makes the upstream tell these tags of every object, with this status.
func tagged(w *world, status int, tags ...string) {
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		if _, asked := r.URL.Query()["tagging"]; !asked {
			if r.Method == http.MethodPut {
				_, _ = io.WriteString(w, "<CopyObjectResult/>") // the client's side fails the test
			}
			return
		}
		w.WriteHeader(status)
		if status != http.StatusOK {
			_, _ = io.WriteString(w, "<Error><Code>Some</Code></Error>")
			return
		}
		text := ""
		for _, t := range tags {
			key, value, _ := strings.Cut(t, "=")
			text += "<Tag><Key>" + key + "</Key><Value>" + value + "</Value></Tag>"
		}
		_, _ = io.WriteString(w, `<Tagging xmlns="`+namespace+`"><TagSet>`+text+`</TagSet></Tagging>`)
	})
}

func conditional(effect, action, condition string) string {
	return `{"Effect":"` + effect + `","Action":"` + action + `","Resource":"*","Condition":` + condition + `}`
}

// The gateway looks for an object's tags when a policy asks for them, at the object that the policy is about.
func TestExistingTags(t *testing.T) {
	w := newWorld(t)
	own := conditional("Allow", "s3:*", `{"StringEquals":{"s3:ExistingObjectTag/team":"pay"}}`)
	secret := conditional("Deny", "s3:*", `{"StringEquals":{"s3:ExistingObjectTag/class":"secret"}}`)
	tagging := request{method: "PUT", path: "/pay/a?tagging", body: "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"}
	const lookup = "/pay/a?tagging="
	for _, c := range []struct {
		name       string
		statements []string
		tags       string
		status     int // of the upstream's tags
		in         request
		want       int
		lookup     string // what the upstream is asked for first, "" for nothing
	}{
		{"own", []string{own}, "team=pay", 200, request{method: "GET", path: "/pay/a"}, 200, lookup},
		{"own among others", []string{own}, "a=b team=pay", 200, request{method: "HEAD", path: "/pay/a"}, 200, lookup},
		{"another's", []string{own}, "team=web", 200, request{method: "GET", path: "/pay/a"}, 403, lookup},
		{"nobody's", []string{own}, "", 200, request{method: "GET", path: "/pay/a"}, 403, lookup},
		{"missing", []string{own}, "", 404, request{method: "GET", path: "/pay/a"}, 403, lookup},
		{"a version's", []string{own}, "team=pay", 200, request{method: "GET", path: "/pay/a?versionId=7"}, 200, lookup + "&versionId=7"},
		{"to tag", []string{own}, "team=pay", 200, tagging, 200, lookup},
		{"to tag another's", []string{own}, "team=web", 200, tagging, 403, lookup},
		{"to delete its tags", []string{own}, "team=pay", 200, request{method: "DELETE", path: "/pay/a?tagging"}, 200, lookup},
		{"to delete the tags of another's", []string{own}, "team=web", 200, request{method: "DELETE", path: "/pay/a?tagging"}, 403, lookup},
		{"a deletion is not given by tags", []string{own}, "team=pay", 200, request{method: "DELETE", path: "/pay/a"}, 403, ""},
		{"a deletion is not kept from by tags", []string{everything, secret}, "class=secret", 200, request{method: "DELETE", path: "/pay/a"}, 200, ""},
		{"nor that of a version", []string{everything, secret}, "class=secret", 200, request{method: "DELETE", path: "/pay/a?versionId=7"}, 200, ""},
		{"nor one past governance", []string{everything, secret}, "class=secret", 200, request{method: "DELETE", path: "/pay/a", header: header(bypassGovernance, "true")}, 200, ""},
		{"a legal hold is not given by tags", []string{own}, "team=pay", 200, request{method: "GET", path: "/pay/a?legal-hold"}, 403, ""},
		{"secret", []string{everything, secret}, "class=secret", 200, request{method: "GET", path: "/pay/a"}, 403, lookup},
		{"not secret", []string{everything, secret}, "class=public", 200, request{method: "GET", path: "/pay/a"}, 200, lookup},
		{"not to be found out", []string{everything, secret}, "", 500, request{method: "GET", path: "/pay/a"}, 503, lookup},
		{"of two spellings", []string{everything, secret}, "class=public Class=secret", 200, request{method: "GET", path: "/pay/a"}, 503, lookup},
		{"the source of a copy is secret", []string{everything, secret}, "class=secret", 200, request{method: "PUT", path: "/pay/b", header: header(copySource, "pay/a")}, 403, lookup},
		{"nobody asks", []string{everything}, "class=secret", 200, request{method: "GET", path: "/pay/a"}, 200, ""},
		{"what is new has none", []string{everything, secret}, "class=secret", 200, request{method: "PUT", path: "/pay/a", body: "x"}, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tagged(w, c.status, strings.Fields(c.tags)...)
			resp, text := w.send(t, w.session(t, ours, c.statements...), c.in)
			if resp.StatusCode != c.want {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, c.want, text)
			}
			seen := w.upstream.take()
			asked := ""
			if len(seen) > 0 && strings.Contains(seen[0].uri, "tagging") {
				asked, seen = seen[0].uri, seen[1:]
			}
			if asked != c.lookup || (len(seen) > 0) != (c.want == 200) {
				t.Errorf("the upstream was asked for %q and then %d times, want %q", asked, len(seen), c.lookup)
			}
		})
	}
	t.Run("a batch is not given by tags", func(t *testing.T) {
		tagged(w, http.StatusOK, "team=pay")
		if _, text := w.send(t, w.session(t, ours, own), batchOf("a")); !strings.Contains(text, "<Code>AccessDenied</Code>") {
			t.Errorf("got %s, want the key refused", text)
		}
		if seen := w.upstream.take(); len(seen) != 0 {
			t.Errorf("the upstream saw %s", seen[0].uri)
		}
	})
	t.Run("another account's caller", func(t *testing.T) {
		w.send(t, w.session(t, theirs, own), request{method: "GET", path: "/pay/a"})
		if seen := w.upstream.take(); len(seen) != 0 {
			t.Errorf("the upstream saw %s", seen[0].uri)
		}
	})
}

// Tags go with a copy only by who may read and write them; where there are none, nobody needs to.
func TestTagsOfACopy(t *testing.T) {
	w := newWorld(t)
	copier := w.session(t, ours, allow("s3:GetObject", "arn:aws:s3:::pay/a"), allow("s3:PutObject", "arn:aws:s3:::pay/b"))
	in := request{method: "PUT", path: "/pay/b", header: header(copySource, "pay/a")}
	tagged(w, http.StatusOK)
	if resp, text := w.send(t, copier, in); resp.StatusCode != http.StatusOK {
		t.Errorf("without tags: status %d: %s", resp.StatusCode, text)
	}
	seen := w.upstream.take()
	if last := seen[len(seen)-1]; last.method != http.MethodPut || last.header.Get(taggingDirective) != "REPLACE" {
		t.Errorf("without tags the upstream saw %s and %q, want it told to copy none", last.method, last.header.Get(taggingDirective))
	}
	tagged(w, http.StatusOK, "a=b")
	resp, text := w.send(t, copier, in)
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "s3:GetObjectTagging") {
		t.Errorf("with tags: status %d: %s", resp.StatusCode, text)
	}
	for _, seen := range w.upstream.take() {
		if seen.method != http.MethodGet {
			t.Errorf("with tags the upstream saw %s %s", seen.method, seen.uri)
		}
	}
	in.header = map[string]string{copySource: "pay/a", tagging: "new=1"} // ignored, as S3 does without the directive
	tagged(w, http.StatusOK)
	w.send(t, copier, in)
	seen = w.upstream.take()
	if last := seen[len(seen)-1]; last.method != http.MethodPut || last.header.Get(tagging) != "" {
		t.Errorf("the upstream saw %s with the tags %q", last.method, last.header.Get(tagging))
	}
}

// Every key of S3 that policies may ask for, each with a request that meets its Deny and one that does not.
func TestConditionKeysOfS3(t *testing.T) {
	w := newWorld(t)
	get, put := request{method: "GET", path: "/pay/a"}, request{method: "PUT", path: "/pay/a", body: "x"}
	with := func(in request, name, value string) request {
		in.header = header(name, value)
		return in
	}
	at := func(path string) request { return request{method: "GET", path: path} }
	soon := time.Now().Add(47 * time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		condition   string
		met, missed request
	}{
		{`{"StringEquals":{"s3:authType":"REST-HEADER"}}`, get, request{}},
		{`{"StringEquals":{"s3:authType":"REST-QUERY-STRING"}}`, request{}, get},
		{`{"StringEquals":{"s3:signatureversion":"AWS4-HMAC-SHA256"}}`, get, request{}},
		{`{"NumericLessThan":{"s3:signatureAge":"600000"}}`, get, request{}},
		{`{"NumericGreaterThan":{"s3:signatureAge":"600000"}}`, request{}, get},
		{`{"StringEquals":{"s3:x-amz-content-sha256":"UNSIGNED-PAYLOAD"}}`, request{method: "PUT", path: "/pay/a", body: "x", hash: "UNSIGNED-PAYLOAD"}, put},
		{`{"Null":{"s3:TlsVersion":"true"}}`, get, request{}},
		{`{"NumericGreaterThan":{"s3:TlsVersion":"1"}}`, request{}, get},
		{`{"StringEquals":{"s3:ResourceAccount":"` + ours + `"}}`, get, request{}},
		{`{"StringNotEquals":{"aws:ResourceAccount":"` + ours + `"}}`, request{}, get},
		{`{"StringLike":{"s3:prefix":"secret/*"}}`, at("/pay?versions&prefix=secret/x"), at("/pay?versions&prefix=a")},
		{`{"StringEquals":{"s3:delimiter":"/"}}`, at("/pay?delimiter=/"), at("/pay")},
		{`{"NumericGreaterThan":{"s3:max-keys":"10"}}`, at("/pay?list-type=2&max-keys=11"), at("/pay?list-type=2&max-keys=10")},
		{`{"Null":{"s3:max-keys":"true"}}`, at("/pay"), at("/pay?max-keys=1")},
		{`{"StringEquals":{"s3:VersionId":"7"}}`, at("/pay/a?versionId=7"), at("/pay/a?versionId=8")},
		{`{"Null":{"s3:x-amz-server-side-encryption":"true"}}`, put, with(put, "X-Amz-Server-Side-Encryption", "AES256")},
		{`{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}`, with(put, "X-Amz-Server-Side-Encryption", "AES256"), with(put, "X-Amz-Server-Side-Encryption", "aws:kms")},
		{`{"StringEquals":{"s3:x-amz-storage-class":"GLACIER"}}`, with(put, "X-Amz-Storage-Class", "GLACIER"), with(put, "X-Amz-Storage-Class", "STANDARD")},
		{`{"StringEquals":{"s3:x-amz-acl":"private"}}`, with(put, "X-Amz-Acl", "private"), put},
		{`{"StringNotEquals":{"s3:x-amz-acl":"private"}}`, put, with(put, "X-Amz-Acl", "private")},
		{`{"StringEquals":{"s3:if-none-match":"*"}}`, with(put, "If-None-Match", "*"), put},
		{`{"StringLike":{"s3:x-amz-copy-source":"secret/*"}}`, copyOf("/secret/a%20b"), copyOf("public/a")},
		{
			`{"StringEquals":{"s3:x-amz-metadata-directive":"REPLACE"}}`,
			request{method: "PUT", path: "/pay/a", header: map[string]string{copySource: "pay/b", "X-Amz-Metadata-Directive": "REPLACE"}},
			copyOf("pay/b"),
		},
		{`{"StringEquals":{"s3:RequestObjectTag/team":"web"}}`, with(put, tagging, "team=web"), with(put, tagging, "team=pay")},
		{`{"ForAnyValue:StringNotEquals":{"s3:RequestObjectTagKeys":["team"]}}`, with(put, tagging, "team=a&other=b"), with(put, tagging, "team=a")},
		{
			`{"StringEquals":{"s3:RequestObjectTag/team":"web"}}`,
			request{method: "PUT", path: "/pay/a?tagging", body: "<Tagging><TagSet><Tag><Key>team</Key><Value>web</Value></Tag></TagSet></Tagging>"},
			request{method: "PUT", path: "/pay/a?tagging", body: "<Tagging><TagSet><Tag><Key>team</Key><Value>pay</Value></Tag></TagSet></Tagging>"},
		},
		{`{"StringEquals":{"s3:object-lock-mode":"COMPLIANCE"}}`, with(put, lockMode, "COMPLIANCE"), with(put, lockMode, "GOVERNANCE")},
		{
			`{"StringEquals":{"s3:object-lock-mode":"COMPLIANCE"}}`,
			request{method: "PUT", path: "/pay/a?retention", body: "<Retention><Mode>COMPLIANCE</Mode></Retention>"},
			request{method: "PUT", path: "/pay/a?retention", body: "<Retention><Mode>GOVERNANCE</Mode></Retention>"},
		},
		{
			`{"StringEquals":{"s3:object-lock-legal-hold":"OFF"}}`,
			request{method: "PUT", path: "/pay/a?legal-hold", body: "<LegalHold><Status>OFF</Status></LegalHold>"},
			with(put, lockHold, "ON"),
		},
		{`{"DateLessThan":{"s3:object-lock-retain-until-date":"2090"}}`, with(put, lockUntil, soon), with(put, lockUntil, "2099-01-01T00:00:00+01:00")},
		{`{"NumericEquals":{"s3:object-lock-remaining-retention-days":"2"}}`, with(put, lockUntil, soon), with(put, lockUntil, "2099-01-01T00:00:00Z")},
		{
			`{"StringEquals":{"s3:LocationConstraint":"` + region + `"}}`,
			request{method: "PUT", path: "/pay", body: "<CreateBucketConfiguration><LocationConstraint>" + region + "</LocationConstraint></CreateBucketConfiguration>"},
			request{method: "PUT", path: "/pay"},
		},
	} {
		caller := w.session(t, ours, everything, conditional("Deny", "*", c.condition))
		for want, in := range map[bool]request{true: c.met, false: c.missed} {
			if in.method == "" {
				continue
			}
			tagged(w, http.StatusOK)
			resp, text := w.send(t, caller, in)
			if denied := resp.StatusCode == http.StatusForbidden; denied != want || !denied && resp.StatusCode != http.StatusOK {
				t.Errorf("%s with %s %s %v: status %d, want a denial: %v: %s", c.condition, in.method, in.path, in.header, resp.StatusCode, want, text)
			}
			w.upstream.take()
		}
	}
}

func TestAuthType(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/pay/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAX%2F20261125%2Fus-east-1%2Fs3%2Faws4_request"+
		"&X-Amz-Date=20261125T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="+strings.Repeat("0", 64), http.NoBody)
	sig, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := authType(sig); got != "REST-QUERY-STRING" {
		t.Errorf("a presigned URL is %s", got)
	}
}

// A lookup for tags takes no longer than its caller waits.
func TestALookupEndsWithItsCaller(t *testing.T) {
	w := newWorld(t)
	g, err := New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := g.tagsOf(gone, &name{bucket: "pay", key: "a"}); err == nil {
		t.Error("tags for a caller that is gone")
	}
}
