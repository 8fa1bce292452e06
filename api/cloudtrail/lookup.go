package cloudtrail

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
)

const (
	// maxLooked is how much of the log one call looks through, in bytes: a fraction of a second. A page that ends there has a
	// token for the next, and may be empty.
	maxLooked = 128 << 20
	maxPage   = 50
	// patience is how long a call waits for others that look: all of them together may keep one processor busy, not more.
	patience = 2 * time.Second
)

type lookupRequest struct {
	LookupAttributes []attribute
	StartTime        *float64 // seconds since 1970
	EndTime          *float64
	EventCategory    string
	MaxResults       *int
	NextToken        string
}

type attribute struct{ AttributeKey, AttributeValue string }

type lookupResponse struct {
	Events    []event
	NextToken string `json:",omitempty"`
}

type event struct {
	EventID         string `json:"EventId"`
	EventName       string
	ReadOnly        string // "true" or "false"
	AccessKeyID     string `json:"AccessKeyId,omitempty"`
	EventTime       api.Epoch
	EventSource     string
	Username        string `json:",omitempty"`
	Resources       []resource
	CloudTrailEvent string
}

type resource struct{ ResourceType, ResourceName string }

// lookupEvents answers the management events of the caller's account.
func (d *door) lookupEvents(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[lookupRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = in.shown()
	if err := c.Authorize("cloudtrail:LookupEvents", "*"); err != nil {
		return nil, err
	}
	query, err := in.query(c.Caller.Account)
	if err != nil {
		return nil, err
	}
	from, err := in.mark(c.Caller.Account)
	if err != nil {
		return nil, err
	}
	release, err := d.takeTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	out := lookupResponse{Events: []event{}}
	most := maxPage
	if in.MaxResults != nil {
		most = *in.MaxResults
	}
	next, err := d.log.Find(ctx, query, from, func(f audit.Found) bool {
		if e, ok := in.match(f, c.Caller.Account); ok {
			out.Events = append(out.Events, e)
		}
		return len(out.Events) < most
	})
	if err != nil {
		return nil, err
	}
	out.NextToken = in.token(c.Caller.Account, next)
	return out, nil
}

func (d *door) takeTurn(ctx context.Context) (release func(), err error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case d.turn <- struct{}{}:
		return func() { <-d.turn }, nil
	case <-late.C:
	case <-ctx.Done():
	}
	return nil, fault.New(fault.Throttled, "Rate exceeded")
}

// shown are the members that the request has.
func (in *lookupRequest) shown() map[string]any {
	all := map[string]any{}
	if len(in.LookupAttributes) > 0 {
		first := in.LookupAttributes[0]
		all["lookupAttributes"] = []any{map[string]any{"attributeKey": first.AttributeKey, "attributeValue": first.AttributeValue}}
	}
	for name, at := range map[string]*float64{"startTime": in.StartTime, "endTime": in.EndTime} {
		if at != nil && !math.IsNaN(*at) && !math.IsInf(*at, 0) {
			all[name] = *at
		}
	}
	if in.MaxResults != nil {
		all["maxResults"] = *in.MaxResults
	}
	return all
}

// query checks the request, and words it for the log. The texts leave out most of what is not asked for; match decides.
func (in *lookupRequest) query(account string) (audit.Query, error) {
	q := audit.Query{Budget: maxLooked, Contains: [][]byte{
		[]byte(`"managementEvent":true`), []byte(`"recipientAccountId":` + quoted(account)),
	}}
	if in.EventCategory != "" {
		return q, fault.New(fault.Unsupported, "EventCategory %.100q: there are management events alone, which are answered without it", in.EventCategory)
	}
	if n := in.MaxResults; n != nil && (*n < 1 || *n > maxPage) {
		return q, fault.New(fault.Limit, "MaxResults %d: 1 to %d are accepted", *n, maxPage)
	}
	var err error
	if q.Since, err = moment("StartTime", in.StartTime); err != nil {
		return q, err
	}
	if q.Until, err = moment("EndTime", in.EndTime); err != nil {
		return q, err
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && q.Until.Before(q.Since) {
		return q, fault.New(fault.BadState, "StartTime is after EndTime: a StartTime that is not is accepted")
	}
	if len(in.LookupAttributes) > 1 {
		return q, fault.New(fault.Invalid, "LookupAttributes has %d attributes: one is accepted", len(in.LookupAttributes))
	}
	for _, a := range in.LookupAttributes {
		if _, ok := attributes[a.AttributeKey]; !ok {
			return q, fault.New(fault.Invalid, "AttributeKey %.100q: EventId, EventName, ReadOnly, Username, ResourceType, ResourceName, EventSource and AccessKeyId are accepted", a.AttributeKey)
		}
		if a.AttributeValue == "" || len(a.AttributeValue) > 2000 {
			return q, fault.New(fault.Invalid, "AttributeValue of %d characters: 1 to 2000 are accepted", len(a.AttributeValue))
		}
		if a.AttributeKey == "ReadOnly" && a.AttributeValue != "true" && a.AttributeValue != "false" {
			return q, fault.New(fault.Invalid, "AttributeValue %.100q: true and false are accepted for ReadOnly", a.AttributeValue)
		}
		if isPlain(a.AttributeValue) {
			q.Contains = append(q.Contains, []byte(a.AttributeValue))
		}
	}
	return q, nil
}

// isPlain reports whether a text stands in a record as it is.
func isPlain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) < 0
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // a string: always JSON
	return string(text)
}

func moment(name string, seconds *float64) (time.Time, error) {
	if seconds == nil {
		return time.Time{}, nil
	}
	if !(*seconds >= 0 && *seconds < 1<<35) { // not a number is refused too
		return time.Time{}, fault.New(fault.BadState, "%s: seconds since 1970 are accepted", name)
	}
	return time.UnixMilli(int64(*seconds * 1000)).UTC(), nil
}

// attributes are what one may look for, each with what a record has of it.
var attributes = map[string]func(*audit.Event) []string{
	"EventId":     func(e *audit.Event) []string { return []string{e.EventID} },
	"EventName":   func(e *audit.Event) []string { return []string{e.EventName} },
	"ReadOnly":    func(e *audit.Event) []string { return []string{strconv.FormatBool(e.ReadOnly)} },
	"Username":    func(e *audit.Event) []string { return []string{username(e)} },
	"EventSource": func(e *audit.Event) []string { return []string{e.EventSource} },
	"AccessKeyId": func(e *audit.Event) []string { return []string{e.UserIdentity.AccessKeyID} },
	"ResourceType": func(e *audit.Event) (all []string) {
		for _, r := range e.Resources {
			all = append(all, r.Type)
		}
		return all
	},
	// The name is the ARN, or what stands behind its last slash.
	"ResourceName": func(e *audit.Event) (all []string) {
		for _, r := range e.Resources {
			all = append(all, r.ARN, r.ARN[strings.LastIndexByte(r.ARN, '/')+1:])
		}
		return all
	},
}

// username is a user's name, and the session's of a role.
func username(e *audit.Event) string {
	if e.UserIdentity.UserName != "" || e.UserIdentity.Type != "AssumedRole" {
		return e.UserIdentity.UserName
	}
	return e.UserIdentity.ARN[strings.LastIndexByte(e.UserIdentity.ARN, '/')+1:]
}

// match reads a record that has the texts, and decides whether it is asked for.
func (in *lookupRequest) match(f audit.Found, account string) (event, bool) {
	var e audit.Event
	if json.Unmarshal(f.Text, &e) != nil || e.RecipientAccountID != account || !e.ManagementEvent {
		return event{}, false
	}
	for _, a := range in.LookupAttributes {
		has := false
		for _, value := range attributes[a.AttributeKey](&e) {
			has = has || value == a.AttributeValue
		}
		if !has {
			return event{}, false
		}
	}
	out := event{
		EventID: e.EventID, EventName: e.EventName, ReadOnly: strconv.FormatBool(e.ReadOnly), AccessKeyID: e.UserIdentity.AccessKeyID,
		EventTime: api.Epoch(f.Time), EventSource: e.EventSource, Username: username(&e), Resources: []resource{}, CloudTrailEvent: string(f.Text),
	}
	for _, r := range e.Resources {
		out.Resources = append(out.Resources, resource{r.Type, r.ARN})
	}
	return out, true
}

// token says where to go on. It holds a place in the log and nothing of what is there; it is bound to the question, so that a page
// of another one is refused and not misread.
func (in *lookupRequest) token(account string, next audit.Mark) string {
	if next == (audit.Mark{}) {
		return ""
	}
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "1 %d %d %s", next.File, next.Offset, in.question(account)))
}

func (in *lookupRequest) question(account string) string {
	asked := *in
	asked.NextToken, asked.MaxResults = "", nil
	text, _ := json.Marshal(asked) // texts and numbers: always JSON
	sum := sha256.Sum256(append([]byte(account), text...))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func (in *lookupRequest) mark(account string) (m audit.Mark, err error) {
	if in.NextToken == "" {
		return m, nil
	}
	text, err := base64.StdEncoding.DecodeString(in.NextToken)
	var question string
	if err == nil {
		_, err = fmt.Sscanf(string(text), "1 %d %d %s", &m.File, &m.Offset, &question)
	}
	if err != nil || m.File < 1 || m.Offset < 0 || question != in.question(account) {
		return audit.Mark{}, fault.New(fault.BadToken, "The NextToken is not one that LookupEvents answered to the same question.")
	}
	return m, nil
}
