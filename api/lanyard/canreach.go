package lanyard

import (
	"context"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
)

type canReachRequest struct {
	Cluster        string `json:"clusterName"`    // "" is every cluster
	Namespace      string `json:"namespace"`      // "" is every namespace
	ServiceAccount string `json:"serviceAccount"` // "" is every service account
	After          string `json:"after"`          // the next of an earlier answer
	Max            int64  `json:"maxResults"`
}

type canReachResponse struct {
	Associations []reachable `json:"associations"`
	Sessions     []reach     `json:"sessions"` // that pods get; associations that come to the same share one
	Next         string      `json:"next,omitempty"`
}

// reachable is what pods of a service account come to by their association.
type reachable struct {
	Cluster        string     `json:"clusterName"`
	Namespace      string     `json:"namespace"`
	ServiceAccount string     `json:"serviceAccount"`
	AssociationID  string     `json:"associationId"`
	RoleARN        string     `json:"roleArn"`
	TargetRoleARN  string     `json:"targetRoleArn,omitempty"`
	Decision       string     `json:"decision"` // whether they become the role: allowed, depends, denied
	Statement      *statement `json:"statement,omitempty"`
	DependsOn      []open     `json:"dependsOn,omitempty"`
	Elsewhere      string     `json:"elsewhere,omitempty"` // who decides what the role may, where this account does not: AWS, or an account
	Missing        string     `json:"missingRoleArn,omitempty"`
	Session        *int64     `json:"session,omitempty"` // which of sessions they get
}

// reach is all that the policies of a session say which may ever count for it.
type reach struct {
	RoleARN    string  `json:"roleArn"`
	Bounded    bool    `json:"bounded"`  // it has a permissions boundary: only what that allows too is allowed
	Narrowed   bool    `json:"narrowed"` // it has a session policy: only what that allows too is allowed
	Statements []grant `json:"statements"`
}

// grant is a statement, with the values of variables that are known.
type grant struct {
	open
	Actions      []string `json:"actions,omitempty"`
	NotActions   []string `json:"notActions,omitempty"`
	Resources    []string `json:"resources,omitempty"`
	NotResources []string `json:"notResources,omitempty"`
}

// canReach tells what the pods of service accounts may do, by the policies of now.
func (d *door) canReach(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[canReachRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{
		"clusterName": in.Cluster, "namespace": in.Namespace, "serviceAccount": in.ServiceAccount, "after": in.After,
	}
	account := c.Caller.Account
	resource := arn.ARN{Service: "lanyard", Region: c.Region(), Account: account, Resource: "account/" + account}
	if in.Cluster != "" {
		resource = arn.Cluster(c.Region(), account, in.Cluster)
	}
	if err := c.Authorize("lanyard:CanReach", resource.String()); err != nil {
		return nil, err
	}
	if in.ServiceAccount != "" && in.Namespace == "" {
		return nil, fault.New(fault.Invalid, "serviceAccount %.100q: accepted with its namespace", in.ServiceAccount)
	}
	most, err := maxResults(in.Max)
	if err != nil {
		return nil, err
	}
	done, err := d.walks.Take(ctx, account)
	if err != nil {
		return nil, err
	}
	defer done()
	until := time.Now().Add(longestWalk)
	w := &reachWalk{
		door: d, teller: newTeller(d.directory), sessions: map[reachKey]int64{},
		out: canReachResponse{Associations: []reachable{}, Sessions: []reach{}},
	}
	found, next, err := d.registry.AccountAssociations(account, in.Cluster, registry.AssociationQuery{
		Namespace: in.Namespace, ServiceAccount: in.ServiceAccount, After: in.After, Limit: most,
	})
	if err != nil {
		return nil, err
	}
	for _, a := range found {
		if w.size > toldBytes || len(w.out.Associations) > 0 && time.Now().After(until) {
			break
		}
		if err := w.tell(a); err != nil {
			return nil, err
		}
	}
	if w.out.Next = next; len(w.out.Associations) < len(found) {
		w.out.Next = placeOf(found[len(w.out.Associations)-1])
	}
	return w.out, nil
}

// reachWalk puts an answer together.
type reachWalk struct {
	*door
	*teller
	sessions map[reachKey]int64
	out      canReachResponse
	size     int
}

// reachKey is what a session hangs on.
type reachKey struct{ role, policy, association string }

// placeOf is where to go on after an association.
func placeOf(a *registry.Association) string {
	return a.Cluster + "/" + a.Namespace + "/" + a.ServiceAccount
}

func (w *reachWalk) tell(a *registry.Association) error {
	p, err := w.broker.Prospect(a)
	if err != nil {
		return err
	}
	out := reachable{
		Cluster: a.Cluster, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount, AssociationID: a.ID, RoleARN: a.Role.String(),
		Elsewhere: p.Elsewhere, Decision: word(p.Way), Statement: w.deciding(p.Way), DependsOn: w.teller.open(p.Way),
	}
	if a.Target != (arn.ARN{}) {
		out.TargetRoleARN = a.Target.String()
	}
	if p.Missing != (arn.ARN{}) {
		out.Missing = p.Missing.String()
	}
	if p.Who != nil && p.Way.Effect == policy.Allow {
		n, err := w.session(p, a)
		if err != nil {
			return err
		}
		out.Session = &n
	}
	w.size += sizeOf(out.DependsOn)
	w.out.Associations = append(w.out.Associations, out)
	return nil
}

// session returns the place of a session among the answer's. Sessions of a role differ by their policy and, where the
// role's policies ask for tags, by their tags.
func (w *reachWalk) session(p *broker.Prospect, a *registry.Association) (int64, error) {
	layers := p.Who.Layers
	key := reachKey{role: p.Who.Role.ID, policy: a.Policy}
	if layers.Mentions("aws:principaltag/") {
		key.association = a.ID
	}
	if n, known := w.sessions[key]; known {
		return n, nil
	}
	if err := w.knows(p.Who); err != nil {
		return 0, err
	}
	out := reach{
		RoleARN: p.Who.Role.ARN().String(), Bounded: len(layers.Boundary) > 0, Narrowed: len(layers.Session) > 0, Statements: []grant{},
	}
	known := append(api.Foreseen(w.registry.Region()), p.Context()...)
	for layer, docs := range [...][]*policy.Document{
		policy.OfIdentity: layers.Identity, policy.OfBoundary: layers.Boundary, policy.OfSession: layers.Session,
	} {
		for _, s := range policy.Prospects(known, docs, policy.Layer(layer), broker.LacksSession) {
			t := s.Document.Filled(w.text(s.Document, s.Statement), known, broker.LacksSession)
			g := grant{
				open{*w.statement(s.Document, s.Statement, s.Layer), w.undecided(&s)}, t.Actions, t.NotActions, t.Resources, t.NotResources,
			}
			w.size += g.size()
			out.Statements = append(out.Statements, g)
		}
	}
	n := int64(len(w.out.Sessions))
	w.sessions[key], w.out.Sessions = n, append(w.out.Sessions, out)
	return n, nil
}

func (g *grant) size() int {
	n := sizeOf([]open{g.open})
	for _, list := range [...][]string{g.Actions, g.NotActions, g.Resources, g.NotResources} {
		for _, s := range list {
			n += len(s) + 3
		}
	}
	return n
}
