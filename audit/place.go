package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/openlanyard/lanyard/fault"
)

// eventVersion is that of CloudTrail's format which the records follow.
const eventVersion = "1.09"

// Place is the right to record one decision. It belongs to one goroutine.
type Place struct {
	Patience time.Duration // how long Commit and Write wait at most; 0: as long as their ctx, which costs more when it has a deadline

	log     *Log
	buffer  *[]byte // whose array lines may use; goes back to buffers
	lines   []byte
	ends    []int // where each line ends in lines
	err     error // the first that Record met
	durable bool
	queued  bool // the writer has it, and gives the place back
	free    bool
	done    chan error
}

// buffers keeps the arrays of past places. Its members are written again before they are read.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Reserve takes a place before anything is decided. When none is free, because the disk is too slow or too many decisions
// are under way, it answers a fault of kind Unavailable at once; so it does while the log cannot be written, for what is
// not recorded must not be done. Defer Release.
func (l *Log) Reserve() (*Place, error) {
	if l.full.Load() {
		l.turnedAway.Add(1)
		return nil, unavailable(errors.New("the log cannot be written"))
	}
	if l.places.Add(1) > int64(l.config.Capacity) {
		l.places.Add(-1)
		l.turnedAway.Add(1)
		return nil, fault.New(fault.Unavailable, "too many requests are being decided at once")
	}
	buffer := buffers.Get().(*[]byte)
	return &Place{log: l, buffer: buffer, lines: (*buffer)[:0], done: make(chan error, 1)}, nil
}

// Record fills the place. Events of one call are one decision: unless they have a SharedEventID, they get a common one. The
// events are encoded before Record returns, with the empty fields that Event names filled in. An event that cannot be
// encoded makes Commit and Write fail.
func (p *Place) Record(events ...*Event) {
	shared := ""
	if len(events) > 1 {
		shared = newID()
	}
	for _, e := range events {
		fillIn(e, p.log, shared)
		lines, err := appendEvent(p.lines, e)
		if err != nil {
			p.err = errors.Join(p.err, err)
			continue
		}
		p.lines = lines
		p.ends = append(p.ends, len(lines))
	}
}

// newID returns a random UUID. It names an event and is no secret, so the process's generator serves, which is seeded by the system
// and costs no call of it.
func newID() string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, RFC 9562
	return id.String()
}

func fillIn(e *Event, l *Log, shared string) {
	if e.EventVersion == "" {
		e.EventVersion = eventVersion
	}
	if e.EventTime.IsZero() {
		e.EventTime = l.config.Now()
	}
	if e.EventID == "" {
		e.EventID = newID()
	}
	if e.SharedEventID == "" {
		e.SharedEventID = shared
	}
	if e.EventType == "" {
		e.EventType = "AwsApiCall"
	}
	if e.EventCategory == "" {
		e.EventCategory = "Data"
		if e.ManagementEvent {
			e.EventCategory = "Management"
		}
	}
}

// Commit returns once the records are durable; only then may the answer leave. A fault of kind Unavailable means that this
// is not known: the disk refused, the log is closed, or ctx or Patience ended first, in which case the records may still be
// written.
func (p *Place) Commit(ctx context.Context) error {
	p.durable = true
	return p.submit(ctx)
}

// Write returns once the records are in the file, where they survive the process; they are synced within a second. It is for
// a gateway's data events, before the call upstream. Errors are those of Commit.
func (p *Place) Write(ctx context.Context) error { return p.submit(ctx) }

func (p *Place) submit(ctx context.Context) error {
	switch {
	case p.err != nil:
		return p.err
	case len(p.ends) == 0:
		return errors.New("an audit place was committed without a record")
	case p.queued || p.free:
		return errors.New("an audit place was used twice")
	}
	if err := p.log.enqueue(p); err != nil {
		return err
	}
	p.queued = true
	var late <-chan time.Time
	if p.Patience > 0 {
		timer := time.NewTimer(p.Patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	case <-late:
		return unavailable(context.DeadlineExceeded)
	}
}

// Release gives the place back unless Commit or Write has passed it to the writer, which does so itself, even when the
// caller stopped waiting: a slow disk must not let more decisions begin. It may be called more than once.
func (p *Place) Release() {
	if !p.queued && !p.free {
		p.giveBack()
	}
}

// finish is the writer's: it answers who waits.
func (p *Place) finish(err error) {
	if p.buffer != nil {
		p.giveBack()
	}
	p.done <- err
}

func (p *Place) giveBack() {
	p.free = true
	*p.buffer = p.lines[:0]
	buffers.Put(p.buffer)
	p.buffer, p.lines = nil, nil
	p.log.places.Add(-1)
}
