package clients

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// What a configuration says of each resource of the AWS provider. Terraform has no change to make where what it reads is
// what it says.
type (
	tfRole struct {
		Path, Description string
		Seconds           int32
		Trust             any
		Tags              map[string]string
		Inline            map[string]any
		Managed           []string
	}
	tfPolicy struct {
		Path, Description string
		Document          any
		Tags              map[string]string
	}
	tfProvider struct {
		URL                 string
		Clients, Thumbprint []string
		Tags                map[string]string
	}
	tfAssociation struct {
		Namespace, ServiceAccount, Role, Target string
		DisableSessionTags                      bool
		Tags                                    map[string]string
	}
)

// TestTerraform is `terraform apply`, a plan that shows no change, an apply of changes, and `terraform destroy` of a role with
// its policies, an OIDC provider and a pod identity association, as the provider makes them of calls.
func TestTerraform(t *testing.T) {
	t.Parallel()
	x := newToolbox(t)
	ctx := t.Context()
	x.same("the provider's account", *must(x.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(x).Account, "111122223333")

	// aws_iam_policy, aws_iam_role with an inline policy, aws_iam_role_policy_attachment
	policyARN := x.terraformPolicy()
	role, other := "terraform-role", "terraform-other"
	made := must(x.iam.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: &role, Path: aws.String("/teams/"), Description: aws.String("first"), MaxSessionDuration: aws.Int32(3600),
		AssumeRolePolicyDocument: aws.String(trust), Tags: iamTags(map[string]string{"env": "dev", "team": "pay"}),
	}))(x)
	otherARN := x.roleNamed(other)
	must(x.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("inline"), PolicyDocument: aws.String(permissions)}))(x)
	must(x.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &role, PolicyArn: &policyARN}))(x)
	want := tfRole{
		"/teams/", "first", 3600, x.content(trust),
		map[string]string{"env": "dev", "team": "pay"},
		map[string]any{"inline": x.content(permissions)},
		[]string{policyARN},
	}
	x.same("role, planned again", x.terraformRole(role), want)

	providerARN := x.terraformProvider()
	x.terraformAssociation(*made.Role.Arn, otherARN)

	// The role again, changed in all that may change in its place.
	must(x.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: aws.String(trustAccount)}))(x)
	must(x.iam.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: &role, Description: aws.String("second")}))(x)
	must(x.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: &role, MaxSessionDuration: aws.Int32(7200)}))(x)
	must(x.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: &role, TagKeys: []string{"team"}}))(x)
	must(x.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: &role, Tags: iamTags(map[string]string{"env": "prod"})}))(x)
	must(x.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role, PolicyName: aws.String("inline"), PolicyDocument: aws.String(readPolicy)}))(x)
	want.Trust, want.Description, want.Seconds, want.Tags = x.content(trustAccount), "second", 7200, map[string]string{"env": "prod"}
	want.Inline = map[string]any{"inline": x.content(readPolicy)}
	x.same("role, changed", x.terraformRole(role), want)

	// Destroy, in the order of dependence: what is still needed is refused on the way.
	_, err := x.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &role})
	gone[*iamtypes.DeleteConflictException](x, "a role with policies", err)
	_, err = x.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &policyARN})
	gone[*iamtypes.DeleteConflictException](x, "a policy that is attached", err)
	must(x.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &role, PolicyArn: &policyARN}))(x)
	must(x.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: aws.String("inline")}))(x)
	for _, name := range []string{role, other} {
		profiles := must(x.iam.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: &name}))(x)
		x.same("instance profiles", len(profiles.InstanceProfiles), 0)
		must(x.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name}))(x)
	}
	versions := must(x.iam.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: &policyARN}))(x)
	for _, v := range versions.Versions {
		if !v.IsDefaultVersion {
			must(x.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &policyARN, VersionId: v.VersionId}))(x)
		}
	}
	must(x.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &policyARN}))(x)
	must(x.iam.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &providerARN}))(x)

	// A plan after it would make everything again.
	_, err = x.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &role})
	gone[*iamtypes.NoSuchEntityException](x, "the role", err)
	_, err = x.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &policyARN})
	gone[*iamtypes.NoSuchEntityException](x, "the policy", err)
	_, err = x.iam.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &providerARN})
	gone[*iamtypes.NoSuchEntityException](x, "the provider", err)
}

// terraformRole is what the provider reads of aws_iam_role.
func (t toolbox) terraformRole(name string) tfRole {
	t.Helper()
	ctx := t.Context()
	r := must(t.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &name}))(t).Role
	got := tfRole{
		*r.Path, aws.ToString(r.Description), aws.ToInt32(r.MaxSessionDuration), t.document(r.AssumeRolePolicyDocument), fromIAM(r.Tags), map[string]any{}, nil,
	}
	for pages := iam.NewListRolePoliciesPaginator(t.iam, &iam.ListRolePoliciesInput{RoleName: &name}); pages.HasMorePages(); {
		for _, policy := range must(pages.NextPage(ctx))(t).PolicyNames {
			p := must(t.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy}))(t)
			got.Inline[policy] = t.document(p.PolicyDocument)
		}
	}
	for pages := iam.NewListAttachedRolePoliciesPaginator(t.iam, &iam.ListAttachedRolePoliciesInput{RoleName: &name}); pages.HasMorePages(); {
		for _, p := range must(pages.NextPage(ctx))(t).AttachedPolicies {
			got.Managed = append(got.Managed, *p.PolicyArn)
		}
	}
	return got
}

// terraformPolicy is aws_iam_policy: made, read, and changed as often as a policy has versions, and once more.
func (t toolbox) terraformPolicy() (arn string) {
	t.Helper()
	ctx := t.Context()
	read := func() tfPolicy {
		p := must(t.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn}))(t).Policy
		v := must(t.iam.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: p.DefaultVersionId}))(t).PolicyVersion
		return tfPolicy{*p.Path, aws.ToString(p.Description), t.document(v.Document), fromIAM(p.Tags)}
	}
	arn = *must(t.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: aws.String("terraform-policy"), Path: aws.String("/"), Description: aws.String("d"), PolicyDocument: aws.String(permissions),
		Tags: iamTags(map[string]string{"env": "dev"}),
	}))(t).Policy.Arn
	want := tfPolicy{"/", "d", t.content(permissions), map[string]string{"env": "dev"}}
	t.same("policy, planned again", read(), want)
	for i := range 6 { // the provider deletes the oldest version where there are five
		text := []string{readPolicy, permissions}[i%2]
		versions := must(t.iam.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: &arn}))(t).Versions
		if len(versions) >= 5 {
			oldest := versions[len(versions)-1]
			for _, v := range versions {
				if !v.IsDefaultVersion && v.CreateDate.Before(*oldest.CreateDate) {
					oldest = v
				}
			}
			must(t.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: oldest.VersionId}))(t)
		}
		must(t.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: &text, SetAsDefault: true}))(t)
		want.Document = t.content(text)
		t.same("policy, changed", read(), want)
	}
	must(t.iam.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: &arn, Tags: iamTags(map[string]string{"team": "pay"})}))(t)
	must(t.iam.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: &arn, TagKeys: []string{"env"}}))(t)
	want.Tags = map[string]string{"team": "pay"}
	t.same("policy, its tags changed", read(), want)
	return arn
}

// terraformProvider is aws_iam_openid_connect_provider.
func (t toolbox) terraformProvider() (arn string) {
	t.Helper()
	ctx := t.Context()
	const first, second = "9e99a48a9960b14926bb7f3b02e22da2b0ab7280", "06b25927c42a721631c1efd9431e648fa62e1e39"
	read := func() tfProvider {
		p := must(t.iam.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn}))(t)
		return tfProvider{*p.Url, p.ClientIDList, p.ThumbprintList, fromIAM(p.Tags)}
	}
	arn = *must(t.iam.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String("https://oidc.terraform.example.org/id/1"), ClientIDList: []string{"sts.amazonaws.com"}, ThumbprintList: []string{first},
		Tags: iamTags(map[string]string{"env": "dev"}),
	}))(t).OpenIDConnectProviderArn
	want := tfProvider{"oidc.terraform.example.org/id/1", []string{"sts.amazonaws.com"}, []string{first}, map[string]string{"env": "dev"}}
	t.same("provider, planned again", read(), want)
	must(t.iam.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: aws.String("other")}))(t)
	must(t.iam.RemoveClientIDFromOpenIDConnectProvider(ctx, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: aws.String("sts.amazonaws.com")}))(t)
	must(t.iam.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: &arn, ThumbprintList: []string{second}}))(t)
	must(t.iam.UntagOpenIDConnectProvider(ctx, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, TagKeys: []string{"env"}}))(t)
	must(t.iam.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, Tags: iamTags(map[string]string{"team": "pay"})}))(t)
	t.same("provider, changed", read(), tfProvider{want.URL, []string{"other"}, []string{second}, map[string]string{"team": "pay"}})
	return arn
}

// terraformAssociation is aws_eks_pod_identity_association, from its first apply to its destruction.
func (t toolbox) terraformAssociation(role, other string) {
	t.Helper()
	ctx := t.Context()
	in := &eks.CreatePodIdentityAssociationInput{
		ClusterName: devCluster, Namespace: aws.String("terraform"), ServiceAccount: aws.String("app"), RoleArn: aws.String(absentARN),
		ClientRequestToken: aws.String("terraform-20261126"), Tags: map[string]string{"env": "dev"},
	}
	_, err := t.eks.CreatePodIdentityAssociation(ctx, in) // the provider waits for the role while it is told this
	if refused, ok := errors.AsType[*ekstypes.InvalidParameterException](err); !ok || refused.ErrorMessage() != "Role provided in the request does not exist." {
		t.Errorf("a role that is not there yet: %v", err)
	}
	in.RoleArn = &role
	made := must(t.eks.CreatePodIdentityAssociation(ctx, in))(t).Association
	id, arn := made.AssociationId, made.AssociationArn
	read := func() tfAssociation {
		a := must(t.eks.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id}))(t).Association
		return tfAssociation{*a.Namespace, *a.ServiceAccount, *a.RoleArn, aws.ToString(a.TargetRoleArn), aws.ToBool(a.DisableSessionTags), a.Tags}
	}
	want := tfAssociation{"terraform", "app", role, "", false, map[string]string{"env": "dev"}}
	t.same("association, planned again", read(), want)

	must(t.eks.UpdatePodIdentityAssociation(ctx, &eks.UpdatePodIdentityAssociationInput{
		ClusterName: devCluster, AssociationId: id, RoleArn: &other, TargetRoleArn: &role, DisableSessionTags: aws.Bool(true),
	}))(t)
	must(t.eks.UntagResource(ctx, &eks.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"env"}}))(t)
	must(t.eks.TagResource(ctx, &eks.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"team": "pay"}}))(t)
	t.same("association, changed", read(), tfAssociation{"terraform", "app", other, role, true, map[string]string{"team": "pay"}})

	// A change of the service account is another resource: the old one goes and the new one comes.
	deleted := &eks.DeletePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id}
	must(t.eks.DeletePodIdentityAssociation(ctx, deleted))(t)
	_, err = t.eks.DeletePodIdentityAssociation(ctx, deleted)
	gone[*ekstypes.ResourceNotFoundException](t, "deleted twice", err)
	in.ServiceAccount, in.ClientRequestToken = aws.String("app-2"), aws.String("terraform-20261127")
	id = must(t.eks.CreatePodIdentityAssociation(ctx, in))(t).Association.AssociationId
	t.same("association, replaced", read(), tfAssociation{"terraform", "app-2", role, "", false, map[string]string{"env": "dev"}})
	must(t.eks.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id}))(t)
	_, err = t.eks.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id})
	gone[*ekstypes.ResourceNotFoundException](t, "the association", err)
}
