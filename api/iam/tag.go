package iam

import (
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
)

type tag struct {
	Key   string `xml:"Key"`
	Value string `xml:"Value"`
}

type tags struct {
	Members []tag `xml:"member"`
}

func fromTags(in []directory.Tag) *tags {
	if len(in) == 0 {
		return nil
	}
	out := &tags{}
	for _, t := range in {
		out.Members = append(out.Members, tag(t))
	}
	return out
}

// record is tags as a record shows them.
func record(in []directory.Tag) []audit.Tag {
	out := make([]audit.Tag, len(in))
	for i, t := range in {
		out[i] = audit.Tag(t)
	}
	return out
}

func toTags(c *api.Call) []directory.Tag {
	members := c.Members("Tags", "Key", "Value")
	out := make([]directory.Tag, len(members))
	for i, m := range members {
		out[i] = directory.Tag{Key: m["Key"], Value: m["Value"]}
	}
	return out
}

// tagging adds the call's tags to a resource. ask authorizes with the condition keys of tags, and says how they are added.
func tagging(c *api.Call, ask func(...policy.Entry) (func([]directory.Tag) error, error)) error {
	given := toTags(c)
	add, err := ask(api.RequestTags(given)...)
	if err != nil {
		return err
	}
	if len(given) == 0 {
		return missing("tags")
	}
	return add(given)
}

// untagging takes tags with the call's keys from a resource, as tagging adds them.
func untagging(c *api.Call, ask func(...policy.Entry) (func(keys []string) error, error)) error {
	keys := texts(c, "TagKeys")
	remove, err := ask(policy.Entry{Key: "aws:TagKeys", Values: keys})
	switch {
	case err != nil:
		return err
	case len(keys) == 0:
		return missing("tagKeys")
	}
	return remove(keys)
}

type tagsResult struct {
	Tags tags `xml:"Tags"`
	api.Page
}

func pageOfTags(c *api.Call, all []directory.Tag) any {
	shown, page := paged(c, all, func(t directory.Tag) string { return t.Key })
	out := tagsResult{Page: page}
	if some := fromTags(shown); some != nil {
		out.Tags = *some
	}
	return out
}

// authorizeWithTags asks for what makes a resource with tags: the call's action, and the one that tags.
func authorizeWithTags(c *api.Call, resource, tagAction string, given []directory.Tag, extra ...policy.Entry) error {
	if err := c.Authorize("iam:"+c.Operation.Name, resource, append(api.RequestTags(given), extra...)...); err != nil {
		return err
	}
	if len(given) == 0 {
		return nil
	}
	return c.Authorize("iam:"+tagAction, resource, api.RequestTags(given)...)
}
