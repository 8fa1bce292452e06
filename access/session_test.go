package access

import "testing"

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
	if may() || may() {
		t.Error("a role without policies may read")
	}
	must(t, w.Directory.PutRolePolicy(t.Context(), one, "app", "read",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}`))
	if !may() || !may() {
		t.Error("a policy that was given is not in force")
	}
	must(t, w.Directory.DeleteRolePolicy(t.Context(), one, "app", "read"))
	if may() {
		t.Error("a policy that was taken away is still in force")
	}
}
