package directory

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// AWSPolicies is what the ARNs of the policies begin with that are there in every account
// (https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html). Those that are here have AWS's names
// and say, in words of our own, as much of what AWS's say as the services here can hold anybody to. They are part of the
// program and no records: each process has its own.
const AWSPolicies = "arn:aws:iam::aws:policy/"

// aws is in place of an account in the names of these policies.
const aws = "aws"

// awsPolicies are in the order of their names.
var awsPolicies = []*ManagedPolicy{
	awsPolicy("AdministratorAccess", "Everything, in every service.", `"Action":"*","Resource":"*"`),
	awsPolicy("AmazonEKSWorkerNodeMinimalPolicy", "What a node needs to get credentials for its pods.",
		`"Action":"eks-auth:AssumeRoleForPodIdentity","Resource":"*"`),
	awsPolicy("AmazonEKSWorkerNodePolicy", "What a node needs to join its cluster and to get credentials for its pods.",
		`"Action":["eks:DescribeCluster","eks-auth:AssumeRoleForPodIdentity"],"Resource":"*"`),
	awsPolicy("AmazonS3FullAccess", "Everything in S3.", `"Action":"s3:*","Resource":"*"`),
	awsPolicy("AmazonS3ReadOnlyAccess", "Reading and listing in S3.", `"Action":["s3:Get*","s3:List*","s3:Describe*"],"Resource":"*"`),
	awsPolicy("IAMFullAccess", "Everything in IAM.", `"Action":"iam:*","Resource":"*"`),
	awsPolicy("IAMReadOnlyAccess", "Reading, listing and simulating in IAM.", `"Action":["iam:Get*","iam:List*","iam:Simulate*"],"Resource":"*"`),
	awsPolicy("ReadOnlyAccess", "Reading and listing in every service.",
		`"Action":["cloudtrail:LookupEvents","eks:Describe*","eks:List*","iam:Get*","iam:List*","iam:Simulate*",`+
			`"lanyard:CanReach","lanyard:Check*","lanyard:Describe*","lanyard:List*","lanyard:WhoCan",`+
			`"s3:Describe*","s3:Get*","s3:List*","sts:GetAccessKeyInfo","sts:GetCallerIdentity"],"Resource":"*"`),
}

// awsPolicyTime is when they were all made.
var awsPolicyTime = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func awsPolicy(name, description, allowed string) *ManagedPolicy {
	doc, err := policy.Parse(policy.Identity, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",`+allowed+`}]}`)
	if err != nil {
		panic(err) // a broken constant
	}
	sum := sha256.Sum256([]byte(AWSPolicies + name)) // the same in every process
	return &ManagedPolicy{
		Account: aws, Path: "/", Name: name, ID: "ANPA" + idAlphabet.EncodeToString(sum[:])[:17], Description: description,
		Created: awsPolicyTime, Versions: []PolicyVersion{{1, doc, awsPolicyTime}}, Default: 1, Made: 1,
	}
}

// AWSManagedPolicies returns those of them that keep wants, by name, at most limit of them after the name `after`; a limit
// of 0 is none.
func (d *Directory) AWSManagedPolicies(after string, limit int, keep func(*ManagedPolicy) bool) (found []*ManagedPolicy) {
	for _, p := range awsPolicies {
		if limit > 0 && len(found) == limit {
			break
		}
		if p.Name > after && keep(p) {
			found = append(found, p)
		}
	}
	return found
}

// IsAWS reports whether it is one of the policies that are there in every account.
func (p *ManagedPolicy) IsAWS() bool { return p.Account == aws }

func awsPolicyByARN(name string) (*ManagedPolicy, error) {
	for _, p := range awsPolicies {
		if AWSPolicies+strings.TrimPrefix(p.Path, "/")+p.Name == name {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound,
		"Policy %.2048s does not exist or is not attachable. Of AWS's managed policies few are here: create a policy of the account with what it has to allow.", name)
}

func awsPolicyByID(id string) *ManagedPolicy {
	for _, p := range awsPolicies {
		if p.ID == id {
			return p
		}
	}
	return nil
}
