package broker

import (
	"maps"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/registry"
)

// keyWaits bounds who waits for clusters' key lists. Whoever is a cluster's agent can make up tokens with unknown key ids,
// and a call that waits keeps a place that other clusters' pods need.
type keyWaits struct {
	mu       sync.Mutex
	waiting  int                // calls of all clusters
	clusters map[string]keyWait // by id: those that are waited for, or were in vain not long ago
}

type keyWait struct {
	waiting int
	vain    time.Time // Confirmed of the list that was last waited with in vain
	until   time.Time // nobody waits again with that list
}

const (
	maxKeyWaits        = 64              // calls that wait at once: an account may have any number of clusters
	maxKeyWaitsCluster = 16              // of them of one cluster
	keyPause           = 5 * time.Second // after a wait in vain
)

// enter says whether a call may wait for a newer list than this cluster has. It must leave then.
func (k *keyWaits) enter(c *registry.Cluster, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.clusters, func(_ string, w keyWait) bool { return w.waiting == 0 && !now.Before(w.until) })
	w := k.clusters[c.ID]
	if k.waiting >= maxKeyWaits || w.waiting >= maxKeyWaitsCluster || now.Before(w.until) && c.Confirmed.Equal(w.vain) {
		return false
	}
	if k.clusters == nil {
		k.clusters = map[string]keyWait{}
	}
	k.waiting++
	w.waiting++
	k.clusters[c.ID] = w
	return true
}

// leave ends a wait with the cluster that it was entered with.
func (k *keyWaits) leave(c *registry.Cluster, now time.Time, inVain bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.clusters[c.ID]
	k.waiting--
	w.waiting--
	if inVain {
		w.vain, w.until = c.Confirmed, now.Add(keyPause)
	}
	k.clusters[c.ID] = w
}
