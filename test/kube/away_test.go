package kube

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestServerAway: while the server is away for two minutes pods go on with the credentials that the agent holds, new pods are still
// admitted and given what they need to ask for some, and a new token is refused in time; once it is back all goes on.
func TestServerAway(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "app", w.role(ns.name, "s3:ListAllMyBuckets", "*"))
	ns.apply(idle(t, "app", "node1", "app"))
	fetching(t, ns, "node2", "app")
	ns.wait("condition=Ready", "pod/app")
	token := ns.tokenOf("app")
	gets(t, "before, the pod's token gets credentials", "1", token)
	now := ns.fetchOn("before", fetches{})
	api := openAPIServer(t)
	before := admitted(t, api, ns, func(n int) bool { return n < 200 })

	const away = 2 * time.Minute
	stopped := time.Now()
	w.stop()
	if status, body := ask(t, "1", token); status != "200" {
		t.Errorf("credentials that the agent holds: status %s, %s", status, body)
	}
	ns.apply(idle(t, "late", "node1", "app"))
	ns.wait("condition=Ready", "pod/late")
	late := ns.tokenOf("late")
	if status, body := ask(t, "1", late); status != "503" {
		t.Errorf("a new token: status %s, %s, want 503, which SDKs ask again about", status, body)
	}
	ns.apply(idle(t, "stranger", "node1", "default"))
	eventually(t, "an Event tells that nobody could say whether the pod has an association", func() (bool, string) {
		got := ns.kubectl("get", "events", "--field-selector=reason=PodIdentityUnknown,involvedObject.name=stranger", "--output=jsonpath={.items[*].message}")
		return strings.Contains(got, "could not ask whether service account default has a pod identity association"), got
	})
	during := admitted(t, api, ns, func(n int) bool { return n < 200 || time.Since(stopped) < away })
	now = ns.fetchOn("while the server is away", now)
	w.restart()
	gone := time.Since(stopped)
	w.associate(ns, "next", w.role(ns.name+"-next", "s3:ListAllMyBuckets", "*")) // the connectors may not have noticed yet
	ns.apply(idle(t, "next", "node1", "next"))
	ns.wait("condition=Ready", "pod/next")
	if next := ns.tokenOf("next"); next == "" {
		t.Error("a pod that follows its association as soon as the server is back is given nothing")
	} else {
		gets(t, "its token gets credentials", "1", next)
	}
	gets(t, "the new token gets credentials", "1", late)
	ns.fetchOn("the server is back", now)
	t.Logf("the server was away for %v. Admission of a pod, p50 and p99 of %d before: %v, %v; of %d meanwhile: %v, %v: %v more at p99, of at most 10ms wanted",
		gone.Round(time.Second), len(before), part(before, 50), part(before, 99), len(during), part(during, 50), part(during, 99), part(during, 99)-part(before, 99))
}

// admitted asks for pods, one after the other, and is how long each took; each is to be given credentials.
func admitted(t *testing.T, api apiServer, ns namespace, again func(n int) bool) (took []time.Duration) {
	t.Helper()
	for again(len(took)) && !t.Failed() {
		injected, d := api.dry(ns, "app")
		if !injected {
			t.Errorf("pod %d is given nothing", len(took))
		}
		took = append(took, d)
	}
	slices.Sort(took)
	return took
}

// part is the value that so many hundredths of sorted ones are not above.
func part(sorted []time.Duration, hundredths int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*hundredths/100)].Round(10 * time.Microsecond)
}

// TestServerAddress moves the server to another address and joins again, as docs/CLUSTERS.md says: connector and agents find it there,
// and pods that run keep what they have.
func TestServerAddress(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "app", w.role(ns.name, "s3:ListAllMyBuckets", "*"))
	ns.apply(idle(t, "app", "node1", "app"))
	ns.wait("condition=Ready", "pod/app")
	fetching(t, ns, "node2", "app")
	now := ns.fetchOn("before", fetches{})
	old, id := w.endpoint, w.aws("eks describe-cluster --query cluster.id --output text --name", clusterName)

	w.stop()
	w.gateway.stop(t)
	w.start(net.JoinHostPort(serverIPv6.String(), "0"))
	w.endpoint = "https://" + w.server.address
	w.open(strings.TrimPrefix(w.s3, "https://"))
	w.as(w.joining()...)
	if got := w.aws("eks describe-cluster --query cluster.id --output text --name", clusterName); got != id {
		t.Errorf("the cluster is %s, and was %s", got, id)
	}
	eventually(t, "every agent asks the new address", func() (bool, string) {
		got := output(t, "kubectl", "--namespace=kube-system", "get", "daemonset", agentName, "-o", "json")
		return strings.Contains(got, w.endpoint) && !strings.Contains(got, old), got
	})
	output(t, "kubectl", "--namespace=kube-system", "rollout", "status", "--timeout=120s", "daemonset/"+agentName)
	w.active()
	ns.fetchOn("the server has moved", now)
	if got := ns.in("app", "aws", "s3", "ls"); got.status != 0 {
		t.Errorf("a pod of before: %s%s", got.out, got.errors)
	}
	for _, node := range []string{"1", "2"} {
		pod := "new-" + node
		ns.apply(idle(t, pod, "node"+node, "app"))
		ns.wait("condition=Ready", "pod/"+pod)
		gets(t, "a new pod's token gets credentials", node, ns.tokenOf(pod))
		got := ns.in(pod, "aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text")
		if !strings.Contains(got.out, ":assumed-role/"+ns.name+"/") {
			t.Errorf("a new pod asks STS: status %d, %s%s", got.status, got.out, got.errors)
		}
		if at := ns.in(pod, "printenv", "AWS_ENDPOINT_URL_STS").out; strings.TrimSpace(at) != w.endpoint {
			t.Errorf("a new pod is told of STS at %s, want %s", at, w.endpoint)
		}
	}
}
