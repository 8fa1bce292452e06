package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Finding is something that a document's writer should look at. An error keeps the document from being stored; what is
// none is taken, and probably not meant.
type Finding struct {
	Position
	Error bool
	Text  string
}

// Vocabulary is what is known of the services that are enforced here.
type Vocabulary struct {
	Actions map[string][]string // the names of a service's actions, by the service: s3 has GetObject
	Keys    []string            // condition keys; aws:PrincipalTag/* is all that begin so
}

// UseOf tells from a document's elements what it is probably for.
func UseOf(text string) Use {
	root, err := readJSON(text)
	if err != nil || root.kind != anObject {
		return Identity
	}
	principal, resource := false, false
	for _, s := range statementsOf(&root) {
		for _, m := range s.members {
			principal = principal || strings.HasSuffix(m.name, "Principal")
			resource = resource || strings.HasSuffix(m.name, "Resource")
		}
	}
	switch {
	case principal && resource:
		return Resource
	case principal:
		return Trust
	}
	return Identity
}

// mostFindings are told of one document, and looked for: each costs the reading of all before it.
const mostFindings = 100

// Check returns what is wrong with a document, or, where nothing is, what is probably not meant, in the document's order; the first
// hundred of it.
func Check(use Use, text string, v *Vocabulary) []Finding {
	doc, root, problems := parse(parser{use: use}, text)
	c := checker{text: text, vocabulary: v}
	for _, m := range problems[:min(len(problems), mostFindings)] {
		said := m.said
		if said != "" {
			said += " "
		}
		c.found = append(c.found, Finding{positionOf(text, m.at), true, shorten(said + m.Error())})
	}
	if len(problems) == 0 {
		c.document(doc, statementsOf(root))
	}
	slices.SortStableFunc(c.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return c.found
}

func statementsOf(root *node) []node {
	for i := range root.members {
		if m := &root.members[i]; m.name == "Statement" && m.value.kind == aList {
			return m.value.items
		} else if m.name == "Statement" {
			return []node{m.value}
		}
	}
	return nil
}

type checker struct {
	text       string
	vocabulary *Vocabulary
	found      []Finding
}

func (c *checker) warn(at int, format string, a ...any) {
	if len(c.found) == mostFindings {
		return
	}
	c.found = append(c.found, Finding{positionOf(c.text, at), false, shorten(fmt.Sprintf(format, a...))})
}

func (c *checker) document(d *Document, nodes []node) {
	parts := make([]parts, len(nodes))
	for i := range nodes {
		parts[i] = partsOf(&nodes[i])
		c.statement(&d.statements[i], &parts[i])
		if !d.variables {
			c.plain(&parts[i])
		}
	}
	for i := range parts {
		c.reach(d, parts, i)
	}
	c.trust(d, parts)
}

// parts are the elements of a statement as they are written, with their places.
type parts struct {
	at                                    int
	actions, resources, principals, texts []scalar // texts: where a variable may stand
	keys                                  []scalar
	notAction, notResource, notPrincipal  bool
}

func partsOf(n *node) parts {
	p := parts{at: n.at}
	for i := range n.members {
		m := &n.members[i]
		switch m.name {
		case "Action", "NotAction":
			p.actions, p.notAction = leaves(&m.value), m.name == "NotAction"
		case "Resource", "NotResource":
			p.resources, p.notResource = leaves(&m.value), m.name == "NotResource"
			p.texts = append(p.texts, p.resources...)
		case "Principal", "NotPrincipal":
			p.principals, p.notPrincipal = leaves(&m.value), m.name == "NotPrincipal"
		case "Condition":
			for j := range m.value.members {
				for _, key := range m.value.members[j].value.members {
					p.keys = append(p.keys, scalar{key.name, key.at})
				}
			}
			p.texts = append(p.texts, leaves(&m.value)...)
		}
	}
	return p
}

// leaves are the texts in a value, however deep.
func leaves(n *node) []scalar {
	var all []scalar
	switch n.kind {
	case aString:
		all = append(all, scalar{n.text, n.at})
	case aList:
		for i := range n.items {
			all = append(all, leaves(&n.items[i])...)
		}
	case anObject:
		for i := range n.members {
			all = append(all, leaves(&n.members[i].value)...)
		}
	}
	return all
}

// statement looks for words that nothing here knows.
func (c *checker) statement(s *Statement, p *parts) {
	for i, a := range p.actions {
		service, _, _ := strings.Cut(a.text, ":")
		names, enforced := c.vocabulary.Actions[lower(service)]
		if enforced && !slices.ContainsFunc(names, func(n string) bool { return s.actions[i].match(service+":"+n, nil) == yes }) {
			c.warn(a.at, "%q: no operation here asks for such an action", a.text)
		}
	}
	for _, k := range p.keys {
		service, _, _ := strings.Cut(k.text, ":")
		if _, enforced := c.vocabulary.Actions[lower(service)]; (enforced || equalFold(service, "aws")) && !c.vocabulary.knows(k.text) {
			c.warn(k.at, "%q: nothing here fills in such a condition key, so it is always missing", k.text)
		}
	}
}

// plain looks for variables in a statement of a document that has none.
func (c *checker) plain(p *parts) {
	for _, t := range p.texts {
		if strings.Contains(t.text, "${") {
			c.warn(t.at, "%q: a variable is text in a document without \"Version\": %q", t.text, version2012)
		}
	}
}

func (v *Vocabulary) knows(key string) bool {
	for _, k := range v.Keys {
		family, more := strings.CutSuffix(k, "*")
		if equalFold(k, key) || more && len(key) > len(family) && equalFold(family, key[:len(family)]) {
			return true
		}
	}
	return false
}

// reach tells of a statement that decides nothing, since another one says as much for everything that it covers.
func (c *checker) reach(d *Document, all []parts, i int) {
	s := &d.statements[i]
	for j := range all {
		other := &d.statements[j]
		if i == j || s.effect == Deny && other.effect == Allow || !all[j].coverAll(&all[i], other, s) {
			continue
		}
		if s.effect == other.effect && j > i && all[i].coverAll(&all[j], s, other) {
			continue // they say the same: the later one is told of
		}
		if s.effect == other.effect {
			c.warn(all[i].at, "statement[%d] is never reached: statement[%d] says the same of all that it covers", i, j)
		} else {
			c.warn(all[i].at, "statement[%d] is never reached: statement[%d] denies all that it allows", i, j)
		}
		return
	}
}

// coverAll reports whether a statement certainly applies to everything that another one applies to.
func (p *parts) coverAll(q *parts, ps, qs *Statement) bool {
	if len(ps.conditions) > 0 || p.notAction || p.notResource || p.notPrincipal || q.notAction || q.notResource || q.notPrincipal {
		return false
	}
	return covered(ps.actions, q.actions) && covered(ps.resources, q.resources) && coveredPrincipals(ps, qs)
}

func covered(by []pattern, texts []scalar) bool {
	for _, t := range texts {
		if !slices.ContainsFunc(by, func(p pattern) bool { return p.coversPattern(t.text) }) {
			return false
		}
	}
	return true
}

// coversPattern reports whether all that matches the other pattern, given as it is written, matches this one. It may say no
// where that is so.
func (p *pattern) coversPattern(other string) bool {
	one := false
	for _, run := range p.runs {
		one = one || slices.ContainsFunc(run, func(a atom) bool { return a.kind == atomOne })
	}
	return p.slots == 0 && !(one && strings.ContainsAny(other, "*?$")) && p.match(other, nil) == yes
}

func coveredPrincipals(by, s *Statement) bool {
	switch {
	case by.principals == nil || s.principals == nil:
		return by.principals == s.principals
	case by.principals.anyone && (by.effect == Deny || len(s.principals.services)+len(s.principals.federated) == 0):
		return true
	}
	return !slices.ContainsFunc(s.principals.given, func(n string) bool { return !slices.Contains(by.principals.given, n) })
}

// pods is who asks for a role for a pod.
var pods = Principal{Kind: Service, Names: []string{"pods.eks.amazonaws.com"}}

// trust looks at what role's trust policies are got wrong in.
func (c *checker) trust(d *Document, all []parts) {
	if d.use != Trust {
		return
	}
	for i := range all {
		s := &d.statements[i]
		if s.effect != Allow || !s.principals.anyone {
			continue
		}
		for _, name := range all[i].principals {
			if name.text == "*" && len(s.conditions) == 0 {
				c.warn(name.at, "everyone in every account may assume the role, if their own policies allow it: name who may")
			} else if name.text == "*" {
				c.warn(name.at, "the conditions alone keep everyone in every account from the role: name who may")
			}
		}
	}
	if d.Names(pods, "sts:AssumeRole") && !d.Names(pods, "sts:TagSession") {
		for i := range all {
			s := &d.statements[i]
			if covers, _ := s.principals.cover(&pods, Allow); covers && s.effect == Allow && s.coversAction("sts:AssumeRole") {
				c.warn(all[i].at, "sts:TagSession is missing: pods are given tags, and get no credentials without it unless their association has disableSessionTags")
				return
			}
		}
	}
}
