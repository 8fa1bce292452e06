package kube

import (
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
	return isInjected(got), got
}

// TestReadyMeansReady: a pod that is made right after its association is given credentials, each of 1,000 times, and one whose
// service account has none is not. Several are under way at a time.
func TestReadyMeansReady(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	arn, administrator, client, api := w.role(ns.name, "s3:ListAllMyBuckets", "*"), w.keys(), trusting(t, w.ca), openAPIServer(t)
	const associations, clients = 1000, 4
	began, next, missed := time.Now(), atomic.Int64{}, atomic.Int64{}
	slowest := make([]time.Duration, clients)
	var asking sync.WaitGroup
	for i := range clients {
		asking.Go(func() {
			for n := next.Add(1); n <= associations; n = next.Add(1) {
				account := fmt.Sprintf("app-%d", n)
				api.create("/api/v1/namespaces/"+ns.name+"/serviceaccounts", fmt.Sprintf(`{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": %q}}`, account))
				status, answer := w.signed(client, administrator, "eks", "POST", "/clusters/"+clusterName+"/pod-identity-associations",
					fmt.Sprintf(`{"namespace": %q, "serviceAccount": %q, "roleArn": %q}`, ns.name, account, arn))
				if status != 200 {
					t.Errorf("association %d: status %d, %s", n, status, answer)
					return
				}
				injected, took := api.dry(ns, account)
				if !injected {
					missed.Add(1)
				}
				slowest[i] = max(slowest[i], took)
			}
		})
	}
	asking.Wait()
	t.Logf("%d associations, each with its pod: %v, the slowest pod %v", associations, time.Since(began).Round(time.Millisecond), slices.Max(slowest).Round(time.Millisecond))
	if missed.Load() != 0 {
		t.Errorf("%d of %d pods that were made after their associations are given no credentials", missed.Load(), associations)
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
