package eks

// operations are all that EKS has, whether built here or not.
var operations = []string{
	"AssociateAccessPolicy", "AssociateEncryptionConfig", "AssociateIdentityProviderConfig", "CancelUpdate",
	"CreateAccessEntry", "CreateAddon", "CreateCapability", "CreateCluster", "CreateEksAnywhereSubscription",
	"CreateFargateProfile", "CreateNodegroup", "CreatePodIdentityAssociation", "DeleteAccessEntry", "DeleteAddon",
	"DeleteCapability", "DeleteCluster", "DeleteEksAnywhereSubscription", "DeleteFargateProfile", "DeleteNodegroup",
	"DeletePodIdentityAssociation", "DeregisterCluster", "DescribeAccessEntry", "DescribeAddon",
	"DescribeAddonConfiguration", "DescribeAddonVersions", "DescribeCapability", "DescribeCluster",
	"DescribeClusterVersions", "DescribeEksAnywhereSubscription", "DescribeFargateProfile",
	"DescribeIdentityProviderConfig", "DescribeInsight", "DescribeInsightsRefresh", "DescribeNodegroup",
	"DescribePodIdentityAssociation", "DescribeUpdate", "DisassociateAccessPolicy", "DisassociateIdentityProviderConfig",
	"ListAccessEntries", "ListAccessPolicies", "ListAddons", "ListAssociatedAccessPolicies", "ListCapabilities",
	"ListClusters", "ListEksAnywhereSubscriptions", "ListFargateProfiles", "ListIdentityProviderConfigs", "ListInsights",
	"ListNodegroups", "ListPodIdentityAssociations", "ListTagsForResource", "ListUpdates", "RegisterCluster",
	"StartInsightsRefresh", "TagResource", "UntagResource", "UpdateAccessEntry", "UpdateAddon", "UpdateCapability",
	"UpdateClusterConfig", "UpdateClusterVersion", "UpdateEksAnywhereSubscription", "UpdateNodegroupConfig",
	"UpdateNodegroupVersion", "UpdatePodIdentityAssociation",
}
