package policy

// Trace is a decision with the steps that led to it.
type Trace struct {
	Decision Decision
	Steps    []Step // one for each statement of each document, in order
}

// Step says of one statement whether it applied, and if not, why.
type Step struct {
	Document  *Document
	Statement *Statement
	Matched   bool
	Element   string // the first that did not fit: Action, Principal, Resource (or the Not of each), Condition
	Operator  string // of the condition that did not hold, as the policy spells it
	Key       string // its context key
	Missing   bool   // the question had no value for Key
}

// recorder collects the steps. A nil recorder collects nothing, so that the walk has one form.
type recorder struct{ steps []Step }

func (r *recorder) match(d *Document, s *Statement) {
	if r != nil {
		r.steps = append(r.steps, Step{Document: d, Statement: s, Matched: true})
	}
}

func (r *recorder) miss(d *Document, s *Statement, element string) {
	if r == nil {
		return
	}
	if element == "Action" && s.notAction || element == "Resource" && s.notResource || element == "Principal" && s.principals.not {
		element = "Not" + element
	}
	r.steps = append(r.steps, Step{Document: d, Statement: s, Element: element})
}

func (r *recorder) missCondition(d *Document, s *Statement, c *condition, ctx Context) {
	if r != nil {
		r.steps = append(r.steps, Step{
			Document: d, Statement: s, Element: "Condition",
			Operator: c.given, Key: c.key.given, Missing: len(ctx.values(&c.key)) == 0,
		})
	}
}

// Match is a statement that applies to a question.
type Match struct {
	Document  *Document
	Statement *Statement
}

// Matching returns the statements with the effect that apply to the question, in the order of documents and statements.
func Matching(q *Question, docs []*Document, effect Effect) []Match {
	var all []Match
	for _, doc := range docs {
		c := doc.candidates(q, false)
		for i := c.next(); i >= 0; i = c.next() {
			s := &doc.statements[i]
			if s.effect != effect {
				continue
			}
			if covered, _ := s.covers(q, doc, nil); covered {
				all = append(all, Match{doc, s})
			}
		}
	}
	return all
}
