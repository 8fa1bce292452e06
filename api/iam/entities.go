package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
)

type policyGroup struct {
	GroupName string `xml:"GroupName"`
	GroupID   string `xml:"GroupId"`
}

type policyUser struct {
	UserName string `xml:"UserName"`
	UserID   string `xml:"UserId"`
}

type policyRole struct {
	RoleName string `xml:"RoleName"`
	RoleID   string `xml:"RoleId"`
}

type entitiesResult struct {
	PolicyGroups struct {
		Members []policyGroup `xml:"member"`
	} `xml:"PolicyGroups"`
	PolicyUsers struct {
		Members []policyUser `xml:"member"`
	} `xml:"PolicyUsers"`
	PolicyRoles struct {
		Members []policyRole `xml:"member"`
	} `xml:"PolicyRoles"`
	api.Page
}

// section is a part of a list whose parts are of different kinds: Group, Role and User, in this order. A marker is the
// section and a name in it.
type section struct {
	name string
	kind directory.Kind
}

var sections = []section{{"Group", directory.Groups}, {"Role", directory.Roles}, {"User", directory.Users}}

func (d *door) listEntitiesForPolicy(_ context.Context, c *api.Call) (any, error) {
	p, err := d.findPolicy(c)
	if err != nil {
		return nil, err
	}
	prefix := c.Form.Get("PathPrefix")
	kind := c.Form.Get("EntityFilter")
	usage := c.Form.Get("PolicyUsageFilter")
	n := c.MaxItems()
	var found []*directory.Identity
	for _, s := range sections {
		after, reached := afterIn(c.Form.Get("Marker"), s.name)
		if !reached || kind != "" && kind != s.name || len(found) > n {
			continue
		}
		found = append(found, d.usedBy(c, s.kind, p, usage, after, n+1-len(found), func(i *directory.Identity) bool {
			return strings.HasPrefix(i.Path, prefix)
		})...)
	}
	found, page := cut(found, n, func(i *directory.Identity) string { return sectionOf(i.Who().Kind) + "/" + i.Name })
	out := entitiesResult{Page: page}
	for _, i := range found {
		switch i.Who().Kind {
		case directory.Groups:
			out.PolicyGroups.Members = append(out.PolicyGroups.Members, policyGroup{i.Name, i.ID})
		case directory.Users:
			out.PolicyUsers.Members = append(out.PolicyUsers.Members, policyUser{i.Name, i.ID})
		default:
			out.PolicyRoles.Members = append(out.PolicyRoles.Members, policyRole{i.Name, i.ID})
		}
	}
	return out, nil
}

func sectionOf(k directory.Kind) string {
	return sections[slices.IndexFunc(sections, func(s section) bool { return s.kind == k })].name
}

// afterIn returns after which name a section goes on, and whether the marker is not past it.
func afterIn(marker, section string) (after string, reached bool) {
	at, name, _ := strings.Cut(marker, "/")
	switch {
	case at == section:
		return name, true
	default:
		return "", section > at
	}
}

// usedBy are the identities of a kind that have the policy for the use, or for either where none is asked for.
func (d *door) usedBy(c *api.Call, k directory.Kind, p *directory.ManagedPolicy, usage, after string, limit int, keep func(*directory.Identity) bool) []*directory.Identity {
	var all []*directory.Identity
	for use, as := range map[string]directory.Use{permissions: directory.Permissions, boundaries: directory.Boundary} {
		if usage == "" || usage == use {
			all = append(all, d.directory.UsedBy(k, c.Caller.Account, p, as, after, limit, keep)...)
		}
	}
	slices.SortFunc(all, directory.ByName)
	all = slices.Compact(all)
	return all[:min(limit, len(all))]
}
