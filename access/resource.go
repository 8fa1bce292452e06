package access

import (
	"strings"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
)

// resourceTags are the condition keys of the tags that the resource has now, for a principal whose policies ask for any. What
// does not exist has none.
func (a *Access) resourceTags(p *directory.Principal, resource string) policy.Context {
	if strings.HasPrefix(resource, "arn:aws:s3:") || !p.Layers.Mentions("aws:resourcetag/") && !p.Layers.Mentions("iam:resourcetag/") {
		return nil
	}
	name, err := arn.Parse(resource)
	if err != nil {
		return nil
	}
	tags := a.tagsOf(name)
	ctx := make(policy.Context, 0, 2*len(tags))
	for _, t := range tags {
		values := []string{t.Value}
		ctx = append(ctx, policy.Entry{Key: "aws:ResourceTag/" + t.Key, Values: values})
		if name.Service == "iam" {
			ctx = append(ctx, policy.Entry{Key: "iam:ResourceTag/" + t.Key, Values: values})
		}
	}
	return ctx
}

func (a *Access) tagsOf(name arn.ARN) []directory.Tag {
	kind, rest, _ := strings.Cut(name.Resource, "/")
	switch name.Service + ":" + kind {
	case "iam:role":
		if r, err := a.Directory.RoleByARN(name); err == nil {
			return r.Tags
		}
	case "iam:user":
		if u, err := a.Directory.User(name.Account, rest[strings.LastIndexByte(rest, '/')+1:]); err == nil && u.ARN() == name {
			return u.Tags
		}
	case "iam:policy":
		if m, err := a.Directory.ManagedPolicy(name.Account, name.String()); err == nil {
			return m.Tags
		}
	case "eks:cluster":
		if c, err := a.Registry.Cluster(name.Account, rest); err == nil {
			return c.Tags
		}
	case "eks:podidentityassociation":
		cluster, id, _ := strings.Cut(rest, "/")
		if as, err := a.Registry.AssociationByID(name.Account, cluster, id); err == nil {
			return as.Tags
		}
	case "eks:addon":
		if parts := strings.Split(rest, "/"); len(parts) == 3 {
			if ad, err := a.Registry.Addon(name.Account, parts[0], parts[1]); err == nil {
				return ad.Tags
			}
		}
	}
	return nil
}
