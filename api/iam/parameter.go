package iam

import (
	"regexp"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
)

// paged returns the page of a list that the call asks for. The list is in the order of the markers.
func paged[T any](c *api.Call, all []T, marker func(T) string) ([]T, api.Page, error) {
	n, err := c.MaxItems()
	if err != nil {
		return nil, api.Page{}, err
	}
	last := c.Form.Get("Marker")
	all = slices.Clone(all)
	all = slices.DeleteFunc(all, func(v T) bool { return last != "" && marker(v) <= last })
	if len(all) <= n {
		return all, api.Page{}, nil
	}
	return all[:n], api.Page{IsTruncated: true, Marker: marker(all[n-1])}, nil
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
	prefix, err := pathPrefixOf(c)
	if err != nil {
		return nil, api.Page{}, err
	}
	if err := c.Authorize("iam:"+c.Operation.Name, s.resourceAt(c.Caller.Account, orSlash(prefix), "")); err != nil {
		return nil, api.Page{}, err
	}
	n, err := c.MaxItems()
	if err != nil {
		return nil, api.Page{}, err
	}
	found, err := find(c.Caller.Account, prefix, c.Form.Get("Marker"), n+1)
	if err != nil {
		return nil, api.Page{}, err
	}
	shown, page := cut(found, n, func(v T) string { return v.Who().Name })
	return shown, page, nil
}

var pathPrefix = regexp.MustCompile(`^/[!-~]{0,511}$`)

// pathPrefixOf reads the parameter PathPrefix; every path begins with the empty one.
func pathPrefixOf(c *api.Call) (string, error) {
	prefix := c.Form.Get("PathPrefix")
	if prefix != "" && !pathPrefix.MatchString(prefix) {
		return "", fault.New(fault.Invalid, "1 validation error detected: Value '%.100s' at 'pathPrefix' failed to satisfy constraint: at most 512 characters that begin with / are accepted", prefix)
	}
	return prefix, nil
}

// oneOf reads an optional parameter that has one of the values.
func oneOf(c *api.Call, name string, values ...string) (string, error) {
	v := c.Form.Get(name)
	if v != "" && !slices.Contains(values, v) {
		return "", fault.New(fault.Invalid, "1 validation error detected: Value '%.100s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]",
			v, strings.ToLower(name[:1])+name[1:], strings.Join(values, ", "))
	}
	return v, nil
}

func isTrue(c *api.Call, name string) (bool, error) {
	v, err := oneOf(c, name, "true", "false")
	return v == "true", err
}

// The uses of a managed policy.
const (
	permissions = "PermissionsPolicy"
	boundaries  = "PermissionsBoundary"
)

func usageFilter(c *api.Call) (string, error) {
	return oneOf(c, "PolicyUsageFilter", permissions, boundaries)
}
