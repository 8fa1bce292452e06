package directory

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/store"
)

// Role is an identity that others become for a while. A stored Role is never changed in place.
type Role struct {
	Account, Path, Name string
	ID                  string // AROA and 17 characters; a role made again under the same name has another
	Description         string
	Created             time.Time
	MaxSession          time.Duration    // 1 h to 12 h; does not bound pod sessions, as at AWS
	Trust               *policy.Document // who may become it
	Inline              []InlinePolicy   // by name
	Attached            []string         // ids of managed policies, in the order of their attachment
	Tags                []Tag            // by key
	Cluster             string           // id of the cluster whose own role this is; such a role changes only with its cluster

	inline []*policy.Document
}

// ARN returns the role's name.
func (r *Role) ARN() arn.ARN { return arn.Role(r.Account, r.Path, r.Name) }

// Policy returns the inline policy with the name.
func (r *Role) Policy(name string) (InlinePolicy, error) {
	return findInline(r.Inline, name, "role")
}

func (r *Role) clone() *Role {
	c := *r
	c.Inline, c.Attached, c.Tags = slices.Clone(r.Inline), slices.Clone(r.Attached), slices.Clone(r.Tags)
	return &c
}

// sealed finishes a role before it is stored or served.
func (r *Role) sealed() *Role {
	r.inline = documents(r.Inline)
	return r
}

// NewRole is what CreateRole takes. Zero values mean IAM's defaults: path "/", sessions of one hour.
type NewRole struct {
	Account, Path, Name, Description string
	Trust                            string
	MaxSession                       time.Duration
	Tags                             []Tag
}

// Quotas that the room enforces, as IAM's (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html),
// roles at its raised value.
const (
	maxRoles      = 5000
	maxTrust      = 4096 // characters without white space
	maxRoleInline = 10240
	maxUserInline = 2048
	maxTags       = 50
)

// CreateRole stores a role and returns it.
func (d *Directory) CreateRole(ctx context.Context, in NewRole) (*Role, error) {
	role, err := d.newRole(in)
	if err != nil {
		return nil, err
	}
	err = d.store.Update(ctx, func(tx *store.Tx) error {
		if d.roles.ReadCount(tx, in.Account+"/") >= maxRoles {
			return fault.New(fault.Limit, "Cannot exceed quota for RolesPerAccount: %d", maxRoles)
		}
		return d.putNewRole(tx, role)
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
	if err := checkRole(in.Path, in.Name, in.Description, in.MaxSession); err != nil {
		return nil, err
	}
	return (&Role{
		Account: in.Account, Path: in.Path, Name: in.Name, ID: newID("AROA", 17), Description: in.Description,
		Created: d.now(), MaxSession: in.MaxSession, Trust: trust, Tags: tags,
	}).sealed(), nil
}

func (d *Directory) putNewRole(tx *store.Tx, role *Role) error {
	if _, taken, err := d.roles.Read(tx, nameKey(role.Account, role.Name)); err != nil {
		return err
	} else if taken {
		return fault.New(fault.Exists, "Role with name %s already exists.", role.Name)
	}
	return d.roles.Put(tx, nameKey(role.Account, role.Name), role)
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
	return d.putNewRole(tx, role.sealed())
}

// DeleteClusterRole removes a cluster's own role as part of the caller's transaction.
func (d *Directory) DeleteClusterRole(tx *store.Tx, account, name string) error {
	return d.roles.Delete(tx, nameKey(account, name))
}

// Role returns a role of the account by name, whatever its case.
func (d *Directory) Role(account, name string) (*Role, error) {
	r, ok, err := d.roles.Get(nameKey(account, name))
	if err == nil && !ok {
		err = noRole(name)
	}
	return r, err
}

// RoleByARN returns the role that the ARN names, with its path.
func (d *Directory) RoleByARN(name arn.ARN) (*Role, error) {
	path, short, ok := name.RoleName()
	if !ok {
		return nil, fault.New(fault.Invalid, "%q is not a role's ARN", name.String())
	}
	r, err := d.Role(name.Account, short)
	if err == nil && (r.Path != path || r.Name != short) {
		err = noRole(short)
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
	return page(d.roles, account, after, limit, func(r *Role) bool { return strings.HasPrefix(r.Path, pathPrefix) })
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
		return checkRole(r.Path, r.Name, r.Description, r.MaxSession)
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

// PutRolePolicy stores an inline policy of a role, in place of the one with the same name.
func (d *Directory) PutRolePolicy(ctx context.Context, account, role, name, text string) error {
	p, err := newInline(name, text)
	if err != nil {
		return err
	}
	_, err = d.updateRole(ctx, account, role, func(r *Role) error {
		r.Inline = putInline(r.Inline, p)
		if n := inlineSize(r.Inline); n > maxRoleInline {
			return fault.New(fault.Limit, "Maximum policy size of %d bytes exceeded for role %s", maxRoleInline, r.Name)
		}
		return nil
	})
	return err
}

// DeleteRolePolicy removes an inline policy of a role.
func (d *Directory) DeleteRolePolicy(ctx context.Context, account, role, name string) error {
	_, err := d.updateRole(ctx, account, role, func(r *Role) (err error) {
		r.Inline, err = deleteInline(r.Inline, name, "role")
		return err
	})
	return err
}

// TagRole adds tags to a role, in place of those with the same key.
func (d *Directory) TagRole(ctx context.Context, account, role string, tags []Tag) error {
	_, err := d.updateRole(ctx, account, role, func(r *Role) (err error) {
		r.Tags, err = mergeTags(r.Tags, tags)
		return err
	})
	return err
}

// UntagRole removes tags by key, whatever its case; keys that are absent are no error.
func (d *Directory) UntagRole(ctx context.Context, account, role string, keys []string) error {
	_, err := d.updateRole(ctx, account, role, func(r *Role) error {
		r.Tags = withoutTags(r.Tags, keys)
		return nil
	})
	return err
}

// DeleteRole removes a role that has no policies left, inline or attached. Its sessions end with it.
func (d *Directory) DeleteRole(ctx context.Context, account, name string) error {
	return d.store.Update(ctx, func(tx *store.Tx) error {
		r, err := d.readOwnRole(tx, account, name)
		if err != nil {
			return err
		}
		switch {
		case len(r.Attached) > 0:
			return fault.New(fault.InUse, "Cannot delete entity, must detach all policies first.")
		case len(r.Inline) > 0:
			return fault.New(fault.InUse, "Cannot delete entity, must delete policies first.")
		}
		return d.roles.Delete(tx, nameKey(account, name))
	})
}

func (d *Directory) updateRole(ctx context.Context, account, name string, change func(*Role) error) (*Role, error) {
	var changed *Role
	err := d.store.Update(ctx, func(tx *store.Tx) error {
		return d.changeRole(tx, account, name, func(r *Role) error {
			changed = r
			return change(r)
		})
	})
	return changed, err
}

func (d *Directory) changeRole(tx *store.Tx, account, name string, change func(*Role) error) error {
	former, err := d.readOwnRole(tx, account, name)
	if err != nil {
		return err
	}
	r := former.clone()
	if err := change(r); err != nil {
		return err
	}
	return d.roles.Put(tx, nameKey(account, name), r.sealed())
}

// readOwnRole reads a role that its account may change: one made by the system for a cluster is not.
func (d *Directory) readOwnRole(tx *store.Tx, account, name string) (*Role, error) {
	r, ok, err := d.roles.Read(tx, nameKey(account, name))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, noRole(name)
	}
	if r.Cluster != "" {
		return nil, fault.New(fault.Unmodifiable, "The role %s belongs to a cluster and changes only with it.", r.Name)
	}
	return r, nil
}

func noRole(name string) error {
	return fault.New(fault.NotFound, "The role with name %s cannot be found.", name)
}
