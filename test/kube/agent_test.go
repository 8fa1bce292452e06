package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// fetches are what the pods that run `probe fetch` have seen.
type fetches struct {
	Fetched, Failed int
	Last            string
}

// fetching is two pods of a node that fetch credentials, together some 100 times a second.
func fetching(t *testing.T, ns namespace, node, account string) {
	t.Helper()
	for _, name := range []string{"fetch-one", "fetch-two"} {
		ns.apply(once(name, node, account, image(t, "probe"), "/probe", "fetch"))
	}
	ns.wait("condition=Ready", "pod/fetch-one", "pod/fetch-two")
}

// fetched is what both have seen so far.
func (ns namespace) fetched() (all fetches) {
	ns.t.Helper()
	for _, pod := range []string{"fetch-one", "fetch-two"} {
		var one fetches
		eventually(ns.t, pod+" says what it has seen", func() (bool, string) { // not before it has begun, nor while a line is under way
			line := strings.TrimSpace(ns.try("logs", pod, "--tail=1").out)
			return json.Unmarshal([]byte(line), &one) == nil, line
		})
		all.Fetched, all.Failed = all.Fetched+one.Fetched, all.Failed+one.Failed
		if one.Last != "" {
			all.Last = one.Last
		}
	}
	return all
}

// fetchOn waits until both have fetched 100 times more, and wants no failures beyond those of before.
func (ns namespace) fetchOn(what string, before fetches) (now fetches) {
	ns.t.Helper()
	eventually(ns.t, what+": pods fetch on", func() (bool, string) {
		now = ns.fetched()
		return now.Fetched >= before.Fetched+100, fmt.Sprintf("%+v", now)
	})
	if now.Failed > before.Failed {
		ns.t.Errorf("%s: %d of %d fetches failed: %s", what, now.Failed-before.Failed, now.Fetched-before.Fetched, now.Last)
	}
	return now
}

// agentsOn are the agent's pods on a node, by uid, with whether each is ready.
func agentsOn(t *testing.T, node string) map[string]bool {
	t.Helper()
	text := output(t, "kubectl", "--namespace=kube-system", "get", "pods", "--selector=app.kubernetes.io/name="+agentName, "--field-selector=spec.nodeName="+node,
		"-o", `jsonpath={range .items[*]}{.metadata.uid}={.status.conditions[?(@.type=="Ready")].status} {end}`)
	all := map[string]bool{}
	for _, pod := range strings.Fields(text) {
		uid, ready, _ := strings.Cut(pod, "=")
		all[uid] = ready == "True"
	}
	return all
}

// TestAgent has the add-on removed and created without a version, upgraded while pods fetch 100 times a second, of which none
// fails, and killed; after that as after an end of the node's own programs they fetch on without anybody's help.
func TestAgent(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.associate(ns, "app", w.role(ns.name, "s3:ListAllMyBuckets", "*"))

	w.aws("eks delete-addon --addon-name "+agentName+" --cluster-name", clusterName)
	eventually(t, "the add-on is gone", func() (bool, string) {
		got := run(t, w.administrator(), "", "aws", "eks", "describe-addon", "--addon-name", agentName, "--cluster-name", clusterName)
		return strings.Contains(got.errors, "(ResourceNotFoundException)"), got.out + got.errors
	})
	eventually(t, "its pods are gone", func() (bool, string) {
		left := output(t, "kubectl", "--namespace=kube-system", "get", "daemonsets,pods", "--selector=app.kubernetes.io/name="+agentName, "-o", "name")
		return left == "", left
	})
	w.awsRefused("InvalidParameterException", "v9.9.9-eksbuild.1", "eks create-addon --addon-name "+agentName+" --addon-version v9.9.9-eksbuild.1 --cluster-name", clusterName)
	if got := w.aws("eks create-addon --query addon.status --output text --addon-name "+agentName+" --cluster-name", clusterName); got != "CREATING" {
		t.Errorf("the new add-on is %s, want CREATING", got)
	}
	w.awsRefused("ResourceInUseException", "already exists", "eks create-addon --addon-name "+agentName+" --cluster-name", clusterName)
	w.becomes("CREATING")
	shown := w.aws("eks describe-addon-versions --query addons[].addonVersions[?compatibilities[?defaultVersion]].addonVersion[] --output text --addon-name", agentName)
	if a := w.addon(); a.AddonVersion != shown || shown == "" || len(a.Health.Issues) != 0 {
		t.Errorf("the add-on is %+v, want the default version, %q, and no issue", a, shown)
	}

	fetching(t, ns, "node2", "app")
	now := ns.fetchOn("at first", fetches{})

	old := agentsOn(t, "node2")
	w.aws("eks update-addon --addon-version v1.3.2-eksbuild.2 --configuration-values {\"podLabels\":{\"upgraded\":\"yes\"}} --addon-name "+agentName+" --cluster-name", clusterName)
	both := false
	eventually(t, "another agent is on the node, and the old one gone", func() (bool, string) {
		present, kept, ready := agentsOn(t, "node2"), false, true
		for uid, is := range present {
			if _, was := old[uid]; was {
				kept, both = true, both || is && len(present) == 2
			}
			ready = ready && is
		}
		return !kept && ready && len(present) == 1, fmt.Sprint(present)
	})
	w.becomes("UPDATING")
	if !both {
		t.Error("the old agent was not kept until the new one was there")
	}
	now = ns.fetchOn("upgraded", now)

	if got := onNode(t, "2", "sh", "-c", "kill -KILL $(pidof lanyard-agent)"); got.status != 0 {
		t.Fatalf("no agent is killed: %s%s", got.out, got.errors)
	}
	killed := now
	eventually(t, "the agent's container is started again", func() (bool, string) {
		now = ns.fetched()
		ready := true
		for _, is := range agentsOn(t, "node2") {
			ready = ready && is
		}
		return now.Failed > killed.Failed && ready, fmt.Sprintf("%+v, ready: %v", now, ready)
	})
	eventually(t, "pods fetch again", func() (bool, string) {
		before := now
		now = ns.fetched()
		return now.Fetched > before.Fetched && now.Failed == before.Failed, fmt.Sprintf("%+v", now)
	})
	t.Logf("agent killed: %d fetches failed until it was back: %s", now.Failed-killed.Failed, now.Last)
	if !strings.Contains(now.Last, "connection refused") && !strings.Contains(now.Last, "connection reset") && !strings.Contains(now.Last, "EOF") {
		t.Errorf("a fetch failed with %s, want nothing but lost connections, about which SDKs ask again", now.Last)
	}
	now = ns.fetchOn("killed and back", now)

	for _, program := range []string{"kubelet", "containerd"} {
		manage(t, "stop", "-KILL", program, "2")
	}
	manage(t, "start", "containerd", "2")
	manage(t, "start", "kubelet", "2")
	now = ns.fetchOn("containerd and the kubelet killed", now)
	ns.apply(idle(t, "after", "node2", "app"))
	ns.wait("condition=Ready", "pod/after")
	if got := ns.in("after", "aws", "s3", "ls"); got.status != 0 {
		t.Errorf("a pod that starts then: %s%s", got.out, got.errors)
	}
	ns.fetchOn("at last", now)
}

// becomes waits until the add-on is ACTIVE, and wants it to be in one other state until then.
func (w *world) becomes(state string) {
	w.t.Helper()
	eventually(w.t, "the add-on goes from "+state+" to ACTIVE", func() (bool, string) {
		a := w.addon()
		if a.Status != state && a.Status != "ACTIVE" {
			w.t.Errorf("the add-on is %+v, want %s or ACTIVE", a, state)
		}
		return a.Status == "ACTIVE", fmt.Sprintf("%+v", a)
	})
}
