package iam

import (
	"context"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

type role struct {
	Path                     string      `xml:"Path"`
	RoleName                 string      `xml:"RoleName"`
	RoleID                   string      `xml:"RoleId"`
	ARN                      string      `xml:"Arn"`
	CreateDate               api.Instant `xml:"CreateDate"`
	AssumeRolePolicyDocument string      `xml:"AssumeRolePolicyDocument"`
	Description              string      `xml:"Description,omitempty"`
	MaxSessionDuration       int         `xml:"MaxSessionDuration"`
	Tags                     *tags       `xml:"Tags"`
	RoleLastUsed             *struct{}   `xml:"RoleLastUsed"`
}

type roleResult struct {
	Role role `xml:"Role"`
}

func fromRole(r *directory.Role) role {
	return role{
		Path: r.Path, RoleName: r.Name, RoleID: r.ID, ARN: r.ARN().String(), CreateDate: api.Instant(r.Created),
		AssumeRolePolicyDocument: escaped(r.Trust.Text()), Description: r.Description, MaxSessionDuration: int(r.MaxSession.Seconds()),
		Tags: fromTags(r.Tags), RoleLastUsed: &struct{}{},
	}
}

// notHonoured are parameters that nothing enforces yet; they are refused by name.
func notHonoured(c *api.Call, parameters ...string) error {
	for _, p := range parameters {
		if c.Form.Get(p) != "" {
			return fault.New(fault.Unsupported, "The parameter %s is not supported yet: leave it out.", p)
		}
	}
	return nil
}

func (d *door) createRole(ctx context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	in, err := c.Texts("RoleName", "AssumeRolePolicyDocument")
	if err != nil {
		return nil, err
	}
	path := c.Form.Get("Path")
	if path == "" {
		path = "/"
	}
	tagList, err := toTags(c)
	if err != nil {
		return nil, err
	}
	resource := arn.Role(c.Caller.Account, path, in[0]).String()
	if err := c.Authorize("iam:CreateRole", resource, api.RequestTags(tagList)...); err != nil {
		return nil, err
	}
	if len(tagList) > 0 {
		if err := c.Authorize("iam:TagRole", resource, api.RequestTags(tagList)...); err != nil {
			return nil, err
		}
	}
	if err := notHonoured(c, "PermissionsBoundary"); err != nil {
		return nil, err
	}
	seconds, given, err := c.Number("MaxSessionDuration")
	if err != nil {
		return nil, err
	}
	if given && seconds == 0 {
		return nil, fault.New(fault.Invalid, "maxSessionDuration 0: 3600 to 43200 seconds are accepted")
	}
	made, err := d.directory.CreateRole(ctx, directory.NewRole{
		Account: c.Caller.Account, Path: path, Name: in[0], Trust: in[1], Description: c.Form.Get("Description"),
		MaxSession: time.Duration(seconds) * time.Second, Tags: tagList,
	})
	if err != nil {
		return nil, err
	}
	return roleResult{fromRole(made)}, nil
}

func (d *door) getRole(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:GetRole")
	if err != nil {
		return nil, err
	}
	found, err := d.directory.Role(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return roleResult{fromRole(found)}, nil
}

type rolesResult struct {
	Roles struct {
		Members []role `xml:"member"`
	} `xml:"Roles"`
	api.Page
}

func (d *door) listRoles(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	prefix, err := pathPrefixOf(c)
	if err != nil {
		return nil, err
	}
	if err := c.Authorize("iam:ListRoles", "arn:aws:iam::"+c.Caller.Account+":role"+orSlash(prefix)); err != nil {
		return nil, err
	}
	n, err := c.MaxItems()
	if err != nil {
		return nil, err
	}
	found, err := d.directory.Roles(c.Caller.Account, prefix, c.Form.Get("Marker"), n+1)
	if err != nil {
		return nil, err
	}
	var out rolesResult
	for i, r := range found {
		if i == n {
			out.Page = api.Page{IsTruncated: true, Marker: found[n-1].Name}
			break
		}
		short := fromRole(r)
		short.Tags, short.RoleLastUsed = nil, nil // as at AWS, only GetRole has them
		out.Roles.Members = append(out.Roles.Members, short)
	}
	return out, nil
}

func orSlash(prefix string) string {
	if prefix == "" {
		return "/"
	}
	return prefix
}

func (d *door) updateRole(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:UpdateRole")
	if err != nil {
		return nil, err
	}
	var change directory.RoleUpdate
	if text, ok := c.Form["Description"]; ok {
		change.Description = &text[0]
	}
	seconds, given, err := c.Number("MaxSessionDuration")
	if err != nil {
		return nil, err
	}
	if given {
		longest := time.Duration(seconds) * time.Second
		change.MaxSession = &longest
	}
	_, err = d.directory.UpdateRole(ctx, c.Caller.Account, name, change)
	return struct{}{}, err
}

func (d *door) updateRoleDescription(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:UpdateRoleDescription")
	if err != nil {
		return nil, err
	}
	text := c.Form.Get("Description")
	changed, err := d.directory.UpdateRole(ctx, c.Caller.Account, name, directory.RoleUpdate{Description: &text})
	if err != nil {
		return nil, err
	}
	return roleResult{fromRole(changed)}, nil
}

func (d *door) updateTrust(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:UpdateAssumeRolePolicy")
	if err != nil {
		return nil, err
	}
	text, err := c.Text("PolicyDocument")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.UpdateTrust(ctx, c.Caller.Account, name, text)
}

func (d *door) deleteRole(ctx context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:DeleteRole")
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteRole(ctx, c.Caller.Account, name)
}

func (d *door) tagRole(ctx context.Context, c *api.Call) (any, error) {
	tagList, err := toTags(c)
	if err != nil {
		return nil, err
	}
	name, err := d.authorizeRole(c, "iam:TagRole", api.RequestTags(tagList)...)
	if err != nil {
		return nil, err
	}
	if len(tagList) == 0 {
		return nil, missing("tags")
	}
	return nil, d.directory.TagRole(ctx, c.Caller.Account, name, tagList)
}

func (d *door) untagRole(ctx context.Context, c *api.Call) (any, error) {
	keys := tagKeys(c)
	name, err := d.authorizeRole(c, "iam:UntagRole", policy.Entry{Key: "aws:TagKeys", Values: keys})
	if err != nil {
		return nil, err
	}
	if err := checkTagKeys(keys); err != nil {
		return nil, err
	}
	return nil, d.directory.UntagRole(ctx, c.Caller.Account, name, keys)
}

func checkTagKeys(keys []string) error {
	switch {
	case len(keys) == 0:
		return missing("tagKeys")
	case len(keys) > maxTags:
		return tooMany("tagKeys", len(keys))
	}
	return nil
}

func tagKeys(c *api.Call) []string {
	var keys []string
	for _, m := range c.Members("TagKeys") {
		keys = append(keys, m[""])
	}
	return keys
}

type tagsResult struct {
	Tags tags `xml:"Tags"`
	api.Page
}

func (d *door) listRoleTags(_ context.Context, c *api.Call) (any, error) {
	name, err := d.authorizeRole(c, "iam:ListRoleTags")
	if err != nil {
		return nil, err
	}
	found, err := d.directory.Role(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	var out tagsResult
	if all := fromTags(found.Tags); all != nil {
		out.Tags = *all
	}
	return out, nil
}

func missing(member string) error {
	return fault.New(fault.Invalid, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
}

// record is tags as a record shows them.
func record(in []directory.Tag) []audit.Tag {
	out := make([]audit.Tag, len(in))
	for i, t := range in {
		out[i] = audit.Tag(t)
	}
	return out
}
