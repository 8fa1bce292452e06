package access

import (
	"fmt"
	"strings"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
)

// resourceTags are the condition keys of the tags that the resource has now, for a principal whose policies ask for any. What
// does not exist has none.
func (a *Access) resourceTags(p *directory.Principal, resource string) (policy.Context, error) {
	if strings.HasPrefix(resource, "arn:aws:s3:") || !p.Layers.Mentions("aws:resourcetag/") && !p.Layers.Mentions("iam:resourcetag/") {
		return nil, nil
	}
	name, err := arn.Parse(resource)
	if err != nil {
		return nil, nil
	}
	tags, err := a.tagsOf(name)
	if fault.Is(err, fault.Internal) || fault.Is(err, fault.Unavailable) {
		return nil, fmt.Errorf("reading the tags of %s: %w", resource, err) // a Deny may speak of them
	}
	_, isIssuer := name.Issuer()
	ctx := make(policy.Context, 0, 2*len(tags))
	for _, t := range tags {
		values := []string{t.Value}
		ctx = append(ctx, policy.Entry{Key: "aws:ResourceTag/" + t.Key, Values: values})
		if name.Service == "iam" && !isIssuer {
			ctx = append(ctx, policy.Entry{Key: "iam:ResourceTag/" + t.Key, Values: values})
		}
	}
	return ctx, nil
}

func (a *Access) tagsOf(name arn.ARN) (tags []directory.Tag, err error) {
	kind, rest, _ := strings.Cut(name.Resource, "/")
	switch name.Service + ":" + kind {
	case "iam:role":
		var r *directory.Role
		if r, err = a.Directory.RoleByARN(name); err == nil {
			tags = r.Tags
		}
	case "iam:user":
		var u *directory.User
		if u, err = a.Directory.User(name.Account, rest[strings.LastIndexByte(rest, '/')+1:]); err == nil && u.ARN() == name {
			tags = u.Tags
		}
	case "iam:policy":
		var m *directory.ManagedPolicy
		if m, err = a.Directory.ManagedPolicy(name.Account, name.String()); err == nil {
			tags = m.Tags
		}
	case "iam:oidc-provider":
		var o *directory.OIDCProvider
		if o, err = a.Directory.OIDCProvider(name.Account, rest); err == nil {
			tags = o.Tags
		}
	case "eks:cluster":
		var c *registry.Cluster
		if c, err = a.Registry.Cluster(name.Account, rest); err == nil {
			tags = c.Tags
		}
	case "eks:podidentityassociation":
		cluster, id, _ := strings.Cut(rest, "/")
		var as *registry.Association
		if as, err = a.Registry.AssociationByID(name.Account, cluster, id); err == nil {
			tags = as.Tags
		}
	case "eks:addon":
		if parts := strings.Split(rest, "/"); len(parts) == 3 {
			var ad *registry.Addon
			if ad, err = a.Registry.Addon(name.Account, parts[0], parts[1]); err == nil {
				tags = ad.Tags
			}
		}
	}
	return tags, err
}
