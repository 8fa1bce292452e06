package iam

import (
	"context"
	"encoding/xml"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// What there is none of here, and what tools ask for all the same: Terraform looks for instance profiles before it deletes a
// role, and for keys, certificates and devices of every sort before it deletes a user.

// emptyList is an answer whose list has nothing in it.
type emptyList struct {
	List struct{ XMLName xml.Name }
	api.Page
}

func empty(list string) any {
	var out emptyList
	out.List.XMLName.Local = list
	return out
}

// noneOf serves the list of what no user has.
func (d *door) noneOf(list string) func(context.Context, *api.Call) (any, error) {
	return func(_ context.Context, c *api.Call) (any, error) {
		who, err := d.authorizeImplied(c)
		if err != nil {
			return nil, err
		}
		if _, err := d.directory.Identity(who); err != nil {
			return nil, err
		}
		return empty(list), nil
	}
}

func (d *door) getLoginProfile(_ context.Context, c *api.Call) (any, error) {
	who, err := d.authorizeImplied(c)
	if err != nil {
		return nil, err
	}
	found, err := d.directory.Identity(who)
	if err != nil {
		return nil, err
	}
	return nil, fault.New(fault.NotFound, "Login Profile for User %s cannot be found.", found.Name)
}

func (d *door) listVirtualMFADevices(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	if err := c.Authorize("iam:ListVirtualMFADevices", resourceOf(c, "mfa/")); err != nil {
		return nil, err
	}
	return empty("VirtualMFADevices"), nil
}

const instanceProfiles = "InstanceProfiles"

func (d *door) listInstanceProfilesForRole(_ context.Context, c *api.Call) (any, error) {
	if _, err := d.roles.find(c); err != nil {
		return nil, err
	}
	return empty(instanceProfiles), nil
}

func (d *door) listInstanceProfiles(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	prefix := c.Form.Get("PathPrefix")
	if err := c.Authorize("iam:ListInstanceProfiles", resourceOf(c, "instance-profile"+orSlash(prefix))); err != nil {
		return nil, err
	}
	return empty(instanceProfiles), nil
}

func (d *door) getInstanceProfile(_ context.Context, c *api.Call) (any, error) {
	noteParameters(c)
	name := c.Form.Get("InstanceProfileName")
	if err := c.Authorize("iam:"+c.Operation.Name, resourceOf(c, "instance-profile/"+name)); err != nil {
		return nil, err
	}
	return nil, fault.New(fault.NotFound, "Instance Profile %s cannot be found.", name)
}

// resourceOf is the ARN of something of the caller's account.
func resourceOf(c *api.Call, resource string) string {
	return arn.ARN{Service: "iam", Account: c.Caller.Account, Resource: resource}.String()
}
