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
	"net"
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
const (
	maxBody     = 512 << 10
	smallBody   = 8 << 10
	largeBodies = 64 // bodies over smallBody that are read at once
	largeOfOne  = 16 // of them from one address
)

// auditPatience is how long a disk may take for the record of a call before the call fails.
const auditPatience = 5 * time.Second

// ServeHTTP is the whole way of a request, told in order.
func (f *Frame) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &Call{
		Request: r, frame: f, ID: uuid.NewString(), Source: Source(r), Started: f.Now(), Door: f.fallback,
	}
	connection, now := http.NewResponseController(w), time.Now()
	_ = connection.SetWriteDeadline(now.Add(f.AnswerTimeout)) // what has no deadlines is no connection
	if r.ContentLength != 0 {                                 // what nobody reads of it, net/http does before it answers
		_ = connection.SetReadDeadline(now.Add(f.BodyTimeout))
	}
	signature, own, err := f.begin(w, c)
	switch {
	case own:
		return
	case err == nil && c.Door.Stream != nil && (signature != nil || isPreflight(c)):
		f.stream(w, c)
		return
	case err == nil:
		err = f.answer(w, c, signature)
	}
	code, status := "", http.StatusOK
	if err != nil {
		code, status, err = f.fail(w, c, err)
	}
	f.observe(c, c.operation(), code)
	f.logLine(c, code, status, err)
}

// begin answers what is the frame's own, or finds the door and who is said to have signed.
func (f *Frame) begin(w http.ResponseWriter, c *Call) (signature *sigv4.Signature, own bool, err error) {
	defer recovered(&err)
	if f.own(w, c.Request) {
		return nil, true, nil
	}
	signature, err = f.door(c)
	if err != nil && !fault.Is(err, fault.Throttled) { // a flood is not worth the work
		err = f.unauthenticated(c, err)
	}
	return signature, false, err
}

// stream leaves a request to a door that answers, audits and logs, and ends a connection that it cannot answer on: by a
// panic, which is for net/http.
func (f *Frame) stream(w http.ResponseWriter, c *Call) {
	var operation, code string
	defer func() { f.observe(c, operation, code) }()
	operation, code = c.Door.Stream(w, c.Request)
}

// fail answers an error in the door's shape. A door that cannot say even that is answered for.
func (f *Frame) fail(w http.ResponseWriter, c *Call, err error) (code string, status int, cause error) {
	defer func() {
		if p := recover(); p != nil {
			code, status, cause = "InternalFailure", http.StatusInternalServerError, errors.Join(err, panicked(p))
			writeBody(w, c, "text/plain; charset=utf-8", status, []byte(code+"\n"))
		}
	}()
	code, status = c.Door.Fail(w, c, err)
	return code, status, err
}

func (f *Frame) observe(c *Call, operation, code string) {
	f.requests.WithLabelValues(c.Door.Service, operation, code).Observe(f.Now().Sub(c.Started).Seconds())
}

// answer does what a request asks and replies. After an error nothing is written yet.
func (f *Frame) answer(w http.ResponseWriter, c *Call, signature *sigv4.Signature) (err error) {
	defer recovered(&err)
	if c.Body, err = f.readBody(w, c.Request); err != nil {
		return err
	}
	if signature != nil {
		sum := sha256.Sum256(c.Body)
		c.Caller, err = f.Access.Authenticate(c.Request, signature, hex.EncodeToString(sum[:]))
		if err != nil && c.Caller != nil {
			return f.over(c, signature.Token, err)
		}
		if err != nil {
			return f.unauthenticated(c, err)
		}
		if !f.Principals.Allow(c.Caller.RateKey(), c.Started) {
			return fault.New(fault.Throttled, "Rate exceeded")
		}
	} else if err := f.findUnsigned(c); err != nil {
		return f.unauthenticated(c, err)
	}
	out, err := f.operate(c)
	if err != nil {
		return err
	}
	return c.Door.Reply(w, c, out)
}

// recovered turns a panic into an error of ours: the client gets InternalFailure, the log the stack.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = panicked(p)
	}
}

func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }

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
	out, err = serve(c)
	if recorded := f.record(c, place, err); recorded != nil {
		return nil, recorded
	}
	return out, err
}

// serve runs the operation. A panic in it is recorded as any other failure: it may have come after a write.
func serve(c *Call) (out any, err error) {
	defer recovered(&err)
	if err := c.check(c.Operation.checked); err != nil {
		return nil, err
	}
	out, err = c.Operation.Serve(c.Request.Context(), c)
	if err == nil && !c.decided {
		err = errors.New("the operation answered without asking whether it may")
	}
	return out, err
}

// record makes the decision durable before anything of it leaves. The context is not the request's: a client that
// went away does not take the record with it.
func (f *Frame) record(c *Call, place *audit.Place, err error) error {
	if err != nil {
		c.Event.Fail(c.Door.Code(c, err), fault.Message(err))
	}
	if c.notes != nil {
		c.Event.AdditionalEventData = c.notes
	}
	ctx := context.WithoutCancel(c.Request.Context())
	place.Patience = auditPatience
	switch {
	case err != nil && !c.verified():
		f.Audit.Unauthenticated(c.Event)
		return nil
	case err != nil && c.Shown != nil:
		return place.Refuse(ctx, sha256.Sum256([]byte(c.Shown.Token)), c.Event.ErrorCode+" "+c.Event.ErrorMessage, c.Event)
	}
	if err == nil && c.Operation.Routine {
		return nil
	}
	place.Record(append([]*audit.Event{c.Event}, c.More...)...)
	return place.Commit(ctx)
}

// unauthenticated notes a caller that could not be verified, in the stream that never blocks, and passes the error on.
func (f *Frame) unauthenticated(c *Call, err error) error {
	e := c.newEvent()
	e.Fail(c.Door.Code(c, err), fault.Message(err))
	f.Audit.Unauthenticated(e)
	return err
}

// over notes, once a minute, a session that is over or revoked and whose signature is good.
func (f *Frame) over(c *Call, token string, err error) error {
	place, full := f.Audit.Reserve()
	if full != nil {
		return full
	}
	defer place.Release()
	c.Operation, _ = c.Door.Find(c) // for its name alone
	c.Event, c.Shown = c.newEvent(), &Shown{Token: token, Verified: true}
	if recorded := f.record(c, place, err); recorded != nil {
		return recorded
	}
	return err
}

// door finds the door of a signed request, by the credential scope and nothing else, and lets the request in if its
// address may ask. It reads no body. A request without a signature has none yet.
func (f *Frame) door(c *Call) (*sigv4.Signature, error) {
	signature, err := sigv4.Parse(c.Request)
	if err == nil {
		if d := f.doors[signature.Service]; d != nil {
			c.Door = d
		} else {
			err = fault.New(fault.Unsupported, "The credential scope names the service %q; this server answers for %s.", signature.Service, f.services())
		}
	}
	if !f.Addresses.Allow(limit.Source(c.Request.RemoteAddr), c.Started) {
		return nil, fault.New(fault.Throttled, "Rate exceeded")
	}
	if fault.Is(err, fault.MissingAuth) && (isForm(c.Request) || isPreflight(c)) {
		return nil, nil // one of the few that need no signature, perhaps
	}
	return signature, err
}

// findUnsigned finds the door of a form that nobody signed, by its Action.
func (f *Frame) findUnsigned(c *Call) error {
	if f.forms != nil {
		c.Door = f.forms
	}
	form, err := url.ParseQuery(string(c.Body))
	if err == nil && len(form["Action"]) == 1 {
		if d := f.unsigned[form.Get("Action")]; d != nil {
			c.Door = d
			return nil
		}
	}
	return fault.New(fault.MissingAuth, "Missing Authentication Token")
}

// Source returns the address that a request came from, without its port, as the audit and policies name it.
func Source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// isPreflight reports whether a browser asks if it may send a page's request to S3: nobody signs that.
func isPreflight(c *Call) bool { return c.Door.Stream != nil && c.Request.Method == http.MethodOptions }

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

// readBody reads a whole body, which has to arrive in its time. The usual small one is read into its place at once; for a
// larger one no memory is taken before it arrives.
func (f *Frame) readBody(w http.ResponseWriter, r *http.Request) (body []byte, err error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	switch n := r.ContentLength; {
	case n > maxBody:
		return nil, tooLarge()
	case n >= 0 && n <= smallBody:
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	default:
		// Nobody is verified yet: what strangers can make the process hold is bounded by places, not by their number.
		done, full := f.large.Take(r.Context(), limit.Source(r.RemoteAddr))
		if full != nil {
			return nil, fault.New(fault.Throttled, "Too many large requests at once; try again.")
		}
		defer done()
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge()
	}
	if err != nil { // the deadline stands, since net/http would wait for the rest before it closes the connection
		w.Header().Set("Connection", "close")
		return nil, fault.New(fault.Malformed, "The body could not be read: it ended early, or took longer than %s.", f.BodyTimeout)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // as in ServeHTTP
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
	switch p := r.URL.EscapedPath(); {
	case p == "/healthz":
	case p == "/readyz":
		err = f.Ready()
	case f.Console != nil && (p == "/console" || strings.HasPrefix(p, "/console/")):
		if !f.Addresses.Allow(limit.Source(r.RemoteAddr), f.Now()) { // its scripts are large
			http.Error(w, "too many requests: try again", http.StatusTooManyRequests)
			return true
		}
		f.Console.ServeHTTP(w, r)
		return true
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
	level := slog.LevelInfo
	if err == nil && c.Operation != nil && c.Operation.Routine {
		level = slog.LevelDebug
	}
	attrs := append(make([]slog.Attr, 0, 9),
		slog.String("request", c.ID), slog.String("door", c.Door.Service), slog.String("operation", c.operation()),
		slog.Int("status", status), slog.Duration("took", f.Now().Sub(c.Started)), slog.String("source", c.Source))
	if c.Caller != nil {
		attrs = append(attrs, slog.String("caller", c.Caller.ARN))
	}
	if err != nil {
		attrs = append(attrs, slog.String("code", code), slog.String("error", clip(err.Error(), maxLogged)))
		switch status {
		case http.StatusInternalServerError:
			level = slog.LevelError
		case http.StatusServiceUnavailable: // it passes, and a pod with a token of an unknown key can bring it about
			level = slog.LevelWarn
		}
	}
	f.Log.LogAttrs(c.Request.Context(), level, "request", attrs...)
}
