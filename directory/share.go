package directory

import (
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// share says what a gateway of an account is told: the account's users, groups, roles, policies and access keys, of these no secret. Of a
// role of another account, where an association ties it to this one, it is told the name and the id.
func (d *Directory) share() {
	store.Share(d.users.Table, store.Rule[*User]{See: func(viewer, _ string, u *User) (*User, bool) { return u, u.Account == viewer }})
	store.Share(d.groups.Table, store.Rule[*Group]{See: func(viewer, _ string, g *Group) (*Group, bool) { return g, g.Account == viewer }})
	store.Share(d.policies, store.Rule[*ManagedPolicy]{See: func(viewer, _ string, p *ManagedPolicy) (*ManagedPolicy, bool) {
		return p, p.Account == viewer
	}})
	store.Share(d.keys, store.Rule[*AccessKey]{See: func(viewer, _ string, k *AccessKey) (*AccessKey, bool) {
		if k.Account != viewer {
			return nil, false
		}
		without := *k
		without.Secret = ""
		return &without, true
	}})
	store.Share(d.roles.Table, store.Rule[*Role]{See: func(viewer, _ string, r *Role) (*Role, bool) {
		if r.Account == viewer {
			return r, true
		}
		if d.tied == nil || !d.tied(viewer, r.ARN()) {
			return nil, false
		}
		return r.nameOnly(), true
	}})
}

// ShareTied adds what ties a role of another account to the viewer. Declared before the store's Start.
func (d *Directory) ShareTied(tied func(viewer string, role arn.ARN) bool) { d.tied = tied }

// RoleRef names the record of a role, for whoever ties it to another account.
func RoleRef(account, name string) store.Ref {
	return store.Ref{Table: roleTable, Key: nameKey(account, name)}
}

// nobody is the trust policy of a role that is known by name only.
var nobody = func() *policy.Document {
	doc, err := policy.Parse(policy.Trust,
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*"}}`)
	if err != nil {
		panic(err) // a broken constant
	}
	return doc
}()

// nameOnly returns what the digest of an association is made of, and no more.
func (r *Role) nameOnly() *Role {
	return (&Role{Identity: Identity{Account: r.Account, Path: r.Path, Name: r.Name, ID: r.ID}, Trust: nobody}).sealed()
}
