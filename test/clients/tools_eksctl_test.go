package clients

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// TestEksctl is `eksctl create|get|update|delete podidentityassociation` with --role-arn. Without it, eksctl makes the role by
// CloudFormation, which is not here.
func TestEksctl(t *testing.T) {
	t.Parallel()
	x := newToolbox(t)
	ctx := t.Context()
	first, second := x.roleNamed("eksctl-first"), x.roleNamed("eksctl-second")
	begin := func() { // what each of its commands does first
		must(x.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))(x)
		cluster := must(x.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: devCluster}))(x).Cluster
		x.same("cluster", []string{*cluster.Name, string(cluster.Status)}, []string{"dev", "ACTIVE"})
	}

	begin() // create; the agent's add-on is asked for first, and its absence is a warning
	_, err := x.eks.DescribeAddon(ctx, &eks.DescribeAddonInput{ClusterName: aws.String("dev"), AddonName: aws.String("eks-pod-identity-agent")})
	if err != nil {
		gone[*ekstypes.ResourceNotFoundException](x, "no agent by an add-on", err)
	}
	in := &eks.CreatePodIdentityAssociationInput{
		ClusterName: devCluster, Namespace: aws.String("eksctl"), ServiceAccount: aws.String("app"), RoleArn: &first,
		Tags: map[string]string{"alpha.eksctl.io/cluster-name": "dev", "alpha.eksctl.io/eksctl-version": "0.220.0"},
	}
	if found := x.associationOf("eksctl", "app"); found != nil {
		t.Fatalf("before it is created there is %v", *found.AssociationArn)
	}
	made := must(x.eks.CreatePodIdentityAssociation(ctx, in))(x).Association
	in.ClientRequestToken = nil
	_, err = x.eks.CreatePodIdentityAssociation(ctx, in) // run again, which it takes for done
	gone[*ekstypes.ResourceInUseException](x, "created again", err)

	begin() // get: the summaries, and each of them
	var seen int
	for pages := eks.NewListPodIdentityAssociationsPaginator(x.eks, &eks.ListPodIdentityAssociationsInput{ClusterName: devCluster, Namespace: aws.String("eksctl")}); pages.HasMorePages(); {
		for _, a := range must(pages.NextPage(ctx))(x).Associations {
			got := must(x.eks.DescribePodIdentityAssociation(ctx, &eks.DescribePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: a.AssociationId}))(x).Association
			x.same("association", []string{*got.AssociationArn, *got.RoleArn}, []string{*made.AssociationArn, first})
			x.same("tags", got.Tags, in.Tags)
			seen++
		}
	}
	x.same("associations", seen, 1)

	begin() // update
	found := x.associationOf("eksctl", "app")
	if found == nil || found.OwnerArn != nil { // an add-on's is refused
		t.Fatalf("the association is %v", found)
	}
	must(x.eks.UpdatePodIdentityAssociation(ctx, &eks.UpdatePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: found.AssociationId, RoleArn: &second}))(x)
	found = x.associationOf("eksctl", "app")
	x.same("role", *found.RoleArn, second)

	begin() // delete
	must(x.eks.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: found.AssociationId}))(x)
	if found := x.associationOf("eksctl", "app"); found != nil {
		t.Errorf("after it is deleted there is %v", *found.AssociationArn)
	}
	for _, name := range []string{"eksctl-first", "eksctl-second"} {
		must(x.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name}))(x)
	}
}
