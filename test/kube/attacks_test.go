package kube

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

// TestAttacks has nodes and pods try what they may not; beside each refusal stands what is allowed.
func TestAttacks(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "shop", w.role(ns.name, "s3:ListAllMyBuckets", "*"))
	ns.apply(idle(t, "two", "node2", "shop"))
	ns.wait("condition=Ready", "pod/two")
	bound := func(audience string) string {
		return strings.TrimSpace(ns.kubectl("create", "token", "shop", "--bound-object-kind=Pod", "--bound-object-name=two", "--audience="+audience))
	}
	own := bound(audience)
	header, rest, _ := strings.Cut(own, ".")
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"`+strings.Repeat("x", len(keyOf(t, own)))+`"}`)) + "." + rest
	broken := header + "." + rest[:len(rest)-8] + "AAAAAAAA"
	gets(t, "a pod's token at its own node", "2", own)
	for _, c := range []struct{ name, node, token string }{
		{"another audience", "2", bound("sts.amazonaws.com")},
		{"the connector's audience", "2", bound("lanyard.dev/connector")},
		{"another node's agent", "1", own},
		{"a forged kid", "2", forged},
		{"a wrong signature", "2", broken},
		{"bound to no pod", "2", strings.TrimSpace(ns.kubectl("create", "token", "shop", "--audience="+audience))},
	} {
		audited := w.refusals()
		isRefused(t, c.name, func() (string, string) { return ask(t, c.node, c.token) })
		audited(c.name, "AssumeRoleForPodIdentity", "/node"+c.node)
	}
	// What is no token the agent asks nobody about.
	if status, body := ask(t, "2", "x"); status != "400" {
		t.Errorf("no token: status %s, %s, want it refused", status, body)
	}

	// The agent's own role may fetch for its node's pods, and nothing else.
	kube := namespace{t, "kube-system"}
	agent := kube.kubectl("get", "pods", "--selector=app.kubernetes.io/name="+agentName, "--field-selector=spec.nodeName=node2", "-o", "jsonpath={.items[0].metadata.name}")
	identity := strings.TrimSpace(kube.kubectl("create", "token", agentName, "--bound-object-kind=Pod", "--bound-object-name="+agent, "--audience=sts.amazonaws.com"))
	role := regexp.MustCompile(`arn:aws:iam::\d{12}:role/lanyard-agent-\w+`).FindString(kube.kubectl("get", "daemonset", agentName, "-o", "json"))
	as := w.assume(role, identity).environment("AWS_ENDPOINT_URL="+w.endpoint, "AWS_ENDPOINT_URL_S3="+w.s3, "AWS_CA_BUNDLE="+w.ca)
	fetch := "aws eks-auth assume-role-for-pod-identity --cluster-name " + clusterName + " --query assumedRoleUser.arn --output text --token "
	if got := run(t, as, "", strings.Fields(fetch+own)...); got.status != 0 || !strings.Contains(got.out, ns.name) {
		t.Errorf("the agent's role fetches for its pod: status %d, %s%s", got.status, got.out, got.errors)
	}
	for operation, words := range map[string]string{
		"ListRoles": "aws iam list-roles", "ListClusters": "aws eks list-clusters", "ListBuckets": "aws s3 ls",
		"ListPodIdentityAssociations": "aws eks list-pod-identity-associations --cluster-name " + clusterName,
		"AssumeRole":                  "aws sts assume-role --role-session-name attacker --role-arn arn:aws:iam::" + w.account + ":role/" + ns.name,
	} {
		audited := w.refusals()
		if got := run(t, as, "", strings.Fields(words)...); got.status == 0 || !strings.Contains(got.errors, "AccessDenied") {
			t.Errorf("the agent's role, %s: status %d, %s%s, want AccessDenied", words, got.status, got.out, got.errors)
		}
		audited("the agent's role", operation, "/attacker")
	}
}
