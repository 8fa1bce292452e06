package sts

import (
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
)

// duration reads DurationSeconds; absent is 0.
func duration(c *api.Call) time.Duration {
	seconds, _ := c.Number("DurationSeconds")
	return time.Duration(seconds) * time.Second
}

// list reads a list of which every member is understood: one that was passed over might have narrowed the session.
func list(c *api.Call, name string, fields ...string) ([]map[string]string, error) {
	members, read := c.Members(name, fields...), 0
	for _, m := range members {
		read += len(m)
	}
	for key, values := range c.Form {
		switch {
		case key == name && values[0] == "": // an empty list
		case key == name || strings.HasPrefix(key, name+"."):
			read--
		}
	}
	if read != 0 {
		return nil, fault.New(fault.Invalid, "%s: a list is accepted as %s.member.1, %s.member.2 and so on", name, name, name)
	}
	return members, nil
}

// narrowing reads the session policies.
func narrowing(c *api.Call) (broker.Narrowing, error) {
	in := broker.Narrowing{Policy: c.Form.Get("Policy")}
	members, err := list(c, "PolicyArns", "arn")
	for _, m := range members {
		in.ARNs = append(in.ARNs, m["arn"])
	}
	return in, err
}

// sessionTags reads the tags and which of them are transitive.
func sessionTags(c *api.Call) ([]session.Tag, error) {
	members, err := list(c, "Tags", "Key", "Value")
	if err != nil {
		return nil, err
	}
	var tags []session.Tag
	for _, m := range members {
		if err := directory.CheckTag(directory.Tag{Key: m["Key"], Value: m["Value"]}); err != nil {
			return nil, err
		}
		tags = append(tags, session.Tag{Key: m["Key"], Value: m["Value"]})
	}
	keys, err := list(c, "TransitiveTagKeys", "")
	if err != nil {
		return nil, err
	}
	for _, m := range keys {
		i := slices.IndexFunc(tags, func(t session.Tag) bool { return strings.EqualFold(t.Key, m[""]) })
		if i < 0 {
			return nil, fault.New(fault.Invalid, "The specified transitive tag key must be included in the requested tags.")
		}
		tags[i].Transitive = true
	}
	return tags, nil
}

// refuse refuses, by name, parameters that nothing would honour. Of a list, no spelling of a member is let through.
func refuse(c *api.Call, names ...string) error {
	var given []string
	for key, values := range c.Form {
		name, _, _ := strings.Cut(key, ".")
		if slices.Contains(names, name) && values[0] != "" {
			given = append(given, name)
		}
	}
	if len(given) == 0 {
		return nil
	}
	return fault.New(fault.Unsupported, "The parameter %s is not supported: leave it out.", slices.Min(given))
}

// roleARN reads the name of a role.
func roleARN(text string) (arn.ARN, error) {
	name, err := arn.Parse(text)
	if _, _, ok := name.RoleName(); err != nil || !ok {
		return arn.ARN{}, fault.New(fault.Invalid, "%s is invalid", text)
	}
	return name, nil
}
