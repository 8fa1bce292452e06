package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// derived is a server that is asked, and counts.
type derived struct {
	asked atomic.Int64
	fail  atomic.Bool
	gate  chan struct{} // nil: answers at once
}

func (d *derived) ask(_ context.Context, keyID, date, region string) (sigv4.Key, error) {
	d.asked.Add(1)
	if d.gate != nil {
		<-d.gate
	}
	if d.fail.Load() {
		return sigv4.Key{}, errors.New("gone")
	}
	return sigv4.Derive("secret of "+keyID, date, region, "s3"), nil
}

func TestDayKeysAreAskedForOnce(t *testing.T) {
	server := &derived{gate: make(chan struct{})}
	keys := newDayKeys(server.ask)
	want := sigv4.Derive("secret of AKIA1", "20261125", "r", "s3")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got, err := keys.get(t.Context(), "AKIA1", "20261125", "r", "s3"); err != nil || got != want {
				t.Errorf("got another key, or %v", err)
			}
		})
	}
	close(server.gate)
	all.Wait()
	first := server.asked.Load()
	if got, err := keys.get(t.Context(), "AKIA1", "20261125", "r", "s3"); err != nil || got != want || server.asked.Load() != first {
		t.Errorf("from memory: asked %d times more, %v", server.asked.Load()-first, err)
	}
	other := []struct{ key, date, region string }{{"AKIA2", "20261125", "r"}, {"AKIA1", "20261126", "r"}, {"AKIA1", "20261125", "q"}}
	for _, o := range other {
		if got, err := keys.get(t.Context(), o.key, o.date, o.region, "s3"); err != nil || got == want {
			t.Errorf("%v: got the key of another scope, or %v", o, err)
		}
	}
}

func TestDayKeysAreForS3Alone(t *testing.T) {
	server := &derived{}
	if _, err := newDayKeys(server.ask).get(t.Context(), "AKIA1", "20261125", "r", "iam"); !fault.Is(err, fault.UnknownKey) || server.asked.Load() != 0 {
		t.Errorf("got %v after asking %d times, want UnknownKey and no question", err, server.asked.Load())
	}
}

func TestAFailureIsNotRemembered(t *testing.T) {
	server := &derived{}
	server.fail.Store(true)
	keys := newDayKeys(server.ask)
	if _, err := keys.get(t.Context(), "AKIA1", "20261125", "r", "s3"); err == nil {
		t.Error("got a key from a server that is gone")
	}
	server.fail.Store(false)
	if _, err := keys.get(t.Context(), "AKIA1", "20261125", "r", "s3"); err != nil {
		t.Errorf("the server is back: got %v", err)
	}
}

// Whoever knows one access key id can make up regions. That bothers neither the server for long nor another access key.
func TestInventedRegionsAreBounded(t *testing.T) {
	server := &derived{}
	keys := newDayKeys(server.ask)
	var throttled int
	for n := range 1000 {
		if _, err := keys.get(t.Context(), "AKIA1", "20261125", fmt.Sprint("r", n), "s3"); fault.Is(err, fault.Throttled) {
			throttled++
		}
	}
	if throttled == 0 {
		t.Error("a thousand regions were asked for")
	}
	if _, err := keys.get(t.Context(), "AKIA2", "20261125", "r", "s3"); err != nil {
		t.Errorf("another access key: got %v", err)
	}
	for n := range 2 * dayKeysKept {
		keys.keep(dayScope{"AKIA3", "20261125", fmt.Sprint(n)}, sigv4.Key{})
	}
	if len(keys.known) != dayKeysKept {
		t.Errorf("%d keys are kept, want %d", len(keys.known), dayKeysKept)
	}
}
