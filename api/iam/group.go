package iam

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
)

type group struct {
	Path       string      `xml:"Path"`
	GroupName  string      `xml:"GroupName"`
	GroupID    string      `xml:"GroupId"`
	ARN        string      `xml:"Arn"`
	CreateDate api.Instant `xml:"CreateDate"`
}

func fromGroup(g *directory.Group) group {
	return group{g.Path, g.Name, g.ID, g.ARN().String(), api.Instant(g.Created)}
}

type groupResult struct {
	Group group `xml:"Group"`
}

func (d *door) createGroup(ctx context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	name := c.Form.Get("GroupName")
	path := orSlash(c.Form.Get("Path"))
	if err := c.Authorize("iam:CreateGroup", d.groups.resourceAt(c.Caller.Account, path, name)); err != nil {
		return nil, err
	}
	made, err := d.directory.CreateGroup(ctx, c.Caller.Account, path, name)
	if err != nil {
		return nil, err
	}
	return groupResult{fromGroup(made)}, nil
}

type groupUsersResult struct {
	Group group `xml:"Group"`
	Users users `xml:"Users"`
	api.Page
}

func (d *door) getGroup(_ context.Context, c *api.Call) (any, error) {
	who, err := d.groups.authorize(c)
	if err != nil {
		return nil, err
	}
	g, err := d.directory.Group(who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	n := c.MaxItems()
	found, page := cut(d.directory.Members(g, c.Form.Get("Marker"), n+1), n, func(u *directory.User) string { return u.Name })
	return groupUsersResult{fromGroup(g), fromUsers(found), page}, nil
}

type groupList struct {
	Members []group `xml:"member"`
}

type groupsResult struct {
	Groups groupList `xml:"Groups"`
	api.Page
}

func fromGroups(in []*directory.Group) (out groupList) {
	for _, g := range in {
		out.Members = append(out.Members, fromGroup(g))
	}
	return out
}

func (d *door) listGroups(_ context.Context, c *api.Call) (any, error) {
	found, page, err := listed(c, d.groups, d.directory.Groups)
	return groupsResult{fromGroups(found), page}, err
}

func (d *door) listGroupsForUser(_ context.Context, c *api.Call) (any, error) {
	who, err := d.users.authorize(c)
	if err != nil {
		return nil, err
	}
	u, err := d.directory.User(who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	all, err := d.directory.GroupsOf(u)
	if err != nil {
		return nil, err
	}
	found, page := paged(c, all, func(g *directory.Group) string { return g.Name })
	return groupsResult{fromGroups(found), page}, nil
}

func (d *door) updateGroup(ctx context.Context, c *api.Call) (any, error) {
	who, to, err := d.groups.move(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.MoveGroup(ctx, who.Account, who.Name, to)
}

func (d *door) deleteGroup(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.groups.authorize(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteGroup(ctx, who.Account, who.Name)
}

func (d *door) addUserToGroup(ctx context.Context, c *api.Call) (any, error) {
	return d.membership(ctx, c, d.directory.Join)
}

func (d *door) removeUserFromGroup(ctx context.Context, c *api.Call) (any, error) {
	return d.membership(ctx, c, d.directory.Leave)
}

func (d *door) membership(ctx context.Context, c *api.Call, change func(ctx context.Context, account, group, user string) error) (any, error) {
	who, err := d.groups.authorize(c)
	if err != nil {
		return nil, err
	}
	return nil, change(ctx, who.Account, who.Name, c.Form.Get("UserName"))
}
