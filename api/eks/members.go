package eks

import "github.com/openlanyard/lanyard/api"

// The shapes of EKS's members, in the model's bounds.
var (
	clusterName      = api.Text(1, 100, `^[0-9A-Za-z][A-Za-z0-9\-_]*`)
	provider         = api.OneOf("EKS_ANYWHERE", "ANTHOS", "GKE", "AKS", "OPENSHIFT", "TANZU", "RANCHER", "EC2", "OTHER")
	connectorConfig  = api.StructureOf(api.Must("roleArn", api.AnyText), api.Must("provider", provider))
	tagKey           = api.Text(1, 128, "")
	tagValue         = api.Text(0, 256, "")
	tagMap           = api.MapOf(1, 50, tagKey, tagValue)
	pageSize         = api.Between(1, 100)
	texts            = api.ListOf(0, 0, api.AnyText)
	roleARN          = api.Text(1, 255, "")
	resolveConflicts = api.OneOf("OVERWRITE", "NONE", "PRESERVE")
	addonRoleRow     = api.StructureOf(api.Must("serviceAccount", api.AnyText), api.Must("roleArn", api.AnyText))
	addonRoles       = api.ListOf(0, 0, addonRoleRow)
	addonNamespace   = api.Text(1, 63, "")
	namespaceConfig  = api.StructureOf(api.May("namespace", addonNamespace))
	tagKeyList       = api.ListOf(1, 50, tagKey)
)

// inputs are what each operation takes, in the order of the model. It bounds neither associations nor their names: the
// registry does.
var inputs = api.Inputs{
	"RegisterCluster": {
		api.Must("name", clusterName), api.Must("connectorConfig", connectorConfig),
		api.May("clientRequestToken", api.AnyText), api.May("tags", tagMap),
	},
	"DeregisterCluster": {api.Must("name", api.AnyText).Path("name")},
	"ListClusters": {
		api.May("maxResults", pageSize).Query(), api.May("nextToken", api.AnyText).Query(), api.May("include", texts).Query(),
	},
	"DescribeCluster": {api.Must("name", api.AnyText).Path("name")},
	"CreatePodIdentityAssociation": {
		api.Must("clusterName", api.AnyText).Path("name"), api.Must("namespace", api.AnyText),
		api.Must("serviceAccount", api.AnyText), api.Must("roleArn", api.AnyText), api.May("clientRequestToken", api.AnyText),
		api.May("tags", tagMap), api.May("disableSessionTags", api.AnyFlag), api.May("targetRoleArn", api.AnyText),
		api.May("policy", api.AnyText),
	},
	"ListPodIdentityAssociations": {
		api.Must("clusterName", api.AnyText).Path("name"), api.May("namespace", api.AnyText).Query(),
		api.May("serviceAccount", api.AnyText).Query(), api.May("maxResults", pageSize).Query(),
		api.May("nextToken", api.AnyText).Query(),
	},
	"DescribePodIdentityAssociation": {
		api.Must("clusterName", api.AnyText).Path("name"), api.Must("associationId", api.AnyText).Path("associationId"),
	},
	"UpdatePodIdentityAssociation": {
		api.Must("clusterName", api.AnyText).Path("name"), api.Must("associationId", api.AnyText).Path("associationId"),
		api.May("roleArn", api.AnyText), api.May("clientRequestToken", api.AnyText),
		api.May("disableSessionTags", api.AnyFlag), api.May("targetRoleArn", api.AnyText), api.May("policy", api.AnyText),
	},
	"DeletePodIdentityAssociation": {
		api.Must("clusterName", api.AnyText).Path("name"), api.Must("associationId", api.AnyText).Path("associationId"),
	},
	"CreateAddon": {
		api.Must("clusterName", clusterName).Path("name"), api.Must("addonName", api.AnyText),
		api.May("addonVersion", api.AnyText), api.May("serviceAccountRoleArn", roleARN),
		api.May("resolveConflicts", resolveConflicts), api.May("clientRequestToken", api.AnyText), api.May("tags", tagMap),
		api.May("configurationValues", api.AnyText), api.May("podIdentityAssociations", addonRoles),
		api.May("namespaceConfig", namespaceConfig),
	},
	"ListAddons": {
		api.Must("clusterName", clusterName).Path("name"), api.May("maxResults", pageSize).Query(),
		api.May("nextToken", api.AnyText).Query(),
	},
	"DescribeAddon": {
		api.Must("clusterName", clusterName).Path("name"), api.Must("addonName", api.AnyText).Path("addonName"),
	},
	"UpdateAddon": {
		api.Must("clusterName", clusterName).Path("name"), api.Must("addonName", api.AnyText).Path("addonName"),
		api.May("addonVersion", api.AnyText), api.May("serviceAccountRoleArn", roleARN),
		api.May("resolveConflicts", resolveConflicts), api.May("clientRequestToken", api.AnyText),
		api.May("configurationValues", api.AnyText), api.May("podIdentityAssociations", addonRoles),
	},
	"DeleteAddon": {
		api.Must("clusterName", clusterName).Path("name"), api.Must("addonName", api.AnyText).Path("addonName"),
		api.May("preserve", api.AnyFlag).Query(),
	},
	"DescribeAddonVersions": {
		api.May("kubernetesVersion", api.AnyText).Query(), api.May("maxResults", pageSize).Query(),
		api.May("nextToken", api.AnyText).Query(), api.May("addonName", api.AnyText).Query(), api.May("types", texts).Query(),
		api.May("publishers", texts).Query(), api.May("owners", texts).Query(),
	},
	"DescribeAddonConfiguration": {
		api.Must("addonName", api.AnyText).Query(), api.Must("addonVersion", api.AnyText).Query(),
	},
	"ListUpdates": {
		api.Must("name", api.AnyText).Path("name"), api.May("nodegroupName", api.AnyText).Query(),
		api.May("addonName", api.AnyText).Query(), api.May("capabilityName", api.AnyText).Query(),
		api.May("nextToken", api.AnyText).Query(), api.May("maxResults", pageSize).Query(),
	},
	"DescribeUpdate": {
		api.Must("name", api.AnyText).Path("name"), api.Must("updateId", api.AnyText).Path("updateId"),
		api.May("nodegroupName", api.AnyText).Query(), api.May("addonName", api.AnyText).Query(),
		api.May("capabilityName", api.AnyText).Query(),
	},
	"TagResource":         {api.Must("resourceArn", api.AnyText).Path("resourceArn"), api.Must("tags", tagMap)},
	"UntagResource":       {api.Must("resourceArn", api.AnyText).Path("resourceArn"), api.Must("tagKeys", tagKeyList).Query()},
	"ListTagsForResource": {api.Must("resourceArn", api.AnyText).Path("resourceArn")},
}
