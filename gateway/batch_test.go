package gateway

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// batchOf is a DeleteObjects of these keys; a version follows a key behind a hash.
func batchOf(names ...string) request {
	var b strings.Builder
	for _, name := range names {
		key, version, versioned := strings.Cut(name, "#")
		b.WriteString("<Object><Key>" + key + "</Key>")
		if versioned {
			b.WriteString("<VersionId>" + version + "</VersionId>")
		}
		b.WriteString("</Object>")
	}
	return request{method: "POST", path: "/pay?delete", body: "<Delete>" + b.String() + "</Delete>"}
}

type batchResult struct {
	Deleted []struct{ Key, VersionID string }
	Error   []struct{ Key, Code, Message string }
}

// Each key is decided alone: the upstream hears of those that are allowed, the client of all.
func TestEachObjectOfABatchIsDecided(t *testing.T) {
	w := newWorld(t)
	w.upstream.respond(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `<?xml version="1.0"?><DeleteResult xmlns="`+namespace+`"><Deleted><Key>mine/a</Key></Deleted></DeleteResult>`)
	})
	mine := w.session(t, ours, allow("s3:DeleteObject", "arn:aws:s3:::pay/mine/*"), allow("s3:DeleteObjectVersion", "arn:aws:s3:::pay/mine/v*"))
	for _, c := range []struct {
		name    string
		in      request
		body    string // at the upstream, inside Delete; "" for none
		refused string // key and code of each
	}{
		{"all allowed", batchOf("mine/a", "mine/b"), "<Object><Key>mine/a</Key></Object><Object><Key>mine/b</Key></Object>", ""},
		{"some refused", batchOf("mine/a", "theirs/b", "mine/v#1", "mine/x#1"), "<Object><Key>mine/a</Key></Object><Object><Key>mine/v</Key><VersionId>1</VersionId></Object>", "theirs/b=AccessDenied mine/x=AccessDenied"},
		{"all refused", batchOf("theirs/a", "theirs/b"), "", "theirs/a=AccessDenied theirs/b=AccessDenied"},
		{"a way out", batchOf("mine/a", "mine/../theirs/b", "mine//c", "", "mine/v#../x"), "<Object><Key>mine/a</Key></Object>", "mine/../theirs/b=InvalidURI mine//c=InvalidURI =InvalidURI mine/v=InvalidArgument"},
		{"a name of XML", batchOf("mine/&lt;Object&gt;", "mine/]]&gt;"), "<Object><Key>mine/&lt;Object&gt;</Key></Object><Object><Key>mine/]]&gt;</Key></Object>", ""},
		{"quietly", request{method: "POST", path: "/pay?delete", body: "<Delete><Quiet>true</Quiet><Object><Key>mine/a</Key></Object></Delete>"}, "<Object><Key>mine/a</Key></Object><Quiet>true</Quiet>", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, text := w.send(t, mine, c.in)
			var got batchResult
			if err := xml.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d, %v: %s", resp.StatusCode, err, text)
			}
			seen := w.upstream.take()
			if want := xml.Header + `<Delete xmlns="` + namespace + `">` + c.body + `</Delete>`; c.body == "" && len(seen) != 0 || c.body != "" && (len(seen) != 1 || seen[0].body != want) {
				t.Errorf("the upstream saw %+v, want %s", seen, want)
			}
			var refused []string
			for _, e := range got.Error {
				refused = append(refused, e.Key+"="+e.Code)
				if e.Code == "AccessDenied" && !strings.Contains(e.Message, "arn:aws:s3:::pay/"+e.Key) {
					t.Errorf("the reason for %s is %q", e.Key, e.Message)
				}
			}
			if strings.Join(refused, " ") != c.refused || (len(got.Deleted) == 1) != (c.body != "") {
				t.Errorf("refused %q, deleted %+v, want %q", refused, got.Deleted, c.refused)
			}
		})
	}
	t.Run("of another account", func(t *testing.T) {
		resp, text := w.send(t, w.session(t, theirs, everything), batchOf("mine/a"))
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "belongs to account") {
			t.Errorf("status %d: %s", resp.StatusCode, text)
		}
	})
	t.Run("past governance", func(t *testing.T) {
		in := batchOf("mine/a")
		in.header = header(bypassGovernance, "true")
		_, text := w.send(t, mine, in)
		if !strings.Contains(text, "s3:BypassGovernanceRetention") {
			t.Errorf("without the right: %s", text)
		}
		w.upstream.take()
		w.send(t, w.session(t, ours, everything), in)
		if seen := w.upstream.take(); len(seen) != 1 || seen[0].header.Get(bypassGovernance) != "true" {
			t.Errorf("with the right the upstream saw %+v", seen)
		}
	})
}

// A copy is on record with both its objects and all that was asked.
func TestCopyIsOnRecord(t *testing.T) {
	folder := t.TempDir() + "/audit"
	w := newWorld(t)
	w.config.Audit = runAudit(t, folder)
	w.serve(t)
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<CopyObjectResult/>`) })
	w.send(t, w.session(t, ours, everything), copyOf("other/x%20y?versionId=7"))
	w.send(t, w.session(t, ours, allow("s3:PutObject", "*")), copyOf("other/x"))
	events := readEvents(t, folder)
	if len(events) != 2 {
		t.Fatalf("%d events, want 2", len(events))
	}
	parameters, _ := events[0].RequestParameters.(map[string]any)
	more, _ := events[0].AdditionalEventData.(map[string]any)
	if events[0].EventName != "CopyObject" || parameters["x-amz-copy-source"] != "other/x%20y?versionId=7" || more["decision/s3:GetObjectVersion"] != "Allow by statement 0" {
		t.Errorf("the copy is on record as %s %v %v", events[0].EventName, parameters, more)
	}
	if n := len(events[0].Resources); n != 3 || events[0].Resources[2].ARN != "arn:aws:s3:::other/x y" {
		t.Errorf("the copy has the resources %+v", events[0].Resources)
	}
	if events[1].ErrorCode != "AccessDenied" || !strings.Contains(events[1].ErrorMessage, "s3:GetObject on resource: arn:aws:s3:::other/x") {
		t.Errorf("the refused copy is on record as %s %q", events[1].ErrorCode, events[1].ErrorMessage)
	}
}

// Every operation is on record by its name, with what it touches, as CloudTrail sorts it.
func TestOperationsAreOnRecord(t *testing.T) {
	folder := t.TempDir() + "/audit"
	w := newWorld(t)
	w.config.Audit = runAudit(t, folder)
	w.serve(t)
	all, cases := w.session(t, ours, everything), append(operationCases, moreCases...)
	for _, c := range cases {
		w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.answer) })
		w.send(t, all, c.in)
	}
	events := readEvents(t, folder)
	if len(events) != len(cases) {
		t.Fatalf("%d events for %d requests", len(events), len(cases))
	}
	for i, e := range events {
		c := cases[i]
		category := "Data"
		if row(c.operation).management {
			category = "Management"
		}
		parameters, _ := e.RequestParameters.(map[string]any)
		if e.EventName != c.operation || e.EventCategory != category || e.ErrorCode != "" || e.ReadOnly != (c.in.method == "GET" || c.in.method == "HEAD") {
			t.Errorf("%s is on record as %s %s, error %q, read only %v", c.name, e.EventCategory, e.EventName, e.ErrorCode, e.ReadOnly)
		}
		if named := parameters["bucketName"] == "pay"; named != (c.operation != "ListBuckets") {
			t.Errorf("%s has the parameters %v", c.name, parameters)
		}
		if level := row(c.operation).level; (parameters["key"] != nil) != (level == object) {
			t.Errorf("%s has the parameters %v", c.name, parameters)
		}
	}
}

// What a batch deletes is on record key by key, what it is refused in part.
func TestBatchIsOnRecord(t *testing.T) {
	folder := t.TempDir() + "/audit"
	w := newWorld(t)
	w.config.Audit = runAudit(t, folder)
	w.serve(t)
	w.upstream.respond(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<DeleteResult/>`) })
	names := []string{"mine/a", "mine/b#7"}
	for i := range 2 * maxRefused {
		names = append(names, fmt.Sprintf("theirs/%d", i))
	}
	mine := w.session(t, ours, allow("s3:DeleteObject*", "arn:aws:s3:::pay/mine/*"))
	w.send(t, mine, batchOf(names...))
	events := readEvents(t, folder)
	if len(events) != 1+2+maxRefused {
		t.Fatalf("%d events, want %d", len(events), 3+maxRefused)
	}
	more, _ := events[0].AdditionalEventData.(map[string]any)
	if events[0].EventName != "DeleteObjects" || fmt.Sprint(more["allowed"], more["refused"]) != fmt.Sprint(2, 2*maxRefused) {
		t.Errorf("the first event is %s with %v", events[0].EventName, more)
	}
	for i, want := range []string{"mine/a//", "mine/b/7/", "theirs/0//AccessDenied"} {
		e := events[1+i]
		parameters, _ := e.RequestParameters.(map[string]any)
		version, _ := parameters["versionId"].(string)
		if got := fmt.Sprint(parameters["key"], "/", version, "/", e.ErrorCode); got != want || e.EventName != "DeleteObject" || e.SharedEventID != events[0].SharedEventID {
			t.Errorf("event %d is %s %s, want DeleteObject %s", 1+i, e.EventName, got, want)
		}
	}
}
