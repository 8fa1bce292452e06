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
	now   func() time.Time
	ahead atomic.Int64 // of the server's clock
}

// learn reads an answer's Date. Differences that no signature survives are told, and moments stay as they are.
func (w *wall) learn(header http.Header) (tooFar error) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return nil
	}
	now := w.now()
	switch ahead := now.Sub(date).Truncate(time.Second); {
	case ahead.Abs() > maxSkew:
		w.ahead.Store(0)
		return fault.New(fault.Unavailable, "this node's clock says %s and the server's says %s: at most 15 minutes apart are accepted, so set the clock",
			now.UTC().Format(zulu), date.UTC().Format(zulu))
	case ahead.Abs() < noticed:
		w.ahead.Store(0)
	default:
		w.ahead.Store(int64(ahead))
	}
	return nil
}

// local is when a moment of the server's clock is on this node's.
func (w *wall) local(t time.Time) time.Time { return t.Add(time.Duration(w.ahead.Load())) }

// server is what the server's clock says at a moment of this node's.
func (w *wall) server(t time.Time) time.Time { return t.Add(-time.Duration(w.ahead.Load())) }
