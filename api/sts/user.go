package sts

import (
	"context"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
)

type sessionTokenResult struct {
	Credentials credentials `xml:"Credentials"`
}

func (d *door) getSessionToken(ctx context.Context, c *api.Call) (any, error) {
	c.Open() // who has a long-term key needs no permission for a session of it, as at AWS
	if err := refuse(c, "SerialNumber", "TokenCode"); err != nil {
		return nil, err
	}
	in := broker.UserSession{Duration: duration(c)}
	c.Event.RequestParameters = audit.Object{}
	if in.Duration > 0 {
		c.Event.RequestParameters = audit.Object{{Name: "durationSeconds", Value: int(in.Duration.Seconds())}}
	}
	grant, err := d.broker.ForUser(ctx, c.CallerNow, &in)
	if err != nil {
		return nil, err
	}
	c.Event.ResponseElements = audit.Object{{Name: "credentials", Value: recordedCredentials(grant.Session)}}
	return sessionTokenResult{fromCredentials(grant.Credentials)}, nil
}

func recordedCredentials(s *session.Session) audit.Object {
	return audit.Object{
		{Name: "accessKeyId", Value: s.AccessKeyID}, {Name: "expiration", Value: s.Expires}, {Name: "sessionToken", Value: audit.Hidden},
	}
}

type federationTokenResult struct {
	Credentials      credentials   `xml:"Credentials"`
	FederatedUser    federatedUser `xml:"FederatedUser"`
	PackedPolicySize int           `xml:"PackedPolicySize"`
}

type federatedUser struct {
	ID  string `xml:"FederatedUserId"`
	ARN string `xml:"Arn"`
}

func (d *door) getFederationToken(ctx context.Context, c *api.Call) (any, error) {
	c.Open() // the user's own policies decide, in the broker
	parameters := audit.Object{{Name: "name", Value: c.Form.Get("Name")}}
	c.Event.RequestParameters = parameters
	in := broker.UserSession{Guest: c.Form.Get("Name"), Duration: duration(c)}
	var err error
	if in.Tags, err = sessionTags(c); err != nil {
		return nil, err
	}
	if in.Policies, err = narrowing(c); err != nil {
		return nil, err
	}
	in.Context = api.RequestContext(c.Request, c.Region())
	grant, err := d.broker.ForUser(ctx, c.CallerNow, &in)
	if grant.Own != nil {
		c.Note("decision/identity", api.Reason(*grant.Own))
	}
	if err != nil {
		return nil, err
	}
	s := grant.Session
	user := federatedUser{s.Account + ":" + s.Name, arn.FederatedUser(s.Account, s.Name).String()}
	parameters = append(parameters, audit.Member{Name: "durationSeconds", Value: int(s.Expires.Sub(s.Issued).Seconds())})
	if tags, _, _ := api.SessionTags(s, nil); len(tags) > 0 {
		parameters = append(parameters, audit.Member{Name: "tags", Value: tags})
	}
	c.Event.RequestParameters = append(parameters, recorded(in.Policies)...)
	c.Event.ResponseElements = audit.Object{
		{Name: "credentials", Value: recordedCredentials(s)},
		{Name: "federatedUser", Value: audit.Object{{Name: "arn", Value: user.ARN}, {Name: "federatedUserId", Value: user.ID}}},
		{Name: "packedPolicySize", Value: s.PackedPercent()},
	}
	return federationTokenResult{fromCredentials(grant.Credentials), user, s.PackedPercent()}, nil
}

type accessKeyInfo struct {
	Account string `xml:"Account"`
}

// getAccessKeyInfo tells whose a key is. AWS reads that out of the key's id; ours do not have it in them, so the ids of
// sessions, which are stored nowhere, tell nothing.
func (d *door) getAccessKeyInfo(_ context.Context, c *api.Call) (any, error) {
	id := c.Form.Get("AccessKeyId")
	c.Event.RequestParameters = audit.Object{{Name: "accessKeyId", Value: id}}
	if err := c.Authorize("sts:GetAccessKeyInfo", "*"); err != nil {
		return nil, err
	}
	if strings.HasPrefix(id, "ASIA") {
		return nil, fault.New(fault.Invalid, "The access key id %s is that of a session, which does not tell its account.", id)
	}
	key, _, err := d.broker.Directory.AccessKey(id)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Invalid, "The access key id %s does not exist.", id)
	}
	if err != nil {
		return nil, err
	}
	return accessKeyInfo{key.Account}, nil
}
