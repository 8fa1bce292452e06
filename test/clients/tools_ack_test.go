package clients

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// TestACK is what the iam and eks controllers of AWS Controllers for Kubernetes do for a Role, a Policy and a
// PodIdentityAssociation: each reconciliation reads, and then makes or changes what differs.
func TestACK(t *testing.T) {
	t.Parallel()
	x := newToolbox(t)
	ctx := t.Context()
	policyARN := x.ackPolicy()
	role := x.ackRole(policyARN)
	x.ackAssociation(role)

	// The resources are deleted, and read until they are gone.
	name := aws.String("ack-role")
	must(x.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: &policyARN}))(x)
	must(x.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("inline")}))(x)
	must(x.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name}))(x)
	_, err := x.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	gone[*iamtypes.NoSuchEntityException](x, "the role", err)
	must(x.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &policyARN, VersionId: aws.String("v1")}))(x)
	must(x.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &policyARN}))(x)
}

func (t toolbox) ackPolicy() (arn string) {
	t.Helper()
	ctx := t.Context()
	arn = toolAccount + ":policy/ack/ack-policy"
	_, err := t.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	gone[*iamtypes.NoSuchEntityException](t, "before it is made, the policy", err)
	made := must(t.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: aws.String("ack-policy"), Path: aws.String("/ack/"), PolicyDocument: aws.String(permissions),
		Tags: iamTags(map[string]string{"services.k8s.aws/namespace": "default"}),
	}))(t)
	t.same("policy's ARN", *made.Policy.Arn, arn)
	tags := must(t.iam.ListPolicyTags(ctx, &iam.ListPolicyTagsInput{PolicyArn: &arn}))(t)
	t.same("policy's tags", fromIAM(tags.Tags), map[string]string{"services.k8s.aws/namespace": "default"})
	must(t.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: aws.String(readPolicy), SetAsDefault: true}))(t)
	inForce := must(t.iam.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: aws.String("v2")}))(t)
	t.same("policy in force", t.document(inForce.PolicyVersion.Document), t.content(readPolicy))
	return arn
}

func (t toolbox) ackRole(policyARN string) (arn string) {
	t.Helper()
	ctx, name := t.Context(), aws.String("ack-role")
	_, err := t.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	gone[*iamtypes.NoSuchEntityException](t, "before it is made, the role", err)
	arn = *must(t.iam.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: name, Path: aws.String("/"), Description: aws.String("by ACK"), MaxSessionDuration: aws.Int32(3600),
		AssumeRolePolicyDocument: aws.String(trust), Tags: iamTags(map[string]string{"a": "1"}),
	}))(t).Role.Arn
	must(t.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("inline"), PolicyDocument: aws.String(permissions)}))(t)
	must(t.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: &policyARN}))(t)
	must(t.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, Description: aws.String("by ACK, twice"), MaxSessionDuration: aws.Int32(5400)}))(t)
	must(t.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: iamTags(map[string]string{"b": "2"})}))(t)
	must(t.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"a"}}))(t)
	tags := must(t.iam.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: name}))(t)
	t.same("role's tags", fromIAM(tags.Tags), map[string]string{"b": "2"})
	t.same("role", t.terraformRole("ack-role"), tfRole{
		"/", "by ACK, twice", 5400, t.content(trust), map[string]string{"b": "2"}, map[string]any{"inline": t.content(permissions)}, []string{policyARN},
	})
	return arn
}

func (t toolbox) ackAssociation(role string) {
	t.Helper()
	ctx := t.Context()
	if found := t.associationOf("ack", "app"); found != nil {
		t.Fatalf("before it is made there is %v", *found.AssociationArn)
	}
	made := must(t.eks.CreatePodIdentityAssociation(ctx, &eks.CreatePodIdentityAssociationInput{
		ClusterName: devCluster, Namespace: aws.String("ack"), ServiceAccount: aws.String("app"), RoleArn: &role, TargetRoleArn: aws.String(otherRoleARN),
		Tags: map[string]string{"services.k8s.aws/controller-version": "eks-v1.9.0"},
	}))(t).Association
	t.same("target role", aws.ToString(t.associationOf("ack", "app").TargetRoleArn), otherRoleARN)
	// The field is taken out of the spec: the controller says so by an empty text.
	changed := must(t.eks.UpdatePodIdentityAssociation(ctx, &eks.UpdatePodIdentityAssociationInput{
		ClusterName: devCluster, AssociationId: made.AssociationId, RoleArn: &role, TargetRoleArn: aws.String(""),
	}))(t).Association
	t.same("target role, taken away", []*string{changed.TargetRoleArn, changed.ExternalId}, []*string{nil, nil})
	must(t.eks.TagResource(ctx, &eks.TagResourceInput{ResourceArn: made.AssociationArn, Tags: map[string]string{"team": "pay"}}))(t)
	must(t.eks.UntagResource(ctx, &eks.UntagResourceInput{ResourceArn: made.AssociationArn, TagKeys: []string{"services.k8s.aws/controller-version"}}))(t)
	tags := must(t.eks.ListTagsForResource(ctx, &eks.ListTagsForResourceInput{ResourceArn: made.AssociationArn}))(t)
	t.same("tags", tags.Tags, map[string]string{"team": "pay"})
	must(t.eks.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: made.AssociationId}))(t)
	_, err := t.eks.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: made.AssociationId})
	gone[*ekstypes.ResourceNotFoundException](t, "the association", err)
}
