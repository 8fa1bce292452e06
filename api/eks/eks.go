// Package eks is the door that speaks Amazon EKS's wire: clusters, pod identity associations, add-ons and their tags
// (https://docs.aws.amazon.com/eks/latest/APIReference/Welcome.html).
package eks

import (
	"net/http"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// Errors is EKS's table of codes (reference: the Errors sections of the API).
var Errors = api.RESTErrors(nil)

// tagErrors is how the tag operations, alone among EKS's, name the same failures.
var tagErrors = api.Errors{
	fault.Invalid:  {Name: "BadRequestException", Status: http.StatusBadRequest},
	fault.NotFound: {Name: "NotFoundException", Status: http.StatusNotFound},
}

type door struct {
	registry *registry.Registry
}

// New returns the door.
func New(reg *registry.Registry) *api.Door {
	d := &door{registry: reg}
	return api.RESTJSON("eks", "eks.amazonaws.com", Errors, []api.Route{
		{Method: "POST", Path: "/cluster-registrations", Operation: api.Operation{Name: "RegisterCluster", Serve: d.registerCluster}},
		{Method: "DELETE", Path: "/cluster-registrations/{name}", Operation: api.Operation{Name: "DeregisterCluster", Serve: d.deregisterCluster}},
		{Method: "GET", Path: "/clusters", Operation: api.Operation{Name: "ListClusters", ReadOnly: true, Serve: d.listClusters}},
		{Method: "GET", Path: "/clusters/{name}", Operation: api.Operation{Name: "DescribeCluster", ReadOnly: true, Serve: d.describeCluster}},
		{Method: "POST", Path: "/clusters/{name}/pod-identity-associations", Operation: api.Operation{Name: "CreatePodIdentityAssociation", Serve: d.createAssociation}},
		{Method: "GET", Path: "/clusters/{name}/pod-identity-associations", Operation: api.Operation{Name: "ListPodIdentityAssociations", ReadOnly: true, Serve: d.listAssociations}},
		{Method: "GET", Path: "/clusters/{name}/pod-identity-associations/{associationId}", Operation: api.Operation{Name: "DescribePodIdentityAssociation", ReadOnly: true, Serve: d.describeAssociation}},
		{Method: "POST", Path: "/clusters/{name}/pod-identity-associations/{associationId}", Operation: api.Operation{Name: "UpdatePodIdentityAssociation", Serve: d.updateAssociation}},
		{Method: "DELETE", Path: "/clusters/{name}/pod-identity-associations/{associationId}", Operation: api.Operation{Name: "DeletePodIdentityAssociation", Serve: d.deleteAssociation}},
		{Method: "POST", Path: "/clusters/{name}/addons", Operation: api.Operation{Name: "CreateAddon", Serve: d.createAddon}},
		{Method: "GET", Path: "/clusters/{name}/addons", Operation: api.Operation{Name: "ListAddons", ReadOnly: true, Serve: d.listAddons}},
		{Method: "GET", Path: "/clusters/{name}/addons/{addonName}", Operation: api.Operation{Name: "DescribeAddon", ReadOnly: true, Serve: d.describeAddon}},
		{Method: "POST", Path: "/clusters/{name}/addons/{addonName}/update", Operation: api.Operation{Name: "UpdateAddon", Serve: d.updateAddon}},
		{Method: "DELETE", Path: "/clusters/{name}/addons/{addonName}", Operation: api.Operation{Name: "DeleteAddon", Serve: d.deleteAddon}},
		{Method: "GET", Path: "/addons/supported-versions", Operation: api.Operation{Name: "DescribeAddonVersions", ReadOnly: true, Serve: d.describeAddonVersions}},
		{Method: "GET", Path: "/addons/configuration-schemas", Operation: api.Operation{Name: "DescribeAddonConfiguration", ReadOnly: true, Serve: d.describeAddonConfiguration}},
		{Method: "GET", Path: "/clusters/{name}/updates", Operation: api.Operation{Name: "ListUpdates", ReadOnly: true, Serve: d.listUpdates}},
		{Method: "GET", Path: "/clusters/{name}/updates/{updateId}", Operation: api.Operation{Name: "DescribeUpdate", ReadOnly: true, Serve: d.describeUpdate}},
		{Method: "POST", Path: "/tags/{resourceArn}", Operation: api.Operation{Name: "TagResource", Serve: d.tagResource, Errors: tagErrors}},
		{Method: "DELETE", Path: "/tags/{resourceArn}", Operation: api.Operation{Name: "UntagResource", Serve: d.untagResource, Errors: tagErrors}},
		{Method: "GET", Path: "/tags/{resourceArn}", Operation: api.Operation{Name: "ListTagsForResource", ReadOnly: true, Serve: d.listTags, Errors: tagErrors}},
	}).Knows(operations...).Takes(inputs).Refuses(refusals)
}

const notOurs = "Lanyard does not run the control planes of the clusters that are registered with it."

// refusals are the operations on clusters themselves, which other tools run.
var refusals = []api.Refusal{
	{Name: "CreateCluster", Method: "POST", Path: "/clusters", Instead: "make the cluster with its own tools, and register it with RegisterCluster or `lanyard join`."},
	{Name: "DeleteCluster", Method: "DELETE", Path: "/clusters/{name}", Instead: "DeregisterCluster or `lanyard leave` takes a cluster out of Lanyard."},
	{Name: "UpdateClusterConfig", Method: "POST", Path: "/clusters/{name}/update-config", Instead: notOurs},
	{Name: "UpdateClusterVersion", Method: "POST", Path: "/clusters/{name}/updates", Instead: notOurs},
	{Name: "CancelUpdate", Method: "POST", Path: "/clusters/{name}/updates/{updateId}/cancel-update", Instead: "an update of an add-on goes on until it is done or has failed."},
	{Name: "AssociateEncryptionConfig", Method: "POST", Path: "/clusters/{name}/encryption-config/associate", Instead: notOurs},
	{Name: "AssociateIdentityProviderConfig", Method: "POST", Path: "/clusters/{name}/identity-provider-configs/associate", Instead: notOurs},
	{Name: "DisassociateIdentityProviderConfig", Method: "POST", Path: "/clusters/{name}/identity-provider-configs/disassociate", Instead: notOurs},
}

// toTags turns the wire's map into tags by key.
func toTags(in map[string]string) []directory.Tag {
	var tags []directory.Tag
	for k, v := range in {
		tags = append(tags, directory.Tag{Key: k, Value: v})
	}
	slices.SortFunc(tags, func(a, b directory.Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

func fromTags(tags []directory.Tag) map[string]string {
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}
