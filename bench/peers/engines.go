package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	minio "github.com/minio/pkg/v3/policy"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/openlanyard/lanyard/policy"
)

// engine is one that decides: it compiles its documents of so many groups of five statements, and answers.
type engine struct {
	name    string
	group   string // BUCKET stands for the group's bucket
	whole   string // GROUPS stands for all groups
	join    string
	compile func(document string) (ready, error)
}

// ready makes the question for a key of a bucket beforehand.
type ready func(bucket, key string) (ask func() bool, err error)

func (e *engine) document(groups int) string {
	all := make([]string, groups)
	for i := range all {
		all[i] = strings.ReplaceAll(e.group, "BUCKET", bucketOf(i))
	}
	return strings.Replace(e.whole, "GROUPS", strings.Join(all, e.join), 1)
}

func bucketOf(group int) string { return fmt.Sprintf("data-bucket-%d", group) }

var engines = []engine{
	{
		name: "Lanyard", join: ",", whole: `{"Version": "2012-10-17", "Statement": [GROUPS]}`, compile: compileLanyard,
		group: `
		{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::BUCKET"},
		{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::BUCKET/${aws:PrincipalTag/kubernetes-namespace}/*"},
		{"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectTagging"], "Resource": "arn:aws:s3:::BUCKET/team-*/*",
		 "Condition": {"StringEquals": {"aws:PrincipalTag/kubernetes-namespace": "pay", "aws:PrincipalTag/eks-cluster-name": ["dev", "prod"]}}},
		{"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::BUCKET/*",
		 "Condition": {"StringEquals": {"aws:PrincipalTag/kubernetes-service-account": "janitor"}}},
		{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET/secret/*"}`,
	},
	{
		name: "MinIO", join: ",", whole: `{"Version": "2012-10-17", "Statement": [GROUPS]}`, compile: compileMinIO,
		group: `
		{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::BUCKET"},
		{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::BUCKET/${aws:username}/*"},
		{"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectTagging"], "Resource": "arn:aws:s3:::BUCKET/team-*/*",
		 "Condition": {"StringEquals": {"aws:username": ["pay", "ship"]}}},
		{"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::BUCKET/*",
		 "Condition": {"StringEquals": {"aws:username": "janitor"}}},
		{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET/secret/*"}`,
	},
	{
		name: "Cedar", join: "\n", whole: "GROUPS", compile: compileCedar,
		group: `
		permit (principal, action in [Action::"s3:ListBucket", Action::"s3:GetBucketLocation"], resource)
			when { context.arn == "arn:aws:s3:::BUCKET" };
		permit (principal, action == Action::"s3:PutObject", resource) when { context.arn like "arn:aws:s3:::BUCKET/pay/*" };
		permit (principal, action in [Action::"s3:GetObject", Action::"s3:GetObjectTagging"], resource)
			when { context.arn like "arn:aws:s3:::BUCKET/team-*/*" && context.namespace == "pay" && ["dev", "prod"].contains(context.cluster) };
		permit (principal, action == Action::"s3:DeleteObject", resource)
			when { context.arn like "arn:aws:s3:::BUCKET/*" && context.account == "janitor" };
		forbid (principal, action, resource) when { context.arn like "arn:aws:s3:::BUCKET/secret/*" };`,
	},
	{
		name: "OPA", join: "\n", compile: compileOPA,
		whole: "package bench\n\ndefault allow := false\n\nallow if {\n\tgranted\n\tnot denied\n}\nGROUPS\n",
		group: `
granted if {
	input.action in {"s3:ListBucket", "s3:GetBucketLocation"}
	input.arn == "arn:aws:s3:::BUCKET"
}

granted if {
	input.action == "s3:PutObject"
	startswith(input.arn, sprintf("arn:aws:s3:::BUCKET/%s/", [input.namespace]))
}

granted if {
	input.action in {"s3:GetObject", "s3:GetObjectTagging"}
	startswith(input.arn, "arn:aws:s3:::BUCKET/team-")
	input.namespace == "pay"
	input.cluster in {"dev", "prod"}
}

granted if {
	input.action == "s3:DeleteObject"
	startswith(input.arn, "arn:aws:s3:::BUCKET/")
	input.account == "janitor"
}

denied if startswith(input.arn, "arn:aws:s3:::BUCKET/secret/")`,
	},
}

func compileLanyard(document string) (ready, error) {
	doc, err := policy.Parse(policy.Identity, document)
	if err != nil {
		return nil, err
	}
	docs := []*policy.Document{doc}
	return func(bucket, key string) (func() bool, error) {
		q := &policy.Question{Action: "s3:GetObject", Resource: "arn:aws:s3:::" + bucket + "/" + key, Context: policy.Context{
			{Key: "aws:PrincipalTag/eks-cluster-name", Values: []string{"dev"}},
			{Key: "aws:PrincipalTag/kubernetes-namespace", Values: []string{"pay"}},
			{Key: "aws:PrincipalTag/kubernetes-service-account", Values: []string{"api"}},
		}}
		return func() bool { return policy.Evaluate(q, docs).Effect == policy.Allow }, nil
	}, nil
}

func compileMinIO(document string) (ready, error) {
	p, err := minio.ParseConfig(strings.NewReader(document))
	if err != nil {
		return nil, err
	}
	return func(bucket, key string) (func() bool, error) {
		args := minio.Args{
			AccountName: "pay", Action: "s3:GetObject", BucketName: bucket, ObjectName: key,
			ConditionValues: map[string][]string{"username": {"pay"}},
		}
		return func() bool { return p.IsAllowed(args) }, nil
	}, nil
}

func compileCedar(document string) (ready, error) {
	set, err := cedar.NewPolicySetFromBytes("bench.cedar", []byte(document))
	if err != nil {
		return nil, err
	}
	return func(bucket, key string) (func() bool, error) {
		entities := cedar.EntityMap{}
		request := cedar.Request{
			Principal: cedar.NewEntityUID("Role", "pay"), Action: cedar.NewEntityUID("Action", "s3:GetObject"), Resource: cedar.NewEntityUID("Object", "x"),
			Context: cedar.NewRecord(cedar.RecordMap{
				"arn": cedar.String("arn:aws:s3:::" + bucket + "/" + key), "namespace": cedar.String("pay"),
				"cluster": cedar.String("dev"), "account": cedar.String("api"),
			}),
		}
		return func() bool {
			decision, _ := cedar.Authorize(set, entities, request)
			return decision == cedar.Allow
		}, nil
	}, nil
}

func compileOPA(document string) (ready, error) {
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.bench.allow"), rego.Module("bench.rego", document)).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	return func(bucket, key string) (func() bool, error) {
		input, err := ast.InterfaceToValue(map[string]any{
			"action": "s3:GetObject", "arn": "arn:aws:s3:::" + bucket + "/" + key, "namespace": "pay", "cluster": "dev", "account": "api",
		})
		if err != nil {
			return nil, err
		}
		if _, err := query.Eval(ctx, rego.EvalParsedInput(input)); err != nil {
			return nil, errors.Join(errors.New("asking OPA"), err)
		}
		return func() bool {
			set, err := query.Eval(ctx, rego.EvalParsedInput(input))
			return err == nil && set.Allowed()
		}, nil
	}, nil
}
