package iam

import "github.com/openlanyard/lanyard/api"

// The shapes of IAM's members, in the model's bounds.
var (
	arnShape                       = api.Text(20, 2048, "")
	clientIDShape                  = api.Text(1, 255, "")
	groupNameShape                 = api.Text(1, 128, `[\w+=,.@-]+`)
	roleNameShape                  = api.Text(1, 64, `[\w+=,.@-]+`)
	accountAliasShape              = api.Text(3, 63, "^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$")
	pathShape                      = api.Text(1, 512, `(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`)
	clientIDListShape              = api.ListOf(0, 0, clientIDShape)
	thumbprintShape                = api.Text(40, 40, "")
	thumbprintListShape            = api.ListOf(0, 0, thumbprintShape)
	tagKeyShape                    = api.Text(1, 128, `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
	tagValueShape                  = api.Text(0, 256, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
	tagShape                       = api.StructureOf(api.Must("Key", tagKeyShape), api.Must("Value", tagValueShape))
	tagListShape                   = api.ListOf(0, 50, tagShape)
	policyPathShape                = api.Text(1, 512, `((/[A-Za-z0-9\.,\+@=_-]+)*)/`)
	policyDocumentShape            = api.Text(1, 131072, `[\u0009\u000A\u000D\u0020-\u00FF]+`)
	policyDescriptionShape         = api.Text(0, 1000, "")
	roleDescriptionShape           = api.Text(0, 1000, `[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`)
	roleMaxSessionDurationShape    = api.Between(3600, 43200)
	accessKeyIDShape               = api.Text(16, 128, `[\w]+`)
	policyVersionIDShape           = api.Text(0, 0, `v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`)
	entityShape                    = api.OneOf("User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy")
	entityListShape                = api.ListOf(0, 0, entityShape)
	maxItemsShape                  = api.Between(1, 1000)
	markerShape                    = api.Text(1, 320, `[\u0020-\u00FF]+`)
	simulationPolicyListShape      = api.ListOf(0, 0, policyDocumentShape)
	deletionTaskIDShape            = api.Text(1, 1000, "")
	policyUsageShape               = api.OneOf("PermissionsPolicy", "PermissionsBoundary")
	pathPrefixShape                = api.Text(1, 512, `\u002F[\u0021-\u007F]*`)
	policyScopeShape               = api.OneOf("All", "AWS", "Local")
	serviceNamespaceShape          = api.Text(1, 64, `[\w-]*`)
	serviceNamespaceListShape      = api.ListOf(1, 200, serviceNamespaceShape)
	assignmentStatusShape          = api.OneOf("Assigned", "Unassigned", "Any")
	orderedOrganizationPolicyShape = api.StructureOf(api.May("ServiceControlPolicyInputList", simulationPolicyListShape))
	organizationPolicyListShape    = api.ListOf(0, 7, orderedOrganizationPolicyShape)
	actionNameShape                = api.Text(3, 128, "")
	actionNameListShape            = api.ListOf(0, 0, actionNameShape)
	resourceNameShape              = api.Text(1, 2048, "")
	resourceNameListShape          = api.ListOf(0, 0, resourceNameShape)
	contextKeyNameShape            = api.Text(5, 256, "")
	contextKeyValueListShape       = api.ListOf(0, 0, api.AnyText)
	contextKeyTypeEnumShape        = api.OneOf("string", "stringList", "numeric", "numericList", "boolean", "booleanList", "ip", "ipList", "binary", "binaryList", "date", "dateList")
	contextEntryShape              = api.StructureOf(api.May("ContextKeyName", contextKeyNameShape), api.May("ContextKeyValues", contextKeyValueListShape), api.May("ContextKeyType", contextKeyTypeEnumShape))
	contextEntryListShape          = api.ListOf(0, 0, contextEntryShape)
	resourceHandlingOptionShape    = api.Text(1, 64, "")
	policyIdentifierPolicyShape    = api.OneOf("inline", "aws-managed", "user-managed", "permission-boundary", "scp", "rcp")
	attachmentShape                = api.OneOf("user", "group", "role")
	inlinePolicyIdentifierShape    = api.StructureOf(api.Must("PolicyName", groupNameShape), api.Must("AttachmentType", attachmentShape), api.Must("AttachmentName", groupNameShape))
	policyIdentifierShape          = api.StructureOf(api.May("PolicyType", policyIdentifierPolicyShape), api.May("PolicyArn", arnShape), api.May("InlinePolicyIdentifier", inlinePolicyIdentifierShape))
	policyExclusionsListShape      = api.ListOf(0, 256, policyIdentifierShape)
	tagKeyListShape                = api.ListOf(0, 50, tagKeyShape)
	statusShape                    = api.OneOf("Active", "Inactive", "Expired")
)

// inputs are what each operation takes, in the order of the model.
var inputs = api.Inputs{
	"AddClientIDToOpenIDConnectProvider": {api.Must("OpenIDConnectProviderArn", arnShape), api.Must("ClientID", clientIDShape)},
	"AddUserToGroup":                     {api.Must("GroupName", groupNameShape), api.Must("UserName", groupNameShape)},
	"AttachGroupPolicy":                  {api.Must("GroupName", groupNameShape), api.Must("PolicyArn", arnShape)},
	"AttachRolePolicy":                   {api.Must("RoleName", roleNameShape), api.Must("PolicyArn", arnShape)},
	"AttachUserPolicy":                   {api.Must("UserName", roleNameShape), api.Must("PolicyArn", arnShape)},
	"CreateAccessKey":                    {api.May("UserName", groupNameShape)},
	"CreateAccountAlias":                 {api.Must("AccountAlias", accountAliasShape)},
	"CreateGroup":                        {api.May("Path", pathShape), api.Must("GroupName", groupNameShape)},
	"CreateOpenIDConnectProvider": {
		api.Must("Url", clientIDShape), api.May("ClientIDList", clientIDListShape), api.May("ThumbprintList", thumbprintListShape),
		api.May("Tags", tagListShape),
	},
	"CreatePolicy": {
		api.Must("PolicyName", groupNameShape), api.May("Path", policyPathShape), api.Must("PolicyDocument", policyDocumentShape),
		api.May("Description", policyDescriptionShape), api.May("Tags", tagListShape),
	},
	"CreatePolicyVersion": {
		api.Must("PolicyArn", arnShape), api.Must("PolicyDocument", policyDocumentShape), api.May("SetAsDefault", api.AnyFlag),
	},
	"CreateRole": {
		api.May("Path", pathShape), api.Must("RoleName", roleNameShape), api.Must("AssumeRolePolicyDocument", policyDocumentShape),
		api.May("Description", roleDescriptionShape), api.May("MaxSessionDuration", roleMaxSessionDurationShape),
		api.May("PermissionsBoundary", arnShape), api.May("Tags", tagListShape),
	},
	"CreateServiceLinkedRole": {
		api.Must("AWSServiceName", groupNameShape), api.May("Description", roleDescriptionShape), api.May("CustomSuffix", roleNameShape),
	},
	"CreateUser": {
		api.May("Path", pathShape), api.Must("UserName", roleNameShape), api.May("PermissionsBoundary", arnShape),
		api.May("Tags", tagListShape),
	},
	"DeleteAccessKey":               {api.May("UserName", groupNameShape), api.Must("AccessKeyId", accessKeyIDShape)},
	"DeleteAccountAlias":            {api.Must("AccountAlias", accountAliasShape)},
	"DeleteGroup":                   {api.Must("GroupName", groupNameShape)},
	"DeleteGroupPolicy":             {api.Must("GroupName", groupNameShape), api.Must("PolicyName", groupNameShape)},
	"DeleteOpenIDConnectProvider":   {api.Must("OpenIDConnectProviderArn", arnShape)},
	"DeletePolicy":                  {api.Must("PolicyArn", arnShape)},
	"DeletePolicyVersion":           {api.Must("PolicyArn", arnShape), api.Must("VersionId", policyVersionIDShape)},
	"DeleteRole":                    {api.Must("RoleName", roleNameShape)},
	"DeleteRolePermissionsBoundary": {api.Must("RoleName", roleNameShape)},
	"DeleteRolePolicy":              {api.Must("RoleName", roleNameShape), api.Must("PolicyName", groupNameShape)},
	"DeleteServiceLinkedRole":       {api.Must("RoleName", roleNameShape)},
	"DeleteUser":                    {api.Must("UserName", groupNameShape)},
	"DeleteUserPermissionsBoundary": {api.Must("UserName", roleNameShape)},
	"DeleteUserPolicy":              {api.Must("UserName", groupNameShape), api.Must("PolicyName", groupNameShape)},
	"DetachGroupPolicy":             {api.Must("GroupName", groupNameShape), api.Must("PolicyArn", arnShape)},
	"DetachRolePolicy":              {api.Must("RoleName", roleNameShape), api.Must("PolicyArn", arnShape)},
	"DetachUserPolicy":              {api.Must("UserName", roleNameShape), api.Must("PolicyArn", arnShape)},
	"GetAccessKeyLastUsed":          {api.Must("AccessKeyId", accessKeyIDShape)},
	"GetAccountAuthorizationDetails": {
		api.May("Filter", entityListShape), api.May("MaxItems", maxItemsShape), api.May("Marker", markerShape),
	},
	"GetAccountPasswordPolicy":           {},
	"GetAccountSummary":                  {},
	"GetContextKeysForCustomPolicy":      {api.Must("PolicyInputList", simulationPolicyListShape)},
	"GetContextKeysForPrincipalPolicy":   {api.Must("PolicySourceArn", arnShape), api.May("PolicyInputList", simulationPolicyListShape)},
	"GetGroup":                           {api.Must("GroupName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"GetGroupPolicy":                     {api.Must("GroupName", groupNameShape), api.Must("PolicyName", groupNameShape)},
	"GetInstanceProfile":                 {api.Must("InstanceProfileName", groupNameShape)},
	"GetLoginProfile":                    {api.May("UserName", roleNameShape)},
	"GetOpenIDConnectProvider":           {api.Must("OpenIDConnectProviderArn", arnShape)},
	"GetPolicy":                          {api.Must("PolicyArn", arnShape)},
	"GetPolicyVersion":                   {api.Must("PolicyArn", arnShape), api.Must("VersionId", policyVersionIDShape)},
	"GetRole":                            {api.Must("RoleName", roleNameShape)},
	"GetRolePolicy":                      {api.Must("RoleName", roleNameShape), api.Must("PolicyName", groupNameShape)},
	"GetServiceLinkedRoleDeletionStatus": {api.Must("DeletionTaskId", deletionTaskIDShape)},
	"GetUser":                            {api.May("UserName", groupNameShape)},
	"GetUserPolicy":                      {api.Must("UserName", groupNameShape), api.Must("PolicyName", groupNameShape)},
	"ListAccessKeys":                     {api.May("UserName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListAccountAliases":                 {api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListAttachedGroupPolicies": {
		api.Must("GroupName", groupNameShape), api.May("PathPrefix", policyPathShape), api.May("Marker", markerShape),
		api.May("MaxItems", maxItemsShape),
	},
	"ListAttachedRolePolicies": {
		api.Must("RoleName", roleNameShape), api.May("PathPrefix", policyPathShape), api.May("Marker", markerShape),
		api.May("MaxItems", maxItemsShape),
	},
	"ListAttachedUserPolicies": {
		api.Must("UserName", roleNameShape), api.May("PathPrefix", policyPathShape), api.May("Marker", markerShape),
		api.May("MaxItems", maxItemsShape),
	},
	"ListEntitiesForPolicy": {
		api.Must("PolicyArn", arnShape), api.May("EntityFilter", entityShape), api.May("PathPrefix", pathShape),
		api.May("PolicyUsageFilter", policyUsageShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape),
	},
	"ListGroupPolicies": {api.Must("GroupName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListGroups":        {api.May("PathPrefix", pathPrefixShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListGroupsForUser": {api.Must("UserName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListInstanceProfileTags": {
		api.Must("InstanceProfileName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape),
	},
	"ListInstanceProfiles":        {api.May("PathPrefix", pathPrefixShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListInstanceProfilesForRole": {api.Must("RoleName", roleNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListMFADevices":              {api.May("UserName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListOpenIDConnectProviderTags": {
		api.Must("OpenIDConnectProviderArn", arnShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape),
	},
	"ListOpenIDConnectProviders": {},
	"ListPolicies": {
		api.May("Scope", policyScopeShape), api.May("OnlyAttached", api.AnyFlag), api.May("PathPrefix", policyPathShape),
		api.May("PolicyUsageFilter", policyUsageShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape),
	},
	"ListPoliciesGrantingServiceAccess": {
		api.May("Marker", markerShape), api.Must("Arn", arnShape), api.Must("ServiceNamespaces", serviceNamespaceListShape),
	},
	"ListPolicyTags":         {api.Must("PolicyArn", arnShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListPolicyVersions":     {api.Must("PolicyArn", arnShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListRolePolicies":       {api.Must("RoleName", roleNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListRoleTags":           {api.Must("RoleName", roleNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListRoles":              {api.May("PathPrefix", pathPrefixShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListSAMLProviders":      {},
	"ListSSHPublicKeys":      {api.May("UserName", roleNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListServerCertificates": {api.May("PathPrefix", pathPrefixShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListServiceSpecificCredentials": {
		api.May("UserName", roleNameShape), api.May("ServiceName", api.AnyText), api.May("AllUsers", api.AnyFlag),
		api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape),
	},
	"ListSigningCertificates": {api.May("UserName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListUserPolicies":        {api.Must("UserName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListUserTags":            {api.Must("UserName", groupNameShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListUsers":               {api.May("PathPrefix", pathPrefixShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape)},
	"ListVirtualMFADevices": {
		api.May("AssignmentStatus", assignmentStatusShape), api.May("Marker", markerShape), api.May("MaxItems", maxItemsShape),
	},
	"PutGroupPolicy": {
		api.Must("GroupName", groupNameShape), api.Must("PolicyName", groupNameShape), api.Must("PolicyDocument", policyDocumentShape),
	},
	"PutRolePermissionsBoundary": {api.Must("RoleName", roleNameShape), api.Must("PermissionsBoundary", arnShape)},
	"PutRolePolicy": {
		api.Must("RoleName", roleNameShape), api.Must("PolicyName", groupNameShape), api.Must("PolicyDocument", policyDocumentShape),
	},
	"PutUserPermissionsBoundary": {api.Must("UserName", roleNameShape), api.Must("PermissionsBoundary", arnShape)},
	"PutUserPolicy": {
		api.Must("UserName", groupNameShape), api.Must("PolicyName", groupNameShape), api.Must("PolicyDocument", policyDocumentShape),
	},
	"RemoveClientIDFromOpenIDConnectProvider": {api.Must("OpenIDConnectProviderArn", arnShape), api.Must("ClientID", clientIDShape)},
	"RemoveUserFromGroup":                     {api.Must("GroupName", groupNameShape), api.Must("UserName", groupNameShape)},
	"SetDefaultPolicyVersion":                 {api.Must("PolicyArn", arnShape), api.Must("VersionId", policyVersionIDShape)},
	"SimulateCustomPolicy": {
		api.Must("PolicyInputList", simulationPolicyListShape),
		api.May("PermissionsBoundaryPolicyInputList", simulationPolicyListShape),
		api.May("OrderedOrganizationPolicyInputList", organizationPolicyListShape), api.Must("ActionNames", actionNameListShape),
		api.May("ResourceArns", resourceNameListShape), api.May("ResourcePolicy", policyDocumentShape),
		api.May("ResourceOwner", resourceNameShape), api.May("CallerArn", resourceNameShape),
		api.May("ContextEntries", contextEntryListShape), api.May("ResourceHandlingOption", resourceHandlingOptionShape),
		api.May("MaxItems", maxItemsShape), api.May("Marker", markerShape),
	},
	"SimulatePrincipalPolicy": {
		api.Must("PolicySourceArn", arnShape), api.May("PolicyInputList", simulationPolicyListShape),
		api.May("PermissionsBoundaryPolicyInputList", simulationPolicyListShape),
		api.May("PolicyExclusionList", policyExclusionsListShape), api.Must("ActionNames", actionNameListShape),
		api.May("ResourceArns", resourceNameListShape), api.May("ResourcePolicy", policyDocumentShape),
		api.May("ResourceOwner", resourceNameShape), api.May("CallerArn", resourceNameShape),
		api.May("ContextEntries", contextEntryListShape), api.May("ResourceHandlingOption", resourceHandlingOptionShape),
		api.May("MaxItems", maxItemsShape), api.May("Marker", markerShape),
	},
	"TagOpenIDConnectProvider":   {api.Must("OpenIDConnectProviderArn", arnShape), api.Must("Tags", tagListShape)},
	"TagPolicy":                  {api.Must("PolicyArn", arnShape), api.Must("Tags", tagListShape)},
	"TagRole":                    {api.Must("RoleName", roleNameShape), api.Must("Tags", tagListShape)},
	"TagUser":                    {api.Must("UserName", groupNameShape), api.Must("Tags", tagListShape)},
	"UntagOpenIDConnectProvider": {api.Must("OpenIDConnectProviderArn", arnShape), api.Must("TagKeys", tagKeyListShape)},
	"UntagPolicy":                {api.Must("PolicyArn", arnShape), api.Must("TagKeys", tagKeyListShape)},
	"UntagRole":                  {api.Must("RoleName", roleNameShape), api.Must("TagKeys", tagKeyListShape)},
	"UntagUser":                  {api.Must("UserName", groupNameShape), api.Must("TagKeys", tagKeyListShape)},
	"UpdateAccessKey":            {api.May("UserName", groupNameShape), api.Must("AccessKeyId", accessKeyIDShape), api.Must("Status", statusShape)},
	"UpdateAssumeRolePolicy":     {api.Must("RoleName", roleNameShape), api.Must("PolicyDocument", policyDocumentShape)},
	"UpdateGroup":                {api.Must("GroupName", groupNameShape), api.May("NewPath", pathShape), api.May("NewGroupName", groupNameShape)},
	"UpdateOpenIDConnectProviderThumbprint": {
		api.Must("OpenIDConnectProviderArn", arnShape), api.Must("ThumbprintList", thumbprintListShape),
	},
	"UpdateRole": {
		api.Must("RoleName", roleNameShape), api.May("Description", roleDescriptionShape),
		api.May("MaxSessionDuration", roleMaxSessionDurationShape),
	},
	"UpdateRoleDescription": {api.Must("RoleName", roleNameShape), api.Must("Description", roleDescriptionShape)},
	"UpdateUser":            {api.Must("UserName", groupNameShape), api.May("NewPath", pathShape), api.May("NewUserName", roleNameShape)},
}
