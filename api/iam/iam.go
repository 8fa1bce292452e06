// Package iam is the door that speaks IAM's wire: users with their access keys, groups, roles, and the policies of all of them
// (https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html).
package iam

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
)

// Errors is IAM's table of codes.
var Errors = api.QueryErrors(api.Errors{
	fault.NotFound:     {Name: "NoSuchEntity", Status: http.StatusNotFound},
	fault.Exists:       {Name: "EntityAlreadyExists", Status: http.StatusConflict},
	fault.InUse:        {Name: "DeleteConflict", Status: http.StatusConflict},
	fault.BadState:     {Name: "InvalidInput", Status: http.StatusBadRequest},
	fault.Limit:        {Name: "LimitExceeded", Status: http.StatusConflict},
	fault.Unmodifiable: {Name: "UnmodifiableEntity", Status: http.StatusBadRequest},
	fault.BadToken:     {Name: "InvalidInput", Status: http.StatusBadRequest},
	fault.ExpiredToken: {Name: "InvalidInput", Status: http.StatusBadRequest},
	fault.Unsupported:  {Name: "InvalidInput", Status: http.StatusBadRequest},
})

type door struct {
	directory *directory.Directory

	users, groups, roles subject
	simulations          *limit.Turns
}

// New returns the door.
func New(dir *directory.Directory) *api.Door {
	d := &door{directory: dir, simulations: limit.NewQuestions(simulationsAtOnce)}
	d.users, d.groups, d.roles = subject{d, directory.Users}, subject{d, directory.Groups}, subject{d, directory.Roles}
	return api.Query("iam", "iam.amazonaws.com", "2010-05-08", Errors, slices.Concat(
		d.roleOperations(), d.userOperations(), d.groupOperations(), d.policyOperations(), d.accountOperations(), d.providerRows(),
	)).Knows(operations...).Takes(inputs)
}

func (d *door) roleOperations() []api.Operation {
	return []api.Operation{
		{Name: "CreateRole", Serve: d.createRole},
		{Name: "GetRole", ReadOnly: true, Serve: d.getRole},
		{Name: "ListRoles", ReadOnly: true, Serve: d.listRoles},
		{Name: "UpdateRole", Serve: d.updateRole},
		{Name: "UpdateRoleDescription", Serve: d.updateRoleDescription},
		{Name: "UpdateAssumeRolePolicy", Serve: d.updateTrust},
		{Name: "DeleteRole", Serve: d.deleteRole},
		{Name: "PutRolePermissionsBoundary", Serve: d.roles.putBoundary},
		{Name: "DeleteRolePermissionsBoundary", Serve: d.roles.deleteBoundary},
		{Name: "PutRolePolicy", Serve: d.roles.putPolicy},
		{Name: "GetRolePolicy", ReadOnly: true, Serve: d.roles.getPolicy},
		{Name: "ListRolePolicies", ReadOnly: true, Serve: d.roles.listPolicies},
		{Name: "DeleteRolePolicy", Serve: d.roles.deletePolicy},
		{Name: "ListAttachedRolePolicies", ReadOnly: true, Serve: d.roles.listAttached},
		{Name: "AttachRolePolicy", Serve: d.roles.attach},
		{Name: "DetachRolePolicy", Serve: d.roles.detach},
		{Name: "TagRole", Serve: d.roles.tag},
		{Name: "UntagRole", Serve: d.roles.untag},
		{Name: "ListRoleTags", ReadOnly: true, Serve: d.roles.listTags},
		{Name: "CreateServiceLinkedRole", Serve: d.createServiceLinkedRole},
		{Name: "DeleteServiceLinkedRole", Serve: d.deleteServiceLinkedRole},
		{Name: "GetServiceLinkedRoleDeletionStatus", ReadOnly: true, Serve: d.getServiceLinkedRoleDeletionStatus},
		{Name: "ListInstanceProfilesForRole", ReadOnly: true, Serve: d.listInstanceProfilesForRole},
		{Name: "ListInstanceProfiles", ReadOnly: true, Serve: d.listInstanceProfiles},
		{Name: "GetInstanceProfile", ReadOnly: true, Serve: d.getInstanceProfile},
		{Name: "ListInstanceProfileTags", ReadOnly: true, Serve: d.getInstanceProfile},
	}
}

func (d *door) userOperations() []api.Operation {
	return []api.Operation{
		{Name: "CreateUser", Serve: d.createUser},
		{Name: "GetUser", ReadOnly: true, Serve: d.getUser},
		{Name: "ListUsers", ReadOnly: true, Serve: d.listUsers},
		{Name: "UpdateUser", Serve: d.updateUser},
		{Name: "DeleteUser", Serve: d.deleteUser},
		{Name: "CreateAccessKey", Serve: d.createAccessKey},
		{Name: "ListAccessKeys", ReadOnly: true, Serve: d.listAccessKeys},
		{Name: "UpdateAccessKey", Serve: d.updateAccessKey},
		{Name: "DeleteAccessKey", Serve: d.deleteAccessKey},
		{Name: "GetAccessKeyLastUsed", ReadOnly: true, Serve: d.getAccessKeyLastUsed},
		{Name: "PutUserPermissionsBoundary", Serve: d.users.putBoundary},
		{Name: "DeleteUserPermissionsBoundary", Serve: d.users.deleteBoundary},
		{Name: "PutUserPolicy", Serve: d.users.putPolicy},
		{Name: "GetUserPolicy", ReadOnly: true, Serve: d.users.getPolicy},
		{Name: "ListUserPolicies", ReadOnly: true, Serve: d.users.listPolicies},
		{Name: "DeleteUserPolicy", Serve: d.users.deletePolicy},
		{Name: "ListAttachedUserPolicies", ReadOnly: true, Serve: d.users.listAttached},
		{Name: "AttachUserPolicy", Serve: d.users.attach},
		{Name: "DetachUserPolicy", Serve: d.users.detach},
		{Name: "TagUser", Serve: d.users.tag},
		{Name: "UntagUser", Serve: d.users.untag},
		{Name: "ListUserTags", ReadOnly: true, Serve: d.users.listTags},
		{Name: "ListGroupsForUser", ReadOnly: true, Serve: d.listGroupsForUser},
		{Name: "GetLoginProfile", ReadOnly: true, Serve: d.getLoginProfile},
		{Name: "ListMFADevices", ReadOnly: true, Serve: d.noneOf("MFADevices")},
		{Name: "ListSSHPublicKeys", ReadOnly: true, Serve: d.noneOf("SSHPublicKeys")},
		{Name: "ListSigningCertificates", ReadOnly: true, Serve: d.noneOf("Certificates")},
		{Name: "ListServiceSpecificCredentials", ReadOnly: true, Serve: d.noneOf("ServiceSpecificCredentials")},
	}
}

func (d *door) groupOperations() []api.Operation {
	return []api.Operation{
		{Name: "CreateGroup", Serve: d.createGroup},
		{Name: "GetGroup", ReadOnly: true, Serve: d.getGroup},
		{Name: "ListGroups", ReadOnly: true, Serve: d.listGroups},
		{Name: "UpdateGroup", Serve: d.updateGroup},
		{Name: "DeleteGroup", Serve: d.deleteGroup},
		{Name: "AddUserToGroup", Serve: d.addUserToGroup},
		{Name: "RemoveUserFromGroup", Serve: d.removeUserFromGroup},
		{Name: "PutGroupPolicy", Serve: d.groups.putPolicy},
		{Name: "GetGroupPolicy", ReadOnly: true, Serve: d.groups.getPolicy},
		{Name: "ListGroupPolicies", ReadOnly: true, Serve: d.groups.listPolicies},
		{Name: "DeleteGroupPolicy", Serve: d.groups.deletePolicy},
		{Name: "ListAttachedGroupPolicies", ReadOnly: true, Serve: d.groups.listAttached},
		{Name: "AttachGroupPolicy", Serve: d.groups.attach},
		{Name: "DetachGroupPolicy", Serve: d.groups.detach},
	}
}

func (d *door) policyOperations() []api.Operation {
	return []api.Operation{
		{Name: "CreatePolicy", Serve: d.createPolicy},
		{Name: "GetPolicy", ReadOnly: true, Serve: d.getPolicy},
		{Name: "ListPolicies", ReadOnly: true, Serve: d.listPolicies},
		{Name: "DeletePolicy", Serve: d.deletePolicy},
		{Name: "CreatePolicyVersion", Serve: d.createPolicyVersion},
		{Name: "GetPolicyVersion", ReadOnly: true, Serve: d.getPolicyVersion},
		{Name: "ListPolicyVersions", ReadOnly: true, Serve: d.listPolicyVersions},
		{Name: "DeletePolicyVersion", Serve: d.deletePolicyVersion},
		{Name: "SetDefaultPolicyVersion", Serve: d.setDefaultPolicyVersion},
		{Name: "TagPolicy", Serve: d.tagPolicy},
		{Name: "UntagPolicy", Serve: d.untagPolicy},
		{Name: "ListPolicyTags", ReadOnly: true, Serve: d.listPolicyTags},
		{Name: "ListEntitiesForPolicy", ReadOnly: true, Serve: d.listEntitiesForPolicy},
		{Name: "SimulateCustomPolicy", ReadOnly: true, Serve: d.simulateCustomPolicy},
		{Name: "SimulatePrincipalPolicy", ReadOnly: true, Serve: d.simulatePrincipalPolicy},
		{Name: "GetContextKeysForCustomPolicy", ReadOnly: true, Serve: d.contextKeysForCustomPolicy},
		{Name: "GetContextKeysForPrincipalPolicy", ReadOnly: true, Serve: d.contextKeysForPrincipalPolicy},
	}
}

func (d *door) accountOperations() []api.Operation {
	return []api.Operation{
		{Name: "GetAccountSummary", ReadOnly: true, Serve: d.getAccountSummary},
		{Name: "GetAccountAuthorizationDetails", ReadOnly: true, Serve: d.getAccountAuthorizationDetails},
		{Name: "ListAccountAliases", ReadOnly: true, Serve: d.listAccountAliases},
		{Name: "CreateAccountAlias", Serve: d.createAccountAlias},
		{Name: "DeleteAccountAlias", Serve: d.deleteAccountAlias},
		{Name: "ListVirtualMFADevices", ReadOnly: true, Serve: d.listVirtualMFADevices},
	}
}

type names struct {
	Members []string `xml:"member"`
}

// escaped is a policy document as IAM answers it: everything percent-encoded that RFC 3986 does not call unreserved. A
// plus sign must be, since half of the clients decode it as a space.
func escaped(document string) string {
	return strings.ReplaceAll(url.QueryEscape(document), "+", "%20")
}

// noted are the parameters that a record shows as they are.
var noted = []string{
	"AWSServiceName", "AccessKeyId", "AccountAlias", "AssumeRolePolicyDocument", "ClientID", "DeletionTaskId",
	"Description", "EntityFilter", "GroupName", "InstanceProfileName", "NewGroupName", "NewPath", "NewUserName",
	"OnlyAttached", "OpenIDConnectProviderArn", "Path", "PathPrefix", "PermissionsBoundary", "PolicyArn",
	"PolicyDocument", "PolicyName", "PolicyUsageFilter", "RoleName", "Scope", "SetAsDefault", "Status", "Url",
	"UserName", "VersionId",
}

// noteParameters puts what a call asks for into its record. It comes before the decision: the record of a denial has to
// say what was denied.
func noteParameters(c *api.Call) {
	parameters := told(c, noted...)
	if n, given := c.Number("MaxSessionDuration"); given {
		parameters["maxSessionDuration"] = n
	}
	if given := toTags(c); len(given) > 0 {
		parameters["tags"] = record(given)
	}
	if keys := texts(c, "TagKeys"); len(keys) > 0 {
		parameters["tagKeys"] = keys
	}
	c.Event.RequestParameters = parameters
}

// told are the parameters of a call that are there, by their names in a record.
func told(c *api.Call, names ...string) map[string]any {
	parameters := map[string]any{}
	for _, name := range names {
		if c.Form.Has(name) {
			parameters[recorded(name)] = c.Form.Get(name)
		}
	}
	return parameters
}

// recorded is the name of a parameter as CloudTrail spells it.
func recorded(name string) string { return strings.ToLower(name[:1]) + name[1:] }
