package broker

import (
	"context"
	"slices"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

// UserSession is what GetSessionToken and GetFederationToken ask. Their door has checked the form of each part.
type UserSession struct {
	Guest    string        // who is to act; "" is the user
	Duration time.Duration // 0: 12 hours
	Tags     []session.Tag // of a guest
	Policies Narrowing     // of a guest, who may do nothing without
	Context  policy.Context
}

const userSession = 12 * time.Hour // where no duration is asked for

// ForUser answers credentials of a session of the user who signed with a long-term key, or of a guest. The session falls with the
// key and with the user. caller is asked after the store's barrier.
//
// Errors: Denied, also for who signed by a session; Invalid, MalformedPolicy, Limit, Unavailable, and those of caller.
func (b *Broker) ForUser(ctx context.Context, caller func() (*directory.Principal, error), in *UserSession) (*Grant, error) {
	return b.grant(ctx, func(ctx context.Context, g *Grant) error { return b.grantUser(ctx, g, caller, in) })
}

func (b *Broker) grantUser(ctx context.Context, g *Grant, caller func() (*directory.Principal, error), in *UserSession) error {
	who, err := caller()
	if err != nil {
		return err
	}
	operation := "GetSessionToken"
	if in.Guest != "" {
		operation = "GetFederationToken"
	}
	if who.User == nil || who.Session != nil {
		return fault.New(fault.Denied, "Cannot call %s with session credentials", operation)
	}
	now := b.now()
	s := &session.Session{
		Account: who.Account, Name: in.Guest, Tags: in.Tags, User: &session.User{ID: who.User.ID, KeyID: who.KeyID},
		Issued: now, Expires: now.Add(max(in.Duration, 0)),
	}
	if in.Duration == 0 {
		s.Expires = now.Add(userSession)
	}
	if err := checkSessionTags(s.Tags); err != nil {
		return err
	}
	// A user needs no permission to have a session: it gives nothing that the key does not.
	if in.Guest != "" {
		if err := b.decideGuest(g, who, s, in.Context); err != nil {
			return err
		}
		if s.Policies, err = b.narrowed(who.Account, in.Policies); err != nil {
			return err
		}
	}
	g.Session = s
	g.Credentials, err = b.mint(ctx, s)
	return err
}

// decideGuest asks the user's own policies for each action that a guest's session needs.
func (b *Broker) decideGuest(g *Grant, who *directory.Principal, s *session.Session, request policy.Context) error {
	q := &policy.Question{
		Resource: arn.FederatedUser(s.Account, s.Name).String(),
		Context:  appendTags(slices.Concat(request, policy.Clock(s.Issued), who.Context()), s.Tags),
	}
	for _, q.Action = range actionsFor(s, "sts:GetFederationToken") {
		own := who.Layers.Evaluate(q)
		if g.Own = &own; own.Effect != policy.Allow {
			return mayNot(who, q.Action, q.Resource)
		}
	}
	return nil
}
