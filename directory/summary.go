package directory

// Count is one line of an account's summary, in IAM's words.
type Count struct {
	Name  string
	Value int
}

// Summary counts what an account has, beside the quotas. What there is none of here is told as none.
func (d *Directory) Summary(account string) []Count {
	of := account + "/"
	return []Count{
		{"Users", d.users.Count(of)},
		{"UsersQuota", maxIdentities[Users]},
		{"Groups", d.groups.Count(of)},
		{"GroupsQuota", maxIdentities[Groups]},
		{"Roles", d.roles.Count(of)},
		{"RolesQuota", maxIdentities[Roles]},
		{"Policies", d.policies.Count(of)},
		{"PoliciesQuota", maxPolicies},
		{"PolicySizeQuota", maxPolicy},
		{"VersionsPerPolicyQuota", maxVersions},
		{"AttachedPoliciesPerUserQuota", maxAttached},
		{"AttachedPoliciesPerGroupQuota", maxAttached},
		{"AttachedPoliciesPerRoleQuota", maxAttached},
		{"UserPolicySizeQuota", maxInline[Users]},
		{"GroupPolicySizeQuota", maxInline[Groups]},
		{"RolePolicySizeQuota", maxInline[Roles]},
		{"AssumeRolePolicySizeQuota", maxTrust},
		{"AccessKeysPerUserQuota", maxAccessKeys},
		{"GroupsPerUserQuota", maxGroups},
		{"AccountMFAEnabled", 0},
		{"AccountAccessKeysPresent", 0},
		{"AccountPasswordPresent", 0},
		{"AccountSigningCertificatesPresent", 0},
		{"InstanceProfiles", 0},
		{"InstanceProfilesQuota", 0},
		{"MFADevices", 0},
		{"MFADevicesInUse", 0},
		{"ServerCertificates", 0},
		{"ServerCertificatesQuota", 0},
		{"SigningCertificatesPerUserQuota", 0},
		{"GlobalEndpointTokenVersion", 2},
	}
}
