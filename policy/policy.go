// Package policy reads IAM policy documents and decides what they allow.
//
// The language is IAM's
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html). A document is compiled once, by
// Parse, which refuses everything that Evaluate could not honour: what is stored is enforced. Evaluate is a function of
// its arguments alone; it reads no clock, takes no lock and allocates nothing. Explain takes the same walk and writes
// down each step.
package policy

import (
	"slices"
	"strings"
)

// Use says what a document is for, and with it which elements it must and must not have.
type Use uint8

// The uses. A trust policy is the resource policy of a role: the role is its resource, so it names principals instead.
const (
	Identity Use = iota // attached to a user or role: Resource required, Principal forbidden
	Trust               // who may become a role: Principal required, Resource forbidden
	Session             // narrows one session: as Identity
	Resource            // attached to a resource, as to a bucket: Principal or NotPrincipal, and Resource, required
)

// Effect is what a statement says, or what all of them together come to.
type Effect uint8

// The effects. The zero value is the safe one: nobody said yes.
const (
	ImplicitDeny Effect = iota
	Allow
	Deny
)

var effectNames = [...]string{"ImplicitDeny", "Allow", "Deny"}

// String returns the effect as the constants spell it.
func (e Effect) String() string { return effectNames[e] }

// Context holds what is known about a request beside action, resource and principal. A key stands in it once. It is a
// list because a dozen entries are scanned faster than hashed, and a door can build it on its stack.
type Context []Entry

// Entry is one context key, such as aws:PrincipalTag/team. Keys compare without case, values with it. No values, and a
// key that is not there, are the same thing.
type Entry struct {
	Key    string
	Values []string
}

// values returns what the context holds for the key. Spelt as in the policy is the usual case and one comparison.
func (c Context) values(k *key) []string {
	for i := range c {
		e := &c[i]
		if len(e.Key) == len(k.given) && (e.Key == k.given || equalFold(k.lower, e.Key)) {
			return e.Values
		}
	}
	return nil
}

// key is a context key as a policy names it.
type key struct{ given, lower string }

// Question is what Evaluate answers: may this principal do this action on this resource? Resource is an ARN, or "*" for
// an action without one; a trust policy does not look at it, and only policies of resources look at Principal.
type Question struct {
	Action    string // s3:GetObject; compared without case
	Resource  string // compared with case
	Principal Principal
	Context   Context
}

// Decision is the answer with its reason. Without a matching statement the effect is ImplicitDeny, and Document and
// Statement are nil.
type Decision struct {
	Effect    Effect
	Document  *Document
	Statement *Statement
	// Layer is that of the caller's layers which decided. The document alone does not tell, for a managed policy may stand
	// in several.
	Layer Layer
	// Named says how closely a trust policy's statement names the caller. In the role's own account a name is enough, as
	// Layers.EvaluateNamed has it; otherwise the caller's policies must allow too.
	Named Naming
}

// Document is a compiled policy. It is safe for concurrent use because nothing changes it.
type Document struct {
	text       string
	use        Use
	id         string
	variables  bool // see dialect
	statements []Statement
	index      *index   // nil for a short document
	keys       []string // see Mentions
}

// Text returns the document as it was given to Parse.
func (d *Document) Text() string { return d.text }

// Use returns what the document was parsed for.
func (d *Document) Use() Use { return d.use }

// ID returns the document's Id element, which decides nothing.
func (d *Document) ID() string { return d.id }

// Statements returns the statements in the document's order. The caller must not change the slice.
func (d *Document) Statements() []Statement { return d.statements }

// Mentions reports whether a condition or a variable of the document asks for a context key that begins with prefix, which
// is in lower case. A door that finds nobody asking for "s3:existingobjecttag/" need not fetch tags.
func (d *Document) Mentions(prefix string) bool {
	i, _ := slices.BinarySearch(d.keys, prefix)
	return i < len(d.keys) && strings.HasPrefix(d.keys[i], prefix)
}

// ContextKeys returns the context keys that conditions and variables of the document ask for, each once and as it is first
// spelt.
func (d *Document) ContextKeys() []string {
	var all []string
	had := map[string]bool{}
	eachKey(d.statements, func(k key) {
		if !had[k.lower] {
			had[k.lower] = true
			all = append(all, k.given)
		}
	})
	return all
}

// Names reports whether some Allow statement of a trust policy covers the principal and the action, conditions left
// aside. It answers "could this role ever be assumed so?" for doors that refuse a role which could not.
func (d *Document) Names(p Principal, action string) bool {
	for i := range d.statements {
		s := &d.statements[i]
		if s.effect != Allow || s.principals == nil || !s.coversAction(action) {
			continue
		}
		if covered, _ := s.principals.cover(&p, Allow); covered {
			return true
		}
	}
	return false
}

// Principals returns each value that the document's Principal elements name, once, in the document's order.
func (d *Document) Principals() []string {
	var all []string
	for i := range d.statements {
		if p := d.statements[i].principals; p != nil {
			for _, name := range p.given {
				if !slices.Contains(all, name) {
					all = append(all, name)
				}
			}
		}
	}
	return all
}

// Statement is one compiled statement. All that it names must fit a question for it to apply.
type Statement struct {
	sid          string
	position     int
	from, to     int // in the document's text
	effect       Effect
	notAction    bool
	notResource  bool
	actions      []pattern
	resources    []pattern   // none in a trust policy
	principals   *principals // only in policies of resources, trust policies among them
	conditions   []condition
	resourceKeys []string // see index
	serviceKeys  []string
}

// Sid returns the statement's Sid element, often empty.
func (s *Statement) Sid() string { return s.sid }

// Index returns the statement's place in its document, from 0.
func (s *Statement) Index() int { return s.position }

// Effect returns Allow or Deny.
func (s *Statement) Effect() Effect { return s.effect }

// Span returns where the statement begins and ends as IAM's simulator tells it: behind the bracket or comma before it, or
// behind its own opening brace where it stands in no list, and behind its closing brace.
func (d *Document) Span(s *Statement) (start, end Position) {
	from := s.from + 1
	before := strings.TrimRight(d.text[:s.from], " \t\r\n")
	if before != "" && before[len(before)-1] != ':' {
		from = len(before)
	}
	return positionOf(d.text, from), positionOf(d.text, s.to)
}
