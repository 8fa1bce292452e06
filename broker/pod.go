package broker

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// PodSession is how long a pod's session lasts, whatever the role's own limit, as at EKS.
const PodSession = 6 * time.Hour

// Grant is what a token or a signature led to. After a refusal it holds what was known by then, for the audit; Token is nil
// until the token was verified, and for who signed.
type Grant struct {
	Cluster     *registry.Cluster       // whose key the token is signed with; nil for that of another issuer
	Provider    *directory.OIDCProvider // that the role trusts; nil: it trusts the cluster
	Token       *podtoken.Token
	Association *registry.Association
	Role        *directory.Role      // the association's first, where that has two
	Target      *directory.Role      // the association's second, which the first has become; nil: none
	First       *directory.Principal // the first role's session, on the way to the second role; nil: none
	Decision    policy.Decision      // of the trust policy that was asked last
	Own         *policy.Decision     // of the caller's own policies, where they were asked last
	Session     *session.Session
	Credentials session.Credentials
	Hops        []Hop // the roles on the way, where AWS's STS made the session; else none
	Kept        bool  // such a session was made for an earlier question of the same pod
	Stale       bool  // the answer comes from a copy that could not be brought up to date
}

// ForPod answers the credentials that the pod behind the token may have. The caller is the node's agent and was allowed
// to ask for this cluster. Errors: NotFound for the cluster or association, BadToken, ExpiredToken, BadState for a cluster
// that has not joined, Denied by node binding or the role's trust policy, Unavailable when the answer cannot be known now.
func (b *Broker) ForPod(ctx context.Context, caller *directory.Principal, cluster, token string) (*Grant, error) {
	limited := &within{Context: ctx, at: time.Now().Add(callDeadline)}
	defer limited.stop()
	ctx = limited
	g := &Grant{}
	var err error
	if g.Cluster, err = b.joined(ctx, caller.Account, cluster); err != nil {
		return g, err
	}
	if g.Token, err = b.await(ctx, g.Cluster, registry.PodAudience, token); err != nil {
		return g, err
	}
	if g.Stale, err = b.catchUp(ctx); err != nil {
		return g, err
	}
	var from issuer
	if from, err = b.associate(g, caller); err == nil {
		err = from.issue(ctx, g)
	}
	if err != nil && g.Stale {
		return g, notKnown(err)
	}
	if err != nil {
		_, backed := from.(awsBacked)
		b.tellRefusal(g, err, backed)
	}
	return g, err
}

// tellRefusal has the people of a pod see why it gets nothing: its cluster's connector makes an Event of it. What may pass is
// no refusal; but that AWS's STS is away passes when others see to it, and nobody else tells those who wait.
func (b *Broker) tellRefusal(g *Grant, err error, backed bool) {
	switch fault.Of(err) {
	case fault.Unavailable, fault.Throttled:
		if !backed {
			return
		}
	case fault.Internal:
		return
	}
	t := g.Token
	b.Registry.TellRefusal(g.Cluster.ID, registry.RefusedPod{Namespace: t.Namespace, Name: t.Pod.Name, UID: t.Pod.UID, Reason: fault.Message(err)})
}

// joined returns the caller's cluster. That there is none, or that it has not joined, is said only by a copy that is up to
// date: AWS's agent throws good credentials away when a cluster is not found.
func (b *Broker) joined(ctx context.Context, account, name string) (*registry.Cluster, error) {
	if c, err := b.Registry.Cluster(account, name); err == nil && c.Status == registry.Active {
		return c, nil
	}
	stale, err := b.catchUp(ctx)
	if err != nil {
		return nil, err
	}
	c, err := b.Registry.Cluster(account, name)
	if err == nil && c.Status != registry.Active {
		err = fault.New(fault.BadState, "Cluster %s is %s: it has to join before its pods get credentials.", name, c.Status)
	}
	if err != nil && stale {
		err = notKnown(err)
	}
	return c, err
}

// bound refuses tokens that are not bound to a pod, and with node binding those of another node than the caller's.
func bound(caller *directory.Principal, cluster *registry.Cluster, t *podtoken.Token) error {
	if t.Pod.UID == "" {
		return fault.New(fault.BadToken, "The token is not bound to a pod.")
	}
	if !cluster.NodeBinding {
		return nil
	}
	if caller.Session == nil || caller.Session.Origin == nil || caller.Session.Origin.NodeUID == "" {
		return fault.New(fault.Denied, "Node binding: the caller %s has no node identity; only the agent on the pod's node may ask.", caller.ARN)
	}
	o := caller.Session.Origin
	switch {
	case t.Node.UID == "":
		return fault.New(fault.Denied, "Node binding: the token of pod %s/%s names no node.", t.Namespace, t.Pod.Name)
	case o.Cluster != cluster.ID:
		return fault.New(fault.Denied, "Node binding: the caller's node is of another cluster.")
	case o.NodeUID != t.Node.UID:
		return fault.New(fault.Denied, "Node binding: the token is of node %s, the caller is on node %s.", t.Node.Name, o.NodeName)
	}
	return nil
}

// associate finds the token's association and its roles, after the store's barrier: nothing acknowledged before the
// question is missed. The cluster is looked up again, for it may be gone by now, or bound to its nodes. It returns who
// issues for the cluster's account.
func (b *Broker) associate(g *Grant, caller *directory.Principal) (issuer, error) {
	present, err := b.Registry.ClusterByID(g.Cluster.ID)
	if err != nil {
		return nil, err
	}
	g.Cluster = present
	if err := bound(caller, g.Cluster, g.Token); err != nil {
		return nil, err
	}
	if err := b.living(g); err != nil {
		return nil, err
	}
	if g.Association, err = b.Registry.Association(g.Cluster.ID, g.Token.Namespace, g.Token.ServiceAccount); err != nil {
		return nil, err
	}
	from, err := b.issuer(g.Association.Account)
	if err != nil {
		return nil, err
	}
	return from, from.roles(g)
}

// living refuses the tokens of pods that are deleted, and those that live longer than it is remembered which are.
func (b *Broker) living(g *Grant) error {
	if lives := g.Token.Expires.Sub(g.Token.Issued); lives > g.Cluster.MaxToken {
		return fault.New(fault.BadToken, "The token lives for %s: the cluster accepts at most %s.", lives, g.Cluster.MaxToken)
	}
	if b.Registry.PodDeleted(g.Cluster.ID, g.Token.Pod.UID) {
		return fault.New(fault.BadToken, "The pod of the token is deleted.")
	}
	return nil
}

// grantPod asks the trust policy of the association's role and mints.
func (b *Broker) grantPod(ctx context.Context, g *Grant) error {
	name, a := sessionName(g.Cluster.Name, g.Token.Pod.Name), g.Association
	cluster := g.Cluster.ARN().String()
	actions := []string{"sts:AssumeRole", "sts:TagSession"}
	var tags []session.Tag
	if a.DisableTags {
		actions = actions[:1]
	} else {
		tags = podTags(g.Cluster.Name, cluster, g.Token)
	}
	question := policy.Question{
		Resource:  g.Role.ARN().String(),
		Principal: policy.Principal{Kind: policy.Service, Names: []string{registry.Service}},
		Context:   append(podContext(g.Cluster.Account, cluster, name, tags), policy.Clock(b.now())...),
	}
	trust := []*policy.Document{g.Role.Trust}
	for _, question.Action = range actions {
		g.Decision = policy.Evaluate(&question, trust)
		if g.Decision.Effect != policy.Allow {
			return unauthorized()
		}
	}
	now, target := b.now(), ""
	var policies []string
	switch {
	case g.Target != nil:
		target = g.Target.ID
	case a.Policy != "":
		policies = []string{a.Policy}
	}
	g.Session = &session.Session{
		Account: g.Role.Account, RoleID: g.Role.ID, RoleName: g.Role.Name, Name: name, Tags: tags, Policies: policies,
		Issued: now, Expires: now.Add(PodSession),
		Origin: originOf(g, a.ID, session.Digest(g.Role.ID, target, a.Policy, a.DisableTags)),
	}
	var err error
	g.Credentials, err = b.mint(ctx, g.Session)
	return err
}

// passOn lets the session of the association's role become the target role, as if the pod had asked for that itself. The
// pod gets only what comes of it; the association's policy narrows that and not the way to it, as at EKS.
func (b *Broker) passOn(ctx context.Context, g *Grant) error {
	name := g.Session.Name
	var err error
	if g.First, err = b.Directory.SessionPrincipal(g.Role, g.Session); err != nil {
		return err
	}
	g.Session, g.Credentials = nil, session.Credentials{}
	made, err := b.assume(g, g.First, g.Target, b.passing(g.Association, name))
	if fault.Is(err, fault.Denied) {
		return unauthorized()
	}
	if err != nil {
		return err
	}
	g.Session = made
	g.Credentials, err = b.mint(ctx, g.Session)
	return err
}

// passing is what the association's role asks for the target role.
func (b *Broker) passing(a *registry.Association, name string) *Assumption {
	return &Assumption{
		SessionName: name, ExternalID: a.ExternalID(), Policies: Narrowing{Policy: a.Policy},
		Context: policy.Context{
			{Key: "aws:RequestedRegion", Values: []string{b.Registry.Region()}},
			{Key: "aws:SecureTransport", Values: []string{"true"}}, // it never leaves the process
		},
	}
}

func unauthorized() error {
	return fault.New(fault.Denied, "Unauthorized Exception! EKS does not have permissions to assume the associated role.")
}

// originOf says where a session comes from that a token gives; without an association it is an agent's or a connector's.
func originOf(g *Grant, association string, digest [32]byte) *session.Origin {
	t := g.Token
	return &session.Origin{
		Cluster: g.Cluster.ID, Namespace: t.Namespace, ServiceAccount: t.ServiceAccount,
		PodName: t.Pod.Name, PodUID: t.Pod.UID, NodeName: t.Node.Name, NodeUID: t.Node.UID,
		Association: association, Digest: digest,
	}
}

// podTags are the six session tags that EKS sends, in its order, all transitive.
func podTags(name, clusterARN string, t *podtoken.Token) []session.Tag {
	return []session.Tag{
		{Key: "eks-cluster-arn", Value: clusterARN, Transitive: true},
		{Key: "eks-cluster-name", Value: name, Transitive: true},
		{Key: "kubernetes-namespace", Value: t.Namespace, Transitive: true},
		{Key: "kubernetes-service-account", Value: t.ServiceAccount, Transitive: true},
		{Key: "kubernetes-pod-name", Value: t.Pod.Name, Transitive: true},
		{Key: "kubernetes-pod-uid", Value: t.Pod.UID, Transitive: true},
	}
}

var isService, serviceName = []string{"true"}, []string{registry.Service}

// podContext is what a trust policy can ask about a pod's request.
func podContext(account, clusterARN, name string, tags []session.Tag) policy.Context {
	return append(appendTags(make(policy.Context, 0, len(tags)+8), tags),
		policy.Entry{Key: "aws:PrincipalIsAWSService", Values: isService},
		policy.Entry{Key: "aws:PrincipalServiceName", Values: serviceName},
		policy.Entry{Key: "aws:SourceAccount", Values: []string{account}},
		policy.Entry{Key: "aws:SourceArn", Values: []string{clusterARN}},
		policy.Entry{Key: "sts:RoleSessionName", Values: []string{name}},
	)
}

// sessionName has the form that EKS gives: eks-CLUSTER-POD-UUID with ten characters of each name, at most 64 in all.
func sessionName(cluster, pod string) string {
	return "eks-" + cluster[:min(10, len(cluster))] + "-" + pod[:min(10, len(pod))] + "-" + uuid.NewString()
}

func isUnknownKey(err error) bool { return errors.Is(err, podtoken.ErrUnknownKey) }
