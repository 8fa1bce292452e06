// Package sts is the door that speaks STS's wire: who am I, and a role by what the caller may or by web identity
// (https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html).
package sts

import (
	"context"
	"net/http"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/session"
)

// Errors is STS's table of codes.
var Errors = api.QueryErrors(api.Errors{
	fault.NotFound:     {Name: "AccessDenied", Status: http.StatusForbidden},
	fault.Exists:       {Name: "ValidationError", Status: http.StatusBadRequest},
	fault.InUse:        {Name: "ValidationError", Status: http.StatusBadRequest},
	fault.BadState:     {Name: "ValidationError", Status: http.StatusBadRequest},
	fault.Limit:        {Name: "PackedPolicyTooLarge", Status: http.StatusBadRequest},
	fault.Unmodifiable: {Name: "ValidationError", Status: http.StatusBadRequest},
	fault.BadToken:     {Name: "InvalidIdentityToken", Status: http.StatusBadRequest},
	fault.ExpiredToken: {Name: "ExpiredTokenException", Status: http.StatusBadRequest},
	fault.Unsupported:  {Name: "ValidationError", Status: http.StatusBadRequest},
})

type door struct {
	broker *broker.Broker
}

// New returns the door.
func New(b *broker.Broker) *api.Door {
	d := &door{broker: b}
	return api.Query("sts", "sts.amazonaws.com", "2011-06-15", Errors, []api.Operation{
		{Name: "GetCallerIdentity", ReadOnly: true, Presigned: true, Serve: getCallerIdentity},
		{Name: "AssumeRole", ReadOnly: true, Serve: d.assumeRole},
		// Not Reserved: who asks is nobody yet, and a role that this replica misses may keep a place for half a second.
		{Name: "AssumeRoleWithWebIdentity", ReadOnly: true, Unsigned: true, Serve: d.assumeRoleWithWebIdentity},
	})
}

type callerIdentity struct {
	ARN     string `xml:"Arn" json:"Arn"`
	UserID  string `xml:"UserId" json:"UserId"`
	Account string `xml:"Account" json:"Account"`
}

// getCallerIdentity needs no permission, as at AWS: who can sign already knows.
func getCallerIdentity(_ context.Context, c *api.Call) (any, error) {
	c.Open()
	return callerIdentity{c.Caller.ARN, c.Caller.ID, c.Caller.Account}, nil
}

type webIdentityResult struct {
	Subject          string      `xml:"SubjectFromWebIdentityToken"`
	Audience         string      `xml:"Audience"`
	Provider         string      `xml:"Provider"`
	AssumedRoleUser  assumedRole `xml:"AssumedRoleUser"`
	Credentials      credentials `xml:"Credentials"`
	PackedPolicySize int         `xml:"PackedPolicySize"`
}

type assumedRole struct {
	ARN string `xml:"Arn"`
	ID  string `xml:"AssumedRoleId"`
}

type credentials struct {
	AccessKeyID     string      `xml:"AccessKeyId"`
	SecretAccessKey string      `xml:"SecretAccessKey"`
	SessionToken    string      `xml:"SessionToken"`
	Expiration      api.Instant `xml:"Expiration"`
}

func fromCredentials(c session.Credentials) credentials {
	return credentials{c.AccessKeyID, c.SecretAccessKey, c.SessionToken, api.Instant(c.Expires)}
}

func (d *door) assumeRoleWithWebIdentity(ctx context.Context, c *api.Call) (any, error) {
	c.Open() // the token and the role's trust policy decide
	c.Shown = &api.Shown{}
	in, err := c.Texts("RoleArn", "RoleSessionName", "WebIdentityToken")
	if err != nil {
		return nil, err
	}
	named := audit.Object{{Name: "roleArn", Value: in[0]}, {Name: "roleSessionName", Value: in[1]}}
	c.Event.RequestParameters = named
	c.Shown.Token = in[2]
	if err := refuse(c, "ProviderId"); err != nil {
		return nil, err
	}
	policies, err := narrowing(c)
	if err != nil {
		return nil, err
	}
	length, err := duration(c)
	if err != nil {
		return nil, err
	}
	grant, err := d.broker.ForWebIdentity(ctx, broker.WebIdentity{
		Role: in[0], SessionName: in[1], Token: in[2], Duration: length, Policies: policies,
	})
	c.Shown.Verified = grant.Token != nil
	identify(c, grant)
	if err != nil {
		return nil, err
	}
	s := grant.Session
	name, id := api.Assumed(s)
	c.Event.RequestParameters = append(named, recorded(policies)...)
	c.Event.ResponseElements = api.AssumedElements(s)
	return webIdentityResult{
		Subject: grant.Token.Subject, Audience: grant.Token.Audience, Provider: grant.Cluster.ARN().String(),
		AssumedRoleUser: assumedRole{name, id}, Credentials: fromCredentials(grant.Credentials), PackedPolicySize: s.PackedPercent(),
	}, nil
}

// identify says in the record who showed the token, once that is verified.
func identify(c *api.Call, g *broker.Grant) {
	if g.Token == nil {
		return
	}
	c.Event.UserIdentity = audit.UserIdentity{
		Type: "WebIdentityUser", PrincipalID: g.Cluster.ID + ":" + g.Token.Subject, UserName: g.Token.Subject, Provider: g.Cluster.ARN().String(),
	}
	c.Event.RecipientAccountID = g.Role.Account
	c.Note("node", map[string]string{"name": g.Token.Node.Name, "uid": g.Token.Node.UID})
	c.Note("decision/trust", api.Reason(g.Decision))
	if g.Stale {
		c.Note("stale", true)
	}
}
