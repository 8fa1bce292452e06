package policy

import (
	"strconv"
	"sync/atomic"
	"time"
)

// second holds the context of one second of the clock.
type second struct {
	unix int64
	keys Context
}

// latest is the second that was asked for last. Every decision has the time, and most fall into the same second.
var latest atomic.Pointer[second]

// Clock returns the context keys that tell the time, aws:CurrentTime and aws:EpochTime, in whole seconds. Every question
// has them: a Deny that begins or ends at a time must never miss its key. The caller must not change them.
func Clock(now time.Time) Context {
	at := now.Unix()
	if s := latest.Load(); s != nil && s.unix == at {
		return s.keys
	}
	s := &second{unix: at, keys: Context{
		{Key: "aws:CurrentTime", Values: []string{now.UTC().Format(time.RFC3339)}},
		{Key: "aws:EpochTime", Values: []string{strconv.FormatInt(at, 10)}},
	}}
	latest.Store(s)
	return s.keys
}
