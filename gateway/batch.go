package gateway

import (
	"context"
	"net/http"
	"net/url"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// deletion is one object that DeleteObjects names, and what was decided about it.
type deletion struct {
	element  *element
	object   name
	needs    []need
	decision policy.Decision
	refused  error
}

// takeBatch reads what DeleteObjects names. Each object is decided alone, as if it were deleted alone.
func (c *call) takeBatch() error {
	if c.op.document != deletions {
		return nil
	}
	for _, e := range c.document.all("Object") {
		d := deletion{element: e, object: name{bucket: c.bucket, key: e.value("Key"), version: e.value("VersionId")}}
		d.refused = checkKey(d.object.key)
		n := need{action: "s3:DeleteObject", resource: d.object.resource()}
		if e.child("VersionId") != nil && d.object.version != "" {
			n.action = "s3:DeleteObjectVersion"
			if !isID(d.object.version) {
				d.refused = fault.New(fault.Invalid, "the version %.100q is not of the accepted form", d.object.version)
			}
		}
		d.needs = append(d.needs, n)
		if c.bypasses() {
			d.needs = append(d.needs, need{action: "s3:BypassGovernanceRetention", resource: n.resource})
		}
		c.batch = append(c.batch, d)
	}
	if len(c.batch) == 0 {
		return codes[fault.Malformed].refusal()
	}
	return nil
}

// authorizeBatch decides about each object, and takes those that are refused out of what the upstream is asked for. The
// error is that nothing could be decided.
func (g *Gateway) authorizeBatch(ctx context.Context, p *directory.Principal, c *call) error {
	remaining := c.document.children[:0:0]
	for i := range c.batch {
		d := &c.batch[i]
		if d.refused == nil {
			d.decision, _, d.refused = g.ask(ctx, p, c, d.needs)
		}
		switch {
		case d.refused == nil:
			remaining = append(remaining, d.element)
		case fault.Is(d.refused, fault.Unavailable):
			return d.refused
		}
	}
	if quiet := c.document.child("Quiet"); quiet != nil {
		remaining = append(remaining, quiet)
	}
	c.document.children = remaining
	return nil
}

// isRefused reports whether no object of a batch is left.
func (c *call) isRefused() bool {
	return c.batch != nil && c.document.child("Object") == nil
}

// report adds to an answer what was refused of a batch, in S3's form.
func (c *call) report(result *element) {
	for i := range c.batch {
		d := &c.batch[i]
		if d.refused == nil {
			continue
		}
		found, message := codeOf(d.refused)
		refused := &element{name: "Error", children: []*element{{name: "Key", text: d.object.key}}}
		if d.object.version != "" {
			refused.children = append(refused.children, &element{name: "VersionId", text: d.object.version})
		}
		refused.children = append(refused.children, &element{name: "Code", text: found.name}, &element{name: "Message", text: message})
		result.children = append(result.children, refused)
	}
}

// maxRefused bounds the records of what one batch was refused: it costs its sender nothing to name a thousand keys.
const maxRefused = 10

// batchEvents are the records of a batch besides that of the call: one for each object that may be deleted, as CloudTrail has
// them, and some of those that may not.
func (g *Gateway) batchEvents(r *http.Request, e *entry) []*audit.Event {
	var all []*audit.Event
	refused := 0
	for i := range e.call.batch {
		d := &e.call.batch[i]
		if d.refused != nil {
			if refused++; refused > maxRefused {
				continue
			}
		}
		one := *e
		one.call = &call{op: deleteObject, bucket: d.object.bucket, key: d.object.key}
		if d.object.version != "" {
			one.call.query = url.Values{versionID: {d.object.version}}
		}
		one.decision, one.also = d.decision, nil
		all = append(all, g.event(r, &one, d.refused))
	}
	return all
}

// deleteObject is the row of one deletion.
var deleteObject = row("DeleteObject")

// row returns the row of a name that the table has.
func row(name string) *operation {
	for i := range operations {
		if operations[i].name == name {
			return &operations[i]
		}
	}
	panic("no operation " + name)
}
