package sts

import (
	"context"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
)

type assumeRoleResult struct {
	Credentials      credentials `xml:"Credentials"`
	AssumedRoleUser  assumedRole `xml:"AssumedRoleUser"`
	PackedPolicySize int         `xml:"PackedPolicySize"`
	SourceIdentity   string      `xml:"SourceIdentity,omitempty"`
}

func (d *door) assumeRole(ctx context.Context, c *api.Call) (any, error) {
	c.Open() // the role's trust policy and the caller's own policies decide, in the broker
	in, err := readAssumption(c)
	if err != nil {
		return nil, err
	}
	in.Context = api.RequestContext(c.Request, c.Region())
	grant, err := d.broker.ForCaller(ctx, c.CallerNow, in)
	noteAssumption(c, grant)
	if err != nil {
		return nil, err
	}
	s := grant.Session
	recordAssumption(c, grant, in)
	name, id := api.Assumed(s)
	return assumeRoleResult{fromCredentials(grant.Credentials), assumedRole{name, id}, s.PackedPercent(), s.SourceIdentity}, nil
}

// readAssumption reads the parameters, and puts into the record what names the call even if it is refused.
func readAssumption(c *api.Call) (*broker.Assumption, error) {
	c.Event.RequestParameters = audit.Object{
		{Name: "roleArn", Value: c.Form.Get("RoleArn")}, {Name: "roleSessionName", Value: c.Form.Get("RoleSessionName")},
	}
	if err := refuse(c, "SerialNumber", "TokenCode", "ProvidedContexts"); err != nil {
		return nil, err
	}
	in := &broker.Assumption{
		SessionName: c.Form.Get("RoleSessionName"), ExternalID: c.Form.Get("ExternalId"), SourceIdentity: c.Form.Get("SourceIdentity"),
		Duration: duration(c),
	}
	var err error
	if in.Tags, err = sessionTags(c); err != nil {
		return nil, err
	}
	if in.Policies, err = narrowing(c); err != nil {
		return nil, err
	}
	in.Role, err = roleARN(c.Form.Get("RoleArn"))
	return in, err
}

// noteAssumption adds to the record who said yes or no, which the caller is not told.
func noteAssumption(c *api.Call, g *broker.Grant) {
	if g.Role != nil {
		c.Note("decision/trust", api.Reason(g.Decision))
	}
	if g.Own != nil {
		c.Note("decision/identity", api.Reason(*g.Own))
	}
	if g.Stale {
		c.Note("stale", true)
	}
}

// recorded is how a record names what narrows a session.
func recorded(n broker.Narrowing) (members audit.Object) {
	if n.Policy != "" {
		members = append(members, audit.Member{Name: "policy", Value: n.Policy})
	}
	var managed []map[string]string
	for _, name := range n.ARNs {
		managed = append(managed, map[string]string{"arn": name})
	}
	if len(managed) > 0 {
		members = append(members, audit.Member{Name: "policyArns", Value: managed})
	}
	return members
}

// recordAssumption fills the record of the caller's account and, when the role is another's, makes one for that.
func recordAssumption(c *api.Call, g *broker.Grant, in *broker.Assumption) {
	s := g.Session
	parameters := audit.Object{
		{Name: "durationSeconds", Value: int(s.Expires.Sub(s.Issued) / time.Second)},
		{Name: "roleArn", Value: in.Role.String()},
		{Name: "roleSessionName", Value: s.Name},
	}
	tags, transitive, incoming := api.SessionTags(s, c.Caller.Session)
	parameters = append(parameters, recorded(in.Policies)...)
	for _, more := range []struct {
		name  string
		given bool
		value any
	}{
		{"externalId", in.ExternalID != "", in.ExternalID},
		{"incomingTransitiveTags", len(incoming) > 0, incoming},
		{"sourceIdentity", in.SourceIdentity != "", in.SourceIdentity},
		{"tags", len(tags) > 0, tags},
		{"transitiveTagKeys", len(transitive) > 0, transitive},
	} {
		if more.given {
			parameters = append(parameters, audit.Member{Name: more.name, Value: more.value})
		}
	}
	c.Event.RequestParameters, c.Event.ResponseElements = parameters, api.AssumedElements(s)
	c.Event.Resources = api.AssumedResource(g.Role)
	if s.Account != c.Caller.Account {
		c.More = []*audit.Event{api.ForRoleAccount(c.Event, c.Caller, g.Role)}
	}
}
