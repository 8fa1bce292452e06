package connector

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestRetry: pauses grow to a bound, a reason is told once, and after a success all begins anew.
func TestRetry(t *testing.T) {
	log := &lockedBuffer{}
	r := retry{log: slog.New(slog.NewTextHandler(log, nil)), what: "it fails"}
	fails := func(reason string, most time.Duration, told int) {
		t.Helper()
		if wait := r.failed(t.Context(), errors.New(reason)); wait < most/2 || wait > most {
			t.Errorf("%s: a pause of %v, want %v to %v", reason, wait, most/2, most)
		}
		if got := strings.Count(log.String(), "reason="+reason); got != told {
			t.Errorf("%s is told %d times, want %d", reason, got, told)
		}
	}
	for most := shortestPause; most < longestPause; most *= 2 {
		fails("away", most, 1)
	}
	fails("away", longestPause, 1)
	fails("refused", longestPause, 1)
	fails("away", longestPause, 2)
	r.ok()
	fails("away", shortestPause, 3)

	over, end := context.WithCancel(t.Context())
	end()
	r.failed(over, errors.New("canceled"))
	if strings.Contains(log.String(), "canceled") {
		t.Error("the end is told as a failure")
	}
}
