package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestServer has pods of either node reach a server with the aws CLI and boto3 of Debian, over TLS; who does not know the
// server's CA does not talk to it.
func TestServer(t *testing.T) {
	ns, l := newNamespace(t), newLanyard(t)
	arn := l.aws("sts get-caller-identity --query Arn --output text")
	if want := "arn:aws:iam::" + l.account + ":user/"; !strings.HasPrefix(arn, want) {
		t.Fatalf("the administrator is %s, want %s…", arn, want)
	}
	l.awsRefused("NoSuchEntity", "no-such-role", "iam get-role --role-name no-such-role")

	variables := map[string]string{}
	for _, v := range l.administrator() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") && name != "AWS_CA_BUNDLE" {
			variables[name] = value
		}
	}
	trusting := map[string]string{"AWS_CA_BUNDLE": "/lanyard/ca.pem"}
	for name, data := range map[string]map[string]string{"lanyard": {"ca.pem": l.caText()}, "administrator": variables, "trusting": trusting} {
		text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": name}, "data": data})
		if err != nil {
			t.Fatal(err)
		}
		ns.apply(string(text))
	}

	const cli = "aws sts get-caller-identity --query Arn --output text"
	const boto = `python3 -c 'import boto3; print(boto3.client("sts").get_caller_identity()["Arn"])'`
	ns.apply(demoPod(t, "cli", "node1", cli, "administrator", "trusting"))
	ns.apply(demoPod(t, "boto", "node2", boto, "administrator", "trusting"))
	ns.apply(demoPod(t, "stranger", "node2", "! "+cli+" 2>&1", "administrator"))
	for _, pod := range []string{"cli", "boto"} {
		if got := strings.TrimSpace(ns.finished(pod)); got != arn {
			t.Errorf("%s: %q, want %s", pod, got, arn)
		}
	}
	if got := ns.finished("stranger"); !strings.Contains(got, "SSL validation failed") {
		t.Errorf("who does not know the CA: %q, want the server's certificate refused", got)
	}
}

// demoPod is a pod that runs a command in Debian 13 once, with variables of ConfigMaps.
func demoPod(t *testing.T, name, node, command string, variables ...string) string {
	var from []string
	for _, v := range variables {
		from = append(from, fmt.Sprintf("{configMapRef: {name: %s}}", v))
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %s
spec:
  nodeName: %s
  restartPolicy: Never
  containers:
  - name: demo
    image: %s
    imagePullPolicy: Never
    command: [sh, -c, %q]
    envFrom: [%s]
    volumeMounts: [{name: lanyard, mountPath: /lanyard}]
  volumes:
  - name: lanyard
    configMap: {name: lanyard}
`, name, node, image(t, "demo"), command, strings.Join(from, ", "))
}
