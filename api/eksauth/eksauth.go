// Package eksauth is the door that speaks EKS Auth's wire: a node's agent shows a pod's token and gets credentials
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_auth_AssumeRoleForPodIdentity.html).
package eksauth

import (
	"context"
	"crypto/sha256"
	"net/http"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
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
		Operation: api.Operation{Name: "AssumeRoleForPodIdentity", ReadOnly: true, Reserved: true, Serve: d.assumeRole},
	}})
}

// Newer agents also send eksNodeName, instanceId and zone: claims of the caller's that nothing is decided on.
type request struct {
	Token string `json:"token"`
}

type response struct {
	Subject                subject         `json:"subject"`
	Audience               string          `json:"audience"`
	PodIdentityAssociation association     `json:"podIdentityAssociation"`
	AssumedRoleUser        assumedRoleUser `json:"assumedRoleUser"`
	Credentials            credentials     `json:"credentials"`
}

type subject struct {
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
}

type association struct {
	ARN string `json:"associationArn"`
	ID  string `json:"associationId"`
}

type assumedRoleUser struct {
	ARN string `json:"arn"`
	ID  string `json:"assumeRoleId"` // EKS Auth's spelling; STS's is AssumedRoleId
}

type credentials struct {
	AccessKeyID     string    `json:"accessKeyId"`
	SecretAccessKey string    `json:"secretAccessKey"`
	SessionToken    string    `json:"sessionToken"`
	Expiration      api.Epoch `json:"expiration"`
}

func (d *door) assumeRole(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["clusterName"]
	c.Event.RequestParameters = map[string]any{"clusterName": name, "token": audit.Hidden}
	if err := c.Authorize("eks-auth:AssumeRoleForPodIdentity", arn.Cluster(c.Region(), c.Caller.Account, name).String()); err != nil {
		return nil, err
	}
	in, err := api.Decode[request](c)
	if err != nil {
		return nil, err
	}
	if in.Token == "" {
		return nil, fault.New(fault.Invalid, "The parameter token is required.")
	}
	c.Shown = &api.Shown{Hash: sha256.Sum256([]byte(in.Token))}
	grant, err := d.broker.ForPod(ctx, c.Caller, name, in.Token)
	c.Shown.Verified = grant.Token != nil
	note(c, grant)
	if err != nil {
		return nil, err
	}
	c.More = []*audit.Event{assumeRoleRecord(c, grant)}
	s := grant.Session
	return response{
		Subject:                subject{grant.Token.Namespace, grant.Token.ServiceAccount},
		Audience:               grant.Token.Audience,
		PodIdentityAssociation: association{grant.Association.ARN().String(), grant.Association.ID},
		AssumedRoleUser:        assumedRoleUser{assumedARN(s), s.RoleID + ":" + s.Name},
		Credentials: credentials{
			grant.Credentials.AccessKeyID, grant.Credentials.SecretAccessKey, grant.Credentials.SessionToken, api.Epoch(grant.Credentials.Expires),
		},
	}, nil
}

// note adds to the record what CloudTrail leaves out: which pod, on which node, by which association.
func note(c *api.Call, g *broker.Grant) {
	if t := g.Token; t != nil {
		c.Note("pod", map[string]string{
			"namespace": t.Namespace, "serviceAccount": t.ServiceAccount, "name": t.Pod.Name, "uid": t.Pod.UID, "node": t.Node.Name, "nodeUid": t.Node.UID,
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
func assumeRoleRecord(c *api.Call, g *broker.Grant) *audit.Event {
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
		RequestParameters: map[string]any{
			"roleArn": role, "roleSessionName": s.Name, "durationSeconds": int(broker.PodSession.Seconds()), "tags": tags, "transitiveTagKeys": keys,
		},
		ResponseElements: map[string]any{
			"credentials":      map[string]any{"accessKeyId": s.AccessKeyID, "sessionToken": audit.Hidden, "expiration": s.Expires},
			"assumedRoleUser":  map[string]any{"assumedRoleId": s.RoleID + ":" + s.Name, "arn": assumedARN(s)},
			"packedPolicySize": s.PackedPercent(),
		},
		Resources: []audit.Resource{{AccountID: s.Account, Type: "AWS::IAM::Role", ARN: role}},
	}
}

func assumedARN(s *session.Session) string {
	return arn.AssumedRole(s.Account, s.RoleName, s.Name).String()
}
