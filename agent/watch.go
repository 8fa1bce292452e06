package agent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// silence is how long a stream may say nothing: three heartbeats of the server. A connection that is open on this side
	// alone is found by it.
	silence = 15 * time.Second

	// The pauses before a stream is opened again: short for one that has served, growing for one that does not come about,
	// long for a server that has none. With jitter, as all nodes lose a server at once.
	shortestPause = 250 * time.Millisecond
	longestPause  = 30 * time.Second
	foreignPause  = 10 * time.Minute

	maxLine = 1 << 20 // bytes
	maxHeld = 10_000  // ids that the server takes
)

// watcher follows what Lanyard pushes: which credentials are not to be handed out again. Any other EKS Auth has no such
// stream, and the agent does without.
type watcher struct {
	url   string
	epoch string // with revision: what of the server's history is known
	at    int64
}

// pushed is a line of the stream (api/lanyard/openapi.json, Invalidations).
type pushed struct {
	Epoch         string         `json:"epoch"`
	Revision      int64          `json:"revision"`
	Recheck       bool           `json:"recheck"`
	Invalidations []invalidation `json:"invalidations"`
}

// errForeign says that the server has no such stream, or not for this agent: it is no Lanyard, perhaps.
type errForeign struct{ error }

// watch follows the stream until ctx is done, and opens it again whenever it ends.
func (a *Agent) watch(ctx context.Context) {
	pause, told := shortestPause, ""
	for {
		lines, err := a.follow(ctx)
		a.metrics.watching.Set(0)
		if ctx.Err() != nil {
			return
		}
		if lines > 0 {
			pause, told = shortestPause, ""
		}
		wait := pause/2 + rand.N(pause/2+1)
		if errors.As(err, new(errForeign)) {
			wait = foreignPause/2 + rand.N(foreignPause/2)
		}
		if message := err.Error(); message != told { // once, however long it lasts
			told = message
			a.log.LogAttrs(ctx, slog.LevelInfo, "no invalidations are pushed", slog.String("reason", message), slog.Duration("again_in", wait))
		}
		pause = min(2*pause, longestPause)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// follow opens the stream and does what it says until it ends. It returns how many lines came.
func (a *Agent) follow(ctx context.Context) (lines int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(silence, func() {
		// Where one connection is dead and not closed, so may be those that rest, and the next try would wait on one.
		a.upstream.client.CloseIdleConnections()
		cancel(fmt.Errorf("the stream is silent for %s", silence))
	})
	defer alive.Stop()
	response, err := a.openStream(ctx)
	if err != nil {
		return 0, cause(ctx, err)
	}
	defer response.Body.Close()
	in := bufio.NewScanner(response.Body)
	in.Buffer(nil, maxLine)
	for in.Scan() {
		var line pushed
		if err := json.Unmarshal(in.Bytes(), &line); err != nil || line.Epoch == "" {
			return lines, errors.New("a line of the stream cannot be read")
		}
		alive.Reset(silence)
		lines++
		a.metrics.watching.Set(1)
		a.obey(ctx, line)
	}
	if err := in.Err(); err != nil {
		return lines, cause(ctx, err)
	}
	return lines, errors.New("the server ended the stream")
}

// cause prefers our own reason for giving up.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// openStream asks for the stream, signed as the node's agent, and tells what is known and held.
func (a *Agent) openStream(ctx context.Context) (*http.Response, error) {
	self, err := a.upstream.identity.session(ctx)
	if err != nil {
		return nil, err
	}
	in := struct {
		Epoch        string   `json:"epoch"`
		Revision     int64    `json:"revision"`
		Associations []string `json:"associations"`
		Roles        []string `json:"roles"`
	}{Epoch: a.watcher.epoch, Revision: a.watcher.at}
	if in.Associations, in.Roles = a.cache.held(); len(in.Associations) > maxHeld || len(in.Roles) > maxHeld {
		in.Epoch, in.Associations, in.Roles = "", nil, nil
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.watcher.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header["Content-Type"] = jsonType
	digest := sha256.Sum256(body)
	if err := a.upstream.signer.SignHTTP(ctx, self, r, hex.EncodeToString(digest[:]), "lanyard", a.upstream.region, a.now()); err != nil {
		return nil, fmt.Errorf("signing the request: %w", err)
	}
	r.Header["Idempotency-Key"] = []string{} // not sent: a connection that was just closed is replaced
	response, err := a.upstream.client.RoundTrip(r)
	if err != nil || response.StatusCode == http.StatusOK && response.Header.Get("Content-Type") == "application/x-ndjson" {
		return response, err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close() // read; nothing to lose
	if err != nil {
		return nil, err
	}
	return nil, a.refusedStream(response, text, self.AccessKeyID)
}

// refusedStream sorts refusals. Some pass, some end with the agent's session; whoever answers otherwise will do so for
// long.
func (a *Agent) refusedStream(response *http.Response, body []byte, accessKeyID string) error {
	status, name := response.StatusCode, exceptionName(response.Header.Get("X-Amzn-ErrorType"))
	var wire struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &wire) // without a message the status has to do
	err := fmt.Errorf("the server answers with status %d, %.80s: %s", status, oneLine(name), oneLine(wire.Message))
	switch name {
	case "ExpiredTokenException", "UnrecognizedClientException":
		a.upstream.identity.discard(accessKeyID)
	case "ThrottlingException":
	default:
		if status < http.StatusInternalServerError {
			return errForeign{err}
		}
	}
	return err
}

// obey does what a line says, and only then counts as knowing it.
func (a *Agent) obey(ctx context.Context, line pushed) {
	recheck := line.Recheck
	for _, i := range line.Invalidations {
		recheck = recheck || !i.known()
	}
	a.changes.add(line.Invalidations, recheck)
	if len(line.Invalidations) > 0 {
		a.refusals.forget() // an association may have come that pods wait for
		gone := a.cache.invalidate(line.Invalidations)
		a.metrics.invalidated.Add(float64(gone))
		if unlogged, ok := a.quiet.pass(a.now()); ok && gone > 0 {
			a.log.LogAttrs(ctx, slog.LevelInfo, "credentials invalidated", slog.Int("entries", gone), slog.Int("unlogged", unlogged))
		}
	}
	if recheck {
		a.cache.recheck(a.now())
	}
	a.watcher.epoch, a.watcher.at = line.Epoch, line.Revision
}
