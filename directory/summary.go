package directory

// Count is one line of an account's summary, in IAM's words.
type Count struct {
	Name  string
	Value int
}

// Summary counts what an account has, beside the quotas. What there is none of here is told as none.
func (d *Directory) Summary(account string) ([]Count, error) {
	of := account + "/"
	own, err := d.ManagedPolicies(account, "", 0, func(p *ManagedPolicy) bool { return d.isUsed(account, p) })
	if err != nil {
		return nil, err
	}
	everybodys := d.AWSManagedPolicies("", 0, func(p *ManagedPolicy) bool { return d.isUsed(account, p) })
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
		{"PolicyVersionsInUse", len(own) + len(everybodys)}, // of each policy that somebody has, one is in force
		{"PolicyVersionsInUseQuota", maxPolicies + len(awsPolicies)},
		{"Providers", d.issuers.Count(of)},
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
	}, nil
}

// isUsed reports whether anybody in the account has the policy, as permissions or as a boundary.
func (d *Directory) isUsed(account string, p *ManagedPolicy) bool {
	return d.UseCount(account, p, Permissions) > 0 || d.UseCount(account, p, Boundary) > 0
}
