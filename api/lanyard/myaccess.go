package lanyard

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

type myAccessRequest struct {
	Checks []check `json:"checks"` // 1 to maxChecks
}

// check is a question of a caller about itself. An action without a resource is asked about *.
type check struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
}

// actions are those that are asked about, each once.
func (in *myAccessRequest) actions() []string {
	var all []string
	for _, q := range in.Checks[:min(len(in.Checks), maxChecks)] {
		if a := q.Action[:min(len(q.Action), maxAction)]; !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

type myAccessResponse struct {
	Principal string        `json:"principalArn"`
	Checks    []checkAnswer `json:"checks"` // in the request's order
}

// checkAnswer is the answer to one. Reason is allowed, implicitDeny (no statement allows it) or explicitDeny; Layer is of the
// policies that refused it: identity, boundary or session.
type checkAnswer struct {
	Action   string `json:"action"`
	Resource string `json:"resource"`
	Allowed  bool   `json:"allowed"`  // of a request that says nothing else
	Decision string `json:"decision"` // of one that says more: allowed, depends or denied
	Reason   string `json:"reason"`
	Layer    string `json:"layer,omitempty"`
	Message  string `json:"message,omitempty"` // what the operation would answer
}

const (
	maxChecks = 100 // more than a page of the console has to show
	maxAction = 128 // characters: the longest that IAM takes

	checksAtOnce  = 2 // calls that compare policies
	longestChecks = 2 * time.Second
)

// checkMyAccess tells callers what they find out by trying anyway, so it needs no permission; as with GetCallerIdentity
// the signature is enough. Nobody asks here about anybody else.
func (d *door) checkMyAccess(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[myAccessRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"actions": in.actions()} // who looks for what a stolen session is good for is seen
	if err := openToIdentities(c); err != nil {
		return nil, err
	}
	if n := len(in.Checks); n < 1 || n > maxChecks {
		return nil, fault.New(fault.Invalid, "checks: 1 to %d pairs of action and resource are accepted, got %d", maxChecks, n)
	}
	done, err := d.checks.Take(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	defer done()
	until := time.Now().Add(longestChecks)
	out := myAccessResponse{Principal: c.Caller.ARN, Checks: make([]checkAnswer, len(in.Checks))}
	for i, q := range in.Checks {
		if q.Resource == "" {
			q.Resource = "*"
		}
		if err := checkQuestion(q.Action, q.Resource); err != nil {
			return nil, err
		}
		if time.Now().After(until) {
			return nil, fault.New(fault.Invalid, "checks: the policies take too long for so many at once: ask for fewer")
		}
		decision, refused := c.May(q.Action, q.Resource)
		answer := checkAnswer{Action: q.Action, Resource: q.Resource, Allowed: refused == nil, Decision: word(c.Foresee(q.Action, q.Resource)), Reason: reasons[decision.Effect]}
		if refused != nil {
			answer.Layer, answer.Message = layers[decision.Layer], fault.Message(refused)
		}
		out.Checks[i] = answer
	}
	return out, nil
}

var (
	reasons = [...]string{policy.ImplicitDeny: "implicitDeny", policy.Allow: "allowed", policy.Deny: "explicitDeny"}
	layers  = [...]string{policy.OfIdentity: "identity", policy.OfBoundary: "boundary", policy.OfSession: "session", policy.OfResource: "resource"}
)

// openToIdentities lets every user and role go on, without a permission. A cluster's activation pair is good for its one
// operation.
func openToIdentities(c *api.Call) error {
	c.Open()
	if c.Caller.User == nil && c.Caller.Session == nil {
		return fault.New(fault.Denied, "%s is signed by a user or by a role's session, not by %s.", c.Operation.Name, c.Caller.ARN)
	}
	return nil
}

// checkQuestion refuses what no operation asks: an action or a resource that stands for several.
func checkQuestion(action, resource string) error {
	service, name, _ := strings.Cut(action, ":")
	if service == "" || name == "" || len(action) > maxAction || strings.ContainsAny(action, "*? ") || strings.Contains(name, ":") {
		return fault.New(fault.Invalid, "action %.128q: one SERVICE:NAME such as s3:GetObject, without wildcards, is accepted", action)
	}
	if resource != "*" && (!strings.HasPrefix(resource, "arn:") || strings.Count(resource, ":") < 5 || len(resource) > 2048) {
		return fault.New(fault.Invalid, "resource %.100q: * and an ARN of at most 2048 characters are accepted", resource)
	}
	return nil
}
