package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type lookedUp struct {
	Events []struct {
		EventID         string `json:"EventId"`
		EventName       string
		ReadOnly        string
		AccessKeyID     string `json:"AccessKeyId"`
		EventTime       float64
		EventSource     string
		Username        string
		CloudTrailEvent string
		Resources       []struct{ ResourceType, ResourceName string }
	}
	NextToken string
}

func (w *world) lookup(tb testing.TB, server *httptest.Server, as signer, body string) (out lookedUp, a answer) {
	tb.Helper()
	a = w.send(tb, server, request{
		as: as, service: "cloudtrail", method: "POST", path: "/", body: body,
		header: http.Header{"X-Amz-Target": {"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"}},
	})
	if a.status == http.StatusOK {
		if err := json.Unmarshal([]byte(a.body), &out); err != nil {
			tb.Fatalf("%s: %v", a.body, err)
		}
	}
	return out, a
}

// names are those of the events, as a word.
func (l lookedUp) names() string {
	var all []string
	for _, e := range l.Events {
		all = append(all, e.EventName)
	}
	return strings.Join(all, " ")
}

func TestLookupEventsFindsByEachAttribute(t *testing.T) {
	w := newWorld(t)
	admin, other := w.account(t, ours), w.account(t, "444455556666")
	server := w.serve(t, w.config())
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + ours + `:root"},"Action":"sts:AssumeRole"}]}`
	form := func(service, body string) {
		t.Helper()
		if got := w.send(t, server, request{as: admin, service: service, method: "POST", path: "/", body: body}); got.status != 200 {
			t.Fatalf("%s: %s", body, got.body)
		}
	}
	form("iam", "Action=CreateRole&Version=2010-05-08&RoleName=found&AssumeRolePolicyDocument="+trust)
	form("iam", "Action=GetRole&Version=2010-05-08&RoleName=found")
	form("sts", "Action=AssumeRole&Version=2011-06-15&RoleSessionName=story&RoleArn=arn:aws:iam::"+ours+":role/found")

	all, _ := w.lookup(t, server, admin, `{}`)
	if got := all.names(); got != "AssumeRole GetRole CreateRole" {
		t.Fatalf("all, newest first: got %q", got)
	}
	for i, e := range all.Events {
		var event map[string]any
		if err := json.Unmarshal([]byte(e.CloudTrailEvent), &event); err != nil || event["eventID"] != e.EventID || event["chain"] != nil {
			t.Errorf("event %d: CloudTrailEvent %s (%v), want the record of %s without its link", i, e.CloudTrailEvent, err, e.EventID)
		}
	}
	if diff := cmp.Diff(fmt.Sprint(all.Events[0].Resources), "[{AWS::IAM::Role arn:aws:iam::"+ours+":role/found}]"); diff != "" {
		t.Errorf("resources of AssumeRole: %s", diff)
	}
	// Each of these is asked after the last, and so each finds the former questions too where they fit.
	for _, tt := range []struct{ key, value, has, not string }{
		{"EventId", all.Events[1].EventID, "GetRole", "CreateRole"},
		{"EventName", "CreateRole", "CreateRole", "GetRole"},
		{"ReadOnly", "true", "GetRole", "CreateRole"},
		{"ReadOnly", "false", "CreateRole", "GetRole"},
		{"Username", "administrator", "CreateRole", "Nothing"},
		{"ResourceType", "AWS::IAM::Role", "AssumeRole", "GetRole"},
		{"ResourceName", "arn:aws:iam::" + ours + ":role/found", "AssumeRole", "GetRole"},
		{"ResourceName", "found", "AssumeRole", "GetRole"},
		{"EventSource", "iam.amazonaws.com", "GetRole", "AssumeRole"},
		{"AccessKeyId", admin.id, "GetRole", "Nothing"},
	} {
		body := fmt.Sprintf(`{"LookupAttributes":[{"AttributeKey":%q,"AttributeValue":%q}]}`, tt.key, tt.value)
		got, _ := w.lookup(t, server, admin, body)
		names := " " + got.names() + " "
		if !strings.Contains(names, " "+tt.has+" ") || strings.Contains(names, " "+tt.not+" ") {
			t.Errorf("%s %s: got %q, want %s and not %s", tt.key, tt.value, names, tt.has, tt.not)
		}
		if got, _ := w.lookup(t, server, other, body); strings.Contains(got.names(), tt.has) {
			t.Errorf("%s %s: another account sees %q", tt.key, tt.value, got.names())
		}
		body = fmt.Sprintf(`{"LookupAttributes":[{"AttributeKey":%q,"AttributeValue":%q}]}`, tt.key, tt.value+"x")
		if got, _ := w.lookup(t, server, admin, body); strings.Contains(got.names(), tt.has) {
			t.Errorf("%s %sx: got %q", tt.key, tt.value, got.names())
		}
	}
}

func TestLookupEventsPages(t *testing.T) {
	w := newWorld(t)
	admin, other := w.account(t, ours), w.account(t, "444455556666")
	server := w.serve(t, w.config())
	for _, as := range []signer{admin, other, admin, admin, other, admin, admin} {
		w.send(t, server, request{as: as, service: "iam", method: "POST", path: "/", body: "Action=ListRoles&Version=2010-05-08"})
	}
	const question = `"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"ListRoles"}]`
	seen, token := map[string]bool{}, ""
	for page := 0; page == 0 || token != ""; page++ {
		if page > 10 {
			t.Fatal("the pages have no end")
		}
		got, a := w.lookup(t, server, admin, fmt.Sprintf(`{%s,"MaxResults":2,"NextToken":%q}`, question, token))
		if a.status != 200 || len(got.Events) > 2 {
			t.Fatalf("page %d: %d events: %s", page, len(got.Events), a.body)
		}
		for _, e := range got.Events {
			if seen[e.EventID] {
				t.Errorf("page %d: event %s again", page, e.EventID)
			}
			seen[e.EventID] = true
		}
		if got.NextToken != "" {
			for name, body := range map[string]string{
				"another question": fmt.Sprintf(`{"MaxResults":2,"NextToken":%q}`, got.NextToken),
				"a spoilt token":   fmt.Sprintf(`{%s,"NextToken":%q}`, question, got.NextToken[1:]),
			} {
				if _, a := w.lookup(t, server, admin, body); a.code() != "InvalidNextTokenException" {
					t.Errorf("page %d, %s: got %d %s", page, name, a.status, a.body)
				}
			}
			if _, a := w.lookup(t, server, other, fmt.Sprintf(`{%s,"NextToken":%q}`, question, got.NextToken)); a.code() != "InvalidNextTokenException" {
				t.Errorf("page %d for another account: got %d %s", page, a.status, a.body)
			}
		}
		token = got.NextToken
	}
	if len(seen) != 5 {
		t.Errorf("got %d events on all pages, want 5", len(seen))
	}
}
