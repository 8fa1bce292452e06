package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

const (
	// feedSilence is how long a feed may say nothing before it counts as cut. It says something every second.
	feedSilence = 10 * time.Second
	// maxFeedLine is more than any record has.
	maxFeedLine = 16 << 20
	// The pauses before a feed is opened again.
	feedRetry, maxFeedRetry = 100 * time.Millisecond, 5 * time.Second
)

// follower is how a store without etcd gets its copy: from the feed of one that has it.
type follower struct {
	open   func(ctx context.Context, from Position) (io.ReadCloser, error)
	loaded chan struct{} // closed once there is a first snapshot
}

// Following reports whether this copy is filled by a feed. Nothing can be written to it, and no Barrier be had.
func (s *Store) Following() bool { return s.follower != nil }

func readOnly() error {
	return fault.New(fault.Unavailable, "this is a copy that follows a server: it is not written to")
}

// startFollowing returns once the first snapshot is there; ctx bounds the wait.
func (s *Store) startFollowing(ctx context.Context) error {
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.tasks.Go(func() { s.followFeed(running) })
	select {
	case <-s.follower.loaded:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// followFeed reads one feed after the other until ctx ends. A feed that is cut does not make the copy unready: Age grows.
func (s *Store) followFeed(ctx context.Context) {
	pause := feedRetry
	for {
		before := s.progress.Load()
		err := s.readFeed(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.progress.Load() != before {
			pause = feedRetry
		}
		s.log.Warn("the feed is cut; opening it again", "error", err)
		select {
		case <-time.After(pause/2 + rand.N(pause)): // many followers lose one server at the same moment
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, maxFeedRetry)
	}
}

// readFeed opens a feed and applies it until it ends, which is always an error.
func (s *Store) readFeed(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(feedSilence, cancel)
	defer silence.Stop()
	body, err := s.follower.open(ctx, s.position())
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("nobody answered within %v: %w", feedSilence, err)
	}
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = body.Close() })() // ends a Read that waits
	defer func() { _ = body.Close() }()                         // its error was already Read's
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), maxFeedLine)
	intake := &intake{store: s}
	for lines.Scan() {
		silence.Reset(feedSilence)
		var l feedLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return errors.New("the feed has a line that is no JSON") // whose text may hold secrets
		}
		if err := intake.take(l); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("it said nothing for %v", feedSilence)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// position is what this copy has.
func (s *Store) position() Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.started {
		return Position{}
	}
	return Position{Epoch: s.epoch, Revision: s.Revision()}
}

// intake collects what a feed says until its next mark.
type intake struct {
	store   *Store
	epoch   string
	present map[string]bool // paths in the snapshot; nil once it is applied, and where the feed resumes
	changes []func()
}

func (in *intake) take(l feedLine) error {
	s := in.store
	switch {
	case in.epoch == "":
		return in.begin(l)
	case l.Table != "" && l.Table != metaTable && !strings.Contains(l.Table, "/") && l.Key != "":
		path := root + l.Table + "/" + l.Key
		if len(l.Value) == 0 {
			in.changes = append(in.changes, func() { s.drop(path) })
			delete(in.present, path)
			return nil
		}
		in.changes = append(in.changes, s.prepare(path, l.Value, l.Created, l.Modified))
		if in.present != nil {
			in.present[path] = true
		}
		return nil
	case l.Revision > 0 && l.Age >= 0:
		in.mark(l)
		return nil
	}
	return errors.New("the feed has a line of a form that this program does not know")
}

func (in *intake) begin(l feedLine) error {
	if l.Form != feedForm || l.Epoch == "" {
		return fmt.Errorf("the feed is of form %d, this program knows %d", l.Form, feedForm)
	}
	if l.Resumes && l.Epoch != in.store.position().Epoch {
		return errors.New("the feed resumes what this copy does not have")
	}
	seal, err := ParseMasterKey([]byte(l.Seal))
	if err != nil {
		return errors.New("the feed has no key for its secrets")
	}
	for _, t := range in.store.tables {
		t.sealedUnder(seal)
	}
	if in.epoch = l.Epoch; !l.Resumes {
		in.present = map[string]bool{}
	}
	return nil
}

// mark puts what was collected into the copy at once. The first mark of a feed ends its snapshot: whatever is not in it is gone.
func (in *intake) mark(l feedLine) {
	s := in.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.present != nil {
		s.dropAbsent(in.present)
		if in.epoch != s.epoch || l.Revision < s.Revision() {
			s.revision.Store(0) // another history
		}
		s.epoch = in.epoch
	}
	for _, change := range in.changes {
		change()
	}
	in.changes, in.present = nil, nil
	s.progress.Store(s.now().Add(-time.Duration(l.Age) * time.Millisecond).UnixNano())
	s.advance(l.Revision)
	if !s.started {
		s.started = true
		close(s.follower.loaded)
	}
}
