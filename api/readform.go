package api

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// maxLevels is how deep the parts of a parameter's name may lie. The deepest of the models has seven.
const maxLevels = 12

// node is a part of parameters' names: of Tags.member.1.Key there are four, one below the other.
type node struct {
	value string
	given bool // a parameter ends here
	below map[string]*node
}

// grow makes the tree of a form's names, of which each is looked at once: a form may have tens of thousands.
func grow(form url.Values) *node {
	root := &node{}
	for name, values := range form {
		at := root
		for level := 1; ; level++ {
			part, rest, more := strings.Cut(name, ".")
			if level == maxLevels {
				part, more = name, false
			}
			next := at.below[part]
			if next == nil {
				if at.below == nil {
					at.below = map[string]*node{}
				}
				next = &node{}
				at.below[part] = next
			}
			at, name = next, rest
			if !more {
				break
			}
		}
		at.value, at.given = values[0], true
	}
	return root
}

// readForm reads what the rows name of a form.
func readForm(form url.Values, rows []Member) (map[string]any, error) {
	return readStructure(grow(form), "", rows)
}

func readStructure(n *node, at string, rows []Member) (map[string]any, error) {
	values := make(map[string]any, len(rows))
	for i := range rows {
		row := &rows[i]
		below := n.below[row.Name]
		if below == nil {
			continue
		}
		value, err := readNode(below, joined(at, row.Name), row.Shape)
		if err != nil {
			return nil, err
		}
		if value != nil {
			values[row.Name] = value
		}
	}
	return values, nil
}

func readNode(n *node, at string, s *Shape) (any, error) {
	switch s.Kind {
	case ListKind:
		return readList(n, at, s.Item)
	case MapKind:
		return nil, fault.New(fault.Malformed, "%.100s: maps are not accepted", at) // none of our operations has one
	case StructureKind:
		if n.given {
			return nil, fault.New(fault.Malformed, "%.100s is a structure: its members are accepted, not a value", at)
		}
		return readStructure(n, at, s.Members)
	}
	if !n.given {
		return nil, nil // what lies below the name of a text is no parameter
	}
	return readScalar(n.value, at, s)
}

// readList reads NAME.member.1, NAME.member.2 and so on. The order is that of the numbers; a gap ends nothing, as at AWS.
// What is no number, or the same number spelt otherwise, is refused: it may have been meant to narrow something.
func readList(n *node, at string, item *Shape) (any, error) {
	refused := func() error {
		return fault.New(fault.Malformed, "%s: a list is accepted as %s.member.1, %s.member.2 and so on", at, at, at)
	}
	if n.given {
		if n.value != "" || n.below != nil {
			return nil, refused()
		}
		return []any{}, nil
	}
	members := n.below["member"]
	if members == nil || len(n.below) > 1 || members.given {
		return nil, refused()
	}
	numbers := make([]int, 0, len(members.below))
	for text := range members.below {
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 || strconv.Itoa(number) != text {
			return nil, refused()
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	items := make([]any, len(numbers))
	for i, number := range numbers {
		value, err := readNode(members.below[strconv.Itoa(number)], fmt.Sprintf("%s.%d.member", at, number), item)
		if err != nil {
			return nil, err
		}
		items[i] = value
	}
	return items, nil
}

// readScalar reads a value that the wire has as text.
func readScalar(text, at string, s *Shape) (any, error) {
	wrong := func(accepted string) error {
		return fault.New(fault.Invalid, "1 validation error detected: Value '%.100s' at '%s' failed to satisfy constraint: Member must be %s",
			text, lowerFirst(at), accepted)
	}
	switch s.Kind {
	case NumberKind:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, wrong("a whole number of 32 bits")
		}
		return int(n), nil
	case FlagKind:
		if text != "true" && text != "false" {
			return nil, wrong("true or false")
		}
		return text == "true", nil
	case TimeKind:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return nil, wrong("a time as 2026-11-22T10:00:00Z")
		}
	case BytesKind:
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return nil, wrong("base64")
		}
	}
	return text, nil
}
