package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithinEndsAtItsMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := &within{Context: t.Context(), at: began.Add(callDeadline)}
		defer w.stop()
		child, cancel := context.WithTimeout(w, time.Hour)
		defer cancel()
		if err := child.Err(); err != nil {
			t.Fatalf("a child has ended at once: %v", err)
		}
		<-child.Done()
		if took := time.Since(began); took != callDeadline || !errors.Is(w.Err(), context.DeadlineExceeded) {
			t.Errorf("ended after %s with %v, want %s with %v", took, w.Err(), callDeadline, context.DeadlineExceeded)
		}
	})
}

func TestWithinEndsWithItsParent(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	w := &within{Context: parent, at: time.Now().Add(time.Hour)}
	defer w.stop()
	cancel()
	<-w.Done()
	if !errors.Is(w.Err(), context.Canceled) {
		t.Errorf("ended with %v, want %v", w.Err(), context.Canceled)
	}
}

// TestWithinCostsNothingUnused: nobody waited, so there was no timer.
func TestWithinCostsNothingUnused(t *testing.T) {
	w := &within{Context: t.Context(), at: time.Now().Add(time.Hour)}
	w.stop()
	if _, timed := w.timed.Deadline(); timed {
		t.Error("a context that nobody waited for has a timer")
	}
}
