package directory

import (
	"fmt"
	"sync"
	"testing"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/store"
)

func TestAttachmentsOfARole(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error {
		return w.PutClusterRole(tx, ClusterRole{Account: one, Name: "agent", Cluster: "c1", Trust: podTrust, Permissions: listAll})
	}))
	attach := func(role, name string) error { return w.Attach(t.Context(), Who{Roles, one, role}, name) }
	detach := func(role, name string) error { return w.Detach(t.Context(), Who{Roles, one, role}, name) }
	p := w.managed(t, "p", listAll)
	for _, step := range []struct {
		name string
		err  error
		want fault.Kind
	}{
		{"attached", attach("APP", p), accepted},
		{"attached before", attach("app", p), accepted},
		{"to no such role", attach("apps", p), fault.NotFound},
		{"to a cluster's role", attach("agent", p), fault.Unmodifiable},
		{"no such policy", attach("app", policyARN("q")), fault.NotFound},
		{"by another account", w.Attach(t.Context(), Who{Roles, two, "app"}, p), fault.NotFound},
		{"the policy deleted", w.DeleteManagedPolicy(t.Context(), one, p), fault.InUse},
		{"the role deleted", w.DeleteRole(t.Context(), one, "app"), fault.InUse},
		{"detached from a cluster's role", detach("agent", p), fault.Unmodifiable},
		{"detached from no such role", detach("apps", p), fault.NotFound},
		{"detached from no such policy", detach("app", policyARN("q")), fault.NotFound},
		{"detached", detach("app", p), accepted},
		{"detached before", detach("app", p), fault.NotFound},
	} {
		wants(t, step.name, step.err, step.want)
	}
	for i := range maxAttached {
		must(t, attach("app", w.managed(t, fmt.Sprintf("p%02d", i), listAll)))
	}
	wants(t, "one more than the quota", attach("app", p), fault.Limit)
	wants(t, "one of them again", attach("app", policyARN("p03")), accepted)
	role, err := w.Role(one, "app")
	must(t, err)
	all, err := w.Attached(role.Attached)
	must(t, err)
	if len(all) != maxAttached || all[0].Name != "p00" || all[9].Name != "p09" {
		t.Errorf("attached: got %v", all)
	}
	for _, p := range all {
		must(t, detach("app", p.ARN().String()))
	}
	wants(t, "the policy deleted at last", w.DeleteManagedPolicy(t.Context(), one, p), accepted)
	wants(t, "the role deleted at last", w.DeleteRole(t.Context(), one, "app"), accepted)
}

func TestAttachmentsOfAUser(t *testing.T) {
	w := fresh(t)
	w.account(t, one)
	p := w.managed(t, "p", denyAll)
	for _, step := range []struct {
		name string
		err  error
		want fault.Kind
	}{
		{"attached", w.Attach(t.Context(), Who{Users, one, Administrator}, p), accepted},
		{"to no such user", w.Attach(t.Context(), Who{Users, one, "ann"}, p), fault.NotFound},
		{"the policy deleted", w.DeleteManagedPolicy(t.Context(), one, p), fault.InUse},
		{"detached from no such user", w.Detach(t.Context(), Who{Users, one, "ann"}, p), fault.NotFound},
		{"detached", w.Detach(t.Context(), Who{Users, one, Administrator}, p), accepted},
		{"detached before", w.Detach(t.Context(), Who{Users, one, Administrator}, p), fault.NotFound},
	} {
		wants(t, step.name, step.err, step.want)
	}
	for i := range maxAttached {
		must(t, w.Attach(t.Context(), Who{Users, one, Administrator}, w.managed(t, fmt.Sprintf("p%d", i), listAll)))
	}
	wants(t, "one more than the quota", w.Attach(t.Context(), Who{Users, one, Administrator}, p), fault.Limit)
}

// Whichever comes first, no role is left with a policy that is gone.
func TestAttachingAndDeletingAtOnce(t *testing.T) {
	w := fresh(t)
	for i := range 20 {
		role := fmt.Sprintf("r%d", i)
		w.create(t, NewRole{Account: one, Name: role})
		p := w.managed(t, fmt.Sprintf("p%d", i), listAll)
		var attached, deleted error
		var both sync.WaitGroup
		both.Go(func() { attached = w.Attach(t.Context(), Who{Roles, one, role}, p) })
		both.Go(func() { deleted = w.DeleteManagedPolicy(t.Context(), one, p) })
		both.Wait()
		r, err := w.Role(one, role)
		must(t, err)
		if (attached == nil) == (deleted == nil) || len(r.Attached) > 0 != (attached == nil) {
			t.Errorf("attached: %v, deleted: %v, the role has %v", attached, deleted, r.Attached)
		}
		_, err = w.RolePermissions(r)
		wants(t, "the role's permissions", err, accepted)
	}
}

// What is attached cannot be left out because it cannot be found: it may be a Deny.
func TestAnAttachmentThatCannotBeReadIsNotLeftOut(t *testing.T) {
	w := fresh(t)
	key := w.account(t, one)
	gone := []string{"ANPAX"}
	role, user := &Role{Identity: Identity{Account: one, Name: "app", Attached: gone}}, &User{Identity: Identity{Account: one, Name: "ann", Attached: gone}}
	_, err := w.SessionPrincipal(role, &session.Session{Account: one, Name: "s"})
	wants(t, "SessionPrincipal", err, fault.Unavailable)
	_, err = w.UserPrincipal(user, key.ID)
	wants(t, "UserPrincipal", err, fault.Unavailable)
}

func TestManagedPermissionsAreThoseOfNow(t *testing.T) {
	w := fresh(t)
	w.account(t, one)
	w.create(t, NewRole{Account: one, Name: "app"})
	allow, deny := w.managed(t, "allow", listAll), w.managed(t, "deny", denyAll)
	question := &policy.Question{Action: "s3:ListAllMyBuckets", Resource: "*"}
	var last *Principal
	for _, step := range []struct {
		name  string
		do    func() error
		want  policy.Effect
		stale bool // whether what was made before has to be made anew
	}{
		{"without a policy", func() error { return nil }, policy.ImplicitDeny, false},
		{"attached", func() error { return w.Attach(t.Context(), Who{Roles, one, "app"}, allow) }, policy.Allow, true},
		{"nothing happens", func() error { return nil }, policy.Allow, false},
		{"a Deny attached", func() error { return w.Attach(t.Context(), Who{Roles, one, "app"}, deny) }, policy.Deny, true},
		{"an inline Allow beside it", func() error { return w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "list", listAll) }, policy.Deny, true},
		{"the Deny detached", func() error { return w.Detach(t.Context(), Who{Roles, one, "app"}, deny) }, policy.Allow, true},
		{"the Allow detached", func() error { return w.Detach(t.Context(), Who{Roles, one, "app"}, allow) }, policy.Allow, true},
		{"attached again", func() error { return w.Attach(t.Context(), Who{Roles, one, "app"}, allow) }, policy.Allow, true},
		{"a version that is not in force", func() error {
			_, _, err := w.CreatePolicyVersion(t.Context(), one, allow, denyAll, false)
			return err
		}, policy.Allow, true},
		{"the version put in force", func() error { return w.SetDefaultPolicyVersion(t.Context(), one, allow, 2) }, policy.Deny, true},
		{"the former put in force", func() error { return w.SetDefaultPolicyVersion(t.Context(), one, allow, 1) }, policy.Allow, true},
		{"an inline Deny", func() error { return w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "no", denyAll) }, policy.Deny, true},
	} {
		must(t, step.do())
		role, err := w.Role(one, "app")
		must(t, err)
		if last != nil && w.IsCurrent(last, role) == step.stale {
			t.Errorf("%s: what was made before is current: %v, want %v", step.name, !step.stale, !step.stale)
		}
		last, err = w.SessionPrincipal(role, &session.Session{Account: one, Name: "s"})
		must(t, err)
		if got := last.Layers.Evaluate(question).Effect; got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
	must(t, w.Attach(t.Context(), Who{Users, one, Administrator}, deny))
	user, err := w.User(one, Administrator)
	must(t, err)
	if got := policy.Evaluate(question, w.userMay(t, user)).Effect; got != policy.Deny {
		t.Errorf("a user with a Deny attached: got %v, want Deny", got)
	}
}

// Roles without attachments pay nothing for those that have some.
func TestWithoutAttachmentsNothingIsAllocated(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	must(t, w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "list", listAll))
	role, err := w.Role(one, "app")
	must(t, err)
	p, err := w.SessionPrincipal(role, &session.Session{Account: one, Name: "s"})
	must(t, err)
	w.managed(t, "p", listAll)
	if !w.IsCurrent(p, role) {
		t.Error("a policy that is not attached makes the principal stale")
	}
	if n := testing.AllocsPerRun(100, func() {
		if docs, err := w.RolePermissions(role); err != nil || len(docs) != 1 || !w.IsCurrent(p, role) {
			t.Errorf("got %v, %v", docs, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
