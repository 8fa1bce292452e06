package directory

import (
	"context"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// Role is an identity that others become for a while. A stored Role is never changed in place.
type Role struct {
	Identity
	Description string
	MaxSession  time.Duration    // 1 h to 12 h; does not bound pod sessions, as at AWS
	Trust       *policy.Document // who may become it
	Cluster     string           // id of the cluster whose own role this is; such a role changes only with its cluster
}

// NamedRole returns a role of which nothing but its ARN is known: one that AWS has.
func NamedRole(role arn.ARN) *Role {
	path, name, _ := role.RoleName()
	r := &Role{Identity: Identity{Account: role.Account, Path: path, Name: name}}
	r.finish(Roles)
	return r
}

func (r *Role) clone() *Role {
	c := *r
	c.unshared()
	return &c
}

func (r *Role) sealed() *Role {
	r.finish(Roles)
	return r
}

// NewRole is what CreateRole takes. Zero values mean IAM's defaults: path "/", sessions of one hour.
type NewRole struct {
	Account, Path, Name, Description string
	Trust                            string
	MaxSession                       time.Duration
	Tags                             []Tag
	Boundary                         string // the ARN of a managed policy; "": none
}

const maxTrust = 4096 // characters without white space

// CreateRole stores a role and returns it.
func (d *Directory) CreateRole(ctx context.Context, in NewRole) (*Role, error) {
	role, err := d.newRole(in)
	if err != nil {
		return nil, err
	}
	if err := d.CheckManaged(in.Account, in.Name); err != nil {
		return nil, err
	}
	err = d.store.Update(ctx, func(tx *store.Tx) error {
		if err := d.bound(tx, &role.Identity, in.Boundary); err != nil {
			return err
		}
		return d.roles.create(tx, role)
	})
	return role, err
}

func (d *Directory) newRole(in NewRole) (*Role, error) {
	if in.Path == "" {
		in.Path = "/"
	}
	if in.MaxSession == 0 {
		in.MaxSession = time.Hour
	}
	trust, err := parseTrust(in.Trust)
	if err != nil {
		return nil, err
	}
	tags, err := mergeTags(nil, in.Tags)
	if err != nil {
		return nil, err
	}
	role := &Role{
		Identity:    Identity{Account: in.Account, Path: in.Path, Name: in.Name, ID: newID("AROA", 17), Created: d.now(), Tags: tags},
		Description: in.Description, MaxSession: in.MaxSession, Trust: trust,
	}
	return role.sealed(), checkRole(role)
}

// ClusterRole is a role that belongs to a cluster: its agent's or its connector's.
type ClusterRole struct {
	Account, Name, Cluster string
	Trust, Permissions     string
}

// PutClusterRole stores a cluster's own role as part of the caller's transaction.
func (d *Directory) PutClusterRole(tx *store.Tx, in ClusterRole) error {
	role, err := d.newRole(NewRole{Account: in.Account, Name: in.Name, Trust: in.Trust, MaxSession: 12 * time.Hour})
	if err != nil {
		return err
	}
	p, err := newInline(in.Name, in.Permissions)
	if err != nil {
		return err
	}
	role.Cluster, role.Inline = in.Cluster, []InlinePolicy{p}
	return d.roles.putNew(tx, role)
}

// DeleteClusterRole removes a cluster's own role as part of the caller's transaction.
func (d *Directory) DeleteClusterRole(tx *store.Tx, account, name string) error {
	r, ok, err := d.roles.Read(tx, nameKey(account, name))
	if err != nil || !ok {
		return err
	}
	return d.deleteRole(tx, r)
}

func (d *Directory) deleteRole(tx *store.Tx, r *Role) error {
	if err := d.usage.Delete(tx, r.ID); err != nil {
		return err
	}
	return d.roles.Delete(tx, nameKey(r.Account, r.Name))
}

// Role returns a role of the account by name, whatever its case.
func (d *Directory) Role(account, name string) (*Role, error) { return d.roles.byName(account, name) }

// RoleByARN returns the role that the ARN names, with its path.
func (d *Directory) RoleByARN(name arn.ARN) (*Role, error) {
	path, short, ok := name.RoleName()
	if !ok {
		return nil, fault.New(fault.Invalid, "%q is not a role's ARN", name.String())
	}
	r, err := d.Role(name.Account, short)
	if err == nil && (r.Path != path || r.Name != short) {
		err = d.roles.none(short)
	}
	return r, err
}

// RoleByID returns the role with the stable id; NotFound once it is deleted, also when its name was given again.
func (d *Directory) RoleByID(id string) (*Role, error) {
	found := d.rolesByID.Get(id)
	if len(found) == 0 {
		return nil, fault.New(fault.NotFound, "the role with id %s does not exist", id)
	}
	return found[0], nil
}

// Roles returns the account's roles whose path begins with pathPrefix, by name, at most limit of them after the name
// `after`.
func (d *Directory) Roles(account, pathPrefix, after string, limit int) ([]*Role, error) {
	return d.roles.under(account, pathPrefix, after, limit)
}

// RoleUpdate names what UpdateRole changes; nil keeps.
type RoleUpdate struct {
	Description *string
	MaxSession  *time.Duration
}

// UpdateRole changes a role's description and longest session.
func (d *Directory) UpdateRole(ctx context.Context, account, name string, in RoleUpdate) (*Role, error) {
	return d.updateRole(ctx, account, name, func(r *Role) error {
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.MaxSession != nil {
			r.MaxSession = *in.MaxSession
		}
		return checkRole(r)
	})
}

// UpdateTrust replaces a role's trust policy.
func (d *Directory) UpdateTrust(ctx context.Context, account, name, text string) error {
	trust, err := parseTrust(text)
	if err != nil {
		return err
	}
	_, err = d.updateRole(ctx, account, name, func(r *Role) error {
		r.Trust = trust
		return nil
	})
	return err
}

// DeleteRole removes a role that has no policies left, inline or attached. Its sessions end with it.
func (d *Directory) DeleteRole(ctx context.Context, account, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		r, err := d.roles.read(tx, account, name)
		if err != nil {
			return err
		}
		if err := r.isFree(); err != nil {
			return err
		}
		return d.deleteRole(tx, r)
	})
}

func (d *Directory) updateRole(ctx context.Context, account, name string, change func(*Role) error) (changed *Role, err error) {
	err = d.store.Update(ctx, func(tx *store.Tx) (err error) {
		changed, err = d.roles.change(tx, account, name, change)
		return err
	})
	return changed, err
}

// isOwn tells a role that its account may change: one made by the system for a cluster is not.
func isOwn(r *Role) error {
	if r.Cluster != "" {
		return fault.New(fault.Unmodifiable, "The role %s belongs to a cluster and changes only with it.", r.Name)
	}
	return nil
}
