package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/policy"
)

const decisionRounds, decisions = 9, 100_000

// decision measures a policy of 5 statements and of 100 beside a scan by hand. The question is allowed by the pod's tags
// in the last group of statements, which neither side knows.
func (b *bench) decision(ctx context.Context) error {
	progress("policy decisions: %d rounds of %d", decisionRounds, decisions)
	for _, size := range []struct {
		groups int
		goal   float64
	}{{1, 0.3}, {20, 0.6}} {
		document, err := policy.Parse(policy.Identity, documentOf(size.groups))
		if err != nil {
			return err
		}
		docs, rules := []*policy.Document{document}, rulesOf(size.groups)
		q := question("s3:GetObject", "arn:aws:s3:::"+bucketOf(size.groups-1)+"/team-a/x/y.parquet")
		if policy.Evaluate(&q, docs).Effect != policy.Allow || !scan(rules, &q) {
			return errors.New("a decision that should allow does not")
		}
		var ours, floor []float64
		for range decisionRounds {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			took, err := self(func() {
				for range decisions {
					policy.Evaluate(&q, docs)
				}
			})
			if err != nil {
				return err
			}
			ours = append(ours, micros(took)/decisions)
			if took, err = self(func() {
				for range decisions {
					scan(rules, &q)
				}
			}); err != nil {
				return err
			}
			floor = append(floor, micros(took)/decisions)
		}
		r := atMost(size.goal, row{
			what: fmt.Sprintf("policy: a decision by %d statements", 5*size.groups), ours: median(ours), floor: median(floor),
			than: "a scan by hand that knows these statements only", unit: "µs", how: times(decisionRounds, decisions),
		})
		allocations := testing.AllocsPerRun(1000, func() { policy.Evaluate(&q, docs) })
		r.what += fmt.Sprintf(" (%g allocations)", allocations)
		r.met = r.met && allocations == 0
		b.rows = append(b.rows, r)
	}
	return nil
}

func question(action, resource string) policy.Question {
	return policy.Question{Action: action, Resource: resource, Context: podTags()}
}

func bucketOf(group int) string { return fmt.Sprintf("data-bucket-%d", group) }

// documentOf has five statements for each of so many buckets: four that allow, of which three ask the pod's tags, and one
// that denies.
func documentOf(groups int) string {
	all := make([]string, groups)
	for i := range all {
		all[i] = strings.ReplaceAll(`
		{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::BUCKET"},
		{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::BUCKET/${aws:PrincipalTag/kubernetes-namespace}/*"},
		{"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectTagging"], "Resource": "arn:aws:s3:::BUCKET/team-*/*",
		 "Condition": {"StringEquals": {"aws:PrincipalTag/kubernetes-namespace": "pay", "aws:PrincipalTag/eks-cluster-name": ["dev", "prod"]}}},
		{"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::BUCKET/*",
		 "Condition": {"StringEquals": {"aws:PrincipalTag/kubernetes-service-account": "janitor"}}},
		{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET/secret/*"}`, "BUCKET", bucketOf(i))
	}
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(all, ",") + `]}`
}

// podTags is the context of a pod's request.
func podTags() policy.Context {
	return policy.Context{
		{Key: "aws:PrincipalArn", Values: []string{roleARN}},
		{Key: "aws:PrincipalAccount", Values: []string{account}},
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

// rule is a statement as far as documentOf goes: no wildcards but those, no other operators.
type rule struct {
	deny           bool
	action, also   string
	prefix, middle string // the resource begins with prefix and has middle after it
	exact          bool
	tag, value     string
}

func rulesOf(groups int) []rule {
	var all []rule
	for i := range groups {
		b := "arn:aws:s3:::" + bucketOf(i)
		all = append(all,
			rule{action: "s3:ListBucket", also: "s3:GetBucketLocation", prefix: b, exact: true},
			rule{action: "s3:PutObject", prefix: b + "/pay/"},
			rule{action: "s3:GetObject", also: "s3:GetObjectTagging", prefix: b + "/team-", middle: "/", tag: "aws:PrincipalTag/kubernetes-namespace", value: "pay"},
			rule{action: "s3:DeleteObject", prefix: b + "/", tag: "aws:PrincipalTag/kubernetes-service-account", value: "janitor"},
			rule{deny: true, prefix: b + "/secret/"})
	}
	return all
}

func scan(rules []rule, q *policy.Question) (allowed bool) {
	for i := range rules {
		r := &rules[i]
		switch {
		case r.action != "" && r.action != q.Action && r.also != q.Action,
			r.exact && r.prefix != q.Resource,
			!strings.HasPrefix(q.Resource, r.prefix),
			!strings.Contains(q.Resource[len(r.prefix):], r.middle),
			r.tag != "" && !has(q.Context, r.tag, r.value):
		case r.deny:
			return false
		default:
			allowed = true
		}
	}
	return allowed
}

func has(context policy.Context, key, value string) bool {
	for i := range context {
		if context[i].Key == key {
			return context[i].Values[0] == value
		}
	}
	return false
}
