package podtoken

import (
	"encoding/json"
	"errors"
	"fmt"
)

// maxDepth is how deep objects and lists may stand in each other. A token's claims need 3.
const maxDepth = 8

// parseObject reads a JSON object into maps, lists, strings, float64s and bools. It never takes one name for another that
// differs in case, as json.Unmarshal into a struct does, and it refuses a member that stands twice in one object: two
// readers of one token could each understand another of the two. Of those json.Unmarshal keeps one, which shows in the
// number of members.
func parseObject(data []byte) (map[string]any, error) {
	depth, written := measure(data)
	if depth > maxDepth {
		return nil, fmt.Errorf("JSON of %d levels: at most %d are accepted", depth, maxDepth)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return nil, err
	}
	members, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if kept := count(members); kept != written {
		return nil, fmt.Errorf("%d of %d JSON members stand twice", written-kept, written)
	}
	return members, nil
}

// measure returns how deep data goes and how many members its objects have as written: in valid JSON, each colon outside
// a string is one. Of other data it says nothing useful, and json.Unmarshal will refuse it.
func measure(data []byte) (deepest, members int) {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		case c == ':':
			members++
		}
	}
	return deepest, members
}

// count returns how many members all objects in value have.
func count(value any) int {
	n := 0
	switch v := value.(type) {
	case map[string]any:
		n = len(v)
		for _, member := range v {
			n += count(member)
		}
	case []any:
		for _, element := range v {
			n += count(element)
		}
	}
	return n
}
