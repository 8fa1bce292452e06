// Package sts is the door that speaks STS's wire: who am I, and a role by web identity
// (https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html).
package sts

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/fault"
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

func (d *door) assumeRoleWithWebIdentity(ctx context.Context, c *api.Call) (any, error) {
	c.Open() // the token and the role's trust policy decide
	c.Shown = &api.Shown{}
	in, err := c.Texts("RoleArn", "RoleSessionName", "WebIdentityToken")
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"roleArn": in[0], "roleSessionName": in[1]}
	c.Shown.Token = in[2]
	if err := refuseUnhonoured(c); err != nil {
		return nil, err
	}
	seconds, given, err := c.Number("DurationSeconds")
	if err != nil {
		return nil, err
	}
	if given && seconds <= 0 {
		return nil, fault.New(fault.Invalid, "durationSeconds %d: 900 to 43200 are accepted", seconds)
	}
	grant, err := d.broker.ForWebIdentity(ctx, broker.WebIdentity{
		Role: in[0], SessionName: in[1], Token: in[2], Duration: time.Duration(seconds) * time.Second,
	})
	c.Shown.Verified = grant.Token != nil
	identify(c, grant)
	if err != nil {
		return nil, err
	}
	s := grant.Session
	assumed := assumedRole{arn.AssumedRole(s.Account, s.RoleName, s.Name).String(), s.RoleID + ":" + s.Name}
	c.Event.ResponseElements = map[string]any{
		"assumedRoleUser": map[string]any{"arn": assumed.ARN, "assumedRoleId": assumed.ID},
		"credentials":     map[string]any{"accessKeyId": s.AccessKeyID, "sessionToken": audit.Hidden, "expiration": s.Expires},
	}
	return webIdentityResult{
		Subject: grant.Token.Subject, Audience: grant.Token.Audience, Provider: grant.Cluster.ARN().String(), AssumedRoleUser: assumed,
		Credentials: credentials{
			grant.Credentials.AccessKeyID, grant.Credentials.SecretAccessKey, grant.Credentials.SessionToken, api.Instant(grant.Credentials.Expires),
		},
		PackedPolicySize: s.PackedPercent(),
	}, nil
}

// refuseUnhonoured refuses, by name, what would narrow the session, since nothing enforces it yet. Of a list, no spelling
// of a member is let through.
func refuseUnhonoured(c *api.Call) error {
	var given []string
	for key, values := range c.Form {
		switch {
		case strings.HasPrefix(key, "PolicyArns"):
			given = append(given, "PolicyArns")
		case (key == "Policy" || key == "ProviderId") && values[0] != "":
			given = append(given, key)
		}
	}
	if len(given) == 0 {
		return nil
	}
	return fault.New(fault.Unsupported, "The parameter %s is not supported yet: leave it out.", slices.Min(given))
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
