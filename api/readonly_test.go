package api_test

import (
	"testing"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
)

// unread are the operations that change nothing and are still not for readers, each with what it gives away.
var unread = map[string]string{
	"eks-auth:AssumeRoleForPodIdentity": "credentials",
	"sts:AssumeRole":                    "credentials",
	"sts:AssumeRoleWithWebIdentity":     "credentials",
	"sts:GetFederationToken":            "credentials",
	"sts:GetSessionToken":               "credentials; whoever has a key needs no permission for it",
	"lanyard:GetSigningKey":             "a key that signs for a user",
	"lanyard:VerifyAccount":             "calls AWS with the server's own identity",
	"lanyard:WatchConnector":            "the stream of a cluster's connector",
	"lanyard:WatchFeed":                 "the stream of a gateway, with the account's keys",
	"lanyard:WatchInvalidations":        "the stream of a cluster's agents",
}

// TestReadOnlyAccessReads holds AWS's policy for readers against every operation there is: it allows what reads, and no more.
func TestReadOnlyAccessReads(t *testing.T) {
	w := newWorld(t)
	readers := w.directory.AWSManagedPolicies("", 0, func(p *directory.ManagedPolicy) bool { return p.Name == "ReadOnlyAccess" })
	if len(readers) != 1 {
		t.Fatalf("there are %d policies ReadOnlyAccess, want 1", len(readers))
	}
	layer := []*policy.Document{readers[0].Document()}
	seen := map[string]bool{}
	for _, door := range w.doors() {
		for _, op := range door.Operations {
			action := door.Service + ":" + op.Name
			seen[action] = true
			want := op.ReadOnly && unread[action] == ""
			got := policy.Evaluate(&policy.Question{Action: action, Resource: "*"}, layer).Effect == policy.Allow
			if got != want {
				t.Errorf("%s, which changes nothing: %v; ReadOnlyAccess allows it: %v, want %v", action, op.ReadOnly, got, want)
			}
		}
	}
	for action := range unread {
		if !seen[action] {
			t.Errorf("%s is left out of reading, and no door has it", action)
		}
	}
}
