package directory

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

func TestPrincipals(t *testing.T) {
	w := fresh(t)
	key := w.account(t, one)
	role := w.create(t, NewRole{Account: one, Name: "app", Path: "/team/", Tags: []Tag{{"Env", "role"}, {"owner", "ann"}}})
	_, user, err := w.AccessKey(key.ID)
	must(t, err)
	issued := time.Date(2026, 11, 23, 3, 0, 0, 0, time.FixedZone("", 3600))
	byUser, err := w.UserPrincipal(user, key.ID)
	must(t, err)
	byRole, err := w.SessionPrincipal(role, &session.Session{
		Account: one, RoleID: role.ID, Name: "s1", AccessKeyID: "ASIAX", Issued: issued, SourceIdentity: "bob",
		Tags: []session.Tag{{Key: "env", Value: "session"}},
	})
	must(t, err)
	values := func(entries ...string) policy.Context {
		var c policy.Context
		for i := 0; i < len(entries); i += 2 {
			c = append(c, policy.Entry{Key: entries[i], Values: []string{entries[i+1]}})
		}
		return c
	}
	for _, test := range []struct {
		name    string
		got     *Principal
		arn, id string
		names   []string
		context policy.Context
	}{
		{
			"a user", byUser, "arn:aws:iam::111122223333:user/administrator", user.ID,
			[]string{"arn:aws:iam::111122223333:user/administrator"},
			values("aws:PrincipalAccount", one, "aws:userid", user.ID, "aws:PrincipalArn", "arn:aws:iam::111122223333:user/administrator",
				"aws:PrincipalType", "User", "aws:username", "administrator"),
		},
		{
			"a session", byRole, "arn:aws:sts::111122223333:assumed-role/app/s1", role.ID + ":s1",
			[]string{"arn:aws:sts::111122223333:assumed-role/app/s1", "arn:aws:iam::111122223333:role/team/app"},
			values("aws:PrincipalAccount", one, "aws:userid", role.ID+":s1", "aws:PrincipalArn", "arn:aws:iam::111122223333:role/team/app",
				"aws:PrincipalType", "AssumedRole", "aws:TokenIssueTime", "2026-11-23T02:00:00Z", "aws:SourceIdentity", "bob",
				"aws:PrincipalTag/env", "session", "aws:PrincipalTag/owner", "ann"),
		},
		{
			"a cluster that joins", &Principal{Account: one, ARN: "arn:c", ID: "ACTV1"}, "arn:c", "ACTV1",
			[]string{"arn:c"},
			values("aws:PrincipalAccount", one, "aws:userid", "ACTV1", "aws:PrincipalArn", "arn:c"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.got.ARN != test.arn || test.got.ID != test.id || test.got.Account != one {
				t.Errorf("got %s %s of %s, want %s %s", test.got.ARN, test.got.ID, test.got.Account, test.arn, test.id)
			}
			if diff := cmp.Diff(test.names, test.got.Names()); diff != "" {
				t.Errorf("Names (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.context, test.got.Context()); diff != "" {
				t.Errorf("Context (-want +got):\n%s", diff)
			}
		})
	}
}

// A session's name and key are its holder's choice or change with each fetch: they give nobody another bound.
func TestRateKeyIsWhoAsks(t *testing.T) {
	w := fresh(t)
	role := &Role{Identity: Identity{Account: one, ID: "AROAX", Name: "app"}}
	pod := func(uid string) *session.Origin { return &session.Origin{Cluster: "c1", PodUID: uid, NodeUID: "n1"} }
	of := func(r *Role, name string, origin *session.Origin) *Principal {
		p, err := w.SessionPrincipal(r, &session.Session{Account: one, RoleID: r.ID, Name: name, AccessKeyID: "ASIA" + name, Origin: origin})
		must(t, err)
		return p
	}
	ann := func(key string) *Principal {
		p, err := w.UserPrincipal(&User{Identity: Identity{Account: one, Name: "ann", Path: "/"}}, key)
		must(t, err)
		return p
	}
	first := of(role, "a", pod("p1"))
	for _, test := range []struct {
		name  string
		other *Principal
		same  bool
	}{
		{"another session of the pod", of(role, "b", pod("p1")), true},
		{"another pod", of(role, "a", pod("p2")), false},
		{"the pod in another cluster", of(role, "a", &session.Origin{Cluster: "c2", PodUID: "p1", NodeUID: "n1"}), false},
		{"another role of the pod", of(&Role{Identity: Identity{Account: one, ID: "AROAY", Name: "app"}}, "a", pod("p1")), false},
		{"a node of the pod's name", of(role, "a", &session.Origin{Cluster: "c1", NodeUID: "p1"}), false},
		{"no origin", of(role, "a", nil), false},
		{"a user", ann("AKIA1"), false},
	} {
		if same := test.other.RateKey() == first.RateKey(); same != test.same {
			t.Errorf("%s: the same bound is %v, want %v", test.name, same, test.same)
		}
	}
	if a, b := ann("AKIA1").RateKey(), ann("AKIA2").RateKey(); a != b {
		t.Errorf("a user's two keys have the bounds of %s and %s, want one", a, b)
	}
}

func TestASessionPolicyNarrowsAndOneThatDoesNotParseIsRefused(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	must(t, w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "list", listAll))
	role, err := w.Role(one, "app")
	must(t, err)
	const getAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	for name, text := range map[string]string{"list": listAll, "get": getAll, "deny": denyAll} {
		_, err := w.CreateManagedPolicy(t.Context(), NewManagedPolicy{Account: one, Name: name, Text: text})
		must(t, err)
	}
	question := &policy.Question{Action: "s3:ListAllMyBuckets", Resource: "*"}
	for _, test := range []struct {
		name     string
		policies []string
		want     policy.Effect
	}{
		{"none", nil, policy.Allow},
		{"one that allows", []string{listAll}, policy.Allow},
		{"one that does not", []string{getAll}, policy.ImplicitDeny},
		{"one of two that does", []string{getAll, listAll}, policy.Allow},
		{"one that denies", []string{denyAll}, policy.Deny},
		{"one of two that denies", []string{listAll, denyAll}, policy.Deny},
		{"a managed one that allows", []string{getAll, policyARN("list")}, policy.Allow},
		{"a managed one that does not", []string{policyARN("get")}, policy.ImplicitDeny},
		{"a managed one that denies", []string{listAll, policyARN("deny")}, policy.Deny},
		{"one that is not there", []string{listAll, policyARN("gone")}, policy.Deny},
		{"another account's", []string{listAll, strings.Replace(policyARN("list"), one, two, 1)}, policy.Deny},
	} {
		p, err := w.SessionPrincipal(role, &session.Session{Account: one, Name: "s", Policies: test.policies})
		must(t, err)
		if got := p.Layers.Evaluate(question).Effect; got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	if _, err := w.SessionPrincipal(role, &session.Session{Policies: []string{"{"}}); !fault.Is(err, fault.MalformedPolicy) {
		t.Errorf("a policy that does not parse: got %v, want MalformedPolicy", err)
	}
}

// A session follows its managed policies: who remembers its principal is told when one has changed.
func TestAManagedSessionPolicyIsReadAtEachUse(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	must(t, w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "list", listAll))
	_, err := w.CreateManagedPolicy(t.Context(), NewManagedPolicy{Account: one, Name: "narrow", Text: listAll})
	must(t, err)
	role, err := w.Role(one, "app")
	must(t, err)
	s := &session.Session{Account: one, Name: "s", Policies: []string{policyARN("narrow")}}
	question := &policy.Question{Action: "s3:ListAllMyBuckets", Resource: "*"}
	p, err := w.SessionPrincipal(role, s)
	must(t, err)
	for _, step := range []struct {
		name   string
		change func() error
		want   policy.Effect
	}{
		{"as it was", func() error { return nil }, policy.Allow},
		{"a version that denies", func() error {
			_, _, err := w.CreatePolicyVersion(t.Context(), one, policyARN("narrow"), denyAll, true)
			return err
		}, policy.Deny},
		{"the first again", func() error {
			return errors.Join(w.SetDefaultPolicyVersion(t.Context(), one, policyARN("narrow"), 1), w.DeletePolicyVersion(t.Context(), one, policyARN("narrow"), 2))
		}, policy.Allow},
		{"deleted", func() error { return w.DeleteManagedPolicy(t.Context(), one, policyARN("narrow")) }, policy.Deny},
		{"made again", func() error {
			_, err := w.CreateManagedPolicy(t.Context(), NewManagedPolicy{Account: one, Name: "narrow", Text: listAll})
			return err
		}, policy.Allow},
	} {
		before := p.Layers.Evaluate(question).Effect
		must(t, step.change())
		if !w.IsCurrent(p, role) {
			p, err = w.SessionPrincipal(role, s)
			must(t, err)
		} else if before != step.want {
			t.Errorf("%s: the principal passes for current", step.name)
		}
		if got := p.Layers.Evaluate(question).Effect; got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}
