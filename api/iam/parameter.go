package iam

import (
	"slices"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
)

// paged returns the page of a list that the call asks for. The list is in the order of the markers.
func paged[T any](c *api.Call, all []T, marker func(T) string) ([]T, api.Page) {
	last := c.Form.Get("Marker")
	all = slices.DeleteFunc(slices.Clone(all), func(v T) bool { return last != "" && marker(v) <= last })
	return cut(all, c.MaxItems(), marker)
}

// cut is the page of a list of which one more than n was looked for.
func cut[T any](found []T, n int, marker func(T) string) ([]T, api.Page) {
	if len(found) <= n {
		return found, api.Page{}
	}
	return found[:n], api.Page{IsTruncated: true, Marker: marker(found[n-1])}
}

// anIdentity is a user, a group or a role.
type anIdentity interface{ Who() directory.Who }

// listed authorizes the list of a kind's identities and returns the page of it that the call asks for.
func listed[T anIdentity](c *api.Call, s subject, find func(account, pathPrefix, after string, limit int) ([]T, error)) ([]T, api.Page, error) {
	noteParameters(c)
	prefix := c.Form.Get("PathPrefix")
	if err := c.Authorize("iam:"+c.Operation.Name, s.resourceAt(c.Caller.Account, orSlash(prefix), "")); err != nil {
		return nil, api.Page{}, err
	}
	n := c.MaxItems()
	found, err := find(c.Caller.Account, prefix, c.Form.Get("Marker"), n+1)
	if err != nil {
		return nil, api.Page{}, err
	}
	shown, page := cut(found, n, func(v T) string { return v.Who().Name })
	return shown, page, nil
}

// What follows reads parameters whose rows have held them already: nothing is refused here.

func isTrue(c *api.Call, name string) bool { return c.Form.Get(name) == "true" }

// texts reads a list of strings.
func texts(c *api.Call, name string) []string {
	var all []string
	for _, m := range c.Members(name) {
		all = append(all, m[""])
	}
	return all
}

// The uses of a managed policy.
const (
	permissions = "PermissionsPolicy"
	boundaries  = "PermissionsBoundary"
)
