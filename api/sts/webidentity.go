package sts

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
)

type webIdentityResult struct {
	Subject          string      `xml:"SubjectFromWebIdentityToken"`
	Audience         string      `xml:"Audience"`
	Provider         string      `xml:"Provider"`
	AssumedRoleUser  assumedRole `xml:"AssumedRoleUser"`
	Credentials      credentials `xml:"Credentials"`
	PackedPolicySize int         `xml:"PackedPolicySize"`
	SourceIdentity   string      `xml:"SourceIdentity,omitempty"`
}

func (d *door) assumeRoleWithWebIdentity(ctx context.Context, c *api.Call) (any, error) {
	c.Open() // the token and the role's trust policy decide
	c.Shown = &api.Shown{Token: c.Form.Get("WebIdentityToken")}
	named := audit.Object{{Name: "roleArn", Value: c.Form.Get("RoleArn")}, {Name: "roleSessionName", Value: c.Form.Get("RoleSessionName")}}
	c.Event.RequestParameters = named
	in, err := readWebIdentity(c)
	if err != nil {
		return nil, err
	}
	grant, err := d.broker.ForWebIdentity(ctx, in)
	c.Shown.Verified = grant.Token != nil
	identify(c, grant)
	if err != nil {
		return nil, err
	}
	s := grant.Session
	name, id := api.Assumed(s)
	c.Event.RequestParameters = append(named, recorded(in.Policies)...)
	c.Event.ResponseElements, c.Event.Resources = api.AssumedElements(s), api.AssumedResource(grant.Role)
	return webIdentityResult{
		Subject: grant.Token.Subject, Audience: grant.Token.Audience, Provider: grant.Federated(),
		AssumedRoleUser: assumedRole{name, id}, Credentials: fromCredentials(grant.Credentials), PackedPolicySize: s.PackedPercent(),
		SourceIdentity: s.SourceIdentity,
	}, nil
}

func readWebIdentity(c *api.Call) (in broker.WebIdentity, err error) {
	if err := refuse(c, "ProviderId"); err != nil { // it is for the access tokens of OAuth 2.0
		return in, err
	}
	in = broker.WebIdentity{
		Role: c.Form.Get("RoleArn"), SessionName: c.Form.Get("RoleSessionName"), Token: c.Form.Get("WebIdentityToken"),
		Duration: duration(c), Context: api.RequestContext(c.Request, c.Region()),
	}
	in.Policies, err = narrowing(c)
	return in, err
}

// identify says in the record who showed the token, once that is verified.
func identify(c *api.Call, g *broker.Grant) {
	if g.Token == nil {
		return
	}
	provider, id := g.Federated(), ""
	if g.Provider == nil {
		id = g.Cluster.ID + ":" + g.Token.Subject
	} else {
		id = provider + ":" + g.Token.Audience + ":" + g.Token.Subject
	}
	c.Event.UserIdentity = audit.UserIdentity{Type: "WebIdentityUser", PrincipalID: id, UserName: g.Token.Subject, Provider: provider}
	c.Event.RecipientAccountID = g.Role.Account
	if g.Token.Node.Name != "" {
		c.Note("node", map[string]string{"name": g.Token.Node.Name, "uid": g.Token.Node.UID})
	}
	c.Note("decision/trust", api.Reason(g.Decision))
	if g.Stale {
		c.Note("stale", true)
	}
}
