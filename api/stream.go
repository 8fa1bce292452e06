package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/openlanyard/lanyard/policy"
)

// Streaming is an operation's answer that goes on: lines of JSON, until it returns. Its request is decided and recorded
// before it starts, and its place among those that run is free again; it asks Again before what it says later. ctx ends
// with the request, and when the frame is told to end its streams. An error before the first line is answered as any other.
type Streaming func(ctx context.Context, out *Lines) error

// Lines writes the lines of a stream. A client that does not take one in time is cut off, not waited for.
type Lines struct {
	w       http.ResponseWriter
	call    *Call
	started bool
}

// linePatience is how long a client may take to make room for what is written: a slow one is cut off, and comes again.
const linePatience = 10 * time.Second

// Line sends a value as a line.
func (l *Lines) Line(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = l.Write(append(line, '\n'))
	return err
}

// Write sends lines that are made already, at once.
func (l *Lines) Write(lines []byte) (int, error) {
	if !l.started {
		l.started = true
		h := l.w.Header()
		for name, value := range map[string]string{
			"X-Amzn-Requestid": l.call.ID, "Content-Type": "application/x-ndjson", "X-Content-Type-Options": "nosniff",
			"Cache-Control": "no-store", "X-Accel-Buffering": "no",
		} {
			h.Set(name, value)
		}
	}
	connection := http.NewResponseController(l.w)
	if err := connection.SetWriteDeadline(time.Now().Add(linePatience)); err != nil {
		return 0, err
	}
	n, err := l.w.Write(lines)
	if err == nil {
		err = connection.Flush()
	}
	return n, err
}

// reply runs a stream. Once it has begun, an error has nobody to be told to but the log.
func (s Streaming) reply(w http.ResponseWriter, c *Call) error {
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(c.frame.streams, cancel)()
	out := &Lines{w: w, call: c}
	err := s(ctx, out)
	if !out.started {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // of the last line; the connection may serve another request
	if err != nil && !errors.Is(err, context.Canceled) {
		c.frame.Log.LogAttrs(ctx, slog.LevelWarn, "a stream was cut", slog.String("request", c.ID), slog.String("operation", c.operation()),
			slog.String("caller", c.Caller.ARN), slog.Any("error", err))
	}
	return nil
}

// Again asks whether the caller of a stream may still do the action to the resource, as things are now.
func (c *Call) Again(action, resource string, extra ...policy.Entry) error {
	caller, err := c.frame.Access.Again(c.Caller)
	if err != nil {
		return err
	}
	_, err = c.frame.Access.Authorize(caller, action, resource, append(RequestContext(c.Request, c.frame.Region), extra...))
	return err
}

// EndStreams ends the streams that are under way and those to come, so that a server can stop.
func (f *Frame) EndStreams() { f.endStreams() }
