package directory

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// InlinePolicy is a permission policy that lives and dies with its identity.
type InlinePolicy struct {
	Name     string
	Document *policy.Document
}

// Tag is a key with a value; keys are unique whatever their case.
type Tag struct{ Key, Value string }

var (
	identityName = regexp.MustCompile(`^[\w+=,.@-]+$`)
	identityPath = regexp.MustCompile(`^(/|/[!-~]+/)$`)
	policyName   = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)
	tagText      = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

func newInline(name, text string) (InlinePolicy, error) {
	if !policyName.MatchString(name) {
		return InlinePolicy{}, fault.New(fault.Invalid, "policyName %q: 1 to 128 characters of [\\w+=,.@-] are accepted", name)
	}
	doc, err := policy.Parse(policy.Identity, text)
	return InlinePolicy{Name: name, Document: doc}, err
}

func parseTrust(text string) (*policy.Document, error) {
	doc, err := policy.Parse(policy.Trust, text)
	if err != nil {
		return nil, err
	}
	if n := sizeOf(text); n > maxTrust {
		return nil, fault.New(fault.Limit, "Cannot exceed quota for ACLSizePerRole: %d characters without white space, got %d", maxTrust, n)
	}
	return doc, nil
}

func checkRole(r *Role) error {
	if err := checkName(Roles, r.Path, r.Name); err != nil {
		return err
	}
	switch {
	case len([]rune(r.Description)) > 1000:
		return fault.New(fault.Invalid, "description: at most 1000 characters are accepted, got %d", len([]rune(r.Description)))
	case r.MaxSession < time.Hour || r.MaxSession > 12*time.Hour:
		return fault.New(fault.Invalid, "maxSessionDuration %d: 3600 to 43200 seconds are accepted", int(r.MaxSession.Seconds()))
	}
	return nil
}

var maxName = [...]int{Users: 64, Groups: 128, Roles: 64}

// checkName holds the name of an identity against IAM's rules.
func checkName(k Kind, path, name string) error {
	switch {
	case len(name) > maxName[k] || !identityName.MatchString(name):
		return fault.New(fault.Invalid, "%sName %q: 1 to %d characters of [\\w+=,.@-] are accepted", k, name, maxName[k])
	case len(path) > 512 || !identityPath.MatchString(path):
		return fault.New(fault.Invalid, "path %q: at most 512 characters that begin and end with / are accepted", path)
	}
	return nil
}

// mergeTags returns the tags by key, with the new ones in place of those with the same key.
func mergeTags(have, add []Tag) ([]Tag, error) {
	merged := slices.Clone(have)
	for i, t := range add {
		if err := CheckTag(t); err != nil {
			return nil, err
		}
		same := func(o Tag) bool { return strings.EqualFold(o.Key, t.Key) }
		if slices.ContainsFunc(add[:i], same) {
			return nil, fault.New(fault.Invalid, "tag key %q is given twice", t.Key)
		}
		merged = append(slices.DeleteFunc(merged, same), t)
	}
	if len(merged) > maxTags {
		return nil, fault.New(fault.Limit, "at most %d tags are accepted, got %d", maxTags, len(merged))
	}
	slices.SortFunc(merged, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return merged, nil
}

// withoutTags returns the tags but those with the keys, whatever their case.
func withoutTags(have []Tag, keys []string) []Tag {
	return slices.DeleteFunc(have, func(t Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
	})
}

// CheckTag holds a tag against AWS's rules for keys and values.
func CheckTag(t Tag) error {
	switch {
	case len([]rune(t.Key)) < 1 || len([]rune(t.Key)) > 128 || !tagText.MatchString(t.Key):
		return fault.New(fault.Invalid, "tag key %q: 1 to 128 letters, digits, spaces and _.:/=+-@ are accepted", t.Key)
	case len([]rune(t.Value)) > 256 || !tagText.MatchString(t.Value):
		return fault.New(fault.Invalid, "value %q of tag %q: at most 256 letters, digits, spaces and _.:/=+-@ are accepted", t.Value, t.Key)
	case len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:"):
		return fault.New(fault.Invalid, "tag key %q: the prefix aws: is reserved", t.Key)
	}
	return nil
}

func putInline(all []InlinePolicy, p InlinePolicy) []InlinePolicy {
	all = append(slices.DeleteFunc(all, p.sameName), p)
	slices.SortFunc(all, func(a, b InlinePolicy) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// deleteInline removes the policy with the name; of is what it belongs to, for the error.
func deleteInline(all []InlinePolicy, name, of string) ([]InlinePolicy, error) {
	p, err := findInline(all, name, of)
	return slices.DeleteFunc(all, p.sameName), err
}

func findInline(all []InlinePolicy, name, of string) (InlinePolicy, error) {
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
	}
	return InlinePolicy{}, fault.New(fault.NotFound, "The %s policy with name %s cannot be found.", of, name)
}

func (p InlinePolicy) sameName(o InlinePolicy) bool { return o.Name == p.Name }

func documents(inline []InlinePolicy) []*policy.Document {
	docs := make([]*policy.Document, len(inline))
	for i, p := range inline {
		docs[i] = p.Document
	}
	return docs
}

func inlineSize(all []InlinePolicy) int {
	n := 0
	for _, p := range all {
		n += sizeOf(p.Document.Text())
	}
	return n
}

// sizeOf counts a policy's characters as IAM's quotas do: without white space.
func sizeOf(text string) int {
	n := 0
	for _, r := range text {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}
