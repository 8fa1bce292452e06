package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxDepth is the nesting of JSON values that is read; the deepest policy needs six.
const maxDepth = 8

// node is a JSON value that keeps what encoding/json drops when it fills structs: the order of members and their exact
// names. Two members of one name are an error, because readers that take the first and readers that take the last would
// enforce different policies.
type node struct {
	kind    nodeKind
	at, end int    // bytes of the document before the value and up to its end
	text    string // of a string or a number
	truth   bool   // of a boolean
	items   []node
	members []member
}

type member struct {
	name  string
	at    int // bytes of the document before the name
	value node
}

type nodeKind uint8

const (
	aString nodeKind = iota
	aBoolean
	aList
	anObject
	aNumber
	aNull
)

var kindNames = [...]string{"a string", "a boolean", "a list", "an object", "a number", "null"}

func (k nodeKind) String() string { return kindNames[k] }

// reader reads the tokens of a document.
type reader struct {
	*json.Decoder
	text string
}

// readJSON reads one JSON value with nothing behind it.
func readJSON(text string) (node, error) {
	r := reader{json.NewDecoder(strings.NewReader(text)), text}
	r.UseNumber()
	n, err := r.node(0)
	if err != nil {
		return node{}, err
	}
	end := int(r.InputOffset())
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return node{}, at(end, errors.New("something follows the document's closing brace"))
	}
	return n, nil
}

// here returns where the next token begins.
func (r *reader) here() int {
	i := int(r.InputOffset())
	for i < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[i]) >= 0 {
		i++
	}
	return i
}

func (r *reader) node(depth int) (node, error) {
	from := r.here()
	if depth > maxDepth {
		return node{}, at(from, fmt.Errorf("the document nests deeper than %d levels", maxDepth))
	}
	token, err := r.token()
	if err != nil {
		return node{}, err
	}
	n := node{kind: aNull}
	switch t := token.(type) {
	case string:
		n = node{kind: aString, text: t}
	case bool:
		n = node{kind: aBoolean, truth: t}
	case json.Number:
		n = node{kind: aNumber, text: t.String()}
	case json.Delim:
		if t == '[' {
			n, err = r.list(depth)
		} else {
			n, err = r.object(depth)
		}
	}
	n.at, n.end = from, int(r.InputOffset())
	return n, err
}

func (r *reader) list(depth int) (node, error) {
	n := node{kind: aList}
	for r.More() {
		item, err := r.node(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, err := r.token()
	return n, err
}

func (r *reader) object(depth int) (node, error) {
	n, seen := node{kind: anObject}, map[string]bool{}
	for r.More() {
		from := r.here()
		token, err := r.token()
		if err != nil {
			return node{}, err
		}
		name, ok := token.(string)
		if !ok {
			return node{}, at(from, errNotJSON)
		}
		if seen[name] {
			return node{}, at(from, fmt.Errorf("%q stands twice in one object", name))
		}
		seen[name] = true
		value, err := r.node(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name: name, at: from, value: value})
	}
	_, err := r.token()
	return n, err
}

var errNotJSON = errors.New("the document is not JSON")

// token replaces the decoder's wordings, which are about Go, with where the reading stopped.
func (r *reader) token() (json.Token, error) {
	token, err := r.Token()
	if err != nil {
		stopped := int(r.InputOffset())
		return nil, at(stopped, fmt.Errorf("%w: reading stopped behind byte %d", errNotJSON, stopped))
	}
	return token, nil
}

// str returns the text of a string.
func (n *node) str() (string, error) {
	if n.kind != aString {
		return "", fmt.Errorf("it is %s: a string is accepted", n.kind)
	}
	return n.text, nil
}

// list returns the items of a list that is not empty, or a single value as a list; each is of the kind.
func (n *node) list(kinds ...nodeKind) ([]node, error) {
	items := []node{*n}
	if n.kind == aList {
		items = n.items
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("the list is empty: %s or a list of them is accepted", kinds[0])
	}
	for i := range items {
		if !slices.Contains(kinds, items[i].kind) {
			return nil, at(items[i].at, fmt.Errorf("it is or holds %s: %s or a list of them is accepted", items[i].kind, kinds[0]))
		}
	}
	return items, nil
}

// scalar is a string, or what may stand for one, as text.
type scalar struct {
	text string
	at   int
}

// strings returns a string or list of strings.
func (n *node) strings() ([]scalar, error) { return n.scalars(aString) }

// scalars is strings for values of the kinds, as text.
func (n *node) scalars(kinds ...nodeKind) ([]scalar, error) {
	items, err := n.list(kinds...)
	if err != nil {
		return nil, err
	}
	all := make([]scalar, len(items))
	for i := range items {
		all[i] = scalar{items[i].text, items[i].at}
		if items[i].kind == aBoolean {
			all[i].text = fmt.Sprint(items[i].truth)
		}
	}
	return all, nil
}
