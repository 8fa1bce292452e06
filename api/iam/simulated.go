package iam

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// The wire's shapes of a simulation.

type simulationResult struct {
	Results struct {
		Members []evaluationResult `xml:"member"`
	} `xml:"EvaluationResults"`
	api.Page
}

type evaluationResult struct {
	Action   string                   `xml:"EvalActionName"`
	Resource string                   `xml:"EvalResourceName"`
	Decision string                   `xml:"EvalDecision"`
	Matched  matchedStatements        `xml:"MatchedStatements"`
	Missing  names                    `xml:"MissingContextValues"`
	Boundary *boundaryDetail          `xml:"PermissionsBoundaryDecisionDetail"`
	Details  *decisionDetails         `xml:"EvalDecisionDetails"`
	Specific *resourceSpecificResults `xml:"ResourceSpecificResults"`
}

type resourceSpecificResults struct {
	Members []resourceSpecificResult `xml:"member"`
}

type resourceSpecificResult struct {
	Resource string            `xml:"EvalResourceName"`
	Decision string            `xml:"EvalResourceDecision"`
	Matched  matchedStatements `xml:"MatchedStatements"`
	Missing  names             `xml:"MissingContextValues"`
	Details  *decisionDetails  `xml:"EvalDecisionDetails"`
	Boundary *boundaryDetail   `xml:"PermissionsBoundaryDecisionDetail"`
}

type matchedStatements struct {
	Members []matchedStatement `xml:"member"`
}

type matchedStatement struct {
	ID    string   `xml:"SourcePolicyId"`
	Type  string   `xml:"SourcePolicyType"`
	Start position `xml:"StartPosition"`
	End   position `xml:"EndPosition"`
}

type position struct {
	Line   int `xml:"Line"`
	Column int `xml:"Column"`
}

type boundaryDetail struct {
	Allowed bool `xml:"AllowedByPermissionsBoundary"`
}

type decisionDetails struct {
	Entries []detail `xml:"entry"`
}

type detail struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// What AWS calls the two sides of a decision.
const (
	identitySide = "IAM Policy"
	resourceSide = "Resource Policy"
)

var decisions = map[policy.Effect]string{policy.Allow: "allowed", policy.Deny: "explicitDeny", policy.ImplicitDeny: "implicitDeny"}

// What a simulation may cost: the caller makes its policies and questions as long as a request can be.
const (
	simulationsAtOnce = 2
	// A page ends early, with the action that it is at.
	longestPage = time.Second
	pageBytes   = 1 << 20
	// An action that takes so much is not answered.
	longestAction = 5 * time.Second
	actionBytes   = 16 << 20
)

// simulate answers the page of actions that the call asks for.
func (d *door) simulate(ctx context.Context, c *api.Call, s *simulation) (any, error) {
	if err := s.read(c); err != nil {
		return nil, err
	}
	done, err := d.simulations.Take(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	defer done()
	n := c.MaxItems()
	from := 0
	if marker := c.Form.Get("Marker"); marker != "" {
		if from, err = strconv.Atoi(marker); err != nil || from < 1 || from >= len(s.actions) {
			return nil, fault.New(fault.BadToken, "Invalid Marker: %.320s", marker)
		}
	}
	var out simulationResult
	s.lacking, s.began = names{s.missing()}, time.Now()
	to := from
	for to < min(from+n, len(s.actions)) && (to == from || s.size < pageBytes && time.Since(s.began) < longestPage) {
		all, err := s.ask(ctx, s.actions[to])
		if err != nil {
			return nil, err
		}
		out.Results.Members = append(out.Results.Members, all)
		to++
	}
	if to < len(s.actions) {
		out.Page = api.Page{IsTruncated: true, Marker: strconv.Itoa(to)}
	}
	return out, nil
}

// ask decides one action on each resource. Where the call names them the answer tells each; the whole is then as strict as
// the strictest.
func (s *simulation) ask(ctx context.Context, action string) (evaluationResult, error) {
	var each []resourceSpecificResult
	for _, resource := range s.resources {
		if err := ctx.Err(); err != nil {
			return evaluationResult{}, err
		}
		if s.size > actionBytes || time.Since(s.began) > longestAction {
			return evaluationResult{}, fault.New(fault.BadState, "The policies take too long for so many resources at once: ask about fewer.")
		}
		r := s.decide(action, resource)
		s.size += 200*len(r.Matched.Members) + 50*len(r.Missing.Members) + len(resource) + 200
		each = append(each, r)
	}
	worst := each[0]
	for _, r := range each[1:] {
		if severity[r.Decision] > severity[worst.Decision] {
			worst = r
		}
	}
	all := evaluationResult{
		Action: action, Resource: worst.Resource, Decision: worst.Decision, Matched: worst.Matched, Missing: worst.Missing,
		Boundary: worst.Boundary, Details: worst.Details,
	}
	if len(each) > 1 {
		all.Resource = "*"
	}
	if s.given {
		all.Missing, all.Specific = names{}, &resourceSpecificResults{each}
	}
	return all, nil
}

var severity = map[string]int{"allowed": 0, "implicitDeny": 1, "explicitDeny": 2}

// decide asks the evaluator that decides everything else.
func (s *simulation) decide(action, resource string) resourceSpecificResult {
	q := &policy.Question{Action: action, Resource: resource, Principal: s.caller, Context: s.context}
	owner := s.owner
	if name, err := arn.Parse(resource); err == nil && name.Account != "" {
		owner = name.Account
	}
	r := resourceSpecificResult{Resource: resource}
	var effect policy.Effect
	foreign := s.caller.Kind != 0 && owner != s.caller.Account
	if foreign || s.resource != nil {
		effect = s.layers.EvaluateWith(q, s.resource, owner).Effect
	} else {
		effect = s.layers.Evaluate(q).Effect
	}
	r.Decision = decisions[effect]
	if foreign {
		r.Details = &decisionDetails{[]detail{
			{identitySide, decisions[s.layers.Evaluate(q).Effect]}, {resourceSide, decisions[policy.Evaluate(q, s.resource).Effect]},
		}}
	}
	if len(s.layers.Boundary) > 0 {
		r.Boundary = &boundaryDetail{policy.Evaluate(q, s.layers.Boundary).Effect == policy.Allow}
	}
	if effect != policy.ImplicitDeny {
		s.match(&r, q, effect, s.layers.Identity, identitySide)
		if effect == policy.Deny {
			s.match(&r, q, effect, s.layers.Boundary, identitySide)
		}
		s.match(&r, q, effect, s.resource, resourceSide)
	}
	r.Missing = s.lacking
	return r
}

// match adds the statements that made the decision. A Deny overrides: then they alone are told.
func (s *simulation) match(r *resourceSpecificResult, q *policy.Question, effect policy.Effect, docs []*policy.Document, side string) {
	for _, m := range policy.Matching(q, docs, effect) {
		start, end := m.Document.Span(m.Statement)
		r.Matched.Members = append(r.Matched.Members, matchedStatement{s.ids[m.Document], side, position(start), position(end)})
	}
}

// missing lists the condition keys that the policies ask for and nobody gave, each once.
func (s *simulation) missing() []string {
	var all []string
	had := map[string]bool{}
	for i := range s.context {
		had[strings.ToLower(s.context[i].Key)] = true
	}
	for _, docs := range [][]*policy.Document{s.layers.Identity, s.layers.Boundary, s.resource} {
		for _, doc := range docs {
			for _, key := range doc.ContextKeys() {
				if lower := strings.ToLower(key); !had[lower] {
					had[lower] = true
					all = append(all, key)
				}
			}
		}
	}
	return all
}
