package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/policy"
)

// fiveStatements are the policy of one bucket: four that allow, two of them by the pod's tags, and one that denies.
func fiveStatements(bucket string) string {
	return strings.ReplaceAll(`
	{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::BUCKET"},
	{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::BUCKET/${aws:PrincipalTag/kubernetes-namespace}/*"},
	{"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectTagging"], "Resource": "arn:aws:s3:::BUCKET/team-*/*",
	 "Condition": {"StringEquals": {"aws:PrincipalTag/kubernetes-namespace": "pay", "aws:PrincipalTag/eks-cluster-name": ["dev", "prod"]}}},
	{"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::BUCKET/*",
	 "Condition": {"StringEquals": {"s3:ExistingObjectTag/owner": "${aws:PrincipalTag/kubernetes-service-account}"}}},
	{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET/secret/*"}`, "BUCKET", bucket)
}

func documentOf(groups int) string {
	all := make([]string, groups)
	for i := range all {
		all[i] = fiveStatements(fmt.Sprintf("data-bucket-%d", i))
	}
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(all, ",") + `]}`
}

// tags is the context of a pod's request: the six session tags and what every request has.
func tags() policy.Context {
	return policy.Context{
		{Key: "aws:PrincipalArn", Values: []string{"arn:aws:iam::111122223333:role/pay-api"}},
		{Key: "aws:PrincipalAccount", Values: []string{"111122223333"}},
		{Key: "aws:PrincipalTag/eks-cluster-arn", Values: []string{"arn:aws:eks:us-east-1:111122223333:cluster/dev"}},
		{Key: "aws:PrincipalTag/eks-cluster-name", Values: []string{"dev"}},
		{Key: "aws:PrincipalTag/kubernetes-namespace", Values: []string{"pay"}},
		{Key: "aws:PrincipalTag/kubernetes-service-account", Values: []string{"api"}},
		{Key: "aws:PrincipalTag/kubernetes-pod-name", Values: []string{"api-5d9c7b6f4-x2x2x"}},
		{Key: "aws:PrincipalTag/kubernetes-pod-uid", Values: []string{"1b671a64-40d5-491e-99b0-da01ff1f3341"}},
		{Key: "aws:SecureTransport", Values: []string{"true"}},
		{Key: "aws:SourceIp", Values: []string{"10.0.0.1"}},
	}
}

func benchmarkEvaluate(b *testing.B, groups int) {
	docs := []*policy.Document{mustParse(b, policy.Identity, documentOf(groups))}
	bucket := fmt.Sprintf("arn:aws:s3:::data-bucket-%d/", groups-1)
	for _, bb := range []struct {
		name, action, key string
		want              policy.Effect
	}{
		{"allowed by tags", "s3:GetObject", "team-a/x/y.parquet", policy.Allow},
		{"allowed by a variable", "s3:PutObject", "pay/x/y.parquet", policy.Allow},
		{"not allowed", "s3:PutObject", "web/x/y.parquet", policy.ImplicitDeny},
		{"denied", "s3:GetObject", "secret/x", policy.Deny},
	} {
		b.Run(bb.name, func(b *testing.B) {
			q := policy.Question{Action: bb.action, Resource: bucket + bb.key, Context: tags()}
			b.ReportAllocs()
			for b.Loop() {
				if got := policy.Evaluate(&q, docs); got.Effect != bb.want {
					b.Fatalf("%s on %s = %v, want %v", bb.action, bb.key, got.Effect, bb.want)
				}
			}
		})
	}
}

func BenchmarkEvaluate5(b *testing.B)   { benchmarkEvaluate(b, 1) }
func BenchmarkEvaluate100(b *testing.B) { benchmarkEvaluate(b, 20) }

func BenchmarkParse(b *testing.B) {
	for _, groups := range []int{1, 20} {
		text := documentOf(groups)
		b.Run(fmt.Sprint(5*groups), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				mustParse(b, policy.Identity, text)
			}
		})
	}
}

// TestEvaluateAllocatesNothing also holds that a question built on the caller's stack stays there.
func TestEvaluateAllocatesNothing(t *testing.T) {
	for _, groups := range []int{1, 20} {
		docs := []*policy.Document{mustParse(t, policy.Identity, documentOf(groups))}
		layers := policy.Layers{Identity: docs, Session: docs}
		namespace, account := []string{"pay"}, []string{"111122223333"}
		got := testing.AllocsPerRun(100, func() {
			q := policy.Question{
				Action: "S3:PutObject", Resource: "arn:aws:s3:::data-bucket-0/pay/x",
				Context: policy.Context{
					{Key: "aws:PrincipalAccount", Values: account},
					{Key: "aws:PrincipalTag/kubernetes-namespace", Values: namespace},
				},
			}
			if layers.Evaluate(&q).Effect != policy.Allow || policy.Evaluate(&q, docs).Effect != policy.Allow {
				t.Fatal("not allowed")
			}
		})
		if got != 0 {
			t.Errorf("%d statements: %v allocations a decision, want 0", 5*groups, got)
		}
	}
}

// TestTypedConditionsAllocateNothing holds the same for numbers, times and addresses.
func TestTypedConditionsAllocateNothing(t *testing.T) {
	docs := []*policy.Document{mustParse(t, policy.Identity, `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {
		"NumericLessThan": {"s3:max-keys": "100"}, "DateLessThan": {"aws:CurrentTime": "2026-12-01T00:00:00+01:00"},
		"DateGreaterThan": {"aws:EpochTime": 1700000000}, "IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}}}}`)}
	keys, address, now := []string{"99.5"}, []string{"2001:db8::7"}, time.Date(2026, 11, 25, 18, 48, 36, 0, time.UTC)
	got := testing.AllocsPerRun(100, func() {
		clock := policy.Clock(now)
		q := policy.Question{Action: "s3:ListBucket", Resource: "arn:aws:s3:::b", Context: policy.Context{
			{Key: "s3:max-keys", Values: keys}, {Key: "aws:SourceIp", Values: address}, clock[0], clock[1],
		}}
		if policy.Evaluate(&q, docs).Effect != policy.Allow {
			t.Fatal("not allowed")
		}
	})
	if got != 0 {
		t.Errorf("%v allocations a decision, want 0", got)
	}
}
