// Package access answers who signed a request and whether they may make it: every call but one carries a signature of
// AWS Signature Version 4, and every call is decided by IAM policy
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
package access

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

// Access is the answer to both questions. Now, MaxStaleness, Keys and Sessions may be zero.
type Access struct {
	Store        *store.Store
	Directory    *directory.Directory
	Registry     *registry.Registry
	Ring         session.Ring
	MaxStaleness time.Duration    // a copy cut off for longer decides nothing; 0: 5 min
	Now          func() time.Time // nil: time.Now
	Keys         *sigv4.Cache     // derived signing keys; nil: derived each time
	Sessions     *Sessions        // opened sessions; nil: opened each time

	// SigningKey is how a gateway, which has no secrets of long-term keys, gets the day's key of one that is active. nil at
	// the server, which has them.
	SigningKey func(ctx context.Context, keyID, date, region, service string) (sigv4.Key, error)
}

const (
	defaultStaleness = 5 * time.Minute
	catchUp          = 500 * time.Millisecond // how long to wait for a revision that a session has seen
	recent           = 5 * time.Second        // an older copy may lack a key that sessions are sealed under by now
)

// Authenticate returns who signed the request: the holder of a long-term key, of a session that is still honoured, or of
// a cluster's activation pair. payloadHash is the SHA-256 of the body in hex, computed or declared, as the door's rules say.
//
// Errors: Skewed, UnknownKey, BadSignature, Unavailable; ExpiredCredentials, beside which the caller is named for the
// audit, since its signature was good.
func (a *Access) Authenticate(r *http.Request, sig *sigv4.Signature, payloadHash string) (*directory.Principal, error) {
	now := a.now()
	if err := sig.CheckTime(now); err != nil {
		return nil, err
	}
	if a.Store.Age() > a.maxStaleness() {
		return nil, cutOff(nil)
	}
	caller, secret, err := a.identify(r.Context(), sig, now)
	if err != nil {
		return nil, err
	}
	key, err := a.signingKey(r.Context(), caller, secret, sig)
	if err != nil {
		return nil, err
	}
	if err := sig.Verify(r, key, payloadHash); err != nil {
		if strings.HasPrefix(sig.KeyID, "ACTV") {
			if counted := a.Registry.WrongActivation(r.Context(), sig.KeyID); counted != nil && !fault.Is(counted, fault.NotFound) {
				return nil, counted // a guess that is not counted would be one too many
			}
		}
		return nil, err
	}
	if caller.Session != nil {
		// Only now: whether a session is revoked or over is told to its holder, not to who found its token.
		if err := caller.Session.Live(now); err != nil {
			return caller, err
		}
		if err := a.Registry.Honours(caller.Session); err != nil {
			return caller, err
		}
	}
	a.noteUse(caller, sig)
	return caller, nil
}

// noteUse is for who asks when a role or an access key was last used: a request counts that was signed well, also where it
// is denied.
func (a *Access) noteUse(caller *directory.Principal, sig *sigv4.Signature) {
	switch {
	case caller.Role != nil:
		a.Directory.Used(caller.Role.ID, sig.Service, sig.Region)
	case caller.User != nil:
		a.Directory.Used(caller.KeyID, sig.Service, sig.Region)
	}
}

// identify finds the key that a request names and whose it is.
func (a *Access) identify(ctx context.Context, sig *sigv4.Signature, now time.Time) (*directory.Principal, string, error) {
	switch {
	case strings.HasPrefix(sig.KeyID, "ASIA") && sig.Token != "":
		return a.bySession(ctx, sig)
	case sig.Token != "":
		return nil, "", unknownKey() // a long-term key has no token
	case strings.HasPrefix(sig.KeyID, "AKIA"):
		return a.byKey(sig.KeyID)
	case strings.HasPrefix(sig.KeyID, "ACTV"):
		return a.byActivation(sig.KeyID, now)
	}
	return nil, "", unknownKey()
}

// byKey returns the holder of a long-term key that is active, and its secret.
func (a *Access) byKey(id string) (*directory.Principal, string, error) {
	key, user, err := a.Directory.AccessKey(id)
	if fault.Is(err, fault.NotFound) || (err == nil && !key.Active) {
		return nil, "", unknownKey()
	}
	if err != nil {
		return nil, "", err
	}
	p, err := a.Directory.UserPrincipal(user, key.ID)
	return p, string(key.Secret), err
}

func (a *Access) bySession(ctx context.Context, sig *sigv4.Signature) (*directory.Principal, string, error) {
	o, err := a.open(sig)
	if fault.Is(err, fault.UnknownKey) && a.Store.Age() > recent {
		return nil, "", cutOff(err)
	}
	if err != nil {
		return nil, "", err
	}
	s := o.session
	if s.Revision > a.Store.Revision() {
		ctx, cancel := context.WithTimeout(ctx, catchUp)
		defer cancel()
		if err := a.Store.Reach(ctx, store.Position{Epoch: s.Epoch, Revision: s.Revision}); err != nil {
			return nil, "", err
		}
	}
	if s.User != nil {
		p, err := a.byUserSession(s)
		return p, s.Secret(), err
	}
	role, err := a.roleOf(s)
	if err != nil {
		return nil, "", err
	}
	p, err := o.as(a.Directory, role)
	return p, s.Secret(), err
}

// byUserSession returns the holder of a user's session. It is good as long as the key that it was got with.
func (a *Access) byUserSession(s *session.Session) (*directory.Principal, error) {
	key, user, err := a.Directory.AccessKey(s.User.KeyID)
	if fault.Is(err, fault.NotFound) || err == nil && (!key.Active || user.ID != s.User.ID || user.Account != s.Account) {
		return nil, unknownKey()
	}
	if err != nil {
		return nil, err
	}
	return a.Directory.UserSessionPrincipal(user, s)
}

// roleOf returns the role of a session as it is now.
func (a *Access) roleOf(s *session.Session) (*directory.Role, error) {
	role, err := a.Directory.RoleByID(s.RoleID)
	if fault.Is(err, fault.NotFound) || (err == nil && role.Account != s.Account) {
		return nil, unknownKey()
	}
	if err != nil {
		return nil, err
	}
	return role, nil
}

// byActivation lets a cluster that waits for its activation do that one thing.
func (a *Access) byActivation(id string, now time.Time) (*directory.Principal, string, error) {
	c, err := a.Registry.ClusterByActivation(id)
	if fault.Is(err, fault.NotFound) || (err == nil && !now.Before(c.Activation.Expires)) {
		return nil, "", unknownKey()
	}
	if err != nil {
		return nil, "", err
	}
	allowed, err := policy.Parse(policy.Identity,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lanyard:ActivateCluster","Resource":"`+c.ARN().String()+`"}}`)
	if err != nil {
		return nil, "", err
	}
	return &directory.Principal{
		Account: c.Account, ARN: c.ARN().String(), ID: id, KeyID: id,
		Layers: policy.Layers{Identity: []*policy.Document{allowed}},
	}, string(c.Activation.Secret), nil
}

// Authorize decides whether the principal may do the action to the resource now. extra holds the condition keys that
// speak of the request. The decision is for the audit; the error, of kind Denied, is AWS's own sentence, or of kind Internal
// or Unavailable where the resource's tags cannot be read.
func (a *Access) Authorize(p *directory.Principal, action, resource string, extra policy.Context) (policy.Decision, error) {
	if !within(p.Account, resource) || !askable(p, action) {
		return policy.Decision{}, denied(p, action, resource, policy.Decision{})
	}
	q, err := a.question(p, action, resource, extra)
	if err != nil {
		return policy.Decision{}, err
	}
	d := p.Layers.Evaluate(&q)
	if d.Effect != policy.Allow {
		return d, denied(p, action, resource, d)
	}
	return d, nil
}

// Foresee tells what Authorize will say once more than extra is known of the request: what it brings, and which of the
// things that a pattern in resource stands for it is about. Who asks, when and from where is known by now.
func (a *Access) Foresee(p *directory.Principal, action, resource string, extra policy.Context) policy.Outlook {
	if !within(p.Account, resource) || !askable(p, action) {
		return policy.Outlook{}
	}
	q, err := a.question(p, action, resource, extra)
	if err != nil {
		return policy.Outlook{}
	}
	return p.Layers.Foresee(&q, policy.Unnamed, func(key string) bool {
		service, name, _ := strings.Cut(key, ":")
		switch {
		case strings.HasPrefix(name, "resourcetag/"):
			return !strings.ContainsAny(resource, "*?")
		case service == "aws":
			return name != "tagkeys" && !strings.HasPrefix(name, "requesttag/")
		}
		return false
	})
}

func (a *Access) question(p *directory.Principal, action, resource string, extra policy.Context) (policy.Question, error) {
	tags, err := a.resourceTags(p, resource)
	return policy.Question{Action: action, Resource: resource, Context: slices.Concat(p.Context(), policy.Clock(a.now()), extra, tags)}, err
}

// askable reports whether an action is one that the principal may ask for at all: without a second factor, which nobody has
// here, IAM takes no session of a user and STS takes it for AssumeRole alone, a guest's not even for that
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html).
func askable(p *directory.Principal, action string) bool {
	if p.User == nil || p.Session == nil {
		return true
	}
	service, name, _ := strings.Cut(action, ":")
	return !strings.EqualFold(service, "iam") && (!strings.EqualFold(service, "sts") || strings.EqualFold(name, "AssumeRole") && !p.IsGuest())
}

// within reports whether a resource may be the account's: policies reach no further than their account, whatever they
// say. A name without account, such as a bucket's, may be anybody's, and so is a policy that every account has; an ARN that
// does not parse is nobody's.
func within(account, resource string) bool {
	if !strings.HasPrefix(resource, "arn:") || strings.HasPrefix(resource, directory.AWSPolicies) {
		return true
	}
	name, err := arn.Parse(resource)
	return err == nil && (name.Account == "" || name.Account == account)
}

// layerNames are how AWS's sentence names the layers
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html).
var layerNames = [...]struct{ article, name string }{
	policy.OfIdentity: {"an", "identity-based policy"},
	policy.OfBoundary: {"a", "permissions boundary"},
	policy.OfSession:  {"a", "session policy"},
	policy.OfResource: {"a", "resource-based policy"},
}

func denied(p *directory.Principal, action, resource string, d policy.Decision) error {
	layer := layerNames[d.Layer]
	why := "because no " + layer.name + " allows the " + action + " action"
	if d.Effect == policy.Deny {
		why = "with an explicit deny in " + layer.article + " " + layer.name
	}
	return fault.New(fault.Denied, "User: %s is not authorized to perform: %s on resource: %s %s", p.ARN, action, resource, why)
}

func unknownKey() error {
	return fault.New(fault.UnknownKey, "The security token included in the request is invalid.")
}

func cutOff(cause error) error {
	return fault.Hide(fault.Unavailable, cause, "The service is cut off from its state; try again.")
}

// signingKey derives the key of a secret, or asks for that of a long-term key whose secret is not here. Without a secret
// nothing is derived: everybody knows the key of an empty one.
func (a *Access) signingKey(ctx context.Context, caller *directory.Principal, secret string, sig *sigv4.Signature) (sigv4.Key, error) {
	switch {
	case caller.User != nil && caller.Session == nil && a.SigningKey != nil:
		return a.SigningKey(ctx, sig.KeyID, sig.Date, sig.Region, sig.Service)
	case secret == "":
		return sigv4.Key{}, unknownKey()
	case a.Keys != nil:
		return a.Keys.Derive(secret, sig.Date, sig.Region, sig.Service), nil
	}
	return sigv4.Derive(secret, sig.Date, sig.Region, sig.Service), nil
}

func (a *Access) maxStaleness() time.Duration {
	if a.MaxStaleness == 0 {
		return defaultStaleness
	}
	return a.MaxStaleness
}

func (a *Access) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}
