package eks

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

type addonResponse struct {
	Addon addonShape `json:"addon"`
}

type addonShape struct {
	Name         string               `json:"addonName"`
	Cluster      string               `json:"clusterName"`
	Status       registry.AddonStatus `json:"status"`
	Version      string               `json:"addonVersion"`
	Health       health               `json:"health"`
	ARN          string               `json:"addonArn"`
	CreatedAt    api.Epoch            `json:"createdAt"`
	ModifiedAt   api.Epoch            `json:"modifiedAt"`
	Tags         map[string]string    `json:"tags"`
	Values       string               `json:"configurationValues,omitempty"`
	Associations []string             `json:"podIdentityAssociations,omitempty"`
	Place        *addonPlace          `json:"namespaceConfig,omitempty"`
	Publisher    string               `json:"publisher,omitempty"`
	Owner        string               `json:"owner,omitempty"`
}

type addonPlace struct {
	Namespace string `json:"namespace"`
}

type health struct {
	Issues []issue `json:"issues"`
}

type issue struct {
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Resources []string `json:"resourceIds"`
}

func fromIssues(in []registry.AddonIssue) []issue {
	out := make([]issue, len(in))
	for i, x := range in {
		if out[i] = (issue{x.Code, x.Message, x.Resources}); x.Resources == nil {
			out[i].Resources = []string{}
		}
	}
	return out
}

// fromAddon shows an add-on. EKS has no member for which build of ours serves under a version's name: the publisher says it.
func (d *door) fromAddon(a *registry.Addon) addonResponse {
	out := addonShape{
		Name: a.Name, Cluster: a.Cluster, Status: a.Status, Version: a.Desired.Version, Health: health{fromIssues(a.Issues)},
		ARN: a.ARN().String(), CreatedAt: api.Epoch(a.Created), ModifiedAt: api.Epoch(a.Modified), Tags: fromTags(a.Tags),
		Values: a.Desired.Values, Owner: "lanyard", Publisher: "lanyard",
	}
	if a.Build != "" {
		out.Publisher = "lanyard (" + a.Build + ")"
	}
	if kind, ok := addon.Find(a.Name); ok {
		out.Place = &addonPlace{kind.Namespace}
	}
	for _, owned := range d.registry.OwnedBy(a) {
		out.Associations = append(out.Associations, owned.ARN().String())
	}
	return addonResponse{out}
}

type addonRole struct {
	ServiceAccount string `json:"serviceAccount"`
	RoleARN        string `json:"roleArn"`
}

type createAddonRequest struct {
	Name               string            `json:"addonName"`
	Version            string            `json:"addonVersion"`
	ServiceAccountRole string            `json:"serviceAccountRoleArn"`
	Conflicts          string            `json:"resolveConflicts"`
	RequestToken       string            `json:"clientRequestToken"`
	Tags               map[string]string `json:"tags"`
	Values             string            `json:"configurationValues"`
	Associations       []addonRole       `json:"podIdentityAssociations"`
	Place              *addonPlace       `json:"namespaceConfig"`
}

// unsupported refuses what would be accepted and not done.
func unsupported(serviceAccountRole string) error {
	if serviceAccountRole == "" {
		return nil
	}
	return fault.New(fault.Invalid, "serviceAccountRoleArn is not supported, as it is a role by IRSA: leave it out, and name the role in podIdentityAssociations where the add-on has a service account that needs one.")
}

func (d *door) createAddon(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[createAddonRequest](c)
	if err != nil {
		return nil, err
	}
	name := c.Labels["name"]
	c.Event.RequestParameters = map[string]any{
		"name": name, "addonName": in.Name, "addonVersion": in.Version, "resolveConflicts": in.Conflicts, "tags": in.Tags,
		"configurationValues": in.Values, "podIdentityAssociations": in.Associations,
	}
	cluster := arn.Cluster(c.Region(), c.Caller.Account, name).String()
	if err := c.Authorize("eks:CreateAddon", cluster); err != nil {
		return nil, err
	}
	if err := authorizeTags(c, cluster, in.Tags); err != nil {
		return nil, err
	}
	roles, err := authorizeRoles(c, cluster, in.Associations)
	if err != nil {
		return nil, err
	}
	if err := required("addonName", in.Name); err != nil {
		return nil, err
	}
	if err := unsupported(in.ServiceAccountRole); err != nil {
		return nil, err
	}
	if in.Place != nil && in.Place.Namespace != "kube-system" {
		return nil, fault.New(fault.Invalid, "namespaceConfig.namespace %.100q: kube-system is accepted", in.Place.Namespace)
	}
	made, err := d.registry.CreateAddon(ctx, registry.NewAddon{
		Account: c.Caller.Account, Cluster: name, Name: in.Name, Version: in.Version, Values: in.Values, Conflicts: in.Conflicts,
		Tags: toTags(in.Tags), Roles: roles, RequestToken: in.RequestToken,
	})
	if err != nil {
		return nil, err
	}
	c.Event.ResponseElements = map[string]any{"addonArn": made.ARN().String()}
	return d.fromAddon(made), nil
}

// authorizeRoles asks for the right to associate, and to pass each role, before any is looked at.
func authorizeRoles(c *api.Call, cluster string, in []addonRole) ([]registry.AddonRole, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if err := c.Authorize("eks:CreatePodIdentityAssociation", cluster); err != nil {
		return nil, err
	}
	roles := make([]registry.AddonRole, len(in))
	for i, r := range in {
		if err := required("serviceAccount", r.ServiceAccount, "roleArn", r.RoleARN); err != nil {
			return nil, err
		}
		if err := authorizePassRole(c, r.RoleARN); err != nil {
			return nil, err
		}
		roles[i] = registry.AddonRole{ServiceAccount: r.ServiceAccount, Role: r.RoleARN}
	}
	return roles, nil
}

// authorizeAddon asks for an action on the add-on that the path or the query names. One that is not there is asked about
// with `none` in the place of its last piece.
func (d *door) authorizeAddon(c *api.Call, action, cluster, name string) error {
	uid := "none"
	if found, err := d.registry.Addon(c.Caller.Account, cluster, name); err == nil {
		uid = found.UID
	}
	return c.Authorize(action, arn.Addon(c.Region(), c.Caller.Account, cluster, name, uid).String())
}

func (d *door) describeAddon(_ context.Context, c *api.Call) (any, error) {
	cluster, name := c.Labels["name"], c.Labels["addonName"]
	c.Event.RequestParameters = map[string]any{"name": cluster, "addonName": name}
	if err := d.authorizeAddon(c, "eks:DescribeAddon", cluster, name); err != nil {
		return nil, err
	}
	found, err := d.registry.Addon(c.Caller.Account, cluster, name)
	if err != nil {
		return nil, err
	}
	return d.fromAddon(found), nil
}

type listAddonsResponse struct {
	Addons    []string `json:"addons"`
	NextToken string   `json:"nextToken,omitempty"`
}

func (d *door) listAddons(_ context.Context, c *api.Call) (any, error) {
	name := c.Labels["name"]
	c.Event.RequestParameters = map[string]any{"name": name}
	if err := c.Authorize("eks:ListAddons", arn.Cluster(c.Region(), c.Caller.Account, name).String()); err != nil {
		return nil, err
	}
	n, after, err := page(c)
	if err != nil {
		return nil, err
	}
	names, err := d.registry.Addons(c.Caller.Account, name, after, n+1)
	if err != nil {
		return nil, err
	}
	out := listAddonsResponse{Addons: names}
	if len(names) > n {
		out = listAddonsResponse{names[:n], token(names[n-1])}
	}
	return out, nil
}

type updateAddonRequest struct {
	Version            string       `json:"addonVersion"`
	ServiceAccountRole string       `json:"serviceAccountRoleArn"`
	Conflicts          string       `json:"resolveConflicts"`
	RequestToken       string       `json:"clientRequestToken"`
	Values             *string      `json:"configurationValues"`
	Associations       *[]addonRole `json:"podIdentityAssociations"`
}

// params are what the update was asked to change, as EKS lists it.
func (in *updateAddonRequest) params() (all []registry.UpdateParam) {
	add := func(kind, value string) { all = append(all, registry.UpdateParam{Type: kind, Value: value}) }
	if in.Version != "" {
		add("AddonVersion", in.Version)
	}
	if in.Conflicts != "" {
		add("ResolveConflicts", in.Conflicts)
	}
	if in.Values != nil {
		add("ConfigurationValues", *in.Values)
	}
	if in.Associations != nil {
		text, _ := json.Marshal(*in.Associations) // strings: always JSON
		add("PodIdentityAssociations", string(text))
	}
	return all
}

func (d *door) updateAddon(ctx context.Context, c *api.Call) (any, error) {
	in, err := api.Decode[updateAddonRequest](c)
	if err != nil {
		return nil, err
	}
	cluster, name := c.Labels["name"], c.Labels["addonName"]
	parameters := map[string]any{"name": cluster, "addonName": name}
	for _, p := range in.params() {
		parameters[p.Type] = p.Value
	}
	c.Event.RequestParameters = parameters
	if err := d.authorizeAddon(c, "eks:UpdateAddon", cluster, name); err != nil {
		return nil, err
	}
	change := registry.AddonChange{
		Version: in.Version, Values: in.Values, Conflicts: in.Conflicts, HasRoles: in.Associations != nil, Params: in.params(),
		RequestToken: in.RequestToken,
	}
	if in.Associations != nil {
		if err := d.authorizeOwned(c, cluster, name); err != nil {
			return nil, err
		}
		if change.Roles, err = authorizeRoles(c, arn.Cluster(c.Region(), c.Caller.Account, cluster).String(), *in.Associations); err != nil {
			return nil, err
		}
	}
	if err := unsupported(in.ServiceAccountRole); err != nil {
		return nil, err
	}
	_, update, err := d.registry.UpdateAddon(ctx, c.Caller.Account, cluster, name, change)
	if err != nil {
		return nil, err
	}
	return fromUpdate(*update), nil
}

// authorizeOwned asks for the right to delete each association that the add-on owns: a new list may leave it out, and
// with the add-on they all go.
func (d *door) authorizeOwned(c *api.Call, cluster, name string) error {
	found, err := d.registry.Addon(c.Caller.Account, cluster, name)
	if fault.Is(err, fault.NotFound) {
		return nil // said by the operation
	}
	if err != nil {
		return err
	}
	for _, owned := range d.registry.OwnedBy(found) {
		if err := c.Authorize("eks:DeletePodIdentityAssociation", owned.ARN().String()); err != nil {
			return err
		}
	}
	return nil
}

func (d *door) deleteAddon(ctx context.Context, c *api.Call) (any, error) {
	cluster, name := c.Labels["name"], c.Labels["addonName"]
	text := c.Request.URL.Query().Get("preserve")
	c.Event.RequestParameters = map[string]any{"name": cluster, "addonName": name, "preserve": text}
	if err := d.authorizeAddon(c, "eks:DeleteAddon", cluster, name); err != nil {
		return nil, err
	}
	preserve := text == "true"
	if !preserve { // preserved, they stay and have no owner any more
		if err := d.authorizeOwned(c, cluster, name); err != nil {
			return nil, err
		}
	}
	gone, err := d.registry.DeleteAddon(ctx, c.Caller.Account, cluster, name, preserve)
	if err != nil {
		return nil, err
	}
	return d.fromAddon(gone), nil
}

type updateResponse struct {
	Update updateShape `json:"update"`
}

type updateShape struct {
	ID        string                `json:"id"`
	Status    registry.UpdateStatus `json:"status"`
	Type      string                `json:"type"`
	Params    []param               `json:"params"`
	CreatedAt api.Epoch             `json:"createdAt"`
	Errors    []updateError         `json:"errors"`
}

type param struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type updateError struct {
	Code      string   `json:"errorCode"`
	Message   string   `json:"errorMessage"`
	Resources []string `json:"resourceIds"`
}

func fromUpdate(u registry.AddonUpdate) updateResponse {
	out := updateShape{ID: u.ID, Status: u.Status, Type: "AddonUpdate", Params: []param{}, CreatedAt: api.Epoch(u.Created), Errors: []updateError{}}
	for _, p := range u.Params {
		out.Params = append(out.Params, param(p))
	}
	for _, i := range fromIssues(u.Errors) {
		out.Errors = append(out.Errors, updateError(i))
	}
	return updateResponse{out}
}

func (d *door) describeUpdate(_ context.Context, c *api.Call) (any, error) {
	cluster, id, name := c.Labels["name"], c.Labels["updateId"], c.Request.URL.Query().Get("addonName")
	c.Event.RequestParameters = map[string]any{"name": cluster, "updateId": id, "addonName": name}
	updates, err := d.updates(c, "eks:DescribeUpdate", cluster, name)
	if err != nil {
		return nil, err
	}
	for _, u := range updates {
		if u.ID == id {
			return fromUpdate(u), nil
		}
	}
	return nil, fault.New(fault.NotFound, "No update found for ID: %.100s", id)
}

// updates asks for an action on the add-on, or on the cluster without one, and returns what there is: only add-ons have
// updates.
func (d *door) updates(c *api.Call, action, cluster, name string) ([]registry.AddonUpdate, error) {
	if name == "" {
		if err := c.Authorize(action, arn.Cluster(c.Region(), c.Caller.Account, cluster).String()); err != nil {
			return nil, err
		}
		_, err := d.registry.Cluster(c.Caller.Account, cluster)
		return nil, err
	}
	if err := d.authorizeAddon(c, action, cluster, name); err != nil {
		return nil, err
	}
	found, err := d.registry.Addon(c.Caller.Account, cluster, name)
	if err != nil {
		return nil, err
	}
	return found.Updates, nil
}

type listUpdatesResponse struct {
	IDs       []string `json:"updateIds"`
	NextToken string   `json:"nextToken,omitempty"`
}

func (d *door) listUpdates(_ context.Context, c *api.Call) (any, error) {
	cluster, name := c.Labels["name"], c.Request.URL.Query().Get("addonName")
	c.Event.RequestParameters = map[string]any{"name": cluster, "addonName": name}
	updates, err := d.updates(c, "eks:ListUpdates", cluster, name)
	if err != nil {
		return nil, err
	}
	n, err := c.MaxResults()
	if err != nil {
		return nil, err
	}
	from, err := placeIn(c, len(updates))
	if err != nil {
		return nil, err
	}
	out := listUpdatesResponse{IDs: []string{}}
	for i := from; i < len(updates) && i < from+n; i++ {
		out.IDs = append(out.IDs, updates[i].ID)
	}
	if from+n < len(updates) {
		out.NextToken = token(strconv.Itoa(from + n))
	}
	return out, nil
}

// placeIn reads a nextToken that is a place in a short list.
func placeIn(c *api.Call, size int) (int, error) {
	text, err := place(c)
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > size {
		return 0, fault.New(fault.Invalid, "nextToken: the token of an earlier answer is accepted")
	}
	return n, nil
}

// changeAddonTags changes the tags of an add-on that was asked for by its ARN.
func (d *door) changeAddonTags(ctx context.Context, c *api.Call, on tagged, add []directory.Tag, remove []string) error {
	if _, err := d.taggedAddon(c, on); err != nil {
		return err
	}
	_, err := d.registry.TagAddon(ctx, c.Caller.Account, on.cluster, on.addon, add, remove)
	return err
}

// taggedAddon finds the add-on whose ARN has this last piece, not one that came after it.
func (d *door) taggedAddon(c *api.Call, on tagged) (*registry.Addon, error) {
	found, err := d.registry.Addon(c.Caller.Account, on.cluster, on.addon)
	if err == nil && found.UID != on.uid {
		err = fault.New(fault.NotFound, "The resource %s does not exist.", c.Labels["resourceArn"])
	}
	return found, err
}
