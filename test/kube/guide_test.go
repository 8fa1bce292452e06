package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// demo is the guide's own pod: nothing in it is about Lanyard.
const demo = `apiVersion: v1
kind: Pod
metadata:
  name: eks-pod-id-check
  namespace: default
  labels:
    pod-check: eks-pod-id-check
spec:
  serviceAccountName: ec2-restart-sa
  containers:
  - name: eks-pod-id-check
    image: %s
    command: [aws, s3, ls]
  dnsPolicy: ClusterFirst
  restartPolicy: Always
`

// TestGuide does the guide's four steps with its own commands, in a cluster that has joined by one command.
func TestGuide(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	for name, text := range map[string]string{
		"trust-policy.json": trustPods,
		"s3-policy.json":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}`,
		"demo.yaml":         fmt.Sprintf(demo, image(t, "demo")),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell := func(script string) string {
		t.Helper()
		return w.as("bash", "-euc", `cd "$0"; `+script, folder)
	}
	for _, bucket := range []string{"infra-lower-c65432gh", "eks-charts-manifest-67565rr"} {
		w.bucket(bucket)
	}
	t.Cleanup(func() {
		output(t, "kubectl", "delete", "--ignore-not-found", "--wait=false", "--namespace=default", "pod/eks-pod-id-check", "serviceaccount/ec2-restart-sa")
	})

	// 1. The role.
	shell(`aws iam create-role --role-name ec2-restart-role --assume-role-policy-document file://trust-policy.json
		aws iam create-policy --policy-name list-buckets --policy-document file://s3-policy.json
		aws iam attach-role-policy --role-name ec2-restart-role --policy-arn arn:aws:iam::` + w.account + `:policy/list-buckets`)

	// 2. The agent.
	created := shell(`aws eks create-addon --cluster-name test --addon-name eks-pod-identity-agent --addon-version v1.3.2-eksbuild.2 --query addon.status --output text`)
	if created != "CREATING" {
		t.Errorf("the new add-on is %s, want CREATING", created)
	}
	w.active()
	if a := w.addon(); a.AddonVersion != "v1.3.2-eksbuild.2" || len(a.Health.Issues) != 0 {
		t.Errorf("the add-on is %+v, want the version that was asked for and no issue", a)
	}
	ready := output(t, "kubectl", "--namespace=kube-system", "get", "daemonset", agentName, "-o", "jsonpath={.status.numberReady}")
	if ready != "2" {
		t.Errorf("the agent is ready on %s nodes, want 2", ready)
	}

	// 3. The association.
	shell(`kubectl create serviceaccount ec2-restart-sa
		aws eks create-pod-identity-association --cluster-name test --namespace default --service-account ec2-restart-sa \
			--role-arn arn:aws:iam::` + w.account + `:role/ec2-restart-role`)
	if got := shell(`aws eks list-pod-identity-associations --cluster-name test --query 'associations[].serviceAccount' --output text`); got != "ec2-restart-sa" {
		t.Errorf("associated is %q, want ec2-restart-sa", got)
	}

	// 4. The pod.
	shell(`kubectl create -f demo.yaml`)
	eventually(t, "the pod lists the buckets", func() (bool, string) {
		log := namespace{t, "default"}.try("logs", "eks-pod-id-check").out
		return strings.Contains(log, " infra-lower-c65432gh\n") && strings.Contains(log, " eks-charts-manifest-67565rr\n"), log
	})
}
