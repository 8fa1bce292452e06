package broker

import (
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// Prospect is what the pods of an association would become, as far as that is known before one asks: everything but the
// pod and the moment.
type Prospect struct {
	Way policy.Outlook // whether they become it; without a statement where no policy is what refuses
	Who *directory.Principal
	// Elsewhere is who decides about the role, where this account does not, and Who is nil: AWS, or an account's number.
	Elsewhere string
	// Missing is a role on the way that does not exist, and Who is nil.
	Missing arn.ARN
}

// Prospect foresees what ForPod and the doors would decide for the pods of an association, by the policies of now.
func (b *Broker) Prospect(a *registry.Association) (*Prospect, error) {
	backing, err := b.Directory.Backing(a.Account)
	if err != nil {
		return nil, err
	}
	if backing != nil {
		return &Prospect{Elsewhere: "AWS", Way: policy.Outlook{Decision: policy.Decision{Effect: policy.Allow}}}, nil
	}
	role, err := b.Directory.RoleByARN(a.Role)
	if fault.Is(err, fault.NotFound) {
		return &Prospect{Missing: a.Role}, nil
	}
	if err != nil {
		return nil, err
	}
	var tags []session.Tag
	cluster := arn.Cluster(a.Region, a.Account, a.Cluster).String()
	if !a.DisableTags {
		tags = podTags(a.Cluster, cluster, &podtoken.Token{Namespace: a.Namespace, ServiceAccount: a.ServiceAccount})
	}
	q := &policy.Question{
		Resource:  role.ARN().String(),
		Principal: policy.Principal{Kind: policy.Service, Names: []string{registry.Service}},
		Context:   certain(podContext(a.Account, cluster, "", tags)),
	}
	s := &session.Session{Account: role.Account, RoleID: role.ID, RoleName: role.Name, Tags: tags}
	if a.Target == (arn.ARN{}) && a.Policy != "" {
		s.Policies = []string{a.Policy}
	}
	p := &Prospect{Way: foreseeEach(q, s, func() policy.Outlook {
		return policy.Foresee(q, []*policy.Document{role.Trust}, LacksPod)
	})}
	if p.Who, err = b.Directory.SessionPrincipal(role, s); err != nil || a.Target == (arn.ARN{}) {
		return p, err
	}
	return p, b.foreseeTarget(p, a)
}

// foreseeTarget goes on to the target role as passOn does.
func (b *Broker) foreseeTarget(p *Prospect, a *registry.Association) error {
	if a.Target.Account != a.Account {
		p.Who, p.Elsewhere = nil, a.Target.Account // whose roles are not told here
		return nil
	}
	role, err := b.Directory.RoleByARN(a.Target)
	if fault.Is(err, fault.NotFound) {
		*p = Prospect{Missing: a.Target}
		return nil
	}
	if err != nil {
		return err
	}
	first, in := p.Who, b.passing(a, "")
	s := &session.Session{Account: role.Account, RoleID: role.ID, RoleName: role.Name}
	if a.Policy != "" {
		s.Policies = []string{a.Policy}
	}
	if err := inherit(s, first, role); err != nil {
		return err
	}
	q := asking(first, role, append(in.conditions(role, s, time.Time{}), first.Context()...))
	q.Context = certain(q.Context)
	p.Way = p.Way.And(foreseeEach(q, s, func() policy.Outlook {
		trust := policy.Foresee(q, []*policy.Document{role.Trust}, LacksPod)
		if trust.Effect != policy.Allow {
			return trust
		}
		return trust.And(first.Layers.Foresee(q, trust.Named, LacksPod))
	}))
	p.Who, err = b.Directory.SessionPrincipal(role, s)
	return err
}

// foreseeEach asks for every action that a session needs.
func foreseeEach(q *policy.Question, s *session.Session, ask func() policy.Outlook) policy.Outlook {
	way := policy.Outlook{Decision: policy.Decision{Effect: policy.Allow}}
	for _, q.Action = range actionsFor(s, "sts:AssumeRole") {
		way = way.And(ask())
	}
	return way
}

// Context returns what is known of the condition keys that speak of the principal.
func (p *Prospect) Context() policy.Context { return certain(p.Who.Context()) }

// changing are the condition keys, in lower case, that each pod, session or moment has another value for.
var changing = []string{
	"aws:userid", "aws:tokenissuetime", "aws:currenttime", "aws:epochtime", "sts:rolesessionname",
	"aws:principaltag/kubernetes-pod-name", "aws:principaltag/kubernetes-pod-uid",
	"aws:requesttag/kubernetes-pod-name", "aws:requesttag/kubernetes-pod-uid",
}

// certain leaves out the keys that are changing.
func certain(ctx policy.Context) policy.Context {
	return slices.DeleteFunc(slices.Clone(ctx), func(e policy.Entry) bool {
		return slices.ContainsFunc(changing, func(key string) bool { return len(key) == len(e.Key) && strings.EqualFold(key, e.Key) })
	})
}

// LacksPod says of condition keys that nobody has them who is asked for a pod: that request is Lanyard's own, and known but
// for what is changing.
func LacksPod(key string) bool { return !slices.Contains(changing, key) }

// LacksSession says of condition keys that no request of a pod's session has them, whatever it is about.
func LacksSession(key string) bool {
	switch key {
	case "aws:username", "aws:sourceidentity", "aws:federatedprovider", "aws:principalservicename":
		return true
	}
	return strings.HasPrefix(key, "aws:principaltag/") && !slices.Contains(changing, key)
}
