package sts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
)

// constraint is what STS's model says of a text.
type constraint struct {
	min, max int // characters; max 0: no bound of its own
	pattern  string
	compiled *regexp.Regexp
}

func constrained(minimum, maximum int, pattern string) constraint {
	return constraint{minimum, maximum, pattern, regexp.MustCompile(`^(?:` + pattern + `)$`)}
}

// The constraints, by the parameter's name on the wire.
var constraints = map[string]constraint{
	"RoleArn":         constrained(20, 2048, `[\x09\x0A\x0D\x20-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]+`),
	"RoleSessionName": constrained(2, 64, `[\w+=,.@-]*`),
	"ExternalId":      constrained(2, 1224, `[\w+=,.@:\/-]*`),
	"SourceIdentity":  constrained(2, 64, `[\w+=,.@-]*`),
	"Name":            constrained(2, 32, `[\w+=,.@-]*`),
	"AccessKeyId":     constrained(16, 128, `[\w]*`),
	"arn":             constrained(20, 2048, `[\x09\x0A\x0D\x20-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]+`), // of PolicyArns
	"Policy":          constrained(1, 0, `[\x09\x0A\x0D\x20-\x{FF}]+`),
}

// optional reads a parameter that may be absent, and holds it to its constraint when it is not.
func optional(c *api.Call, name string) (string, error) {
	if !c.Form.Has(name) {
		return "", nil
	}
	value := c.Form.Get(name)
	return value, check(name, value)
}

// check holds a text to its constraint.
func check(name, value string) error {
	k := constraints[name]
	switch n := utf8.RuneCountInString(value); {
	case n < k.min:
		return unsatisfied(name, value, fmt.Sprintf("Member must have length greater than or equal to %d", k.min))
	case k.max > 0 && n > k.max:
		return unsatisfied(name, value, fmt.Sprintf("Member must have length less than or equal to %d", k.max))
	case !utf8.ValidString(value) || !k.compiled.MatchString(value):
		return unsatisfied(name, value, "Member must satisfy regular expression pattern: "+k.pattern)
	}
	return nil
}

// required reads a parameter that must be there.
func required(c *api.Call, name string) (string, error) {
	if _, err := c.Text(name); err != nil {
		return "", err
	}
	return optional(c, name)
}

func unsatisfied(name, value, why string) error {
	return fault.New(fault.Invalid, "1 validation error detected: Value '%.100s' at '%s' failed to satisfy constraint: %s",
		value, strings.ToLower(name[:1])+name[1:], why)
}

// How long a session may be, in seconds.
const (
	shortest    = 900
	longestRole = 43200
	longestUser = 129600
)

// duration reads DurationSeconds; absent is 0.
func duration(c *api.Call, longest int) (time.Duration, error) {
	seconds, given, err := c.Number("DurationSeconds")
	switch {
	case err != nil || !given:
		return 0, err
	case seconds < shortest:
		return 0, unsatisfied("DurationSeconds", fmt.Sprint(seconds), fmt.Sprintf("Member must have value greater than or equal to %d", shortest))
	case seconds > longest:
		return 0, unsatisfied("DurationSeconds", fmt.Sprint(seconds), fmt.Sprintf("Member must have value less than or equal to %d", longest))
	}
	return time.Duration(seconds) * time.Second, nil
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
	var in broker.Narrowing
	members, err := list(c, "PolicyArns", "arn")
	if err != nil {
		return in, err
	}
	for _, m := range members {
		if err := check("arn", m["arn"]); err != nil {
			return in, err
		}
		in.ARNs = append(in.ARNs, m["arn"])
	}
	in.Policy, err = optional(c, "Policy")
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
