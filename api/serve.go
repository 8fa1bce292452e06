package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/sigv4"
)

// maxBody bounds what is read before it is hashed: the largest body of these APIs is a policy document of 131,072
// characters, percent-encoded in a form.
const maxBody = 512 << 10

// ServeHTTP is the whole way of a request, told in order.
func (f *Frame) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.own(w, r) {
		return
	}
	c := &Call{Request: r, frame: f, ID: uuid.NewString(), Source: limit.Source(r.RemoteAddr), Started: f.Now()}
	out, err := f.answer(w, c)
	if c.streamed {
		return
	}
	if err == nil {
		err = c.Door.Reply(w, c, out)
	}
	code, status := "", http.StatusOK
	if err != nil {
		code, status = c.Door.Fail(w, c, err)
	}
	f.requests.WithLabelValues(c.Door.Service, c.operation(), code).Observe(time.Since(c.Started).Seconds())
	f.logLine(c, code, status, err)
}

// answer does what a request asks and returns what to reply. Whatever goes wrong, c.Door is set: it shapes the error.
func (f *Frame) answer(w http.ResponseWriter, c *Call) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	c.Door = f.fallback
	signature, err := f.door(c)
	if !f.Addresses.Allow(c.Source, c.Started) {
		return nil, fault.New(fault.Throttled, "Rate exceeded")
	}
	if err != nil {
		return nil, err
	}
	if c.Door.Stream != nil {
		c.streamed = true
		c.Door.Stream.ServeHTTP(w, c.Request)
		return nil, nil
	}
	if c.Body, err = readBody(w, c.Request); err != nil {
		return nil, err
	}
	if signature != nil {
		sum := sha256.Sum256(c.Body)
		c.Caller, err = f.Access.Authenticate(c.Request, signature, hex.EncodeToString(sum[:]))
		if err != nil {
			return nil, f.unauthenticated(c, err)
		}
		if !f.Principals.Allow(c.Caller.ARN, c.Started) {
			return nil, fault.New(fault.Throttled, "Rate exceeded")
		}
	}
	return f.operate(c)
}

// operate runs the operation between a place in the audit and its record.
func (f *Frame) operate(c *Call) (out any, err error) {
	if c.Operation, err = c.Door.Find(c); err != nil {
		return nil, err
	}
	if c.Caller == nil && !c.Operation.Unsigned {
		return nil, fault.New(fault.MissingAuth, "Missing Authentication Token")
	}
	leave, err := f.Gate.Enter(c.Request.Context(), c.Operation.Reserved)
	if err != nil {
		return nil, err
	}
	defer leave()
	place, err := f.Audit.Reserve()
	if err != nil {
		return nil, err
	}
	defer place.Release()
	c.Event = c.newEvent()
	out, err = c.Operation.Serve(c.Request.Context(), c)
	if err == nil && !c.decided {
		err = errors.New("the operation answered without asking whether it may")
	}
	if recorded := f.record(c, place, err); recorded != nil {
		return nil, recorded
	}
	return out, err
}

// record makes the decision durable before anything of it leaves. The context is not the request's: a client that
// went away does not take the record with it.
func (f *Frame) record(c *Call, place *audit.Place, err error) error {
	if err != nil {
		c.Event.ErrorCode, c.Event.ErrorMessage = fault.Of(err).String(), fault.Message(err)
		c.Event.ResponseElements = nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), 5*time.Second)
	defer cancel()
	switch {
	case err != nil && c.Shown != nil && !c.Shown.Verified:
		f.Audit.Unauthenticated(c.Event)
		return nil
	case err != nil && c.Shown != nil:
		return place.Refuse(ctx, c.Shown.Hash, c.Event.ErrorCode+" "+c.Event.ErrorMessage, c.Event)
	}
	place.Record(append([]*audit.Event{c.Event}, c.More...)...)
	return place.Commit(ctx)
}

// unauthenticated notes a caller that could not be verified, in the stream that never blocks, and passes the error on.
func (f *Frame) unauthenticated(c *Call, err error) error {
	e := c.newEvent()
	e.ErrorCode, e.ErrorMessage = fault.Of(err).String(), fault.Message(err)
	f.Audit.Unauthenticated(e)
	return err
}

// door finds the door: by the credential scope, and nothing else, for a signed request; by its Action for the few that
// may be unsigned.
func (f *Frame) door(c *Call) (*sigv4.Signature, error) {
	signature, err := sigv4.Parse(c.Request)
	if err == nil {
		if c.Door = f.doors[signature.Service]; c.Door == nil {
			c.Door = f.fallback
			return nil, fault.New(fault.Unsupported, "The credential scope names the service %q; this server answers for %s.", signature.Service, f.services())
		}
		return signature, nil
	}
	if fault.Of(err) != fault.MissingAuth || !isForm(c.Request) {
		return nil, err
	}
	// An unsigned form: its Action is read here, its body once more by the door.
	body, bad := readBody(nil, c.Request)
	if bad != nil {
		return nil, bad
	}
	c.Request.Body = io.NopCloser(strings.NewReader(string(body)))
	form, bad := url.ParseQuery(string(body))
	if bad != nil || len(form["Action"]) != 1 {
		return nil, err
	}
	d := f.unsigned[form.Get("Action")]
	if d == nil {
		return nil, err
	}
	c.Door = d
	return nil, nil
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded" && r.Method == http.MethodPost && r.URL.EscapedPath() == "/"
}

func (f *Frame) services() string {
	names := make([]string, 0, len(f.doors))
	for name := range f.doors {
		names = append(names, name)
	}
	return joinSorted(names)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, fault.New(fault.Malformed, "The body could not be read: it ended early.")
	}
	return body, nil
}

func tooLarge() error {
	return fault.New(fault.TooLarge, "The body is larger than %d bytes, which is the most that is accepted.", maxBody)
}

// own answers the paths that belong to no AWS service and need no signature.
func (f *Frame) own(w http.ResponseWriter, r *http.Request) bool {
	if (r.Method != http.MethodGet && r.Method != http.MethodHead) || r.Header.Get("Authorization") != "" || r.URL.RawQuery != "" {
		return false
	}
	var err error
	switch r.URL.EscapedPath() {
	case "/healthz":
	case "/readyz":
		err = f.Ready()
	default:
		return false
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		f.Log.Warn("not ready", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "not ready\n")
		return true
	}
	_, _ = io.WriteString(w, "ok\n")
	return true
}

// logLine writes the one line that a request leaves in the log.
func (f *Frame) logLine(c *Call, code string, status int, err error) {
	level, attrs := slog.LevelInfo, []slog.Attr{
		slog.String("request", c.ID), slog.String("door", c.Door.Service), slog.String("operation", c.operation()),
		slog.Int("status", status), slog.Duration("took", f.Now().Sub(c.Started)), slog.String("source", c.Source),
	}
	if c.Caller != nil {
		attrs = append(attrs, slog.String("caller", c.Caller.ARN))
	}
	if err != nil {
		attrs = append(attrs, slog.String("code", code), slog.String("error", err.Error()))
		if status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	f.Log.LogAttrs(c.Request.Context(), level, "request", attrs...)
}
