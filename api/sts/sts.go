// Package sts is the door that speaks STS's wire: who am I, and a role by what the caller may or by web identity
// (https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html).
package sts

import (
	"context"
	"net/http"

	"github.com/openlanyard/lanyard/api"
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
		{Name: "GetSessionToken", ReadOnly: true, Serve: d.getSessionToken},
		{Name: "GetFederationToken", ReadOnly: true, Serve: d.getFederationToken},
		{Name: "GetAccessKeyInfo", ReadOnly: true, Serve: d.getAccessKeyInfo},
		// Not Reserved: who asks is nobody yet, and a role that this replica misses may keep a place for half a second.
		{Name: "AssumeRoleWithWebIdentity", ReadOnly: true, Unsigned: true, Serve: d.assumeRoleWithWebIdentity},
	}).Knows(operations...).Takes(inputs)
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
