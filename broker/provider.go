package broker

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// verifyByProvider verifies the token by the keys of the OIDC provider that the role trusts for the issuer, if it is the
// token's issuer. Nothing is asked of anybody for a token that would be refused with any key.
func (b *Broker) verifyByProvider(ctx context.Context, g *Grant, issuer, token string) (missed bool, err error) {
	says, err := podtoken.ReadAddress(token)
	if err != nil {
		return false, err
	}
	if says.Issuer != "https://"+issuer {
		return false, errElsewhere
	}
	provider, err := b.Directory.OIDCProvider(g.Role.Account, issuer)
	if fault.Is(err, fault.NotFound) {
		return true, fault.New(fault.BadToken, "No OpenIDConnect provider found in your account for %s", says.Issuer)
	} else if err != nil {
		return false, err
	}
	// The audiences of pods and connectors stand in for no other.
	if slices.Contains(says.Audiences, registry.PodAudience) || slices.Contains(says.Audiences, registry.ConnectorAudience) {
		return false, badAudience()
	}
	cluster, err := b.keeper(provider)
	if err != nil {
		return true, err
	}
	g.Provider, g.Cluster, g.Token = provider, cluster, nil
	if cluster == nil {
		g.Token, err = b.verifyByIssuer(ctx, provider, token)
		return false, err
	}
	// Kubernetes has one audience a token, or more than may be.
	if !slices.Contains(provider.ClientIDs, says.Audiences[0]) {
		return false, badAudience()
	}
	t, err := b.verify(cluster, says.Audiences[0], token, b.now())
	if err != nil {
		return false, err
	}
	if t.Issuer != provider.URL() { // of those that the cluster has, this one is the provider's
		return false, fault.New(fault.BadToken, "No OpenIDConnect provider found in your account for %.255s", t.Issuer)
	}
	g.Token = t
	return false, nil
}

func badAudience() error { return fault.New(fault.BadToken, "Incorrect token audience") }

// keeper returns the cluster whose keys verify a provider's tokens: the one of the account with this issuer, or the one of
// these that the provider's tag names. nil: there is none, or the tag says that there is to be none, and the issuer is asked.
func (b *Broker) keeper(p *directory.OIDCProvider) (*registry.Cluster, error) {
	tag := p.Cluster()
	if tag == directory.NoCluster {
		return nil, nil
	}
	clusters := b.Registry.ClustersByIssuer(p.Account, p.URL())
	if tag != "" {
		for _, c := range clusters {
			if c.Name == tag {
				return c, nil
			}
		}
		return nil, noKey("the tag %s names %q, which is no cluster of this issuer", directory.ClusterTag, tag)
	}
	switch len(clusters) {
	case 0:
		return nil, nil
	case 1:
		return clusters[0], nil
	}
	return nil, noKey("%d clusters of the account have the issuer %s: the provider's tag %s has to name one", len(clusters), p.URL(), directory.ClusterTag)
}

// noKey is told in STS's words; what to do about it goes to the log.
func noKey(format string, args ...any) error {
	return fault.Hide(fault.BadToken, fault.New(fault.Invalid, format, args...),
		"Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
}

// verifyByIssuer verifies the token by what the issuer itself says that its keys are. A key that the list lacks makes it ask
// again, and only a list that was told after the question makes the token a bad one.
func (b *Broker) verifyByIssuer(ctx context.Context, p *directory.OIDCProvider, token string) (*podtoken.Token, error) {
	asked := b.now()
	// Without keys all is looked at but the signature.
	if _, err := b.Verifier.VerifyIdentity(podtoken.KeySet{Issuers: []string{p.URL()}}, p.ClientIDs, token, asked); !isUnknownKey(err) {
		return nil, err
	}
	var t *podtoken.Token
	for _, after := range []time.Time{{}, asked} {
		set, err := b.keysOf(ctx, p, after)
		if err != nil {
			return nil, err
		}
		if t, err = b.Verifier.VerifyIdentity(set, p.ClientIDs, token, b.now()); err == nil || !isUnknownKey(err) {
			return t, err
		}
	}
	return nil, noKey("the issuer has no key of the token's id")
}

// stillProvided looks the provider up again, and who has its keys.
func (b *Broker) stillProvided(g *Grant) error {
	provider, err := b.Directory.OIDCProvider(g.Provider.Account, g.Provider.Issuer)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.BadToken, "No OpenIDConnect provider found in your account for %s", g.Provider.URL())
	} else if err != nil {
		return err
	}
	cluster, err := b.keeper(provider)
	switch {
	case err != nil:
		return err
	case (cluster == nil) != (g.Cluster == nil) || cluster != nil && cluster.ID != g.Cluster.ID:
		return noKey("another has the provider's keys now")
	case !slices.Contains(provider.ClientIDs, g.Token.Audience):
		return badAudience()
	}
	g.Provider, g.Cluster = provider, cluster
	if cluster == nil || g.Token.Pod.UID == "" {
		return nil
	}
	if b.Registry.PodDeleted(cluster.ID, g.Token.Pod.UID) {
		return fault.New(fault.RejectedClaim, "The pod of the token is deleted.")
	}
	return b.living(g)
}

// identityContext is what a trust policy can ask about the token. Its keys begin with the issuer, or for a cluster that is
// trusted itself with our own name.
func identityContext(g *Grant) policy.Context {
	t, prefix := g.Token, "lanyard:"
	if g.Provider != nil {
		prefix = g.Provider.Issuer + ":"
	}
	ctx := make(policy.Context, 0, 8)
	add := func(key string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			ctx = append(ctx, policy.Entry{Key: key, Values: values})
		}
	}
	add(prefix+"sub", t.Subject)
	add(prefix+"aud", t.Audience)
	if id := t.Identity; id != nil {
		add(prefix+"amr", id.Methods...)
		add(prefix+"azp", id.AuthorizedParty)
		if id.AuthorizedParty != "" {
			add(prefix+"oaud", id.Audiences...)
		}
	}
	if g.Cluster != nil {
		add("lanyard:ClusterId", g.Cluster.ID)
	}
	add("aws:FederatedProvider", g.Federated())
	return ctx
}

var sourceIdentities = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// takeClaims gives a session the tags and the source identity that the token's issuer gave its holder.
func takeClaims(s *session.Session, t *podtoken.Token) error {
	if t.Identity == nil {
		return nil
	}
	if s.SourceIdentity = t.Identity.SourceIdentity; s.SourceIdentity != "" && !sourceIdentities.MatchString(s.SourceIdentity) {
		return fault.New(fault.BadToken, "The token's source identity %.100q: 2 to 64 characters of [\\w+=,.@-] are accepted", s.SourceIdentity)
	}
	for _, tag := range t.Identity.Tags {
		if err := directory.CheckTag(directory.Tag{Key: tag.Key, Value: tag.Value}); err != nil {
			return fault.New(fault.BadToken, "The token's tags: %w", err)
		}
		s.Tags = append(s.Tags, session.Tag{Key: tag.Key, Value: tag.Value, Transitive: tag.Transitive})
	}
	return checkSessionTags(s.Tags)
}
