package broker

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
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
}

var sessionNames = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// ForWebIdentity answers credentials of a role to who holds a service-account token. The role comes first: its trust
// policy names clusters, and only their keys may verify the token, since half the world's clusters have the same issuer.
// Errors: Invalid, Denied (also for a role that does not exist), BadToken, ExpiredToken, Unavailable.
func (b *Broker) ForWebIdentity(ctx context.Context, in WebIdentity) (*Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
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
	if g.Stale, err = b.catchUp(ctx); err != nil {
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

// identify verifies the token. That the role or a cluster that it trusts is not there is said only by a copy that is up to
// date. A hit costs no barrier before the token is verified, for the caller is nobody yet.
func (b *Broker) identify(ctx context.Context, g *Grant, role arn.ARN, token string) error {
	missed, err := b.verifyWebIdentity(g, role, token)
	if err == nil || !missed {
		return err
	}
	stale, late := b.catchUp(ctx)
	if late != nil {
		return late
	}
	if missed, err = b.verifyWebIdentity(g, role, token); err != nil && missed && stale {
		err = notKnown(err)
	}
	return err
}

// verifyWebIdentity tries the token against each cluster that the role's trust policy names; normally that is one. If one
// of them cannot know yet, the answer is not known, whatever the others say. Nobody waits for keys here: the caller is
// nobody yet. After an error, missed says that the role was not there, or a principal of its trust policy no cluster here.
func (b *Broker) verifyWebIdentity(g *Grant, name arn.ARN, token string) (missed bool, err error) {
	if g.Role, err = b.Directory.RoleByARN(name); err != nil {
		if fault.Is(err, fault.NotFound) {
			return true, notAuthorized()
		}
		return false, err
	}
	refusal := notAuthorized()
	for _, provider := range g.Role.Trust.Principals() {
		cluster := b.trustedCluster(g.Role, provider)
		if cluster == nil {
			missed = true
			continue
		}
		audience := registry.AgentAudience
		if g.Role.Name == cluster.ConnectorRole() {
			audience = registry.ConnectorAudience
		}
		g.Cluster = cluster
		if g.Token, err = b.verify(cluster, audience, token, b.now()); err == nil {
			return false, nil
		}
		if !fault.Is(refusal, fault.Unavailable) {
			refusal = err
		}
	}
	return missed, refusal
}

// trustedCluster returns the joined cluster of the role's account that a principal of its trust policy names, or nil.
func (b *Broker) trustedCluster(role *directory.Role, provider string) *registry.Cluster {
	name, err := arn.Parse(provider)
	if err != nil || name.Service != "eks" || name.Account != role.Account {
		return nil
	}
	short, ok := strings.CutPrefix(name.Resource, "cluster/")
	if !ok {
		return nil
	}
	cluster, err := b.Registry.Cluster(name.Account, short)
	if err != nil || cluster.Status != registry.Active {
		return nil
	}
	return cluster
}

// present looks the role and the token's cluster up again, after the store's barrier: they may be gone or changed by now.
func (b *Broker) present(g *Grant, name arn.ARN) error {
	role, err := b.Directory.RoleByARN(name)
	if err == nil {
		var cluster *registry.Cluster
		if cluster, err = b.Registry.ClusterByID(g.Cluster.ID); err == nil {
			g.Role, g.Cluster = role, cluster
			return nil
		}
	}
	if fault.Is(err, fault.NotFound) {
		return notAuthorized()
	}
	return err
}

// grantWebIdentity asks the trust policy and mints. The session carries where the token is from, its node above all.
func (b *Broker) grantWebIdentity(ctx context.Context, g *Grant, in WebIdentity) error {
	if in.Duration > g.Role.MaxSession {
		return fault.New(fault.Invalid, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	provider := g.Cluster.ARN().String()
	g.Decision = policy.Evaluate(&policy.Question{
		Action:    "sts:AssumeRoleWithWebIdentity",
		Resource:  g.Role.ARN().String(),
		Principal: policy.Principal{Kind: policy.Federated, Names: []string{provider}},
		Context: append(policy.Context{
			{Key: "lanyard:ClusterId", Values: []string{g.Cluster.ID}},
			{Key: "lanyard:sub", Values: []string{g.Token.Subject}},
			{Key: "lanyard:aud", Values: []string{g.Token.Audience}},
			{Key: "aws:FederatedProvider", Values: []string{provider}},
			{Key: "sts:RoleSessionName", Values: []string{in.SessionName}},
		}, policy.Clock(b.now())...),
	}, []*policy.Document{g.Role.Trust})
	if g.Decision.Effect != policy.Allow {
		return notAuthorized()
	}
	policies, err := b.narrowed(g.Role, in.Policies)
	if err != nil {
		return err
	}
	now := b.now()
	g.Session = &session.Session{
		Account: g.Role.Account, RoleID: g.Role.ID, RoleName: g.Role.Name, Name: in.SessionName, Policies: policies,
		Issued: now, Expires: now.Add(in.Duration),
		Origin: &session.Origin{
			Cluster: g.Cluster.ID, Namespace: g.Token.Namespace, ServiceAccount: g.Token.ServiceAccount,
			PodName: g.Token.Pod.Name, PodUID: g.Token.Pod.UID, NodeName: g.Token.Node.Name, NodeUID: g.Token.Node.UID,
		},
	}
	g.Credentials, err = b.mint(ctx, g.Session)
	return err
}

func notAuthorized() error {
	return fault.New(fault.Denied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
}
