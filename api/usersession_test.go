package api_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAUsersSessionIsInTheRecord holds what CloudTrail says about who acts by a session of a user: when it began, and for a
// guest whose it is. A key has no session
// (https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html).
func TestAUsersSessionIsInTheRecord(t *testing.T) {
	w := newWorld(t)
	w.setClock(goldenTime)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	ask := func(as signer, form url.Values) answer {
		t.Helper()
		got := w.send(t, server, request{as: as, service: "sts", method: "POST", path: "/", body: "Version=2011-06-15&" + form.Encode()})
		if got.status != 200 {
			t.Fatalf("%v: %d %s", form, got.status, got.body)
		}
		return got
	}
	made := func(a answer) signer {
		of := func(member string) string {
			_, rest, _ := strings.Cut(a.body, "<"+member+">")
			value, _, _ := strings.Cut(rest, "</"+member+">")
			return value
		}
		return signer{of("AccessKeyId"), of("SecretAccessKey"), of("SessionToken")}
	}
	own := made(ask(admin, url.Values{"Action": {"GetSessionToken"}}))
	guest := made(ask(admin, url.Values{"Action": {"GetFederationToken"}, "Name": {"auditor"}}))
	user, err := w.directory.User(ours, "administrator")
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]any{"creationDate": "2026-11-22T10:00:00Z", "mfaAuthenticated": "false"}
	for _, tt := range []struct {
		name string
		as   signer
		want any
	}{
		{"a key", admin, nil},
		{"a session", own, map[string]any{"sessionIssuer": map[string]any{}, "attributes": attributes}},
		{"a guest", guest, map[string]any{"attributes": attributes, "sessionIssuer": map[string]any{
			"type": "IAMUser", "principalId": user.ID, "arn": user.ARN().String(), "accountId": ours, "userName": "administrator",
		}}},
	} {
		got := ask(tt.as, url.Values{"Action": {"GetCallerIdentity"}})
		event := w.event(t, got.header.Get("X-Amzn-Requestid"))
		if diff := cmp.Diff(tt.want, member(event, "userIdentity.sessionContext")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
