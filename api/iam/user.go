package iam

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

type user struct {
	Path                string      `xml:"Path"`
	UserName            string      `xml:"UserName"`
	UserID              string      `xml:"UserId"`
	ARN                 string      `xml:"Arn"`
	CreateDate          api.Instant `xml:"CreateDate"`
	PermissionsBoundary *boundary   `xml:"PermissionsBoundary"`
	Tags                *tags       `xml:"Tags"`
}

type userResult struct {
	User user `xml:"User"`
}

// fromUser leaves out what lists leave out, as at AWS: the boundary and the tags.
func fromUser(u *directory.User) user {
	return user{Path: u.Path, UserName: u.Name, UserID: u.ID, ARN: u.ARN().String(), CreateDate: api.Instant(u.Created)}
}

func (d *door) wholeUser(u *directory.User) (any, error) {
	out := fromUser(u)
	out.Tags = fromTags(u.Tags)
	var err error
	out.PermissionsBoundary, err = d.fromBoundary(&u.Identity)
	return userResult{out}, err
}

// implied fills in the caller's own name, which is what IAM takes where a call names no user.
func implied(c *api.Call) error {
	switch {
	case c.Form.Get("UserName") != "":
	case c.Caller.User == nil:
		return fault.New(fault.Invalid, "Must specify userName when calling with non-User credentials")
	default:
		c.Form.Set("UserName", c.Caller.User.Name)
	}
	return nil
}

func (d *door) createUser(ctx context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	name := c.Form.Get("UserName")
	given := toTags(c)
	path := orSlash(c.Form.Get("Path"))
	if err := authorizeWithTags(c, d.users.resourceAt(c.Caller.Account, path, name), "TagUser", given, boundaryAsked(c)...); err != nil {
		return nil, err
	}
	limit, err := boundaryGiven(c)
	if err != nil {
		return nil, err
	}
	made, err := d.directory.CreateUser(ctx, directory.NewUser{Account: c.Caller.Account, Path: path, Name: name, Tags: given, Boundary: limit})
	if err != nil {
		return nil, err
	}
	return d.wholeUser(made)
}

// getUser answers the caller where no name is given.
func (d *door) getUser(_ context.Context, c *api.Call) (any, error) {
	if err := implied(c); err != nil {
		return nil, err
	}
	who, err := d.users.authorize(c)
	if err != nil {
		return nil, err
	}
	u, err := d.directory.User(who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	return d.wholeUser(u)
}

type users struct {
	Members []user `xml:"member"`
}

type usersResult struct {
	Users users `xml:"Users"`
	api.Page
}

func (d *door) listUsers(_ context.Context, c *api.Call) (any, error) {
	found, page, err := listed(c, d.users, d.directory.Users)
	return usersResult{fromUsers(found), page}, err
}

func fromUsers(in []*directory.User) (out users) {
	for _, u := range in {
		out.Members = append(out.Members, fromUser(u))
	}
	return out
}

func (d *door) updateUser(ctx context.Context, c *api.Call) (any, error) {
	who, to, err := d.users.move(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.MoveUser(ctx, who.Account, who.Name, to)
}

// move reads to where a call moves an identity, and authorizes it at both ends: else a name for which there are
// permissions already would be had by whoever may rename.
func (s subject) move(c *api.Call) (directory.Who, directory.Move, error) {
	who, err := s.authorize(c)
	if err != nil {
		return who, directory.Move{}, err
	}
	var to directory.Move
	path, name := "/", who.Name
	var tags []policy.Entry
	if found, err := s.directory.Identity(who); err == nil {
		path, name, tags = found.Path, found.Name, resourceTags(found.Tags)
	}
	if text := c.Form.Get("NewPath"); text != "" {
		path, to.Path = text, &text
	}
	if text := c.Form.Get("New" + s.parameter()); text != "" {
		name, to.Name = text, &text
	}
	there := s.resourceAt(who.Account, path, name)
	if there == s.resource(who) {
		return who, to, nil
	}
	return who, to, c.Authorize("iam:"+c.Operation.Name, there, tags...) // its tags go with it
}

func (d *door) deleteUser(ctx context.Context, c *api.Call) (any, error) {
	who, err := d.users.authorize(c)
	if err != nil {
		return nil, err
	}
	return nil, d.directory.DeleteUser(ctx, who.Account, who.Name)
}
