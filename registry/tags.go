package registry

import (
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
)

const maxTags = 50

// changeTags returns the tags by key with some added (in place of those with the same key) and some removed. Unlike
// IAM's, EKS's tag keys are told apart by case.
func changeTags(have, add []directory.Tag, remove []string) ([]directory.Tag, error) {
	if err := checkTags(add); err != nil {
		return nil, err
	}
	var out []directory.Tag
	for _, t := range have {
		replaced := func(n directory.Tag) bool { return n.Key == t.Key }
		if !slices.ContainsFunc(add, replaced) && !slices.Contains(remove, t.Key) {
			out = append(out, t)
		}
	}
	out = append(out, add...)
	slices.SortFunc(out, func(a, b directory.Tag) int { return strings.Compare(a.Key, b.Key) })
	return out, checkCount(out)
}

func checkTags(tags []directory.Tag) error {
	for _, t := range tags {
		if err := directory.CheckTag(t); err != nil {
			return err
		}
	}
	return checkCount(tags)
}

func checkCount(tags []directory.Tag) error {
	if len(tags) > maxTags {
		return fault.New(fault.Invalid, "tags: at most %d are accepted, got %d", maxTags, len(tags))
	}
	return nil
}
