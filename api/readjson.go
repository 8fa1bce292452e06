package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// maxDepth is how deep the objects and arrays of a body may lie. The deepest of the models has five.
const maxDepth = 32

// readREST reads what the rows name of a REST request: its path, its query, and its body where they say that it has one.
func readREST(c *Call, rows []Member) (map[string]any, error) {
	values, err := readQuery(c.Request.URL.RawQuery, rows)
	if err != nil {
		return nil, err
	}
	hasBody := false
	for i := range rows {
		switch row := &rows[i]; row.Place {
		case InPath:
			values[row.Name] = c.Labels[row.Label]
		case InBody:
			hasBody = true
		}
	}
	if !hasBody || len(c.Body) == 0 {
		return values, nil
	}
	body, err := readBody(c, rows)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if value, given := body[rows[i].Name]; given && rows[i].Place == InBody {
			values[rows[i].Name] = value
		}
	}
	return values, nil
}

// readQuery reads the members that the query carries. One that is given twice is refused, unless it is a list: two
// readers could believe two of them.
func readQuery(raw string, rows []Member) (map[string]any, error) {
	values := map[string]any{}
	if raw == "" {
		return values, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fault.New(fault.Malformed, "The query cannot be read: %s", err)
	}
	for i := range rows {
		row := &rows[i]
		given := query[row.Name]
		if row.Place != InQuery || len(given) == 0 {
			continue
		}
		if row.Shape.Kind == ListKind {
			items := make([]any, len(given))
			for j, text := range given {
				items[j] = text
			}
			values[row.Name] = items
			continue
		}
		if len(given) > 1 {
			return nil, fault.New(fault.Malformed, "The parameter %q is given %d times.", row.Name, len(given))
		}
		if values[row.Name], err = readText(given[0], row); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func readText(text string, row *Member) (any, error) {
	switch row.Shape.Kind {
	case NumberKind:
		var n int
		if json.Unmarshal([]byte(text), &n) != nil {
			return nil, fault.New(fault.Invalid, "%s %.100q: a whole number is accepted", row.Name, text)
		}
		return n, nil
	case FlagKind:
		if text != "true" && text != "false" {
			return nil, fault.New(fault.Invalid, "%s %.100q: true or false is accepted", row.Name, text)
		}
		return text == "true", nil
	}
	return text, nil
}

// readBody reads a JSON object, strictly: what readers could understand in two ways is refused.
func readBody(c *Call, rows []Member) (map[string]any, error) {
	if sent := c.Request.Header.Get("Content-Type"); sent != "" {
		kind, _, err := mime.ParseMediaType(sent)
		if err != nil || kind != "application/json" && !strings.HasPrefix(kind, "application/x-amz-json-") {
			return nil, fault.New(fault.Malformed, "The body is %.100q: application/json is accepted.", sent)
		}
	}
	var whole json.RawMessage
	if err := json.Unmarshal(c.Body, &whole); err != nil {
		return nil, fault.New(fault.Malformed, "The body is not JSON: %s", err)
	}
	in := json.NewDecoder(bytes.NewReader(c.Body))
	in.UseNumber()
	value, err := (&reader{in}).value("", &Shape{Kind: StructureKind, Members: rows}, 0)
	if err != nil {
		return nil, err
	}
	values, _ := value.(map[string]any) // null is an empty document
	return values, nil
}

// reader reads the values of a body, which is known to be JSON.
type reader struct{ *json.Decoder }

// value reads the next value and holds it to its shape's kind. A nil shape is that of a member that no row names.
func (r *reader) value(at string, s *Shape, depth int) (any, error) {
	token, err := r.Token()
	if err != nil {
		return nil, fmt.Errorf("reading JSON that is valid: %w", err)
	}
	switch token := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, fault.New(fault.Malformed, "The body has more than %d levels.", maxDepth)
		}
		if token == '[' {
			if s != nil && s.Kind != ListKind {
				return nil, mistaken(at, "array", s)
			}
			return r.list(at, s, depth)
		}
		if s != nil && s.Kind != StructureKind && s.Kind != MapKind {
			return nil, mistaken(at, "object", s)
		}
		return r.object(at, s, depth)
	case json.Number:
		return number(token, at, s)
	case string:
		if s != nil && s.Kind != TextKind && s.Kind != BytesKind {
			return nil, mistaken(at, "string", s)
		}
		return token, nil
	case bool:
		if s != nil && s.Kind != FlagKind {
			return nil, mistaken(at, "bool", s)
		}
		return token, nil
	}
	return nil, nil // null
}

func number(token json.Number, at string, s *Shape) (any, error) {
	if s == nil {
		return nil, nil
	}
	n, err := token.Int64()
	switch {
	case s.Kind == TimeKind:
		return string(token), nil // any number is a moment
	case s.Kind != NumberKind:
		return nil, mistaken(at, "number", s)
	case err != nil || int64(int32(n)) != n:
		return nil, mistaken(at, "number "+string(token), s)
	}
	return int(n), nil
}

func (r *reader) list(at string, s *Shape, depth int) (any, error) {
	var item *Shape
	if s != nil {
		item = s.Item
	}
	items := []any{}
	for r.More() {
		value, err := r.value(at, item, depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, value)
	}
	_, err := r.Token()
	return items, err
}

func (r *reader) object(at string, s *Shape, depth int) (any, error) {
	values := map[string]any{}
	for r.More() {
		token, err := r.Token()
		if err != nil {
			return nil, fmt.Errorf("reading JSON that is valid: %w", err)
		}
		key, ok := token.(string)
		if !ok {
			return nil, errors.New("an object of valid JSON has a key that is no string")
		}
		name := joined(at, key)
		if _, twice := values[key]; twice {
			return nil, fault.New(fault.Malformed, "The member %.100q is given twice.", name)
		}
		of, err := s.member(key, name)
		if err != nil {
			return nil, err
		}
		if values[key], err = r.value(name, of, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := r.Token()
	return values, err
}

// member returns the shape of a key's value. Members of a structure are found by package json whatever their case, so
// another spelling would pass unseen by the rows.
func (s *Shape) member(key, name string) (*Shape, error) {
	if s == nil {
		return nil, nil
	}
	if s.Kind == MapKind {
		return s.Item, nil
	}
	for i := range s.Members {
		switch m := &s.Members[i]; {
		case m.Name == key && m.Place == InBody:
			return m.Shape, nil
		case m.Place == InBody && strings.EqualFold(m.Name, key):
			return nil, fault.New(fault.Malformed, "The member %.100q is not known: it is spelt %q.", name, m.Name)
		}
	}
	return nil, nil
}

// mistaken says that a value is of another kind than its shape.
func mistaken(at, got string, s *Shape) error {
	accepted := map[Kind]string{
		NumberKind: "a number", FlagKind: "true or false", TimeKind: "a number", ListKind: "an array", MapKind: "an object", StructureKind: "an object",
	}[s.Kind]
	if accepted == "" {
		accepted = "a string"
	}
	return fault.New(fault.Malformed, "%s is a JSON %s: %s is accepted.", place(at), got, accepted)
}
