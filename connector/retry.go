package connector

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// The pauses before something that failed is tried again: short at first, and growing. With jitter, as all clusters lose a
// server at once.
const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 15 * time.Second
)

// retry is what is done again and again until it comes about. A reason is told once, however long it lasts.
type retry struct {
	log  *slog.Logger
	what string // the sentence that is told

	pause time.Duration // before the last attempt; 0: that was the first, or the one before came about
	told  string        // the last reason
}

// failed tells why, if that is news, and returns how long to wait.
func (r *retry) failed(ctx context.Context, err error) time.Duration {
	r.pause = min(max(2*r.pause, shortestPause), longestPause)
	wait := r.pause/2 + rand.N(r.pause/2+1)
	if reason := err.Error(); reason != r.told && ctx.Err() == nil {
		r.told = reason
		r.log.LogAttrs(ctx, slog.LevelWarn, r.what, slog.String("reason", reason), slog.Duration("again_in", wait))
	}
	return wait
}

// ok says that it came about: the next failure is news, and the pause short.
func (r *retry) ok() { r.pause, r.told = 0, "" }
