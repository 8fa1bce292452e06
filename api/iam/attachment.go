package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
)

// aboutPolicy is the condition key by which an account lets others attach some policies and not all.
func aboutPolicy(c *api.Call) policy.Entry {
	return policy.Entry{Key: "iam:PolicyARN", Values: []string{c.Form.Get("PolicyArn")}}
}

func (d *door) attachRolePolicy(ctx context.Context, c *api.Call) (any, error) {
	return d.attachment(ctx, c, d.authorizeRole, d.directory.AttachRolePolicy)
}

func (d *door) detachRolePolicy(ctx context.Context, c *api.Call) (any, error) {
	return d.attachment(ctx, c, d.authorizeRole, d.directory.DetachRolePolicy)
}

func (d *door) attachUserPolicy(ctx context.Context, c *api.Call) (any, error) {
	return d.attachment(ctx, c, d.authorizeUser, d.directory.AttachUserPolicy)
}

func (d *door) detachUserPolicy(ctx context.Context, c *api.Call) (any, error) {
	return d.attachment(ctx, c, d.authorizeUser, d.directory.DetachUserPolicy)
}

// attachment changes whether the role or user that the call names is attached to the policy that it names.
func (d *door) attachment(ctx context.Context, c *api.Call,
	authorize func(c *api.Call, action string, extra ...policy.Entry) (string, error),
	change func(ctx context.Context, account, entity, name string) error,
) (any, error) {
	entity, err := authorize(c, "iam:"+c.Operation.Name, aboutPolicy(c))
	if err != nil {
		return nil, err
	}
	name, err := policyARN(c)
	if err != nil {
		return nil, err
	}
	return nil, change(ctx, c.Caller.Account, entity, name)
}

type attachedPolicy struct {
	PolicyName string `xml:"PolicyName"`
	PolicyARN  string `xml:"PolicyArn"`
}

type attachedPoliciesResult struct {
	AttachedPolicies struct {
		Members []attachedPolicy `xml:"member"`
	} `xml:"AttachedPolicies"`
	api.Page
}

func (d *door) listAttachedRolePolicies(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:ListAttachedRolePolicies")
	if err != nil {
		return nil, err
	}
	role, err := d.directory.Role(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return d.attachedPolicies(c, role.Attached)
}

func (d *door) listAttachedUserPolicies(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeUser(c, "iam:ListAttachedUserPolicies")
	if err != nil {
		return nil, err
	}
	u, err := d.directory.User(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return d.attachedPolicies(c, u.Attached)
}

func (d *door) attachedPolicies(c *api.Call, ids []string) (any, error) {
	prefix, err := pathPrefixOf(c)
	if err != nil {
		return nil, err
	}
	all, err := d.directory.Attached(ids)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(p *directory.ManagedPolicy) bool { return !strings.HasPrefix(p.Path, prefix) })
	shown, page, err := paged(c, all, func(p *directory.ManagedPolicy) string { return p.Name })
	out := attachedPoliciesResult{Page: page}
	for _, p := range shown {
		out.AttachedPolicies.Members = append(out.AttachedPolicies.Members, attachedPolicy{p.Name, p.ARN().String()})
	}
	return out, err
}

type policyRole struct {
	RoleName string `xml:"RoleName"`
	RoleID   string `xml:"RoleId"`
}

type policyUser struct {
	UserName string `xml:"UserName"`
	UserID   string `xml:"UserId"`
}

type entitiesResult struct {
	PolicyGroups struct{} `xml:"PolicyGroups"`
	PolicyUsers  struct {
		Members []policyUser `xml:"member"`
	} `xml:"PolicyUsers"`
	PolicyRoles struct {
		Members []policyRole `xml:"member"`
	} `xml:"PolicyRoles"`
	api.Page
}

// entity is a role or user on a page of entities, by kind and name.
type entity struct{ kind, path, name, id string }

func (d *door) listEntitiesForPolicy(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c, "iam:ListEntitiesForPolicy")
	if err != nil {
		return nil, err
	}
	prefix, err := pathPrefixOf(c)
	if err != nil {
		return nil, err
	}
	kind, err := oneOf(c, "EntityFilter", "User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy")
	if err != nil {
		return nil, err
	}
	usage, err := usageFilter(c)
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(d.entities(p), func(e entity) bool {
		return usage == boundaries || kind != "" && e.kind != kind || !strings.HasPrefix(e.path, prefix)
	})
	shown, page, err := paged(c, all, entity.marker)
	out := entitiesResult{Page: page}
	for _, e := range shown {
		if e.kind == "Role" {
			out.PolicyRoles.Members = append(out.PolicyRoles.Members, policyRole{e.name, e.id})
		} else {
			out.PolicyUsers.Members = append(out.PolicyUsers.Members, policyUser{e.name, e.id})
		}
	}
	return out, err
}

func (e entity) marker() string { return e.kind + "/" + e.name }

// entities are the policy's roles and users in the order of their markers.
func (d *door) entities(p *directory.ManagedPolicy) []entity {
	roles, users := d.directory.AttachedTo(p)
	var all []entity
	for _, r := range roles {
		all = append(all, entity{"Role", r.Path, r.Name, r.ID})
	}
	for _, u := range users {
		all = append(all, entity{"User", u.Path, u.Name, u.ID})
	}
	slices.SortFunc(all, func(a, b entity) int { return strings.Compare(a.marker(), b.marker()) })
	return all
}
