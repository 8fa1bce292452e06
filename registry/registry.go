// Package registry keeps what operators have told Lanyard about Kubernetes: clusters with their token issuers and keys,
// associations of service accounts with roles, and revocations. Its model is that of Amazon EKS
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_PodIdentityAssociation.html).
package registry

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/store"
)

// Registry is the only writer of clusters, associations and revocations.
type Registry struct {
	store           *store.Store
	directory       *directory.Directory
	region          string
	maxAssociations int
	now             func() time.Time
	log             *slog.Logger
	try             func(context.Context, *Association) error

	clusters     *store.Table[*Cluster]
	associations *store.Table[*Association]
	revocations  *store.Table[*Revocation]
	auditHeads   *store.Table[AuditHead]
	auditKeys    *store.Table[ed25519.PrivateKey]
	addons       *store.Table[*Addon]
	deleted      *store.Table[*DeletedPods]

	clusterByID         *store.Index[*Cluster]
	clusterByActivation *store.Index[*Cluster]
	clusterByKey        *store.Index[*Cluster]
	clusterByIssuer     *store.Index[*Cluster]
	associationByID     *store.Index[*Association]
	associationByToken  *store.Index[*Association]
	tiedTo              *store.Index[*Association]
	associationByOwner  *store.Index[*Association]
	deletedByUID        *store.Index[*DeletedPods]

	feed       *feed
	followers  *followers
	connectors *connectors
}

// Config is what a Registry needs besides the rooms below it.
type Config struct {
	Region          string           // the one region that things are named in
	MaxAssociations int              // for each cluster; 0: 5,000, as at EKS
	Now             func() time.Time // nil: time.Now
	Log             *slog.Logger     // nil: discarded

	// Try asks AWS whether the roles of an association of an AWS account may be assumed; nil: nobody is asked.
	Try func(context.Context, *Association) error
}

// New declares the registry's tables on a store that is open and not yet started.
func New(st *store.Store, dir *directory.Directory, cfg Config) *Registry {
	r := &Registry{store: st, directory: dir, region: cfg.Region, maxAssociations: cfg.MaxAssociations, now: cfg.Now, log: cfg.Log, try: cfg.Try}
	if r.maxAssociations == 0 {
		r.maxAssociations = 5000
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.clusters = store.NewTable(st, clusterTable, clusterCodec)
	r.associations = store.NewTable(st, "association", associationCodec)
	r.revocations = store.NewTable(st, revocationTable, revocationCodec)
	r.auditHeads = store.NewTable(st, "audithead", auditHeadCodec)
	r.auditKeys = store.NewTable(st, "auditkey", auditKeyCodec)
	r.addons = store.NewTable(st, "addon", addonCodec)
	r.deleted = store.NewTable(st, deletedTable, deletedCodec)
	r.clusterByID = store.NewIndex(r.clusters, func(_ string, c *Cluster) []string { return []string{c.ID} })
	r.clusterByActivation = store.NewIndex(r.clusters, func(_ string, c *Cluster) []string {
		if c.Activation == nil {
			return nil
		}
		return []string{c.Activation.ID}
	})
	r.clusterByKey = store.NewIndex(r.clusters, func(_ string, c *Cluster) []string { return c.keyNames() })
	r.clusterByIssuer = store.NewIndex(r.clusters, func(_ string, c *Cluster) []string {
		var names []string
		for _, issuer := range c.Issuers {
			if name := c.Account + "/" + issuer; !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return names
	})
	r.associationByID = store.NewIndex(r.associations, func(_ string, a *Association) []string { return []string{a.ID} })
	r.associationByToken = store.NewIndex(r.associations, func(_ string, a *Association) []string {
		if a.RequestToken == "" {
			return nil
		}
		return []string{a.ClusterID + "/" + a.RequestToken}
	})
	r.associationByOwner = store.NewIndex(r.associations, func(_ string, a *Association) []string {
		if a.Owner == "" {
			return nil
		}
		return []string{a.Owner}
	})
	r.deletedByUID = store.NewIndex(r.deleted, func(_ string, d *DeletedPods) []string {
		keys := make([]string, len(d.UIDs))
		for i, uid := range d.UIDs {
			keys[i] = d.ClusterID + "/" + uid
		}
		return keys
	})
	r.connectors = &connectors{started: r.now(), seen: map[string][]Connector{}}
	r.followers = newFollowers(r)
	r.feed = newFeed(r)
	r.share()
	return r
}

const (
	clusterTable    = "cluster"
	deletedTable    = "deletedpods"
	revocationTable = "revocation"
)

// Region returns the region that clusters and associations are named in.
func (r *Registry) Region() string { return r.region }

// Run removes what has outlived its use, until ctx is done: what belongs to clusters that are gone, and
// revocations and deleted pods older than every session.
func (r *Registry) Run(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Minute)
	defer ticker.Stop()
	for {
		if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("sweeping the registry", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sweep does once what Run does every ten minutes.
func (r *Registry) Sweep(ctx context.Context) error {
	r.connectors.forget(r.now())
	over := func(rev *Revocation) bool { return r.now().Sub(rev.Before) > keepRevocations }
	return errors.Join(r.sweepClusters(ctx, ""), deleteAll(ctx, r.store, r.revocations, "", over))
}

// sweepClusters removes what belongs to clusters that are gone, and deleted pods older than every session, under a prefix of keys,
// which begin with the cluster's id.
func (r *Registry) sweepClusters(ctx context.Context, prefix string) error {
	gone := func(id string) bool { return len(r.clusterByID.Get(id)) == 0 } // an id never comes back
	return errors.Join(
		deleteAll(ctx, r.store, r.associations, prefix, func(a *Association) bool { return gone(a.ClusterID) }),
		deleteAll(ctx, r.store, r.addons, prefix, func(a *Addon) bool { return gone(a.ClusterID) }),
		deleteAll(ctx, r.store, r.deleted, prefix, func(d *DeletedPods) bool {
			return gone(d.ClusterID) || r.now().Sub(d.At) > keepDeleted
		}),
	)
}

// sweepPage is how many records are looked at before writers have their turn.
const sweepPage = 1000

// deleteAll deletes the records under a prefix that are useless.
func deleteAll[T any](ctx context.Context, st *store.Store, table *store.Table[T], prefix string, useless func(T) bool) error {
	for after := ""; ; {
		entries, err := table.List(prefix, after, sweepPage)
		if err != nil {
			return err
		}
		var keys []string
		for _, e := range entries {
			if useless(e.Value) {
				keys = append(keys, e.Key)
			}
		}
		if err := deleteKeys(ctx, st, table, keys, useless); err != nil || len(entries) < sweepPage {
			return err
		}
		after = entries[len(entries)-1].Key
	}
}

// deleteKeys deletes records in transactions of a size that every etcd accepts. Each is asked about again in its transaction: a
// revocation may have been renewed meanwhile.
func deleteKeys[T any](ctx context.Context, st *store.Store, table *store.Table[T], keys []string, useless func(T) bool) error {
	for batch := range slices.Chunk(keys, 100) {
		err := st.Update(ctx, func(tx *store.Tx) error {
			for _, k := range batch {
				v, ok, err := table.Read(tx, k)
				if err != nil {
					return err
				}
				if ok && useless(v) {
					if err := table.Delete(tx, k); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// randomText returns n characters drawn evenly from the alphabet: bytes beyond a multiple of its length are drawn again.
func randomText(n int, alphabet string) string {
	out := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet)
	for buf := make([]byte, n); len(out) < n; {
		_, _ = rand.Read(buf) // never fails: crypto/rand ends the process instead
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

const (
	lowerAlnum = "abcdefghijklmnopqrstuvwxyz0123456789"
	upperAlnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	hexDigits  = "0123456789abcdef"
	mixedAlnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)
