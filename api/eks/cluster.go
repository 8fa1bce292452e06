package eks

import (
	"context"
	"encoding/base64"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// The wire's shapes, spelt as AWS spells them.

type cluster struct {
	Name                 string            `json:"name"`
	ARN                  string            `json:"arn"`
	CreatedAt            api.Epoch         `json:"createdAt"`
	Endpoint             string            `json:"endpoint,omitempty"`
	Identity             *identity         `json:"identity,omitempty"`
	Status               registry.Status   `json:"status"`
	CertificateAuthority *certificate      `json:"certificateAuthority,omitempty"`
	ConnectorConfig      connectorResponse `json:"connectorConfig"`
	Tags                 map[string]string `json:"tags"`
	ID                   string            `json:"id"`
}

type identity struct {
	OIDC struct {
		Issuer string `json:"issuer"`
	} `json:"oidc"`
}

type certificate struct {
	Data string `json:"data"`
}

type connectorResponse struct {
	ActivationID     string     `json:"activationId,omitempty"`
	ActivationCode   string     `json:"activationCode,omitempty"`
	ActivationExpiry *api.Epoch `json:"activationExpiry,omitempty"`
	Provider         string     `json:"provider"`
	RoleARN          string     `json:"roleArn"`
}

type clusterResponse struct {
	Cluster cluster `json:"cluster"`
}

// fromCluster shows a cluster. The activation code is shown by RegisterCluster alone: it is a secret.
func fromCluster(c *registry.Cluster, withCode bool) clusterResponse {
	out := cluster{
		Name: c.Name, ARN: c.ARN().String(), CreatedAt: api.Epoch(c.Created), Endpoint: c.Endpoint, Status: c.Status,
		ConnectorConfig: connectorResponse{Provider: c.Provider, RoleARN: c.RoleARN}, Tags: fromTags(c.Tags), ID: c.ID,
	}
	if len(c.Issuers) > 0 {
		out.Identity = &identity{}
		out.Identity.OIDC.Issuer = c.Issuers[0]
	}
	if c.CA != "" {
		out.CertificateAuthority = &certificate{Data: base64.StdEncoding.EncodeToString([]byte(c.CA))}
	}
	if a := c.Activation; a != nil {
		expiry := api.Epoch(a.Expires)
		out.ConnectorConfig.ActivationID, out.ConnectorConfig.ActivationExpiry = a.ID, &expiry
		if withCode {
			out.ConnectorConfig.ActivationCode = string(a.Secret)
		}
	}
	return clusterResponse{out}
}

type registerRequest struct {
	Name            string `json:"name"`
	ConnectorConfig struct {
		RoleARN  string `json:"roleArn"`
		Provider string `json:"provider"`
	} `json:"connectorConfig"`
	ClientRequestToken string            `json:"clientRequestToken"`
	Tags               map[string]string `json:"tags"`
}

func (d *door) registerCluster(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[registerRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = map[string]any{"name": in.Name, "tags": in.Tags}
	if err := c.Authorize("eks:RegisterCluster", arn.Cluster(c.Region(), c.Caller.Account, in.Name).String()); err != nil {
		return nil, err
	}
	if err := authorizeTags(c, arn.Cluster(c.Region(), c.Caller.Account, in.Name).String(), in.Tags); err != nil {
		return nil, err
	}
	if _, err := arn.Parse(in.ConnectorConfig.RoleARN); err != nil {
		return nil, fault.New(fault.Invalid, "connectorConfig.roleArn: %w", err)
	}
	made, err := d.registry.RegisterCluster(ctx, registry.NewCluster{
		Account: c.Caller.Account, Name: in.Name, Provider: in.ConnectorConfig.Provider, RoleARN: in.ConnectorConfig.RoleARN,
		Tags: toTags(in.Tags), RequestToken: in.ClientRequestToken,
	})
	if err != nil {
		return nil, err
	}
	return fromCluster(made, true), nil
}

func (d *door) deregisterCluster(ctx context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	c.Event.RequestParameters = map[string]any{"name": name}
	if err := c.Authorize("eks:DeregisterCluster", arn.Cluster(c.Region(), c.Caller.Account, name).String()); err != nil {
		return nil, err
	}
	gone, err := d.registry.DeregisterCluster(ctx, c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return fromCluster(gone, false), nil
}

func (d *door) describeCluster(_ context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	c.Event.RequestParameters = map[string]any{"name": name}
	if err := c.Authorize("eks:DescribeCluster", arn.Cluster(c.Region(), c.Caller.Account, name).String()); err != nil {
		return nil, err
	}
	found, err := d.registry.Cluster(c.Caller.Account, name)
	if err != nil {
		return nil, err
	}
	return fromCluster(found, false), nil
}

type listClustersResponse struct {
	Clusters  []string `json:"clusters"`
	NextToken string   `json:"nextToken,omitempty"`
}

// listClusters shows registered clusters always: unlike at EKS there are no others to tell them apart from.
func (d *door) listClusters(_ context.Context, c *api.Call) (any, error) {
	if err := c.Authorize("eks:ListClusters", arn.Cluster(c.Region(), c.Caller.Account, "*").String()); err != nil {
		return nil, err
	}
	n, after, err := page(c)
	if err != nil {
		return nil, err
	}
	for _, kind := range c.Request.URL.Query()["include"] {
		if kind != "all" {
			return nil, fault.New(fault.Invalid, "include %.100q: all is accepted", kind)
		}
	}
	found, err := d.registry.Clusters(c.Caller.Account, after, n+1)
	if err != nil {
		return nil, err
	}
	out := listClustersResponse{Clusters: []string{}}
	for i, cl := range found {
		if i == n {
			out.NextToken = token(found[n-1].Name)
			break
		}
		out.Clusters = append(out.Clusters, cl.Name)
	}
	return out, nil
}

// page reads which part of a list is asked for: how many of it, and from which place on.
func page(c *api.Call) (n int, after string, err error) {
	if n, err = c.MaxResults(); err == nil {
		after, err = place(c)
	}
	return n, after, err
}

// token makes a nextToken of the place where a list goes on; place reads it back.
func token(place string) string { return base64.RawURLEncoding.EncodeToString([]byte(place)) }

func place(c *api.Call) (string, error) {
	text := c.Request.URL.Query().Get("nextToken")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(text) > 1024 {
		return "", fault.New(fault.Invalid, "nextToken %.100q: the token of an earlier answer is accepted", text)
	}
	return string(raw), nil
}
