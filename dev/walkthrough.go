package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/registry"
)

// Call makes one signed call to the public wire. An in of type url.Values goes as a form, anything else as JSON; out may be
// nil. An error that the service answered is an *Answer.
type Call func(ctx context.Context, service, method, path string, in, out any) error

// Answer is an error as a service gave it.
type Answer struct {
	Status        int
	Code, Message string
}

// Error gives the code and the message.
func (a *Answer) Error() string { return a.Code + ": " + a.Message }

// tolerate turns an answer with one of the codes into success: what was asked for is so already.
func tolerate(err error, codes ...string) error {
	var answer *Answer
	if errors.As(err, &answer) && slices.Contains(codes, answer.Code) {
		return nil
	}
	return err
}

// PracticeRole is the connectorConfig.roleArn's name by which a practice cluster is known: it has no connector.
const PracticeRole = "practice"

// JoinPractice registers and activates a practice cluster over the wire: the call that registers answers the pair that
// signs the call that activates; as makes a caller of that pair. It may be called again after it was cut short.
func JoinPractice(ctx context.Context, administrator Call, as func(id, secret string) Call, p *Practice) error {
	var registered struct {
		Cluster struct {
			ID, Status      string
			ConnectorConfig struct{ ActivationID, ActivationCode string }
		}
	}
	err := administrator(ctx, "eks", http.MethodPost, "/cluster-registrations", map[string]any{
		"name":               p.Name,
		"connectorConfig":    map[string]any{"provider": "OTHER", "roleArn": arn.Role(p.Account, "/", PracticeRole).String()},
		"clientRequestToken": p.id,
	}, &registered)
	if err != nil {
		return fmt.Errorf("registering cluster %s: %w", p.Name, err)
	}
	cluster := registered.Cluster
	p.AgentRole = arn.Role(p.Account, "/", (&registry.Cluster{ID: cluster.ID}).AgentRole()).String()
	if cluster.Status == string(registry.Active) {
		return nil
	}
	keys, err := p.JWKS()
	if err != nil {
		return err
	}
	pair := cluster.ConnectorConfig
	err = as(pair.ActivationID, pair.ActivationCode)(ctx, "lanyard", http.MethodPost, "/lanyard/v1/activations", map[string]any{
		"issuers": []string{p.Issuer}, "jwks": keys, "practice": true,
	}, nil)
	if err != nil {
		return fmt.Errorf("activating cluster %s: %w", p.Name, err)
	}
	return nil
}

// The walk-through's names.
const (
	walkNamespace      = "default"
	walkServiceAccount = "ec2-restart-sa"
	walkRole           = "ec2-restart-role"
)

var walkBuckets = []string{"infra-lower-c65432gh", "eks-charts-manifest-67565rr"}

const (
	walkTrust = `{"Version":"2012-10-17","Statement":[{"Sid":"AllowEksAuthToAssumeRoleForPodIdentity","Effect":"Allow",` +
		`"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	walkPolicy = `{"Version":"2012-10-17","Statement":[{"Sid":"ListBuckets","Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}`
)

// Prepare does what an administrator does before the walk-through: two buckets, a role that may list them, and the
// association of a service account with it. What is there already is left alone.
func Prepare(ctx context.Context, administrator Call) error {
	for _, bucket := range walkBuckets {
		err := administrator(ctx, "s3", http.MethodPut, "/"+bucket, nil, nil)
		if err := tolerate(err, "BucketAlreadyOwnedByYou", "BucketAlreadyExists"); err != nil {
			return fmt.Errorf("making bucket %s: %w", bucket, err)
		}
	}
	for _, form := range []url.Values{
		{"Action": {"CreateRole"}, "RoleName": {walkRole}, "AssumeRolePolicyDocument": {walkTrust}},
		{"Action": {"PutRolePolicy"}, "RoleName": {walkRole}, "PolicyName": {"list-buckets"}, "PolicyDocument": {walkPolicy}},
	} {
		form.Set("Version", "2010-05-08")
		err := administrator(ctx, "iam", http.MethodPost, "/", form, nil)
		if err := tolerate(err, "EntityAlreadyExists"); err != nil {
			return fmt.Errorf("calling %s: %w", form.Get("Action"), err)
		}
	}
	err := administrator(ctx, "eks", http.MethodPost, "/clusters/"+First+"/pod-identity-associations", map[string]any{
		"namespace": walkNamespace, "serviceAccount": walkServiceAccount, "roleArn": arn.Role(Account, "/", walkRole).String(),
	}, nil)
	if err := tolerate(err, "ResourceInUseException"); err != nil {
		return fmt.Errorf("associating %s/%s: %w", walkNamespace, walkServiceAccount, err)
	}
	return nil
}

// Walk does the walk-through as a pod would, by the AWS SDK for Go, and tells it on w: a token, the agent, credentials, a
// signed request; then the same under a service account that has no association.
func Walk(ctx context.Context, dir Dir, w io.Writer) error {
	buckets, err := listBuckets(ctx, dir, walkServiceAccount)
	if err != nil {
		return fmt.Errorf("listing buckets as a pod: %w", err)
	}
	var told strings.Builder
	fmt.Fprintf(&told, "\nas a pod of service account %s/%s:\n", walkNamespace, walkServiceAccount)
	for _, b := range buckets {
		fmt.Fprintf(&told, "  %s %s\n", aws.ToTime(b.CreationDate).Format(time.DateTime), aws.ToString(b.Name))
	}
	if _, err = listBuckets(ctx, dir, "another-sa"); err == nil {
		return errors.New("a service account without an association got credentials")
	}
	var refused interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if !errors.As(err, &refused) {
		return fmt.Errorf("listing buckets as a pod without an association: %w", err)
	}
	fmt.Fprintf(&told, "\nas a pod of service account %s/%s:\n  refused: %s: %s\n",
		walkNamespace, "another-sa", refused.ErrorCode(), refused.ErrorMessage())
	_, err = io.WriteString(w, told.String())
	return err
}

type bucket struct {
	Name         *string
	CreationDate *time.Time
}

// listBuckets is `aws s3 ls` by the SDK's provider of container credentials, which every pod's default chain ends in.
func listBuckets(ctx context.Context, dir Dir, serviceAccount string) ([]bucket, error) {
	at, err := dir.Addresses()
	if err != nil {
		return nil, err
	}
	cluster, err := dir.Practice(First)
	if err != nil {
		return nil, err
	}
	token, err := cluster.Token(Pod{Namespace: walkNamespace, ServiceAccount: serviceAccount, Name: "eks-pod-id-check"}, registry.PodAudience, tokenLife)
	if err != nil {
		return nil, err
	}
	client := s3.New(s3.Options{
		Region: Region, BaseEndpoint: aws.String(at.Endpoint), UsePathStyle: true,
		HTTPClient:  &http.Client{Transport: &http.Transport{}}, // no proxy
		Credentials: endpointcreds.New(credentialsURI(at.Agent, First), func(o *endpointcreds.Options) { o.AuthorizationToken = token }),
	})
	out, err := client.ListBuckets(ctx, nil)
	if err != nil {
		return nil, err
	}
	var buckets []bucket
	for _, b := range out.Buckets {
		buckets = append(buckets, bucket{b.Name, b.CreationDate})
	}
	return buckets, nil
}
