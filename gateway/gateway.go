// Package gateway is the S3 door: it takes the requests of S3's REST API
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html), asks policy about each one and makes the allowed
// ones anew, with its own key, to the store of one account.
//
// A request goes through the same steps whatever it asks for: signature, operation, account, audit place, policy, audit
// record, upstream. What is refused on the way never reaches the upstream, in no form.
package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
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
	Account    string   // the only one whose principals are served
	Region     string   // the only location constraint that a new bucket may have
	Domains    []string // below them a host names a bucket: s3.example.com; none: path style alone
	Access     *access.Access
	Audit      *audit.Log
	Upstream   Upstream
	Principals *limit.Rates     // what one principal may ask, at this door and the others that share it
	InFlight   int              // requests that one principal may have under way to the upstream; 0: 1,024
	Idle       time.Duration    // how long a client may let wait in the middle of a body, for each KiB; 0: 30 s
	Stall      time.Duration    // how long the upstream may stop in the middle of a body, in either direction; 0: 1 min
	Logger     *slog.Logger     // nil: none
	Now        func() time.Time // nil: time.Now
}

// Gateway serves S3. It keeps no state between requests, but counts those under way.
type Gateway struct {
	config    Config
	transport http.RoundTripper
	signing   *sigv4.Cache // one key a day, to the upstream
	flights   flights
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
	if err := checkDomains(config.Domains); err != nil {
		return nil, err
	}
	if config.InFlight == 0 {
		config.InFlight = defaultInFlight
	}
	if config.Idle == 0 {
		config.Idle = defaultIdle
	}
	if config.Stall == 0 {
		config.Stall = defaultStall
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	g := &Gateway{config: config, transport: up.Transport, signing: sigv4.NewCache(2)}
	g.flights = flights{most: config.InFlight, count: map[string]int{}}
	if g.transport == nil {
		g.transport = transport(up.Roots)
	}
	return g, nil
}

// entry is what the one log line of a request says; it is filled on the way.
type entry struct {
	id        string
	principal *directory.Principal
	call      *call
	decision  policy.Decision
	also      []decided // what was asked besides
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
		if known, _ := codeOf(e.err); !isTrouble(known.status) {
			maps.Copy(w.Header(), g.rulesFor(r))
		}
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
	if r.Method == http.MethodOptions {
		return g.preflight(w, r, e)
	}
	sig, principal, err := g.authenticate(r)
	e.principal = principal
	if err != nil {
		return g.stranger(r, e, sig, err)
	}
	if !g.config.Principals.Allow(principal.RateKey(), g.config.Now()) {
		return codes[fault.Throttled].refusal()
	}
	leave, ok := g.flights.enter(principal.RateKey())
	if !ok {
		return refuse(codes[fault.Throttled], "You have %d requests under way, which is the most that is accepted.", g.config.InFlight)
	}
	defer leave()
	source := newPaced(w, r, g.config.Idle)
	defer source.stop()
	var refused error
	if e.call, refused = g.parse(r); refused == nil {
		refused = g.prepare(r, source, sig, principal, e.call) // before a place is taken: it may read a document
	}
	place, err := g.config.Audit.Reserve()
	if err != nil {
		return err
	}
	defer place.Release()
	if refused == nil {
		e.decision, e.also, refused = g.authorize(r, principal, e.call)
	}
	if err := g.record(r, e, place, refused); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	resp, err := g.perform(r, source, e.call, sig)
	if err != nil {
		return g.conceal(principal, e.call, err)
	}
	defer func() { _ = resp.Body.Close() }() // its error was already Read's
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusNotModified {
		return g.conceal(principal, e.call, refusalOf(e.call, resp))
	}
	mark(w, e.id)
	e.status = resp.StatusCode
	e.sent, err = g.relay(w, e.call, resp)
	return err
}

// authenticate finds out who signed. The signature covers every header that begins with X-Amz-, the declared payload
// hash among them: sigv4.Parse refuses a request where it does not.
func (g *Gateway) authenticate(r *http.Request) (*sigv4.Signature, *directory.Principal, error) {
	sig, err := sigv4.Parse(r)
	if err != nil {
		return nil, nil, signatureError(r, err)
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
	return sig, principal, signatureError(r, err)
}

// prepare reads the document that an operation takes and finds out what the call needs.
func (g *Gateway) prepare(r *http.Request, source io.Reader, sig *sigv4.Signature, p *directory.Principal, c *call) error {
	if c.op.body == document {
		if err := c.readDocument(source, sig.PayloadHash); err != nil {
			return err
		}
	}
	if err := c.understand(); err != nil {
		return err
	}
	if c.op.document == newBucket {
		if at := c.document.value("LocationConstraint"); at != "" && at != g.config.Region {
			return refuse(illegalLocation, "The %s location constraint is not this region, which is %s", at, g.config.Region)
		}
	}
	c.base = g.context(r, sig, p, c)
	return nil
}

// readDocument reads the body of an operation that takes a document.
func (c *call) readDocument(source io.Reader, declared string) error {
	body, err := verify(source, c.length, declared, c.checks...)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(body) // at most the schema's bound: see checkBody
	if err != nil {
		return err
	}
	c.document, err = c.op.document.parse(text)
	return err
}

// decided is what one of several questions came to.
type decided struct {
	action   string
	decision policy.Decision
}

// authorize says whether the principal may do it: first whether it belongs to the upstream's account at all, whatever
// its policies say.
func (g *Gateway) authorize(r *http.Request, p *directory.Principal, c *call) (policy.Decision, []decided, error) {
	if p.Account != g.config.Account {
		return policy.Decision{}, nil, fault.New(fault.Denied,
			"This store belongs to account %s: a principal of account %s needs a role there as its target role", g.config.Account, p.Account)
	}
	if slices.ContainsFunc(c.owners, func(owner string) bool { return owner != g.config.Account }) {
		return policy.Decision{}, nil, codes[fault.Denied].refusal()
	}
	if c.batch != nil {
		return policy.Decision{}, nil, g.authorizeBatch(r.Context(), p, c)
	}
	return g.ask(r.Context(), p, c, c.needs)
}

// ask asks policy for each need until one is refused. The first decision is that of the operation's own action, or the one
// that refused; the others stand beside it.
func (g *Gateway) ask(ctx context.Context, p *directory.Principal, c *call, needs []need) (policy.Decision, []decided, error) {
	var first policy.Decision
	var also []decided
	if len(needs) == 0 { // nobody said what it takes
		return first, nil, codes[fault.Denied].refusal()
	}
	for i, n := range needs {
		tags, err := g.existing(ctx, p, n.tags)
		if err != nil {
			return policy.Decision{}, also, err
		}
		d, err := g.config.Access.Authorize(p, n.action, n.resource, append(c.base[:len(c.base):len(c.base)], tags...))
		if err != nil && n.ifTagged != nil {
			err = g.withoutTags(ctx, c, n.ifTagged, err)
		}
		if err != nil {
			return d, also, err
		}
		if i == 0 {
			first = d
		} else {
			also = append(also, decided{action: n.action, decision: d})
		}
	}
	return first, also, nil
}

// withoutTags lets a copy pass whose caller may not copy tags, if there are none. The upstream is told to copy none, in case
// there are some by then.
func (g *Gateway) withoutTags(ctx context.Context, c *call, source *name, denied error) error {
	tags, err := g.tagsOf(ctx, source)
	switch {
	case err != nil:
		return err
	case len(tags) > 0:
		return denied
	}
	c.headers.Set(taggingDirective, "REPLACE")
	return nil
}

// perform asks the upstream for what was allowed, and takes out of its answer what is not the client's business.
func (g *Gateway) perform(r *http.Request, source io.Reader, c *call, sig *sigv4.Signature) (*http.Response, error) {
	if c.isRefused() {
		return refusedBatch(c, g.rulesFor(r)), nil
	}
	body, declared, err := g.openBody(source, c, sig)
	if err != nil {
		return nil, err
	}
	resp, err := g.send(r.Context(), c, body, declared)
	if err != nil {
		return nil, err
	}
	return g.clean(r, c, resp)
}

// openBody returns what the upstream gets as body, and its hash. Nothing of a streamed body is read here: a client that
// expects 100 Continue is asked for it when the upstream reads.
func (g *Gateway) openBody(source io.Reader, c *call, sig *sigv4.Signature) (body *upload, hash string, err error) {
	switch {
	case c.op.body == stream:
		body, err = openUpload(sig, source, c)
		return body, sig.PayloadHash, err
	case c.op.document == newBucket: // where the upstream is, is its own business
		c.length = 0
		return nothing(), emptyHash, nil
	case c.op.body == document:
		text := c.document.write()
		c.length, c.expects = int64(len(text)), false
		c.headers.Set("Content-Type", "application/xml")
		c.headers.Set("Content-Md5", md5Of(text))
		sum := sha256.Sum256(text)
		hash = hex.EncodeToString(sum[:])
		body, err = verify(bytes.NewReader(text), c.length, hash)
		return body, hash, err
	}
	body, err = verify(http.NoBody, 0, sig.PayloadHash)
	return body, emptyHash, err
}

// conceal keeps S3's promise that who may not list a bucket does not learn which keys are missing in it.
func (g *Gateway) conceal(p *directory.Principal, c *call, err error) error {
	var upstream *refusal
	if !errors.As(err, &upstream) || upstream.code.status != http.StatusNotFound || c.op.level != object {
		return err
	}
	in := c.bucket
	switch name := upstream.code.name; {
	case name == "NoSuchBucket" || name == "NoSuchUpload":
		return err
	case c.op.name != "GetObject" && c.op.name != "HeadObject" && name != "NoSuchKey" && name != "NoSuchVersion":
		return err // what is missing is no object
	case c.source != nil:
		in = c.source.bucket
	}
	if _, denied := g.config.Access.Authorize(p, "s3:ListBucket", bucketARN(in), c.base); denied != nil {
		return denied
	}
	return err
}

// log writes the request's line. What is not known yet when a request fails is left out.
func (g *Gateway) log(r *http.Request, e *entry, took time.Duration) {
	level := slog.LevelInfo
	if isTrouble(e.status) {
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

// isTrouble reports whether a status is about the gateway or the store, and not about what was asked.
func isTrouble(status int) bool {
	return status >= http.StatusInternalServerError && status != http.StatusNotImplemented
}

// newRequestID returns 16 characters, the length of S3's.
func newRequestID() string { return rand.Text()[:16] }
