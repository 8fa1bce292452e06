package agent

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// maxSkew is how far apart the clocks of a signer and a server may be.
	maxSkew = 15 * time.Minute
	// noticed is the difference from which on it is one: Date has whole seconds, and answers take their time.
	noticed = 10 * time.Second
)

// wall knows how this node's clock differs from the server's, by the Date of its answers. Moments in tokens and sessions
// are of the server's clock; those that pods are told are compared with this node's.
type wall struct {
	now  func() time.Time
	skew atomic.Int64 // how far this node's clock is ahead
}

// learn reads an answer's Date.
func (w *wall) learn(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	ahead := w.now().Sub(date).Truncate(time.Second)
	if ahead.Abs() < noticed {
		ahead = 0
	}
	w.skew.Store(int64(ahead))
}

// wrong says that the clocks are further apart than any signature survives.
func (w *wall) wrong() error {
	skew := time.Duration(w.skew.Load())
	if skew.Abs() <= maxSkew {
		return nil
	}
	now := w.now()
	return fault.New(fault.Unavailable, "this node's clock says %s and the server's says %s: at most 15 minutes apart are accepted, so set the clock",
		now.UTC().Format(zulu), now.Add(-skew).UTC().Format(zulu))
}

// ahead is by how much moments are moved. A server that says anything does not move them far.
func (w *wall) ahead() time.Duration {
	if skew := time.Duration(w.skew.Load()); skew.Abs() <= maxSkew {
		return skew
	}
	return 0
}

// local is when a moment of the server's clock is on this node's.
func (w *wall) local(t time.Time) time.Time { return t.Add(w.ahead()) }

// server is what the server's clock says at a moment of this node's.
func (w *wall) server(t time.Time) time.Time { return t.Add(-w.ahead()) }
