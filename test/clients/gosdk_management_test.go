package clients

import (
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

const (
	roleARN      = "arn:aws:iam::111122223333:role/" + role
	otherRoleARN = "arn:aws:iam::111122223333:role/ec2-restart-role"
	absentARN    = "arn:aws:iam::111122223333:role/absent"
	absentAssoc  = "arn:aws:eks:us-east-1:111122223333:podidentityassociation/dev/a-absent"
)

var (
	devCluster    = aws.String("dev")
	absentCluster = aws.String("absent")
	goOutside     = aws.String("go-sdk-outside")
	goRole        = aws.String("go-sdk-role")
)

var goEKS = []goCase{
	{"ListClusters, DescribeCluster", func(c *goClient) {
		all, err := c.eks().ListClusters(c, nil)
		if c.good("ListClusters", err) {
			c.equal("has dev", slices.Contains(all.Clusters, "dev"), true)
		}
		got, err := c.eks().DescribeCluster(c, &eks.DescribeClusterInput{Name: devCluster})
		if c.good("DescribeCluster", err) {
			c.equal("status", got.Cluster.Status, types.ClusterStatusActive)
			c.equal("arn", aws.ToString(got.Cluster.Arn), "arn:aws:eks:us-east-1:111122223333:cluster/dev")
			c.contains("issuer", aws.ToString(got.Cluster.Identity.Oidc.Issuer), "https://")
			c.equal("created", got.Cluster.CreatedAt.IsZero(), false)
		}
		_, err = c.eks().DescribeCluster(c, &eks.DescribeClusterInput{Name: absentCluster})
		typed[*types.ResourceNotFoundException](c, "an absent one", err)
		c.refused("an absent one", err, "ResourceNotFoundException", "No cluster found for name: absent.")
	}},
	{"RegisterCluster, DeregisterCluster", func(c *goClient) {
		in := eks.RegisterClusterInput{Name: goOutside, Tags: map[string]string{"env": "test"}, ConnectorConfig: &types.ConnectorConfigRequest{
			Provider: types.ConnectorConfigProviderOther, RoleArn: aws.String("arn:aws:iam::111122223333:role/connector"),
		}}
		first, second := in, in // the SDK writes a token of its own into what it is given
		got, err := c.eks().RegisterCluster(c, &first)
		if c.good("RegisterCluster", err) {
			c.equal("status", got.Cluster.Status, types.ClusterStatusPending)
			c.equal("tags", got.Cluster.Tags, in.Tags)
			c.equal("has a code", len(aws.ToString(got.Cluster.ConnectorConfig.ActivationCode)) >= 20, true)
		}
		_, err = c.eks().RegisterCluster(c, &second)
		typed[*types.ResourceInUseException](c, "the same again", err)
		_, err = c.eks().DeregisterCluster(c, &eks.DeregisterClusterInput{Name: goOutside})
		c.good("DeregisterCluster", err)
		_, err = c.eks().DeregisterCluster(c, &eks.DeregisterClusterInput{Name: goOutside})
		typed[*types.ResourceNotFoundException](c, "the same again", err)
	}},
	{"CreatePodIdentityAssociation", func(c *goClient) {
		in := goAssociation()
		in.Tags, in.ClientRequestToken = map[string]string{"a": "1"}, aws.String("go-1")
		got, err := c.eks().CreatePodIdentityAssociation(c, in)
		if !c.good("CreatePodIdentityAssociation", err) {
			return
		}
		c.equal("role", aws.ToString(got.Association.RoleArn), roleARN)
		c.equal("tags", got.Association.Tags, in.Tags)
		again, err := c.eks().CreatePodIdentityAssociation(c, in)
		if c.good("the same token again", err) {
			c.equal("id", *again.Association.AssociationId, *got.Association.AssociationId)
		}
		in.ClientRequestToken = aws.String("go-2")
		_, err = c.eks().CreatePodIdentityAssociation(c, in)
		typed[*types.ResourceInUseException](c, "another token", err)
	}},
	{"ListPodIdentityAssociations", func(c *goClient) {
		c.associated()
		found, all := false, eks.NewListPodIdentityAssociationsPaginator(c.eks(), &eks.ListPodIdentityAssociationsInput{ClusterName: devCluster, MaxResults: aws.Int32(1)})
		for all.HasMorePages() {
			page, err := all.NextPage(c)
			if !c.good("a page", err) {
				return
			}
			found = found || slices.ContainsFunc(page.Associations, func(a types.PodIdentityAssociationSummary) bool { return *a.Namespace == golang })
		}
		c.equal("found", found, true)
		_, err := c.eks().ListPodIdentityAssociations(c, &eks.ListPodIdentityAssociationsInput{ClusterName: absentCluster})
		typed[*types.ResourceNotFoundException](c, "an absent cluster", err)
	}},
	{"DescribePodIdentityAssociation", func(c *goClient) {
		id, arn := c.associated()
		got, err := c.eks().DescribePodIdentityAssociation(c, &eks.DescribePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id})
		if c.good("DescribePodIdentityAssociation", err) {
			c.equal("arn", aws.ToString(got.Association.AssociationArn), aws.ToString(arn))
			c.equal("created", got.Association.CreatedAt.IsZero(), false)
		}
		_, err = c.eks().DescribePodIdentityAssociation(c, &eks.DescribePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: aws.String("a-absent")})
		typed[*types.ResourceNotFoundException](c, "an absent one", err)
	}},
	{"UpdatePodIdentityAssociation", func(c *goClient) {
		id, _ := c.associated()
		in := &eks.UpdatePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id, RoleArn: aws.String(otherRoleARN)}
		got, err := c.eks().UpdatePodIdentityAssociation(c, in)
		if c.good("UpdatePodIdentityAssociation", err) {
			c.equal("role", aws.ToString(got.Association.RoleArn), otherRoleARN)
		}
		in.RoleArn = aws.String(absentARN)
		_, err = c.eks().UpdatePodIdentityAssociation(c, in)
		typed[*types.InvalidParameterException](c, "an absent role", err)
		c.refused("an absent role", err, "InvalidParameterException", "Role provided in the request does not exist.")
		change := &eks.UpdatePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id, TargetRoleArn: aws.String(roleARN)}
		got, err = c.eks().UpdatePodIdentityAssociation(c, change)
		if c.good("a target role", err) {
			c.equal("target role", aws.ToString(got.Association.TargetRoleArn), roleARN)
			c.equal("external id", aws.ToString(got.Association.ExternalId), "us-east-1/111122223333/dev/"+golang+"/reporter")
		}
		change.Policy = aws.String(readPolicy)
		_, err = c.eks().UpdatePodIdentityAssociation(c, change)
		c.refused("a policy beside tags", err, "InvalidParameterException", "When policy is specified, disableSessionTags must be set to true")
		change.DisableSessionTags = aws.Bool(true)
		if got, err = c.eks().UpdatePodIdentityAssociation(c, change); c.good("a policy", err) {
			c.equal("policy", aws.ToString(got.Association.Policy), readPolicy)
		}
		change.TargetRoleArn, change.Policy, change.DisableSessionTags = aws.String(""), aws.String(""), aws.Bool(false)
		if got, err = c.eks().UpdatePodIdentityAssociation(c, change); c.good("all taken away", err) {
			c.equal("what is left", []any{got.Association.TargetRoleArn, got.Association.ExternalId, got.Association.Policy, aws.ToBool(got.Association.DisableSessionTags)},
				[]any{(*string)(nil), (*string)(nil), (*string)(nil), false})
		}
	}},
	{"TagResource, UntagResource, ListTagsForResource", func(c *goClient) {
		_, arn := c.associated()
		_, err := c.eks().TagResource(c, &eks.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"b": "2", "c": "3"}})
		c.good("TagResource", err)
		_, err = c.eks().UntagResource(c, &eks.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"a", "c"}})
		c.good("UntagResource", err)
		got, err := c.eks().ListTagsForResource(c, &eks.ListTagsForResourceInput{ResourceArn: arn})
		if c.good("ListTagsForResource", err) {
			c.equal("tags", got.Tags, map[string]string{"b": "2"})
		}
		_, err = c.eks().ListTagsForResource(c, &eks.ListTagsForResourceInput{ResourceArn: aws.String(absentAssoc)})
		typed[*types.NotFoundException](c, "an absent one", err)
		_, err = c.eks().ListTagsForResource(c, &eks.ListTagsForResourceInput{ResourceArn: aws.String("arn:aws:s3:::bucket")})
		typed[*types.BadRequestException](c, "a bucket", err)
	}},
	{"associations that are refused", func(c *goClient) {
		for message, change := range map[string]func(*eks.CreatePodIdentityAssociationInput){
			"Role provided in the request does not exist.": func(in *eks.CreatePodIdentityAssociationInput) { in.RoleArn = aws.String(absentARN) },
			"namespace contains invalid characters":        func(in *eks.CreatePodIdentityAssociationInput) { in.Namespace = aws.String("Not_A_Namespace") },
			"targetRoleArn":                                func(in *eks.CreatePodIdentityAssociationInput) { in.TargetRoleArn = aws.String("reporter") },
			"disableSessionTags must be set to true":       func(in *eks.CreatePodIdentityAssociationInput) { in.Policy = aws.String(readPolicy) },
		} {
			in := goAssociation()
			in.ServiceAccount = aws.String("bad")
			change(in)
			_, err := c.eks().CreatePodIdentityAssociation(c, in)
			typed[*types.InvalidParameterException](c, message, err)
			c.refused(message, err, "InvalidParameterException", message)
		}
		in := goAssociation()
		in.ClusterName = absentCluster
		_, err := c.eks().CreatePodIdentityAssociation(c, in)
		typed[*types.ResourceNotFoundException](c, "an absent cluster", err)
	}},
	{"DeletePodIdentityAssociation", func(c *goClient) {
		id, _ := c.associated()
		in := &eks.DeletePodIdentityAssociationInput{ClusterName: devCluster, AssociationId: id}
		got, err := c.eks().DeletePodIdentityAssociation(c, in)
		if c.good("DeletePodIdentityAssociation", err) {
			c.equal("id", aws.ToString(got.Association.AssociationId), aws.ToString(id))
		}
		_, err = c.eks().DeletePodIdentityAssociation(c, in)
		typed[*types.ResourceNotFoundException](c, "the same again", err)
	}},
}

func (c *goClient) eks() *eks.Client { return eks.NewFromConfig(c.aws) }

func goAssociation() *eks.CreatePodIdentityAssociationInput {
	return &eks.CreatePodIdentityAssociationInput{
		ClusterName: devCluster, Namespace: aws.String(golang), ServiceAccount: aws.String("reporter"), RoleArn: aws.String(roleARN),
	}
}

// associated finds the association that the first case made.
func (c *goClient) associated() (id, arn *string) {
	in := goAssociation()
	got, err := c.eks().ListPodIdentityAssociations(c, &eks.ListPodIdentityAssociationsInput{
		ClusterName: devCluster, Namespace: in.Namespace, ServiceAccount: in.ServiceAccount,
	})
	if !c.good("ListPodIdentityAssociations", err) || len(got.Associations) != 1 {
		c.wrong("want one association")
		return aws.String("a-none"), aws.String(absentAssoc)
	}
	return got.Associations[0].AssociationId, got.Associations[0].AssociationArn
}

const readPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`

var goIAM = []goCase{
	{"CreateRole", func(c *goClient) {
		in := &iam.CreateRoleInput{
			RoleName: goRole, AssumeRolePolicyDocument: aws.String(trust), Description: aws.String("for a test"),
			Tags: []iamtypes.Tag{{Key: aws.String("a"), Value: aws.String("1")}},
		}
		got, err := c.iam().CreateRole(c, in)
		if c.good("CreateRole", err) {
			c.equal("arn", aws.ToString(got.Role.Arn), "arn:aws:iam::111122223333:role/"+*goRole)
			c.contains("id", aws.ToString(got.Role.RoleId), "AROA")
		}
		_, err = c.iam().CreateRole(c, in)
		typed[*iamtypes.EntityAlreadyExistsException](c, "the same again", err)
		_, err = c.iam().CreateRole(c, &iam.CreateRoleInput{RoleName: aws.String("go-bad"), AssumeRolePolicyDocument: aws.String("{")})
		typed[*iamtypes.MalformedPolicyDocumentException](c, "no policy", err)
	}},
	{"GetRole, ListRoles", func(c *goClient) {
		got, err := c.iam().GetRole(c, &iam.GetRoleInput{RoleName: goRole})
		if c.good("GetRole", err) {
			c.document("trust", got.Role.AssumeRolePolicyDocument, trust)
			c.equal("description", aws.ToString(got.Role.Description), "for a test")
			c.equal("created", got.Role.CreateDate.IsZero(), false)
		}
		found, all := false, iam.NewListRolesPaginator(c.iam(), &iam.ListRolesInput{MaxItems: aws.Int32(1)})
		for all.HasMorePages() {
			page, err := all.NextPage(c)
			if !c.good("a page", err) {
				return
			}
			found = found || slices.ContainsFunc(page.Roles, func(r iamtypes.Role) bool { return *r.RoleName == *goRole })
		}
		c.equal("found", found, true)
		_, err = c.iam().GetRole(c, &iam.GetRoleInput{RoleName: aws.String("absent")})
		typed[*iamtypes.NoSuchEntityException](c, "an absent one", err)
	}},
	{"UpdateAssumeRolePolicy", func(c *goClient) {
		narrow := strings.Replace(trust, `]}]}`, `],"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"pay"}}}]}`, 1)
		_, err := c.iam().UpdateAssumeRolePolicy(c, &iam.UpdateAssumeRolePolicyInput{RoleName: goRole, PolicyDocument: &narrow})
		c.good("UpdateAssumeRolePolicy", err)
		got, err := c.iam().GetRole(c, &iam.GetRoleInput{RoleName: goRole})
		if c.good("GetRole", err) {
			c.document("trust", got.Role.AssumeRolePolicyDocument, narrow)
		}
		unheard := strings.Replace(narrow, "StringEquals", "Unheard", 1)
		_, err = c.iam().UpdateAssumeRolePolicy(c, &iam.UpdateAssumeRolePolicyInput{RoleName: goRole, PolicyDocument: &unheard})
		typed[*iamtypes.MalformedPolicyDocumentException](c, "an unknown operator", err)
		c.refused("an unknown operator", err, "MalformedPolicyDocument", "Unheard")
	}},
	{"PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy", func(c *goClient) {
		name := aws.String("read")
		_, err := c.iam().PutRolePolicy(c, &iam.PutRolePolicyInput{RoleName: goRole, PolicyName: name, PolicyDocument: aws.String(readPolicy)})
		c.good("PutRolePolicy", err)
		got, err := c.iam().GetRolePolicy(c, &iam.GetRolePolicyInput{RoleName: goRole, PolicyName: name})
		if c.good("GetRolePolicy", err) {
			c.document("policy", got.PolicyDocument, readPolicy)
		}
		all, err := c.iam().ListRolePolicies(c, &iam.ListRolePoliciesInput{RoleName: goRole})
		if c.good("ListRolePolicies", err) {
			c.equal("names", all.PolicyNames, []string{"read"})
		}
		_, err = c.iam().PutRolePolicy(c, &iam.PutRolePolicyInput{RoleName: goRole, PolicyName: aws.String("bad"), PolicyDocument: aws.String(`{"Statement":[]}`)})
		typed[*iamtypes.MalformedPolicyDocumentException](c, "no statement", err)
		_, err = c.iam().DeleteRole(c, &iam.DeleteRoleInput{RoleName: goRole})
		typed[*iamtypes.DeleteConflictException](c, "DeleteRole with a policy", err)
		_, err = c.iam().DeleteRolePolicy(c, &iam.DeleteRolePolicyInput{RoleName: goRole, PolicyName: name})
		c.good("DeleteRolePolicy", err)
		_, err = c.iam().GetRolePolicy(c, &iam.GetRolePolicyInput{RoleName: goRole, PolicyName: name})
		typed[*iamtypes.NoSuchEntityException](c, "GetRolePolicy after it", err)
	}},
	{"managed policies: create, attach, versions, detach, delete", goManaged},
	{"TagRole, UntagRole, ListRoleTags", func(c *goClient) {
		_, err := c.iam().TagRole(c, &iam.TagRoleInput{RoleName: goRole, Tags: []iamtypes.Tag{{Key: aws.String("b"), Value: aws.String("two words: ü")}}})
		c.good("TagRole", err)
		_, err = c.iam().UntagRole(c, &iam.UntagRoleInput{RoleName: goRole, TagKeys: []string{"a"}})
		c.good("UntagRole", err)
		got, err := c.iam().ListRoleTags(c, &iam.ListRoleTagsInput{RoleName: goRole})
		if c.good("ListRoleTags", err) && len(got.Tags) == 1 {
			c.equal("tag", *got.Tags[0].Key+"="+*got.Tags[0].Value, "b=two words: ü")
		} else {
			c.wrong("want one tag")
		}
	}},
	{"AssumeRole", func(c *goClient) {
		_, err := c.iam().UpdateAssumeRolePolicy(c, &iam.UpdateAssumeRolePolicyInput{RoleName: goRole, PolicyDocument: aws.String(trustAccount)})
		c.good("UpdateAssumeRolePolicy", err)
		in := &sts.AssumeRoleInput{
			RoleArn: aws.String("arn:aws:iam::111122223333:role/" + *goRole), RoleSessionName: aws.String("go"), Policy: aws.String(readPolicy),
			Tags:              []ststypes.Tag{{Key: aws.String("team"), Value: aws.String("blue")}},
			TransitiveTagKeys: []string{"team"}, SourceIdentity: aws.String("ann"), ExternalId: aws.String("x-7"), DurationSeconds: aws.Int32(900),
		}
		got, err := c.sts().AssumeRole(c, in)
		if c.good("AssumeRole", err) {
			c.equal("source identity", aws.ToString(got.SourceIdentity), "ann")
			own := c.aws.Copy()
			own.Credentials = credentials.NewStaticCredentialsProvider(*got.Credentials.AccessKeyId, *got.Credentials.SecretAccessKey, *got.Credentials.SessionToken)
			who, err := sts.NewFromConfig(own).GetCallerIdentity(c, nil)
			if c.good("GetCallerIdentity", err) {
				c.equal("arn", aws.ToString(who.Arn), "arn:aws:sts::111122223333:assumed-role/"+*goRole+"/go")
			}
			_, err = iam.NewFromConfig(own).GetRole(c, &iam.GetRoleInput{RoleName: goRole})
			c.refused("what the session policy leaves out", err, "AccessDenied", "iam:GetRole")
		}
		in.Policy = aws.String("{}")
		_, err = c.sts().AssumeRole(c, in)
		typed[*ststypes.MalformedPolicyDocumentException](c, "no policy", err)
		in.Policy, in.Tags[0].Value = nil, aws.String("x")
		for i := range 49 {
			in.Tags = append(in.Tags, ststypes.Tag{Key: aws.String("k" + strconv.Itoa(i)), Value: aws.String(strings.Repeat("v", 256))})
		}
		_, err = c.sts().AssumeRole(c, in)
		typed[*ststypes.PackedPolicyTooLargeException](c, "tags that do not fit", err)
		in.Tags, in.TransitiveTagKeys, in.RoleArn = nil, nil, aws.String(roleARN)
		_, err = c.sts().AssumeRole(c, in)
		c.refused("a role for pods", err, "AccessDenied", "not authorized to perform: sts:AssumeRole on resource: "+roleARN)
	}},
	{"DeleteRole", func(c *goClient) {
		_, err := c.iam().DeleteRole(c, &iam.DeleteRoleInput{RoleName: goRole})
		c.good("DeleteRole", err)
		_, err = c.iam().DeleteRole(c, &iam.DeleteRoleInput{RoleName: goRole})
		typed[*iamtypes.NoSuchEntityException](c, "the same again", err)
	}},
	{"GetUser", func(c *goClient) {
		got, err := c.iam().GetUser(c, nil)
		if c.good("GetUser", err) {
			c.equal("name", aws.ToString(got.User.UserName), "administrator")
		}
		_, err = c.iam().GetUser(c, &iam.GetUserInput{UserName: aws.String("absent")})
		typed[*iamtypes.NoSuchEntityException](c, "an absent one", err)
	}},
	{"operations not served", func(c *goClient) {
		_, err := c.iam().ListSAMLProviders(c, nil)
		c.refused("ListSAMLProviders", err, "InvalidAction", "ListSAMLProviders")
	}},
}

func goManaged(c *goClient) {
	in := &iam.CreatePolicyInput{PolicyName: goRole, Path: aws.String("/team/"), PolicyDocument: aws.String(readPolicy)}
	made, err := c.iam().CreatePolicy(c, in)
	if !c.good("CreatePolicy", err) {
		return
	}
	arn := made.Policy.Arn
	c.equal("arn", aws.ToString(arn), "arn:aws:iam::111122223333:policy/team/"+*goRole)
	_, err = c.iam().CreatePolicy(c, in)
	typed[*iamtypes.EntityAlreadyExistsException](c, "the same again", err)
	attach := &iam.AttachRolePolicyInput{RoleName: goRole, PolicyArn: arn}
	_, err = c.iam().AttachRolePolicy(c, attach)
	c.good("AttachRolePolicy", err)
	attached, err := c.iam().ListAttachedRolePolicies(c, &iam.ListAttachedRolePoliciesInput{RoleName: goRole})
	if c.good("ListAttachedRolePolicies", err) && len(attached.AttachedPolicies) == 1 {
		c.equal("attached", aws.ToString(attached.AttachedPolicies[0].PolicyArn), *arn)
	} else {
		c.wrong("want one policy")
	}
	deny := strings.Replace(readPolicy, "Allow", "Deny", 1)
	second, err := c.iam().CreatePolicyVersion(c, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &deny, SetAsDefault: true})
	if c.good("CreatePolicyVersion", err) {
		c.equal("version", aws.ToString(second.PolicyVersion.VersionId), "v2")
	}
	got, err := c.iam().GetPolicyVersion(c, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v2")})
	if c.good("GetPolicyVersion", err) {
		c.document("document", got.PolicyVersion.Document, deny)
		c.equal("default", got.PolicyVersion.IsDefaultVersion, true)
	}
	shown, err := c.iam().GetPolicy(c, &iam.GetPolicyInput{PolicyArn: arn})
	if c.good("GetPolicy", err) {
		c.equal("attachments", aws.ToInt32(shown.Policy.AttachmentCount), 1)
		c.equal("updated", shown.Policy.UpdateDate.IsZero(), false)
	}
	_, err = c.iam().DeletePolicy(c, &iam.DeletePolicyInput{PolicyArn: arn})
	typed[*iamtypes.DeleteConflictException](c, "DeletePolicy while attached", err)
	detach := &iam.DetachRolePolicyInput{RoleName: goRole, PolicyArn: arn}
	_, err = c.iam().DetachRolePolicy(c, detach)
	c.good("DetachRolePolicy", err)
	_, err = c.iam().DetachRolePolicy(c, detach)
	typed[*iamtypes.NoSuchEntityException](c, "DetachRolePolicy again", err)
	_, err = c.iam().DeletePolicyVersion(c, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	c.good("DeletePolicyVersion", err)
	_, err = c.iam().DeletePolicy(c, &iam.DeletePolicyInput{PolicyArn: arn})
	c.good("DeletePolicy", err)
	_, err = c.iam().AttachRolePolicy(c, attach)
	typed[*iamtypes.NoSuchEntityException](c, "AttachRolePolicy after it", err)
}

func (c *goClient) iam() *iam.Client { return iam.NewFromConfig(c.aws) }

func (c *goClient) sts() *sts.Client { return sts.NewFromConfig(c.aws) }

// document compares a policy as IAM sends it, which is URL-encoded: the SDK for Go leaves it so.
func (c *goClient) document(what string, got *string, want string) {
	text, err := url.QueryUnescape(aws.ToString(got))
	if c.good(what, err) {
		c.equal(what, text, want)
	}
}

// podToken is what the suite hands over as a pod's token.
func podToken() *string { return aws.String(os.Getenv("TRIED_POD_TOKEN")) }
