package agent

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// gate bounds the upstream calls that pods cause, so that one pod's junk cannot take the others' turn: each peer has its
// own bound and its own queue, and the queues are served in turn.
type gate struct {
	perPeer, total           int // calls under way
	queuePerPeer, queueTotal int // calls waiting: this bounds the memory that a flood can take
	patience                 time.Duration

	mu      sync.Mutex
	running int
	waiting int
	peers   map[netip.Addr]*peer
	turns   []*peer // those with someone waiting, the next to be served first
}

type peer struct {
	running int
	queue   []chan struct{} // closed when the place is given
}

func newGate() *gate {
	return &gate{
		perPeer: 64, total: 1024, queuePerPeer: 1024, queueTotal: 8192,
		patience: 700 * time.Millisecond, // so that a call after it still has its time within the pod's second
		peers:    map[netip.Addr]*peer{},
	}
}

// enter waits for a place, which leave gives back. The error is of kind Throttled.
func (g *gate) enter(addr netip.Addr) error {
	g.mu.Lock()
	p := g.peers[addr]
	if p == nil {
		p = &peer{}
		g.peers[addr] = p
	}
	// A free place while somebody waits for it does not happen: leave hands places on.
	if g.running < g.total && p.running < g.perPeer {
		g.running++
		p.running++
		g.mu.Unlock()
		return nil
	}
	if g.waiting >= g.queueTotal || len(p.queue) >= g.queuePerPeer {
		g.forget(addr, p)
		g.mu.Unlock()
		return errBusy
	}
	place := make(chan struct{})
	if len(p.queue) == 0 {
		g.turns = append(g.turns, p)
	}
	p.queue = append(p.queue, place)
	g.waiting++
	g.mu.Unlock()

	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	select {
	case <-place:
		return nil
	case <-timer.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(p.queue, place)
	if i < 0 { // given in the same moment
		return nil
	}
	p.queue = slices.Delete(p.queue, i, i+1)
	g.waiting--
	if len(p.queue) == 0 {
		g.turns = slices.DeleteFunc(g.turns, func(other *peer) bool { return other == p })
	}
	g.forget(addr, p)
	return errBusy
}

var errBusy = fault.New(fault.Throttled, "too many new tokens at once: try again")

// leave gives a place back and hands it to the next peer in turn that may have it.
func (g *gate) leave(addr netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peers[addr]
	g.running--
	p.running--
	for g.running < g.total {
		i := slices.IndexFunc(g.turns, func(p *peer) bool { return p.running < g.perPeer })
		if i < 0 {
			break
		}
		next := g.turns[i]
		g.turns = slices.Delete(g.turns, i, i+1)
		close(next.queue[0])
		next.queue = slices.Delete(next.queue, 0, 1)
		if len(next.queue) > 0 {
			g.turns = append(g.turns, next)
		}
		g.waiting--
		g.running++
		next.running++
	}
	g.forget(addr, p)
}

func (g *gate) forget(addr netip.Addr, p *peer) {
	if p.running == 0 && len(p.queue) == 0 {
		delete(g.peers, addr)
	}
}

// junkPerPeer is how many refused tokens a second one peer may cost. Nobody honest has more than a few, and what EKS Auth
// lets a node ask is shared by its pods.
const junkPerPeer = 32

// junkTokens counts the tokens that were refused for good in this second, by peer.
type junkTokens struct {
	mu     sync.Mutex
	second int64
	counts map[netip.Addr]int
}

func (j *junkTokens) over(addr netip.Addr, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.second == now.Unix() && j.counts[addr] >= junkPerPeer
}

func (j *junkTokens) count(addr netip.Addr, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s := now.Unix(); s != j.second || j.counts == nil {
		j.second, j.counts = s, map[netip.Addr]int{}
	}
	j.counts[addr]++
}
