package directory

import (
	"context"
	"slices"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// Group is a set of users with policies for all of them. It is no principal, and signs nothing. A stored Group is never
// changed in place.
//
// Who belongs to it is in the records of the users. Its policies are looked up when a user is made a principal, so that
// joining and leaving are in force at the next request.
type Group struct {
	Identity
}

func (g *Group) clone() *Group {
	c := *g
	c.unshared()
	return &c
}

func (g *Group) sealed() *Group {
	g.finish(Groups)
	return g
}

const maxGroups = 10 // of one user

// CreateGroup stores a group and returns it. An empty path is "/".
func (d *Directory) CreateGroup(ctx context.Context, account, path, name string) (*Group, error) {
	if path == "" {
		path = "/"
	}
	if err := checkName(Groups, path, name); err != nil {
		return nil, err
	}
	group := (&Group{Identity{Account: account, Path: path, Name: name, ID: newID("AGPA", 17), Created: d.now()}}).sealed()
	return group, d.store.Update(ctx, func(tx *store.Tx) error { return d.groups.create(tx, group) })
}

// Group returns a group of the account by name, whatever its case.
func (d *Directory) Group(account, name string) (*Group, error) {
	return d.groups.byName(account, name)
}

// Groups returns the account's groups whose path begins with pathPrefix, by name, at most limit of them after the name
// `after`.
func (d *Directory) Groups(account, pathPrefix, after string, limit int) ([]*Group, error) {
	return d.groups.under(account, pathPrefix, after, limit)
}

// Move names what a user or group is to be called; nil keeps.
type Move struct{ Path, Name *string }

func (m Move) apply(i *Identity) error {
	if m.Path != nil {
		i.Path = *m.Path
	}
	if m.Name != nil {
		i.Name = *m.Name
	}
	return checkName(i.kind, i.Path, i.Name)
}

// MoveGroup gives a group another path or name. Its id, users and policies stay.
func (d *Directory) MoveGroup(ctx context.Context, account, name string, to Move) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		_, err := d.groups.change(tx, account, name, func(g *Group) error { return to.apply(&g.Identity) })
		return err
	})
}

// DeleteGroup removes a group that has no users and no policies left.
func (d *Directory) DeleteGroup(ctx context.Context, account, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		g, err := d.groups.read(tx, account, name)
		if err != nil {
			return err
		}
		users, err := d.usersByGroup.Read(tx, g.ID)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return fault.New(fault.InUse, "Cannot delete entity, must remove users from group first.")
		}
		if err := g.isFree(); err != nil {
			return err
		}
		return d.groups.Delete(tx, nameKey(account, name))
	})
}

// Join puts a user into a group; done before, it is done.
func (d *Directory) Join(ctx context.Context, account, group, user string) error {
	return d.membership(ctx, account, group, user, func(u *User, g *Group) error {
		switch {
		case slices.Contains(u.Groups, g.ID):
			return nil
		case len(u.Groups) >= maxGroups:
			return fault.New(fault.Limit, "Cannot exceed quota for GroupsPerUser: %d", maxGroups)
		}
		u.Groups = append(u.Groups, g.ID)
		return nil
	})
}

// Leave takes a user out of a group; one that is not in it stays so.
func (d *Directory) Leave(ctx context.Context, account, group, user string) error {
	return d.membership(ctx, account, group, user, func(u *User, g *Group) error {
		u.Groups = slices.DeleteFunc(u.Groups, func(id string) bool { return id == g.ID })
		return nil
	})
}

// membership also writes the group as it is: a deletion under way, which has seen it empty, then fails.
func (d *Directory) membership(ctx context.Context, account, group, user string, change func(*User, *Group) error) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		g, err := d.groups.change(tx, account, group, func(*Group) error { return nil })
		if err != nil {
			return err
		}
		_, err = d.users.change(tx, account, user, func(u *User) error { return change(u, g) })
		return err
	})
}

// Members returns the group's users by name, at most limit of them after the name `after`; a limit of 0 is none.
func (d *Directory) Members(g *Group, after string, limit int) []*User {
	return some(d.usersByGroup.Get(g.ID), after, limit, func(*User) bool { return true })
}

// GroupsOf returns the user's groups, by name.
func (d *Directory) GroupsOf(u *User) ([]*Group, error) {
	all := make([]*Group, 0, len(u.Groups))
	for _, id := range u.Groups {
		g, err := d.groupByID(id)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *Group) int { return ByName(&a.Identity, &b.Identity) })
	return all, nil
}

// groupByID returns a group that somebody is in. One that cannot be read may have a Deny, as in policyByID.
func (d *Directory) groupByID(id string) (*Group, error) {
	found := d.groupsByID.Get(id)
	if len(found) == 0 {
		return nil, fault.New(fault.Unavailable, "the user's group with id %s cannot be read", id)
	}
	return found[0], nil
}

// groupPermissions adds what the groups' policies say now.
func (d *Directory) groupPermissions(docs []*policy.Document, groups []string) ([]*policy.Document, error) {
	for _, id := range groups {
		g, err := d.groupByID(id)
		if err != nil {
			return nil, err
		}
		of, err := d.permissions(&g.Identity)
		if err != nil {
			return nil, err
		}
		docs = append(slices.Clip(docs), of...)
	}
	return docs, nil
}
