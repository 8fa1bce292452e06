package eks

import (
	"context"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// tagged is a resource that carries tags: a cluster, or an association or an add-on of one.
type tagged struct{ cluster, association, addon, uid string }

// parseTagged reads the resource of a tag operation. Another account's or region's is not found here.
func parseTagged(c *api.Call) (tagged, error) {
	text := c.Labels["resourceArn"]
	name, err := arn.Parse(text)
	if err != nil {
		return tagged{}, fault.New(fault.Invalid, "resourceArn: %w", err)
	}
	// What policy is asked about is the text: it has to be the one name of what is found.
	kind, rest, _ := strings.Cut(name.Resource, "/")
	cluster, association, isAssociation := strings.Cut(rest, "/")
	if kind == "addon" {
		addon, uid, _ := strings.Cut(association, "/")
		on := tagged{cluster: cluster, addon: addon, uid: uid}
		if cluster == "" || addon == "" || uid == "" || strings.Contains(uid, "/") || arn.Addon(name.Region, name.Account, cluster, addon, uid).String() != text {
			return tagged{}, fault.New(fault.Invalid, "resourceArn %q: addon/CLUSTER/NAME/ID is accepted", text)
		}
		return on, own(c, name)
	}
	only := arn.Cluster(name.Region, name.Account, cluster)
	if isAssociation {
		only = arn.Association(name.Region, name.Account, cluster, association)
	}
	if kind == "" || cluster == "" || strings.Contains(association, "/") || only.String() != text {
		return tagged{}, fault.New(fault.Invalid, "resourceArn %q: the ARN of a cluster, of a pod identity association or of an add-on is accepted", text)
	}
	return tagged{cluster: cluster, association: association}, own(c, name)
}

func own(c *api.Call, name arn.ARN) error {
	if name.Account != c.Caller.Account || name.Region != c.Region() {
		return fault.New(fault.NotFound, "The resource %s does not exist.", name)
	}
	return nil
}

type tagRequest struct {
	Tags map[string]string `json:"tags"`
}

func (d *door) tagResource(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[tagRequest](c)
	if err != nil {
		return nil, err
	}
	resource := c.Labels["resourceArn"]
	c.Event.RequestParameters = map[string]any{"resourceArn": resource, "tags": in.Tags}
	if err := distinct(in.Tags); err != nil {
		return nil, err
	}
	if err := c.Authorize("eks:TagResource", resource, api.RequestTags(toTags(in.Tags))...); err != nil {
		return nil, err
	}
	return struct{}{}, d.changeTags(ctx, c, toTags(in.Tags), nil)
}

func (d *door) untagResource(ctx context.Context, c *api.Call) (any, error) {
	resource, keys := c.Labels["resourceArn"], c.Request.URL.Query()["tagKeys"]
	c.Event.RequestParameters = map[string]any{"resourceArn": resource, "tagKeys": keys}
	if err := c.Authorize("eks:UntagResource", resource, policy.Entry{Key: "aws:TagKeys", Values: keys}); err != nil {
		return nil, err
	}
	return struct{}{}, d.changeTags(ctx, c, nil, keys)
}

func (d *door) changeTags(ctx context.Context, c *api.Call, add []directory.Tag, remove []string) error {
	on, err := parseTagged(c)
	if err != nil {
		return err
	}
	if on.addon != "" {
		return d.changeAddonTags(ctx, c, on, add, remove)
	}
	if on.association == "" {
		_, err = d.registry.TagCluster(ctx, c.Caller.Account, on.cluster, add, remove)
	} else {
		_, err = d.registry.TagAssociation(ctx, c.Caller.Account, on.cluster, on.association, add, remove)
	}
	return err
}

func (d *door) listTags(_ context.Context, c *api.Call) (any, error) {
	resource := c.Labels["resourceArn"]
	c.Event.RequestParameters = map[string]any{"resourceArn": resource}
	if err := c.Authorize("eks:ListTagsForResource", resource); err != nil {
		return nil, err
	}
	on, err := parseTagged(c)
	if err != nil {
		return nil, err
	}
	if on.addon != "" {
		a, err := d.taggedAddon(c, on)
		if err != nil {
			return nil, err
		}
		return tagRequest{fromTags(a.Tags)}, nil
	}
	if on.association != "" {
		a, err := d.registry.AssociationByID(c.Caller.Account, on.cluster, on.association)
		if err != nil {
			return nil, err
		}
		return tagRequest{fromTags(a.Tags)}, nil
	}
	cl, err := d.registry.Cluster(c.Caller.Account, on.cluster)
	if err != nil {
		return nil, err
	}
	return tagRequest{fromTags(cl.Tags)}, nil
}

// authorizeTags asks for eks:TagResource when a create call brings tags.
func authorizeTags(c *api.Call, resource string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	if err := distinct(tags); err != nil {
		return err
	}
	return c.Authorize("eks:TagResource", resource, api.RequestTags(toTags(tags))...)
}

// distinct refuses keys that differ by case alone. EKS tells them apart, condition keys do not: a policy that asks for
// aws:RequestTag/env would look at one of them, and the other would be stored unseen.
func distinct(tags map[string]string) error {
	seen := make(map[string]string, len(tags))
	for _, t := range toTags(tags) {
		folded := strings.ToLower(t.Key)
		if other, ok := seen[folded]; ok {
			return fault.New(fault.Invalid, "tags: the keys %.100q and %.100q differ by case alone: one of them is accepted", other, t.Key)
		}
		seen[folded] = t.Key
	}
	return nil
}
