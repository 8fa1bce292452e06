package main

import (
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// logs is where all loggers of the process write.
var logs = &gathered{out: os.Stderr}

// newLogger logs to stderr: text on a terminal, JSON elsewhere.
func newLogger(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return slog.New(slog.NewTextHandler(logs, options))
	}
	return slog.New(slog.NewJSONHandler(logs, options))
}

// gatherFor is how long a line waits for others, and so what a crash may lose of the log. The audit waits for nobody.
const gatherFor = 10 * time.Millisecond

// gathered writes what comes within a moment in one call: a busy server has a line for each request, and a call of the
// kernel for each would cost more than the line itself.
type gathered struct {
	mu    sync.Mutex
	out   io.Writer
	lines []byte
	err   error // of the last call
}

// Write takes a line. It reports how the call before it went.
func (g *gathered) Write(line []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lines) == 0 {
		time.AfterFunc(gatherFor, g.Flush)
	}
	g.lines = append(g.lines, line...)
	if len(g.lines) >= 64<<10 {
		g.flush()
	}
	return len(line), g.err
}

// Flush writes what has been gathered.
func (g *gathered) Flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flush()
}

func (g *gathered) flush() {
	if len(g.lines) > 0 {
		_, g.err = g.out.Write(g.lines)
		g.lines = g.lines[:0]
	}
}
