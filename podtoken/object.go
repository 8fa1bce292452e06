package podtoken

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may stand in each other. A token's claims need 3.
const maxDepth = 8

// parseObject reads a JSON object (RFC 8259) into maps, lists, strings, float64s, bools and nil. It is stricter than
// encoding/json: two readers of one token could each understand another of two members that bear one name, or make
// another text of bytes that are not UTF-8, so it refuses both; and it never takes one name for another that differs in
// case. Lists, objects, plain strings and moments are read here; encoding/json judges other numbers, words and escapes.
func parseObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	p := parser{data: data}
	if p.next() != '{' {
		return nil, errors.New("not a JSON object")
	}
	members, err := p.object()
	if err != nil {
		return nil, err
	}
	if p.next(); p.at < len(p.data) {
		return nil, p.unexpected()
	}
	return members, nil
}

// parser reads data from at on. What it returns are copies: a name that is kept must not keep all of data.
type parser struct {
	data      []byte
	at, depth int
}

// next passes over white space and returns the byte behind it, or 0, which no JSON has outside a string, at the end.
func (p *parser) next() byte {
	for ; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (p *parser) unexpected() error {
	if p.at >= len(p.data) {
		return errors.New("JSON that is cut off")
	}
	return fmt.Errorf("the unexpected byte %q at %d of the JSON", p.data[p.at], p.at)
}

func (p *parser) value() (any, error) {
	switch p.next() {
	case '{':
		return p.object()
	case '[':
		return p.list()
	case '"':
		return p.string()
	}
	return p.scalar()
}

func (p *parser) object() (map[string]any, error) {
	members := map[string]any{}
	err := p.each('}', func() error {
		name, err := p.string()
		if err != nil {
			return err
		}
		if _, twice := members[name]; twice {
			return fmt.Errorf("the JSON member %.80q stands twice", name)
		}
		if p.next() != ':' {
			return p.unexpected()
		}
		p.at++
		members[name], err = p.value()
		return err
	})
	return members, err
}

func (p *parser) list() ([]any, error) {
	list := []any{}
	err := p.each(']', func() error {
		element, err := p.value()
		list = append(list, element)
		return err
	})
	return list, err
}

// each calls read for what stands between the commas from the opening bracket, which is the next byte, to the closing one.
func (p *parser) each(closing byte, read func() error) error {
	if p.depth++; p.depth > maxDepth {
		return fmt.Errorf("JSON of more than %d levels", maxDepth)
	}
	p.at++
	if p.next() != closing {
		for {
			if err := read(); err != nil {
				return err
			}
			if p.next() != ',' {
				break
			}
			p.at++
		}
	}
	if p.next() != closing {
		return p.unexpected()
	}
	p.at++
	p.depth--
	return nil
}

func (p *parser) string() (string, error) {
	if p.next() != '"' {
		return "", p.unexpected()
	}
	start, escaped := p.at, false
	for p.at++; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '\\':
			escaped = true
			p.at++
		case c < ' ':
			return "", p.unexpected()
		case c == '"':
			p.at++
			quoted := p.data[start:p.at]
			if !escaped {
				return string(quoted[1 : len(quoted)-1]), nil
			}
			var s string
			err := json.Unmarshal(quoted, &s)
			return s, err
		}
	}
	return "", p.unexpected()
}

// scalar reads a number, true, false or null: all else that could stand here begins with another byte.
func (p *parser) scalar() (any, error) {
	piece := p.data[p.at:]
	if end := bytes.IndexAny(piece, " \t\r\n,]}"); end >= 0 {
		piece = piece[:end]
	}
	p.at += len(piece)
	if n, ok := moment(piece); ok {
		return n, nil
	}
	var value any
	err := json.Unmarshal(piece, &value)
	return value, err
}

// moment reads a number as Kubernetes writes moments: ten digits. There are three or four in each token.
func moment(piece []byte) (float64, bool) {
	if len(piece) != 10 || piece[0] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range piece {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return float64(n), true
}
