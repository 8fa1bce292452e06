package kube

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// dry asks the API server, and by it the webhook, for a pod that is not kept, and reports whether it is given credentials.
func (ns namespace) dry(pod, account string) (injected bool, answer string) {
	ns.t.Helper()
	manifest := fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  serviceAccountName: %s
  containers: [{name: app, image: none}]
`, pod, account)
	argv := []string{"kubectl", "--namespace", ns.name, "create", "--dry-run=server", "-o", "json", "--filename", "-"}
	got := ok(ns.t, run(ns.t, environment(), manifest, argv...), argv)
	return strings.Contains(got, `"eks-pod-identity-token"`) && strings.Contains(got, "AWS_CONTAINER_CREDENTIALS_FULL_URI"), got
}

// TestReadyMeansReady: a pod that is made right after its association is given credentials, each time, and one whose service
// account has none is not.
func TestReadyMeansReady(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	arn := w.role(ns.name, "s3:ListAllMyBuckets", "*")
	for i := range 15 {
		account := fmt.Sprintf("app-%d", i)
		w.associate(ns, account, arn)
		if injected, answer := ns.dry("at-once", account); !injected {
			t.Errorf("association %d: the pod after it is given no credentials: %s", i, answer)
		}
	}
	ns.kubectl("create", "serviceaccount", "stranger")
	if injected, answer := ns.dry("stranger", "stranger"); injected {
		t.Errorf("a pod without an association is given credentials: %s", answer)
	}
	if got := ns.kubectl("get", "pods", "-o", "name"); got != "" {
		t.Errorf("pods that were only asked about: %s", got)
	}
}

// TestWebhookHeals takes away or spoils what the webhook stands on; pods are given credentials again without anybody's help.
func TestWebhookHeals(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "app", w.role(ns.name, "s3:ListAllMyBuckets", "*"))
	const configuration, secret = "mutatingwebhookconfiguration/lanyard-pod-identity", "secret/lanyard-connector-webhook"
	uid := func(args ...string) string {
		return output(t, append([]string{"kubectl", "get", "-o", "jsonpath={.metadata.uid}"}, args...)...)
	}
	other := base64.StdEncoding.EncodeToString([]byte(w.caText()))
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"another CA in the registration", func() {
			output(t, "kubectl", "patch", configuration, "--type=json",
				`--patch=[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":"`+other+`"}]`)
			eventually(t, "the registration has the webhook's CA again", func() (bool, string) {
				got := output(t, "kubectl", "get", configuration, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}")
				return got != other, got
			})
		}},
		{"no registration", func() {
			former := uid(configuration)
			output(t, "kubectl", "delete", configuration)
			eventually(t, "there is another registration", func() (bool, string) {
				got := output(t, "kubectl", "get", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}", configuration)
				return got != "" && got != former, got
			})
		}},
		{"no certificate", func() {
			former := uid("--namespace=lanyard-system", secret)
			output(t, "kubectl", "--namespace=lanyard-system", "delete", secret)
			eventually(t, "there is another Secret", func() (bool, string) {
				got := output(t, "kubectl", "get", "--namespace=lanyard-system", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}", secret)
				return got != "" && got != former, got
			})
		}},
		{"both connectors killed", func() {
			output(t, "kubectl", "--namespace=lanyard-system", "delete", "pods", "--selector=app.kubernetes.io/name=lanyard-connector", "--grace-period=1")
			output(t, "kubectl", "--namespace=lanyard-system", "rollout", "status", "--timeout=120s", "deployment/lanyard-connector")
		}},
	} {
		c.do()
		eventually(t, c.name+": pods are given credentials again", func() (bool, string) { return ns.dry("app", "app") })
	}
}

// TestServerAway: while the server is away pods go on with the credentials that the agent holds, new pods are still admitted and
// given what they need to ask for some, and a new token is refused in time; once it is back all goes on.
func TestServerAway(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "app", w.role(ns.name, "s3:ListAllMyBuckets", "*"))
	ns.apply(idle(t, "app", "node1", "app"))
	ns.wait("condition=Ready", "pod/app")
	token := strings.TrimSpace(ns.in("app", "sh", "-c", `cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"`).out)
	if status, body := ask(t, "1", token); status != "200" {
		t.Fatalf("before: status %s, %s", status, body)
	}
	w.stop()
	if status, body := ask(t, "1", token); status != "200" {
		t.Errorf("credentials that the agent holds: status %s, %s", status, body)
	}
	if injected, answer := ns.dry("second", "app"); !injected {
		t.Errorf("a new pod is given nothing: %s", answer)
	}
	ns.apply(idle(t, "late", "node1", "app"))
	ns.wait("condition=Ready", "pod/late")
	late := strings.TrimSpace(ns.in("late", "sh", "-c", `cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"`).out)
	if status, body := ask(t, "1", late); status != "503" {
		t.Errorf("a new token: status %s, %s, want 503, which SDKs ask again about", status, body)
	}
	w.restart()
	eventually(t, "the new token gets credentials", func() (bool, string) {
		status, body := ask(t, "1", late)
		return status == "200", status + " " + body[:min(len(body), 200)]
	})
}
