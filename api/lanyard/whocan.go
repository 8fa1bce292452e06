package lanyard

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

type whoCanRequest struct {
	Action   string `json:"action"`
	Resource string `json:"resource"` // "" is *
	After    string `json:"after"`    // the next of an earlier answer
	Max      int64  `json:"maxResults"`
}

type whoCanResponse struct {
	Action     string         `json:"action"`
	Resource   string         `json:"resource"`
	Principals []canPrincipal `json:"principals"`
	// Trusted are those whom the trust policy of a role that is asked for names, of whatever account; where the action is not
	// sts:AssumeRole, there are none.
	Trusted []string `json:"trusted,omitempty"`
	Untold  int64    `json:"untold"` // associations with roles that AWS or another account decides about
	Next    string   `json:"next,omitempty"`
}

// canPrincipal is one who may: a user, a role whoever its session is of, or the pods of a service account by an association.
type canPrincipal struct {
	Type           string     `json:"type"` // user, role, serviceAccount
	ARN            string     `json:"arn"`  // of the user or role; of a service account's role in the end
	Cluster        string     `json:"clusterName,omitempty"`
	Namespace      string     `json:"namespace,omitempty"`
	ServiceAccount string     `json:"serviceAccount,omitempty"`
	AssociationID  string     `json:"associationId,omitempty"`
	Via            string     `json:"viaRoleArn,omitempty"` // the first of two roles
	Decision       string     `json:"decision"`             // allowed, depends
	Statement      *statement `json:"statement,omitempty"`
	DependsOn      []open     `json:"dependsOn,omitempty"`
}

// What a call may cost: an account makes its policies as long as it likes.
const (
	walksAtOnce = 2           // of WhoCan and CanReach
	longestWalk = time.Second // about
	toldBytes   = 1 << 20     // of text of policies in one answer, about
	lookedAt    = 10_000      // users, roles and associations that one call of WhoCan decides about
	step        = 250         // of which so many are read at once
)

// whoCan decides a question for everybody of the caller's account as if they had asked it.
func (d *door) whoCan(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[whoCanRequest](c)
	if err != nil {
		return nil, err
	}
	if in.Resource == "" {
		in.Resource = "*"
	}
	c.Event.RequestParameters = map[string]any{"action": in.Action, "resource": in.Resource, "after": in.After}
	if _, err := d.ownAccount(c, "lanyard:WhoCan"); err != nil {
		return nil, err
	}
	if err := checkQuestion(in.Action, in.Resource); err != nil {
		return nil, err
	}
	most, err := maxResults(in.Max)
	if err != nil {
		return nil, err
	}
	done, err := d.walks.Take(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	defer done()
	w := &whoWalk{
		most: most, step: min(most, step), until: time.Now().Add(longestWalk),
		door: d, teller: newTeller(d.directory), account: c.Caller.Account, region: c.Region(),
		out: whoCanResponse{Action: in.Action, Resource: in.Resource, Principals: []canPrincipal{}},
	}
	if err := w.aim(); err != nil {
		return nil, err
	}
	if err := w.from(ctx, in.After); err != nil {
		return nil, err
	}
	return w.out, nil
}

// whoWalk goes through an account's users, roles and associations.
type whoWalk struct {
	*door
	*teller
	account, region string
	role            *directory.Role // that is to be assumed, where that is the question
	aimed           policy.Context  // what is known of a request for the resource
	out             whoCanResponse
	most, step      int // principals of the answer; records that are read at once
	looked          int
	until           time.Time
	size            int // of out, about
}

// isOver reports whether the answer ends with the one who was told of last.
func (w *whoWalk) isOver() bool { return w.size > toldBytes || time.Now().After(w.until) }

// maxResults reads how long an answer may be: 1 to 1,000, by default that.
func maxResults(n int64) (int, error) {
	const most = 1000
	switch {
	case n == 0:
		return most, nil
	case n < 0 || n > most:
		return 0, fault.New(fault.Invalid, "maxResults %d: 1 to %d are accepted", n, most)
	}
	return int(n), nil
}

// aim looks at what is asked for. Policies reach no further than their account.
func (w *whoWalk) aim() error {
	name, err := arn.Parse(w.out.Resource)
	if w.out.Resource == "*" || strings.HasPrefix(w.out.Resource, directory.AWSPolicies) {
		return nil
	}
	if err != nil || name.Account != "" && name.Account != w.account {
		return fault.New(fault.Invalid, "resource %.100q: * and an ARN without account or of account %s are accepted", w.out.Resource, w.account)
	}
	owner := []string{w.account}
	switch {
	case name.Service == "s3":
		w.aimed = policy.Context{{Key: "aws:ResourceAccount", Values: owner}, {Key: "s3:ResourceAccount", Values: owner}} // the gateway's
	case strings.EqualFold(w.out.Action, "sts:AssumeRole"):
		w.aimed = policy.Context{{Key: "aws:ResourceAccount", Values: owner}}
		if w.role, err = w.directory.RoleByARN(name); err == nil {
			w.out.Trusted = w.role.Trust.Principals()
		}
	}
	return err
}

// stages are the parts of the walk, in order, by the letter that a place in them begins with.
var stages = []struct {
	letter string
	walk   func(w *whoWalk, after string) (next string, err error)
}{{"u", (*whoWalk).users}, {"r", (*whoWalk).roles}, {"a", (*whoWalk).associations}}

// from walks on from a place of an earlier answer until the account or the answer's size is at its end.
func (w *whoWalk) from(ctx context.Context, place string) error {
	letter, after, _ := strings.Cut(place, ":")
	if place == "" {
		letter = stages[0].letter
	}
	begun := false
	for _, stage := range stages {
		if begun = begun || stage.letter == letter; !begun {
			continue
		}
		for more := true; more; more = after != "" {
			if w.looked >= lookedAt || len(w.out.Principals) > w.most-w.step || w.looked > 0 && w.isOver() {
				w.out.Next = stage.letter + ":" + after
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if after, err = stage.walk(w, after); err != nil {
				return err
			}
		}
	}
	if !begun {
		return fault.New(fault.Invalid, "after %.100q: the next of an earlier answer is accepted", place)
	}
	return nil
}

func (w *whoWalk) users(after string) (string, error) {
	all, err := w.directory.Users(w.account, "/", after, w.step)
	if err != nil {
		return "", err
	}
	for i, u := range all {
		p, err := w.directory.UserPrincipal(u, "")
		if err != nil {
			return "", err
		}
		// A user's session has its issue's time besides, and of the tags and names nothing else.
		lacks := func(key string) bool {
			return strings.HasPrefix(key, "aws:principaltag/") || key == "aws:sourceidentity"
		}
		if err := w.tell(canPrincipal{Type: "user", ARN: p.ARN}, p, w.outlook(p, p.Context(), lacks)); err != nil {
			return "", err
		}
		if after = u.Name; w.isOver() {
			w.looked += i + 1
			return after, nil
		}
	}
	return w.next(len(all), after), nil
}

// next is where to go on after a page that was full.
func (w *whoWalk) next(n int, after string) string {
	w.looked += n
	if n < w.step {
		return ""
	}
	return after
}

func (w *whoWalk) roles(after string) (string, error) {
	all, err := w.directory.Roles(w.account, "/", after, w.step)
	if err != nil {
		return "", err
	}
	for i, r := range all {
		p, err := w.directory.SessionPrincipal(r, &session.Session{})
		if err != nil {
			return "", err
		}
		// Whoever assumes it may bring tags, in place of the role's own.
		prospect, known := broker.Prospect{Who: p}, policy.Context{}
		for _, e := range prospect.Context() {
			if !strings.HasPrefix(e.Key, "aws:PrincipalTag/") {
				known = append(known, e)
			}
		}
		o := w.outlook(p, known, func(key string) bool { return key == "aws:username" })
		if err := w.tell(canPrincipal{Type: "role", ARN: r.ARN().String()}, p, o); err != nil {
			return "", err
		}
		if after = r.Name; w.isOver() {
			w.looked += i + 1
			return after, nil
		}
	}
	return w.next(len(all), after), nil
}

func (w *whoWalk) associations(after string) (string, error) {
	all, next, err := w.registry.AccountAssociations(w.account, "", registry.AssociationQuery{After: after, Limit: w.step})
	if err != nil {
		return "", err
	}
	w.looked += len(all)
	for _, a := range all {
		p, err := w.broker.Prospect(a)
		if err != nil {
			return "", err
		}
		if p.Elsewhere != "" {
			w.out.Untold++
		}
		if p.Who == nil || p.Way.Effect != policy.Allow {
			continue
		}
		o := w.outlook(p.Who, p.Context(), broker.LacksSession).And(p.Way)
		if w.role != nil && p.Who.Role.ID == w.role.ID {
			o = p.Way // the association is how they assume it
		}
		told := canPrincipal{
			Type: "serviceAccount", ARN: p.Who.Role.ARN().String(), Cluster: a.Cluster, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount,
			AssociationID: a.ID, Via: via(a),
		}
		if err := w.tell(told, p.Who, o); err != nil {
			return "", err
		}
		if w.isOver() {
			return placeOf(a), nil
		}
	}
	return next, nil
}

// via is the first of an association's two roles.
func via(a *registry.Association) string {
	if a.Target == (arn.ARN{}) {
		return ""
	}
	return a.Role.String()
}

// outlook asks for one principal, of whose context this is known, and of whose request what all requests have in common.
func (w *whoWalk) outlook(p *directory.Principal, known policy.Context, lacks policy.Lacks) policy.Outlook {
	q := &policy.Question{
		Action: w.out.Action, Resource: w.out.Resource, Context: slices.Concat(api.Foreseen(w.region), w.aimed, known),
		Principal: policy.Principal{Kind: policy.AWS, Account: p.Account, Names: p.Names(), Bounded: len(p.Layers.Boundary) > 0},
	}
	if w.role == nil {
		return p.Layers.Foresee(q, policy.Unnamed, lacks)
	}
	trust := policy.Foresee(q, []*policy.Document{w.role.Trust}, lacks)
	return p.Layers.Foresee(q, trust.Named, lacks).And(trust)
}

// tell adds one who may to the answer.
func (w *whoWalk) tell(who canPrincipal, p *directory.Principal, o policy.Outlook) error {
	if o.Effect != policy.Allow {
		return nil
	}
	if err := w.knows(p); err != nil {
		return err
	}
	who.Decision, who.Statement, who.DependsOn = word(o), w.deciding(o), w.teller.open(o)
	w.size += sizeOf(who.DependsOn)
	w.out.Principals = append(w.out.Principals, who)
	return nil
}
