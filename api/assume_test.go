package api_test

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/registry"
)

// A target role of another account is a third record, in the account of the cluster, and a fourth in the role's, which is
// not told more than who came.
func TestATargetRoleIsInTheRecordsOfBothAccounts(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	theirs := "2" + ours[1:]
	w.account(t, ours)
	w.account(t, theirs)
	trusting := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + ours + `"},"Action":["sts:AssumeRole","sts:TagSession"]}}`
	_, err := w.directory.CreateRole(ctx, directory.NewRole{Account: theirs, Name: "onward", Trust: trusting})
	if err != nil {
		t.Fatal(err)
	}
	association := w.associate(t, ours)
	target := "arn:aws:iam::" + theirs + ":role/onward"
	if _, err = w.registry.UpdateAssociation(ctx, ours, "dev", association.ID, registry.AssociationChange{Target: &target}); err != nil {
		t.Fatal(err)
	}
	server := w.serve(t, w.config())
	refused := w.send(t, server, w.pod(w.agent(t, ours), w.token(t, podToken(w.clock()))))
	if denied := w.event(t, refused.header.Get("X-Amzn-Requestid")); refused.status != 400 || member(denied, "additionalEventData.decision/identity") != "ImplicitDeny" {
		t.Errorf("status %d, record %v, want a refusal by the first role's own policies", refused.status, denied)
	}
	if err := w.directory.PutPolicy(ctx, directory.Roles.Named(ours, "pod"), "p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`); err != nil {
		t.Fatal(err)
	}
	pod := podToken(w.clock())
	pod["jti"] = "another"
	got := w.send(t, server, w.pod(w.agent(t, ours), w.token(t, pod)))
	if got.status != 200 {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	records := w.eventsOf(t, got.header.Get("X-Amzn-Requestid"))
	if len(records) != 4 {
		t.Fatalf("%d records, want 4", len(records))
	}
	for i, r := range records {
		if r["sharedEventID"] == nil || r["sharedEventID"] != records[0]["sharedEventID"] || i > 0 && r["eventID"] == records[i-1]["eventID"] {
			t.Errorf("record %d has event id %v of %v", i, r["eventID"], r["sharedEventID"])
		}
	}
	second, third, fourth := records[1], records[2], records[3]
	for _, tt := range []struct {
		record map[string]any
		path   string
		want   any
	}{
		{records[0], "additionalEventData.decision/identity", "Allow by statement 0"},
		{second, "userIdentity.type", "AWSService"},
		{second, "requestParameters.roleArn", "arn:aws:iam::" + ours + ":role/pod"},
		{second, "requestParameters.durationSeconds", 21600.0},
		{second, "recipientAccountId", ours},
		{third, "eventName", "AssumeRole"},
		{third, "userIdentity.type", "AssumedRole"},
		{third, "userIdentity.accessKeyId", member(second, "responseElements.credentials.accessKeyId")},
		{third, "userIdentity.invokedBy", "pods.eks.amazonaws.com"},
		{third, "requestParameters.roleArn", target},
		{third, "requestParameters.durationSeconds", 3600.0},
		{third, "requestParameters.externalId", "us-west-2/" + ours + "/dev/default/app"},
		{third, "requestParameters.incomingTransitiveTags.kubernetes-namespace", "default"},
		{third, "recipientAccountId", ours},
		{fourth, "userIdentity.type", "AWSAccount"},
		{fourth, "userIdentity.accountId", ours},
		{fourth, "userIdentity.principalId", member(third, "userIdentity.principalId")},
		{fourth, "userIdentity.accessKeyId", nil},
		{fourth, "userIdentity.sessionContext", nil},
		{fourth, "requestParameters.roleArn", target},
		{fourth, "responseElements.credentials.accessKeyId", member(third, "responseElements.credentials.accessKeyId")},
		{fourth, "recipientAccountId", theirs},
	} {
		if value := member(tt.record, tt.path); value != tt.want {
			t.Errorf("%v of %v is %v, want %v", tt.path, tt.record["eventName"], value, tt.want)
		}
	}
	if !strings.Contains(got.body, member(fourth, "responseElements.credentials.accessKeyId").(string)) {
		t.Error("the pod's key is not the recorded one")
	}
}

// Who assumes a role of another account is in the records of both; what the caller's own account may know stays there.
func TestAssumeRoleIsInTheRecordsOfBothAccounts(t *testing.T) {
	w := newWorld(t)
	theirs := "2" + ours[1:]
	admin := w.account(t, ours)
	w.account(t, theirs)
	trusting := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + ours + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}`
	for _, account := range []string{ours, theirs} {
		if _, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: account, Name: "open", Trust: trusting}); err != nil {
			t.Fatal(err)
		}
	}
	server := w.serve(t, w.config())
	assume := func(account, more string) []map[string]any {
		t.Helper()
		got := w.send(t, server, request{
			as: admin, service: "sts", method: "POST", path: "/",
			body: "Action=AssumeRole&Version=2011-06-15&RoleSessionName=me&RoleArn=arn:aws:iam::" + account + ":role/open" + more,
		})
		return w.eventsOf(t, got.header.Get("X-Amzn-Requestid"))
	}
	if own := assume(ours, ""); len(own) != 1 || own[0]["recipientAccountId"] != ours {
		t.Errorf("a role of the same account: records %v, want one", own)
	}
	if denied := assume(theirs, "&DurationSeconds=3601"); len(denied) != 1 || denied[0]["recipientAccountId"] != ours || denied[0]["errorCode"] == nil {
		t.Errorf("refused: records %v, want one", denied)
	}
	both := assume(theirs, "&SourceIdentity=ann&ExternalId=x-7&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.2.Key=c&Tags.member.2.Value=d&TransitiveTagKeys.member.1=a")
	if len(both) != 2 {
		t.Fatalf("%d records, want 2", len(both))
	}
	for _, tt := range []struct {
		record map[string]any
		path   string
		want   any
	}{
		{both[0], "userIdentity.type", "IAMUser"},
		{both[0], "recipientAccountId", ours},
		{both[0], "requestParameters.externalId", "x-7"},
		{both[0], "requestParameters.durationSeconds", 3600.0},
		{both[0], "additionalEventData.decision/trust", "Allow by statement 0"},
		{both[0], "responseElements.sourceIdentity", "ann"},
		{both[0], "responseElements.credentials.sessionToken", audit.Hidden},
		{both[1], "userIdentity.type", "AWSAccount"},
		{both[1], "userIdentity.userName", nil},
		{both[1], "recipientAccountId", theirs},
		{both[1], "additionalEventData", nil},
		{both[1], "sharedEventID", both[0]["sharedEventID"]},
	} {
		if value := member(tt.record, tt.path); value != tt.want {
			t.Errorf("%v is %v, want %v", tt.path, value, tt.want)
		}
	}
	if diff := cmp.Diff([]any{"a"}, member(both[1], "requestParameters.transitiveTagKeys")); diff != "" {
		t.Errorf("transitive tag keys (-want +got):\n%s", diff)
	}
}

// What narrows a session is in the record of its making, by both ways to make one, and in no other.
func TestTheRecordsSayWhatNarrowsASession(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	trusting := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + ours + `"},"Action":"sts:AssumeRole"}}`
	if _, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: ours, Name: "open", Trust: trusting}); err != nil {
		t.Fatal(err)
	}
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`
	var names []any
	managed := url.Values{}
	for i, name := range []string{"narrow", "narrower"} {
		made, err := w.directory.CreateManagedPolicy(t.Context(), directory.NewManagedPolicy{Account: ours, Name: name, Text: document})
		if err != nil {
			t.Fatal(err)
		}
		managed.Set(fmt.Sprintf("PolicyArns.member.%d.arn", i+1), made.ARN().String())
		names = append(names, map[string]any{"arn": made.ARN().String()})
	}
	server := w.serve(t, w.config())
	token := w.token(t, agentToken(w.clock()))
	for _, tt := range []struct {
		name string
		as   signer
		form url.Values
	}{
		{"AssumeRole", admin, url.Values{"RoleArn": {"arn:aws:iam::" + ours + ":role/open"}}},
		{"AssumeRoleWithWebIdentity", signer{}, url.Values{"RoleArn": {w.agentRole(t, ours)}, "WebIdentityToken": {token}}},
	} {
		for _, narrowed := range []struct {
			name           string
			by             url.Values
			policy, listed any
		}{
			{"by nothing", nil, nil, nil},
			{"by a document", url.Values{"Policy": {document}}, document, nil},
			{"by managed policies", managed, nil, names},
		} {
			form := url.Values{"Action": {tt.name}, "Version": {"2011-06-15"}, "RoleSessionName": {"me"}}
			maps.Copy(form, tt.form)
			maps.Copy(form, narrowed.by)
			got := w.send(t, server, request{as: tt.as, service: "sts", method: "POST", path: "/", body: form.Encode()})
			record := w.event(t, got.header.Get("X-Amzn-Requestid"))
			for path, want := range map[string]any{
				"eventName": tt.name, "errorCode": nil, "requestParameters.roleArn": form.Get("RoleArn"), "requestParameters.roleSessionName": "me",
				"requestParameters.policy": narrowed.policy, "requestParameters.policyArns": narrowed.listed,
			} {
				if diff := cmp.Diff(member(record, path), want); diff != "" {
					t.Errorf("%s %s: %s (-got +want):\n%s", tt.name, narrowed.name, path, diff)
				}
			}
		}
	}
}
