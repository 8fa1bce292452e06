package iam

import (
	"context"
	"slices"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
)

type policyDetail struct {
	PolicyName     string `xml:"PolicyName"`
	PolicyDocument string `xml:"PolicyDocument"`
}

type policyDetails struct {
	Members []policyDetail `xml:"member"`
}

type groupDetail struct {
	group
	GroupPolicyList         policyDetails    `xml:"GroupPolicyList"`
	AttachedManagedPolicies attachedPolicies `xml:"AttachedManagedPolicies"`
}

type userDetail struct {
	user
	UserPolicyList          policyDetails    `xml:"UserPolicyList"`
	GroupList               names            `xml:"GroupList"`
	AttachedManagedPolicies attachedPolicies `xml:"AttachedManagedPolicies"`
}

type roleDetail struct {
	Path                     string           `xml:"Path"`
	RoleName                 string           `xml:"RoleName"`
	RoleID                   string           `xml:"RoleId"`
	ARN                      string           `xml:"Arn"`
	CreateDate               api.Instant      `xml:"CreateDate"`
	AssumeRolePolicyDocument string           `xml:"AssumeRolePolicyDocument"`
	InstanceProfileList      struct{}         `xml:"InstanceProfileList"`
	RolePolicyList           policyDetails    `xml:"RolePolicyList"`
	AttachedManagedPolicies  attachedPolicies `xml:"AttachedManagedPolicies"`
	PermissionsBoundary      *boundary        `xml:"PermissionsBoundary"`
	Tags                     *tags            `xml:"Tags"`
	RoleLastUsed             *lastUsed        `xml:"RoleLastUsed"`
}

type managedPolicyDetail struct {
	managedPolicy
	PolicyVersionList struct {
		Members []policyVersion `xml:"member"`
	} `xml:"PolicyVersionList"`
}

type detailsResult struct {
	UserDetailList struct {
		Members []userDetail `xml:"member"`
	} `xml:"UserDetailList"`
	GroupDetailList struct {
		Members []groupDetail `xml:"member"`
	} `xml:"GroupDetailList"`
	RoleDetailList struct {
		Members []roleDetail `xml:"member"`
	} `xml:"RoleDetailList"`
	Policies struct {
		Members []managedPolicyDetail `xml:"member"`
	} `xml:"Policies"`
	api.Page
}

// The sections of the details, in their order, by the words that filter them.
var detailed = []string{"AWSManagedPolicy", "Group", "LocalManagedPolicy", "Role", "User"}

// getAccountAuthorizationDetails answers everything that decides what somebody may do, page by page. Of the policies that
// every account has it tells those that are in use.
func (d *door) getAccountAuthorizationDetails(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	if err := c.Authorize("iam:GetAccountAuthorizationDetails", "*"); err != nil {
		return nil, err
	}
	wanted := texts(c, "Filter")
	n := c.MaxItems()
	var out detailsResult
	left, marker := n, ""
	for _, section := range detailed {
		after, reached := afterIn(c.Form.Get("Marker"), section)
		if !reached || len(wanted) > 0 && !slices.Contains(wanted, section) {
			continue
		}
		last, shown, more, err := d.detail(&out, c.Caller.Account, section, after, left)
		if err != nil {
			return nil, err
		}
		if left -= shown; shown > 0 {
			marker = section + "/" + last
		}
		if more {
			out.Page = api.Page{IsTruncated: true, Marker: marker}
			break
		}
	}
	return out, nil
}

// detail adds at most limit of a section after the name, and says the name of the last one, how many they are, and whether
// there are more.
func (d *door) detail(out *detailsResult, account, section, after string, limit int) (last string, shown int, more bool, err error) {
	switch section {
	case "Group":
		found, err := d.directory.Groups(account, "", after, limit+1)
		return detailEach(found, err, limit, func(g *directory.Group) error {
			attached, err := d.directory.Attached(g.Attached)
			out.GroupDetailList.Members = append(out.GroupDetailList.Members, groupDetail{fromGroup(g), fromInline(g.Inline), fromAttached(attached)})
			return err
		}, func(g *directory.Group) string { return g.Name })
	case "Role":
		found, err := d.directory.Roles(account, "", after, limit+1)
		return detailEach(found, err, limit, func(r *directory.Role) error { return d.detailRole(out, r) }, func(r *directory.Role) string { return r.Name })
	case "User":
		found, err := d.directory.Users(account, "", after, limit+1)
		return detailEach(found, err, limit, func(u *directory.User) error { return d.detailUser(out, u) }, func(u *directory.User) string { return u.Name })
	}
	scope, keep := "Local", func(*directory.ManagedPolicy) bool { return true }
	if section == "AWSManagedPolicy" {
		scope = "AWS"
		keep = func(p *directory.ManagedPolicy) bool {
			return d.directory.UseCount(account, p, directory.Permissions)+d.directory.UseCount(account, p, directory.Boundary) > 0
		}
		after = everywhere + after
	}
	found, err := d.policies(account, scope, after, limit+1, keep)
	return detailEach(found, err, limit, func(p *directory.ManagedPolicy) error {
		one := managedPolicyDetail{managedPolicy: d.fromPolicy(account, p)}
		one.Tags = nil // which the details of a policy do not have
		for _, v := range slices.Backward(p.Versions) {
			shown := fromVersion(p, v)
			shown.Document = escaped(v.Document.Text())
			one.PolicyVersionList.Members = append(one.PolicyVersionList.Members, shown)
		}
		out.Policies.Members = append(out.Policies.Members, one)
		return nil
	}, func(p *directory.ManagedPolicy) string { return p.Name })
}

func detailEach[T any](found []T, err error, limit int, add func(T) error, name func(T) string) (string, int, bool, error) {
	if err != nil {
		return "", 0, false, err
	}
	last := ""
	for _, v := range found[:min(limit, len(found))] {
		if err := add(v); err != nil {
			return "", 0, false, err
		}
		last = name(v)
	}
	return last, min(limit, len(found)), len(found) > limit, nil
}

func fromInline(in []directory.InlinePolicy) (out policyDetails) {
	for _, p := range in {
		out.Members = append(out.Members, policyDetail{p.Name, escaped(p.Document.Text())})
	}
	return out
}

func (d *door) detailUser(out *detailsResult, u *directory.User) error {
	one := userDetail{user: fromUser(u), UserPolicyList: fromInline(u.Inline)}
	one.Tags = fromTags(u.Tags)
	var err error
	if one.PermissionsBoundary, err = d.fromBoundary(&u.Identity); err != nil {
		return err
	}
	groups, err := d.directory.GroupsOf(u)
	if err != nil {
		return err
	}
	for _, g := range groups {
		one.GroupList.Members = append(one.GroupList.Members, g.Name)
	}
	attached, err := d.directory.Attached(u.Attached)
	one.AttachedManagedPolicies = fromAttached(attached)
	out.UserDetailList.Members = append(out.UserDetailList.Members, one)
	return err
}

func (d *door) detailRole(out *detailsResult, r *directory.Role) error {
	short := fromRole(r)
	one := roleDetail{
		Path: short.Path, RoleName: short.RoleName, RoleID: short.RoleID, ARN: short.ARN, CreateDate: short.CreateDate,
		AssumeRolePolicyDocument: short.AssumeRolePolicyDocument, RolePolicyList: fromInline(r.Inline), Tags: fromTags(r.Tags),
	}
	var err error
	if one.PermissionsBoundary, err = d.fromBoundary(&r.Identity); err != nil {
		return err
	}
	if one.RoleLastUsed, err = d.lastUsed(r.ID); err != nil {
		return err
	}
	attached, err := d.directory.Attached(r.Attached)
	one.AttachedManagedPolicies = fromAttached(attached)
	out.RoleDetailList.Members = append(out.RoleDetailList.Members, one)
	return err
}
