package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/sigv4"
)

// eventSource is S3's name in CloudTrail.
const eventSource = "s3.amazonaws.com"

// record puts the decision in the audit before the upstream is asked: data events into the file, which is synced within a
// second; management events durably.
func (g *Gateway) record(r *http.Request, e *entry, place *audit.Place, refused error) error {
	events := []*audit.Event{g.event(r, e, refused)}
	if refused == nil && e.call.batch != nil {
		events = append(events, g.batchEvents(r, e)...)
	}
	place.Record(events...)
	if e.call != nil && e.call.op.management {
		return unlessGone(r, place.Commit(r.Context()))
	}
	return unlessGone(r, place.Write(r.Context()))
}

// unlessGone tells a client that did not wait for its record from an audit that cannot take it. The record is written all
// the same.
func unlessGone(r *http.Request, err error) error {
	if err != nil && errors.Is(err, context.Cause(r.Context())) {
		return requestTimeout.refusal()
	}
	return err
}

// stranger notes who was refused at the door and passes the error on. Nobody is known yet, and the note goes where it
// cannot fill the audit; but for a session that is over or revoked, whose signature is good: it is noted once a minute.
func (g *Gateway) stranger(r *http.Request, e *entry, sig *sigv4.Signature, err error) error {
	if e.principal == nil {
		g.config.Audit.Unauthenticated(g.event(r, e, err))
		return err
	}
	place, full := g.config.Audit.Reserve()
	if full != nil {
		return full
	}
	defer place.Release()
	e.call, _ = g.parse(r) // for the record alone
	event := g.event(r, e, err)
	event.AdditionalEventData = nil // no policy was asked
	refused := place.Refuse(r.Context(), sha256.Sum256([]byte(sig.Token)), event.ErrorCode+" "+event.ErrorMessage, event)
	if refused = unlessGone(r, refused); refused != nil {
		return refused
	}
	return err
}

// event describes one decision as CloudTrail describes a data event of S3
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html). It is in the file before the
// upstream is asked and therefore tells what was allowed, not what came of it. refused is nil when it was allowed.
func (g *Gateway) event(r *http.Request, e *entry, refused error) *audit.Event {
	event := &audit.Event{
		EventTime:          g.config.Now().UTC(),
		EventSource:        eventSource,
		EventName:          "Unknown", // a request that is no operation of ours
		AWSRegion:          g.config.Region,
		SourceIPAddress:    api.Source(r),
		UserAgent:          r.UserAgent(),
		RequestID:          e.id,
		ReadOnly:           r.Method == http.MethodGet || r.Method == http.MethodHead,
		RecipientAccountID: g.config.Account,
		TLSDetails:         api.TLSDetails(r),
	}
	if e.principal != nil {
		event.UserIdentity = api.Identity(e.principal)
	}
	if e.call != nil {
		g.describe(event, e.call)
		event.AdditionalEventData = details(e)
	} else {
		event.RequestParameters = audit.Object{{Name: "method", Value: r.Method}, {Name: "path", Value: r.URL.EscapedPath()}}
	}
	if refused != nil {
		found, message := codeOf(refused)
		event.Fail(found.name, message)
	}
	return event
}

// details says what was decided, for the operation and for what it takes besides.
func details(e *entry) audit.Object {
	if batch := e.call.batch; batch != nil {
		refused := 0
		for i := range batch {
			if batch[i].refused != nil {
				refused++
			}
		}
		return audit.Object{{Name: "allowed", Value: len(batch) - refused}, {Name: "refused", Value: refused}}
	}
	all := make(audit.Object, 0, 1+len(e.also))
	all = append(all, audit.Member{Name: "decision", Value: api.Reason(e.decision)})
	for _, d := range e.also {
		all = all.Set("decision/"+d.action, api.Reason(d.decision))
	}
	return all
}

// describe adds what the call is and what it touches.
func (g *Gateway) describe(event *audit.Event, c *call) {
	event.EventName, event.ManagementEvent = c.op.name, c.op.management
	parameters := make(audit.Object, 0, 3)
	if c.bucket != "" {
		parameters = append(parameters, audit.Member{Name: "bucketName", Value: c.bucket})
		event.Resources = append(event.Resources, audit.Resource{
			AccountID: g.config.Account, Type: "AWS::S3::Bucket", ARN: bucketARN(c.bucket),
		})
	}
	if c.key != "" {
		parameters = append(parameters, audit.Member{Name: "key", Value: c.key})
		event.Resources = append(event.Resources, audit.Resource{Type: "AWS::S3::Object", ARN: c.resource()})
	}
	for _, name := range [...]string{versionID, "uploadId", "partNumber"} {
		if value := c.query.Get(name); value != "" {
			parameters = append(parameters, audit.Member{Name: name, Value: value})
		}
	}
	if c.source != nil {
		parameters = append(parameters, audit.Member{Name: "x-amz-copy-source", Value: c.headers.Get(copySource)})
		event.Resources = append(event.Resources, audit.Resource{Type: "AWS::S3::Object", ARN: c.source.resource()})
	}
	event.RequestParameters = parameters
}
