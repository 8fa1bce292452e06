package broker

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

// Assumption is what AssumeRole asks. Its door has checked the form of each part.
type Assumption struct {
	Role           arn.ARN
	SessionName    string         // 2 to 64 of [\w+=,.@-]
	Duration       time.Duration  // 0: one hour; 15 min to the role's longest, and to one hour for a session
	Tags           []session.Tag  // passed, beside those that a session hands on
	ExternalID     string         // "" is none
	SourceIdentity string         // "" is that of the caller's session
	Policies       Narrowing      // of the new session
	Context        policy.Context // what else is known about the request
}

// Narrowing is the session policies that a call brings: of what the role may do, the session may do what one of them allows
// and none denies. They take the place of those of the caller's session, which have decided whether it may call.
type Narrowing struct {
	Policy string   // a document, "" is none
	ARNs   []string // of managed policies of the role's account
}

const (
	chained        = time.Hour // how long the session of a session may be
	maxSessionTags = 50
	maxNarrowing   = 2048 // characters of session policies, the ARNs of managed ones among them
	maxManaged     = 10
)

// ForCaller answers credentials of a role to a caller who signed for them: the role's trust policy must allow it, and the
// caller's own policies too, unless the role is of the caller's account and its trust policy names the caller itself.
// caller is asked after the store's barrier, so that what was taken from the caller until now counts.
//
// Errors: Invalid, MalformedPolicy, Denied (also for a role that does not exist), Limit for a session that cannot be
// packed, Unavailable, and those of caller.
func (b *Broker) ForCaller(ctx context.Context, caller func() (*directory.Principal, error), in *Assumption) (*Grant, error) {
	return b.grant(ctx, func(ctx context.Context, g *Grant) error { return b.grantCaller(ctx, g, caller, in) })
}

// grant fills in what a caller is answered, after the store's barrier: what a copy that may be old refuses is not known.
func (b *Broker) grant(ctx context.Context, fill func(context.Context, *Grant) error) (*Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	g := &Grant{}
	var err error
	if g.Stale, err = b.catchUp(ctx); err != nil {
		return g, err
	}
	if err = fill(ctx, g); err != nil && g.Stale {
		err = notKnown(err)
	}
	return g, err
}

func (b *Broker) grantCaller(ctx context.Context, g *Grant, caller func() (*directory.Principal, error), in *Assumption) error {
	who, err := caller()
	if err != nil {
		return err
	}
	if who.IsGuest() { // as at STS, whatever the user may
		return mayNot(who, "sts:AssumeRole", in.Role.String())
	}
	if g.Role, err = b.Directory.RoleByARN(in.Role); fault.Is(err, fault.NotFound) {
		return mayNot(who, "sts:AssumeRole", in.Role.String())
	} else if err != nil {
		return err
	}
	if g.Session, err = b.assume(g, who, g.Role, in); err != nil {
		return err
	}
	g.Credentials, err = b.mint(ctx, g.Session)
	return err
}

// assume decides whether the caller may become the role in this way and returns the session, which is not minted yet. It
// leaves its decisions in the grant.
func (b *Broker) assume(g *Grant, caller *directory.Principal, role *directory.Role, in *Assumption) (*session.Session, error) {
	now := b.now()
	s := &session.Session{
		Account: role.Account, RoleID: role.ID, RoleName: role.Name, Name: in.SessionName,
		Tags: in.Tags, SourceIdentity: in.SourceIdentity, Issued: now,
	}
	if err := inherit(s, caller, role); err != nil {
		return nil, err
	}
	if err := decide(g, caller, role, s, in.conditions(role, s, now)); err != nil {
		return nil, err
	}
	duration := in.Duration
	if duration == 0 {
		duration = time.Hour
	}
	if caller.Role != nil && duration > chained {
		return nil, fault.New(fault.Invalid, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	if duration > role.MaxSession {
		return nil, fault.New(fault.Invalid, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	s.Expires = now.Add(duration)
	var err error
	s.Policies, err = b.narrowed(role.Account, in.Policies)
	return s, err
}

// inherit gives a session what the caller's session hands on: the transitive tags and the source identity, which nobody
// along the chain may change, the origin, and the roles and sessions on the way here: the session falls with all of these.
func inherit(s *session.Session, caller *directory.Principal, role *directory.Role) error {
	former := caller.Session
	if former == nil {
		return checkSessionTags(s.Tags)
	}
	s.Chain, s.Origin = former.Chain+1, former.Origin
	for _, id := range append(slices.Clip(former.Through), former.RoleID, former.ID()) {
		if id != "" && id != s.RoleID && !slices.Contains(s.Through, id) {
			s.Through = append(s.Through, id)
		}
	}
	if former.SourceIdentity != "" {
		if s.SourceIdentity != "" && s.SourceIdentity != former.SourceIdentity {
			return mayNot(caller, "sts:SetSourceIdentity", role.ARN().String())
		}
		s.SourceIdentity = former.SourceIdentity
	}
	var tags []session.Tag
	for _, t := range former.Tags {
		if !t.Transitive {
			continue
		}
		if slices.ContainsFunc(s.Tags, func(passed session.Tag) bool { return strings.EqualFold(passed.Key, t.Key) }) {
			return fault.New(fault.Invalid,
				"One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		tags = append(tags, t)
	}
	s.Tags = append(tags, s.Tags...)
	return checkSessionTags(s.Tags)
}

func checkSessionTags(tags []session.Tag) error {
	if len(tags) > maxSessionTags {
		return fault.New(fault.Invalid, "tags: at most %d are accepted, got %d with those that the calling session hands on", maxSessionTags, len(tags))
	}
	for i, t := range tags {
		if slices.ContainsFunc(tags[:i], func(former session.Tag) bool { return strings.EqualFold(former.Key, t.Key) }) {
			return fault.New(fault.Invalid, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
	}
	return nil
}

// actionsFor are the actions that a session needs: the one that is called, and those for what the session carries.
func actionsFor(s *session.Session, called string) []string {
	actions := []string{called}
	if len(s.Tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if s.SourceIdentity != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	return actions
}

// decide asks for each action that the session needs: the trust policy always, the caller's own policies as STS's rule is.
func decide(g *Grant, caller *directory.Principal, role *directory.Role, s *session.Session, conditions policy.Context) error {
	q := asking(caller, role, append(conditions, caller.Context()...))
	for _, q.Action = range actionsFor(s, "sts:AssumeRole") {
		g.Decision, g.Own = policy.Evaluate(q, []*policy.Document{role.Trust}), nil
		if g.Decision.Effect != policy.Allow {
			return mayNot(caller, q.Action, q.Resource)
		}
		named := policy.Unnamed
		if role.Account == caller.Account {
			named = g.Decision.Named
		}
		own := caller.Layers.EvaluateNamed(q, named)
		if g.Own = &own; own.Effect != policy.Allow {
			return mayNot(caller, q.Action, q.Resource)
		}
	}
	return nil
}

// asking is the question whether the caller may become the role, for an action that is still to be set.
func asking(caller *directory.Principal, role *directory.Role, ctx policy.Context) *policy.Question {
	return &policy.Question{
		Resource:  role.ARN().String(),
		Principal: policy.Principal{Kind: policy.AWS, Account: caller.Account, Names: caller.Names(), Bounded: len(caller.Layers.Boundary) > 0},
		Context:   ctx,
	}
}

// conditions are the condition keys of the request, beside those that speak of the caller.
func (in *Assumption) conditions(role *directory.Role, s *session.Session, now time.Time) policy.Context {
	ctx := slices.Concat(in.Context, policy.Clock(now))
	add := func(key, value string) {
		if value != "" {
			ctx = append(ctx, policy.Entry{Key: key, Values: []string{value}})
		}
	}
	add("sts:RoleSessionName", s.Name)
	add("sts:ExternalId", in.ExternalID)
	add("sts:SourceIdentity", s.SourceIdentity)
	add("aws:ResourceAccount", role.Account)
	for _, t := range role.Tags {
		ctx = append(ctx,
			policy.Entry{Key: "aws:ResourceTag/" + t.Key, Values: []string{t.Value}},
			policy.Entry{Key: "iam:ResourceTag/" + t.Key, Values: []string{t.Value}})
	}
	return appendTags(ctx, s.Tags)
}

// appendTags adds the condition keys of a session's tags.
func appendTags(ctx policy.Context, tags []session.Tag) policy.Context {
	n := len(tags)
	if n == 0 {
		return ctx
	}
	all := make([]string, 3*n)
	keys, values, transitive := all[:n:n], all[n:2*n:2*n], all[2*n:2*n]
	for i, t := range tags {
		keys[i], values[i] = t.Key, t.Value
		ctx = append(ctx, policy.Entry{Key: "aws:RequestTag/" + t.Key, Values: values[i : i+1 : i+1]})
		if t.Transitive {
			transitive = append(transitive, t.Key)
		}
	}
	ctx = append(ctx, policy.Entry{Key: "aws:TagKeys", Values: keys})
	if len(transitive) > 0 {
		ctx = append(ctx, policy.Entry{Key: "sts:TransitiveTagKeys", Values: transitive})
	}
	return ctx
}

// narrowed returns the session policies as a session carries them, after STS's checks: the document as it is and managed
// ones by ARN, so that they are read when the session is used, as the role's are. It is asked after the role's trust
// policy, since it tells which policies the role's account has.
func (b *Broker) narrowed(account string, n Narrowing) ([]string, error) {
	if len(n.ARNs) > maxManaged {
		return nil, fault.New(fault.Invalid, "policyArns: at most %d are accepted, got %d", maxManaged, len(n.ARNs))
	}
	size := utf8.RuneCountInString(n.Policy)
	for _, name := range n.ARNs {
		size += utf8.RuneCountInString(name)
	}
	if size > maxNarrowing {
		return nil, fault.New(fault.Invalid, "policy: at most %d characters are accepted, with the ARNs of policyArns, got %d", maxNarrowing, size)
	}
	var all []string
	if n.Policy != "" {
		if _, err := policy.Parse(policy.Session, n.Policy); err != nil {
			return nil, err
		}
		all = append(all, n.Policy)
	}
	for _, name := range n.ARNs {
		_, err := b.Directory.ManagedPolicy(account, name)
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.Invalid, "%s", fault.Message(err))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	return all, nil
}

// mayNot is STS's sentence. It leaves out whose policy says no: the caller may be a stranger to the role's account.
func mayNot(caller *directory.Principal, action, role string) error {
	return fault.New(fault.Denied, "User: %s is not authorized to perform: %s on resource: %s", caller.ARN, action, role)
}
