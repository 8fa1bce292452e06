package registry

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

const (
	// pendingBatches is how far a watcher may be behind before it is cut off. What it was not told it asks for when it
	// comes again.
	pendingBatches = 64
	// maxInvalidations is how many a batch names; of more it says only that all are to be asked about again.
	maxInvalidations = 500
	// watchersPerCaller leaves room for an agent that takes another's place and for connections that are dead and not
	// known to be. A further one takes the place of the oldest.
	watchersPerCaller = 4
	maxWatchers       = 50_000
)

// Invalidation says which credentials of a cluster's pods are not to be handed out again: those that a revocation of the
// same target would end, without the cluster's id or the account in front of the value.
type Invalidation struct {
	Kind  TargetKind
	Value string // a session's access key id, a role's id, an association's id, NODE, NAMESPACE/NAME; empty for ByCluster
}

// Batch is what the store's revisions up to Revision have ended. With Recheck it is not known what: everything held is to
// be asked about again. One that a Watcher has brought is resolved before it is read.
type Batch struct {
	Position
	Recheck       bool
	Invalidations []Invalidation

	once     sync.Once // for Resolve
	registry *Registry
	cluster  string
	roles    []roleEvent
}

// Position is a place in the history of the records. Revisions of different epochs say nothing about each other.
type Position struct {
	Epoch    string
	Revision int64
}

// Watch asks for the invalidations of a cluster.
type Watch struct {
	Cluster *Cluster
	Caller  string   // whom the watcher counts for
	After   Position // what is known already; zero: nothing

	// The ids of the associations and roles that something is held of.
	Associations, Roles []string
}

// Watcher gets the invalidations of one cluster. Close it when it is of no use any more.
type Watcher struct {
	// Batches is closed when the watcher is cut off: it was too slow, another took its place, or the history is another.
	Batches <-chan *Batch

	feed            *feed
	cluster, caller string
	batches         chan *Batch
}

// feed hands what the store tells to the watchers. What it does under the store's lock is in proportion to the watchers
// of the clusters that a change concerns.
type feed struct {
	mu       sync.Mutex
	epoch    string
	count    int
	clusters map[string]*watched       // by cluster id
	callers  map[string][]*Watcher     // the oldest first
	pending  map[string][]Invalidation // by cluster id, of the revision that is not complete
	roles    []roleEvent               // of that revision, for every cluster
	registry *Registry
}

// watched is a cluster that somebody watches.
type watched struct {
	account  string
	watchers map[*Watcher]bool
}

// newFeed subscribes to all that can end credentials. Under the store's lock nothing may be looked up, so each record has
// to tell by itself which cluster it concerns.
func newFeed(r *Registry) *feed {
	f := &feed{clusters: map[string]*watched{}, callers: map[string][]*Watcher{}, pending: map[string][]Invalidation{}, registry: r}
	store.Subscribe(r.associations, func(c store.Change[*Association]) {
		if c.Was && c.Is && sameSessions(c.Before, c.After) {
			return
		}
		cluster, subject, _ := strings.Cut(c.Key, "/")
		f.add(cluster, Invalidation{ByServiceAccount, subject})
	})
	store.Subscribe(r.clusters, func(c store.Change[*Cluster]) {
		if c.Was && (!c.Is || c.After.ID != c.Before.ID) {
			f.add(c.Before.ID, Invalidation{Kind: ByCluster})
		}
	})
	store.Subscribe(r.revocations, func(c store.Change[*Revocation]) {
		if !c.Is {
			return
		}
		if cluster, i := c.After.invalidation(); cluster != "" {
			f.add(cluster, i)
		} else {
			f.addAccount(c.After.Account, i)
		}
		if c.After.Target.Kind == ByRole {
			f.addRole(revokedRole(c.After.Target.Value))
		}
	})
	store.Subscribe(r.deleted, func(c store.Change[*DeletedPods]) {
		if !c.Is {
			return
		}
		for _, uid := range c.After.UIDs {
			f.add(c.After.ClusterID, Invalidation{ByPodUID, uid})
		}
	})
	f.subscribeRoles(r.directory)
	r.store.SubscribeRevisions(f.reached)
	return f
}

// sameSessions reports whether a pod gets the same session by both: all but tags and times counts.
func sameSessions(a, b *Association) bool {
	x, y := *a, *b
	x.Tags, y.Tags, x.Modified, y.Modified = nil, nil, time.Time{}, time.Time{}
	x.Owner, y.Owner = "", ""
	return reflect.DeepEqual(x, y)
}

// invalidation returns what a revocation ends, and in which cluster; "" is all clusters of its account.
func (rev *Revocation) invalidation() (cluster string, i Invalidation) {
	i = Invalidation{rev.Target.Kind, rev.Target.Value}
	switch i.Kind {
	case ByRole:
	case BySession:
		_, i.Value, _ = strings.Cut(i.Value, "/")
	default:
		cluster, i.Value, _ = strings.Cut(i.Value, "/")
	}
	return cluster, i
}

func (f *feed) add(cluster string, i Invalidation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clusters[cluster] != nil {
		f.note(cluster, i)
	}
}

func (f *feed) addAccount(account string, i Invalidation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for cluster, w := range f.clusters {
		if w.account == account {
			f.note(cluster, i)
		}
	}
}

// note keeps one more than a batch may name, which tells that there were too many.
func (f *feed) note(cluster string, i Invalidation) {
	if len(f.pending[cluster]) <= maxInvalidations {
		f.pending[cluster] = append(f.pending[cluster], i)
	}
}

// reached hands out what the revisions up to this one have brought.
func (f *feed) reached(epoch string, revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch != f.epoch {
		f.epoch = epoch
		for _, cluster := range f.clusters {
			for w := range cluster.watchers {
				f.cut(w)
			}
		}
	}
	if len(f.pending)+len(f.roles) == 0 {
		return
	}
	for id, cluster := range f.clusters {
		list := f.pending[id]
		if len(list)+len(f.roles) == 0 {
			continue
		}
		b := newBatch(Position{epoch, revision}, list)
		b.registry, b.cluster, b.roles = f.registry, id, f.roles
		b.Recheck = b.Recheck || len(f.roles) > maxInvalidations
		for w := range cluster.watchers {
			select {
			case w.batches <- b:
			default:
				f.cut(w)
			}
		}
	}
	clear(f.pending)
	f.roles = nil // batches have it
}

func newBatch(at Position, list []Invalidation) *Batch {
	if len(list) > maxInvalidations {
		return &Batch{Position: at, Recheck: true}
	}
	return &Batch{Position: at, Invalidations: list}
}

func (f *feed) open(w *Watcher, account string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if own := f.callers[w.caller]; len(own) >= watchersPerCaller {
		f.cut(own[0])
	}
	if f.count >= maxWatchers {
		return fault.New(fault.Throttled, "Too many watchers at once; try again.")
	}
	if f.clusters[w.cluster] == nil {
		f.clusters[w.cluster] = &watched{account: account, watchers: map[*Watcher]bool{}}
	}
	f.clusters[w.cluster].watchers[w] = true
	f.callers[w.caller] = append(f.callers[w.caller], w)
	f.count++
	return nil
}

// cut ends a watcher; under the lock. Done again it changes nothing.
func (f *feed) cut(w *Watcher) {
	cluster := f.clusters[w.cluster]
	if cluster == nil || !cluster.watchers[w] {
		return
	}
	close(w.batches)
	f.count--
	if delete(cluster.watchers, w); len(cluster.watchers) == 0 {
		delete(f.clusters, w.cluster)
	}
	others := slices.DeleteFunc(f.callers[w.caller], func(other *Watcher) bool { return other == w })
	if f.callers[w.caller] = others; len(others) == 0 {
		delete(f.callers, w.caller)
	}
}

// Close ends the watcher. Batches is closed then.
func (w *Watcher) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	w.feed.cut(w)
}

// catchUpTime bounds the wait of a watcher that has seen more, at another replica, than this one has.
const catchUpTime = 500 * time.Millisecond

// Watch follows a cluster's invalidations. The first batch has what happened since the position that the watcher names:
// what is there is found by its revision, and what is not by the ids that the watcher holds something of. So nothing needs
// to be remembered for watchers that are away, and any replica answers.
func (r *Registry) Watch(ctx context.Context, in Watch) (*Watcher, *Batch, error) {
	if after := in.After; after.Epoch == r.store.Epoch() && after.Revision > r.store.Revision() {
		ctx, cancel := context.WithTimeout(ctx, catchUpTime)
		defer cancel()
		if err := r.store.WaitRevision(ctx, after.Revision); err != nil {
			return nil, nil, err
		}
	}
	w := &Watcher{feed: r.feed, cluster: in.Cluster.ID, caller: in.Caller, batches: make(chan *Batch, pendingBatches)}
	w.Batches = w.batches
	if err := r.feed.open(w, in.Cluster.Account); err != nil {
		return nil, nil, err
	}
	// From here on the watcher is told what comes; the look below may see some of that too, which does no harm.
	first, err := r.since(in)
	if err != nil {
		w.Close()
		return nil, nil, err
	}
	return w, first, nil
}

// Position is how far watchers have been told: whoever finds Batches empty after asking has missed nothing up to it.
func (r *Registry) Position() Position { return Position{r.store.Epoch(), r.store.Revision()} }

func (r *Registry) since(in Watch) (*Batch, error) {
	now := r.Position()
	if in.After.Epoch != now.Epoch {
		return &Batch{Position: now, Recheck: true}, nil
	}
	changed, all, err := r.associations.Since(in.Cluster.ID+"/", in.After.Revision, maxInvalidations)
	if err != nil {
		return nil, err
	}
	revoked, allToo, err := r.revocations.Since("", in.After.Revision, maxInvalidations)
	if err != nil {
		return nil, err
	}
	deleted, allDeleted, err := r.deleted.Since(in.Cluster.ID+"/", in.After.Revision, maxInvalidations)
	if err != nil {
		return nil, err
	}
	if !all || !allToo || !allDeleted {
		return &Batch{Position: now, Recheck: true}, nil
	}
	var list []Invalidation
	for _, e := range changed {
		list = append(list, Invalidation{ByServiceAccount, e.Value.Namespace + "/" + e.Value.ServiceAccount})
	}
	for _, e := range deleted {
		for _, uid := range e.Value.UIDs {
			list = append(list, Invalidation{ByPodUID, uid})
		}
	}
	var roles []roleEvent
	for _, e := range revoked {
		cluster, i := e.Value.invalidation()
		if i.Kind == ByRole {
			roles = append(roles, revokedRole(i.Value))
		}
		if cluster == in.Cluster.ID || cluster == "" && e.Value.Account == in.Cluster.Account {
			list = append(list, i)
		}
	}
	for _, id := range in.Associations {
		if found := r.associationByID.Get(id); len(found) == 0 || found[0].ClusterID != in.Cluster.ID {
			list = append(list, Invalidation{ByAssociation, id})
		}
	}
	backing, err := r.directory.Backing(in.Cluster.Account)
	if err != nil {
		return nil, err
	}
	for _, id := range in.Roles {
		if backing != nil {
			break // they are AWS's
		}
		switch _, err := r.directory.RoleByID(id); {
		case fault.Is(err, fault.NotFound):
			list = append(list, Invalidation{ByRole, id})
		case err != nil:
			return nil, err
		}
	}
	through, all, err := r.sinceRoles(in, roles)
	if err != nil {
		return nil, err
	}
	if !all {
		return &Batch{Position: now, Recheck: true}, nil
	}
	return newBatch(now, append(list, through...)), nil
}
