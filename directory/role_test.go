package directory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

func TestCreateRoleChecksItsInput(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "Taken"})
	tags := func(n int) (all []Tag) {
		for i := range n {
			all = append(all, Tag{fmt.Sprintf("key-%d", i), ""})
		}
		return all
	}
	wide := func(n int) string { // a trust policy of n characters, white space aside
		head := podTrust[:len(podTrust)-1] + " \n\t" + `,"Id":"`
		return head + strings.Repeat("x", n-len(podTrust)-len(`,"Id":""`)) + `"}`
	}
	for _, test := range []struct {
		name string
		in   NewRole
		want fault.Kind
	}{
		{"the name of another role in other case", NewRole{Name: "tAKEN"}, fault.Exists},
		{"the same under another path", NewRole{Name: "Taken", Path: "/team/"}, fault.Exists},
		{"the same in another account", NewRole{Account: two, Name: "Taken"}, accepted},
		{"a name of 64 characters", NewRole{Name: strings.Repeat("n", 64)}, accepted},
		{"a name of 65 characters", NewRole{Name: strings.Repeat("n", 65)}, fault.Invalid},
		{"a name with a slash", NewRole{Name: "a/b"}, fault.Invalid},
		{"no name", NewRole{Name: ""}, fault.Invalid},
		{"a path", NewRole{Name: "pathed", Path: "/team/pay/"}, accepted},
		{"a path without its end", NewRole{Name: "p1", Path: "/team"}, fault.Invalid},
		{"a path of 513 characters", NewRole{Name: "p2", Path: "/" + strings.Repeat("p", 511) + "/"}, fault.Invalid},
		{"a session of 12 h", NewRole{Name: "long", MaxSession: 12 * time.Hour}, accepted},
		{"a session of more", NewRole{Name: "longer", MaxSession: 12*time.Hour + time.Second}, fault.Invalid},
		{"a session of less than 1 h", NewRole{Name: "short", MaxSession: time.Hour - time.Second}, fault.Invalid},
		{"a description of 1000 characters", NewRole{Name: "described", Description: strings.Repeat("ö", 1000)}, accepted},
		{"a description of 1001", NewRole{Name: "d2", Description: strings.Repeat("ö", 1001)}, fault.Invalid},
		{"50 tags", NewRole{Name: "tagged", Tags: tags(50)}, accepted},
		{"51 tags", NewRole{Name: "t2", Tags: tags(51)}, fault.Limit},
		{"a tag key twice", NewRole{Name: "t3", Tags: []Tag{{"Team", "a"}, {"team", "b"}}}, fault.Invalid},
		{"a reserved tag key", NewRole{Name: "t4", Tags: []Tag{{"AWS:x", "a"}}}, fault.Invalid},
		{"a tag without key", NewRole{Name: "t5", Tags: []Tag{{"", "a"}}}, fault.Invalid},
		{"a tag value of 256 characters", NewRole{Name: "t6", Tags: []Tag{{"k", strings.Repeat("v", 256)}}}, accepted},
		{"a tag value of 257 characters", NewRole{Name: "t7", Tags: []Tag{{"k", strings.Repeat("v", 257)}}}, fault.Invalid},
		{"a tag value with a control character", NewRole{Name: "t8", Tags: []Tag{{"k", "a\nb"}}}, fault.Invalid},
		{"a trust policy of 4096 characters", NewRole{Name: "w1", Trust: wide(4096)}, accepted},
		{"a trust policy of 4097", NewRole{Name: "w2", Trust: wide(4097)}, fault.Limit},
		{"a trust policy without principal", NewRole{Name: "w3", Trust: listAll}, fault.MalformedPolicy},
		{"a trust policy that is no JSON", NewRole{Name: "w4", Trust: "{"}, fault.MalformedPolicy},
		{"an unknown element", NewRole{Name: "w5", Trust: strings.Replace(podTrust, `"Effect"`, `"Sometimes":1,"Effect"`, 1)}, fault.MalformedPolicy},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.in.Account == "" {
				test.in.Account = one
			}
			if test.in.Trust == "" {
				test.in.Trust = podTrust
			}
			_, err := w.CreateRole(t.Context(), test.in)
			wants(t, "CreateRole", err, test.want)
			_, found := w.Role(test.in.Account, test.in.Name)
			if test.want != accepted && test.want != fault.Exists && found == nil {
				t.Error("it was stored all the same")
			}
		})
	}
}

func TestRoleNamesAreToldApartWithoutCaseAndARNsWithPath(t *testing.T) {
	w := fresh(t)
	role := w.create(t, NewRole{Account: one, Name: "Pay-API", Path: "/team/"})
	if got, err := w.Role(one, "pay-api"); err != nil || got.ID != role.ID || got.Name != "Pay-API" {
		t.Errorf("by name in other case: got %+v, %v, want the role as it was named", got, err)
	}
	if got, err := w.RoleByID(role.ID); err != nil || got.Name != "Pay-API" {
		t.Errorf("by id: got %+v, %v", got, err)
	}
	for _, test := range []struct {
		name, arn string
		want      fault.Kind
	}{
		{"the ARN", "arn:aws:iam::111122223333:role/team/Pay-API", accepted},
		{"without the path", "arn:aws:iam::111122223333:role/Pay-API", fault.NotFound},
		{"another path", "arn:aws:iam::111122223333:role/teams/Pay-API", fault.NotFound},
		{"in other case", "arn:aws:iam::111122223333:role/team/pay-api", fault.NotFound},
		{"of another account", "arn:aws:iam::444455556666:role/team/Pay-API", fault.NotFound},
		{"a user's", "arn:aws:iam::111122223333:user/team/Pay-API", fault.Invalid},
		{"of another service", "arn:aws:s3:::role/team/Pay-API", fault.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			name, err := arn.Parse(test.arn)
			must(t, err)
			_, err = w.RoleByARN(name)
			wants(t, "RoleByARN", err, test.want)
		})
	}
}

func TestARoleMadeAgainHasAnotherID(t *testing.T) {
	w := fresh(t)
	first := w.create(t, NewRole{Account: one, Name: "app"})
	must(t, w.DeleteRole(t.Context(), one, "APP"))
	if _, err := w.Role(one, "app"); !fault.Is(err, fault.NotFound) {
		t.Errorf("Role after DeleteRole: got %v, want NotFound", err)
	}
	second := w.create(t, NewRole{Account: one, Name: "app"})
	if first.ID == second.ID || len(second.ID) != 21 || !strings.HasPrefix(second.ID, "AROA") {
		t.Errorf("ids: got %s and %s, want two of AROA and 17 characters", first.ID, second.ID)
	}
	if _, err := w.RoleByID(first.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("the first one's id: got %v, want NotFound", err)
	}
	if got, err := w.RoleByID(second.ID); err != nil || got.Name != "app" {
		t.Errorf("the second one's id: got %+v, %v", got, err)
	}
}

func TestDeleteRoleWantsItsPoliciesGone(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	must(t, w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "list", listAll))
	wants(t, "with a policy", w.DeleteRole(t.Context(), one, "app"), fault.InUse)
	must(t, w.DeletePolicy(t.Context(), Who{Roles, one, "app"}, "list"))
	wants(t, "without", w.DeleteRole(t.Context(), one, "app"), accepted)
	wants(t, "again", w.DeleteRole(t.Context(), one, "app"), fault.NotFound)
}

func TestRolePolicies(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	before, err := w.Role(one, "app")
	must(t, err)
	for _, test := range []struct {
		name, role, policy, text string
		want                     fault.Kind
	}{
		{"a policy", "app", "list", listAll, accepted},
		{"in its place another", "APP", "list", denyAll, accepted},
		{"a second one up to the quota", "app", "big", sized(maxInline[Roles] - len(denyAll)), accepted},
		{"one character more", "app", "big", sized(maxInline[Roles] - len(denyAll) + 1), fault.Limit},
		{"of no such role", "apps", "list", listAll, fault.NotFound},
		{"with a bad name", "app", "a b", listAll, fault.Invalid},
		{"with a name of 129 characters", "app", strings.Repeat("n", 129), listAll, fault.Invalid},
		{"with a principal", "app", "list", podTrust, fault.MalformedPolicy},
	} {
		t.Run(test.name, func(t *testing.T) {
			wants(t, "PutRolePolicy", w.PutPolicy(t.Context(), Who{Roles, one, test.role}, test.policy, test.text), test.want)
		})
	}
	role, err := w.Role(one, "app")
	must(t, err)
	if len(role.Inline) != 2 || role.Inline[0].Name != "big" || len(w.roleMay(t, role)) != 2 {
		t.Errorf("policies: got %+v, want big and list", role.Inline)
	}
	if p, err := role.Policy("list"); err != nil || p.Document.Text() != denyAll {
		t.Errorf("the replaced policy: got %v, %v", p, err)
	}
	if _, err := role.Policy("lists"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a policy that is not there: got %v, want NotFound", err)
	}
	if len(before.Inline) != 0 {
		t.Error("a role that was handed out was changed in place")
	}
	wants(t, "DeleteRolePolicy", w.DeletePolicy(t.Context(), Who{Roles, one, "app"}, "list"), accepted)
	wants(t, "DeleteRolePolicy again", w.DeletePolicy(t.Context(), Who{Roles, one, "app"}, "list"), fault.NotFound)
}

func TestUpdateRoleAndTrust(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app", Description: "first"})
	second, twoHours, tooLong := "second", 2*time.Hour, 13*time.Hour
	got, err := w.UpdateRole(t.Context(), one, "app", RoleUpdate{Description: &second})
	must(t, err)
	if got.Description != second || got.MaxSession != time.Hour {
		t.Errorf("a new description: got %q and %v, want the session kept", got.Description, got.MaxSession)
	}
	if got, err = w.UpdateRole(t.Context(), one, "app", RoleUpdate{MaxSession: &twoHours}); err != nil || got.MaxSession != twoHours || got.Description != second {
		t.Errorf("a new session: got %+v, %v", got, err)
	}
	_, err = w.UpdateRole(t.Context(), one, "app", RoleUpdate{MaxSession: &tooLong})
	wants(t, "a session of 13 h", err, fault.Invalid)

	wants(t, "UpdateTrust", w.UpdateTrust(t.Context(), one, "app", userTrust), accepted)
	wants(t, "UpdateTrust with a malformed policy", w.UpdateTrust(t.Context(), one, "app", listAll), fault.MalformedPolicy)
	wants(t, "UpdateTrust of no role", w.UpdateTrust(t.Context(), one, "apps", userTrust), fault.NotFound)
	role, err := w.Role(one, "app")
	must(t, err)
	if role.Trust.Text() != userTrust {
		t.Errorf("trust: got %s, want what was put last", role.Trust.Text())
	}
}

func TestRoleTags(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app", Tags: []Tag{{"b", "1"}, {"Team", "x"}}})
	must(t, w.Tag(t.Context(), Who{Roles, one, "app"}, []Tag{{"a", "2"}, {"team", "y"}}))
	check := func(want ...Tag) {
		t.Helper()
		role, err := w.Role(one, "app")
		must(t, err)
		if diff := cmp.Diff(want, role.Tags); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
	}
	check(Tag{"a", "2"}, Tag{"b", "1"}, Tag{"team", "y"})
	wants(t, "a reserved key", w.Tag(t.Context(), Who{Roles, one, "app"}, []Tag{{"aws:x", "2"}}), fault.Invalid)
	must(t, w.Untag(t.Context(), Who{Roles, one, "app"}, []string{"TEAM", "a", "absent"}))
	check(Tag{"b", "1"})
	wants(t, "untagging no role", w.Untag(t.Context(), Who{Roles, one, "apps"}, []string{"a"}), fault.NotFound)
}

func TestAClusterRoleChangesOnlyWithItsCluster(t *testing.T) {
	w := fresh(t)
	in := ClusterRole{Account: one, Name: "lanyard-agent-1", Cluster: "1", Trust: podTrust, Permissions: listAll}
	put := func(tx *store.Tx) error { return w.PutClusterRole(tx, in) }
	must(t, w.store.Update(t.Context(), put))
	role, err := w.Role(one, in.Name)
	must(t, err)
	if role.Cluster != "1" || len(w.roleMay(t, role)) != 1 || role.MaxSession != 12*time.Hour {
		t.Errorf("the role: got %+v", role)
	}
	description := "mine"
	for name, change := range map[string]func() error{
		"UpdateRole": func() error {
			_, err := w.UpdateRole(t.Context(), one, in.Name, RoleUpdate{Description: &description})
			return err
		},
		"UpdateTrust":      func() error { return w.UpdateTrust(t.Context(), one, in.Name, userTrust) },
		"PutRolePolicy":    func() error { return w.PutPolicy(t.Context(), Who{Roles, one, in.Name}, "all", listAll) },
		"DeleteRolePolicy": func() error { return w.DeletePolicy(t.Context(), Who{Roles, one, in.Name}, in.Name) },
		"TagRole":          func() error { return w.Tag(t.Context(), Who{Roles, one, in.Name}, []Tag{{"a", "b"}}) },
		"UntagRole":        func() error { return w.Untag(t.Context(), Who{Roles, one, in.Name}, []string{"a"}) },
		"DeleteRole":       func() error { return w.DeleteRole(t.Context(), one, strings.ToUpper(in.Name)) },
	} {
		wants(t, name, change(), fault.Unmodifiable)
	}
	wants(t, "a second one of the name", w.store.Update(t.Context(), put), fault.Exists)
	must(t, w.store.Update(t.Context(), func(tx *store.Tx) error { return w.DeleteClusterRole(tx, one, in.Name) }))
	if _, err := w.Role(one, in.Name); !fault.Is(err, fault.NotFound) {
		t.Errorf("after its cluster: got %v, want NotFound", err)
	}
}

func TestRolesAreListedByNameInPages(t *testing.T) {
	w := fresh(t)
	for name, path := range map[string]string{"d": "/", "B": "/team/", "a": "/team/pay/", "c": "/teams/"} {
		w.create(t, NewRole{Account: one, Name: name, Path: path})
	}
	w.create(t, NewRole{Account: two, Name: "aa"})
	for _, test := range []struct {
		name, prefix, after string
		limit               int
		want                []string
	}{
		{"all", "", "", 0, []string{"a", "B", "c", "d"}},
		{"the first two", "", "", 2, []string{"a", "B"}},
		{"the next two", "", "B", 2, []string{"c", "d"}},
		{"after a name that is gone", "", "bb", 0, []string{"c", "d"}},
		{"under a path", "/team/", "", 0, []string{"a", "B"}},
		{"under a path, the second", "/team/", "a", 1, []string{"B"}},
		{"under no such path", "/x/", "", 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			roles, err := w.Roles(one, test.prefix, test.after, test.limit)
			must(t, err)
			var got []string
			for _, r := range roles {
				got = append(got, r.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Roles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPermissionsAreThoseOfNow(t *testing.T) {
	w := fresh(t)
	w.create(t, NewRole{Account: one, Name: "app"})
	question := &policy.Question{Action: "s3:ListAllMyBuckets", Resource: "*"}
	for _, step := range []struct {
		name string
		do   func() error
		want policy.Effect
	}{
		{"without a policy", func() error { return nil }, policy.ImplicitDeny},
		{"given", func() error { return w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "list", listAll) }, policy.Allow},
		{"denied", func() error { return w.PutPolicy(t.Context(), Who{Roles, one, "app"}, "no", denyAll) }, policy.Deny},
		{"given back", func() error { return w.DeletePolicy(t.Context(), Who{Roles, one, "app"}, "no") }, policy.Allow},
		{"taken away", func() error { return w.DeletePolicy(t.Context(), Who{Roles, one, "app"}, "list") }, policy.ImplicitDeny},
	} {
		must(t, step.do())
		role, err := w.Role(one, "app")
		must(t, err)
		if got := policy.Evaluate(question, w.roleMay(t, role)).Effect; got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}
