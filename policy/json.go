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
	text    string // of a string or a number
	truth   bool   // of a boolean
	items   []node
	members []member
}

type member struct {
	name  string
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

// readJSON reads one JSON value with nothing behind it.
func readJSON(text string) (node, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	n, err := readNode(d, 0)
	if err != nil {
		return node{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return node{}, errors.New("something follows the document's closing brace")
	}
	return n, nil
}

func readNode(d *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, fmt.Errorf("the document nests deeper than %d levels", maxDepth)
	}
	token, err := readToken(d)
	if err != nil {
		return node{}, err
	}
	switch t := token.(type) {
	case string:
		return node{kind: aString, text: t}, nil
	case bool:
		return node{kind: aBoolean, truth: t}, nil
	case json.Number:
		return node{kind: aNumber, text: t.String()}, nil
	case json.Delim:
		if t == '[' {
			return readList(d, depth)
		}
		return readObject(d, depth)
	}
	return node{kind: aNull}, nil
}

func readList(d *json.Decoder, depth int) (node, error) {
	n := node{kind: aList}
	for d.More() {
		item, err := readNode(d, depth+1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, err := readToken(d)
	return n, err
}

func readObject(d *json.Decoder, depth int) (node, error) {
	n, seen := node{kind: anObject}, map[string]bool{}
	for d.More() {
		token, err := readToken(d)
		if err != nil {
			return node{}, err
		}
		name, ok := token.(string)
		if !ok {
			return node{}, errNotJSON
		}
		if seen[name] {
			return node{}, fmt.Errorf("%q stands twice in one object", name)
		}
		seen[name] = true
		value, err := readNode(d, depth+1)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name: name, value: value})
	}
	_, err := readToken(d)
	return n, err
}

var errNotJSON = errors.New("the document is not JSON")

// readToken replaces the decoder's wordings, which are about Go, with where the reading stopped.
func readToken(d *json.Decoder) (json.Token, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: reading stopped behind byte %d", errNotJSON, d.InputOffset())
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
			return nil, fmt.Errorf("it is or holds %s: %s or a list of them is accepted", items[i].kind, kinds[0])
		}
	}
	return items, nil
}

// strings returns a string or list of strings.
func (n *node) strings() ([]string, error) { return n.scalars(aString) }

// scalars is strings for values of the kinds, as text.
func (n *node) scalars(kinds ...nodeKind) ([]string, error) {
	items, err := n.list(kinds...)
	if err != nil {
		return nil, err
	}
	all := make([]string, len(items))
	for i := range items {
		if all[i] = items[i].text; items[i].kind == aBoolean {
			all[i] = fmt.Sprint(items[i].truth)
		}
	}
	return all, nil
}
