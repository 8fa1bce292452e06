package limit

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// patience is how long Enter waits at most: under the second after which a node's agent gives up, with time left to work.
const patience = 250 * time.Millisecond

// Gate bounds how much is worked on at once. Ordinary work leaves a reserve untouched; reserved work (handing out
// credentials) may use everything and is let in first, so that management calls can never keep pods waiting.
type Gate struct {
	total    int
	ordinary int // places that ordinary work may hold

	mu             sync.Mutex
	inside         int
	insideOrdinary int
	waiting        [2][]*waiter // by class, oldest first
	leave          [2]func()    // made once, so that Enter need not allocate
}

type waiter struct{ in chan struct{} }

// The classes, as indices.
const (
	ordinaryClass = iota
	reservedClass
)

// NewGate lets total pieces of work in at once, of which reserved are kept from ordinary work. Both classes have at least
// one place: total is at least 2, reserved is from 1 to total-1.
func NewGate(total, reserved int) *Gate {
	total = max(2, total)
	reserved = min(max(1, reserved), total-1)
	g := &Gate{total: total, ordinary: total - reserved}
	g.leave = [2]func(){
		ordinaryClass: func() { g.exit(ordinaryClass) },
		reservedClass: func() { g.exit(reservedClass) },
	}
	return g
}

// Enter waits for a place: at most a quarter of a second, at most until ctx ends, and not at all when as many wait already
// as the class has places. Otherwise it answers a fault of kind Throttled. Call leave exactly once, when the work is done.
func (g *Gate) Enter(ctx context.Context, reserved bool) (leave func(), err error) {
	class := ordinaryClass
	room := g.ordinary
	if reserved {
		class, room = reservedClass, g.total
	}
	g.mu.Lock()
	if g.admit(class) {
		g.mu.Unlock()
		return g.leave[class], nil
	}
	if len(g.waiting[class]) >= room {
		g.mu.Unlock()
		return nil, fault.New(fault.Throttled, "too many requests are being worked on")
	}
	w := &waiter{in: make(chan struct{})}
	g.waiting[class] = append(g.waiting[class], w)
	g.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.in:
		return g.leave[class], nil
	case <-ctx.Done():
	case <-timer.C:
	}
	if !g.giveUp(class, w) {
		return g.leave[class], nil // let in at the same moment
	}
	return nil, fault.New(fault.Throttled, "too many requests are being worked on")
}

// admit takes a place if there is one for the class. The caller holds the lock.
func (g *Gate) admit(class int) bool {
	if g.inside >= g.total || class == ordinaryClass && g.insideOrdinary >= g.ordinary {
		return false
	}
	g.inside++
	if class == ordinaryClass {
		g.insideOrdinary++
	}
	return true
}

func (g *Gate) exit(class int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if class == ordinaryClass {
		g.insideOrdinary--
	}
	for _, next := range [...]int{reservedClass, ordinaryClass} {
		for len(g.waiting[next]) > 0 && g.admit(next) {
			close(g.waiting[next][0].in)
			g.waiting[next] = slices.Delete(g.waiting[next], 0, 1)
		}
	}
}

// giveUp takes a waiter out of the queue; false means that it was let in first.
func (g *Gate) giveUp(class int, w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting[class], w)
	if i < 0 {
		return false
	}
	g.waiting[class] = slices.Delete(g.waiting[class], i, i+1)
	return true
}
