package connector

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// silence is how long a stream may say nothing: three heartbeats of the server. A connection that is open on this side
	// alone is found by it.
	silence = 15 * time.Second

	maxLine = 16 << 20 // bytes: 40,000 associations, the most that a server lets a cluster have, at 400 bytes each, and room
)

// Stream follows what the server tells the connectors of a cluster, and asks it at once where a pod waits for the answer.
type Stream struct {
	client  *Client
	version string
	log     *slog.Logger
	metrics *metrics
	apply   func(*Line) error // called with one line at a time, in the order of the server's history
	hurry   chan struct{}     // holds one where somebody waits for the stream to be opened

	mu sync.Mutex // held while a line is applied
	at Position

	state struct {
		sync.Mutex
		err error // why the stream is broken; nil: it is not
	}
}

var (
	errAnother = errors.New("the server's history is another one")
	errBehind  = errors.New("the stream went back to where the server's replica is")
)

var errNotYet = fault.New(fault.Unavailable, "the server has not told this cluster's associations yet")

func newStream(c *Client, version string, log *slog.Logger, m *metrics, apply func(*Line) error) *Stream {
	s := &Stream{client: c, version: version, log: log, metrics: m, apply: apply, hurry: make(chan struct{}, 1)}
	s.state.err = errNotYet
	return s
}

// Broken says why what the server has told may be out of date, or nil while the stream runs: who decides then goes by the
// last list.
func (s *Stream) Broken() error {
	s.state.Lock()
	defer s.state.Unlock()
	return s.state.err
}

func (s *Stream) setBroken(err error) {
	s.state.Lock()
	defer s.state.Unlock()
	s.state.err = err
	if err == nil {
		s.metrics.streaming.Set(1)
	} else {
		s.metrics.streaming.Set(0)
	}
}

// introduction is what the connector says of itself and of what it knows.
type introduction struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	Epoch    string `json:"epoch"`
	Revision int64  `json:"revision"`
	Once     bool   `json:"once"`
}

func (s *Stream) position() Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *Stream) ask(ctx context.Context, after Position, once bool) (*http.Response, error) {
	in := introduction{Instance: s.client.Instance, Version: s.version, Epoch: after.Epoch, Revision: after.Revision, Once: once}
	return s.client.open(ctx, http.MethodPost, s.client.path("connector"), in)
}

// Barrier asks which associations were made up to now, and applies that: what was written before the question is known
// after the answer. Of what was removed the answer tells nothing, so it does not count as a position of the stream. It
// returns the copy's own position.
func (s *Stream) Barrier(ctx context.Context) (Position, error) {
	after := s.position()
	response, err := s.ask(ctx, after, true)
	if err != nil {
		return Position{}, err
	}
	defer response.Body.Close()
	var line Line
	if err := json.NewDecoder(io.LimitReader(response.Body, maxLine)).Decode(&line); err != nil {
		return Position{}, fault.Hide(fault.Unavailable, err, "the server's answer cannot be read")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.at.Epoch == "" || line.Epoch != s.at.Epoch:
		return Position{}, errAnother // the stream is about to begin anew
	case s.at.Revision < after.Revision:
		return Position{}, errBehind // it began anew meanwhile, and the answer lacks what came before the question
	case line.Revision <= s.at.Revision:
		return s.at, nil // the stream has told all of it, and perhaps what was removed since
	}
	return s.at, s.apply(&Line{Epoch: s.at.Epoch, Revision: s.at.Revision, Associations: line.Associations})
}

// Reopen ends the pause of a broken stream.
func (s *Stream) Reopen() {
	select {
	case s.hurry <- struct{}{}:
	default: // it is about to be opened
	}
}

// Run follows the stream until ctx is done, and opens it again whenever it ends; broken is called then.
func (s *Stream) Run(ctx context.Context, broken func()) {
	again := retry{log: s.log, what: "the server's stream is broken"}
	for {
		lines, err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		broken()
		s.setBroken(fault.Hide(fault.Unavailable, err, "the stream of the server is broken"))
		if lines > 0 {
			again.ok()
		}
		select {
		case <-time.After(again.failed(ctx, err)):
		case <-s.hurry:
		case <-ctx.Done():
			return
		}
	}
}

// follow opens the stream and applies its lines until it ends. It returns how many came.
func (s *Stream) follow(ctx context.Context) (lines int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alive := time.AfterFunc(silence, func() {
		// Where one connection is dead and not closed, so may be those that rest, and the next try would wait on one.
		s.client.http.CloseIdleConnections()
		cancel(fmt.Errorf("the stream is silent for %s", silence))
	})
	defer alive.Stop()
	response, err := s.ask(ctx, s.position(), false)
	if err != nil {
		return 0, cause(ctx, err)
	}
	defer response.Body.Close()
	in := bufio.NewScanner(response.Body)
	in.Buffer(nil, maxLine)
	for in.Scan() {
		var line Line
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return lines, errors.New("a line of the stream cannot be read")
		}
		alive.Reset(silence)
		if err := s.take(&line); err != nil {
			return lines, err
		}
		if lines++; lines == 1 {
			s.log.LogAttrs(ctx, slog.LevelInfo, "following the server", slog.Int64("revision", line.Revision))
		}
		s.setBroken(nil)
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

// take applies a line and only then counts as knowing it. After an error the stream begins anew.
func (s *Stream) take(line *Line) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.apply(line); err != nil {
		return err
	}
	s.at = Position{line.Epoch, line.Revision}
	return nil
}
