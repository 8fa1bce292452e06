package clients

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eksauth"
	authtypes "github.com/aws/aws-sdk-go-v2/service/eksauth/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

var goSigning = []goCase{
	{"GetCallerIdentity as administrator", func(c *goClient) {
		got, err := sts.NewFromConfig(c.aws).GetCallerIdentity(c, nil)
		if c.good("GetCallerIdentity", err) {
			c.equal("arn", aws.ToString(got.Arn), "arn:aws:iam::111122223333:user/administrator")
		}
	}},
	{"any region", func(c *goClient) {
		c.aws.Region = "eu-west-1"
		_, err := c.s3().ListBuckets(c, nil)
		c.good("ListBuckets", err)
		_, err = c.iam().GetUser(c, nil)
		c.good("GetUser", err)
		_, err = c.eks().ListClusters(c, nil)
		c.good("ListClusters", err)
	}},
	{"wrong secret", func(c *goClient) {
		c.aws.Credentials = credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), "wrong", "")
		c.refusedEverywhere("SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException")
		_, err := sts.NewFromConfig(c.aws).GetCallerIdentity(c, nil)
		c.refused("GetCallerIdentity", err, "SignatureDoesNotMatch", "")
	}},
	{"unknown access key", func(c *goClient) {
		c.aws.Credentials = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wrong", "")
		c.refusedEverywhere("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException")
	}},
	{"skewed clock", func(c *goClient) {
		_, err := s3.NewFromConfig(c.aws, func(o *s3.Options) { o.HTTPSignerV4 = ahead{v4.NewSigner()} }).ListBuckets(c, nil)
		c.refused("ListBuckets", err, "RequestTimeTooSkewed", "")
		_, err = iam.NewFromConfig(c.aws, func(o *iam.Options) { o.HTTPSignerV4 = ahead{v4.NewSigner()} }).GetUser(c, nil)
		c.refused("GetUser", err, "SignatureDoesNotMatch", "")
		_, err = eks.NewFromConfig(c.aws, func(o *eks.Options) { o.HTTPSignerV4 = ahead{v4.NewSigner()} }).ListClusters(c, nil)
		c.refused("ListClusters", err, "InvalidSignatureException", "")
	}},
	{"unsigned", func(c *goClient) {
		c.aws.Credentials = aws.AnonymousCredentials{}
		_, err := c.s3().ListBuckets(c, nil)
		c.refused("ListBuckets", err, "AccessDenied", "not signed")
	}},
	{"presigned URL", func(c *goClient) {
		made, err := s3.NewPresignClient(c.s3()).PresignGetObject(c, &s3.GetObjectInput{Bucket: aws.String("infra-lower-c65432gh"), Key: smallKey})
		if !c.good("PresignGetObject", err) {
			return
		}
		request, err := http.NewRequestWithContext(c, http.MethodGet, made.URL, nil)
		if !c.good("request", err) {
			return
		}
		got, err := http.DefaultClient.Do(request)
		if !c.good("GET", err) {
			return
		}
		c.equal("status", got.StatusCode, http.StatusNotFound)
		c.contains("answer", c.read(got.Body), "<Code>NoSuchKey</Code>")
		request.URL.Path += "x" // what was not signed
		if got, err = http.DefaultClient.Do(request); c.good("GET of another key", err) {
			c.contains("answer", c.read(got.Body), "<Code>SignatureDoesNotMatch</Code>")
		}
	}},
	{"AssumeRoleForPodIdentity as administrator", func(c *goClient) {
		_, err := eksauth.NewFromConfig(c.aws).AssumeRoleForPodIdentity(c, &eksauth.AssumeRoleForPodIdentityInput{ClusterName: devCluster, Token: podToken()})
		typed[*authtypes.AccessDeniedException](c, "AssumeRoleForPodIdentity", err)
		c.refused("AssumeRoleForPodIdentity", err, "AccessDeniedException", "Node binding")
	}},
}

// refusedEverywhere calls S3, IAM and EKS, each of which has its own codes.
func (c *goClient) refusedEverywhere(s3Code, iamCode, eksCode string) {
	_, err := c.s3().ListBuckets(c, nil)
	c.refused("ListBuckets", err, s3Code, "")
	_, err = c.iam().GetUser(c, nil)
	c.refused("GetUser", err, iamCode, "")
	_, err = c.eks().ListClusters(c, nil)
	c.refused("ListClusters", err, eksCode, "")
}

// ahead signs as a machine whose clock is an hour ahead, and which never learns.
type ahead struct{ *v4.Signer }

// SignHTTP signs with the hour added.
func (a ahead) SignHTTP(ctx context.Context, by aws.Credentials, r *http.Request, hash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error {
	return a.Signer.SignHTTP(ctx, by, r, hash, service, region, at.Add(time.Hour), options...)
}

var goAgent = []goCase{
	{"AssumeRoleWithWebIdentity by the default chain", func(c *goClient) {
		found, err := c.aws.Credentials.Retrieve(c)
		if c.good("credentials", err) {
			c.equal("source", found.Source, stscreds.WebIdentityProviderName)
		}
		got, err := sts.NewFromConfig(c.aws).GetCallerIdentity(c, nil)
		if c.good("GetCallerIdentity", err) {
			c.contains("arn", aws.ToString(got.Arn), ":assumed-role/lanyard-agent-")
		}
	}},
	{"AssumeRoleWithWebIdentity, refused", func(c *goClient) {
		in := &sts.AssumeRoleWithWebIdentityInput{
			RoleArn: aws.String(os.Getenv("AWS_ROLE_ARN")), RoleSessionName: aws.String(golang), WebIdentityToken: podToken(),
		}
		_, err := sts.NewFromConfig(c.aws).AssumeRoleWithWebIdentity(c, in)
		typed[*ststypes.InvalidIdentityTokenException](c, "a pod's token", err)
		in.WebIdentityToken = aws.String("x.y.z")
		_, err = sts.NewFromConfig(c.aws).AssumeRoleWithWebIdentity(c, in)
		typed[*ststypes.InvalidIdentityTokenException](c, "no token", err)
	}},
	{"AssumeRoleForPodIdentity as the agent", func(c *goClient) {
		auth := eksauth.NewFromConfig(c.aws)
		got, err := auth.AssumeRoleForPodIdentity(c, &eksauth.AssumeRoleForPodIdentityInput{ClusterName: devCluster, Token: podToken()})
		if c.good("AssumeRoleForPodIdentity", err) {
			c.equal("subject", *got.Subject.Namespace+"/"+*got.Subject.ServiceAccount, "default/"+golang)
			c.equal("audience", *got.Audience, "pods.eks.amazonaws.com")
			by := got.Credentials
			c.aws.Credentials = credentials.NewStaticCredentialsProvider(*by.AccessKeyId, *by.SecretAccessKey, *by.SessionToken)
			who, err := sts.NewFromConfig(c.aws).GetCallerIdentity(c, nil)
			if c.good("GetCallerIdentity", err) {
				c.equal("arn", *who.Arn, *got.AssumedRoleUser.Arn)
			}
		}
		_, err = auth.AssumeRoleForPodIdentity(c, &eksauth.AssumeRoleForPodIdentityInput{ClusterName: devCluster, Token: aws.String("x.y.z")})
		typed[*authtypes.InvalidTokenException](c, "no token", err)
		_, err = auth.AssumeRoleForPodIdentity(c, &eksauth.AssumeRoleForPodIdentityInput{ClusterName: absentCluster, Token: podToken()})
		typed[*authtypes.AccessDeniedException](c, "another cluster", err)
	}},
}
