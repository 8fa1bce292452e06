package broker

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// AWS is what a broker needs for accounts with AWS behind them.
type AWS struct {
	sts  *awssts.STS
	kept *awssts.Keeper[*become]
}

// NewAWS returns what asks an STS for sessions, and keeps them.
func NewAWS(sts *awssts.STS, pace awssts.Pace, now func() time.Time) *AWS {
	return &AWS{sts, awssts.NewKeeper[*become](pace, now)}
}

// become is a pod's session at AWS.
type become struct {
	session     *session.Session
	credentials session.Credentials
	hops        []Hop
}

// Life makes it something that a Keeper keeps.
func (m *become) Life() (from, to time.Time) { return m.session.Issued, m.session.Expires }

// Hop is one role on the way to a pod's credentials at AWS, as STS let Lanyard become it.
type Hop struct {
	Session    *session.Session // as STS made it; the first of two is held by nobody
	Role       *directory.Role  // by its name alone
	ExternalID string
	RequestID  string // STS's
	Packed     int    // percent
}

// awsBacked asks AWS's STS. It decides nothing about the roles: their trust policies are AWS's to evaluate. What pods get is
// STS's as it is.
type awsBacked struct {
	*Broker
	backing *directory.AWSAccount
}

// roles refuses what the registry would not have stored: an account may be made after an association that leads to it.
func (i awsBacked) roles(g *Grant) error {
	g.Role = directory.NamedRole(g.Association.Role)
	target := g.Association.Target
	if i.AWS == nil {
		return fault.New(fault.Unavailable, "This server asks no STS.")
	}
	if target == (arn.ARN{}) {
		return nil
	}
	second, err := i.Directory.Account(target.Account)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil && second.AWS == nil {
		err = unauthorized()
	}
	return err
}

func (i awsBacked) issue(ctx context.Context, g *Grant) error {
	plan, err := i.plan(g)
	if err != nil {
		return err
	}
	made, fresh, err := i.AWS.kept.Get(ctx, g.Cluster.Account, i.key(g), func(m *become) bool { return i.Registry.Honours(m.session) == nil },
		func(ctx context.Context) (*become, error) { return i.ask(ctx, plan) })
	if err != nil {
		return err
	}
	g.Session, g.Credentials, g.Hops, g.Kept = made.session, made.credentials, made.hops, !fresh
	return nil
}

// key digests all that a session depends on. The pod stands for its tokens, which the kubelet replaces: whoever shows one
// was verified to be that pod.
func (i awsBacked) key(g *Grant) awssts.Key {
	a, t := g.Association, g.Token
	digest := i.digest(a)
	b := make([]byte, 0, 512)
	for _, field := range []string{
		a.ID, a.ClusterID, a.Account, string(digest[:]), t.Pod.UID, t.Pod.Name, t.Node.UID, i.backing.Region, i.backing.Endpoint, i.backing.ExternalID,
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(field)))
		b = append(b, field...)
	}
	return sha256.Sum256(b)
}

// digest is the registry's, without the look at the account.
func (i awsBacked) digest(a *registry.Association) [32]byte {
	target := ""
	if a.Target != (arn.ARN{}) {
		target = a.Target.String()
	}
	return session.Digest(a.Role.String(), target, a.Policy, a.DisableTags)
}

// plan is what is going to be asked of STS: one role, or two.
type plan struct {
	at      awssts.Place
	hops    []awssts.Assumption
	session session.Session // what it will be, as far as it is known before
}

func (i awsBacked) plan(g *Grant) (*plan, error) {
	a := g.Association
	p := &plan{at: i.place(), hops: i.hops(a, sessionName(g.Cluster.Name, g.Token.Pod.Name))}
	p.session = session.Session{
		Name: p.hops[0].SessionName, Through: []string{a.Role.String()},
		Origin:   originOf(g, a.ID, i.digest(a)),
		Revision: i.Store.Revision(), Epoch: i.Store.Epoch(), // before STS is asked: what is revoked meanwhile ends it
	}
	if a.Target != (arn.ARN{}) {
		p.session.Through = append(p.session.Through, a.Target.String())
	}
	if a.Policy != "" {
		p.session.Policies = []string{a.Policy}
	}
	if !a.DisableTags {
		p.session.Tags = podTags(g.Cluster.Name, g.Cluster.ARN().String(), g.Token)
	}
	p.hops[0].Tags = passed(p.session.Tags)
	return p, nil
}

func passed(tags []session.Tag) []awssts.Tag {
	var all []awssts.Tag
	for _, t := range tags {
		all = append(all, awssts.Tag{Key: t.Key, Value: t.Value})
	}
	return all
}

func (i awsBacked) place() awssts.Place {
	return awssts.Place{Region: i.backing.Region, Endpoint: i.backing.Endpoint}
}

// hops are the roles in the order in which they are assumed, without tags. The policy narrows the last, as at EKS.
func (i awsBacked) hops(a *registry.Association, name string) []awssts.Assumption {
	first := awssts.Assumption{Role: a.Role, SessionName: name, ExternalID: a.AWSExternalID(i.backing.ExternalID), Longest: PodSession}
	if a.Target == (arn.ARN{}) {
		first.Policy = a.Policy
		return []awssts.Assumption{first}
	}
	first.Longest = awssts.Least // it is needed for the next call alone
	return []awssts.Assumption{first, {Role: a.Target, SessionName: name, ExternalID: a.ExternalID(), Policy: a.Policy, Longest: PodSession}}
}

// ask goes the way that was planned.
func (i awsBacked) ask(ctx context.Context, p *plan) (*become, error) {
	out := &become{}
	var holder *awssts.Session
	for n := range p.hops {
		in := p.hops[n]
		made, err := i.AWS.sts.Assume(ctx, p.at, holder, in)
		if err != nil {
			return nil, err
		}
		s := p.session
		_, s.RoleName, _ = in.Role.RoleName()
		s.Account, s.RoleID, s.AccessKeyID = in.Role.Account, made.RoleID, made.AccessKeyID
		s.Issued, s.Expires = made.Issued, made.Expires
		if s.Chain = n; in.Policy == "" {
			s.Policies = nil
		}
		out.hops = append(out.hops, Hop{&s, directory.NamedRole(in.Role), in.ExternalID, made.RequestID, made.Packed})
		out.session, holder = &s, made
	}
	out.credentials = session.Credentials{
		AccessKeyID: holder.AccessKeyID, SecretAccessKey: holder.SecretAccessKey, SessionToken: holder.SessionToken, Expires: holder.Expires,
	}
	return out, nil
}

// Try asks AWS for the roles of an association once, as for a pod of its that does not exist, and lets go of what it gets.
// It answers in EKS's words what EKS says of a role that cannot be associated, with what STS said behind them.
func (b *Broker) Try(ctx context.Context, a *registry.Association) error {
	found, err := b.Trial(ctx, a, false)
	if err != nil {
		return err
	}
	err = found.Refused
	if !fault.Is(err, fault.Denied) {
		return err
	}
	if found.Target {
		return nil // as at EKS, a target role is seen when a pod asks: who associates need not know the other account
	}
	const trust = "Trust policy of the role provided is invalid."
	if found.Action == "sts:TagSession" {
		return fault.Hide(fault.Invalid, err, "%s %s", trust, fault.Message(err))
	}
	// STS does not say which. Clients that wait for a new role to be known everywhere look for the first sentence.
	return fault.Hide(fault.Invalid, err, "Role provided in the request does not exist. Or: %s %s", trust, fault.Message(err))
}

// Trial is what AWS said to an attempt to assume an association's roles.
type Trial struct {
	Refused   error  // nil: they may be assumed
	Role      string // the one that was refused, or the last
	Target    bool   // it is the target role
	Action    string // what was not allowed, as far as STS says; "" is not said
	Code      string // STS's
	Message   string
	RequestID string
	// Open is set where the role can be assumed with an external id that is not Lanyard's: a deputy could be confused.
	Open bool
}

const trialPod = "lanyard-verify" // no pod's UID has this form, so it never stands for one

// Trial tries an association's roles, and if told so whether they can be had with another external id. Errors are those that say nothing about the roles: Throttled, Unavailable.
func (b *Broker) Trial(ctx context.Context, a *registry.Association, deputy bool) (*Trial, error) {
	backing, err := b.Directory.Backing(a.Account)
	switch {
	case err != nil:
		return nil, err
	case backing == nil:
		return nil, fault.New(fault.Invalid, "account %s has no AWS account behind it", a.Account)
	case b.AWS == nil:
		return nil, fault.New(fault.Unavailable, "This server asks no STS.")
	}
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	i := awsBacked{b, backing}
	hops := i.hops(a, sessionName(a.Cluster, trialPod))
	if !a.DisableTags {
		hops[0].Tags = passed(trialTags(a))
	}
	out := &Trial{}
	var holder *awssts.Session
	for n, in := range hops {
		in.Longest = awssts.Least
		out.Role, out.Target = in.Role.String(), n > 0
		made, err := b.AWS.sts.Assume(ctx, i.place(), holder, in)
		if err != nil {
			if kind := fault.Of(err); kind == fault.Unavailable || kind == fault.Throttled || kind == fault.Internal {
				return nil, err
			}
			out.Refused = err
			var r *awssts.Refusal
			if errors.As(err, &r) {
				out.Action, out.Code, out.Message, out.RequestID = r.Action, r.Code, r.Message, r.RequestID
			}
			return out, nil
		}
		if n == 0 && deputy {
			in.ExternalID = "not-" + in.ExternalID
			if _, err := b.AWS.sts.Assume(ctx, i.place(), nil, in); err == nil {
				out.Open = true
			}
		}
		holder, out.RequestID = made, made.RequestID
	}
	return out, nil
}

// trialTime is for all the calls of a trial. Managing tools wait longer.
const trialTime = 15 * time.Second

// trialTags are those that a pod's session will have.
func trialTags(a *registry.Association) []session.Tag {
	return podTags(a.Cluster, arn.Cluster(a.Region, a.Account, a.Cluster).String(), &podtoken.Token{
		Namespace: a.Namespace, ServiceAccount: a.ServiceAccount, Pod: podtoken.Ref{Name: trialPod, UID: trialPod},
	})
}

// AWSIdentity answers who Lanyard is for an account with AWS behind it.
func (b *Broker) AWSIdentity(ctx context.Context, backing *directory.AWSAccount) (awssts.Caller, error) {
	if b.AWS == nil {
		return awssts.Caller{}, fault.New(fault.Unavailable, "This server asks no STS.")
	}
	return b.AWS.sts.Caller(ctx, awsBacked{b, backing}.place())
}
