package kube

import (
	"strings"
	"testing"
)

// TestRotateUnderLanyard has the cluster sign with another key while no connector runs, so that nobody tells the server of it. Tokens of before go on,
// those by the new key have to wait, and get credentials once there is a connector again, whose own token is by the new key too.
func TestRotateUnderLanyard(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "app", w.role(ns.name, "s3:ListAllMyBuckets", "*"))
	ns.apply(idle(t, "app", "node1", "app"))
	ns.wait("condition=Ready", "pod/app")
	token := func() string {
		return strings.TrimSpace(ns.kubectl("create", "token", "app", "--audience", audience, "--bound-object-kind=Pod", "--bound-object-name=app"))
	}
	connectors := func(args ...string) {
		t.Helper()
		output(t, append([]string{"kubectl", "--namespace=lanyard-system"}, args...)...)
	}
	before := token()
	gets(t, "before the rotation", "1", before)

	connectors("scale", "--replicas=0", "deployment/lanyard-connector")
	connectors("wait", "--for=delete", "--timeout=120s", "pods", "--selector=app.kubernetes.io/name=lanyard-connector")
	manage(t, "rotate")
	after := token()
	if keyOf(t, before) == keyOf(t, after) {
		t.Fatal("both tokens are by one key")
	}
	if status, body := ask(t, "1", after); status != "503" {
		t.Errorf("by a key that nobody has told: status %s, %s, want 503, which SDKs ask again about", status, body)
	}
	another := ns.kubectl("create", "token", "app", "--audience", audience, "--bound-object-kind=Pod", "--bound-object-name=app", "--duration=2h")
	if got := keyOf(t, strings.TrimSpace(another)); got != keyOf(t, after) {
		t.Fatalf("signed by %s, want the new key", got)
	}
	if status, body := ask(t, "1", before); status != "200" {
		t.Errorf("a token of before: status %s, %s", status, body)
	}

	connectors("scale", "--replicas=2", "deployment/lanyard-connector")
	connectors("rollout", "status", "--timeout=120s", "deployment/lanyard-connector")
	for name, token := range map[string]string{"by the new key": after, "another by it": strings.TrimSpace(another), "of before": before} {
		gets(t, name+": credentials", "1", token)
	}
	// What leads the API server to the webhook was away as well, while the API server began anew, and comes back in its own time.
	eventually(t, "pods are given credentials again", func() (bool, string) { return ns.dry("another", "app") })
}
