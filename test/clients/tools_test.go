package clients

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

// toolbox has the clients that administrators' tools are made of. Each tool_*_test.go replays the calls that one of them
// makes, in its order, against the server's process; the tools themselves come from no package client.
type toolbox struct {
	*testing.T
	eks *eks.Client
	iam *iam.Client
	sts *sts.Client
}

const toolAccount = "arn:aws:iam::111122223333"

func newToolbox(t *testing.T) toolbox {
	t.Helper()
	value := map[string]string{}
	for _, v := range here.administrator {
		name, text, _ := strings.Cut(v, "=")
		value[name] = text
	}
	by := aws.Config{
		Region: value["AWS_REGION"], BaseEndpoint: aws.String(here.endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(value["AWS_ACCESS_KEY_ID"], value["AWS_SECRET_ACCESS_KEY"], ""),
	}
	return toolbox{t, eks.NewFromConfig(by), iam.NewFromConfig(by), sts.NewFromConfig(by)}
}

// must ends the sequence where a call of it fails.
func must[T any](out T, err error) func(t toolbox) T {
	return func(t toolbox) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// gone wants the service's own type of error.
func gone[E error](t toolbox, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		var want E
		t.Errorf("%s: %v, want a %T", what, err, want)
	}
}

func (t toolbox) same(what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// document is a policy document of an answer, decoded as the tools decode it: once, and then by its content.
func (t toolbox) document(text *string) any {
	t.Helper()
	plain, err := url.QueryUnescape(aws.ToString(text))
	if err != nil {
		t.Fatal(err)
	}
	return t.content(plain)
}

func (t toolbox) content(text string) any {
	t.Helper()
	var content any
	if err := json.Unmarshal([]byte(text), &content); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return content
}

func iamTags(tags map[string]string) (out []iamtypes.Tag) {
	for k, v := range tags {
		out = append(out, iamtypes.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return out
}

func fromIAM(tags []iamtypes.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// roleNamed makes a role that pods may be given, and deletes it at the end.
func (t toolbox) roleNamed(name string) (arn string) {
	t.Helper()
	made := must(t.iam.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust)}))(t)
	return *made.Role.Arn
}

// associationOf is the association of a service account, by the list that has one or none.
func (t toolbox) associationOf(namespace, serviceAccount string) *ekstypes.PodIdentityAssociation {
	t.Helper()
	found := must(t.eks.ListPodIdentityAssociations(t.Context(), &eks.ListPodIdentityAssociationsInput{
		ClusterName: devCluster, Namespace: &namespace, ServiceAccount: &serviceAccount,
	}))(t)
	switch len(found.Associations) {
	case 0:
		return nil
	case 1:
		return must(t.eks.DescribePodIdentityAssociation(t.Context(), &eks.DescribePodIdentityAssociationInput{
			ClusterName: devCluster, AssociationId: found.Associations[0].AssociationId,
		}))(t).Association
	}
	t.Fatalf("%s/%s has %d associations", namespace, serviceAccount, len(found.Associations))
	return nil
}
