package lanyard

import (
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/policy"
)

// The wire's shapes of what is foreseen.

// statement names one of a policy's. An inline policy is called by its name, that of a group as GROUP/NAME, a managed one by
// its ARN; a trust policy and a session's have no name.
type statement struct {
	Effect string `json:"effect"`
	Layer  string `json:"layer"` // identity, boundary, session or trust
	Policy string `json:"policy,omitempty"`
	Sid    string `json:"sid,omitempty"`
	Index  int64  `json:"index"` // in its document, from 0
}

// open is a statement that applies if its conditions hold, of which nothing is known beforehand.
type open struct {
	statement
	Conditions []term `json:"conditions"`
}

// term is one key of one operator of a condition. Without an operator its values are resources with a variable.
type term struct {
	Operator string   `json:"operator,omitempty"`
	Key      string   `json:"key"`
	Values   []string `json:"values"`
}

// sizeOf is how long statements are in an answer, about.
func sizeOf(all []open) (n int) {
	for i := range all {
		n += 100
		for _, t := range all[i].Conditions {
			n += 50 + len(t.Key)
			for _, v := range t.Values {
				n += len(v) + 3
			}
		}
	}
	return n
}

// teller words outlooks. It looks up the names of policies once for each principal.
type teller struct {
	policies *directory.Directory
	names    map[*policy.Document]string
	known    map[string]bool // ids of the users and roles whose policies have names by now
	terms    map[*policy.Statement]policy.Terms
}

func newTeller(d *directory.Directory) *teller {
	return &teller{d, map[*policy.Document]string{}, map[string]bool{}, map[*policy.Statement]policy.Terms{}}
}

// knows learns the names of a principal's policies.
func (t *teller) knows(p *directory.Principal) error {
	id := ""
	if p.Role != nil {
		id = p.Role.ID
	} else if p.User != nil {
		id = p.User.ID
	}
	if t.known[id] {
		return nil
	}
	names, err := t.policies.PolicyNames(p)
	for doc, name := range names {
		t.names[doc] = name
	}
	t.known[id] = true
	return err
}

// word says what an outlook comes to: allowed, depends or denied.
func word(o policy.Outlook) string {
	switch {
	case o.Effect != policy.Allow:
		return "denied"
	case len(o.Open) > 0:
		return "depends"
	}
	return "allowed"
}

// statement is nil where no statement decided.
func (t *teller) statement(doc *policy.Document, s *policy.Statement, layer policy.Layer) *statement {
	if s == nil {
		return nil
	}
	in := layers[layer]
	if doc.Use() == policy.Trust {
		in = "trust"
	}
	return &statement{s.Effect().String(), in, t.names[doc], s.Sid(), int64(s.Index())}
}

func (t *teller) deciding(o policy.Outlook) *statement {
	return t.statement(o.Document, o.Statement, o.Layer)
}

// open words what an outlook hangs on, each statement once.
func (t *teller) open(o policy.Outlook) []open {
	var all []open
	told := map[*policy.Statement]bool{}
	for i := range o.Open {
		p := &o.Open[i]
		if o.Effect != policy.Allow || told[p.Statement] {
			continue
		}
		told[p.Statement] = true
		all = append(all, open{*t.statement(p.Document, p.Statement, p.Layer), t.undecided(p)})
	}
	return all
}

func (t *teller) undecided(p *policy.Open) []term {
	all := []term{}
	for _, u := range p.Undecided(t.text(p.Document, p.Statement)) {
		all = append(all, term{u.Operator, u.Key, u.Values})
	}
	return all
}

// text is what a statement says, read once.
func (t *teller) text(doc *policy.Document, s *policy.Statement) policy.Terms {
	terms, read := t.terms[s]
	if !read {
		terms = doc.Terms(s)
		t.terms[s] = terms
	}
	return terms
}
