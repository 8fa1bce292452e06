package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// The role of the pods: it may do everything with buckets of its own name, but for one folder.
const (
	role         = "clients-pod"
	trustAccount = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},` +
		`"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
	trust = `{"Version":"2012-10-17","Statement":[{"Sid":"AllowEksAuthToAssumeRoleForPodIdentity","Effect":"Allow",` +
		`"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`
	permissions = `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"},` +
		`{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::pod-*","arn:aws:s3:::pod-*/*"]},` +
		`{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::pod-*/secret/*"}]}`
)

// prepare makes, as the administrator, the role of the pods and its association with each client's service account.
func (w *world) prepare(ctx context.Context) error {
	value := map[string]string{}
	for _, v := range w.administrator {
		name, text, _ := strings.Cut(v, "=")
		value[name] = text
	}
	by := aws.Config{
		Region: value["AWS_REGION"], BaseEndpoint: aws.String(w.endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(value["AWS_ACCESS_KEY_ID"], value["AWS_SECRET_ACCESS_KEY"], ""),
	}
	if _, err := iam.NewFromConfig(by).CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(role), AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
		return err
	}
	if _, err := iam.NewFromConfig(by).PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String(role), PolicyName: aws.String("buckets"), PolicyDocument: aws.String(permissions),
	}); err != nil {
		return err
	}
	for _, client := range clients {
		if _, err := eks.NewFromConfig(by).CreatePodIdentityAssociation(ctx, &eks.CreatePodIdentityAssociationInput{
			ClusterName: devCluster, Namespace: aws.String("default"), ServiceAccount: aws.String(client), RoleArn: aws.String(roleARN),
		}); err != nil {
			return err
		}
	}
	return w.makeOther(ctx)
}

// makeOther makes the other account as an administrator does, and takes its key from what is printed.
func (w *world) makeOther(ctx context.Context) error {
	out, err := w.asAdministrator(ctx, "lanyard", "account", "create", "other").Output()
	if err != nil {
		return fmt.Errorf("lanyard account create: %w", err)
	}
	words := strings.Fields(string(out))
	for i, word := range words {
		if word == "account" && i+1 < len(words) {
			w.other.account = words[i+1]
		}
		if id, ok := strings.CutPrefix(word, "AWS_ACCESS_KEY_ID="); ok {
			w.other.id = id
		}
		if secret, ok := strings.CutPrefix(word, "AWS_SECRET_ACCESS_KEY="); ok {
			w.other.secret = secret
		}
	}
	if w.other.account == "" || w.other.id == "" || w.other.secret == "" {
		return errors.New("lanyard account create did not print an account and its key")
	}
	return nil
}
