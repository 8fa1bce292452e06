package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	streamName = "unauthenticated.jsonl"
	// streamRate and streamBurst bound what strangers can make us write: 20 records a second after the first 100.
	streamRate  = 20
	streamBurst = 100
	// streamSize bounds the file; the one before it is kept under another name, so strangers cost at most twice as much.
	streamSize = 16 << 20
)

// stream is the record of calls by nobody. It has no chain, is not synced, and loses what comes too fast: it may neither
// delay the decisions nor fill their disk.
type stream struct {
	config  Config
	name    string
	limit   *rate.Limiter
	lines   chan []byte
	dropped atomic.Int64 // since that was last written
	lost    atomic.Int64 // since the start

	// These belong to run.
	file    *os.File
	size    int64
	failing bool
}

func openStream(dir string, config Config) (*stream, error) {
	s := &stream{
		config: config, name: filepath.Join(dir, streamName),
		limit: rate.NewLimiter(streamRate, streamBurst), lines: make(chan []byte, streamBurst),
	}
	return s, s.open()
}

func (s *stream) open() error {
	f, err := os.OpenFile(s.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the record of unauthenticated calls: %w", err)
	}
	if err := private(s.name); err != nil {
		return errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.size = f, info.Size()
	return nil
}

// Unauthenticated records a failure before anyone is known: the caller or the token is not verified. It never blocks and
// costs next to nothing above its rate; what it drops is counted, and the count is written.
func (l *Log) Unauthenticated(e *Event) {
	s := l.strange
	if !s.limit.AllowN(l.config.Now(), 1) {
		s.drop()
		return
	}
	fillIn(e, l, "")
	line, err := appendEvent(nil, e)
	if err != nil {
		s.drop()
		return
	}
	select {
	case s.lines <- append(line, "}\n"...):
	default:
		s.drop()
	}
}

func (s *stream) drop() {
	s.dropped.Add(1)
	s.lost.Add(1)
}

func (s *stream) run(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case line := <-s.lines:
			s.write(line)
		case <-second.C:
			s.writeDropped()
		case <-ctx.Done():
			for len(s.lines) > 0 {
				s.write(<-s.lines)
			}
			s.writeDropped()
			return
		}
	}
}

func (s *stream) writeDropped() {
	n := s.dropped.Swap(0)
	if n == 0 {
		return
	}
	line := fmt.Appendf(nil, `{"eventTime":%q,"eventName":"Dropped","dropped":%d}`+"\n",
		s.config.Now().UTC().Format(time.RFC3339), n)
	if !s.write(line) {
		s.dropped.Add(n)
	}
}

// write reports whether the line is in the file. A failure is logged when it begins; what is lost meanwhile is counted.
func (s *stream) write(line []byte) bool {
	err := s.tryWrite(line)
	if err != nil && !s.failing {
		s.config.Logger.Error("writing the record of unauthenticated calls", slog.Any("error", err))
	}
	if err != nil {
		s.drop()
	}
	s.failing = err != nil
	return err == nil
}

func (s *stream) tryWrite(line []byte) error {
	if s.size >= streamSize {
		if err := s.rotate(); err != nil {
			return err
		}
	}
	n, err := s.file.Write(line)
	s.size += int64(n)
	return err
}

func (s *stream) rotate() error {
	if err := os.Rename(s.name, s.name+".1"); err != nil {
		return err
	}
	old := s.file
	if err := s.open(); err != nil {
		return err
	}
	return old.Close()
}
