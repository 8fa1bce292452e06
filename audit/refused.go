package audit

import (
	"context"
	"sync"
	"time"
)

// maxRefusals bounds the table of refusals. When it is full the oldest minute ends early: its count is written, and the next
// refusal of that token is recorded in full again.
const maxRefusals = 4096

type refusalKey struct {
	token  [32]byte
	reason string
}

// refusal is one (token, reason) within its minute.
type refusal struct {
	key     refusalKey
	first   Event // only the fields that the count repeats
	began   time.Time
	repeats int
}

// refusals remembers what was refused in the last minute. All windows are of one length, so order is the order of expiry.
type refusals struct {
	window time.Duration

	mu    sync.Mutex
	live  map[refusalKey]*refusal
	order []*refusal // oldest first; one that was forgotten stays until its turn
}

// Refuse is Record and Commit for a token that was verified and then refused. The first refusal of a (token, reason) within a
// minute is recorded and durable; those that follow are only counted, and the count becomes one more record when the
// minute is over. So a pod that asks in a loop cannot fill the disk, and leaves its trace. The token is given as its SHA-256,
// the reason is one of the caller's own fixed texts. A repeat does not wait for the first to be durable: what it answers is a
// refusal. Errors are those of Commit.
func (p *Place) Refuse(ctx context.Context, token [32]byte, reason string, e *Event) error {
	l := p.log
	fillIn(e, l, "")
	key := refusalKey{token: token, reason: reason}
	first, evicted := l.refused.note(key, e, l.config.Now())
	if evicted != nil {
		l.enqueueCounts([]*refusal{evicted})
	}
	if !first {
		return nil
	}
	p.Record(e)
	err := p.Commit(ctx)
	if err != nil {
		l.refused.forget(key)
	}
	return err
}

// note counts a refusal, and says whether it is the first of its minute. The evicted one, if any, has a count to write.
func (r *refusals) note(key refusalKey, e *Event, now time.Time) (first bool, evicted *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.live[key]; known != nil {
		known.repeats++
		return false, nil
	}
	if len(r.order) >= maxRefusals {
		if oldest := r.shift(); oldest.repeats > 0 {
			evicted = oldest
		}
	}
	if r.live == nil {
		r.live = make(map[refusalKey]*refusal)
	}
	fresh := &refusal{key: key, began: now, first: Event{
		EventID: e.EventID, EventSource: e.EventSource, EventName: e.EventName, AWSRegion: e.AWSRegion, ErrorCode: e.ErrorCode,
		ReadOnly: e.ReadOnly, UserIdentity: e.UserIdentity, RecipientAccountID: e.RecipientAccountID, ManagementEvent: e.ManagementEvent,
		SourceIPAddress: e.SourceIPAddress,
	}}
	r.live[key] = fresh
	r.order = append(r.order, fresh)
	return true, evicted
}

// forget makes the next refusal the first again, because this one could not be recorded.
func (r *refusals) forget(key refusalKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, key)
}

// shift takes the oldest one out.
func (r *refusals) shift() *refusal {
	oldest := r.order[0]
	r.order[0] = nil
	r.order = r.order[1:]
	if r.live[oldest.key] == oldest {
		delete(r.live, oldest.key)
	}
	return oldest
}

// over takes out those whose minute is over and returns the ones with a count to write.
func (r *refusals) over(now time.Time) []*refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var counted []*refusal
	for len(r.order) > 0 && now.Sub(r.order[0].began) >= r.window {
		if oldest := r.shift(); oldest.repeats > 0 {
			counted = append(counted, oldest)
		}
	}
	return counted
}

// all is over for the end of the process.
func (r *refusals) all() []*refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var counted []*refusal
	for len(r.order) > 0 {
		if oldest := r.shift(); oldest.repeats > 0 {
			counted = append(counted, oldest)
		}
	}
	return counted
}

// event is the record of the count.
func (r *refusal) event() *Event {
	e := r.first
	e.EventID = ""
	e.EventType = "AwsServiceEvent"
	e.AdditionalEventData = map[string]any{
		"refusedAgain": r.repeats, "reason": r.key.reason, "firstEventID": r.first.EventID,
	}
	return &e
}
