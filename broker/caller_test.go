package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// trusts is a trust policy for AWS principals, with more elements behind it.
func trusts(who, more string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + who +
		`"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]` + more + `}]}`
}

// may is an identity or session policy of one statement on every resource.
func may(actions string, more ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}` + strings.Join(more, "") + `]}`
}

const (
	assumeAll = `"sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"`
	denyAll   = `,{"Effect":"Deny","Action":"sts:*","Resource":"*"}`
)

func root(account string) string { return arn.Root(account).String() }

// caller is a session of a role, as its holder signs with it.
func (w *world) caller(t testing.TB, account, role string, edit func(*session.Session)) *directory.Principal {
	t.Helper()
	r, err := w.Directory.Role(account, role)
	must(t, err)
	now := w.clock.now()
	s := &session.Session{
		Account: account, RoleID: r.ID, RoleName: r.Name, Name: "me", Issued: now, Expires: now.Add(time.Hour), AccessKeyID: "ASIA1",
	}
	if edit != nil {
		edit(s)
	}
	p, err := w.Directory.SessionPrincipal(r, s)
	must(t, err)
	return p
}

// allow gives a role its only identity policy, or takes it away with "".
func (w *world) allow(t testing.TB, account, role, document string) {
	t.Helper()
	if document == "" {
		must(t, w.Directory.DeletePolicy(t.Context(), directory.Roles.Named(account, role), "p"))
		return
	}
	must(t, w.Directory.PutPolicy(t.Context(), directory.Roles.Named(account, role), "p", document))
}

func (w *world) assumeRole(t testing.TB, caller *directory.Principal, role string, edit func(*Assumption)) (*Grant, error) {
	t.Helper()
	name, err := arn.Parse(role)
	must(t, err)
	in := &Assumption{Role: name, SessionName: "there"}
	if edit != nil {
		edit(in)
	}
	return w.ForCaller(t.Context(), func() (*directory.Principal, error) { return caller, nil }, in)
}

func tagged(tags ...session.Tag) func(*Assumption) { return func(in *Assumption) { in.Tags = tags } }

func withTags(tags ...session.Tag) func(*session.Session) {
	return func(s *session.Session) { s.Tags = tags }
}

// TestWhoMayAssumeARole is STS's rule: the role's trust policy always, the caller's own too, unless the role is of the same
// account and its trust policy names the caller itself. Beside each allowance stands what takes it away.
// Long: it is the table of who may.
func TestWhoMayAssumeARole(t *testing.T) {
	w := fresh(t)
	w.role(t, one, "me", "")
	for _, account := range []string{one, two} {
		_, err := w.Directory.CreateRole(t.Context(), directory.NewRole{
			Account: account, Name: "there", Trust: podTrust, Tags: []directory.Tag{{Key: "env", Value: "test"}},
		})
		must(t, err)
	}
	me, mine := "arn:aws:iam::"+one+":role/me", "arn:aws:sts::"+one+":assumed-role/me/me"
	blue, green := session.Tag{Key: "team", Value: "blue", Transitive: true}, session.Tag{Key: "shift", Value: "late"}
	external := func(id string) func(*Assumption) { return func(in *Assumption) { in.ExternalID = id } }
	when := func(condition string) string { return `,"Condition":{` + condition + `}` }
	untagging := strings.NewReplacer(`,"sts:TagSession"`, "")
	unsourcing := strings.NewReplacer(`,"sts:SetSourceIdentity"`, "")
	ann := func(in *Assumption) { in.SourceIdentity = "ann" }
	annSession := func(s *session.Session) { s.SourceIdentity = "ann" }
	narrowed := func(document string) func(*session.Session) {
		return func(s *session.Session) { s.Policies = []string{document} }
	}
	for _, c := range []struct {
		name, account, trust, own string
		session                   func(*session.Session)
		in                        func(*Assumption)
		want                      fault.Kind
		action                    string // that the refusal names
	}{
		{"the same account, by both", one, trusts(root(one), ""), may(assumeAll), nil, nil, accepted, ""},
		{"the account is named, the caller's policies say nothing", one, trusts(root(one), ""), "", nil, nil, fault.Denied, "sts:AssumeRole"},
		{"the trust policy names another account", one, trusts(root(two), ""), may(assumeAll), nil, nil, fault.Denied, "sts:AssumeRole"},
		{"anyone is trusted, the caller's policies say nothing", one, trusts("*", ""), "", nil, nil, fault.Denied, "sts:AssumeRole"},
		{"pods are trusted", one, podTrust, may(assumeAll), nil, nil, fault.Denied, "sts:AssumeRole"},
		{"the role is named", one, trusts(me, ""), "", nil, nil, accepted, ""},
		{"the session is named", one, trusts(mine, ""), "", nil, nil, accepted, ""},
		{"another session is named", one, trusts(mine+"2", ""), "", nil, nil, fault.Denied, "sts:AssumeRole"},
		{"the role is named, and its own policy denies", one, trusts(me, ""), may(`"s3:*"`, denyAll), nil, nil, fault.Denied, "sts:AssumeRole"},
		{"the role is named, and the session is narrowed to something else", one, trusts(me, ""), "", narrowed(may(`"s3:*"`)), nil, fault.Denied, "sts:AssumeRole"},
		{"the role is named, and the session's policy allows it", one, trusts(me, ""), "", narrowed(may(assumeAll)), nil, accepted, ""},
		{"by both, narrowed to something else", one, trusts(root(one), ""), may(assumeAll), narrowed(may(`"s3:*"`)), nil, fault.Denied, "sts:AssumeRole"},
		{"by both, narrowed by a deny", one, trusts(root(one), ""), may(assumeAll), narrowed(may(assumeAll, denyAll)), nil, fault.Denied, "sts:AssumeRole"},

		{"across accounts, by both", two, trusts(root(one), ""), may(assumeAll), nil, nil, accepted, ""},
		{"across accounts, the role is named and allowed", two, trusts(me, ""), may(assumeAll), nil, nil, accepted, ""},
		{"across accounts, the role is named and its policies say nothing", two, trusts(me, ""), "", nil, nil, fault.Denied, "sts:AssumeRole"},
		{"across accounts, the trust policy names its own account", two, trusts(root(two), ""), may(assumeAll), nil, nil, fault.Denied, "sts:AssumeRole"},
		{
			"across accounts, the caller's policy is for another role", two, trusts(root(one), ""),
			strings.Replace(may(assumeAll), `"Resource":"*"`, `"Resource":"arn:aws:iam::`+two+`:role/other"`, 1), nil, nil, fault.Denied, "sts:AssumeRole",
		},

		{"the external id", two, trusts(root(one), when(`"StringEquals":{"sts:ExternalId":"x-7"}`)), may(assumeAll), nil, external("x-7"), accepted, ""},
		{"another external id", two, trusts(root(one), when(`"StringEquals":{"sts:ExternalId":"x-7"}`)), may(assumeAll), nil, external("x-8"), fault.Denied, "sts:AssumeRole"},
		{"no external id", two, trusts(root(one), when(`"StringEquals":{"sts:ExternalId":"x-7"}`)), may(assumeAll), nil, nil, fault.Denied, "sts:AssumeRole"},
		{"an external id that nobody asked for", two, trusts(root(one), ""), may(assumeAll), nil, external("x-7"), accepted, ""},

		{"with a tag", one, trusts(root(one), ""), may(assumeAll), nil, tagged(green), accepted, ""},
		{"with a tag that the trust policy does not allow", one, untagging.Replace(trusts(root(one), "")), may(assumeAll), nil, tagged(green), fault.Denied, "sts:TagSession"},
		{"with a tag that the caller may not pass", one, trusts(root(one), ""), may(untagging.Replace(assumeAll)), nil, tagged(green), fault.Denied, "sts:TagSession"},
		{"with a tag, named", one, trusts(me, ""), "", nil, tagged(green), accepted, ""},
		{"with a handed-on tag that the trust policy does not allow", one, untagging.Replace(trusts(me, "")), "", withTags(blue), nil, fault.Denied, "sts:TagSession"},
		{"with a tag that stays behind", one, untagging.Replace(trusts(me, "")), "", withTags(green), nil, accepted, ""},
		{"the tag that is asked for", one, trusts(me, when(`"StringEquals":{"aws:RequestTag/team":"blue"}`)), "", withTags(blue), nil, accepted, ""},
		{"another value of it", one, trusts(me, when(`"StringEquals":{"aws:RequestTag/team":"red"}`)), "", withTags(blue), nil, fault.Denied, "sts:AssumeRole"},
		{"the transitive keys", one, trusts(me, when(`"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":"team"}`)), "", withTags(blue), tagged(green), accepted, ""},
		{"one transitive key too many", one, trusts(me, when(`"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":"shift"}`)), "", withTags(blue), tagged(green), fault.Denied, "sts:AssumeRole"},
		{"one key too many", one, trusts(me, when(`"ForAllValues:StringEquals":{"aws:TagKeys":"team"}`)), "", withTags(blue), tagged(green), fault.Denied, "sts:AssumeRole"},
		{"the caller's own tag", one, trusts(me, when(`"StringEquals":{"aws:PrincipalTag/shift":"late"}`)), "", withTags(green), nil, accepted, ""},
		{"another's tag", one, trusts(me, when(`"StringEquals":{"aws:PrincipalTag/shift":"early"}`)), "", withTags(green), nil, fault.Denied, "sts:AssumeRole"},

		{"a source identity", one, trusts(root(one), ""), may(assumeAll), nil, ann, accepted, ""},
		{"a source identity that the trust policy does not allow", one, unsourcing.Replace(trusts(root(one), "")), may(assumeAll), nil, ann, fault.Denied, "sts:SetSourceIdentity"},
		{"a source identity that the caller may not set", one, trusts(root(one), ""), may(unsourcing.Replace(assumeAll)), nil, ann, fault.Denied, "sts:SetSourceIdentity"},
		{"the source identity of the session, again", one, trusts(me, ""), "", annSession, ann, accepted, ""},
		{"the source identity of the session needs the right, too", one, unsourcing.Replace(trusts(me, "")), "", annSession, nil, fault.Denied, "sts:SetSourceIdentity"},
		{"the source identity cannot be changed", one, trusts(me, ""), "", annSession, func(in *Assumption) { in.SourceIdentity = "bob" }, fault.Denied, "sts:SetSourceIdentity"},

		{"the session name", one, trusts(me, when(`"StringEquals":{"sts:RoleSessionName":"there"}`)), "", nil, nil, accepted, ""},
		{"another session name", one, trusts(me, when(`"StringEquals":{"sts:RoleSessionName":"here"}`)), "", nil, nil, fault.Denied, "sts:AssumeRole"},
		{
			"from an address", one, trusts(me, when(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)), "", nil,
			func(in *Assumption) { in.Context = policy.Context{{Key: "aws:SourceIp", Values: []string{"10.1.2.3"}}} }, accepted, "",
		},
		{
			"from another", one, trusts(me, when(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)), "", nil,
			func(in *Assumption) { in.Context = policy.Context{{Key: "aws:SourceIp", Values: []string{"11.1.2.3"}}} }, fault.Denied, "sts:AssumeRole",
		},
		{"until lately", one, trusts(me, when(`"DateLessThan":{"aws:CurrentTime":"2020"}`)), "", nil, nil, fault.Denied, "sts:AssumeRole"},
		{"a tag of the role", one, trusts(root(one), ""), strings.Replace(may(assumeAll), `"*"}`, `"*"`+when(`"StringEquals":{"aws:ResourceTag/env":"test"}`)+`}`, 1), nil, nil, accepted, ""},
		{"another tag of the role", one, trusts(root(one), ""), strings.Replace(may(assumeAll), `"*"}`, `"*"`+when(`"StringEquals":{"aws:ResourceTag/env":"prod"}`)+`}`, 1), nil, nil, fault.Denied, "sts:AssumeRole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := c.own
			if own == "" {
				own = may(`"s3:*"`)
			}
			w.allow(t, one, "me", own)
			must(t, w.Directory.UpdateTrust(t.Context(), c.account, "there", c.trust))
			r, err := w.Directory.Role(c.account, "there")
			must(t, err)
			g, err := w.assumeRole(t, w.caller(t, one, "me", c.session), r.ARN().String(), c.in)
			wants(t, "ForCaller", g, err, c.want)
			if c.want == fault.Denied {
				if want := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", mine, c.action, r.ARN()); fault.Message(err) != want {
					t.Errorf("message: got %q, want %q", fault.Message(err), want)
				}
			}
		})
	}
}

// A user is named by the trust policy as a role is; a cluster that waits for its activation is nobody.
func TestUsersAssumeRoles(t *testing.T) {
	w := fresh(t)
	_, key, err := w.Directory.CreateAccount(t.Context(), directory.NewAccount{ID: one, Name: "x"})
	must(t, err)
	_, user, err := w.Directory.AccessKey(key.ID)
	must(t, err)
	w.role(t, one, "for-all", trusts(root(one), ""))
	w.role(t, one, "for-user", trusts(user.ARN().String(), ""))
	admin, err := w.Directory.UserPrincipal(user, key.ID)
	must(t, err)
	for _, role := range []string{"for-all", "for-user"} {
		g, err := w.assumeRole(t, admin, "arn:aws:iam::"+one+":role/"+role, func(in *Assumption) { in.Duration = time.Hour })
		wants(t, role, g, err, accepted)
		if s := g.Session; err == nil && (s.Chain != 0 || s.Origin != nil || s.SourceIdentity != "") {
			t.Errorf("%s: the first session of a chain has %+v", role, s)
		}
	}
	nobody := &directory.Principal{Account: one, ARN: "arn:aws:eks:us-west-2:" + one + ":cluster/waiting", ID: "ACTV", KeyID: "ACTV"}
	g, err := w.assumeRole(t, nobody, "arn:aws:iam::"+one+":role/for-all", nil)
	wants(t, "a cluster that waits for its activation", g, err, fault.Denied)
	g, err = w.assumeRole(t, admin, "arn:aws:iam::"+one+":role/none", nil)
	wants(t, "a role that is not there", g, err, fault.Denied)
	gone := fault.New(fault.UnknownKey, "gone")
	g, err = w.ForCaller(t.Context(), func() (*directory.Principal, error) { return nil, gone }, &Assumption{Role: arn.Role(one, "/", "for-all"), SessionName: "me"})
	wants(t, "a caller who is gone by now", g, err, fault.UnknownKey)
}

func TestWhatASessionOfASessionInherits(t *testing.T) {
	w := fresh(t)
	role := w.role(t, one, "there", trusts(root(one), ""))
	w.role(t, one, "me", "")
	w.allow(t, one, "me", may(assumeAll))
	origin := &session.Origin{Cluster: "c", Namespace: "ns", ServiceAccount: "sa", PodName: "p", PodUID: "u", NodeName: "n", NodeUID: "nu", Association: "a-1"}
	blue, late := session.Tag{Key: "Team", Value: "blue", Transitive: true}, session.Tag{Key: "shift", Value: "late"}
	caller := w.caller(t, one, "me", func(s *session.Session) {
		s.Tags, s.SourceIdentity, s.Chain, s.Origin, s.Policies = []session.Tag{late, blue}, "ann", 2, origin, []string{may(assumeAll)}
	})
	green := session.Tag{Key: "colour", Value: "green"}
	g, err := w.assumeRole(t, caller, role, func(in *Assumption) {
		in.Tags, in.Policies = []session.Tag{green}, Narrowing{Policy: may(`"s3:*"`)}
	})
	wants(t, "ForCaller", g, err, accepted)
	s, err := session.Open(w.Keyring.Ring(), g.Credentials.AccessKeyID, g.Credentials.SessionToken)
	must(t, err)
	if diff := cmp.Diff([]session.Tag{blue, green}, s.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(origin, s.Origin); diff != "" {
		t.Errorf("origin (-want +got):\n%s", diff)
	}
	if s.SourceIdentity != "ann" || s.Chain != 3 || s.Expires.Sub(s.Issued) != time.Hour || s.RoleID != g.Role.ID || s.Account != one {
		t.Errorf("session: got %+v", s)
	}
	if diff := cmp.Diff([]string{may(`"s3:*"`)}, s.Policies); diff != "" {
		t.Errorf("policies: the caller's own do not go on (-want +got):\n%s", diff)
	}
}

func TestWhatAnAssumptionMayNotAsk(t *testing.T) {
	w := fresh(t)
	role := w.role(t, one, "there", trusts(root(one), ""))
	long, err := w.Directory.CreateRole(t.Context(), directory.NewRole{Account: one, Name: "long", Trust: trusts(root(one), ""), MaxSession: 4 * time.Hour})
	must(t, err)
	w.role(t, one, "me", "")
	w.allow(t, one, "me", may(assumeAll))
	_, key, err := w.Directory.CreateAccount(t.Context(), directory.NewAccount{ID: one, Name: "x"})
	must(t, err)
	_, user, err := w.Directory.AccessKey(key.ID)
	must(t, err)
	admin, err := w.Directory.UserPrincipal(user, key.ID)
	must(t, err)
	blue := session.Tag{Key: "team", Value: "blue", Transitive: true}
	chained := w.caller(t, one, "me", withTags(blue))
	lasting := func(d time.Duration) func(*Assumption) { return func(in *Assumption) { in.Duration = d } }
	narrow := func(document string) func(*Assumption) { return func(in *Assumption) { in.Policies.Policy = document } }
	managed := func(document string, names ...string) func(*Assumption) {
		return func(in *Assumption) { in.Policies = Narrowing{document, names} }
	}
	mine, theirs := w.managed(t, one, "narrow", may(`"s3:*"`)), w.managed(t, two, "narrow", may(`"s3:*"`))
	foreign := w.role(t, two, "there", trusts(root(one), ""))
	many := func(n int) []session.Tag {
		tags := make([]session.Tag, n)
		for i := range tags {
			tags[i].Key = fmt.Sprint("k", i)
		}
		return tags
	}
	long256 := func(n int) []session.Tag {
		tags := many(n)
		for i := range tags {
			tags[i].Value = strings.Repeat("v", 256)
		}
		return tags
	}
	for _, c := range []struct {
		name    string
		caller  *directory.Principal
		role    string
		in      func(*Assumption)
		want    fault.Kind
		message string // its beginning
	}{
		{"four hours", admin, long.ARN().String(), lasting(4 * time.Hour), accepted, ""},
		{"more than the role's longest", admin, long.ARN().String(), lasting(4*time.Hour + time.Second), fault.Invalid, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"a chain of an hour", chained, long.ARN().String(), lasting(time.Hour), accepted, ""},
		{"a longer chain", chained, long.ARN().String(), lasting(time.Hour + time.Second), fault.Invalid, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"},
		{"a tag in place of a handed-on one", chained, role, tagged(session.Tag{Key: "TEAM", Value: "red"}), fault.Invalid, "One of the specified transitive tag keys can't be set because it conflicts"},
		{"the same value in its place", chained, role, tagged(blue), fault.Invalid, "One of the specified transitive tag keys can't be set because it conflicts"},
		{"49 tags and one handed on", chained, role, tagged(many(49)...), accepted, ""},
		{"50 tags and one handed on", chained, role, tagged(many(50)...), fault.Invalid, "tags: at most 50"},
		{"50 tags", admin, role, tagged(many(50)...), accepted, ""},
		{"51 tags", admin, role, tagged(many(51)...), fault.Invalid, "tags: at most 50"},
		{"one tag twice", admin, role, tagged(session.Tag{Key: "a"}, session.Tag{Key: "A"}), fault.Invalid, "Duplicate tag keys found."},
		{"tags that fit", admin, role, tagged(long256(14)...), accepted, ""},
		{"tags that do not", admin, role, tagged(long256(16)...), fault.Limit, "Packed size of session tags consumes 10"},
		{"a policy beside tags", admin, role, func(in *Assumption) { in.Tags, in.Policies.Policy = long256(14), padded(2048) }, fault.Limit, "Packed policy consumes 1"},
		{"a policy of 2048 characters", admin, role, narrow(padded(2048)), accepted, ""},
		{"a policy of 2049 characters", admin, role, narrow(padded(2049)), fault.Invalid, "policy: at most 2048"},
		{"no policy", admin, role, narrow("{}"), fault.MalformedPolicy, ""},
		{"an unknown condition", admin, role, narrow(strings.Replace(may(`"s3:*"`), `"*"}`, `"*","Condition":{"Unheard":{"a":"b"}}}`, 1)), fault.MalformedPolicy, ""},
		{"ten managed policies", admin, role, managed("", slices.Repeat([]string{mine}, 10)...), accepted, ""},
		{"eleven", admin, role, managed("", slices.Repeat([]string{mine}, 11)...), fault.Invalid, "policyArns: at most 10"},
		{"a policy and a name of 2048 characters", admin, role, managed(padded(2048-len(mine)), mine), accepted, ""},
		{"a policy and a name of 2049 characters", admin, role, managed(padded(2049-len(mine)), mine), fault.Invalid, "policy: at most 2048"},
		{"a managed policy that is not there", admin, role, managed("", "arn:aws:iam::"+one+":policy/gone"), fault.Invalid, "Policy arn:aws:iam::" + one + ":policy/gone does not exist or is not attachable."},
		{"the caller's, for a role of another account", w.caller(t, one, "me", nil), foreign, managed("", mine), fault.Invalid, "Policy " + mine + " does not exist or is not attachable."},
		{"that of the role's account", w.caller(t, one, "me", nil), foreign, managed("", theirs), accepted, ""},
		{"one of AWS's", admin, role, managed("", "arn:aws:iam::aws:policy/ReadOnlyAccess"), accepted, ""},
		{"one of AWS's that is not here", admin, role, managed("", "arn:aws:iam::aws:policy/PowerUserAccess"), fault.Invalid, "Policy arn:aws:iam::aws:policy/PowerUserAccess does not exist or is not attachable. Of AWS's managed policies few are here"},
		{"a role's name in a policy's place", admin, role, managed("", role), fault.Invalid, ""},
		{"a document in a policy's place", admin, role, managed("", may(`"s3:*"`)), fault.Invalid, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := w.assumeRole(t, c.caller, c.role, c.in)
			wants(t, "ForCaller", g, err, c.want)
			if err != nil && !strings.HasPrefix(fault.Message(err), c.message) {
				t.Errorf("message: got %q, want it to begin with %q", fault.Message(err), c.message)
			}
		})
	}
}

// managed makes a managed policy and returns its ARN.
func (w *world) managed(t testing.TB, account, name, text string) string {
	t.Helper()
	p, err := w.Directory.CreateManagedPolicy(t.Context(), directory.NewManagedPolicy{Account: account, Name: name, Text: text})
	must(t, err)
	return p.ARN().String()
}

// padded is a session policy of n characters.
func padded(n int) string {
	text := may(`"s3:*"`)
	return text[:len(text)-1] + strings.Repeat(" ", n-len(text)) + "}"
}

// What a session may do is the role's permissions and, of those, what one of its session policies allows and none denies.
func TestSessionPoliciesNarrow(t *testing.T) {
	w := fresh(t)
	role := w.role(t, one, "there", trusts("arn:aws:iam::"+one+":role/me", ""))
	w.allow(t, one, "there", may(`"s3:GetObject","s3:PutObject","s3:ListBucket","s3:GetBucketTagging","s3:PutBucketTagging"`))
	w.role(t, one, "me", "")
	g, err := w.assumeRole(t, w.caller(t, one, "me", nil), role, func(in *Assumption) {
		in.Policies.Policy = may(`"s3:GetObject","s3:DeleteObject","s3:GetBucketTagging"`)
		in.Policies.ARNs = []string{
			w.managed(t, one, "list", may(`"s3:ListBucket"`)),
			w.managed(t, one, "untagged", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*Tagging","Resource":"*"}}`),
		}
	})
	wants(t, "ForCaller", g, err, accepted)
	p := w.opened(t, g)
	for action, want := range map[string]policy.Effect{
		"s3:GetObject": policy.Allow, "s3:PutObject": policy.ImplicitDeny, "s3:DeleteObject": policy.ImplicitDeny,
		"s3:ListBucket": policy.Allow, "s3:GetBucketTagging": policy.Deny, "s3:PutBucketTagging": policy.Deny,
	} {
		if got := p.Layers.Evaluate(&policy.Question{Action: action, Resource: "arn:aws:s3:::b/k", Context: p.Context()}); got.Effect != want {
			t.Errorf("%s: got %v, want %v", action, got.Effect, want)
		}
	}
}

// opened is the principal that a grant's credentials make.
func (w *world) opened(t testing.TB, g *Grant) *directory.Principal {
	t.Helper()
	s, err := session.Open(w.Keyring.Ring(), g.Credentials.AccessKeyID, g.Credentials.SessionToken)
	must(t, err)
	role, err := w.Directory.RoleByID(s.RoleID)
	must(t, err)
	p, err := w.Directory.SessionPrincipal(role, s)
	must(t, err)
	return p
}

// A session that a pod got by itself, from the one that it was given, ends with that one and with what that stands on.
func TestASessionOfAPodsSessionFallsWithIt(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *world, *registry.Association, *session.Session) error{
		"nothing": func(*testing.T, *world, *registry.Association, *session.Session) error { return nil },
		"the pod's session is revoked": func(t *testing.T, w *world, _ *registry.Association, s *session.Session) error {
			_, err := w.Registry.Revoke(t.Context(), one, "arn", registry.Target{Kind: registry.BySession, Value: s.ID()})
			return err
		},
		"the association is deleted": func(t *testing.T, w *world, a *registry.Association, _ *session.Session) error {
			_, err := w.Registry.DeleteAssociation(t.Context(), one, a.Cluster, a.ID)
			return err
		},
		"the association is revoked": func(t *testing.T, w *world, a *registry.Association, _ *session.Session) error {
			_, err := w.Registry.Revoke(t.Context(), one, "arn", registry.Target{Kind: registry.ByAssociation, Value: a.ClusterID + "/" + a.ID})
			return err
		},
		"its role is revoked": func(t *testing.T, w *world, a *registry.Association, _ *session.Session) error {
			role, err := w.Directory.RoleByARN(a.Role)
			must(t, err)
			_, err = w.Registry.Revoke(t.Context(), one, "arn", registry.Target{Kind: registry.ByRole, Value: role.ID})
			return err
		},
		"the pod is revoked": func(t *testing.T, w *world, a *registry.Association, _ *session.Session) error {
			_, err := w.Registry.Revoke(t.Context(), one, "arn", registry.Target{Kind: registry.ByPod, Value: a.ClusterID + "/default/app-7c9f4d8b5-x2x"})
			return err
		},
		"the cluster is deregistered": func(t *testing.T, w *world, a *registry.Association, _ *session.Session) error {
			_, err := w.Registry.DeregisterCluster(t.Context(), one, a.Cluster)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := fresh(t)
			c := w.practice(t, one, "prod")
			a := w.associate(t, c, "default", "app", w.role(t, one, "app", ""))
			w.allow(t, one, "app", may(assumeAll))
			there := w.role(t, two, "there", trusts(root(one), ""))
			pod, err := w.ForPod(t.Context(), w.agent(t, c, "node"), c.Name, w.podToken(t, c.signer, "node"))
			wants(t, "ForPod", pod, err, accepted)
			first := w.opened(t, pod)
			g, err := w.assumeRole(t, first, there, nil)
			wants(t, "ForCaller", g, err, accepted)
			s := w.opened(t, g).Session
			must(t, w.Registry.Honours(s))
			must(t, end(t, w, a, first.Session))
			if err := w.Registry.Honours(s); fault.Is(err, fault.ExpiredCredentials) != (name != "nothing") {
				t.Errorf("Honours: got %v", err)
			}
		})
	}
}
