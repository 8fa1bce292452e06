package limit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
)

// enter fails the test unless there is a place at once.
func enter(t *testing.T, g *limit.Gate, reserved bool) (leave func()) {
	t.Helper()
	before := time.Now()
	leave, err := g.Enter(t.Context(), reserved)
	if err != nil {
		t.Fatalf("Enter(reserved=%v): %v", reserved, err)
	}
	if waited := time.Since(before); waited != 0 {
		t.Fatalf("Enter(reserved=%v) waited %v, want no wait", reserved, waited)
	}
	return leave
}

func TestGateReserveHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := limit.NewGate(4, 1)
		for range 3 {
			enter(t, g, false)
		}
		if _, err := g.Enter(t.Context(), false); !fault.Is(err, fault.Throttled) {
			t.Errorf("management beyond its places: %v, want Throttled", err)
		}
		leave := enter(t, g, true)
		if _, err := g.Enter(t.Context(), true); !fault.Is(err, fault.Throttled) {
			t.Errorf("a full gate: %v, want Throttled", err)
		}
		leave()
		enter(t, g, true)
	})
}

func TestGateReservedWorkMayUseAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := limit.NewGate(4, 1)
		for range 4 {
			enter(t, g, true)
		}
		if _, err := g.Enter(t.Context(), false); !fault.Is(err, fault.Throttled) {
			t.Errorf("management at a full gate: %v, want Throttled", err)
		}
	})
}

func TestGateLetsReservedWorkInFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := limit.NewGate(2, 1)
		held := []func(){enter(t, g, false), enter(t, g, true)}
		var order []bool
		wait := func(reserved bool) {
			go func() {
				leave, err := g.Enter(t.Context(), reserved)
				if err != nil {
					t.Errorf("Enter(reserved=%v): %v", reserved, err)
					return
				}
				order = append(order, reserved)
				leave()
			}()
			synctest.Wait()
		}
		wait(false)
		wait(true)
		held[0]()
		synctest.Wait()
		if len(order) != 2 || !order[0] {
			t.Errorf("order of reserved classes: %v, want [true false]", order)
		}
	})
}

func TestGateQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := limit.NewGate(3, 1)
		leave := enter(t, g, false)
		enter(t, g, false)
		answers := make(chan error, 3)
		for range 2 {
			go func() {
				_, err := g.Enter(t.Context(), false)
				answers <- err
			}()
		}
		synctest.Wait()

		before := time.Now()
		if _, err := g.Enter(t.Context(), false); !fault.Is(err, fault.Throttled) {
			t.Errorf("beyond the queue: %v, want Throttled", err)
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("beyond the queue: waited %v, want an answer at once", waited)
		}

		leave()
		if err := <-answers; err != nil {
			t.Errorf("the first who waits: %v, want a place", err)
		}
		if err := <-answers; !fault.Is(err, fault.Throttled) {
			t.Errorf("the second who waits: %v, want Throttled", err)
		}
	})
}

func TestGateContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := limit.NewGate(2, 1)
		leave := enter(t, g, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := g.Enter(ctx, false); !fault.Is(err, fault.Throttled) {
			t.Errorf("a context that ends: %v, want Throttled", err)
		}
		leave()
		enter(t, g, false)() // whoever gave up holds no place
		enter(t, g, false)()
	})
}

func TestGateDoesNotAllocate(t *testing.T) {
	g := limit.NewGate(2, 1)
	ctx := context.Background()
	n := testing.AllocsPerRun(100, func() {
		leave, err := g.Enter(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		leave()
	})
	if n != 0 {
		t.Errorf("Enter and leave make %g allocations, want none", n)
	}
}

func BenchmarkGate(b *testing.B) {
	g := limit.NewGate(64, 8)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if leave, err := g.Enter(context.Background(), true); err == nil {
				leave()
			}
		}
	})
}
