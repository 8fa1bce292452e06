package registry

import (
	"strings"
	"time"
)

// RefusedPod is a pod that showed its verified token and got no credentials.
type RefusedPod struct {
	Namespace, Name, UID string
	Reason               string // what the pod is told; at most 512 bytes are kept
	At                   time.Time
}

const (
	refusalRepeat   = time.Minute // between two of one pod for one reason
	refusalPause    = time.Second // between two wakings for refusals; what comes meanwhile goes with the next line
	maxRefused      = 64          // that a follower has not been told; of more the oldest are dropped
	maxRefusalsKept = 1024        // that repetitions are known of, twice
	maxReason       = 512
)

// refusals are what a cluster's followers have been told. They are gone with the last of them.
type refusals struct {
	woken time.Time
	// Two generations: when one is full the older one is forgotten, which takes no longer than anything else.
	told, before map[refusal]time.Time
}

type refusal struct{ uid, reason string }

// repeats notes a refusal and reports whether it was told within a minute.
func (s *refusals) repeats(one refusal, now time.Time) bool {
	last, is := s.told[one]
	if !is {
		last, is = s.before[one]
	}
	if is && now.Sub(last) < refusalRepeat {
		return true
	}
	if len(s.told) >= maxRefusalsKept {
		s.told, s.before = nil, s.told
	}
	if s.told == nil {
		s.told = map[refusal]time.Time{}
	}
	s.told[one] = now
	return false
}

// TellRefusal has the connectors that follow the cluster at this replica hear of a refused pod, for its Events. It waits for
// nobody and nothing is stored: where no connector follows, or one cannot keep up, refusals are lost. It reports whether
// this one is going to be told.
func (r *Registry) TellRefusal(clusterID string, p RefusedPod) bool {
	// No pod has longer names, whatever a cluster signs.
	if p.UID == "" || len(p.UID) > 64 || len(p.Namespace) > 63 || len(p.Name) > 253 {
		return false
	}
	if len(p.Reason) > maxReason {
		p.Reason = strings.ToValidUTF8(p.Reason[:maxReason], "")
	}
	p.At = r.now()
	f := r.followers
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.clusters[clusterID]
	if len(own) == 0 {
		return false
	}
	s := f.refusals[clusterID]
	if s == nil {
		s = &refusals{}
		f.refusals[clusterID] = s
	}
	if s.repeats(refusal{p.UID, p.Reason}, p.At) {
		return false
	}
	wake := p.At.Sub(s.woken) >= refusalPause
	if wake {
		s.woken = p.At
	}
	for _, w := range own {
		if len(w.refused) >= maxRefused {
			w.refused = w.refused[1:]
		}
		w.refused = append(w.refused, p)
		if wake {
			w.wake()
		}
	}
	return true
}
