package access

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/directory"
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
	must(t, w.Directory.PutRolePolicy(t.Context(), one, "app", "read",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`))
	for range 2 {
		if !may() {
			t.Error("a policy that was given is not in force")
		}
	}
	must(t, w.Directory.DeleteRolePolicy(t.Context(), one, "app", "read"))
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
		{"attached", func() error { return w.Directory.AttachRolePolicy(t.Context(), one, "app", read) }, yes, yes},
		{"a new default version", func() error {
			_, _, err := w.Directory.CreatePolicyVersion(t.Context(), one, read, document(`{"Effect":"Deny","Action":"s3:Get*","Resource":"*"}`), true)
			return err
		}, refused, yes},
		{"the former version again", func() error { return w.Directory.SetDefaultPolicyVersion(t.Context(), one, read, 1) }, yes, yes},
		{"a Deny beside it, for both", func() error {
			if err := w.Directory.Attach(t.Context(), directory.Who{Kind: directory.Users, Account: one, Name: directory.Administrator}, deny); err != nil {
				return err
			}
			return w.Directory.AttachRolePolicy(t.Context(), one, "app", deny)
		}, refused, refused},
		{"the Deny detached", func() error {
			if err := w.Directory.Detach(t.Context(), directory.Who{Kind: directory.Users, Account: one, Name: directory.Administrator}, deny); err != nil {
				return err
			}
			return w.Directory.DetachRolePolicy(t.Context(), one, "app", deny)
		}, yes, yes},
		{"detached", func() error { return w.Directory.DetachRolePolicy(t.Context(), one, "app", read) }, nobody, yes},
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
