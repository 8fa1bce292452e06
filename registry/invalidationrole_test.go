package registry

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/directory"
)

const (
	lakeTrust = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + one + `"},"Action":"sts:AssumeRole"}}`
	noTrust   = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"sts:*"}}`
)

// What ends a role of another account is told to the clusters whose associations lead to it, by the names of their own
// service accounts, and to nobody else; who was away finds it by its position.
func TestWhatEndsATargetRoleIsTold(t *testing.T) {
	far := []Invalidation{{ByServiceAccount, "ns/far"}}
	revoke := func(account, role string) func(*world, context.Context) error {
		return func(w *world, ctx context.Context) error {
			found, err := w.directory.Role(account, role)
			if err == nil {
				_, err = w.Revoke(ctx, account, "admin", Target{ByRole, found.ID})
			}
			return err
		}
	}
	remove := func(account, role string) func(*world, context.Context) error {
		return func(w *world, ctx context.Context) error { return w.directory.DeleteRole(ctx, account, role) }
	}
	trust := func(account, role, text string) func(*world, context.Context) error {
		return func(w *world, ctx context.Context) error { return w.directory.UpdateTrust(ctx, account, role, text) }
	}
	for _, c := range []struct {
		name       string
		do         func(*world, context.Context) error
		live, late []Invalidation // {lake} and {app} are the ids of the roles
		theirs     []Invalidation // what a cluster of the role's account is told
	}{
		{"revoked", revoke(two, "lake"), far, far, []Invalidation{{ByRole, "{lake}"}}},
		{"deleted", remove(two, "lake"), far, append([]Invalidation{{ByRole, "{lake}"}}, far...), []Invalidation{{ByRole, "{lake}"}}},
		{"deleted and made again", func(w *world, ctx context.Context) error {
			if err := w.directory.DeleteRole(ctx, two, "lake"); err != nil {
				return err
			}
			_, err := w.directory.CreateRole(ctx, directory.NewRole{Account: two, Name: "lake", Trust: lakeTrust})
			return err
		}, far, append([]Invalidation{{ByRole, "{lake}"}}, far...), []Invalidation{{ByRole, "{lake}"}}},
		{"trusts nobody", trust(two, "lake", noTrust), far, far, nil},
		{"the first role revoked", revoke(one, "app"), append([]Invalidation{{ByRole, "{app}"}}, far...), append([]Invalidation{{ByRole, "{app}"}}, far...), nil},
		{"the first role trusts nobody", trust(one, "app", noTrust), far, far, nil},

		{"its permissions changed", func(w *world, ctx context.Context) error {
			return w.directory.PutPolicy(ctx, directory.Roles.Named(two, "lake"), "p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
		}, nil, far, nil}, // a revision does not tell what changed
		{"the same trust again", trust(two, "lake", lakeTrust), nil, far, nil}, // nor whether
		{"another role of its account revoked", revoke(two, "pond"), nil, nil, []Invalidation{{ByRole, "{pond}"}}},
		{"another role of its account deleted", remove(two, "pond"), nil, nil, []Invalidation{{ByRole, "{pond}"}}},
		{"another role of its account trusts nobody", trust(two, "pond", noTrust), nil, nil, nil},
		{"a role of the first one's name", trust(two, "app", noTrust), nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := fresh(t)
			prod, aside, foreign := w.join(t, one, "prod"), w.join(t, one, "aside"), w.join(t, two, "prod")
			names := map[string]string{}
			var lake *directory.Role
			for _, name := range []string{"pond", "app", "lake"} {
				role, err := w.directory.CreateRole(t.Context(), directory.NewRole{Account: two, Name: name, Trust: lakeTrust})
				must(t, err)
				names["{"+name+"}"], lake = role.ID, role
			}
			app := w.role(t, one, "app")
			w.role(t, one, "pond")
			first, err := w.directory.Role(one, "app")
			must(t, err)
			names["{app}"] = first.ID
			a, err := w.CreateAssociation(t.Context(), NewAssociation{
				Account: one, Cluster: "prod", Namespace: "ns", ServiceAccount: "far", Role: app, Target: lake.ARN().String(),
			})
			must(t, err)
			w.associate(t, prod, "ns", "near", "arn:aws:iam::"+one+":role/pond")
			w.associate(t, aside, "ns", "far", "arn:aws:iam::"+one+":role/pond")

			place := w.Position()
			live, _ := w.watch(t, Watch{Cluster: prod, Caller: "n", After: place})
			beside, _ := w.watch(t, Watch{Cluster: aside, Caller: "b", After: place})
			theirs, _ := w.watch(t, Watch{Cluster: foreign, Caller: "t", After: place})
			must(t, c.do(w, t.Context()))
			named := func(list []Invalidation) []Invalidation { return fillIn(list, names) }
			if diff := cmp.Diff(told(live), named(c.live), anyOrder); diff != "" {
				t.Errorf("who watches is told (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(told(theirs), named(c.theirs), anyOrder); diff != "" {
				t.Errorf("the cluster of the role's account is told (-got +want):\n%s", diff)
			}
			for _, i := range told(beside) {
				if i != (Invalidation{ByRole, first.ID}) { // by the account of all its clusters
					t.Errorf("a cluster of the association's account that does not lead there is told %v", i)
				}
			}
			_, second := w.watch(t, Watch{Cluster: prod, Caller: "n", After: place, Associations: []string{a.ID}, Roles: []string{lake.ID}})
			if diff := cmp.Diff(second.Invalidations, named(c.late), anyOrder); diff != "" || second.Recheck {
				t.Errorf("who was away is told (recheck %v; -got +want):\n%s", second.Recheck, diff)
			}
			_, third := w.watch(t, Watch{Cluster: prod, Caller: "n", After: second.Position})
			if len(third.Invalidations) > 0 || third.Recheck {
				t.Errorf("told again: %+v", third)
			}
		})
	}
}

// fillIn puts the ids in the place of their names.
func fillIn(list []Invalidation, names map[string]string) (all []Invalidation) {
	for _, i := range list {
		for name, value := range names {
			i.Value = strings.ReplaceAll(i.Value, name, value)
		}
		all = append(all, i)
	}
	return all
}
