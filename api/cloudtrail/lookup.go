package cloudtrail

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/trail"
)

const (
	maxPage = 50
	// atOnce is how many lookups may run: all of them together may keep some processors busy, not more, and none for long.
	atOnce = 2
	// patience is how long a call waits for the index to take what was recorded last.
	patience = 2 * time.Second
	// longest is how long one call may look.
	longest = 10 * time.Second
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
	before, err := in.before(c.Caller.Account)
	if err != nil {
		return nil, err
	}
	done, err := d.turns.Take(ctx, c.Caller.Account)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if before == 0 {
		d.catchUp(ctx)
	}
	return in.page(ctx, d.index, query, c.Caller.Account, before)
}

// catchUp has the index take what was recorded last. One that is too far behind for that answers what it has.
func (d *door) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = d.index.Fill(ctx) // the index says itself when it cannot
}

// page reads one event more than it answers, to know whether there is another page.
func (in *lookupRequest) page(ctx context.Context, index *trail.Index, q trail.Query, account string, before int64) (any, error) {
	most := maxPage
	if in.MaxResults != nil {
		most = *in.MaxResults
	}
	out := lookupResponse{Events: []event{}}
	var last int64
	err := index.Find(ctx, q, before, func(f trail.Found) bool {
		if len(out.Events) == most {
			out.NextToken = in.token(account, last)
			return false
		}
		if e, ok := in.match(f, account); ok {
			out.Events, last = append(out.Events, e), f.ID
		}
		return true
	})
	if err != nil && ctx.Err() != nil {
		return nil, fault.Hide(fault.Throttled, err, "Rate exceeded")
	}
	return out, err
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

// query checks the request, and words it for the index.
func (in *lookupRequest) query(account string) (trail.Query, error) {
	q := trail.Query{Account: account, Has: map[trail.Kind]string{}}
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
		if !slices.Contains(attributes, trail.Kind(a.AttributeKey)) {
			return q, fault.New(fault.Invalid, "AttributeKey %.100q: EventId, EventName, ReadOnly, Username, ResourceType, ResourceName, EventSource and AccessKeyId are accepted", a.AttributeKey)
		}
		if a.AttributeValue == "" || len(a.AttributeValue) > 2000 {
			return q, fault.New(fault.Invalid, "AttributeValue of %d characters: 1 to 2000 are accepted", len(a.AttributeValue))
		}
		if a.AttributeKey == "ReadOnly" && a.AttributeValue != "true" && a.AttributeValue != "false" {
			return q, fault.New(fault.Invalid, "AttributeValue %.100q: true and false are accepted for ReadOnly", a.AttributeValue)
		}
		q.Has[trail.Kind(a.AttributeKey)] = a.AttributeValue
	}
	return q, nil
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

// attributes are what one may look for.
var attributes = []trail.Kind{
	trail.EventID, trail.EventName, trail.ReadOnly, trail.Username, trail.ResourceType, trail.ResourceName, trail.EventSource, trail.AccessKeyID,
}

// match reads an event, and holds once more that it is one of the account's: the index found it by a hash.
func (in *lookupRequest) match(f trail.Found, account string) (event, bool) {
	r, err := trail.ParseRecord(f.Text)
	if err != nil || r.RecipientAccountID != account || !r.ManagementEvent {
		return event{}, false
	}
	for _, a := range in.LookupAttributes {
		if !r.Has(trail.Kind(a.AttributeKey), a.AttributeValue) {
			return event{}, false
		}
	}
	out := event{
		EventID: r.EventID, EventName: r.EventName, ReadOnly: strconv.FormatBool(r.ReadOnly), AccessKeyID: r.UserIdentity.AccessKeyID,
		EventTime: api.Epoch(r.EventTime), EventSource: r.EventSource, Username: r.Username(), Resources: []resource{}, CloudTrailEvent: string(f.Text),
	}
	for _, touched := range r.Resources {
		out.Resources = append(out.Resources, resource{touched.Type, touched.ARN})
	}
	return out, true
}

// token says where to go on. It holds an event's place among others and nothing of what it is; it is bound to the question, so that
// a page of another one is refused and not misread.
func (in *lookupRequest) token(account string, before int64) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "2 %d %s", before, in.question(account)))
}

func (in *lookupRequest) question(account string) string {
	asked := *in
	asked.NextToken, asked.MaxResults = "", nil
	text, _ := json.Marshal(asked) // texts and numbers: always JSON
	sum := sha256.Sum256(append([]byte(account), text...))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func (in *lookupRequest) before(account string) (before int64, err error) {
	if in.NextToken == "" {
		return 0, nil
	}
	text, err := base64.StdEncoding.DecodeString(in.NextToken)
	var question string
	if err == nil {
		_, err = fmt.Sscanf(string(text), "2 %d %s", &before, &question)
	}
	if err != nil || before < 1 || question != in.question(account) {
		return 0, fault.New(fault.BadToken, "The NextToken is not one that LookupEvents answered to the same question.")
	}
	return before, nil
}
