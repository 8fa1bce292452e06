package api

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// Operation is one row of a door's table.
type Operation struct {
	Name      string
	ReadOnly  bool // for the audit
	Reserved  bool // has its part of the capacity kept free: EKS Auth
	Unsigned  bool // needs no signature
	Presigned bool // may be asked by a presigned URL, with GET, and is answered in JSON where that is wanted
	Routine   bool // comes all the time and decides nothing: what went well leaves no record
	OwnBody   bool // checks its body's members by its rows itself: EKS Auth, for speed
	Serve     func(ctx context.Context, c *Call) (any, error)
	Errors    Errors   // kinds that this operation shows in another way than its door
	Input     []Member // its rows: see Door.Takes
	checked   []Member // those that the frame looks at
}

// Call is one request on its way through a door.
type Call struct {
	Request   *http.Request
	ID        string // the request id
	Source    string // the address it came from
	Started   time.Time
	Door      *Door
	Operation *Operation
	Caller    *directory.Principal // nil for an unsigned operation
	Body      []byte
	Form      url.Values        // query protocol: the parameters
	Labels    map[string]string // REST: the path's labels

	Event *audit.Event   // this request's record; operations fill in what is theirs
	More  []*audit.Event // records that belong to the same decision
	Shown *Shown         // the token that the request shows, at the operations that take one

	frame   *Frame
	decided bool
	notes   audit.Object // becomes the record's additional data
}

// Shown is a token that a request shows besides its signature. A refusal with an unverified one is noted where it cannot
// fill the audit; one with a verified one is noted once a minute.
type Shown struct {
	Token    string
	Verified bool
}

// maxARN is the longest name that anything may have: no policy could speak of a longer one.
const maxARN = 2048

// verified reports whether everybody that the request speaks for has been verified.
func (c *Call) verified() bool {
	if c.Shown != nil {
		return c.Shown.Verified
	}
	return c.Caller != nil
}

// Authorize asks whether the caller may do the action to the resource, and notes the answer in the record. Every
// operation asks, or says that it need not: the frame refuses to send an answer that nobody decided on.
func (c *Call) Authorize(action, resource string, extra ...policy.Entry) error {
	c.decided = true
	if len(resource) > maxARN {
		return fault.New(fault.Invalid, "the names in the request make an ARN of %d characters: at most %d are accepted", len(resource), maxARN)
	}
	ctx := append(RequestContext(c.Request, c.frame.Region), extra...)
	d, err := c.frame.Access.Authorize(c.Caller, action, resource, ctx)
	c.Note("decision/"+action, Reason(d))
	return err
}

// May answers what Authorize would, about something that the caller does not do now: it is no decision on this call.
func (c *Call) May(action, resource string) (policy.Decision, error) {
	return c.frame.Access.Authorize(c.Caller, action, resource, RequestContext(c.Request, c.frame.Region))
}

// Foresee answers what May would of a request that has more to say than this one.
func (c *Call) Foresee(action, resource string) policy.Outlook {
	return c.frame.Access.Foresee(c.Caller, action, resource, RequestContext(c.Request, c.frame.Region))
}

// RequestContext returns the condition keys that every request sets, whatever it asks for, with room for a few more; the time
// is with every decision anyway. A door that left one out would never match a Deny that asks for it.
func RequestContext(r *http.Request, region string) policy.Context {
	values := [...]string{Source(r), region, strconv.FormatBool(r.TLS != nil)}
	ctx := make(policy.Context, 0, 10)
	for i, key := range [...]string{"aws:SourceIp", "aws:RequestedRegion", "aws:SecureTransport"} {
		ctx = append(ctx, policy.Entry{Key: key, Values: values[i : i+1 : i+1]})
	}
	ctx = append(ctx, direct[:]...)
	for _, sent := range [...]struct{ key, header string }{{"aws:UserAgent", "User-Agent"}, {"aws:Referer", "Referer"}} {
		if values := r.Header[sent.header]; len(values) == 1 {
			ctx = append(ctx, policy.Entry{Key: sent.key, Values: values})
		}
	}
	return ctx
}

// direct are the condition keys of a request that its principal makes itself, as every one here is: no service makes it on
// somebody's behalf. A Deny with Bool would not match a key that is missing.
var direct = [...]policy.Entry{
	{Key: "aws:ViaAWSService", Values: []string{"false"}}, {Key: "aws:PrincipalIsAWSService", Values: []string{"false"}},
}

// Foreseen is what RequestContext will have of every request that somebody may make.
func Foreseen(region string) policy.Context {
	return append(policy.Context{{Key: "aws:RequestedRegion", Values: []string{region}}}, direct[:]...)
}

// RequestTags are the condition keys of tags that a call brings.
func RequestTags(tags []directory.Tag) []policy.Entry {
	if len(tags) == 0 {
		return nil
	}
	keys, entries := make([]string, len(tags)), make([]policy.Entry, len(tags))
	for i, t := range tags {
		keys[i], entries[i] = t.Key, policy.Entry{Key: "aws:RequestTag/" + t.Key, Values: []string{t.Value}}
	}
	slices.Sort(keys)
	return append(entries, policy.Entry{Key: "aws:TagKeys", Values: keys})
}

// Open says that the operation needs no permission: everybody who is authenticated may, or a token decides.
func (c *Call) Open() { c.decided = true }

// Note adds a detail of ours to the record.
func (c *Call) Note(name string, value any) {
	if c.notes == nil {
		c.notes = make(audit.Object, 0, 4)
	}
	c.notes = c.notes.Set(name, value)
}

// Reason words a decision for the audit: its effect and the statement that made it.
func Reason(d policy.Decision) string {
	if d.Statement == nil {
		return d.Effect.String()
	}
	made := d.Effect.String() + " by statement " + strconv.Itoa(d.Statement.Index())
	if sid := d.Statement.Sid(); sid != "" {
		made += " " + sid
	}
	return made
}

// Region returns the one region that this server names things in.
func (c *Call) Region() string { return c.frame.Region }

// MaxResults reads the page size of a list call: 1 to 100, by default 100.
func (c *Call) MaxResults() (int, error) {
	text := c.Request.URL.Query().Get("maxResults")
	if text == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		return 0, fault.New(fault.Invalid, "maxResults %.100q: 1 to 100 are accepted", text)
	}
	return n, nil
}

func (c *Call) operation() string {
	if c.Operation == nil {
		return ""
	}
	return c.Operation.Name
}

// newEvent begins the request's record, in CloudTrail's words.
func (c *Call) newEvent() *audit.Event {
	e := &audit.Event{
		EventTime: c.Started, EventSource: c.Door.Source, EventName: c.operation(), AWSRegion: c.frame.Region,
		SourceIPAddress: c.Source, UserAgent: c.Request.UserAgent(), RequestID: c.ID, ManagementEvent: true,
		TLSDetails: TLSDetails(c.Request),
	}
	if c.Operation != nil {
		e.ReadOnly = c.Operation.ReadOnly
	}
	if c.Caller != nil {
		e.UserIdentity, e.RecipientAccountID = Identity(c.Caller), c.Caller.Account
	}
	return e
}

// TLSDetails describes a request's connection as CloudTrail does; nil for one without TLS.
func TLSDetails(r *http.Request) *audit.TLSDetails {
	if r.TLS == nil {
		return nil
	}
	return &audit.TLSDetails{
		Version:     strings.Replace(tls.VersionName(r.TLS.Version), " ", "v", 1),
		CipherSuite: tls.CipherSuiteName(r.TLS.CipherSuite), Host: r.Host,
	}
}

// Identity returns a principal as CloudTrail names it.
func Identity(p *directory.Principal) audit.UserIdentity {
	id := audit.UserIdentity{PrincipalID: p.ID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: p.KeyID}
	switch {
	case p.IsGuest():
		id.Type = "FederatedUser"
		id.SessionContext = userSession(p)
		id.SessionContext.Issuer = audit.SessionIssuer{
			Type: "IAMUser", PrincipalID: p.User.ID, ARN: p.User.ARN().String(), AccountID: p.User.Account, UserName: p.User.Name,
		}
	case p.User != nil:
		id.Type, id.UserName = "IAMUser", p.User.Name
		if p.Session != nil {
			id.SessionContext = userSession(p)
		}
	case p.Session != nil:
		id.Type = "AssumedRole"
		id.SessionContext = &audit.SessionContext{
			Issuer: audit.SessionIssuer{
				Type: "Role", PrincipalID: p.Role.ID, ARN: p.Role.ARN().String(), AccountID: p.Role.Account, UserName: p.Role.Name,
			},
			Attributes: audit.SessionAttributes{CreationDate: p.Session.Issued},
		}
		if o := p.Session.Origin; o != nil && o.Association != "" {
			id.SessionContext.Pod = &audit.Pod{
				Cluster: o.Cluster, Namespace: o.Namespace, Name: o.PodName, UID: o.PodUID, Node: o.NodeName, NodeUID: o.NodeUID,
				ServiceAccount: o.ServiceAccount, Association: o.Association,
			}
		}
	default:
		id.Type = "Cluster"
	}
	return id
}

// userSession describes a session of a user: nobody's role issued it, so it has no more than when it began.
func userSession(p *directory.Principal) *audit.SessionContext {
	return &audit.SessionContext{Attributes: audit.SessionAttributes{CreationDate: p.Session.Issued}}
}

func joinSorted(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ", ")
}
