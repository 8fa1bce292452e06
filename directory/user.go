package directory

import (
	"context"
	"slices"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// User is a person or tool with long-term access keys. A stored User is never changed in place.
type User struct {
	Identity
	Groups []string // ids of groups, in the order in which it joined them
}

func (u *User) clone() *User {
	c := *u
	c.unshared()
	c.Groups = slices.Clone(u.Groups)
	return &c
}

func (u *User) sealed() *User {
	u.finish(Users)
	return u
}

// NewUser is what CreateUser takes. An empty path is "/".
type NewUser struct {
	Account, Path, Name string
	Tags                []Tag
	Boundary            string // the ARN of a managed policy; "": none
}

// CreateUser stores a user and returns it.
func (d *Directory) CreateUser(ctx context.Context, in NewUser) (*User, error) {
	if in.Path == "" {
		in.Path = "/"
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	if err := checkName(Users, in.Path, in.Name); err != nil {
		return nil, err
	}
	user := newUser(in.Account, in.Path, in.Name, d.now())
	user.Tags = tags
	return user, d.store.Update(ctx, func(tx *store.Tx) error {
		if err := d.bound(tx, &user.Identity, in.Boundary); err != nil {
			return err
		}
		return d.users.create(tx, user)
	})
}

func newUser(account, path, name string, now time.Time) *User {
	return (&User{Identity: Identity{Account: account, Path: path, Name: name, ID: newID("AIDA", 17), Created: now}}).sealed()
}

// User returns a user of the account by name, whatever its case.
func (d *Directory) User(account, name string) (*User, error) { return d.users.byName(account, name) }

// Users returns the account's users whose path begins with pathPrefix, by name, at most limit of them after the name
// `after`.
func (d *Directory) Users(account, pathPrefix, after string, limit int) ([]*User, error) {
	return d.users.under(account, pathPrefix, after, limit)
}

// MoveUser gives a user another path or name. Its id, keys, groups and policies stay.
func (d *Directory) MoveUser(ctx context.Context, account, name string, to Move) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		u, err := d.users.change(tx, account, name, func(u *User) error { return to.apply(&u.Identity) })
		if err != nil {
			return err
		}
		keys, err := d.keysByUser.Read(tx, nameKey(account, name))
		if err != nil {
			return err
		}
		for _, k := range keys {
			moved := *k
			moved.User = u.Name
			if err := d.keys.Put(tx, k.ID, &moved); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteUser removes a user that has no keys, groups and policies left.
func (d *Directory) DeleteUser(ctx context.Context, account, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		u, err := d.users.read(tx, account, name)
		if err != nil {
			return err
		}
		keys, err := d.keysByUser.Read(tx, nameKey(account, name))
		if err != nil {
			return err
		}
		switch {
		case len(keys) > 0:
			return fault.New(fault.InUse, "Cannot delete entity, must delete access keys first.")
		case len(u.Groups) > 0:
			return fault.New(fault.InUse, "Cannot delete entity, must remove users from group first.")
		}
		if err := u.isFree(); err != nil {
			return err
		}
		return d.users.Delete(tx, nameKey(account, name))
	})
}
