package agent

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"
	"unique"
)

// invalidation says which credentials are not to be handed out again, in the words of Lanyard's API.
type invalidation struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// The kinds of invalidations. A kind of a newer server is answered by asking about everything again.
const (
	bySession        = "session"
	byRole           = "role"
	byAssociation    = "association"
	byCluster        = "cluster"
	byNode           = "node"
	byServiceAccount = "serviceaccount"
	byPod            = "pod"
	byPodUID         = "poduid"
)

func (i invalidation) known() bool {
	switch i.Kind {
	case bySession, byRole, byAssociation, byCluster, byNode, byServiceAccount, byPod, byPodUID:
		return true
	}
	return false
}

// origin is what an entry's credentials hang on. Many entries share each of them.
type origin struct {
	serviceAccount unique.Handle[string] // NAMESPACE/NAME
	association    unique.Handle[string]
	role           unique.Handle[string]
}

// ends reports whether an entry is not to be handed out again. What seldom changes is not kept beside the entry but read
// out of its token and its answer, which EKS Auth has verified and made.
func (i invalidation) ends(e *entry) bool {
	switch i.Kind {
	case byCluster:
		return true
	case byServiceAccount:
		return e.origin.serviceAccount.Value() == i.Value
	case byAssociation:
		return e.origin.association.Value() == i.Value
	case byRole:
		return e.origin.role.Value() == i.Value
	case bySession:
		var body struct {
			AccessKeyID string `json:"AccessKeyId"`
		}
		return json.Unmarshal(e.body, &body) == nil && body.AccessKeyID == i.Value
	case byPod, byPodUID, byNode:
		_, rest, _ := strings.Cut(e.token.text(), ".")
		payload, _, _ := strings.Cut(rest, ".")
		raw, err := base64.RawURLEncoding.DecodeString(payload)
		var claims struct {
			Kubernetes struct {
				Namespace string `json:"namespace"`
				Pod, Node struct{ Name, UID string }
			} `json:"kubernetes.io"`
		}
		if err != nil || json.Unmarshal(raw, &claims) != nil {
			return true // not what EKS Auth would have accepted
		}
		if i.Kind == byPodUID {
			return claims.Kubernetes.Pod.UID == i.Value
		}
		if i.Kind == byNode {
			return claims.Kubernetes.Node.Name == i.Value
		}
		return claims.Kubernetes.Namespace+"/"+claims.Kubernetes.Pod.Name == i.Value
	}
	return false
}

// held returns the ids of the associations and roles that something is held of.
func (c *cache) held() (associations, roles []string) {
	associations, roles = []string{}, []string{}
	seen := map[unique.Handle[string]]bool{}
	add := func(list *[]string, id unique.Handle[string]) {
		if !seen[id] && id.Value() != "" {
			seen[id] = true
			*list = append(*list, id.Value())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for place := c.order.Front(); place != nil; place = place.Next() {
		e := place.Value.(*entry)
		add(&associations, e.origin.association)
		add(&roles, e.origin.role)
	}
	return associations, roles
}

// invalidate removes what the list ends and returns how much that was.
func (c *cache) invalidate(list []invalidation) (gone int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for place := c.order.Front(); place != nil; {
		e, next := place.Value.(*entry), place.Next()
		for _, i := range list {
			if i.ends(e) {
				c.remove(place)
				gone++
				break
			}
		}
		place = next
	}
	return gone
}

// recheckTime is in which everything is asked about again when it is not known what has changed. Until then it is handed
// out: doors look at each request anyway, and a node that dropped all it holds would be a herd.
const recheckTime = time.Minute

// recheck makes every entry due, with the time that there is for it. What is not in use would not be renewed: it leaves.
func (c *cache) recheck(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for place := c.order.Front(); place != nil; {
		e, next := place.Value.(*entry), place.Next()
		if now.Sub(e.used) >= idle {
			c.remove(place)
		}
		e.renew, e.doubted = now, now.Add(recheckTime)
		place = next
	}
}

// changes remembers the latest invalidations, so that the answer to a call that was under way when they came is not kept.
type changes struct {
	mu    sync.Mutex
	count uint64
	last  [64]change // the i-th is at i modulo 64
}

// change is what one line ended; all is everything that was asked before it.
type change struct {
	list []invalidation
	all  bool
}

func (c *changes) add(list []invalidation, all bool) {
	if len(list) == 0 && !all {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[c.count%uint64(len(c.last))] = change{list, all}
	c.count++
}

func (c *changes) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// end reports whether something since then ends the entry. Of more than is remembered anything may.
func (c *changes) end(e *entry, since uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count-since > uint64(len(c.last)) {
		return true
	}
	for n := since; n < c.count; n++ {
		of := c.last[n%uint64(len(c.last))]
		if of.all {
			return true
		}
		for _, i := range of.list {
			if i.ends(e) {
				return true
			}
		}
	}
	return false
}

// forget gives up all remembered refusals.
func (r *refusals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
	r.order = r.order[:0]
}
