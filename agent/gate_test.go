package agent

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

var (
	honest = netip.MustParseAddr("10.0.0.1")
	other  = netip.MustParseAddr("10.0.0.2")
	junk   = netip.MustParseAddr("10.6.6.6")
)

// enterAll lets n callers of a peer in or queue, and returns how their waiting ended.
func enterAll(g *gate, addr netip.Addr, n int) (results chan error) {
	results = make(chan error, n)
	for range n {
		go func() { results <- g.enter(addr) }()
	}
	synctest.Wait()
	return results
}

func TestAPeerHasItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		flood := enterAll(g, junk, 65)
		if got := len(flood); got != 64 {
			t.Fatalf("%d calls of one peer under way, want 64", got)
		}
		if err := g.enter(honest); err != nil {
			t.Errorf("another peer has to wait: %v", err)
		}
		start := time.Now()
		for range 64 {
			if err := <-flood; err != nil {
				t.Errorf("within the bound: %v", err)
			}
		}
		if err := <-flood; !fault.Is(err, fault.Throttled) {
			t.Errorf("the 65th: %v, want it throttled", err)
		}
		if got := time.Since(start); got != g.patience {
			t.Errorf("it waited %v, want %v", got, g.patience)
		}
		for range 64 {
			g.leave(junk)
		}
		g.leave(honest)
		if len(g.peers)+len(g.turns)+g.running+g.waiting != 0 {
			t.Errorf("something stays behind: %+v", g)
		}
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.perPeer, g.queuePerPeer, g.queueTotal = 1, 2, 3
		flood := enterAll(g, junk, 4) // one in, two wait, one refused
		if got := len(flood); got != 2 {
			t.Fatalf("%d of 4 answered at once, want 2", got)
		}
		second := enterAll(g, other, 3) // one in, one waits: three wait in all
		if got := len(second); got != 2 {
			t.Fatalf("%d of 3 answered at once, want 2", got)
		}
		time.Sleep(2 * g.patience)
		throttled := 0
		for range 4 {
			if <-flood != nil {
				throttled++
			}
		}
		if throttled != 3 {
			t.Errorf("%d throttled, want 3", throttled)
		}
	})
}

func TestPeersAreServedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.total = 1
		if err := g.enter(junk); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		queue := func(addr netip.Addr, name string) {
			go func() {
				if err := g.enter(addr); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
			}()
			synctest.Wait()
		}
		for range 3 {
			queue(junk, "junk")
		}
		queue(honest, "honest")
		queue(other, "other")
		holder := map[string]netip.Addr{"junk": junk, "honest": honest, "other": other}
		g.leave(junk)
		for i := range 5 {
			synctest.Wait()
			mu.Lock()
			last := order[i]
			mu.Unlock()
			g.leave(holder[last])
		}
		// First come is first served among peers, and then one for each: junk's other two wait behind both.
		if want := []string{"junk", "honest", "other", "junk", "junk"}; !slices.Equal(order, want) {
			t.Errorf("served %v, want %v", order, want)
		}
	})
}

func TestAPeerAtItsBoundDoesNotHoldUpTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.total, g.perPeer = 2, 1
		for _, addr := range []netip.Addr{junk, other} {
			if err := g.enter(addr); err != nil {
				t.Fatal(err)
			}
		}
		flood := enterAll(g, junk, 3)
		waiting := enterAll(g, honest, 1)
		g.leave(other)
		if err := <-waiting; err != nil {
			t.Errorf("honest: %v", err)
		}
		if len(flood) != 0 {
			t.Error("junk went over its bound")
		}
		g.leave(honest)
		g.leave(junk)
		for range 3 {
			if <-flood == nil {
				g.leave(junk)
			}
		}
	})
}
