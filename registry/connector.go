package registry

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/store"
)

const (
	// connectorsPerCluster is for two replicas, those that take their place, and connections that are dead and not known to be.
	connectorsPerCluster = 8
	// maxRemoved is how many removals a follower is told by name; after more it is told everything anew.
	maxRemoved = 1000
	// recheckPause is the least time between two questions for a cluster's keys.
	recheckPause = 5 * time.Second
)

// ConnectorChange is what a connector has to know of its cluster: with Reset all there is, else what changed.
type ConnectorChange struct {
	Position
	Reset        bool
	Cluster      *Cluster // nil: its settings are as before
	Associations []*Association
	Removed      []*Association // as they were
	Addons       []*Addon       // all of them, if HasAddons
	HasAddons    bool
	RecheckKeys  bool
	Refused      []RefusedPod // the oldest first
	Questions    []ServiceAccountQuestion
}

// Follower is told of one cluster's changes. Close it when it is of no use any more.
type Follower struct {
	// Woken tells that Next has something to say. It is closed when the follower is cut off: another took its place, the
	// cluster is gone, or the history is another.
	Woken <-chan struct{}

	registry *Registry
	cluster  string
	woken    chan struct{}
	after    int64

	// Under the lock of followers.
	closed          bool
	noted           int64                   // the last complete revision that concerns it
	removed         map[string]*Association // by key; nil with reset
	reset, recheck  bool
	settings, addon bool
	refused         []RefusedPod
	questions       []ServiceAccountQuestion
}

// followers hands what the store tells to those who follow clusters.
type followers struct {
	mu       sync.Mutex
	epoch    string
	clusters map[string][]*Follower // by cluster id, the oldest first
	touched  map[*Follower]bool     // by the revision that is not complete
	asked    map[string]time.Time   // when a cluster was last asked for its keys
	refusals map[string]*refusals   // by cluster id, of those that are followed

	questions map[string]*question // by their id
	turns     *limit.Turns         // of those who wait for an answer
}

func newFollowers(r *Registry) *followers {
	f := &followers{
		clusters: map[string][]*Follower{}, touched: map[*Follower]bool{}, asked: map[string]time.Time{}, refusals: map[string]*refusals{},
		questions: map[string]*question{}, turns: limit.NewTurns(maxWaiting, maxWaiting, maxQuestions),
	}
	store.Subscribe(r.associations, func(c store.Change[*Association]) {
		a := c.After
		if !c.Is {
			a = c.Before
		}
		f.each(a.ClusterID, func(w *Follower) {
			switch {
			case c.Is || w.reset:
			case len(w.removed) >= maxRemoved:
				w.reset, w.removed = true, nil
			default:
				w.removed[c.Key] = a
			}
		})
	})
	store.Subscribe(r.clusters, func(c store.Change[*Cluster]) {
		switch {
		case c.Was && (!c.Is || c.After.ID != c.Before.ID):
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, w := range slices.Clone(f.clusters[c.Before.ID]) {
				f.cut(w)
			}
		case c.Is && c.Was && c.Before.Settings != c.After.Settings:
			f.each(c.After.ID, func(w *Follower) { w.settings = true })
		}
	})
	store.Subscribe(r.addons, func(c store.Change[*Addon]) {
		a := c.After
		if !c.Is {
			a = c.Before
		}
		if c.Is && c.Was && c.Before.Desired == c.After.Desired {
			return // what a connector reported itself
		}
		f.each(a.ClusterID, func(w *Follower) { w.addon = true })
	})
	r.store.SubscribeRevisions(f.reached)
	return f
}

// each notes a change for all who follow the cluster.
func (f *followers) each(cluster string, note func(*Follower)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.clusters[cluster] {
		note(w)
		f.touched[w] = true
	}
}

// reached wakes whom the revision concerns.
func (f *followers) reached(epoch string, revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch != f.epoch {
		f.epoch = epoch
		for cluster := range f.clusters {
			for _, w := range slices.Clone(f.clusters[cluster]) {
				f.cut(w)
			}
		}
	}
	for w := range f.touched {
		w.noted = revision
		w.wake()
	}
	clear(f.touched)
}

func (w *Follower) wake() {
	if w.closed {
		return
	}
	select {
	case w.woken <- struct{}{}:
	default: // it has not read the last one yet
	}
}

// cut ends a follower; under the lock. Done again it changes nothing.
func (f *followers) cut(w *Follower) {
	if w.closed {
		return
	}
	w.closed = true
	close(w.woken)
	delete(f.touched, w)
	left := slices.DeleteFunc(f.clusters[w.cluster], func(other *Follower) bool { return other == w })
	if f.clusters[w.cluster] = left; len(left) == 0 {
		delete(f.clusters, w.cluster)
		delete(f.refusals, w.cluster)
	}
}

// Close ends the follower. Woken is closed then.
func (w *Follower) Close() {
	f := w.registry.followers
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut(w)
}

// Follow follows a cluster from now on: the first Next tells everything.
func (r *Registry) Follow(cluster *Cluster) *Follower {
	f := r.followers
	w := &Follower{registry: r, cluster: cluster.ID, woken: make(chan struct{}, 1), reset: true}
	w.Woken = w.woken
	f.mu.Lock()
	defer f.mu.Unlock()
	if own := f.clusters[w.cluster]; len(own) >= connectorsPerCluster {
		f.cut(own[0])
	}
	f.clusters[w.cluster] = append(f.clusters[w.cluster], w)
	return w
}

// Following returns how many follow the cluster at this replica.
func (r *Registry) Following(clusterID string) int {
	r.followers.mu.Lock()
	defer r.followers.mu.Unlock()
	return len(r.followers.clusters[clusterID])
}

// Next returns what has changed since the last Next. It is called by one goroutine at a time.
func (w *Follower) Next() (*ConnectorChange, error) {
	r := w.registry
	// The position first: what the copy got later may be told twice, and nothing is told as known that was not. A removal is
	// told once, and never with a position before its own: an older answer could bring back what is gone.
	out := &ConnectorChange{Position: r.Position()}
	f := r.followers
	f.mu.Lock()
	for !w.closed && (f.touched[w] || w.noted > out.Revision) {
		f.mu.Unlock()
		out.Position = r.Position() // waits for the revision that the copy is getting
		f.mu.Lock()
	}
	removed, settings, addons := w.removed, w.settings, w.addon
	out.Reset, out.RecheckKeys, out.Refused, out.Questions = w.reset, w.recheck, w.refused, w.questions
	w.removed, w.reset, w.recheck, w.settings, w.addon = map[string]*Association{}, false, false, false, false
	w.refused, w.questions = nil, nil
	f.mu.Unlock()

	after := w.after
	if out.Reset {
		after, settings, addons = 0, true, true
	}
	w.after = out.Revision
	var err error
	if out.Associations, err = r.associationsSince(w.cluster, after); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(removed)) {
		if _, again, err := r.associations.Get(key); err != nil {
			return nil, err
		} else if !again && !out.Reset {
			out.Removed = append(out.Removed, removed[key])
		}
	}
	if settings {
		if out.Cluster, err = r.ClusterByID(w.cluster); err != nil {
			return nil, err
		}
	}
	if addons {
		out.HasAddons = true
		out.Addons, err = r.AddonsOf(w.cluster)
	}
	return out, err
}

// ConnectorSince returns the cluster's associations that were made or changed after the position, or all of them if it is
// of another epoch or of none. What was removed it does not tell. The caller has passed the store's barrier.
func (r *Registry) ConnectorSince(cluster *Cluster, after Position) (*ConnectorChange, error) {
	out := &ConnectorChange{Position: r.Position()}
	if after.Epoch != out.Epoch {
		out.Reset, out.Cluster, out.HasAddons, after.Revision = true, cluster, true, 0
		var err error
		if out.Addons, err = r.AddonsOf(cluster.ID); err != nil {
			return nil, err
		}
	}
	var err error
	out.Associations, err = r.associationsSince(cluster.ID, after.Revision)
	return out, err
}

func (r *Registry) associationsSince(cluster string, revision int64) ([]*Association, error) {
	entries, all, err := r.associations.Since(cluster+"/", revision, 2*r.maxAssociations+1)
	if err == nil && !all {
		err = fault.New(fault.Limit, "the cluster has more associations than its maximum of %d", r.maxAssociations)
	}
	found := make([]*Association, len(entries))
	for i, e := range entries {
		found[i] = e.Value
	}
	return found, err
}

// AskForKeys has the cluster's connectors read its API server's keys anew, at most once in five seconds. It reports
// whether they were asked by this call.
func (r *Registry) AskForKeys(clusterID string) bool {
	f, now := r.followers, r.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.clusters[clusterID]
	if last, asked := f.asked[clusterID]; len(own) == 0 || asked && now.Sub(last) < recheckPause {
		return false
	}
	maps.DeleteFunc(f.asked, func(_ string, last time.Time) bool { return now.Sub(last) >= recheckPause })
	f.asked[clusterID] = now
	for _, w := range own {
		w.recheck = true
		w.wake()
	}
	return true
}
