package policy

import "slices"

// Outlook is what can be said of a question before anybody asks it, when its context is known in part. Allow means that it
// may be allowed: for certain where nothing is open, else if one of the open Allow statements of each layer turns out to
// apply, and no open Deny. The other effects mean that it never will be.
type Outlook struct {
	Decision
	Open []Open
}

// Open is a statement that applies to a question only if conditions hold of which nothing is known yet.
type Open struct {
	Document  *Document
	Statement *Statement
	Layer     Layer

	conditions []int // in the statement
	resource   bool  // a variable in what it says of resources
}

// Lacks says of a context key, in lower case, that it will have no value. Of a key that is neither in the context nor
// lacking nothing is known.
type Lacks func(key string) bool

// Foresee decides a question by documents of one layer, of which the context is known in part.
func Foresee(q *Question, docs []*Document, lacks Lacks) Outlook {
	return foresee(q, docs, OfIdentity, lacks)
}

// Foresee decides as Evaluate would, or as EvaluateNamed for a caller that a policy of the resource may be about to name so.
func (l Layers) Foresee(q *Question, named Naming, lacks Lacks) Outlook {
	all := Outlook{Decision: Decision{Effect: Allow}}
	for layer, docs := range [...][]*Document{l.Identity, l.Boundary, l.Session} {
		if len(docs) == 0 && Layer(layer) != OfIdentity {
			continue
		}
		o := foresee(q, docs, Layer(layer), lacks)
		if o.Effect == ImplicitDeny && named.makesUpFor(Layer(layer)) {
			o.Decision = Decision{Effect: Allow}
		}
		all = all.And(o)
	}
	return all
}

// And returns the outlook of something that needs both; the first is the one that is told of.
func (o Outlook) And(p Outlook) Outlook {
	switch {
	case o.Effect == Allow && p.Effect == Allow:
		if o.Statement == nil {
			o.Decision = p.Decision
		}
		o.Open = slices.Concat(o.Open, p.Open)
		return o
	case o.Effect == Allow || o.Effect == ImplicitDeny && p.Effect == Deny:
		return p
	}
	return o
}

// foresee takes the walk's way through the documents, and its tests of what is known.
func foresee(q *Question, docs []*Document, layer Layer, lacks Lacks) Outlook {
	sure := Decision{Layer: layer}
	var allows, denies []Open
	closest := Unnamed // that an open Allow names the caller
	for _, doc := range docs {
		c := doc.candidates(q, false)
		for i := c.next(); i >= 0; i = c.next() {
			s := &doc.statements[i]
			open, may, named := s.mayCover(q, lacks)
			open.Document, open.Layer = doc, layer
			switch {
			case !may:
			case s.effect == Deny && open.isSure():
				return Outlook{Decision: Decision{Effect: Deny, Document: doc, Statement: s, Layer: layer, Named: named}}
			case s.effect == Deny:
				denies = append(denies, open)
			case !open.isSure():
				allows, closest = append(allows, open), max(closest, named)
			case sure.Effect == ImplicitDeny || named > sure.Named:
				sure = Decision{Effect: Allow, Document: doc, Statement: s, Layer: layer, Named: named}
			}
		}
	}
	switch {
	case sure.Effect == Allow && closest <= sure.Named:
		return Outlook{sure, denies}
	case len(allows) > 0:
		first := Decision{Effect: Allow, Document: allows[0].Document, Statement: allows[0].Statement, Layer: layer, Named: closest}
		return Outlook{first, append(allows, denies...)}
	}
	return Outlook{sure, denies}
}

func (o *Open) isSure() bool { return len(o.conditions) == 0 && !o.resource }

// mayCover is covers for a question of which the context is known in part.
func (s *Statement) mayCover(q *Question, lacks Lacks) (open Open, may bool, named Naming) {
	if !s.coversAction(q.Action) {
		return open, false, Unnamed
	}
	if s.principals != nil {
		if may, named = s.principals.cover(&q.Principal, s.effect); !may {
			return open, false, Unnamed
		}
	}
	resource := yes
	if s.resources != nil {
		if resource = s.mayCoverResource(q, lacks); resource == no {
			return open, false, Unnamed
		}
	}
	open, may = s.mayHold(q.Context, lacks)
	open.resource = resource == unresolved
	return open, may, named
}

// mayHold leaves the conditions that nothing is known of, unless one that is known does not hold.
func (s *Statement) mayHold(ctx Context, lacks Lacks) (open Open, may bool) {
	open.Statement = s
	for i := range s.conditions {
		c := &s.conditions[i]
		switch {
		case !c.isKnown(ctx, lacks):
			open.conditions = append(open.conditions, i)
		case !c.holds(ctx, s.effect):
			return open, false
		}
	}
	return open, true
}

// knows reports whether the context will have what it has for the key now.
func (c Context) knows(k *key, lacks Lacks) bool {
	return len(c.values(k)) > 0 || lacks != nil && lacks(k.lower)
}

func (c *condition) isKnown(ctx Context, lacks Lacks) bool {
	if !ctx.knows(&c.key, lacks) {
		return false
	}
	for i := range c.values {
		v := &c.values[i]
		if !v.text.isKnown(ctx, lacks) || v.arn != nil && slices.ContainsFunc(v.arn[:], func(p pattern) bool { return !p.isKnown(ctx, lacks) }) {
			return false
		}
	}
	return true
}

// isKnown reports whether all variables of the pattern are known.
func (p *pattern) isKnown(ctx Context, lacks Lacks) bool {
	known := true
	p.eachVariable(func(k key) { known = known && ctx.knows(&k, lacks) })
	return known
}

// mayCoverResource is coversResource; unresolved is that it hangs on a variable.
func (s *Statement) mayCoverResource(q *Question, lacks Lacks) verdict {
	fits := no // one of the patterns
	allKnown := true
	for i := range s.resources {
		p := &s.resources[i]
		known := p.isKnown(q.Context, lacks)
		allKnown = allKnown && known
		switch {
		case known && p.match(q.Resource, q.Context) == yes:
			fits = yes
		case !known && fits == no && (s.notResource || p.relaxed(q.Context, lacks).match(q.Resource, q.Context) == yes):
			fits = unresolved
		}
	}
	switch {
	case allKnown && s.coversResource(q):
		return yes
	case allKnown || (fits == yes) == s.notResource && fits != unresolved:
		return no
	case fits == yes:
		return yes
	}
	return unresolved
}

// relaxed is the pattern with a star for each variable of which nothing is known.
func (p *pattern) relaxed(ctx Context, lacks Lacks) *pattern {
	r := &pattern{fold: p.fold, slots: p.slots}
	for _, run := range p.runs {
		from := 0
		for i := range run {
			if a := &run[i]; a.kind == atomVariable && !ctx.knows(&a.key, lacks) {
				r.runs = append(r.runs, run[from:i])
				from = i + 1
			}
		}
		r.runs = append(r.runs, run[from:])
	}
	last := len(r.runs) - 1
	between := slices.DeleteFunc(r.runs[1:last:last], func(run []atom) bool { return len(run) == 0 }) // stars side by side are one
	r.runs = append(append([][]atom{r.runs[0]}, between...), r.runs[last])
	return r
}
