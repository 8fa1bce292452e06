package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/store"
)

// Status is where a cluster stands: registered, or joined with issuers and keys.
type Status string

// The statuses, as EKS spells them.
const (
	Pending Status = "PENDING"
	Active  Status = "ACTIVE"
)

// Cluster is a registered Kubernetes cluster. A stored Cluster is never changed in place.
type Cluster struct {
	ID            string // 32 hex digits, never used again
	Account, Name string
	Region        string
	Status        Status
	Provider      string // EKS's connectorConfig.provider
	RoleARN       string // EKS's connectorConfig.roleArn: kept and answered, not used
	Endpoint      string // the API server's address, if it was told
	CA            string // PEM of the API server's CA, if it was told
	Issuers       []string
	Keys          []Key
	Generation    int64     // counts the changes of issuers and keys
	Confirmed     time.Time // when the key list was last told or confirmed
	Practice      bool      // made by `lanyard dev`, which holds its signing key: the list is always the newest
	NodeBinding   bool      // callers and pods must be on the same node
	Settings
	Tags         []directory.Tag
	Created      time.Time
	RequestToken string
	Activation   *Activation // nil once used

	keys podtoken.KeySet
}

// Settings are what operators set about a cluster's pods.
type Settings struct {
	S3Endpoint, STSEndpoint string        // what pods are told; "" is nothing
	CABundle                string        // PEM of who signed the endpoints' certificates; "" for those that everybody trusts
	MaxToken                time.Duration // a pod's token that lives longer is refused
}

// Key is a token-signing key of a cluster.
type Key struct {
	podtoken.Key
	Leaves time.Time // zero while the API server lists it; else when it stops being accepted
}

// Activation is the pair that a cluster joins with: an access key good for one operation.
type Activation struct {
	ID      string
	Secret  directory.Secret
	Expires time.Time
	Wrong   int // signatures with the id that were not of the secret
}

// maxClusters bounds what one account may take of the state; EKS's quota is 100.
const maxClusters = 1000

// How long things last.
const (
	activationLife = 72 * time.Hour
	keyLinger      = 24 * time.Hour // a key that is no longer listed may still have signed tokens that live
)

// ARN returns the cluster's name.
func (c *Cluster) ARN() arn.ARN { return arn.Cluster(c.Region, c.Account, c.Name) }

// AgentRole and ConnectorRole name the roles that belong to the cluster.
func (c *Cluster) AgentRole() string { return "lanyard-agent-" + c.ID }

// ConnectorRole names the role of the cluster's connector.
func (c *Cluster) ConnectorRole() string { return "lanyard-connector-" + c.ID }

// KeySet returns what verifies the cluster's tokens at the moment now.
func (c *Cluster) KeySet(now time.Time) podtoken.KeySet {
	gone := func(k Key) bool { return !k.Leaves.IsZero() && !now.Before(k.Leaves) }
	if !slices.ContainsFunc(c.Keys, gone) {
		return c.keys
	}
	set := c.keys
	set.Keys = nil
	for _, k := range c.Keys {
		if !gone(k) {
			set.Keys = append(set.Keys, k.Key)
		}
	}
	// What was verified while more keys were accepted does not count: keys only ever leave, so their number tells the
	// lists of one generation apart. Below zero, no other generation has the name.
	set.Generation = -(c.Generation<<32 + int64(len(set.Keys)))
	return set
}

// finished fills in what is derived, before a cluster is stored or served.
func (c *Cluster) finished() *Cluster {
	if c.MaxToken == 0 {
		c.MaxToken = DefaultMaxToken // of a record from before there was the field
	}
	c.keys = podtoken.KeySet{Cluster: c.ID, Generation: c.Generation, Issuers: c.Issuers}
	for _, k := range c.Keys {
		c.keys.Keys = append(c.keys.Keys, k.Key)
	}
	return c
}

// keyNames returns what no two clusters of an account may share: the keys themselves, whatever they are called.
func (c *Cluster) keyNames() []string {
	names := make([]string, len(c.Keys))
	for i, k := range c.Keys {
		names[i] = c.Account + "/" + k.Thumbprint()
	}
	return names
}

// Providers are the values that EKS accepts for connectorConfig.provider.
var Providers = []string{"EKS_ANYWHERE", "ANTHOS", "GKE", "AKS", "OPENSHIFT", "TANZU", "RANCHER", "EC2", "OTHER"}

func clusterKey(account, name string) string { return account + "/" + name }

// NewCluster is what RegisterCluster takes.
type NewCluster struct {
	Account, Name     string
	Provider, RoleARN string
	Tags              []directory.Tag
	RequestToken      string // a call repeated with it answers the same cluster
}

// RegisterCluster stores a cluster that waits for its activation, and makes its agent's and connector's roles.
func (r *Registry) RegisterCluster(ctx context.Context, in NewCluster) (*Cluster, error) {
	if !arn.IsClusterName(in.Name) {
		return nil, fault.New(fault.Invalid, "name %q: 1 to 100 characters that match ^[0-9A-Za-z][A-Za-z0-9\\-_]* are accepted", in.Name)
	}
	if !slices.Contains(Providers, in.Provider) {
		return nil, fault.New(fault.Invalid, "connectorConfig.provider %q: one of %s is accepted", in.Provider, strings.Join(Providers, ", "))
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkToken(in.RequestToken); err != nil {
		return nil, err
	}
	now := r.now()
	cluster := (&Cluster{
		ID: randomText(32, hexDigits), Account: in.Account, Name: in.Name, Region: r.region, Status: Pending,
		Provider: in.Provider, RoleARN: in.RoleARN, NodeBinding: true, Tags: in.Tags, Created: now, RequestToken: in.RequestToken,
		Activation: newActivation(now),
	}).finished()
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		former, taken, err := r.clusters.Read(tx, clusterKey(in.Account, in.Name))
		if err != nil {
			return err
		}
		if taken {
			if err := former.repeats(in); err != nil {
				return err
			}
			cluster = former
			return nil
		}
		if r.clusters.ReadCount(tx, in.Account+"/") >= maxClusters {
			return fault.New(fault.Limit, "The account has the maximum of %d clusters.", maxClusters)
		}
		for _, role := range clusterRoles(cluster) {
			if err := r.directory.PutClusterRole(tx, role); err != nil {
				return err
			}
		}
		return r.clusters.Put(tx, clusterKey(in.Account, in.Name), cluster)
	})
	if err != nil {
		return nil, err
	}
	return cluster, nil
}

// repeats refuses a call for a name that is taken, unless it is the one that took it, made again.
func (c *Cluster) repeats(in NewCluster) error {
	if in.RequestToken == "" || c.RequestToken != in.RequestToken {
		return fault.New(fault.Exists, "Cluster already exists with name: %s", in.Name)
	}
	if c.Provider != in.Provider || c.RoleARN != in.RoleARN || !slices.Equal(c.Tags, in.Tags) {
		return otherParameters(in.RequestToken, "cluster "+in.Name)
	}
	return nil
}

func newActivation(now time.Time) *Activation {
	return &Activation{
		ID: "ACTV" + randomText(16, upperAlnum), Secret: directory.Secret(randomText(40, mixedAlnum)), Expires: now.Add(activationLife),
	}
}

// Joining is what a cluster tells when it joins.
type Joining struct {
	Issuers      []string
	Keys         []podtoken.Key
	Endpoint, CA string
	Practice     bool
}

// ActivateCluster makes the cluster that waits with the activation id ACTIVE; the id is used up.
func (r *Registry) ActivateCluster(ctx context.Context, activation string, in Joining) (*Cluster, error) {
	return r.updateCluster(ctx, func(tx *store.Tx) (*Cluster, error) {
		found, err := r.clusterByActivation.Read(tx, activation)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fault.New(fault.Denied, "the activation id is used up")
		}
		c := *found[0]
		c.Activation, c.Status, c.Practice, c.Endpoint, c.CA = nil, Active, in.Practice, in.Endpoint, in.CA
		return &c, r.setKeys(tx, &c, in.Issuers, in.Keys)
	})
}

// PutClusterKeys tells the cluster's issuers and keys as its API server lists them now. A key that is no longer listed
// stays accepted for 24 hours.
func (r *Registry) PutClusterKeys(ctx context.Context, account, name string, issuers []string, keys []podtoken.Key) (*Cluster, error) {
	return r.updateCluster(ctx, func(tx *store.Tx) (*Cluster, error) {
		c, err := r.readCluster(tx, account, name)
		if err != nil {
			return nil, err
		}
		if c.Status != Active {
			return nil, fault.New(fault.BadState, "cluster %s is %s: keys are accepted once it is activated", name, c.Status)
		}
		return c, r.setKeys(tx, c, issuers, keys)
	})
}

// TagCluster adds tags and removes those with the keys.
func (r *Registry) TagCluster(ctx context.Context, account, name string, add []directory.Tag, remove []string) (*Cluster, error) {
	return r.updateCluster(ctx, func(tx *store.Tx) (*Cluster, error) {
		c, err := r.readCluster(tx, account, name)
		if err == nil {
			c.Tags, err = changeTags(c.Tags, add, remove)
		}
		return c, err
	})
}

// DeregisterCluster deletes a cluster with its roles, and with it everything that hangs on its id: associations are no
// longer found, sessions no longer honoured. It returns the cluster as it was.
func (r *Registry) DeregisterCluster(ctx context.Context, account, name string) (*Cluster, error) {
	var c *Cluster
	err := r.store.Update(ctx, func(tx *store.Tx) (err error) {
		if c, err = r.readCluster(tx, account, name); err != nil {
			return err
		}
		for _, role := range clusterRoles(c) {
			if err := r.directory.DeleteClusterRole(tx, account, role.Name); err != nil {
				return err
			}
		}
		return r.clusters.Delete(tx, clusterKey(account, name))
	})
	if err != nil {
		return nil, err
	}
	if err := r.sweepClusters(ctx, c.ID+"/"); err != nil {
		r.log.Warn("associations of a deregistered cluster are left for the next sweep", "cluster", c.ID, "error", err)
	}
	return c, nil
}

// Cluster returns the account's cluster with the name. Another account's cluster is NotFound.
func (r *Registry) Cluster(account, name string) (*Cluster, error) {
	c, ok, err := r.clusters.Get(clusterKey(account, name))
	if err == nil && !ok {
		err = noCluster(name)
	}
	return c, err
}

// ClusterByID returns the cluster with the immutable id.
func (r *Registry) ClusterByID(id string) (*Cluster, error) {
	found := r.clusterByID.Get(id)
	if len(found) == 0 {
		return nil, fault.New(fault.NotFound, "no cluster has the id %s", id)
	}
	return found[0], nil
}

// ClustersByIssuer returns the account's clusters that say that they are the issuer of a token, to the letter: an issuer is no
// identity, and half the world's clusters have the same.
func (r *Registry) ClustersByIssuer(account, issuer string) []*Cluster {
	return r.clusterByIssuer.Get(account + "/" + issuer)
}

// ClusterByActivation returns the cluster that waits with the activation id.
func (r *Registry) ClusterByActivation(id string) (*Cluster, error) {
	found := r.clusterByActivation.Get(id)
	if len(found) == 0 {
		return nil, fault.New(fault.NotFound, "no cluster waits with the activation id %q", id)
	}
	return found[0], nil
}

// Clusters returns the account's clusters after the name `after`, at most limit of them, by name.
func (r *Registry) Clusters(account, after string, limit int) ([]*Cluster, error) {
	if after != "" {
		after = clusterKey(account, after)
	}
	entries, err := r.clusters.List(account+"/", after, limit)
	if err != nil {
		return nil, err
	}
	clusters := make([]*Cluster, len(entries))
	for i, e := range entries {
		clusters[i] = e.Value
	}
	return clusters, nil
}

// readCluster reads a cluster that the caller may change: a copy.
func (r *Registry) readCluster(tx *store.Tx, account, name string) (*Cluster, error) {
	former, ok, err := r.clusters.Read(tx, clusterKey(account, name))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, noCluster(name)
	}
	c := *former
	return &c, nil
}

func (r *Registry) updateCluster(ctx context.Context, change func(*store.Tx) (*Cluster, error)) (*Cluster, error) {
	var c *Cluster
	err := r.store.Update(ctx, func(tx *store.Tx) (err error) {
		if c, err = change(tx); err != nil {
			return err
		}
		return r.clusters.Put(tx, clusterKey(c.Account, c.Name), c.finished())
	})
	return c, err
}

func noCluster(name string) error {
	return fault.New(fault.NotFound, "No cluster found for name: %s.", name)
}
