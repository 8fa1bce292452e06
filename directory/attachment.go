package directory

import (
	"context"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// An attachment is the id of a managed policy in the record of a role or user. What it allows is looked up when the
// principal is made, so that a policy's new default version is in force at the next request.

// AttachRolePolicy attaches a role to the policy with the ARN; done before, it is done.
func (d *Directory) AttachRolePolicy(ctx context.Context, account, role, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		p, err := d.holdPolicy(tx, account, name)
		if err != nil {
			return err
		}
		return d.changeRole(tx, account, role, func(r *Role) (err error) {
			r.Attached, err = attach(r.Attached, p, "PoliciesPerRole")
			return err
		})
	})
}

// AttachUserPolicy attaches a user to the policy with the ARN; done before, it is done.
func (d *Directory) AttachUserPolicy(ctx context.Context, account, user, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		p, err := d.holdPolicy(tx, account, name)
		if err != nil {
			return err
		}
		return d.changeUser(tx, account, user, func(u *User) (err error) {
			u.Attached, err = attach(u.Attached, p, "PoliciesPerUser")
			return err
		})
	})
}

// DetachRolePolicy takes a role's attachment away.
func (d *Directory) DetachRolePolicy(ctx context.Context, account, role, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		p, _, err := d.readPolicy(tx, account, name)
		if err != nil {
			return err
		}
		return d.changeRole(tx, account, role, func(r *Role) (err error) {
			r.Attached, err = detach(r.Attached, p)
			return err
		})
	})
}

// DetachUserPolicy takes a user's attachment away.
func (d *Directory) DetachUserPolicy(ctx context.Context, account, user, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		p, _, err := d.readPolicy(tx, account, name)
		if err != nil {
			return err
		}
		return d.changeUser(tx, account, user, func(u *User) (err error) {
			u.Attached, err = detach(u.Attached, p)
			return err
		})
	})
}

// holdPolicy reads a policy and writes it as it is: a deletion under way, which has seen it unattached, then fails.
func (d *Directory) holdPolicy(tx *store.Tx, account, name string) (*ManagedPolicy, error) {
	p, key, err := d.readPolicy(tx, account, name)
	if err != nil {
		return nil, err
	}
	return p, d.policies.Put(tx, key, p)
}

func attach(ids []string, p *ManagedPolicy, quota string) ([]string, error) {
	switch {
	case slices.Contains(ids, p.ID):
		return ids, nil
	case len(ids) >= maxAttached:
		return nil, fault.New(fault.Limit, "Cannot exceed quota for %s: %d", quota, maxAttached)
	}
	return append(ids, p.ID), nil
}

func detach(ids []string, p *ManagedPolicy) ([]string, error) {
	at := slices.Index(ids, p.ID)
	if at < 0 {
		return nil, fault.New(fault.NotFound, "Policy %s was not found.", p.ARN())
	}
	return slices.Delete(ids, at, at+1), nil
}

// Attached returns the policies with the ids, by name.
func (d *Directory) Attached(ids []string) ([]*ManagedPolicy, error) {
	all := make([]*ManagedPolicy, 0, len(ids))
	for _, id := range ids {
		p, err := d.policyByID(id)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *ManagedPolicy) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// AttachedTo returns the roles and users of a policy, by name.
func (d *Directory) AttachedTo(p *ManagedPolicy) ([]*Role, []*User) {
	return d.rolesByPolicy.Get(p.ID), d.usersByPolicy.Get(p.ID)
}

// RolePermissions returns what the role's policies say now, inline and managed, ready for policy.Evaluate.
func (d *Directory) RolePermissions(r *Role) ([]*policy.Document, error) {
	return d.permissions(r.inline, r.Attached)
}

// UserPermissions returns what the user's policies say now, as RolePermissions does.
func (d *Directory) UserPermissions(u *User) ([]*policy.Document, error) {
	return d.permissions(u.inline, u.Attached)
}

func (d *Directory) permissions(inline []*policy.Document, ids []string) ([]*policy.Document, error) {
	if len(ids) == 0 {
		return inline, nil
	}
	all := append(make([]*policy.Document, 0, len(inline)+len(ids)), inline...)
	for _, id := range ids {
		p, err := d.policyByID(id)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Document())
	}
	return all, nil
}

// policyByID returns a policy that something is attached to. One that cannot be read may be a Deny: to leave it out would
// give what it takes.
func (d *Directory) policyByID(id string) (*ManagedPolicy, error) {
	found := d.policiesByID.Get(id)
	if len(found) == 0 {
		return nil, fault.New(fault.Unavailable, "the attached policy with id %s cannot be read", id)
	}
	return found[0], nil
}
