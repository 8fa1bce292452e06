package broker

import (
	"context"
	"sync"
	"time"
)

// within is a context that ends at a moment, as context.WithDeadline makes one. It takes its timer when somebody waits for
// it: most calls find everything in the copy and wait for nothing.
type within struct {
	context.Context
	at time.Time

	once   sync.Once
	timed  context.Context
	cancel context.CancelFunc
}

func (w *within) start() context.Context {
	w.once.Do(func() { w.timed, w.cancel = context.WithDeadline(w.Context, w.at) })
	return w.timed
}

// stop gives the timer back. No wait may begin after it.
func (w *within) stop() {
	w.once.Do(func() { w.timed, w.cancel = w.Context, func() {} })
	w.cancel()
}

// Deadline, Done and Err make it a context.
func (w *within) Deadline() (time.Time, bool) { return w.start().Deadline() }
func (w *within) Done() <-chan struct{}       { return w.start().Done() }
func (w *within) Err() error                  { return w.start().Err() }
