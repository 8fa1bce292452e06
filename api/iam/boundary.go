package iam

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
)

type boundary struct {
	PermissionsBoundaryType string `xml:"PermissionsBoundaryType"`
	PermissionsBoundaryARN  string `xml:"PermissionsBoundaryArn"`
}

// fromBoundary is nil for an identity without one.
func (d *door) fromBoundary(i *directory.Identity) (*boundary, error) {
	p, err := d.directory.BoundaryOf(i)
	if p == nil || err != nil {
		return nil, err
	}
	return &boundary{"PermissionsBoundaryPolicy", p.ARN().String()}, nil
}

// withBoundary is the condition key by which an account lets others make and change such identities alone as cannot do
// more than some boundary.
func withBoundary(name string) policy.Entry {
	return policy.Entry{Key: "iam:PermissionsBoundary", Values: []string{name}}
}

// boundaryAsked is the condition key of the boundary that the call asks for.
func boundaryAsked(c *api.Call) []policy.Entry {
	if name := c.Form.Get("PermissionsBoundary"); name != "" {
		return []policy.Entry{withBoundary(name)}
	}
	return nil
}

// boundaryGiven reads the boundary that an identity is to be made with, "" for none.
func boundaryGiven(c *api.Call) (string, error) {
	if c.Form.Get("PermissionsBoundary") == "" {
		return "", nil
	}
	return policyARN(c, "PermissionsBoundary")
}

func (s subject) putBoundary(ctx context.Context, c *api.Call) (any, error) {
	who, err := s.authorize(c, boundaryAsked(c)...)
	if err != nil {
		return nil, err
	}
	name, err := policyARN(c, "PermissionsBoundary")
	if err != nil {
		return nil, err
	}
	return nil, s.directory.PutBoundary(ctx, who, name)
}

func (s subject) deleteBoundary(ctx context.Context, c *api.Call) (any, error) {
	who, err := s.authorizeBounded(c)
	if err != nil {
		return nil, err
	}
	return nil, s.directory.DeleteBoundary(ctx, who)
}

// authorizeBounded is authorize for the actions of which a policy may say that they are for identities with some boundary
// alone: so that nobody gives more than the boundary to one that has none.
func (s subject) authorizeBounded(c *api.Call, extra ...policy.Entry) (directory.Who, error) {
	who := s.kind.Named(c.Caller.Account, c.Form.Get(s.parameter()))
	if found, err := s.directory.Identity(who); err == nil {
		b, err := s.directory.BoundaryOf(found)
		if err != nil {
			return who, err
		}
		if b != nil {
			extra = append(extra, withBoundary(b.ARN().String()))
		}
	}
	return s.authorize(c, extra...)
}
