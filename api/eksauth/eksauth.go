// Package eksauth is the door that speaks EKS Auth's wire: a node's agent shows a pod's token and gets credentials
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_auth_AssumeRoleForPodIdentity.html).
package eksauth

import (
	"context"
	"net/http"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// Errors is EKS Auth's table of codes. Agents drop a pod's credentials on ResourceNotFoundException,
// ExpiredTokenException, InvalidTokenException and AccessDeniedException: nothing that may pass, and nothing that is
// about the agent's own session, may be shown as one of the first three.
var Errors = api.RESTErrors(api.Errors{
	fault.Exists:             {Name: "InvalidRequestException", Status: http.StatusBadRequest},
	fault.InUse:              {Name: "InvalidRequestException", Status: http.StatusBadRequest},
	fault.Limit:              {Name: "InvalidRequestException", Status: http.StatusBadRequest},
	fault.Denied:             {Name: "AccessDeniedException", Status: http.StatusBadRequest},
	fault.CrossAccount:       {Name: "AccessDeniedException", Status: http.StatusBadRequest},
	fault.ExpiredCredentials: {Name: "UnrecognizedClientException", Status: http.StatusForbidden},
	fault.BadToken:           {Name: "InvalidTokenException", Status: http.StatusBadRequest},
	fault.ExpiredToken:       {Name: "ExpiredTokenException", Status: http.StatusBadRequest},
})

const source = "eks-auth.amazonaws.com"

type door struct {
	broker *broker.Broker
}

// New returns the door.
func New(b *broker.Broker) *api.Door {
	d := &door{broker: b}
	return api.RESTJSON("eks-auth", source, Errors, []api.Route{{
		Method: "POST", Path: "/clusters/{clusterName}/assume-role-for-pod-identity",
		Operation: api.Operation{Name: "AssumeRoleForPodIdentity", ReadOnly: true, Reserved: true, Serve: d.assumeRole},
	}})
}

func (d *door) assumeRole(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["clusterName"]
	c.Event.RequestParameters = audit.Object{{Name: "clusterName", Value: name}, {Name: "token", Value: audit.Hidden}}
	if err := c.Authorize("eks-auth:AssumeRoleForPodIdentity", arn.Cluster(c.Region(), c.Caller.Account, name).String()); err != nil {
		return nil, err
	}
	token, err := readToken(c)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, fault.New(fault.Invalid, "The parameter token is required.")
	}
	c.Shown = &api.Shown{Token: token}
	grant, err := d.broker.ForPod(ctx, c.Caller, name, token)
	c.Shown.Verified = grant.Token != nil
	note(c, grant)
	if err != nil {
		return nil, err
	}
	assumed := arn.AssumedRole(grant.Session.Account, grant.Session.RoleName, grant.Session.Name).String()
	c.More = []*audit.Event{assumeRoleRecord(c, grant, assumed)}
	return answer(grant, assumed), nil
}

// note adds to the record what CloudTrail leaves out: which pod, on which node, by which association.
func note(c *api.Call, g *broker.Grant) {
	if t := g.Token; t != nil {
		c.Note("pod", audit.Object{
			{Name: "name", Value: t.Pod.Name},
			{Name: "namespace", Value: t.Namespace},
			{Name: "node", Value: t.Node.Name},
			{Name: "nodeUid", Value: t.Node.UID},
			{Name: "serviceAccount", Value: t.ServiceAccount},
			{Name: "uid", Value: t.Pod.UID},
		})
	}
	if g.Association != nil {
		c.Note("association", g.Association.ID)
	}
	if g.Decision.Statement != nil {
		c.Note("decision/trust", api.Reason(g.Decision))
	}
	if g.Stale {
		c.Note("stale", true)
	}
}

// assumeRoleRecord is the second record of the same decision: the role assumed by the service, with the session's tags.
func assumeRoleRecord(c *api.Call, g *broker.Grant, assumed string) *audit.Event {
	s, role := g.Session, g.Role.ARN().String()
	tags, keys := make([]audit.Tag, len(s.Tags)), make([]string, len(s.Tags))
	for i, t := range s.Tags {
		tags[i], keys[i] = audit.Tag{Key: t.Key, Value: t.Value}, t.Key
	}
	return &audit.Event{
		EventVersion: "1.08", EventTime: c.Started, EventSource: "sts.amazonaws.com", EventName: "AssumeRole", AWSRegion: c.Region(),
		UserIdentity:    audit.UserIdentity{Type: "AWSService", InvokedBy: registry.Service},
		SourceIPAddress: registry.Service, UserAgent: registry.Service, RequestID: c.ID, ReadOnly: true, ManagementEvent: true,
		RecipientAccountID: s.Account,
		RequestParameters: audit.Object{
			{Name: "durationSeconds", Value: int(broker.PodSession.Seconds())},
			{Name: "roleArn", Value: role},
			{Name: "roleSessionName", Value: s.Name},
			{Name: "tags", Value: tags},
			{Name: "transitiveTagKeys", Value: keys},
		},
		ResponseElements: audit.Object{
			{Name: "assumedRoleUser", Value: audit.Object{
				{Name: "arn", Value: assumed}, {Name: "assumedRoleId", Value: s.RoleID + ":" + s.Name},
			}},
			{Name: "credentials", Value: audit.Object{
				{Name: "accessKeyId", Value: s.AccessKeyID}, {Name: "expiration", Value: s.Expires}, {Name: "sessionToken", Value: audit.Hidden},
			}},
			{Name: "packedPolicySize", Value: s.PackedPercent()},
		},
		Resources: []audit.Resource{{AccountID: s.Account, Type: "AWS::IAM::Role", ARN: role}},
	}
}
