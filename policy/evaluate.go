package policy

import "slices"

// Evaluate decides the question by the documents of one layer: a matching Deny wins, else a matching Allow, else nobody
// said yes. The deciding statement is the first of its kind in the order of documents and statements, save that an Allow
// which names the caller more closely goes before one that does so less. It allocates nothing.
func Evaluate(q *Question, docs []*Document) Decision { return walk(q, docs, nil) }

// Explain decides as Evaluate does and returns every step on the way.
func Explain(q *Question, docs []*Document) Trace {
	var r recorder
	return Trace{Decision: walk(q, docs, &r), Steps: r.steps}
}

// Layers are the policies that a caller's permissions are made of: what the identity's policies give, no more than its
// permissions boundary and the policies of its session leave of it.
type Layers struct {
	Identity []*Document // of the user or role, together
	Boundary []*Document // the permissions boundary of the user or role, one at most; none: it has no boundary
	Session  []*Document // of one session, together; none: it is not narrowed
}

// Layer is one of the layers.
type Layer uint8

// The layers, in the order in which they are asked.
const (
	OfIdentity Layer = iota
	OfBoundary
	OfSession
	OfResource // of the resource that is asked for; see EvaluateWith
)

// Mentions reports whether a document of any layer does.
func (l Layers) Mentions(prefix string) bool {
	mentions := func(d *Document) bool { return d.Mentions(prefix) }
	return slices.ContainsFunc(l.Identity, mentions) || slices.ContainsFunc(l.Boundary, mentions) || slices.ContainsFunc(l.Session, mentions)
}

// Evaluate decides the question by all layers: a Deny in any wins, and each layer has to allow, by whichever of its
// documents (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html). The decision is
// that of the layer that refuses, the first of several, or else of the identity's. It allocates nothing.
func (l Layers) Evaluate(q *Question) Decision { return l.walk(q, Unnamed, nil) }

// EvaluateNamed decides a question that a policy of the resource has already allowed, in the resource's own account,
// naming the caller so. What it gives does not hang on the layers that the naming makes up for: a user or a session that
// is named by its own ARN needs none of them, the session of a named role needs its boundary and its session's policies. A
// Deny counts all the same. Where only the resource gave, the decision is an Allow without a statement.
func (l Layers) EvaluateNamed(q *Question, named Naming) Decision { return l.walk(q, named, nil) }

// EvaluateWith decides a question about a resource of the account owner that has policies of its own. Within the account
// it is enough that either side allows, as EvaluateNamed has it; between two accounts both have to. For services and identity
// providers, which have no policies, the resource's decide.
func (l Layers) EvaluateWith(q *Question, resource []*Document, owner string) Decision {
	said := Evaluate(q, resource)
	said.Layer = OfResource
	switch {
	case said.Effect == Deny || q.Principal.Kind != AWS:
		return said
	case q.Principal.Account != owner:
		if own := l.Evaluate(q); own.Effect == Deny || said.Effect == Allow {
			return own
		}
		return said
	}
	named := Unnamed
	if said.Effect == Allow {
		named = said.Named
	}
	own := l.EvaluateNamed(q, named)
	if own.Effect == Allow && own.Statement == nil {
		return said
	}
	return own
}

// Explain decides as Evaluate does and returns every step on the way, layer after layer.
func (l Layers) Explain(q *Question) Trace {
	var r recorder
	return Trace{Decision: l.walk(q, Unnamed, &r), Steps: r.steps}
}

func (l *Layers) walk(q *Question, named Naming, r *recorder) Decision {
	first := Decision{Effect: Allow}
	for layer, docs := range [...][]*Document{l.Identity, l.Boundary, l.Session} {
		if len(docs) == 0 && Layer(layer) != OfIdentity {
			continue
		}
		d := walk(q, docs, r)
		d.Layer = Layer(layer)
		switch {
		case d.Effect == Deny:
			if r == nil {
				return d
			}
		case d.Effect == ImplicitDeny && named.makesUpFor(d.Layer):
			d = Decision{Effect: Allow}
		}
		if first.Effect == Allow && (d.Effect != Allow || d.Layer == OfIdentity) || first.Effect == ImplicitDeny && d.Effect == Deny {
			first = d
		}
	}
	return first
}

// walk is the only evaluator. With a recorder it visits every statement; without one it leaves out those that the index
// excludes and stops where nothing can change the answer. A property test holds that both come to the same decision.
func walk(q *Question, docs []*Document, r *recorder) Decision {
	var d Decision
	for _, doc := range docs {
		c := doc.candidates(q, r != nil)
		for i := c.next(); i >= 0; i = c.next() {
			s := &doc.statements[i]
			if r == nil && s.effect == Allow && d.Effect == Allow && (d.Named == NamesCaller || s.principals == nil) {
				continue
			}
			covered, named := s.covers(q, doc, r)
			if !covered {
				continue
			}
			if s.effect == Deny {
				if d.Effect != Deny {
					d = Decision{Effect: Deny, Document: doc, Statement: s, Named: named}
				}
				if r == nil {
					return d
				}
				continue
			}
			if d.Effect == ImplicitDeny || d.Effect == Allow && named > d.Named {
				d = Decision{Effect: Allow, Document: doc, Statement: s, Named: named}
			}
		}
	}
	return d
}

// covers reports whether the statement applies to the question, and whether it names the caller itself. The first
// element that does not fit ends it and is what Explain shows.
func (s *Statement) covers(q *Question, doc *Document, r *recorder) (covered bool, named Naming) {
	if !s.coversAction(q.Action) {
		r.miss(doc, s, "Action")
		return false, Unnamed
	}
	if s.principals != nil {
		if covered, named = s.principals.cover(&q.Principal, s.effect); !covered {
			r.miss(doc, s, "Principal")
			return false, Unnamed
		}
	}
	if s.resources != nil && !s.coversResource(q) {
		r.miss(doc, s, "Resource")
		return false, Unnamed
	}
	for i := range s.conditions {
		if c := &s.conditions[i]; !c.holds(q.Context, s.effect) {
			r.missCondition(doc, s, c, q.Context)
			return false, Unnamed
		}
	}
	r.match(doc, s)
	return true, named
}

func (s *Statement) coversAction(action string) bool {
	for i := range s.actions {
		if s.actions[i].match(action, nil) == yes {
			return !s.notAction
		}
	}
	return s.notAction
}

// coversResource looks at Resource or NotResource. A pattern whose variable has no value matches nothing. An Allow is
// not given by that: "all but ${aws:PrincipalTag/team}" says nothing about a caller without the tag.
func (s *Statement) coversResource(q *Question) bool {
	sure := true
	for i := range s.resources {
		switch s.resources[i].match(q.Resource, q.Context) {
		case yes:
			return !s.notResource
		case unresolved:
			sure = false
		}
	}
	return s.notResource && (sure || s.effect == Deny)
}
