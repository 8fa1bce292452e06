package eks

import (
	"context"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
)

type association struct {
	ClusterName        string            `json:"clusterName"`
	Namespace          string            `json:"namespace"`
	ServiceAccount     string            `json:"serviceAccount"`
	RoleARN            string            `json:"roleArn"`
	AssociationARN     string            `json:"associationArn"`
	AssociationID      string            `json:"associationId"`
	Tags               map[string]string `json:"tags"`
	CreatedAt          api.Epoch         `json:"createdAt"`
	ModifiedAt         api.Epoch         `json:"modifiedAt"`
	DisableSessionTags bool              `json:"disableSessionTags"`
	TargetRoleARN      string            `json:"targetRoleArn,omitempty"`
	ExternalID         string            `json:"externalId,omitempty"`
	Policy             string            `json:"policy,omitempty"`
	OwnerARN           string            `json:"ownerArn,omitempty"`
}

type associationResponse struct {
	Association association `json:"association"`
}

func fromAssociation(a *registry.Association) associationResponse {
	out := association{
		ClusterName: a.Cluster, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount, RoleARN: a.Role.String(),
		AssociationARN: a.ARN().String(), AssociationID: a.ID, Tags: fromTags(a.Tags),
		CreatedAt: api.Epoch(a.Created), ModifiedAt: api.Epoch(a.Modified),
		DisableSessionTags: a.DisableTags, ExternalID: a.ExternalID(), Policy: a.Policy, OwnerARN: a.Owner,
	}
	if a.Target != (arn.ARN{}) {
		out.TargetRoleARN = a.Target.String()
	}
	return associationResponse{out}
}

type associationSummary struct {
	ClusterName    string `json:"clusterName"`
	Namespace      string `json:"namespace"`
	ServiceAccount string `json:"serviceAccount"`
	AssociationARN string `json:"associationArn"`
	AssociationID  string `json:"associationId"`
	OwnerARN       string `json:"ownerArn,omitempty"`
}

type createRequest struct {
	Namespace          string            `json:"namespace"`
	ServiceAccount     string            `json:"serviceAccount"`
	RoleARN            string            `json:"roleArn"`
	ClientRequestToken string            `json:"clientRequestToken"`
	Tags               map[string]string `json:"tags"`
	TargetRoleARN      string            `json:"targetRoleArn"`
	Policy             string            `json:"policy"`
	DisableSessionTags bool              `json:"disableSessionTags"`
}

func (d *door) createAssociation(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[createRequest](c)
	if err != nil {
		return nil, err
	}
	name := c.Labels["name"]
	parameters := map[string]any{
		"name": name, "namespace": in.Namespace, "serviceAccount": in.ServiceAccount, "roleArn": in.RoleARN, "tags": in.Tags,
	}
	c.Event.RequestParameters = parameters
	for member, text := range map[string]string{"targetRoleArn": in.TargetRoleARN, "policy": in.Policy} {
		if text != "" {
			parameters[member] = text
		}
	}
	if in.DisableSessionTags {
		parameters["disableSessionTags"] = true
	}
	clusterARN := arn.Cluster(c.Region(), c.Caller.Account, name).String()
	if err := c.Authorize("eks:CreatePodIdentityAssociation", clusterARN); err != nil {
		return nil, err
	}
	if err := authorizeTags(c, clusterARN, in.Tags); err != nil {
		return nil, err
	}
	if err := required("namespace", in.Namespace, "serviceAccount", in.ServiceAccount, "roleArn", in.RoleARN); err != nil {
		return nil, err
	}
	if err := authorizePassRole(c, in.RoleARN); err != nil {
		return nil, err
	}
	made, err := d.registry.CreateAssociation(ctx, registry.NewAssociation{
		Account: c.Caller.Account, Cluster: name, Namespace: in.Namespace, ServiceAccount: in.ServiceAccount, Role: in.RoleARN,
		Target: in.TargetRoleARN, Policy: in.Policy, DisableTags: in.DisableSessionTags,
		Tags: toTags(in.Tags), RequestToken: in.ClientRequestToken,
	})
	if err != nil {
		return nil, err
	}
	out := fromAssociation(made)
	c.Event.ResponseElements = map[string]any{"associationId": made.ID, "associationArn": made.ARN().String()}
	return out, nil
}

type updateRequest struct {
	RoleARN            *string `json:"roleArn"`
	TargetRoleARN      *string `json:"targetRoleArn"`
	Policy             *string `json:"policy"`
	DisableSessionTags *bool   `json:"disableSessionTags"`
}

func (d *door) updateAssociation(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[updateRequest](c)
	if err != nil {
		return nil, err
	}
	c.Event.RequestParameters = in.shown()
	name, id, err := d.authorizeAssociation(c, "eks:UpdatePodIdentityAssociation")
	if err != nil {
		return nil, err
	}
	if in == (updateRequest{}) {
		found, err := d.registry.AssociationByID(c.Caller.Account, name, id)
		if err != nil {
			return nil, err
		}
		return fromAssociation(found), nil // what it asks for is so already
	}
	if err := d.authorizeChange(c, name, id, in.RoleARN); err != nil {
		return nil, err
	}
	changed, err := d.registry.UpdateAssociation(ctx, c.Caller.Account, name, id, registry.AssociationChange{
		Role: in.RoleARN, Target: in.TargetRoleARN, Policy: in.Policy, DisableTags: in.DisableSessionTags,
	})
	if err != nil {
		return nil, err
	}
	return fromAssociation(changed), nil
}

// shown are the members that the request has.
func (in *updateRequest) shown() map[string]any {
	all := map[string]any{}
	for name, text := range map[string]*string{"roleArn": in.RoleARN, "targetRoleArn": in.TargetRoleARN, "policy": in.Policy} {
		if text != nil {
			all[name] = *text
		}
	}
	if in.DisableSessionTags != nil {
		all["disableSessionTags"] = *in.DisableSessionTags
	}
	return all
}

// authorizeChange asks whether the caller may hand over the role that the association will have. A change that leaves the
// role alone hands it over too: to who gets more from it, or something else.
func (d *door) authorizeChange(c *api.Call, cluster, id string, role *string) error {
	if role != nil {
		return authorizePassRole(c, *role)
	}
	found, err := d.registry.AssociationByID(c.Caller.Account, cluster, id)
	if err != nil {
		return err
	}
	return authorizePassRole(c, found.Role.String())
}

func (d *door) describeAssociation(_ context.Context, c *api.Call) (any, error) {
	name, id, err := d.authorizeAssociation(c, "eks:DescribePodIdentityAssociation")
	if err != nil {
		return nil, err
	}
	found, err := d.registry.AssociationByID(c.Caller.Account, name, id)
	if err != nil {
		return nil, err
	}
	return fromAssociation(found), nil
}

func (d *door) deleteAssociation(ctx context.Context, c *api.Call) (any, error) {
	name, id, err := d.authorizeAssociation(c, "eks:DeletePodIdentityAssociation")
	if err != nil {
		return nil, err
	}
	gone, err := d.registry.DeleteAssociation(ctx, c.Caller.Account, name, id)
	if err != nil {
		return nil, err
	}
	return fromAssociation(gone), nil
}

type listResponse struct {
	Associations []associationSummary `json:"associations"`
	NextToken    string               `json:"nextToken,omitempty"`
}

func (d *door) listAssociations(_ context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	c.Event.RequestParameters = map[string]any{"name": name}
	if err := c.Authorize("eks:ListPodIdentityAssociations", arn.Cluster(c.Region(), c.Caller.Account, name).String()); err != nil {
		return nil, err
	}
	n, after, err := page(c)
	if err != nil {
		return nil, err
	}
	query := c.Request.URL.Query()
	found, next, err := d.registry.Associations(c.Caller.Account, name, registry.AssociationQuery{
		Namespace: query.Get("namespace"), ServiceAccount: query.Get("serviceAccount"), After: after, Limit: n,
	})
	if err != nil {
		return nil, err
	}
	out := listResponse{Associations: []associationSummary{}, NextToken: token(next)}
	for _, a := range found {
		out.Associations = append(out.Associations, associationSummary{
			ClusterName: a.Cluster, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount, AssociationARN: a.ARN().String(), AssociationID: a.ID,
			OwnerARN: a.Owner,
		})
	}
	return out, nil
}

// authorizeAssociation asks for an action on the association that the path names, and puts it into the record beside the
// parameters that are there.
func (d *door) authorizeAssociation(c *api.Call, action string) (cluster, id string, err error) {
	cluster, id = c.Labels["name"], c.Labels["associationId"]
	parameters, _ := c.Event.RequestParameters.(map[string]any)
	if parameters == nil {
		parameters = map[string]any{}
		c.Event.RequestParameters = parameters
	}
	parameters["name"], parameters["associationId"] = cluster, id
	return cluster, id, c.Authorize(action, arn.Association(c.Region(), c.Caller.Account, cluster, id).String())
}

// authorizePassRole asks whether the caller may hand the role to Pod Identity. It comes before the role is looked at, so
// that who may not pass a role does not learn whether it exists.
func authorizePassRole(c *api.Call, role string) error {
	name, err := arn.Parse(role)
	if err != nil {
		return fault.New(fault.Invalid, "roleArn: %w", err)
	}
	if name.Account != c.Caller.Account {
		return fault.New(fault.CrossAccount, "Cross-account pass role is not allowed.")
	}
	return c.Authorize("iam:PassRole", role, policy.Entry{Key: "iam:PassedToService", Values: []string{registry.Service}})
}

// required refuses the first empty member of name, value pairs.
func required(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return fault.New(fault.Invalid, "The parameter %s is required.", pairs[i])
		}
	}
	return nil
}
