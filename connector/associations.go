package connector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// settleBudget is how long a pod waits at most for certainty that it has no association.
	settleBudget = 2 * time.Second

	// mendBudget is how long it waits at most for a broken stream to come about. A server that is down refuses at once; one
	// that is out of reach costs the first pod this long, and the next ones nothing.
	mendBudget = 250 * time.Millisecond

	// mendPause is how long a failed attempt counts as the answer for whoever comes next.
	mendPause = 50 * time.Millisecond
)

// errBroken says that certainty cannot be had just now: waiting for it would stop the cluster's pods.
var errBroken = fault.New(fault.Unavailable, "the stream of associations is broken")

// Associations is the connector's copy of its cluster's associations. The stream writes it, the webhook reads it.
//
// A miss proves nothing: the association may have been answered to its author and not have come here yet. Settle asks
// the server how far it is and waits until the copy is there too. Questions share that: one is asked at a time, and who
// comes while it is asked waits for the next, because the one on its way may have been answered too early for them.
//
// A server that is back is not known to be until the stream has been opened again, whose pauses grow to many seconds. Its
// first associations would be missed in that time: a miss therefore has the stream opened at once.
type Associations struct {
	position func(context.Context) (Position, error)
	reopen   func()

	ids      atomic.Pointer[sync.Map] // Identity to the association's id; nil: no list has come
	settings atomic.Pointer[Settings]

	mu      sync.Mutex
	at      Position
	changed chan struct{} // closed when at, down or failed changes
	down    bool
	failed  time.Time // when the stream broke or could not be opened, the last time
	deaf    bool      // an attempt to open it outlasted mendBudget: none is waited for until one succeeds
	asking  *barrier
	next    *barrier // begins when asking ends
}

// A barrier is one question to the server.
type barrier struct {
	done chan struct{}
	err  error
}

// NewAssociations makes an empty copy. The function asks the server how far it is: an answer must cover whatever was
// created before the question, and the stream must bring a line that goes as far, if an empty one. It is never called
// twice at a time. Reopen has a broken stream opened without a further pause, and does not wait for it.
func NewAssociations(position func(context.Context) (Position, error), reopen func()) *Associations {
	return &Associations{position: position, reopen: reopen, changed: make(chan struct{})}
}

// Apply takes a line. An error says that the line does not continue what is held: the stream must be asked from its
// beginning.
func (a *Associations) Apply(line *Line) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := a.ids.Load()
	switch {
	case line.Reset:
		ids = new(sync.Map)
	case ids == nil:
		return fault.New(fault.BadState, "the stream did not begin with all associations")
	case line.Epoch != a.at.Epoch:
		return fault.New(fault.BadState, "the stream went from epoch %q to %q without all associations", a.at.Epoch, line.Epoch)
	case line.Revision < a.at.Revision:
		return fault.New(fault.BadState, "the stream went from revision %d back to %d", a.at.Revision, line.Revision)
	}
	if line.Settings != nil {
		a.settings.Store(line.Settings) // before the associations: whoever finds one needs them
	}
	for _, gone := range line.Removed {
		ids.Delete(gone)
	}
	for _, there := range line.Associations {
		ids.Store(there.Identity, there.ID)
	}
	a.ids.Store(ids)
	a.at, a.down, a.deaf = Position{line.Epoch, line.Revision}, false, false
	a.wake()
	return nil
}

// Broken says that the stream has ended or could not be begun. The next line ends that state; until then who misses waits
// for one attempt to open it, and not for a server that is away.
func (a *Associations) Broken() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down, a.failed = true, time.Now()
	a.wake()
}

// wake needs mu.
func (a *Associations) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// Position is where a stream may be continued; false: nothing is held.
func (a *Associations) Position() (Position, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.at, a.Ready()
}

// Ready says whether a list has come: without one, no pod can be told from another.
func (a *Associations) Ready() bool { return a.ids.Load() != nil }

// wait returns when a list has come, or ctx is done.
func (a *Associations) wait(ctx context.Context) error {
	for {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		if a.Ready() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Settings are the newest; nil: none have come.
func (a *Associations) Settings() *Settings { return a.settings.Load() }

// ID returns the identity's association as far as the copy is. It takes no lock.
func (a *Associations) ID(who Identity) (string, bool) {
	ids := a.ids.Load()
	if ids == nil {
		return "", false
	}
	id, ok := ids.Load(who)
	if !ok {
		return "", false
	}
	return id.(string), true
}

// Settle waits until the copy holds whatever was created before the call, for two seconds at most. After an error the
// copy may lack something; where the stream is broken it comes as soon as that cannot be mended just now.
func (a *Associations) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleBudget)
	defer cancel()
	if err := a.mend(ctx); err != nil {
		return err
	}
	b, err := a.join(ctx)
	if err != nil {
		return err
	}
	for {
		a.mu.Lock()
		changed, down := a.changed, a.down
		a.mu.Unlock()
		if down {
			return errBroken
		}
		select {
		case <-b.done:
			return b.err
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for associations: %w", ctx.Err())
		}
	}
}

// mend returns once the stream runs. Where it does not, it has it opened and waits for what becomes of that.
func (a *Associations) mend(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	failed := a.failed
	switch {
	case !a.down:
		return nil
	case a.deaf, time.Since(failed) < mendPause:
		return errBroken
	}
	a.reopen()
	budget := time.After(mendBudget)
	for a.down {
		if a.deaf || !a.failed.Equal(failed) {
			return errBroken
		}
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
			a.mu.Lock()
		case <-budget:
			a.mu.Lock()
			a.deaf = a.down
		case <-ctx.Done():
			a.mu.Lock()
			return errBroken
		}
	}
	return nil
}

// join returns a barrier whose question is asked after the call.
func (a *Associations) join(ctx context.Context) (*barrier, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.down:
		return nil, errBroken
	case a.asking == nil:
		a.asking = &barrier{done: make(chan struct{})}
		// Others join: the question must not end with the one who happened to come first.
		go a.ask(context.WithoutCancel(ctx), a.asking)
		return a.asking, nil
	case a.next == nil:
		a.next = &barrier{done: make(chan struct{})}
	}
	return a.next, nil
}

// ask asks for b, and for those who came meanwhile, until nobody did.
func (a *Associations) ask(ctx context.Context, b *barrier) {
	for b != nil {
		b.err = a.reach(ctx)
		close(b.done)
		a.mu.Lock()
		b = a.next
		a.asking, a.next = b, nil
		a.mu.Unlock()
	}
}

func (a *Associations) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleBudget)
	defer cancel()
	p, err := a.position(ctx)
	if err != nil {
		return fmt.Errorf("asking how far the server is: %w", err)
	}
	for {
		a.mu.Lock()
		at, changed, down := a.at, a.changed, a.down
		a.mu.Unlock()
		switch {
		case at.Epoch == p.Epoch && at.Revision >= p.Revision && a.Ready():
			return nil
		case down:
			return errBroken
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for revision %d: %w", p.Revision, ctx.Err())
		}
	}
}

// IsBroken says whether an error of Settle is due to a broken stream.
func IsBroken(err error) bool { return errors.Is(err, errBroken) }
