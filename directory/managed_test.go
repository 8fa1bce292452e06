package directory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// sized is a document of n characters without white space.
func sized(n int) string {
	return listAll[:len(listAll)-1] + strings.Repeat(" ", 3000) + `,"Id":"` + strings.Repeat("x", n-len(listAll)-len(`,"Id":""`)) + `"}`
}

func TestCreateManagedPolicy(t *testing.T) {
	w := fresh(t)
	p, err := w.CreateManagedPolicy(t.Context(), NewManagedPolicy{Account: one, Path: "/team/", Name: "Read", Text: listAll, Tags: []Tag{{"a", "b"}}})
	must(t, err)
	if len(p.ID) != 21 || !strings.HasPrefix(p.ID, "ANPA") || p.ARN().String() != policyARN("team/Read") || p.Default != 1 || !p.Updated().Equal(made) {
		t.Errorf("the policy: got %+v", p)
	}
	for _, test := range []struct {
		name string
		in   NewManagedPolicy
		want fault.Kind
	}{
		{"up to the quota", NewManagedPolicy{Name: "large", Text: sized(maxPolicy)}, accepted},
		{"one character more", NewManagedPolicy{Name: "larger", Text: sized(maxPolicy + 1)}, fault.Limit},
		{"the name in another case and path", NewManagedPolicy{Name: "read", Text: listAll}, fault.Exists},
		{"a bad name", NewManagedPolicy{Name: "a b", Text: listAll}, fault.Invalid},
		{"a name of 129 characters", NewManagedPolicy{Name: strings.Repeat("n", 129), Text: listAll}, fault.Invalid},
		{"a path without its end", NewManagedPolicy{Name: "x", Path: "/team", Text: listAll}, fault.Invalid},
		{"a path with a wildcard", NewManagedPolicy{Name: "x", Path: "/*/", Text: listAll}, fault.Invalid},
		{"a long description", NewManagedPolicy{Name: "x", Text: listAll, Description: strings.Repeat("é", 1001)}, fault.Invalid},
		{"a reserved tag", NewManagedPolicy{Name: "x", Text: listAll, Tags: []Tag{{"aws:x", ""}}}, fault.Invalid},
		{"a trust policy", NewManagedPolicy{Name: "x", Text: podTrust}, fault.MalformedPolicy},
		{"no policy", NewManagedPolicy{Name: "x"}, fault.MalformedPolicy},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.in.Account = one
			_, err := w.CreateManagedPolicy(t.Context(), test.in)
			wants(t, "CreateManagedPolicy", err, test.want)
		})
	}
}

// A name that was authorized must not stand for another that reads alike.
func TestManagedPolicyByItsNameToTheLetter(t *testing.T) {
	w := fresh(t)
	_, err := w.CreateManagedPolicy(t.Context(), NewManagedPolicy{Account: one, Path: "/team/", Name: "Read", Text: listAll})
	must(t, err)
	for _, test := range []struct {
		name, account, arn string
		want               fault.Kind
	}{
		{"the name", one, policyARN("team/Read"), accepted},
		{"another case", one, policyARN("team/read"), fault.NotFound},
		{"another path", one, policyARN("Read"), fault.NotFound},
		{"another account's", two, policyARN("team/Read"), fault.NotFound},
		{"one of AWS's that is not here", one, AWSPolicies + "PowerUserAccess", fault.NotFound},
		{"one of AWS's in another case", one, AWSPolicies + "administratoraccess", fault.NotFound},
		{"a role's", one, "arn:aws:iam::" + one + ":role/team/Read", fault.Invalid},
		{"with a region", one, "arn:aws:iam:us-east-1:" + one + ":policy/team/Read", fault.Invalid},
		{"no ARN", one, "Read", fault.Invalid},
	} {
		p, err := w.ManagedPolicy(test.account, test.arn)
		wants(t, test.name, err, test.want)
		if (p == nil) != (err != nil) {
			t.Errorf("%s: got %v beside %v", test.name, p, err)
		}
		changed := test.want
		if strings.HasPrefix(test.arn, AWSPolicies) {
			changed = fault.Denied // to everybody, whichever it is
		}
		wants(t, test.name+", changed", w.SetDefaultPolicyVersion(t.Context(), test.account, test.arn, 1), changed)
	}
}

func TestPolicyVersions(t *testing.T) {
	w := fresh(t)
	name := w.managed(t, "p", listAll)
	before, err := w.ManagedPolicy(one, name)
	must(t, err)
	add := func(inForce bool) error {
		_, _, err := w.CreatePolicyVersion(t.Context(), one, name, denyAll, inForce)
		return err
	}
	set := func(n int) error { return w.SetDefaultPolicyVersion(t.Context(), one, name, n) }
	remove := func(n int) error { return w.DeletePolicyVersion(t.Context(), one, name, n) }
	for _, step := range []struct {
		name     string
		do       func() error
		want     fault.Kind
		versions string // the numbers, the one in force with a star
	}{
		{"a second", func() error { return add(false) }, accepted, "1* 2"},
		{"a third in force", func() error { return add(true) }, accepted, "1 2 3*"},
		{"the one in force deleted", func() error { return remove(3) }, fault.InUse, "1 2 3*"},
		{"one that is not there", func() error { return remove(4) }, fault.NotFound, "1 2 3*"},
		{"one that is not there in force", func() error { return set(4) }, fault.NotFound, "1 2 3*"},
		{"the first in force", func() error { return set(1) }, accepted, "1* 2 3"},
		{"the third deleted", func() error { return remove(3) }, accepted, "1* 2"},
		{"a number is not given again", func() error { return add(false) }, accepted, "1* 2 4"},
		{"a fifth", func() error { return add(false) }, accepted, "1* 2 4 5"},
		{"a sixth", func() error { return add(false) }, accepted, "1* 2 4 5 6"},
		{"one too many", func() error { return add(true) }, fault.Limit, "1* 2 4 5 6"},
		{"deleted with five versions", func() error { return w.DeleteManagedPolicy(t.Context(), one, name) }, fault.InUse, "1* 2 4 5 6"},
	} {
		wants(t, step.name, step.do(), step.want)
		p, err := w.ManagedPolicy(one, name)
		must(t, err)
		var got []string
		for _, v := range p.Versions {
			text := fmt.Sprint(v.Number)
			if v.Number == p.Default {
				text += "*"
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != step.versions {
			t.Errorf("%s: got versions %v, want %s", step.name, got, step.versions)
		}
	}
	if len(before.Versions) != 1 || before.Document().Text() != listAll {
		t.Error("a policy that was handed out was changed in place")
	}
}

func TestPolicyTags(t *testing.T) {
	w := fresh(t)
	name := w.managed(t, "p", listAll)
	must(t, w.TagPolicy(t.Context(), one, name, []Tag{{"b", "1"}, {"a", "2"}}))
	must(t, w.TagPolicy(t.Context(), one, name, []Tag{{"B", "3"}}))
	must(t, w.UntagPolicy(t.Context(), one, name, []string{"A", "none"}))
	p, err := w.ManagedPolicy(one, name)
	must(t, err)
	if got := fmt.Sprint(p.Tags); got != "[{B 3}]" {
		t.Errorf("tags: got %s, want [{B 3}]", got)
	}
	wants(t, "a reserved one", w.TagPolicy(t.Context(), one, name, []Tag{{"aws:x", ""}}), fault.Invalid)
	wants(t, "of no such policy", w.TagPolicy(t.Context(), one, policyARN("q"), []Tag{{"a", ""}}), fault.NotFound)
	wants(t, "keys of no such policy", w.UntagPolicy(t.Context(), one, policyARN("q"), []string{"a"}), fault.NotFound)
}

func TestPagesReadOn(t *testing.T) {
	w := fresh(t)
	for _, name := range []string{"a1", "b1", "B2", "c1", "c2"} {
		w.managed(t, name, listAll)
		w.create(t, NewRole{Account: one, Name: name, Path: "/" + strings.ToLower(name[:1]) + "/"})
	}
	w.create(t, NewRole{Account: two, Name: "b9", Path: "/b/"})
	for _, test := range []struct {
		name, prefix, after string
		limit               int
		want                string
	}{
		{"all", "", "", 0, "a1 b1 B2 c1 c2"},
		{"the first two", "", "", 2, "a1 b1"},
		{"the next two", "", "b1", 2, "B2 c1"},
		{"the last", "", "c1", 2, "c2"},
		{"after the last", "", "c2", 2, ""},
		{"some far behind", "/c/", "", 1, "c1"},
		{"some in the middle", "/b/", "", 3, "b1 B2"},
		{"none", "/d/", "", 2, ""},
		{"after one of no such name", "", "b2a", 9, "c1 c2"},
	} {
		roles, err := w.Roles(one, test.prefix, test.after, test.limit)
		must(t, err)
		policies, err := w.ManagedPolicies(one, test.after, test.limit, func(p *ManagedPolicy) bool {
			return test.prefix == "" || strings.HasPrefix("/"+strings.ToLower(p.Name), strings.TrimSuffix(test.prefix, "/"))
		})
		must(t, err)
		var gotRoles, gotPolicies []string
		for _, r := range roles {
			gotRoles = append(gotRoles, r.Name)
		}
		for _, p := range policies {
			gotPolicies = append(gotPolicies, p.Name)
		}
		if strings.Join(gotRoles, " ") != test.want || strings.Join(gotPolicies, " ") != test.want {
			t.Errorf("%s: got roles %v and policies %v, want %s", test.name, gotRoles, gotPolicies, test.want)
		}
	}
}

// A record of the version before attachments is a role or user without any.
func TestRecordsFromBeforeAttachments(t *testing.T) {
	dir, key := folder(t), store.NewMasterKey()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, MasterKey: key})
	must(t, err)
	first := store.Codec[string]{
		Version: 1,
		Encode:  func(_ *store.Sealer, _ string, v string) ([]byte, error) { return []byte(v), nil },
		Decode:  func(_ *store.Sealer, _ string, _ int, data []byte) (string, error) { return string(data), nil },
	}
	users, roles := store.NewTable(st, "user", first), store.NewTable(st, "role", first)
	must(t, st.Start(t.Context()))
	must(t, st.Update(t.Context(), func(tx *store.Tx) error {
		if err := users.Put(tx, one+"/ann", `{"account":"`+one+`","path":"/","name":"ann","id":"AIDAX","created":"2026-11-22T10:00:00Z"}`); err != nil {
			return err
		}
		return roles.Put(tx, one+"/app", fmt.Sprintf(`{"account":%q,"path":"/","name":"app","id":"AROAX","created":"2026-11-22T10:00:00Z",`+
			`"maxSessionSeconds":3600,"trust":%q,"inline":[{"name":"list","document":%q}]}`, one, podTrust, listAll))
	}))
	must(t, st.Close())

	w := open(t, dir, key)
	role, err := w.Role(one, "app")
	must(t, err)
	ann, err := w.User(one, "ann")
	must(t, err)
	if role.Attached != nil || ann.Attached != nil || len(w.roleMay(t, role)) != 1 {
		t.Errorf("got %+v and %+v, want no attachments", role, ann)
	}
	name := w.managed(t, "p", denyAll)
	must(t, w.Attach(t.Context(), Who{Roles, one, "app"}, name))
	must(t, w.Attach(t.Context(), Who{Users, one, "ann"}, name))
	must(t, w.store.Ready())
}
