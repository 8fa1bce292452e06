package access

import (
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

// document is a policy of one or more statements.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

const (
	allowAll     = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	allowGet     = `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/kubernetes-namespace}/*"}`
	denySecrets  = `{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/ns/secret*"}`
	allowPass    = `{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"pods.eks.amazonaws.com"}}}`
	allowListing = `{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}`
)

func TestAuthorize(t *testing.T) {
	w := fresh(t)
	waiting := w.register(t, "waiting")
	must(t, w.Directory.PutPolicy(t.Context(), directory.Roles.Named(one, "app"), "p", document(allowGet, denySecrets, allowPass)))
	principal := func(s signer) *directory.Principal {
		p, err := w.authenticate(t, s)
		must(t, err)
		return p
	}
	tagged := w.podSession(t)
	tagged.Tags = []session.Tag{{Key: "kubernetes-namespace", Value: "ns", Transitive: true}}
	narrowed := w.podSession(t)
	narrowed.Tags, narrowed.Policies = tagged.Tags, []string{document(allowListing)}
	forbidden := w.podSession(t)
	forbidden.Tags, forbidden.Policies = tagged.Tags, []string{document(allowAll, `{"Effect":"Deny","Action":"s3:GetObject","Resource":"*"}`)}
	admin, pod, untagged := principal(byKey(w.admin)), principal(w.mint(t, tagged)), principal(w.mint(t, w.podSession(t)))
	narrow, forbid := principal(w.mint(t, narrowed)), principal(w.mint(t, forbidden))
	joining := principal(byActivation(waiting.Activation))
	to := func(service string) policy.Context {
		return policy.Context{{Key: "iam:PassedToService", Values: []string{service}}}
	}
	const (
		object    = "arn:aws:s3:::b/ns/x"
		ownRole   = "arn:aws:iam::111122223333:role/x"
		otherRole = "arn:aws:iam::444455556666:role/x"
		identity  = "because no identity-based policy allows the ACTION action"
		narrower  = "because no session policy allows the ACTION action"
	)
	for _, test := range []struct {
		name             string
		caller           *directory.Principal
		action, resource string
		extra            policy.Context
		want             policy.Effect
		why              string // AWS's words
	}{
		{"an administrator", admin, "iam:DeleteRole", ownRole, nil, policy.Allow, ""},
		{"an administrator, something without account", admin, "s3:GetObject", object, nil, policy.Allow, ""},
		{"an administrator, all", admin, "s3:ListAllMyBuckets", "*", nil, policy.Allow, ""},
		{"an administrator, another account's role", admin, "iam:DeleteRole", otherRole, nil, policy.ImplicitDeny, identity},
		{"an administrator, the management of the server", admin, "lanyard:CreateAccount", "arn:aws:lanyard::444455556666:account/*", nil, policy.ImplicitDeny, identity},
		{"an administrator, an ARN that is none", admin, "iam:DeleteRole", "arn:aws-cn:iam::444455556666:role/x", nil, policy.ImplicitDeny, identity},
		{"a pod, its namespace's object", pod, "s3:GetObject", object, nil, policy.Allow, ""},
		{"another namespace's object", pod, "s3:GetObject", "arn:aws:s3:::b/other/x", nil, policy.ImplicitDeny, identity},
		{"another action", pod, "s3:PutObject", object, nil, policy.ImplicitDeny, identity},
		{"a denied object", pod, "s3:GetObject", "arn:aws:s3:::b/ns/secret1", nil, policy.Deny, "with an explicit deny in an identity-based policy"},
		{"a session without the tag", untagged, "s3:GetObject", object, nil, policy.ImplicitDeny, identity},
		{"a session policy that does not allow", narrow, "s3:GetObject", object, nil, policy.ImplicitDeny, narrower},
		{"what only the session policy allows", narrow, "s3:ListBucket", "arn:aws:s3:::b", nil, policy.ImplicitDeny, identity},
		{"a session policy that denies", forbid, "s3:GetObject", object, nil, policy.Deny, "with an explicit deny in a session policy"},
		{"to pass a role to pods", pod, "iam:PassRole", ownRole, to("pods.eks.amazonaws.com"), policy.Allow, ""},
		{"to pass a role to another service", pod, "iam:PassRole", ownRole, to("ec2.amazonaws.com"), policy.ImplicitDeny, identity},
		{"to pass a role to nobody", pod, "iam:PassRole", ownRole, nil, policy.ImplicitDeny, identity},
		{"a cluster, to join", joining, "lanyard:ActivateCluster", waiting.ARN().String(), nil, policy.Allow, ""},
		{"a cluster, as another", joining, "lanyard:ActivateCluster", w.cluster.ARN().String(), nil, policy.ImplicitDeny, identity},
		{"a cluster, another operation", joining, "lanyard:PutClusterKeys", waiting.ARN().String(), nil, policy.ImplicitDeny, identity},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := w.Authorize(test.caller, test.action, test.resource, test.extra)
			if d.Effect != test.want || (err == nil) != (test.want == policy.Allow) || err != nil && !fault.Is(err, fault.Denied) {
				t.Errorf("got %v, %v, want %v", d.Effect, err, test.want)
			}
			want := ""
			if test.why != "" {
				want = "User: " + test.caller.ARN + " is not authorized to perform: " + test.action + " on resource: " + test.resource +
					" " + strings.Replace(test.why, "ACTION", test.action, 1)
			}
			if got := fault.Message(err); got != want {
				t.Errorf("message:\n got %q\nwant %q", got, want)
			}
		})
	}
}

// Every decision knows the time, by the server's own clock.
func TestAPermissionEndsAtItsTime(t *testing.T) {
	w := fresh(t)
	must(t, w.Directory.PutPolicy(t.Context(), directory.Roles.Named(one, "app"), "p", document(
		`{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"`+
			w.clock.now().Add(time.Hour).UTC().Format(time.RFC3339)+`"},"NumericGreaterThan":{"aws:EpochTime":"0"}}}`)))
	pod := w.mint(t, w.podSession(t))
	for _, test := range []struct {
		when string
		pass time.Duration
		want fault.Kind
	}{{"before", time.Hour - time.Second, accepted}, {"then", time.Second, fault.Denied}} {
		w.clock.pass(test.pass)
		p, err := w.authenticate(t, pod)
		must(t, err)
		_, err = w.Authorize(p, "s3:ListBucket", "arn:aws:s3:::b", nil)
		wants(t, test.when, err, test.want)
	}
}

// A session in flight is held to the role's policies of now.
func TestAPolicyTakenAwayIsGoneAtTheNextRequest(t *testing.T) {
	w := fresh(t)
	pod := w.mint(t, w.podSession(t))
	ask := func(when string, want fault.Kind) {
		t.Helper()
		p, err := w.authenticate(t, pod)
		must(t, err)
		_, err = w.Authorize(p, "s3:ListBucket", "arn:aws:s3:::b", nil)
		wants(t, when, err, want)
	}
	ask("before", fault.Denied)
	must(t, w.Directory.PutPolicy(t.Context(), directory.Roles.Named(one, "app"), "p", document(allowListing)))
	ask("given", accepted)
	must(t, w.Directory.DeletePolicy(t.Context(), directory.Roles.Named(one, "app"), "p"))
	ask("taken away", fault.Denied)
	must(t, w.Directory.PutPolicy(t.Context(), directory.Roles.Named(one, "app"), "p", document(allowListing)))
	ask("given back", accepted)
}
