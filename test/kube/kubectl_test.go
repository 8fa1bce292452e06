package kube

import (
	"crypto/rand"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// namespace is one of a test's own. What went on in it is told when the test fails, and it is gone when the test ends.
type namespace struct {
	t    testing.TB
	name string
}

func newNamespace(t testing.TB) namespace {
	t.Helper()
	ns := namespace{t, "test-" + strings.ToLower(rand.Text()[:10])}
	output(t, "kubectl", "create", "namespace", ns.name)
	t.Cleanup(func() {
		if t.Failed() {
			ns.tell()
		}
		output(t, "kubectl", "delete", "namespace", ns.name, "--wait=false")
	})
	// A pod is refused until the account that it runs as is there.
	for _, thing := range []string{"serviceaccount/default", "configmap/kube-root-ca.crt"} {
		ns.wait("create", thing)
	}
	return ns
}

// tell logs the state of the namespace, its events, and what its pods wrote.
func (ns namespace) tell() {
	for _, args := range []string{"get pods,daemonsets,deployments -o wide", "get events --sort-by=.lastTimestamp"} {
		got := ns.try(strings.Fields(args)...)
		ns.t.Logf("kubectl %s\n%s%s", args, got.out, got.errors)
	}
	for _, pod := range strings.Fields(ns.try("get", "pods", "-o", "name").out) {
		got := ns.try("logs", pod, "--all-containers", "--prefix", "--tail=100")
		ns.t.Logf("kubectl logs %s\n%s%s", pod, got.out, got.errors)
	}
}

// try runs kubectl in the namespace and says how it ended.
func (ns namespace) try(args ...string) ran {
	ns.t.Helper()
	return run(ns.t, environment(), "", append([]string{"kubectl", "--namespace", ns.name}, args...)...)
}

// kubectl is what kubectl prints, which ends well.
func (ns namespace) kubectl(args ...string) string {
	ns.t.Helper()
	return ok(ns.t, ns.try(args...), args)
}

// apply gives the cluster a manifest.
func (ns namespace) apply(manifest string) {
	ns.t.Helper()
	argv := []string{"kubectl", "--namespace", ns.name, "apply", "--filename", "-"}
	ok(ns.t, run(ns.t, environment(), manifest, argv...), argv)
}

// wait waits for a condition of things: wait("condition=Ready", "pod/a", "pod/b").
func (ns namespace) wait(condition string, things ...string) {
	ns.t.Helper()
	ns.kubectl(append([]string{"wait", "--timeout=120s", "--for", condition}, things...)...)
}

// get reads one thing into a value of the caller's.
func (ns namespace) get(thing string, into any) {
	ns.t.Helper()
	if err := json.Unmarshal([]byte(ns.kubectl("get", thing, "-o", "json")), into); err != nil {
		ns.t.Fatalf("%s: %v", thing, err)
	}
}

// finished waits for a pod that runs to its end, wants it to end well, and is what it wrote.
func (ns namespace) finished(pod string) string {
	ns.t.Helper()
	phase, log := ns.ended(pod)
	if phase != "Succeeded" {
		ns.t.Fatalf("pod %s: %s\n%s", pod, phase, log)
	}
	return log
}

// ended waits for a pod that runs to its end, and is how it ended and what it wrote.
func (ns namespace) ended(pod string) (phase, log string) {
	ns.t.Helper()
	eventually(ns.t, "pod "+pod+" ends", func() (bool, string) {
		phase = ns.kubectl("get", "pod", pod, "-o", "jsonpath={.status.phase}")
		return phase == "Succeeded" || phase == "Failed", phase
	})
	return phase, ns.kubectl("logs", pod)
}

// The images that tests ask for, each given to the nodes once.
var given sync.Map

// image gives the nodes an image that test/kube/cluster has made, and is its name: lanyard, lanyard-agent, probe, demo, javascript.
func image(t testing.TB, name string) string {
	t.Helper()
	reference := "lanyard.local/" + name + ":test"
	once, _ := given.LoadOrStore(name, sync.OnceFunc(func() {
		manage(t, "import", filepath.Join(cluster.root, ".tools", "kube", "images", name+".tar"), reference)
	}))
	once.(func())()
	return reference
}
