package registry

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/store"
)

// Bounds of what a cluster may tell: an API server has a handful of each.
const (
	maxIssuers = 8
	maxKeys    = 32
	maxKept    = 2 * maxKeys // with those that linger: each push could bring others
)

// setKeys replaces a cluster's issuers and keys. Keys that left the list linger; a key that another cluster of the
// account has is refused, since a token signed with it could not be told apart.
func (r *Registry) setKeys(tx *store.Tx, c *Cluster, issuers []string, keys []podtoken.Key) error {
	if err := checkKeys(issuers, keys); err != nil {
		return err
	}
	r.clusters.ReadCount(tx, c.Account+"/") // guards the look below: of two clusters that bring one key at once, one is refused
	now := r.now()
	listed := make([]Key, len(keys))
	for i, k := range keys {
		listed[i] = Key{Key: k}
		owners, err := r.clusterByKey.Read(tx, c.Account+"/"+listed[i].Thumbprint())
		if err != nil {
			return err
		}
		for _, o := range owners {
			if o.ID != c.ID {
				return fault.New(fault.Exists, "key %q belongs to another cluster of the account", k.ID)
			}
		}
	}
	for _, former := range c.Keys {
		again := func(k Key) bool { return k.Thumbprint() == former.Thumbprint() || k.ID == former.ID }
		switch {
		case slices.ContainsFunc(listed, again):
			continue
		case former.Leaves.IsZero():
			former.Leaves = now.Add(keyLinger)
		case !now.Before(former.Leaves):
			continue
		}
		listed = append(listed, former)
	}
	if len(listed) > maxKept {
		return fault.New(fault.Limit, "keys: at most %d are kept, those of the last 24 hours included, got %d", maxKept, len(listed))
	}
	same := slices.Equal(c.Issuers, issuers) && slices.EqualFunc(c.Keys, listed, func(a, b Key) bool {
		return a.ID == b.ID && a.Thumbprint() == b.Thumbprint() && a.Leaves.Equal(b.Leaves)
	})
	c.Issuers, c.Keys, c.Confirmed = issuers, listed, now
	if !same { // a list that is only confirmed takes nothing from those who verified with it
		c.Generation++
	}
	return nil
}

func checkKeys(issuers []string, keys []podtoken.Key) error {
	if len(issuers) < 1 || len(issuers) > maxIssuers {
		return fault.New(fault.Invalid, "issuers: 1 to %d are accepted, got %d", maxIssuers, len(issuers))
	}
	for _, issuer := range issuers {
		if u, err := url.Parse(issuer); err != nil || len(issuer) > 255 || u.Scheme == "" || u.Host == "" {
			return fault.New(fault.Invalid, "issuer %q: a URL of at most 255 characters is accepted", issuer)
		}
	}
	if len(keys) < 1 || len(keys) > maxKeys {
		return fault.New(fault.Invalid, "keys: 1 to %d are accepted, got %d", maxKeys, len(keys))
	}
	return nil
}

// clusterRoles returns the roles that a cluster brings: its agent's and its connector's. Each pins the cluster by its
// immutable id, the service account and the audience, for half the world's clusters have the same issuer.
func clusterRoles(c *Cluster) []directory.ClusterRole {
	role := func(name, subject, audience string, actions ...string) directory.ClusterRole {
		return directory.ClusterRole{
			Account: c.Account, Name: name, Cluster: c.ID,
			Trust: document(map[string]any{
				"Effect":    "Allow",
				"Principal": map[string]any{"Federated": c.ARN().String()},
				"Action":    "sts:AssumeRoleWithWebIdentity",
				"Condition": map[string]any{"StringEquals": map[string]any{
					"lanyard:ClusterId": c.ID, "lanyard:sub": subject, "lanyard:aud": audience,
				}},
			}),
			Permissions: document(map[string]any{"Effect": "Allow", "Action": actions, "Resource": c.ARN().String()}),
		}
	}
	return []directory.ClusterRole{
		role(c.AgentRole(), AgentSubject, AgentAudience, "eks-auth:AssumeRoleForPodIdentity", "lanyard:WatchInvalidations"),
		role(c.ConnectorRole(), ConnectorSubject, ConnectorAudience,
			"lanyard:PutClusterKeys", "lanyard:WatchConnector", "lanyard:ReportConnector", "lanyard:ReportDeletedPods",
			"lanyard:ReportServiceAccounts"),
	}
}

// Who the agent and the connector are in every cluster, and the audiences of their tokens. Audiences never stand in for
// each other.
const (
	AgentSubject      = "system:serviceaccount:kube-system:eks-pod-identity-agent"
	AgentAudience     = "sts.amazonaws.com"
	ConnectorSubject  = "system:serviceaccount:lanyard-system:lanyard-connector"
	ConnectorAudience = "lanyard.dev/connector"
	PodAudience       = "pods.eks.amazonaws.com"
)

func document(statement map[string]any) string {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{statement}})
	if err != nil {
		panic(err) // strings in maps: always JSON
	}
	return string(text)
}

// Thumbprint tells keys apart by what they are, not by what they are called: the SHA-256 of the public key in hex.
func (k Key) Thumbprint() string {
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return "kid:" + k.ID // a kind of key that podtoken does not accept
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
