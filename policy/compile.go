package policy

import (
	"errors"
	"fmt"
	"strings"
)

// dialect says which characters of a policy string mean more than themselves.
type dialect struct {
	wildcards bool // * and ?
	variables bool // ${key}; false in documents of version 2008-10-17, where it is plain text
	fold      bool
}

// compile reads a string of a policy. The error says what is wrong with it and what is accepted, in the caller's words.
func compile(s string, d dialect) (pattern, error) {
	c := compiler{dialect: d, runs: [][]atom{nil}}
	for i := 0; i < len(s); {
		switch {
		case d.variables && strings.HasPrefix(s[i:], "${"):
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return pattern{}, fmt.Errorf("%q opens a variable that does not end: ${key} is accepted", s)
			}
			if err := c.variable(s[i+2 : i+end]); err != nil {
				return pattern{}, err
			}
			i += end + 1
		case d.wildcards && s[i] == '*':
			c.star()
			i++
		case d.wildcards && s[i] == '?':
			c.add(atom{kind: atomOne})
			i++
		default:
			c.literal(s[i : i+1])
			i++
		}
	}
	return c.pattern(), nil
}

// compiler collects the runs of a pattern.
type compiler struct {
	dialect
	text  strings.Builder // literal text not yet in a run
	runs  [][]atom
	slots int
}

func (c *compiler) literal(s string) { c.text.WriteString(s) }

func (c *compiler) flush() {
	if c.text.Len() == 0 {
		return
	}
	text := c.text.String()
	if c.fold {
		text = lower(text)
	}
	c.text.Reset()
	last := len(c.runs) - 1
	c.runs[last] = append(c.runs[last], atom{kind: atomText, text: text})
}

func (c *compiler) add(a atom) {
	c.flush()
	last := len(c.runs) - 1
	c.runs[last] = append(c.runs[last], a)
}

// star begins a new run. Stars side by side are one.
func (c *compiler) star() {
	c.flush()
	if last := len(c.runs) - 1; last == 0 || len(c.runs[last]) > 0 {
		c.runs = append(c.runs, nil)
	}
}

// variable adds what stands between ${ and }: an escaped character, a key, or a key and its default.
func (c *compiler) variable(inside string) error {
	if inside == "*" || inside == "?" || inside == "$" {
		c.literal(inside)
		return nil
	}
	a := atom{kind: atomVariable, slot: c.slots}
	name, rest, hasDefault := strings.Cut(inside, ",")
	name = strings.TrimSpace(name)
	if hasDefault {
		rest = strings.TrimSpace(rest)
		if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' || strings.Contains(rest[1:len(rest)-1], "'") {
			return fmt.Errorf("variable ${%s} has a default that is not in single quotes: ${key, 'default'} is accepted", inside)
		}
		a.text, a.fallback = rest[1:len(rest)-1], true
	}
	if err := checkKey(name); err != nil {
		return fmt.Errorf("variable ${%s}: %w", inside, err)
	}
	if c.slots++; c.slots > maxVariables {
		return fmt.Errorf("more than %d variables stand in one string", maxVariables)
	}
	a.key = newKey(name)
	c.add(a)
	return nil
}

// pattern returns the result, in the plainest shape that does.
func (c *compiler) pattern() pattern {
	c.flush()
	p := pattern{fold: c.fold, slots: c.slots}
	first, plain := c.runs[0], true
	for _, a := range first {
		plain = plain && a.kind == atomText
	}
	switch {
	case plain && len(c.runs) == 1:
		p.shape = literal
	case plain && len(c.runs) == 2 && len(c.runs[1]) == 0:
		p.shape = prefix
	default:
		p.runs = c.runs
		return p
	}
	if len(first) > 0 {
		p.text = first[0].text
	}
	return p
}

func newKey(name string) key { return key{given: name, lower: lower(name)} }

var errKey = errors.New("a context key is SERVICE:NAME, such as aws:PrincipalTag/team")

// checkKey refuses what cannot be a context key. Tag keys and issuers' addresses may stand in one, so most characters
// are accepted; those that the language itself uses are not.
func checkKey(name string) error {
	service, rest, found := strings.Cut(name, ":")
	if !found || service == "" || rest == "" || strings.ContainsAny(name, "*?${}',\"") {
		return errKey
	}
	return nil
}
