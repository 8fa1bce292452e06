package iam

import (
	"context"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
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
	PermissionsBoundary      *boundary   `xml:"PermissionsBoundary"`
	Tags                     *tags       `xml:"Tags"`
	RoleLastUsed             *lastUsed   `xml:"RoleLastUsed"`
}

type roleResult struct {
	Role role `xml:"Role"`
}

// fromRole leaves out what lists leave out, as at AWS: the boundary, the tags and the last use.
func fromRole(r *directory.Role) role {
	return role{
		Path: r.Path, RoleName: r.Name, RoleID: r.ID, ARN: r.ARN().String(), CreateDate: api.Instant(r.Created),
		AssumeRolePolicyDocument: escaped(r.Trust.Text()), Description: r.Description, MaxSessionDuration: int(r.MaxSession.Seconds()),
	}
}

func (d *door) wholeRole(r *directory.Role) (any, error) {
	out := fromRole(r)
	out.Tags = fromTags(r.Tags)
	var err error
	if out.PermissionsBoundary, err = d.fromBoundary(&r.Identity); err != nil {
		return nil, err
	}
	out.RoleLastUsed, err = d.lastUsed(r.ID)
	return roleResult{out}, err
}

type lastUsed struct {
	LastUsedDate *api.Instant `xml:"LastUsedDate"`
	Region       string       `xml:"Region,omitempty"`
}

// lastUsed is an empty element for what was never used.
func (d *door) lastUsed(id string) (*lastUsed, error) {
	seen, err := d.directory.Usage(id)
	if err != nil || seen == nil {
		return &lastUsed{}, err
	}
	at := api.Instant(seen.At)
	return &lastUsed{&at, seen.Region}, nil
}

func (d *door) createRole(ctx context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	path := orSlash(c.Form.Get("Path"))
	tagList := toTags(c)
	if err := authorizeWithTags(c, d.roles.resourceAt(c.Caller.Account, path, c.Form.Get("RoleName")), "TagRole", tagList, boundaryAsked(c)...); err != nil {
		return nil, err
	}
	limit, err := boundaryGiven(c)
	if err != nil {
		return nil, err
	}
	if isServiceLinked(path) {
		return nil, fault.New(fault.BadState, "The path %s is for service-linked roles, which nobody makes here.", path)
	}
	seconds, _ := c.Number("MaxSessionDuration")
	made, err := d.directory.CreateRole(ctx, directory.NewRole{
		Account: c.Caller.Account, Path: path, Name: c.Form.Get("RoleName"), Trust: c.Form.Get("AssumeRolePolicyDocument"), Description: c.Form.Get("Description"),
		MaxSession: time.Duration(seconds) * time.Second, Tags: tagList, Boundary: limit,
	})
	if err != nil {
		return nil, err
	}
	return d.wholeRole(made)
}

func (d *door) getRole(_ context.Context, c *api.Call) (any, error) {
	who, err := d.roles.authorize(c)
	if err != nil {
		return nil, err
	}
	found, err := d.directory.Role(who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	return d.wholeRole(found)
}

type rolesResult struct {
	Roles struct {
		Members []role `xml:"member"`
	} `xml:"Roles"`
	api.Page
}

func (d *door) listRoles(_ context.Context, c *api.Call) (any, error) {
	found, page, err := listed(c, d.roles, d.directory.Roles)
	out := rolesResult{Page: page}
	for _, r := range found {
		out.Roles.Members = append(out.Roles.Members, fromRole(r))
	}
	return out, err
}

func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

func (d *door) updateRole(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.roles.authorize(c)
	if err != nil {
		return nil, err
	}
	var change directory.RoleUpdate
	if text, ok := c.Form["Description"]; ok {
		change.Description = &text[0]
	}
	if seconds, given := c.Number("MaxSessionDuration"); given {
		longest := time.Duration(seconds) * time.Second
		change.MaxSession = &longest
	}
	_, err = d.directory.UpdateRole(ctx, who.Account, who.Name, change)
	return struct{}{}, err
}

func (d *door) updateRoleDescription(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.roles.authorize(c)
	if err != nil {
		return nil, err
	}
	text := c.Form.Get("Description")
	changed, err := d.directory.UpdateRole(ctx, who.Account, who.Name, directory.RoleUpdate{Description: &text})
	if err != nil {
		return nil, err
	}
	return d.wholeRole(changed)
}

func (d *door) updateTrust(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.roles.authorize(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.UpdateTrust(ctx, who.Account, who.Name, c.Form.Get("PolicyDocument"))
}

func (d *door) deleteRole(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.roles.authorize(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteRole(ctx, who.Account, who.Name)
}

// isServiceLinked reports whether a path is of roles that a service makes for itself and that change only with it.
func isServiceLinked(path string) bool { return strings.HasPrefix(path, "/aws-service-role/") }

// createServiceLinkedRole knows no service that has such roles.
func (d *door) createServiceLinkedRole(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	service := c.Form.Get("AWSServiceName")
	if err := c.Authorize("iam:CreateServiceLinkedRole", d.roles.resourceAt(c.Caller.Account, "/aws-service-role/"+service+"/", "*"),
		policy.Entry{Key: "iam:AWSServiceName", Values: []string{service}}); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.BadState, "Service %s has no service-linked roles here.", service)
}

// deleteServiceLinkedRole finds none: a role of a cluster is not one, and goes with its cluster.
func (d *door) deleteServiceLinkedRole(_ context.Context, c *api.Call) (any, error) {
	found, err := d.roles.find(c)
	if err != nil {
		return nil, err
	}
	return nil, fault.New(fault.BadState, "The role %s is not a service-linked role: DeleteRole is for it.", found.Name)
}

func (d *door) getServiceLinkedRoleDeletionStatus(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	id := c.Form.Get("DeletionTaskId")
	if err := c.Authorize("iam:GetServiceLinkedRoleDeletionStatus", d.roles.resourceAt(c.Caller.Account, "/", "*")); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.NotFound, "The deletion task %.1000s cannot be found.", id)
}
