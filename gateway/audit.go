package gateway

import (
	"net"
	"net/http"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
)

// eventSource is S3's name in CloudTrail.
const eventSource = "s3.amazonaws.com"

// record puts the decision in the audit before the upstream is asked: data events into the file, which is synced within a
// second; management events durably.
func (g *Gateway) record(r *http.Request, e *entry, place *audit.Place, refused error) error {
	place.Record(g.event(r, e, refused))
	if e.call != nil && e.call.op.management {
		return place.Commit(r.Context())
	}
	return place.Write(r.Context())
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
		SourceIPAddress:    source(r),
		UserAgent:          r.UserAgent(),
		RequestID:          e.id,
		ReadOnly:           r.Method == http.MethodGet || r.Method == http.MethodHead,
		RecipientAccountID: g.config.Account,
	}
	if e.principal != nil {
		event.UserIdentity = api.Identity(e.principal)
	}
	if e.call != nil {
		g.describe(event, e.call)
		event.AdditionalEventData = map[string]any{"decision": api.Reason(e.decision)}
	} else {
		event.RequestParameters = map[string]any{"method": r.Method, "path": r.URL.EscapedPath()}
	}
	if refused != nil {
		found, message := codeOf(refused)
		event.ErrorCode, event.ErrorMessage = found.name, message
	}
	return event
}

// describe adds what the call is and what it touches.
func (g *Gateway) describe(event *audit.Event, c *call) {
	event.EventName, event.ManagementEvent = c.op.name, c.op.management
	parameters := map[string]any{}
	if c.bucket != "" {
		parameters["bucketName"] = c.bucket
		event.Resources = append(event.Resources, audit.Resource{
			AccountID: g.config.Account, Type: "AWS::S3::Bucket", ARN: bucketARN(c.bucket),
		})
	}
	if c.key != "" {
		parameters["key"] = c.key
		event.Resources = append(event.Resources, audit.Resource{Type: "AWS::S3::Object", ARN: c.resource()})
	}
	event.RequestParameters = parameters
}

// source returns the peer's address without its port.
func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
