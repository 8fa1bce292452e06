package lanyard

import (
	"context"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

type createAccountRequest struct {
	AccountID string      `json:"accountId"`
	Name      string      `json:"name"`
	AWS       *awsRequest `json:"aws"` // the AWS account of that number stands behind it; absent: none
}

type awsRequest struct {
	Region   string `json:"region"`
	Endpoint string `json:"endpoint"`
	NoVerify bool   `json:"noVerify"`
}

type createAccountResponse struct {
	AccountID       string    `json:"accountId"`
	Name            string    `json:"name"`
	CreatedAt       api.Epoch `json:"createdAt"`
	UserName        string    `json:"userName"`
	AccessKeyID     string    `json:"accessKeyId"`
	SecretAccessKey string    `json:"secretAccessKey"`
	AWS             *aws      `json:"aws,omitempty"`
}

// aws is what stands behind an account.
type aws struct {
	Region     string `json:"region"`
	Endpoint   string `json:"endpoint"`
	ExternalID string `json:"externalId"`
	NoVerify   bool   `json:"noVerify"`
}

func fromBacking(b *directory.AWSAccount) *aws {
	if b == nil {
		return nil
	}
	return &aws{b.Region, b.Endpoint, b.ExternalID, b.Unverified}
}

// createAccount answers the new account's administrator key, this once. Its resource is in the management account, so
// nobody of another account may call it, whatever their policies say.
func (d *door) createAccount(ctx context.Context, c *api.Call) (any, error) {
	management, err := d.directory.Management()
	if err != nil {
		return nil, err
	}
	in, err := api.Decode[createAccountRequest](c)
	if err != nil {
		return nil, err
	}
	parameters := map[string]any{"accountId": in.AccountID, "name": in.Name}
	c.Event.RequestParameters = parameters
	made := directory.NewAccount{ID: in.AccountID, Name: in.Name}
	if in.AWS != nil {
		parameters["aws"] = map[string]any{"region": in.AWS.Region, "endpoint": in.AWS.Endpoint, "noVerify": in.AWS.NoVerify}
		made.AWS = &directory.AWSAccount{Region: in.AWS.Region, Endpoint: strings.TrimSuffix(in.AWS.Endpoint, "/"), Unverified: in.AWS.NoVerify}
	}
	resource := arn.ARN{Service: "lanyard", Region: c.Region(), Account: management.ID, Resource: "account/*"}
	if err := c.Authorize("lanyard:CreateAccount", resource.String()); err != nil {
		return nil, err
	}
	account, key, err := d.directory.CreateAccount(ctx, made)
	if err != nil {
		return nil, err
	}
	c.Event.ResponseElements = map[string]any{"accountId": account.ID, "userName": key.User, "accessKeyId": key.ID}
	return createAccountResponse{
		account.ID, account.Name, api.Epoch(account.Created), key.User, key.ID, string(key.Secret), fromBacking(account.AWS),
	}, nil
}

// ownAccount asks for an action on the caller's account and returns it.
func (d *door) ownAccount(c *api.Call, action string) (*directory.Account, error) {
	id := c.Caller.Account
	resource := arn.ARN{Service: "lanyard", Region: c.Region(), Account: id, Resource: "account/" + id}
	if err := c.Authorize(action, resource.String()); err != nil {
		return nil, err
	}
	return d.directory.Account(id)
}

// onCluster asks for an action on a cluster of the caller's account, which may not exist.
func onCluster(c *api.Call, action, name string) error {
	return c.Authorize(action, arn.Cluster(c.Region(), c.Caller.Account, name).String())
}

type describeAccountResponse struct {
	AccountID string    `json:"accountId"`
	Name      string    `json:"name"`
	Region    string    `json:"region"` // in which clusters and associations are named
	CreatedAt api.Epoch `json:"createdAt"`
	AWS       *aws      `json:"aws,omitempty"`
	Principal string    `json:"principalArn,omitempty"` // who Lanyard is at AWS
	Problem   string    `json:"problem,omitempty"`      // why that is not known
}

// describeAccount tells of the caller's account what a trust policy at AWS has to say of Lanyard.
func (d *door) describeAccount(ctx context.Context, c *api.Call) (any, error) {
	account, err := d.ownAccount(c, "lanyard:DescribeAccount")
	if err != nil {
		return nil, err
	}
	out := describeAccountResponse{
		AccountID: account.ID, Name: account.Name, Region: c.Region(), CreatedAt: api.Epoch(account.Created), AWS: fromBacking(account.AWS),
	}
	if account.AWS == nil {
		return out, nil
	}
	who, err := d.broker.AWSIdentity(ctx, account.AWS)
	if err != nil {
		out.Problem = fault.Message(err)
	}
	out.Principal = who.ARN
	return out, nil
}

type verifyAccountRequest struct {
	Cluster string `json:"cluster"` // its name; "" is all of the account
	After   string `json:"after"`   // the next of an earlier answer
}

type verifyAccountResponse struct {
	Associations []verified `json:"associations"`
	Next         string     `json:"next,omitempty"` // there are more
}

// verified is what AWS said to one association's roles.
type verified struct {
	Cluster        string `json:"clusterName"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	AssociationID  string `json:"associationId"`
	RoleARN        string `json:"roleArn"`
	TargetRoleARN  string `json:"targetRoleArn,omitempty"`
	Tagged         bool   `json:"tagged"`
	ExternalID     string `json:"externalId"` // for the role
	OK             bool   `json:"ok"`
	Refused        string `json:"refusedRoleArn,omitempty"`
	Action         string `json:"action,omitempty"` // that was not allowed
	Code           string `json:"code,omitempty"`
	Message        string `json:"message,omitempty"`
	RequestID      string `json:"requestId,omitempty"` // STS's
	// The role can be had with another external id than Lanyard's.
	AnyExternalID bool `json:"anyExternalId"`
}

// verifiedAtOnce is how many one call tries: each takes two questions to STS or more.
const verifiedAtOnce = 5

// verifyAccount has AWS's STS asked for the roles of associations, and lets go of what it gives.
func (d *door) verifyAccount(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[verifyAccountRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"cluster": in.Cluster, "after": in.After}
	account, err := d.ownAccount(c, "lanyard:VerifyAccount")
	if err != nil {
		return nil, err
	}
	if account.AWS == nil {
		return nil, fault.New(fault.BadState, "Account %s has no AWS account behind it: its roles are Lanyard's own.", account.ID)
	}
	found, next, err := d.registry.AccountAssociations(account.ID, in.Cluster, registry.AssociationQuery{After: in.After, Limit: verifiedAtOnce})
	if err != nil {
		return nil, err
	}
	out := verifyAccountResponse{Associations: []verified{}, Next: next}
	for _, a := range found {
		v, err := d.verify(ctx, account.AWS, a)
		if err != nil {
			return nil, err
		}
		out.Associations = append(out.Associations, v)
	}
	return out, nil
}

func (d *door) verify(ctx context.Context, backing *directory.AWSAccount, a *registry.Association) (verified, error) {
	v := verified{
		Cluster: a.Cluster, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount, AssociationID: a.ID, RoleARN: a.Role.String(),
		Tagged: !a.DisableTags, ExternalID: a.AWSExternalID(backing.ExternalID),
	}
	if a.Target != (arn.ARN{}) {
		v.TargetRoleARN = a.Target.String()
	}
	trial, err := d.broker.Trial(ctx, a, true)
	if err != nil {
		return v, err
	}
	v.OK, v.RequestID, v.AnyExternalID = trial.Refused == nil, trial.RequestID, trial.Open
	if trial.Refused != nil {
		v.Refused, v.Action, v.Code, v.Message = trial.Role, trial.Action, trial.Code, trial.Message
		if v.Message == "" {
			v.Message = fault.Message(trial.Refused)
		}
	}
	return v, nil
}
