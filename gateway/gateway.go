// Package gateway is the S3 door: it takes the requests of S3's REST API
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html), asks policy about each one and makes the allowed
// ones anew, with its own key, to the store of one account.
//
// A request goes through the same steps whatever it asks for: signature, operation, account, audit place, policy, audit
// record, upstream. What is refused on the way never reaches the upstream, in no form.
package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/sigv4"
)

// Config is what a gateway is made of.
type Config struct {
	Account    string // the only one whose principals are served
	Region     string // the only location constraint that a new bucket may have
	Access     *access.Access
	Audit      *audit.Log
	Upstream   Upstream
	Principals *limit.Rates     // what one principal may ask, at this door and the others that share it
	Logger     *slog.Logger     // nil: none
	Now        func() time.Time // nil: time.Now
}

// Gateway serves S3. It keeps no state between requests.
type Gateway struct {
	config    Config
	transport http.RoundTripper
	signing   *sigv4.Cache // one key a day, to the upstream
}

// New checks the configuration. It starts nothing.
func New(config Config) (*Gateway, error) {
	up := config.Upstream
	switch {
	case !arn.IsAccount(config.Account):
		return nil, fmt.Errorf("the gateway's account is %q: 12 digits are accepted", config.Account)
	case config.Access == nil || config.Audit == nil:
		return nil, errors.New("the gateway needs the rooms access and audit")
	case config.Principals == nil:
		return nil, errors.New("the gateway needs a bound of what one principal may ask")
	case up.URL == nil || up.URL.Scheme != "http" && up.URL.Scheme != "https" || up.URL.Host == "":
		return nil, fmt.Errorf("the upstream %q is no address: http://HOST or https://HOST is accepted", up.URL)
	case up.URL.User != nil || strings.Trim(up.URL.Path, "/") != "" || up.URL.RawQuery != "":
		return nil, fmt.Errorf("the upstream %q has more than a scheme and a host", up.URL.Redacted())
	case up.AccessKeyID == "" || up.SecretAccessKey == "" || up.Region == "":
		return nil, errors.New("the gateway needs the upstream's access key and region")
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	g := &Gateway{config: config, transport: up.Transport, signing: sigv4.NewCache(2)}
	if g.transport == nil {
		g.transport = transport()
	}
	return g, nil
}

// entry is what the one log line of a request says; it is filled on the way.
type entry struct {
	id        string
	principal *directory.Principal
	call      *call
	decision  policy.Decision
	status    int
	sent      int64 // bytes of the answer's body
	err       error
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { _, _ = g.answer(w, r) }

// answer answers one request and says which operation it was and what was wrong with it, as labels of a metric.
func (g *Gateway) answer(w http.ResponseWriter, r *http.Request) (operation, code string) {
	start := g.config.Now()
	e := &entry{id: newRequestID()}
	e.err = g.guarded(w, r, e)
	refused := e.err != nil && e.status == 0
	if refused {
		_, e.status = WriteError(w, r, e.id, e.err)
	}
	g.log(r, e, g.config.Now().Sub(start))
	if e.call != nil {
		operation = e.call.op.name
	}
	switch {
	case e.err == nil:
	case refused:
		linger(w, r)
	default:
		breakOff(w)
	}
	return operation, label(e.err)
}

// linger takes, for a moment, what a client goes on sending after a refusal. The AWS SDK for Go says that it expects
// 100-continue and sends its body at once; net/http closes such a connection as soon as it has answered, and the reset
// may overtake the answer: the client would see a broken pipe instead of the reason.
func linger(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") == "" {
		return
	}
	connection := http.NewResponseController(w)
	if connection.Flush() != nil || connection.SetReadDeadline(time.Now().Add(500*time.Millisecond)) != nil {
		return // it is no connection
	}
	_, _ = io.CopyN(io.Discard, r.Body, 64<<20) // whatever it is, it was refused
}

// breakOff makes the client see that an answer, whose header is sent, is not whole: with its write deadline over, net/http
// cannot end the body properly and closes the connection.
func breakOff(w http.ResponseWriter) {
	if err := http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)); err != nil {
		panic(http.ErrAbortHandler) // net/http's other way, for a writer that has no deadlines
	}
}

// guarded is serve with a panic turned into an error of ours: the client gets InternalError, the log the stack.
func (g *Gateway) guarded(w http.ResponseWriter, r *http.Request, e *entry) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return g.serve(w, r, e)
}

// serve takes the steps of one request. After it returned an error with e.status still zero, nothing was answered.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, e *entry) error {
	sig, principal, err := g.authenticate(r)
	e.principal = principal
	if err != nil {
		return g.stranger(r, e, sig, err)
	}
	if !g.config.Principals.Allow(principal.RateKey(), g.config.Now()) {
		return codes[fault.Throttled].refusal()
	}
	place, err := g.config.Audit.Reserve()
	if err != nil {
		return err
	}
	defer place.Release()
	var refused error
	if e.call, refused = parse(r); refused == nil {
		e.decision, refused = g.authorize(r, principal, e.call)
	}
	if err := g.record(r, e, place, refused); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	body, err := g.openBody(r, e.call, sig.PayloadHash)
	if err != nil {
		return err
	}
	resp, err := g.send(r.Context(), e.call, body, sig.PayloadHash)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // its error was already Read's
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusNotModified {
		return g.conceal(r, principal, e.call, refusalOf(e.call, resp))
	}
	mark(w, e.id)
	e.status = resp.StatusCode
	e.sent, err = relay(w, e.call, resp)
	return err
}

// authenticate finds out who signed. The signature covers every header that begins with X-Amz-, the declared payload
// hash among them: sigv4.Parse refuses a request where it does not.
func (g *Gateway) authenticate(r *http.Request) (*sigv4.Signature, *directory.Principal, error) {
	sig, err := sigv4.Parse(r)
	if err != nil {
		return nil, nil, err
	}
	if sig.Service != "s3" {
		return nil, nil, fault.New(fault.IncompleteAuth, "the credential scope names the service %q: s3 is accepted", sig.Service)
	}
	principal, err := g.config.Access.Authenticate(r, sig, sig.PayloadHash)
	switch {
	case fault.Is(err, fault.UnknownKey) && sig.Token != "":
		err = invalidToken.refusal()
	case fault.Is(err, fault.UnknownKey): // S3 says it in other words than the rest
		err = codes[fault.UnknownKey].refusal()
	}
	return sig, principal, err
}

// authorize says whether the principal may do it: first whether it belongs to the upstream's account at all, whatever
// its policies say.
func (g *Gateway) authorize(r *http.Request, p *directory.Principal, c *call) (policy.Decision, error) {
	if p.Account != g.config.Account {
		return policy.Decision{}, fault.New(fault.Denied,
			"This store belongs to account %s: a principal of account %s needs a role there as its target role", g.config.Account, p.Account)
	}
	if owner := r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != g.config.Account {
		return policy.Decision{}, codes[fault.Denied].refusal()
	}
	return g.config.Access.Authorize(p, c.op.action, c.resource(), append(api.RequestContext(r, g.config.Region), c.context()...))
}

// openBody returns what the upstream gets as body. Nothing of a streamed body is read here: a client that expects 100
// Continue is asked for it when the upstream reads.
func (g *Gateway) openBody(r *http.Request, c *call, declared string) (io.Reader, error) {
	switch c.op.body {
	case stream:
		return verify(r.Body, c.length, declared)
	case configuration:
		constraint, err := location(r.Body, declared)
		if err == nil && constraint != "" && constraint != g.config.Region {
			err = refuse(illegalLocation, "The %s location constraint is not this region, which is %s", constraint, g.config.Region)
		}
		return http.NoBody, err
	default:
		return verify(http.NoBody, 0, declared)
	}
}

// conceal keeps S3's promise that who may not list a bucket does not learn which keys are missing in it.
func (g *Gateway) conceal(r *http.Request, p *directory.Principal, c *call, err error) error {
	var upstream *refusal
	missing := errors.As(err, &upstream) && upstream.code.status == http.StatusNotFound && upstream.code.name != "NoSuchBucket"
	if !missing || c.op.action != "s3:GetObject" {
		return err
	}
	if _, denied := g.config.Access.Authorize(p, "s3:ListBucket", bucketARN(c.bucket), api.RequestContext(r, g.config.Region)); denied != nil {
		return denied
	}
	return err
}

// log writes the request's line. What is not known yet when a request fails is left out.
func (g *Gateway) log(r *http.Request, e *entry, took time.Duration) {
	level := slog.LevelInfo
	if e.status >= http.StatusInternalServerError && e.status != http.StatusNotImplemented {
		level = slog.LevelError
	}
	attributes := make([]slog.Attr, 0, 12)
	attributes = append(attributes,
		slog.String("request_id", e.id), slog.String("source", api.Source(r)), slog.String("method", r.Method),
		slog.Int("status", e.status), slog.Int64("sent", e.sent), slog.Duration("took", took))
	if e.principal != nil {
		attributes = append(attributes, slog.String("principal", e.principal.ARN), slog.String("key_id", e.principal.KeyID))
	}
	if e.call != nil {
		attributes = append(attributes,
			slog.String("operation", e.call.op.name), slog.String("bucket", e.call.bucket), slog.String("key", e.call.key))
	} else {
		attributes = append(attributes, slog.String("path", r.URL.Path))
	}
	if e.err != nil {
		found, _ := codeOf(e.err)
		attributes = append(attributes, slog.String("code", found.name), slog.String("error", e.err.Error()))
	}
	g.config.Logger.LogAttrs(context.WithoutCancel(r.Context()), level, "s3", attributes...)
}

// newRequestID returns 16 characters, the length of S3's.
func newRequestID() string { return rand.Text()[:16] }
