package main

import (
	"net/url"

	"github.com/openlanyard/lanyard/dev"
)

// ofGroup is a call of IAM about a group that is not there.
func ofGroup(action string, more ...string) request { return iamCall(action, "GroupName", more) }

// ofAccount is a call of IAM about the account.
func ofAccount(action string, more ...string) request {
	values := url.Values{}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return form("iam", action, values)
}

// identityCalls are those of IAM about users, groups, boundaries and the account.
var identityCalls = []struct {
	operation string
	request   request
	rights    []string
}{
	{"CreateUser", ofAccount("CreateUser", "UserName", "new"), []string{"iam:CreateUser"}},
	{"CreateUser", ofAccount("CreateUser", "UserName", "new2", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"), []string{"iam:CreateUser", "iam:TagUser"}},
	{"ListUsers", ofAccount("ListUsers"), []string{"iam:ListUsers"}},
	{"UpdateUser", ofAccount("UpdateUser", "UserName", "none", "NewUserName", "x"), []string{"iam:UpdateUser"}},
	{"DeleteUser", ofAccount("DeleteUser", "UserName", "none"), []string{"iam:DeleteUser"}},
	{"CreateAccessKey", ofAccount("CreateAccessKey", "UserName", "none"), []string{"iam:CreateAccessKey"}},
	{"ListAccessKeys", user("ListAccessKeys"), []string{"iam:ListAccessKeys"}},
	{"UpdateAccessKey", user("UpdateAccessKey", "AccessKeyId", "AKIANONENONENONENONE", "Status", "Inactive"), []string{"iam:UpdateAccessKey"}},
	{"DeleteAccessKey", user("DeleteAccessKey", "AccessKeyId", "AKIANONENONENONENONE"), []string{"iam:DeleteAccessKey"}},
	{"PutUserPermissionsBoundary", user("PutUserPermissionsBoundary", "PermissionsBoundary", policyNone), []string{"iam:PutUserPermissionsBoundary"}},
	{"DeleteUserPermissionsBoundary", user("DeleteUserPermissionsBoundary"), []string{"iam:DeleteUserPermissionsBoundary"}},
	{"TagUser", user("TagUser", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"), []string{"iam:TagUser"}},
	{"UntagUser", user("UntagUser", "TagKeys.member.1", "a"), []string{"iam:UntagUser"}},
	{"ListUserTags", user("ListUserTags"), []string{"iam:ListUserTags"}},
	{"ListGroupsForUser", user("ListGroupsForUser"), []string{"iam:ListGroupsForUser"}},
	{"GetLoginProfile", user("GetLoginProfile"), []string{"iam:GetLoginProfile"}},
	{"ListMFADevices", user("ListMFADevices"), []string{"iam:ListMFADevices"}},
	{"ListSSHPublicKeys", user("ListSSHPublicKeys"), []string{"iam:ListSSHPublicKeys"}},
	{"ListSigningCertificates", user("ListSigningCertificates"), []string{"iam:ListSigningCertificates"}},
	{"ListServiceSpecificCredentials", user("ListServiceSpecificCredentials"), []string{"iam:ListServiceSpecificCredentials"}},
	{"ListVirtualMFADevices", ofAccount("ListVirtualMFADevices"), []string{"iam:ListVirtualMFADevices"}},

	{"CreateGroup", ofGroup("CreateGroup", "GroupName", "new"), []string{"iam:CreateGroup"}},
	{"GetGroup", ofGroup("GetGroup"), []string{"iam:GetGroup"}},
	{"ListGroups", ofAccount("ListGroups"), []string{"iam:ListGroups"}},
	{"UpdateGroup", ofGroup("UpdateGroup", "NewGroupName", "x"), []string{"iam:UpdateGroup"}},
	{"DeleteGroup", ofGroup("DeleteGroup"), []string{"iam:DeleteGroup"}},
	{"AddUserToGroup", ofGroup("AddUserToGroup", "UserName", "none"), []string{"iam:AddUserToGroup"}},
	{"RemoveUserFromGroup", ofGroup("RemoveUserFromGroup", "UserName", "none"), []string{"iam:RemoveUserFromGroup"}},
	{"PutGroupPolicy", ofGroup("PutGroupPolicy", "PolicyName", "p", "PolicyDocument", anything), []string{"iam:PutGroupPolicy"}},
	{"GetGroupPolicy", ofGroup("GetGroupPolicy", "PolicyName", "p"), []string{"iam:GetGroupPolicy"}},
	{"ListGroupPolicies", ofGroup("ListGroupPolicies"), []string{"iam:ListGroupPolicies"}},
	{"DeleteGroupPolicy", ofGroup("DeleteGroupPolicy", "PolicyName", "p"), []string{"iam:DeleteGroupPolicy"}},
	{"ListAttachedGroupPolicies", ofGroup("ListAttachedGroupPolicies"), []string{"iam:ListAttachedGroupPolicies"}},
	{"AttachGroupPolicy", ofGroup("AttachGroupPolicy", "PolicyArn", policyNone), []string{"iam:AttachGroupPolicy"}},
	{"DetachGroupPolicy", ofGroup("DetachGroupPolicy", "PolicyArn", policyNone), []string{"iam:DetachGroupPolicy"}},

	{"SimulateCustomPolicy", ofAccount("SimulateCustomPolicy", "PolicyInputList.member.1", anything, "ActionNames.member.1", "s3:GetObject"), []string{"iam:SimulateCustomPolicy"}},
	{"SimulatePrincipalPolicy", ofAccount("SimulatePrincipalPolicy", "PolicySourceArn", "arn:aws:iam::"+dev.Account+":role/none", "ActionNames.member.1", "s3:GetObject"), []string{"iam:SimulatePrincipalPolicy"}},
	{"GetContextKeysForCustomPolicy", ofAccount("GetContextKeysForCustomPolicy", "PolicyInputList.member.1", anything), []string{"iam:GetContextKeysForCustomPolicy"}},
	{"GetContextKeysForPrincipalPolicy", ofAccount("GetContextKeysForPrincipalPolicy", "PolicySourceArn", "arn:aws:iam::"+dev.Account+":role/none"), []string{"iam:GetContextKeysForPrincipalPolicy"}},

	{"PutRolePermissionsBoundary", role("PutRolePermissionsBoundary", "PermissionsBoundary", policyNone), []string{"iam:PutRolePermissionsBoundary"}},
	{"DeleteRolePermissionsBoundary", role("DeleteRolePermissionsBoundary"), []string{"iam:DeleteRolePermissionsBoundary"}},
	{"CreateServiceLinkedRole", ofAccount("CreateServiceLinkedRole", "AWSServiceName", "eks.amazonaws.com"), []string{"iam:CreateServiceLinkedRole"}},
	{"DeleteServiceLinkedRole", role("DeleteServiceLinkedRole"), []string{"iam:DeleteServiceLinkedRole"}},
	{"GetServiceLinkedRoleDeletionStatus", ofAccount("GetServiceLinkedRoleDeletionStatus", "DeletionTaskId", "x"), []string{"iam:GetServiceLinkedRoleDeletionStatus"}},
	{"ListInstanceProfiles", ofAccount("ListInstanceProfiles"), []string{"iam:ListInstanceProfiles"}},
	{"GetInstanceProfile", ofAccount("GetInstanceProfile", "InstanceProfileName", "x"), []string{"iam:GetInstanceProfile"}},
	{"ListInstanceProfileTags", ofAccount("ListInstanceProfileTags", "InstanceProfileName", "x"), []string{"iam:ListInstanceProfileTags"}},

	{"GetAccountSummary", ofAccount("GetAccountSummary"), []string{"iam:GetAccountSummary"}},
	{"GetAccountAuthorizationDetails", ofAccount("GetAccountAuthorizationDetails"), []string{"iam:GetAccountAuthorizationDetails"}},
	{"ListAccountAliases", ofAccount("ListAccountAliases"), []string{"iam:ListAccountAliases"}},
	{"CreateAccountAlias", ofAccount("CreateAccountAlias", "AccountAlias", "yard"), []string{"iam:CreateAccountAlias"}},
	{"DeleteAccountAlias", ofAccount("DeleteAccountAlias", "AccountAlias", "none"), []string{"iam:DeleteAccountAlias"}},
}
