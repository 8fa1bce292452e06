package kube

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLeave ends what the tests before it shared: nothing of ours is left in the cluster but the namespace, where a server may be, and
// the agent, which is an add-on; by it a pod that ran goes on, and its credentials do.
func TestLeave(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "app", w.role(ns.name, "s3:ListAllMyBuckets", "*"))
	ns.apply(idle(t, "app", "node1", "app"))
	ns.wait("condition=Ready", "pod/app")
	if got := ns.in("app", "aws", "s3", "ls"); got.status != 0 {
		t.Fatalf("before: %s%s", got.out, got.errors)
	}
	before := ours(t)
	for _, want := range []string{"mutatingwebhookconfiguration.admissionregistration.k8s.io/lanyard-pod-identity", "clusterrole.rbac.authorization.k8s.io/lanyard-connector", "daemonset.apps/" + agentName} {
		if !slices.Contains(before, want) {
			t.Errorf("joined, there is no %s among %v", want, before)
		}
	}

	w.as("lanyard", "leave", "--name", clusterName)
	if got := ns.in("app", "aws", "s3", "ls"); got.status != 0 {
		t.Errorf("after leaving: %s%s", got.out, got.errors)
	}
	if injected, answer := ns.dry("new", "app"); injected {
		t.Errorf("a new pod is given credentials by nobody: %s", answer)
	}
	eventually(t, "but the namespace nothing is left of ours beside the agent", func() (bool, string) {
		left := slices.DeleteFunc(ours(t), func(name string) bool { return agentObjects.MatchString(name) })
		return slices.Equal(left, []string{"namespace/lanyard-system"}), strings.Join(left, " ")
	})
	t.Logf("lanyard leave leaves %s", strings.Join(ours(t), " "))
	if got := ns.kubectl("get", "pod", "app", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount}"); got != "Running 0" {
		t.Errorf("the pod is %s, want it to run on", got)
	}
	w.end()
}

// agentObjects are the agent's objects, which outlive the connector unless the add-on is deleted before.
var agentObjects = regexp.MustCompile(`^(daemonset.apps|serviceaccount|configmap|controllerrevision.apps|pod)/` + agentName + `(-[a-z0-9]+)?$`)

// ours are the objects of any kind whose names are ours, without what Kubernetes writes about them for a while: its events, and the
// endpoints and revisions that go with what they belong to.
func ours(t *testing.T) (all []string) {
	t.Helper()
	kinds := strings.Fields(output(t, "kubectl", "api-resources", "--verbs=list", "--output=name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool { return strings.HasPrefix(kind, "events") })
	text := output(t, "kubectl", "get", strings.Join(kinds, ","), "--all-namespaces", "--ignore-not-found", "--output=name")
	for _, name := range strings.Fields(text) {
		if strings.Contains(name, "lanyard") || strings.Contains(name, agentName) || strings.Contains(name, "pod-identity") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
