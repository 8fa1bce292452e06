package broker

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// WebIdentity is what AssumeRoleWithWebIdentity asks.
type WebIdentity struct {
	Role        string // an ARN
	SessionName string // 2 to 64 of [\w+=,.@-]
	Token       string
	Duration    time.Duration // 0: one hour; 15 min to the role's longest
	Policies    Narrowing
	Context     policy.Context // what else is known about the request
}

// Federated returns the name under which the role trusts who holds the token: a cluster's or an OIDC provider's.
func (g *Grant) Federated() string {
	if g.Provider != nil {
		return g.Provider.ARN().String()
	}
	return g.Cluster.ARN().String()
}

var sessionNames = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// ForWebIdentity answers credentials of a role to who holds a token: a cluster's, for its service account, or that of another
// issuer. The role comes first: its trust policy names clusters and OIDC providers, and only their keys may verify the
// token, since half the world's clusters have the same issuer.
//
// Errors: Invalid, MalformedPolicy, Denied (also for a role that does not exist), BadToken, ExpiredToken, RejectedClaim,
// IssuerUnreachable, Limit for a session that cannot be packed, Unavailable.
func (b *Broker) ForWebIdentity(ctx context.Context, in WebIdentity) (*Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, issuerDeadline)
	defer cancel()
	g := &Grant{}
	if err := checkWebIdentity(&in); err != nil {
		return g, err
	}
	name, err := arn.Parse(in.Role)
	if err != nil {
		return g, fault.New(fault.Invalid, "roleArn: %w", err)
	}
	if err := b.identify(ctx, g, name, in.Token); err != nil {
		return g, err
	}
	if g.Stale, err = b.catchUpSoon(ctx); err != nil {
		return g, err
	}
	if err = b.present(g, name); err == nil {
		err = b.grantWebIdentity(ctx, g, in)
	}
	if err != nil && g.Stale {
		return g, notKnown(err)
	}
	return g, err
}

// catchUpSoon is catchUp for a call that may have waited for an issuer before.
func (b *Broker) catchUpSoon(ctx context.Context) (stale bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	return b.catchUp(ctx)
}

func checkWebIdentity(in *WebIdentity) error {
	if !sessionNames.MatchString(in.SessionName) {
		return fault.New(fault.Invalid, "roleSessionName %q: 2 to 64 characters of [\\w+=,.@-] are accepted", in.SessionName)
	}
	if in.Duration == 0 {
		in.Duration = time.Hour
	}
	if in.Duration < 15*time.Minute || in.Duration > 12*time.Hour {
		return fault.New(fault.Invalid, "durationSeconds %d: 900 to 43200 are accepted", int(in.Duration.Seconds()))
	}
	return nil
}

// identify verifies the token. That the role, a provider or a cluster is not there is said only by a copy that is up to
// date. A hit costs no barrier before the token is verified, for the caller is nobody yet.
func (b *Broker) identify(ctx context.Context, g *Grant, role arn.ARN, token string) error {
	missed, err := b.verifyWebIdentity(ctx, g, role, token)
	if err == nil || !missed {
		return err
	}
	stale, late := b.catchUpSoon(ctx)
	if late != nil {
		return late
	}
	if missed, err = b.verifyWebIdentity(ctx, g, role, token); err != nil && missed && stale {
		err = notKnown(err)
	}
	return err
}

// verifyWebIdentity tries the token against each cluster and provider that the role's trust policy names; normally that is
// one. If one of them cannot know yet, the answer is not known, whatever the others say. Nobody waits for a cluster's keys
// here: the caller is nobody yet. After an error, missed says that the role was not there, or what it trusts.
func (b *Broker) verifyWebIdentity(ctx context.Context, g *Grant, name arn.ARN, token string) (missed bool, err error) {
	if g.Role, err = b.Directory.RoleByARN(name); err != nil {
		if fault.Is(err, fault.NotFound) {
			return true, notAuthorized()
		}
		return false, err
	}
	refusal := notAuthorized()
	for _, trusted := range g.Role.Trust.Principals() {
		absent, err := b.verifyBy(ctx, g, trusted, token)
		if err == nil {
			return false, nil
		}
		missed = missed || absent
		if !errors.Is(err, errElsewhere) && !fault.Is(refusal, fault.Unavailable) {
			refusal = err
		}
	}
	return missed, refusal
}

// errElsewhere is for what a trust policy names that the token has nothing to do with.
var errElsewhere = errors.New("it is no cluster and no provider of the token")

// verifyBy tries the token against one principal of the role's trust policy.
func (b *Broker) verifyBy(ctx context.Context, g *Grant, trusted, token string) (missed bool, err error) {
	name, err := arn.Parse(trusted)
	if err != nil || name.Account != g.Role.Account {
		return false, errElsewhere
	}
	if issuer, ok := name.Issuer(); ok {
		return b.verifyByProvider(ctx, g, issuer, token)
	}
	cluster := b.trustedCluster(name)
	if cluster == nil {
		return name.Service == "eks", errElsewhere
	}
	audience := registry.AgentAudience
	if g.Role.Name == cluster.ConnectorRole() {
		audience = registry.ConnectorAudience
	}
	g.Cluster, g.Provider = cluster, nil
	g.Token, err = b.verify(cluster, audience, token, b.now())
	return false, err
}

// trustedCluster returns the joined cluster with the name, or nil.
func (b *Broker) trustedCluster(name arn.ARN) *registry.Cluster {
	short, ok := strings.CutPrefix(name.Resource, "cluster/")
	if !ok || name.Service != "eks" {
		return nil
	}
	cluster, err := b.Registry.Cluster(name.Account, short)
	if err != nil || cluster.Status != registry.Active {
		return nil
	}
	return cluster
}

// present looks up again what the token was verified by, after the store's barrier: it may be gone or changed by now.
func (b *Broker) present(g *Grant, name arn.ARN) error {
	role, err := b.Directory.RoleByARN(name)
	if err == nil && g.Provider != nil {
		err = b.stillProvided(g)
	} else if err == nil {
		var cluster *registry.Cluster
		if cluster, err = b.Registry.ClusterByID(g.Cluster.ID); err == nil {
			g.Cluster = cluster
		}
	}
	if fault.Is(err, fault.NotFound) {
		return notAuthorized()
	}
	if err == nil {
		g.Role = role
	}
	return err
}

// grantWebIdentity asks the trust policy and mints. The session carries where the token is from, its node above all.
func (b *Broker) grantWebIdentity(ctx context.Context, g *Grant, in WebIdentity) error {
	if in.Duration > g.Role.MaxSession {
		return fault.New(fault.Invalid, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	now := b.now()
	s := &session.Session{
		Account: g.Role.Account, RoleID: g.Role.ID, RoleName: g.Role.Name, Name: in.SessionName, Issued: now, Expires: now.Add(in.Duration),
	}
	if err := takeClaims(s, g.Token); err != nil {
		return err
	}
	if err := b.decideWebIdentity(g, s, in); err != nil {
		return err
	}
	var err error
	if s.Policies, err = b.narrowed(g.Role.Account, in.Policies); err != nil {
		return err
	}
	if g.Cluster != nil {
		s.Origin = originOf(g, "", [32]byte{})
	}
	g.Session = s
	g.Credentials, err = b.mint(ctx, s)
	return err
}

// decideWebIdentity asks for each action that the session needs.
func (b *Broker) decideWebIdentity(g *Grant, s *session.Session, in WebIdentity) error {
	q := &policy.Question{
		Resource:  g.Role.ARN().String(),
		Principal: policy.Principal{Kind: policy.Federated, Names: []string{g.Federated()}},
		Context: slices.Concat(identityContext(g),
			(&Assumption{Context: in.Context, SourceIdentity: s.SourceIdentity}).conditions(g.Role, s, s.Issued)),
	}
	for _, q.Action = range actionsFor(s, "sts:AssumeRoleWithWebIdentity") {
		if g.Decision = policy.Evaluate(q, []*policy.Document{g.Role.Trust}); g.Decision.Effect != policy.Allow {
			return fault.New(fault.Denied, "Not authorized to perform %s", q.Action)
		}
	}
	return nil
}

func notAuthorized() error {
	return fault.New(fault.Denied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
}
