package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/openlanyard/lanyard/fault"
)

// maxLength is IAM's bound of a document in characters, whatever it is for. The quotas of each use are smaller and
// belong to who stores it.
const maxLength = 131072

// The versions of the language. The older one, which is also that of a document without Version, has no variables.
const (
	version2012 = "2012-10-17"
	version2008 = "2008-10-17"
)

// Parse compiles a document. It refuses everything that Evaluate would not enforce as written, with an error of kind
// MalformedPolicy that names the element and what is accepted there.
func Parse(use Use, text string) (*Document, error) {
	d, err := parse(use, text)
	if err != nil {
		return nil, fault.New(fault.MalformedPolicy, "policy document: %s", shorten(err.Error()))
	}
	return d, nil
}

// shorten leaves out the middle of a message that quotes a very long value: the element is named at its start, what is
// accepted at its end.
func shorten(s string) string {
	const half = 500
	if len(s) <= 2*half {
		return s
	}
	return strings.ToValidUTF8(s[:half]+" ... "+s[len(s)-half:], "")
}

func parse(use Use, text string) (*Document, error) {
	if n := utf8.RuneCountInString(text); n > maxLength {
		return nil, fmt.Errorf("%d characters: at most %d are accepted", n, maxLength)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8")
	}
	root, err := readJSON(text)
	if err != nil {
		return nil, err
	}
	return parseDocument(use, text, &root)
}

func parseDocument(use Use, text string, root *node) (*Document, error) {
	if root.kind != anObject {
		return nil, fmt.Errorf("it is %s: an object is accepted", root.kind)
	}
	d := &Document{text: text, use: use}
	version := version2008
	var list []node
	for i := range root.members {
		m := &root.members[i]
		var err error
		switch m.name {
		case "Version":
			version, err = m.value.str()
			if err == nil && version != version2012 && version != version2008 {
				err = fmt.Errorf("%q: %q and %q are accepted", version, version2012, version2008)
			}
		case "Id":
			d.id, err = m.value.str()
		case "Statement":
			list, err = m.value.list(anObject)
		default:
			err = errors.New("unknown element: Version, Id and Statement are accepted")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if list == nil {
		return nil, errors.New(`"Statement" is missing: an object or a list of objects is accepted`)
	}
	p := parser{use: use, variables: version == version2012}
	sids := map[string]bool{}
	for i := range list {
		s, err := p.statement(&list[i])
		if err == nil && s.sid != "" && sids[s.sid] {
			err = fmt.Errorf("Sid: %q stands twice: each Sid may stand once", s.sid)
		}
		if err != nil {
			return nil, fmt.Errorf("statement[%d]: %w", i, err)
		}
		s.position, sids[s.sid] = i, true
		d.statements = append(d.statements, s)
	}
	d.index, d.keys = newIndex(d.statements), keysOf(d.statements)
	return d, nil
}

// parser reads the statements of one document.
type parser struct {
	use       Use
	variables bool
}

const elements = "Sid, Effect, Action, NotAction, Resource, NotResource, Principal and Condition"

// statement reads one statement. Errors begin with the element's name.
func (p *parser) statement(n *node) (Statement, error) {
	var s Statement
	for i := range n.members {
		m := &n.members[i]
		if err := p.element(&s, m.name, &m.value); err != nil {
			return Statement{}, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	switch {
	case s.effect == ImplicitDeny:
		return Statement{}, errors.New(`"Effect" is missing: "Allow" and "Deny" are accepted`)
	case s.actions == nil:
		return Statement{}, errors.New(`"Action" is missing: Action or NotAction is accepted`)
	case p.use == Trust && s.principals == nil:
		return Statement{}, errors.New(`"Principal" is missing: a trust policy says who may assume the role`)
	case p.use != Trust && s.resources == nil:
		return Statement{}, errors.New(`"Resource" is missing: Resource or NotResource is accepted`)
	}
	if s.resources != nil && !s.notResource {
		s.resourceKeys = resourceKeysOf(s.resources)
	}
	if !s.notAction {
		s.serviceKeys = serviceKeysOf(s.actions)
	}
	return s, nil
}

func (p *parser) element(s *Statement, name string, n *node) (err error) {
	switch name {
	case "Sid":
		s.sid, err = readSid(n)
	case "Effect":
		s.effect, err = readEffect(n)
	case "Action", "NotAction":
		if s.actions != nil {
			return errors.New("only one of Action and NotAction is accepted")
		}
		s.notAction = name == "NotAction"
		s.actions, err = readAll(n, readAction)
	case "Resource", "NotResource":
		if p.use == Trust {
			return errors.New("not accepted in a trust policy: the role is the resource")
		}
		if s.resources != nil {
			return errors.New("only one of Resource and NotResource is accepted")
		}
		s.notResource = name == "NotResource"
		s.resources, err = readAll(n, p.readResource)
	case "Principal":
		if p.use != Trust {
			return errors.New("accepted only in a trust policy: this document is for the principal it is attached to")
		}
		s.principals, err = readPrincipals(n)
	case "NotPrincipal":
		return errors.New("not supported: Principal is accepted, with a condition on aws:PrincipalArn for exceptions")
	case "Condition":
		s.conditions, err = p.readConditions(n)
	default:
		return fmt.Errorf("unknown element: %s are accepted", elements)
	}
	return err
}

func readSid(n *node) (string, error) {
	sid, err := n.str()
	if err != nil {
		return "", err
	}
	for i := range len(sid) {
		if !isAlphanumeric(sid[i]) {
			return "", fmt.Errorf("%q: letters and digits are accepted", sid)
		}
	}
	return sid, nil
}

func readEffect(n *node) (Effect, error) {
	switch s, err := n.str(); {
	case err != nil:
		return ImplicitDeny, err
	case s == "Allow":
		return Allow, nil
	case s == "Deny":
		return Deny, nil
	default:
		return ImplicitDeny, fmt.Errorf(`%q: "Allow" and "Deny" are accepted`, s)
	}
}

// readAll compiles each string of a string or list.
func readAll(n *node, read func(string) (pattern, error)) ([]pattern, error) {
	list, err := n.strings()
	if err != nil {
		return nil, err
	}
	all := make([]pattern, len(list))
	for i, s := range list {
		if all[i], err = read(s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readAction compiles an action. The service has no wildcards, as at IAM: with that the index may rely on it.
func readAction(s string) (pattern, error) {
	d := dialect{wildcards: true, fold: true}
	if s == "*" || s == "*:*" {
		return compile("*", d)
	}
	service, name, found := strings.Cut(s, ":")
	good := found && service != "" && len(service) <= 64 && name != ""
	for i := range len(service) {
		good = good && (isAlphanumeric(service[i]) || service[i] == '-')
	}
	for i := range len(name) {
		good = good && (isAlphanumeric(name[i]) || strings.IndexByte("*?-_", name[i]) >= 0)
	}
	if !good {
		return pattern{}, fmt.Errorf("%q: * and SERVICE:NAME, with * and ? in the name, are accepted", s)
	}
	return compile(s, d)
}

// readResource compiles a resource. An ARN of fewer than six segments could match nothing unless it ends in a star; in a
// Deny that would be a hole, so it is refused.
func (p *parser) readResource(s string) (pattern, error) {
	whole := len(segments(s, p.variables)) == 6 || strings.HasSuffix(s, "*")
	if s != "*" && (!strings.HasPrefix(s, "arn:") || !whole) {
		return pattern{}, fmt.Errorf(`%q: "*" and ARNs, arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, with * and ? are accepted`, s)
	}
	return compile(s, dialect{wildcards: true, variables: p.variables})
}

// keysOf returns the context keys that conditions and variables name, in lower case, sorted, each once.
func keysOf(statements []Statement) []string {
	var all []string
	variables := func(p *pattern) {
		for _, run := range p.runs {
			for i := range run {
				if run[i].kind == atomVariable {
					all = append(all, run[i].key.lower)
				}
			}
		}
	}
	for i := range statements {
		s := &statements[i]
		for j := range s.resources {
			variables(&s.resources[j])
		}
		for j := range s.conditions {
			c := &s.conditions[j]
			all = append(all, c.key.lower)
			for k := range c.values {
				variables(&c.values[k].text)
				for l := 0; c.values[k].arn != nil && l < len(c.values[k].arn); l++ {
					variables(&c.values[k].arn[l])
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p *parser) readConditions(n *node) ([]condition, error) {
	if n.kind != anObject {
		return nil, fmt.Errorf("it is %s: an object of operators is accepted", n.kind)
	}
	var all []condition
	for i := range n.members {
		m := &n.members[i]
		c, err := readOperator(m.name)
		if err != nil {
			return nil, err
		}
		if m.value.kind != anObject || len(m.value.members) == 0 {
			return nil, fmt.Errorf("%s: an object of context keys is accepted, with one at least", m.name)
		}
		for j := range m.value.members {
			k := &m.value.members[j]
			if err := p.readKey(&c, k); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", m.name, k.name, err)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// readKey fills in the key of a condition and its values.
func (p *parser) readKey(c *condition, m *member) error {
	if err := checkKey(m.name); err != nil {
		return err
	}
	kinds := []nodeKind{aString}
	switch c.op.domain {
	case boolean, absence:
		kinds = append(kinds, aBoolean)
	case number, date:
		kinds = append(kinds, aNumber)
	}
	list, err := m.value.scalars(kinds...)
	if err != nil {
		return err
	}
	c.key, c.values = newKey(m.name), make([]operand, len(list))
	for i, s := range list {
		if c.values[i], err = c.op.readOperand(s, p.variables); err != nil {
			return err
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
