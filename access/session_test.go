package access

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
)

// TestSessionsFollowTheirRole: what is remembered of a session is not what its role may do.
func TestSessionsFollowTheirRole(t *testing.T) {
	w := fresh(t)
	w.Sessions = NewSessions(8)
	pod := w.mint(t, w.podSession(t))
	may := func() bool {
		p, err := w.authenticate(t, pod)
		must(t, err)
		_, err = w.Authorize(p, "s3:GetObject", "arn:aws:s3:::b/k", nil)
		return err == nil
	}
	for range 2 { // the second time from memory
		if may() {
			t.Error("a role without policies may read")
		}
	}
	must(t, w.Directory.PutPolicy(t.Context(), directory.Roles.Named(one, "app"), "read",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`))
	for range 2 {
		if !may() {
			t.Error("a policy that was given is not in force")
		}
	}
	must(t, w.Directory.DeletePolicy(t.Context(), directory.Roles.Named(one, "app"), "read"))
	if may() {
		t.Error("a policy that was taken away is still in force")
	}
}

// TestSessionsFollowManagedPolicies: a policy changes without the roles that are attached to it.
func TestSessionsFollowManagedPolicies(t *testing.T) {
	w := fresh(t)
	w.Sessions = NewSessions(8)
	s := w.podSession(t)
	s.Tags = []session.Tag{{Key: "kubernetes-namespace", Value: "ns", Transitive: true}}
	narrowed := *s
	narrowed.Policies = []string{document(allowGet)}
	pod, narrow, admin := w.mint(t, s), w.mint(t, &narrowed), byKey(w.admin)
	managed := func(name, text string) string {
		p, err := w.Directory.CreateManagedPolicy(t.Context(), directory.NewManagedPolicy{Account: one, Name: name, Text: text})
		must(t, err)
		return p.ARN().String()
	}
	read, deny := managed("read", document(allowGet)), managed("deny", document(`{"Effect":"Deny","Action":"s3:*","Resource":"*"}`))
	const (
		yes     = "allowed"
		nobody  = "no identity-based policy allows"
		refused = "explicit deny in an identity-based policy"
	)
	for _, step := range []struct {
		name       string
		do         func() error
		pod, admin string
	}{
		{"at first", func() error { return nil }, nobody, yes},
		{"attached", func() error { return w.Directory.Attach(t.Context(), directory.Roles.Named(one, "app"), read) }, yes, yes},
		{"a new default version", func() error {
			_, _, err := w.Directory.CreatePolicyVersion(t.Context(), one, read, document(`{"Effect":"Deny","Action":"s3:Get*","Resource":"*"}`), true)
			return err
		}, refused, yes},
		{"the former version again", func() error { return w.Directory.SetDefaultPolicyVersion(t.Context(), one, read, 1) }, yes, yes},
		{"a Deny beside it, for both", func() error {
			if err := w.Directory.Attach(t.Context(), directory.Users.Named(one, directory.Administrator), deny); err != nil {
				return err
			}
			return w.Directory.Attach(t.Context(), directory.Roles.Named(one, "app"), deny)
		}, refused, refused},
		{"the Deny detached", func() error {
			if err := w.Directory.Detach(t.Context(), directory.Users.Named(one, directory.Administrator), deny); err != nil {
				return err
			}
			return w.Directory.Detach(t.Context(), directory.Roles.Named(one, "app"), deny)
		}, yes, yes},
		{"detached", func() error { return w.Directory.Detach(t.Context(), directory.Roles.Named(one, "app"), read) }, nobody, yes},
	} {
		must(t, step.do())
		for _, who := range []struct {
			name   string
			signer signer
			want   string
		}{{"pod", pod, step.pod}, {"pod, remembered", pod, step.pod}, {"narrowed", narrow, step.pod}, {"admin", admin, step.admin}} {
			p, err := w.authenticate(t, who.signer)
			must(t, err)
			got := yes
			if _, err := w.Authorize(p, "s3:GetObject", "arn:aws:s3:::b/ns/x", nil); err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, who.want) {
				t.Errorf("%s, %s: got %q, want %q", step.name, who.name, got, who.want)
			}
		}
	}
}

// TestAUserIsWhatItIsNow: a key put out of use, a group joined and left, a boundary put and taken away are in force at the
// next request.
func TestAUserIsWhatItIsNow(t *testing.T) {
	w := fresh(t)
	_, err := w.Directory.CreateUser(t.Context(), directory.NewUser{Account: one, Name: "ann"})
	must(t, err)
	key, err := w.Directory.CreateAccessKey(t.Context(), one, "ann")
	must(t, err)
	_, err = w.Directory.CreateGroup(t.Context(), one, "", "readers")
	must(t, err)
	ann, readers := directory.Users.Named(one, "ann"), directory.Groups.Named(one, "readers")
	must(t, w.Directory.PutPolicy(t.Context(), readers, "read", document(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`)))
	const (
		yes     = "allowed"
		nobody  = "no identity-based policy allows"
		bounded = "no permissions boundary allows"
		unknown = "The security token included in the request is invalid."
	)
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"at first", func() error { return nil }, nobody},
		{"joined", func() error { return w.Directory.Join(t.Context(), one, "readers", "ann") }, yes},
		{"bounded", func() error { return w.Directory.PutBoundary(t.Context(), ann, directory.AWSPolicies+"IAMFullAccess") }, bounded},
		{"within", func() error {
			return w.Directory.PutBoundary(t.Context(), ann, directory.AWSPolicies+"AmazonS3FullAccess")
		}, yes},
		{"without a boundary", func() error { return w.Directory.DeleteBoundary(t.Context(), ann) }, yes},
		{"its key out of use", func() error { return w.Directory.ActivateAccessKey(t.Context(), one, "ann", key.ID, false) }, unknown},
		{"its key in use", func() error { return w.Directory.ActivateAccessKey(t.Context(), one, "ann", key.ID, true) }, yes},
		{"renamed", func() error {
			name := "anna"
			return w.Directory.MoveUser(t.Context(), one, "ann", directory.Move{Name: &name})
		}, yes},
		{"left", func() error { return w.Directory.Leave(t.Context(), one, "readers", "anna") }, nobody},
		{"its key deleted", func() error { return w.Directory.DeleteAccessKey(t.Context(), one, "anna", key.ID) }, unknown},
	} {
		must(t, step.do())
		got := yes
		p, err := w.authenticate(t, byKey(key))
		if err == nil {
			_, err = w.Authorize(p, "s3:GetObject", "arn:aws:s3:::b/ns/x", nil)
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, step.want) {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

// TestUsesAreNoted: what was signed well counts, what was not does not.
func TestUsesAreNoted(t *testing.T) {
	w := fresh(t)
	pod, admin := w.mint(t, w.podSession(t)), byKey(w.admin)
	used := func(id string) bool {
		seen, err := w.Directory.Usage(id)
		must(t, err)
		if seen != nil && (seen.Service != "eks" || seen.Region != "us-west-2") {
			t.Errorf("the use of %s: got %+v", id, seen)
		}
		return seen != nil
	}
	for _, who := range []struct {
		id     string
		signer signer
	}{{w.role.ID, pod}, {w.admin.ID, admin}} {
		thief := who.signer
		thief.secret += "x"
		_, err := w.authenticate(t, thief)
		wants(t, "with another secret", err, fault.BadSignature)
		if used(who.id) {
			t.Errorf("%s: a wrong signature counts as a use", who.id)
		}
		_, err = w.authenticate(t, who.signer)
		must(t, err)
		if !used(who.id) {
			t.Errorf("%s: its use is not noted", who.id)
		}
	}
}
