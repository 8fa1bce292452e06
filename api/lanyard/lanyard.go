// Package lanyard is the door of Lanyard's own API: what AWS's APIs have no words for. openapi.json beside this file
// describes it, and a test holds the two together.
package lanyard

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/store"
)

// Errors is this door's table of codes: EKS's, where EKS has one.
var Errors = api.RESTErrors(nil)

type door struct {
	store     *store.Store
	directory *directory.Directory
	keyring   *keyring.Keyring
	registry  *registry.Registry
	broker    *broker.Broker

	vocabulary *policy.Vocabulary // of all doors: what a policy may sensibly speak of
	walks      *limit.Turns       // of those who ask about all of an account
	checks     *limit.Turns       // of those who ask without a permission
}

// New returns the door.
func New(
	st *store.Store, dir *directory.Directory, ring *keyring.Keyring, reg *registry.Registry, b *broker.Broker, words *policy.Vocabulary,
) *api.Door {
	d := &door{st, dir, ring, reg, b, words, limit.NewQuestions(walksAtOnce), limit.NewQuestions(checksAtOnce)}
	return api.RESTJSON("lanyard", "lanyard.amazonaws.com", Errors, d.routes())
}

func (d *door) routes() []api.Route {
	return []api.Route{
		{Method: "POST", Path: "/lanyard/v1/accounts", Operation: api.Operation{Name: "CreateAccount", Serve: d.createAccount}},
		{Method: "GET", Path: "/lanyard/v1/account", Operation: api.Operation{Name: "DescribeAccount", ReadOnly: true, Serve: d.describeAccount}},
		{Method: "POST", Path: "/lanyard/v1/account/verification", Operation: api.Operation{Name: "VerifyAccount", ReadOnly: true, Serve: d.verifyAccount}},
		{Method: "POST", Path: "/lanyard/v1/activations", Operation: api.Operation{Name: "ActivateCluster", Serve: d.activateCluster}},
		{Method: "PUT", Path: "/lanyard/v1/clusters/{name}/keys", Operation: api.Operation{Name: "PutClusterKeys", Serve: d.putClusterKeys}},
		{Method: "PATCH", Path: "/lanyard/v1/clusters/{name}", Operation: api.Operation{Name: "UpdateCluster", Serve: d.updateCluster}},
		{Method: "POST", Path: "/lanyard/v1/clusters/{name}/activation", Operation: api.Operation{Name: "ReactivateCluster", Serve: d.reactivateCluster}},
		{Method: "POST", Path: "/lanyard/v1/clusters/{name}/connector", Operation: api.Operation{Name: "WatchConnector", ReadOnly: true, Serve: d.watchConnector}},
		{Method: "PUT", Path: "/lanyard/v1/clusters/{name}/connector", Operation: api.Operation{Name: "ReportConnector", Routine: true, Serve: d.reportConnector}},
		{Method: "GET", Path: "/lanyard/v1/clusters/{name}/connector", Operation: api.Operation{Name: "DescribeConnector", ReadOnly: true, Serve: d.describeConnector}},
		{Method: "POST", Path: "/lanyard/v1/clusters/{name}/deleted-pods", Operation: api.Operation{Name: "ReportDeletedPods", Serve: d.reportDeletedPods}},
		{Method: "POST", Path: "/lanyard/v1/clusters/{name}/service-accounts", Operation: api.Operation{Name: "ListServiceAccounts", ReadOnly: true, Serve: d.listServiceAccounts}},
		{Method: "PUT", Path: "/lanyard/v1/clusters/{name}/service-accounts", Operation: api.Operation{Name: "ReportServiceAccounts", Routine: true, Serve: d.reportServiceAccounts}},
		{Method: "POST", Path: "/lanyard/v1/revocations", Operation: api.Operation{Name: "Revoke", Serve: d.revoke}},
		{Method: "POST", Path: "/lanyard/v1/clusters/{name}/invalidations", Operation: api.Operation{Name: "WatchInvalidations", ReadOnly: true, Serve: d.watchInvalidations}},
		{Method: "POST", Path: "/lanyard/v1/feed", Operation: api.Operation{Name: "WatchFeed", ReadOnly: true, Serve: d.watchFeed}},
		{Method: "GET", Path: "/lanyard/v1/gateways", Operation: api.Operation{Name: "ListGateways", ReadOnly: true, Serve: d.listGateways}},
		{Method: "PUT", Path: "/lanyard/v1/gateways/{name}", Operation: api.Operation{Name: "ReportGateway", Routine: true, Serve: d.reportGateway}},
		{Method: "GET", Path: "/lanyard/v1/audit/heads", Operation: api.Operation{Name: "DescribeAuditHeads", ReadOnly: true, Serve: d.describeAuditHeads}},
		{Method: "POST", Path: "/lanyard/v1/signing-keys", Operation: api.Operation{Name: "GetSigningKey", ReadOnly: true, Serve: d.getSigningKey}},
		{Method: "POST", Path: "/lanyard/v1/my-access", Operation: api.Operation{Name: "CheckMyAccess", ReadOnly: true, Serve: d.checkMyAccess}},
		{Method: "POST", Path: "/lanyard/v1/policy-checks", Operation: api.Operation{Name: "CheckPolicy", ReadOnly: true, Routine: true, Serve: d.checkPolicy}},
		{Method: "POST", Path: "/lanyard/v1/who-can", Operation: api.Operation{Name: "WhoCan", ReadOnly: true, Serve: d.whoCan}},
		{Method: "POST", Path: "/lanyard/v1/can-reach", Operation: api.Operation{Name: "CanReach", ReadOnly: true, Serve: d.canReach}},
	}
}

type activateRequest struct {
	Issuers              []string        `json:"issuers"`
	JWKS                 json.RawMessage `json:"jwks"`
	Endpoint             string          `json:"endpoint"`
	CertificateAuthority string          `json:"certificateAuthority"`
	Practice             bool            `json:"practice"`
}

// check refuses an address and a certificate that `aws eks update-kubeconfig` could not use. Both may be left out.
func (in activateRequest) check() error {
	if in.Endpoint != "" {
		u, err := url.Parse(in.Endpoint)
		if err != nil || u.Scheme != "https" || u.Host == "" || len(in.Endpoint) > 255 {
			return fault.New(fault.Invalid, "endpoint %.100q: an https URL of at most 255 characters is accepted", in.Endpoint)
		}
	}
	return registry.CheckCertificates("certificateAuthority", in.CertificateAuthority)
}

func parseKeys(jwks json.RawMessage) ([]podtoken.Key, error) {
	if len(jwks) == 0 {
		return nil, fault.New(fault.Invalid, "The parameter jwks is required: the key set of the API server's /openid/v1/jwks is accepted.")
	}
	keys, err := podtoken.ParseKeys(jwks)
	if err != nil {
		return nil, err
	}
	return keys, nil
}

type clusterResponse struct {
	Name        string          `json:"name"`
	ID          string          `json:"id"`
	ARN         string          `json:"arn"`
	Status      registry.Status `json:"status"`
	NodeBinding bool            `json:"nodeBinding"`
	S3Endpoint  string          `json:"s3Endpoint"`
	STSEndpoint string          `json:"stsEndpoint"`
	CABundle    string          `json:"caBundle"`
	MaxToken    int64           `json:"maxTokenSeconds"`
	AgentRole   string          `json:"agentRoleArn"`
	Connector   string          `json:"connectorRoleArn"`
}

func fromCluster(c *registry.Cluster) clusterResponse {
	return clusterResponse{
		c.Name, c.ID, c.ARN().String(), c.Status, c.NodeBinding, c.S3Endpoint, c.STSEndpoint, c.CABundle, int64(c.MaxToken / time.Second),
		arn.Role(c.Account, "/", c.AgentRole()).String(), arn.Role(c.Account, "/", c.ConnectorRole()).String(),
	}
}

// activateCluster is signed with the pair that RegisterCluster answered, and only with that: the caller is the cluster.
func (d *door) activateCluster(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[activateRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"cluster": c.Caller.ARN, "issuers": in.Issuers, "practice": in.Practice}
	if err := c.Authorize("lanyard:ActivateCluster", c.Caller.ARN); err != nil {
		return nil, err
	}
	if c.Caller.User != nil || c.Caller.Session != nil {
		return nil, fault.New(fault.Denied, "ActivateCluster is signed with the activation id and code that RegisterCluster answered, not by %s.", c.Caller.ARN)
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	keys, err := parseKeys(in.JWKS)
	if err != nil {
		return nil, err
	}
	joined, err := d.registry.ActivateCluster(ctx, c.Caller.KeyID, registry.Joining{
		Issuers: in.Issuers, Keys: keys, Endpoint: in.Endpoint, CA: in.CertificateAuthority, Practice: in.Practice,
	})
	if err != nil {
		return nil, err
	}
	return fromCluster(joined), nil
}

type putKeysRequest struct {
	Issuers []string        `json:"issuers"`
	JWKS    json.RawMessage `json:"jwks"`
}

func (d *door) putClusterKeys(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[putKeysRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": name, "issuers": in.Issuers, "jwks": string(in.JWKS)}
	if err := onCluster(c, "lanyard:PutClusterKeys", name); err != nil {
		return nil, err
	}
	keys, err := parseKeys(in.JWKS)
	if err != nil {
		return nil, err
	}
	changed, err := d.registry.PutClusterKeys(ctx, c.Caller.Account, name, in.Issuers, keys)
	if err != nil {
		return nil, err
	}
	return fromCluster(changed), nil
}

type updateClusterRequest struct {
	NodeBinding     *bool   `json:"nodeBinding"`
	S3Endpoint      *string `json:"s3Endpoint"`
	STSEndpoint     *string `json:"stsEndpoint"`
	CABundle        *string `json:"caBundle"`
	MaxTokenSeconds *int64  `json:"maxTokenSeconds"`
	InsecureHTTP    bool    `json:"insecureHttp"` // of this call's s3Endpoint
}

// shown are the members that the request has.
func (in *updateClusterRequest) shown(name string) map[string]any {
	all := map[string]any{"name": name}
	if in.NodeBinding != nil {
		all["nodeBinding"] = *in.NodeBinding
	}
	if in.InsecureHTTP {
		all["insecureHttp"] = true
	}
	if in.MaxTokenSeconds != nil {
		all["maxTokenSeconds"] = *in.MaxTokenSeconds
	}
	for member, text := range map[string]*string{"s3Endpoint": in.S3Endpoint, "stsEndpoint": in.STSEndpoint, "caBundle": in.CABundle} {
		if text != nil {
			all[member] = *text
		}
	}
	return all
}

func (d *door) updateCluster(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	in, err := api.Decode[updateClusterRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = in.shown(name)
	if err := onCluster(c, "lanyard:UpdateCluster", name); err != nil {
		return nil, err
	}
	if in == (updateClusterRequest{InsecureHTTP: in.InsecureHTTP}) {
		return nil, fault.New(fault.Invalid, "At least one of nodeBinding, s3Endpoint, stsEndpoint, caBundle and maxTokenSeconds is required.")
	}
	change := registry.ClusterChange{NodeBinding: in.NodeBinding, S3Endpoint: in.S3Endpoint, STSEndpoint: in.STSEndpoint, CABundle: in.CABundle, InsecureHTTP: in.InsecureHTTP}
	if n := in.MaxTokenSeconds; n != nil {
		if *n < 0 || *n > 1<<31 {
			return nil, fault.New(fault.Invalid, "maxTokenSeconds: 600 to 86400 are accepted, got %d", *n)
		}
		lives := time.Duration(*n) * time.Second
		change.MaxToken = &lives
	}
	changed, err := d.registry.UpdateCluster(ctx, c.Caller.Account, name, change)
	if err != nil {
		return nil, err
	}
	return fromCluster(changed), nil
}
