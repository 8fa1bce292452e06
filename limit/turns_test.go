package limit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
)

func TestTurnsComeOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := limit.NewTurns(1, 4, 4)
		done, err := turns.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			done()
		}()
		second, err := turns.Take(t.Context(), "a")
		if err != nil || time.Since(began) != time.Second {
			t.Errorf("the second: %v after %v, want a turn after 1s", err, time.Since(began))
		}
		began = time.Now()
		if _, err := turns.Take(t.Context(), "a"); !fault.Is(err, fault.Throttled) || time.Since(began) > 3*time.Second {
			t.Errorf("while it is held: %v after %v, want Throttled", err, time.Since(began))
		}
		second()
		for range 5 { // nothing is held of those who came and went
			done, err := turns.Take(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			done()
		}
	})
}

func TestTurnsAreForEverybody(t *testing.T) {
	turns := limit.NewTurns(3, 3, 2)
	var held []func()
	take := func(account string, want bool) {
		t.Helper()
		done, err := turns.Take(t.Context(), account)
		if (err == nil) != want || err != nil && !fault.Is(err, fault.Throttled) {
			t.Errorf("%s: %v", account, err)
		}
		if err == nil {
			held = append(held, done)
		}
	}
	take("a", true)
	take("a", true)
	take("a", false) // it has its part
	take("b", true)
	take("c", false) // there are no more
	for _, done := range held {
		done()
	}
	take("c", true)
	take("a", true)
}
