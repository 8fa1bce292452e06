package gateway

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// defaultStall is how long an upstream may stop in the middle of a body, where the configuration does not say.
const defaultStall = time.Minute

var errStalled = errors.New("the upstream stopped in the middle")

// exchange is one request to the upstream, which is given up when the upstream does not go on with a body: it would keep
// the client's connection, one of the principal's places and the audit's for ever. What the client takes is not counted.
type exchange struct {
	context.Context
	cancel       context.CancelCauseFunc
	sent, answer stall
}

func newExchange(ctx context.Context, after time.Duration) *exchange {
	ctx, cancel := context.WithCancelCause(ctx)
	e := &exchange{Context: ctx, cancel: cancel}
	give := func() { cancel(errStalled) }
	e.sent, e.answer = stall{after: after, give: give}, stall{after: after, give: give}
	return e
}

func (e *exchange) stalled() bool { return errors.Is(context.Cause(e.Context), errStalled) }

// end releases what the exchange holds. What is under way of it is given up.
func (e *exchange) end() {
	e.sent.end()
	e.answer.end()
	e.cancel(nil)
}

func unavailable(cause error) error {
	return fault.Hide(fault.Unavailable, cause, "The object store does not answer. Please try again.")
}

// stall is a clock that runs while the upstream has the next move.
type stall struct {
	after time.Duration
	give  func()

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func (s *stall) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
	case s.timer == nil:
		s.timer = time.AfterFunc(s.after, s.give)
	default:
		s.timer.Reset(s.after)
	}
}

func (s *stall) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *stall) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.stop()
}

// sending is a body on its way to the upstream, whose move it is from one Read to the next. Behind the last one the
// Transport's own bound counts.
type sending struct {
	io.Reader
	stall *stall
}

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	s.stall.stop()
	n, err := s.Reader.Read(p)
	if err == nil {
		s.stall.start()
	}
	return n, err
}

// answering is the body of an upstream's answer, whose move it is during a Read.
type answering struct {
	io.ReadCloser
	of *exchange
}

// Read implements io.Reader.
func (a *answering) Read(p []byte) (int, error) {
	a.of.answer.start()
	n, err := a.ReadCloser.Read(p)
	a.of.answer.stop()
	if err != nil && a.of.stalled() {
		err = unavailable(errStalled)
	}
	return n, err
}

// Close implements io.Closer. It ends the request, whatever is left of the answer.
func (a *answering) Close() error {
	err := a.ReadCloser.Close()
	a.of.end()
	return err
}
