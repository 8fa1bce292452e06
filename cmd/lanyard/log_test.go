package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGathered: what is logged within a moment is one call, in its order, and nothing waits longer than that.
func TestGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls calls
		g := &gathered{out: &calls}
		for _, line := range []string{"one\n", "two\n"} {
			if n, err := io.WriteString(g, line); n != len(line) || err != nil {
				t.Errorf("Write(%q) = %d, %v", line, n, err)
			}
		}
		if len(calls.made) != 0 {
			t.Errorf("written at once: %q", calls.made)
		}
		pass(gatherFor)
		long := strings.Repeat("x", 64<<10)
		_, _ = io.WriteString(g, long)
		_, _ = io.WriteString(g, "last\n")
		g.Flush()
		pass(gatherFor) // nothing is left to write
		want := []string{"one\ntwo\n", long, "last\n"}
		if len(calls.made) != len(want) {
			t.Fatalf("%d calls, want %d", len(calls.made), len(want))
		}
		for i := range want {
			if calls.made[i] != want[i] {
				t.Errorf("call %d = %.40q, want %.40q", i, calls.made[i], want[i])
			}
		}
		calls.err = errors.New("no space")
		_, _ = io.WriteString(g, "lost\n")
		g.Flush()
		if _, err := io.WriteString(g, "x\n"); err == nil {
			t.Error("a failed call is not reported")
		}
		pass(gatherFor)
	})
}

type calls struct {
	made []string
	err  error
}

func (c *calls) Write(b []byte) (int, error) {
	c.made = append(c.made, string(bytes.Clone(b)))
	return len(b), c.err
}

// pass lets the test's own clock go on.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
