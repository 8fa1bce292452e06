package iam

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
)

func (d *door) putRolePolicy(ctx context.Context, c *api.Call) (any, error) {
	role, err := d.authorizeRole(c, "iam:PutRolePolicy")
	if err != nil {
		return nil, err
	}
	in, err := c.Texts("PolicyName", "PolicyDocument")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.PutRolePolicy(ctx, c.Caller.Account, role, in[0], in[1])
}

type rolePolicyResult struct {
	RoleName       string `xml:"RoleName"`
	PolicyName     string `xml:"PolicyName"`
	PolicyDocument string `xml:"PolicyDocument"`
}

func (d *door) getRolePolicy(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:GetRolePolicy")
	if err != nil {
		return nil, err
	}
	policyName, err := c.Text("PolicyName")
	if err != nil {
		return nil, err
	}
	role, err := d.directory.Role(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	p, err := role.Policy(policyName)
	if err != nil {
		return nil, err
	}
	return rolePolicyResult{role.Name, p.Name, escaped(p.Document.Text())}, nil
}

type policyNamesResult struct {
	PolicyNames names `xml:"PolicyNames"`
	api.Page
}

// policyNames is the page of names, which are sorted, that the call asks for.
func policyNames(c *api.Call, inline []directory.InlinePolicy) (any, error) {
	shown, page, err := paged(c, inline, func(p directory.InlinePolicy) string { return p.Name })
	out := policyNamesResult{Page: page}
	for _, p := range shown {
		out.PolicyNames.Members = append(out.PolicyNames.Members, p.Name)
	}
	return out, err
}

func (d *door) listRolePolicies(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:ListRolePolicies")
	if err != nil {
		return nil, err
	}
	role, err := d.directory.Role(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return policyNames(c, role.Inline)
}

func (d *door) deleteRolePolicy(ctx context.Context, c *api.Call) (any, error) {
	role, err := d.authorizeRole(c, "iam:DeleteRolePolicy")
	if err != nil {
		return nil, err
	}
	name, err := c.Text("PolicyName")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteRolePolicy(ctx, c.Caller.Account, role, name)
}

type instanceProfilesResult struct {
	InstanceProfiles struct{} `xml:"InstanceProfiles"`
	api.Page
}

// listInstanceProfilesForRole is always empty: there are no instances. Terraform asks before it deletes a role.
func (d *door) listInstanceProfilesForRole(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:ListInstanceProfilesForRole")
	if err != nil {
		return nil, err
	}
	_, err = d.directory.Role(c.Caller.Account, name)
	return instanceProfilesResult{}, err
}

type user struct {
	Path       string      `xml:"Path"`
	UserName   string      `xml:"UserName"`
	UserID     string      `xml:"UserId"`
	ARN        string      `xml:"Arn"`
	CreateDate api.Instant `xml:"CreateDate"`
	Tags       *tags       `xml:"Tags"`
}

type userResult struct {
	User user `xml:"User"`
}

// getUser answers the caller where no name is given.
func (d *door) getUser(_ context.Context, c *api.Call) (any, error) {
	if c.Form.Get("UserName") == "" && c.Caller.User != nil {
		c.Form.Set("UserName", c.Caller.User.Name)
	}
	name, err := d.authorizeUser(c, "iam:GetUser")
	if err != nil {
		return nil, err
	}
	u, err := d.directory.User(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return userResult{user{u.Path, u.Name, u.ID, u.ARN().String(), api.Instant(u.Created), fromTags(u.Tags)}}, nil
}

func (d *door) putUserPolicy(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeUser(c, "iam:PutUserPolicy")
	if err != nil {
		return nil, err
	}
	in, err := c.Texts("PolicyName", "PolicyDocument")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.PutUserPolicy(ctx, c.Caller.Account, name, in[0], in[1])
}

type userPolicyResult struct {
	UserName       string `xml:"UserName"`
	PolicyName     string `xml:"PolicyName"`
	PolicyDocument string `xml:"PolicyDocument"`
}

func (d *door) getUserPolicy(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeUser(c, "iam:GetUserPolicy")
	if err != nil {
		return nil, err
	}
	policyName, err := c.Text("PolicyName")
	if err != nil {
		return nil, err
	}
	u, err := d.directory.User(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	p, err := u.Policy(policyName)
	if err != nil {
		return nil, err
	}
	return userPolicyResult{u.Name, p.Name, escaped(p.Document.Text())}, nil
}

func (d *door) listUserPolicies(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeUser(c, "iam:ListUserPolicies")
	if err != nil {
		return nil, err
	}
	u, err := d.directory.User(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return policyNames(c, u.Inline)
}

func (d *door) deleteUserPolicy(ctx context.Context, c *api.Call) (any, error) {
	user, err := d.authorizeUser(c, "iam:DeleteUserPolicy")
	if err != nil {
		return nil, err
	}
	name, err := c.Text("PolicyName")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteUserPolicy(ctx, c.Caller.Account, user, name)
}

// authorizeUser asks for an action on the user that the call names, as authorizeRole does for roles.
func (d *door) authorizeUser(c *api.Call, action string, extra ...policy.Entry) (name string, err error) {
	noteParameters(c)
	if name, err = c.Text("UserName"); err != nil {
		return "", err
	}
	resource := arn.User(c.Caller.Account, "/", name)
	if u, err := d.directory.User(c.Caller.Account, name); err == nil {
		resource = u.ARN()
	}
	return name, c.Authorize(action, resource.String(), extra...)
}
