package clients

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/awssts"
)

// TestMoto asks an STS that others wrote (https://docs.getmoto.org) for what Lanyard asks AWS for: one role and two, with all
// that goes with them. It checks no trust policy: what is shown is that question and answer
// have AWS's forms.
func TestMoto(t *testing.T) {
	t.Parallel()
	log := &lines{}
	moto := exec.Command("moto_server", "-H", "127.0.0.1", "-p", "0")
	moto.Dir, moto.Env = here.folder, here.environment("AWS_DEFAULT_REGION=eu-central-1")
	moto.Stdout, moto.Stderr = log, log
	if err := moto.Start(); err != nil {
		t.Fatalf("no moto_server: run test/setup, or `make clients`, which does: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- moto.Wait() }()
	t.Cleanup(func() {
		if err := moto.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err == nil {
			t.Error("moto_server had ended by itself")
		}
	})
	at := awssts.Place{Region: "eu-central-1", Endpoint: motoAddress(t, log, ended)}
	s := awssts.New(awssts.Config{Load: func(context.Context) (aws.Config, error) {
		return aws.Config{Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", "")}, nil
	}})
	who, err := s.Caller(t.Context(), at)
	if err != nil || !strings.HasPrefix(who.ARN, "arn:aws:sts::") {
		t.Fatal(who, err)
	}
	first := awssts.Assumption{
		Role: arn.Role("111122223333", "/team/", "app"), SessionName: "eks-prod-app-1", ExternalID: "lanyard-x/eu-central-1/111122223333/prod/shop/app",
		Longest: 6 * time.Hour, Tags: []awssts.Tag{{Key: "eks-cluster-name", Value: "prod"}, {Key: "kubernetes-namespace", Value: "shop"}},
	}
	made, err := s.Assume(t.Context(), at, nil, first)
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(made.Expires); life < 5*time.Hour+59*time.Minute || life > 6*time.Hour {
		t.Errorf("the session lives for %s, want 6 h", life)
	}
	second := awssts.Assumption{
		Role: arn.Role("444455556666", "/", "target"), SessionName: "eks-prod-app-1", ExternalID: "eu-central-1/111122223333/prod/shop/app",
		Longest: 6 * time.Hour, Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`,
	}
	onward, err := s.Assume(t.Context(), at, made, second)
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(onward.Expires); life > time.Hour || onward.AccessKeyID == made.AccessKeyID {
		t.Errorf("the second session lives for %s, want an hour and keys of its own", life)
	}
	session := awssts.New(awssts.Config{Load: func(context.Context) (aws.Config, error) {
		return aws.Config{Credentials: credentials.NewStaticCredentialsProvider(onward.AccessKeyID, onward.SecretAccessKey, onward.SessionToken)}, nil
	}})
	if who, err := session.Caller(t.Context(), at); err != nil || who.ARN != "arn:aws:sts::444455556666:assumed-role/target/eks-prod-app-1" {
		t.Errorf("the pod is %v, %v", who, err)
	}
}

var motoServes = regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)

// motoAddress waits until moto says where it listens.
func motoAddress(t *testing.T, log *lines, ended chan error) string {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if m := motoServes.FindStringSubmatch(log.String()); m != nil {
			return m[1]
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("moto ended: %v\n%s", err, log)
		case <-t.Context().Done():
			t.Fatalf("moto does not say where it listens: %s", log)
		case <-again.C:
		}
	}
}
