package policy

import (
	"strings"
)

// Terms are a statement's elements as they are written.
type Terms struct {
	Effect                  Effect
	Actions, NotActions     []string
	Resources, NotResources []string
	Conditions              []Term
}

// Term is one key of one operator of a Condition element.
type Term struct {
	Operator, Key string
	Values        []string
}

// Terms returns what the statement says.
func (d *Document) Terms(s *Statement) Terms {
	t := Terms{Effect: s.effect}
	root, err := readJSON(d.text[s.from:s.to])
	if err != nil {
		return t // it was read when the document was
	}
	for i := range root.members {
		m := &root.members[i]
		switch m.name {
		case "Action":
			t.Actions = texts(&m.value)
		case "NotAction":
			t.NotActions = texts(&m.value)
		case "Resource":
			t.Resources = texts(&m.value)
		case "NotResource":
			t.NotResources = texts(&m.value)
		case "Condition":
			for _, operator := range m.value.members {
				for _, k := range operator.value.members {
					t.Conditions = append(t.Conditions, Term{operator.name, k.name, texts(&k.value)})
				}
			}
		}
	}
	return t
}

func texts(n *node) []string {
	all, _ := n.scalars(aString, aBoolean, aNumber) // the kinds that Parse takes
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = s.text
	}
	return out
}

// Undecided returns those of a statement's terms that it hangs on: conditions, and as a term without an operator the
// resources with a variable.
func (o *Open) Undecided(all Terms) []Term {
	var terms []Term
	for _, i := range o.conditions {
		terms = append(terms, all.Conditions[i])
	}
	if o.resource {
		for _, text := range append(all.Resources, all.NotResources...) {
			if strings.Contains(text, "${") {
				terms = append(terms, Term{Key: "Resource", Values: []string{text}})
			}
		}
	}
	return terms
}

// Prospects returns the statements of documents that may ever apply to somebody of whose context this is known, in order.
func Prospects(ctx Context, docs []*Document, layer Layer, lacks Lacks) []Open {
	var all []Open
	for _, d := range docs {
		for i := range d.statements {
			if open, may := d.statements[i].mayHold(ctx, lacks); may {
				open.Document, open.Layer = d, layer
				all = append(all, open)
			}
		}
	}
	return all
}

// Filled returns the terms with the values of the variables in resources that are known. A resource with a variable that
// never has a value matches nothing, and is left out.
func (d *Document) Filled(t Terms, ctx Context, lacks Lacks) Terms {
	if !d.variables {
		return t // where ${ is text
	}
	fill := func(given []string) (filled []string) {
		for _, text := range given {
			if text, ok := fill(text, ctx, lacks); ok {
				filled = append(filled, text)
			}
		}
		return filled
	}
	t.Resources, t.NotResources = fill(t.Resources), fill(t.NotResources)
	return t
}

func fill(text string, ctx Context, lacks Lacks) (filled string, ok bool) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		inside, after, _ := strings.Cut(rest, "}")
		name, fallback, hasDefault := strings.Cut(inside, ",")
		k := newKey(strings.TrimSpace(name))
		values := ctx.values(&k)
		switch {
		case inside == "*" || inside == "?" || inside == "$": // escaped
			out.WriteString("${" + inside + "}")
		case len(values) == 1:
			out.WriteString(values[0])
		case len(values) == 0 && lacks != nil && lacks(k.lower) && hasDefault:
			out.WriteString(strings.Trim(strings.TrimSpace(fallback), "'"))
		case len(values) > 1 || lacks != nil && lacks(k.lower):
			return "", false
		default:
			out.WriteString("${" + inside + "}")
		}
		text = after
	}
}
