// Package eksauth is the door that speaks EKS Auth's wire: a node's agent shows a pod's token and gets credentials
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_auth_AssumeRoleForPodIdentity.html).
package eksauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
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
		Operation: api.Operation{Name: "AssumeRoleForPodIdentity", ReadOnly: true, Reserved: true, OwnBody: true, Serve: d.assumeRole},
	}}).Knows("AssumeRoleForPodIdentity").Takes(api.Inputs{"AssumeRoleForPodIdentity": {
		api.Must("clusterName", api.Text(1, 100, `[0-9A-Za-z][A-Za-z0-9\-_]*`)).Path("clusterName"),
		api.Must("token", api.Secret(1, 0, tokenPattern)), api.May("eksNodeName", api.AnyText),
		api.May("instanceId", api.AnyText), api.May("zone", api.AnyText),
	}})
}

func (d *door) assumeRole(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["clusterName"]
	c.Event.RequestParameters = audit.Object{{Name: "clusterName", Value: name}, {Name: "token", Value: audit.Hidden}}
	if err := c.Authorize("eks-auth:AssumeRoleForPodIdentity", arn.Cluster(c.Region(), c.Caller.Account, name).String()); err != nil {
		return nil, err
	}
	c.Shown = &api.Shown{} // what is no token is noted as one that is not verified
	token, err := readToken(c)
	if err != nil {
		return nil, err
	}
	c.Shown.Token = token
	ctx, span := api.Span(ctx, "broker.ForPod")
	grant, err := d.broker.ForPod(ctx, c.Caller, name, token)
	span.End()
	c.Shown.Verified = grant.Token != nil
	note(c, grant)
	if err != nil {
		noteRefusal(c, err)
		return nil, err
	}
	assumed, _ := api.Assumed(grant.Session)
	c.More = records(c, grant)
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
	if g.Own != nil { // there is a target role, and it was asked about
		c.Note("decision/identity", api.Reason(*g.Own))
	}
	if len(g.Hops) > 0 {
		requests := make([]string, len(g.Hops))
		for i, h := range g.Hops {
			requests[i] = h.RequestID
		}
		c.Note("sts", audit.Object{{Name: "kept", Value: g.Kept}, {Name: "requestIds", Value: requests}})
	}
	if g.Stale {
		c.Note("stale", true)
	}
}

// noteRefusal adds what AWS's STS said, in its words: they may name Lanyard's identity, which the pod is not told.
func noteRefusal(c *api.Call, err error) {
	var r *awssts.Refusal
	if errors.As(err, &r) {
		c.Note("sts", audit.Object{
			{Name: "errorCode", Value: r.Code}, {Name: "errorMessage", Value: r.Message}, {Name: "requestIds", Value: []string{r.RequestID}},
		})
	}
}

// records are the further records of the same decision: the role assumed by the service, with the session's tags, and the
// target role assumed by that session, which both accounts are told.
func records(c *api.Call, g *broker.Grant) []*audit.Event {
	if len(g.Hops) > 0 {
		return fromSTS(c, g)
	}
	if g.Target == nil {
		return []*audit.Event{byService(c, g.Role, g.Session)}
	}
	onward := assumeRoleRecord(c, g.Target, g.Session, g.First.Session)
	onward.UserIdentity, onward.RecipientAccountID = api.Identity(g.First), g.First.Account
	onward.UserIdentity.InvokedBy = registry.Service
	parameters, _ := onward.RequestParameters.(audit.Object)
	onward.RequestParameters = parameters.Set("externalId", g.Association.ExternalID())
	all := []*audit.Event{byService(c, g.Role, g.First.Session), onward}
	if g.Target.Account != g.Role.Account {
		all = append(all, api.ForRoleAccount(onward, g.First, g.Target))
	}
	return all
}

// fromSTS are the records of what AWS's STS made, as far as Lanyard saw it, with STS's own request ids: by them they are found
// in AWS's trail. What was made for an earlier question was recorded then.
func fromSTS(c *api.Call, g *broker.Grant) []*audit.Event {
	if g.Kept {
		return nil
	}
	all := make([]*audit.Event, len(g.Hops))
	for i, h := range g.Hops {
		var former *session.Session
		if i > 0 {
			former = g.Hops[i-1].Session
		}
		e := assumeRoleRecord(c, h.Role, h.Session, former)
		e.UserIdentity, e.RecipientAccountID, e.RequestID = audit.UserIdentity{Type: "AWSService", InvokedBy: registry.Service}, g.Cluster.Account, h.RequestID
		if former != nil {
			name, id := api.Assumed(former)
			e.UserIdentity = audit.UserIdentity{Type: "AssumedRole", ARN: name, PrincipalID: id, AccountID: former.Account, InvokedBy: registry.Service}
		}
		parameters, _ := e.RequestParameters.(audit.Object)
		e.RequestParameters = parameters.Set("externalId", h.ExternalID)
		elements, _ := e.ResponseElements.(audit.Object)
		e.ResponseElements = elements.Set("packedPolicySize", h.Packed)
		all[i] = e
	}
	return all
}

func byService(c *api.Call, role *directory.Role, s *session.Session) *audit.Event {
	e := assumeRoleRecord(c, role, s, nil)
	e.UserIdentity, e.RecipientAccountID = audit.UserIdentity{Type: "AWSService", InvokedBy: registry.Service}, s.Account
	return e
}

// assumeRoleRecord is the record of a session that was made for a pod, as yet without who made it.
func assumeRoleRecord(c *api.Call, role *directory.Role, s, former *session.Session) *audit.Event {
	parameters := append(make(audit.Object, 0, 8),
		audit.Member{Name: "durationSeconds", Value: int(s.Expires.Sub(s.Issued) / time.Second)},
		audit.Member{Name: "roleArn", Value: role.ARN().String()},
		audit.Member{Name: "roleSessionName", Value: s.Name},
	)
	tags, transitive, incoming := api.SessionTags(s, former)
	if len(incoming) > 0 {
		parameters = append(parameters, audit.Member{Name: "incomingTransitiveTags", Value: incoming})
	}
	if len(s.Policies) > 0 {
		parameters = append(parameters, audit.Member{Name: "policy", Value: s.Policies[0]})
	}
	if len(tags) > 0 {
		parameters = append(parameters,
			audit.Member{Name: "tags", Value: tags}, audit.Member{Name: "transitiveTagKeys", Value: transitive})
	}
	return &audit.Event{
		EventVersion: "1.08", EventTime: c.Started, EventSource: "sts.amazonaws.com", EventName: "AssumeRole", AWSRegion: c.Region(),
		SourceIPAddress: registry.Service, UserAgent: registry.Service, RequestID: c.ID, ReadOnly: true, ManagementEvent: true,
		RequestParameters: parameters, ResponseElements: api.AssumedElements(s), Resources: api.AssumedResource(role),
	}
}
