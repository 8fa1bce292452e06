package connector

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

func (w *world) addon(t *testing.T) *registry.Addon {
	t.Helper()
	a, err := w.server.registry.Addon(testAccount, "dev", agentName)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// roll makes the DaemonSet look as it does when nodes of the number run its present template.
func (w *world) roll(nodes int64) {
	w.kube.change(setPath, func(u *unstructured.Unstructured) {
		u.Object["status"] = map[string]any{
			"observedGeneration": u.GetGeneration(), "desiredNumberScheduled": nodes, "numberAvailable": nodes, "updatedNumberScheduled": nodes,
		}
	})
}

func TestAnAddonIsAppliedUpdatedAndRemoved(t *testing.T) {
	w := newWorld(t)
	cfg := w.config("connector-0")
	cfg.CA = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	c, _ := w.run(t, cfg)
	eventually(t, "the connector follows and leads", func() bool { return c.Ready() == nil && c.leading.Load() })
	if _, err := w.server.registry.CreateAddon(t.Context(), registry.NewAddon{Account: testAccount, Cluster: "dev", Name: agentName}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the DaemonSet is applied", func() bool { return w.kube.object(setPath) != nil && w.kube.object(accountPath) != nil })
	w.roll(2)
	eventually(t, "the add-on is ACTIVE", func() bool {
		a := w.addon(t)
		return a.Status == registry.AddonActive && a.Build == "1.2.3" && len(a.Issues) == 0
	})

	// Another configuration, with a field that a person holds: NONE tells it, OVERWRITE takes it.
	w.kube.mu.Lock()
	w.kube.conflicts[".spec.template.spec.priorityClassName"] = true
	w.kube.mu.Unlock()
	values := `{"priorityClassName":"important","agent":{"additionalArgs":{"-b":"169.254.170.23"}}}`
	update := func(resolve string) {
		t.Helper()
		if _, _, err := w.server.registry.UpdateAddon(t.Context(), testAccount, "dev", agentName, registry.AddonChange{
			Values: &values, Conflicts: resolve,
		}); err != nil {
			t.Fatal(err)
		}
	}
	update(resolveNone)
	eventually(t, "the conflict reaches the server", func() bool {
		return slices.ContainsFunc(w.addon(t).Issues, func(i registry.AddonIssue) bool { return string(i.Code) == string(configurationConflict) })
	})
	priority := func() string {
		name, _, _ := unstructured.NestedString(w.kube.object(setPath).Object, "spec", "template", "spec", "priorityClassName")
		return name
	}
	if got := priority(); got != "system-node-critical" {
		t.Errorf("under NONE the priority became %q", got)
	}
	update(resolveOverwrite)
	eventually(t, "OVERWRITE takes the field", func() bool { return priority() == "important" })
	w.roll(2)
	eventually(t, "the add-on is ACTIVE again", func() bool { a := w.addon(t); return a.Status == registry.AddonActive && len(a.Issues) == 0 })

	// What somebody deletes comes again.
	w.kube.mu.Lock()
	w.kube.remove(setPath)
	w.kube.mu.Unlock()
	c.addons.wake()
	eventually(t, "the DaemonSet is put back", func() bool { return w.kube.object(setPath) != nil })

	if _, err := w.server.registry.DeleteAddon(t.Context(), testAccount, "dev", agentName, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server forgets the add-on", func() bool { return w.addon(t) == nil })
	if w.kube.object(setPath) != nil || w.kube.object(accountPath) != nil {
		t.Error("the add-on's objects are left")
	}

	// No right without a use: those not seen here have theirs beside.
	c.note(Pod{Namespace: "default", Name: "gone", UID: "uid-gone"}, "A sentence.")
	unused := map[string]string{
		"namespace 0 update": "a certificate that is renewed", "namespace 1 get": "TestARotationWithoutAConnectorLosesNothing",
	}
	rights := RightsNeeded()
	for scope, rules := range map[string][]rbacv1.PolicyRule{"cluster": rights.Cluster, "namespace": rights.Namespace, "system": rights.System} {
		for i, rule := range rules {
			for _, verb := range rule.Verbs {
				if name := fmt.Sprintf("%s %d %s", scope, i, verb); unused[name] == "" {
					eventually(t, name+" is used", func() bool { return w.kube.hasUsed(name) })
				}
			}
		}
	}
}

func TestAnAddonIsLeftToItself(t *testing.T) {
	w := newWorld(t)
	c, _ := w.run(t, w.config("connector-0"))
	eventually(t, "the connector follows and leads", func() bool { return c.Ready() == nil && c.leading.Load() })
	if _, err := w.server.registry.CreateAddon(t.Context(), registry.NewAddon{Account: testAccount, Cluster: "dev", Name: agentName}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the DaemonSet is applied", func() bool { return w.kube.object(setPath) != nil })
	if _, err := w.server.registry.DeleteAddon(t.Context(), testAccount, "dev", agentName, true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server forgets the add-on", func() bool { return w.addon(t) == nil })
	if w.kube.object(setPath) == nil {
		t.Error("the DaemonSet that was to be preserved is gone")
	}
}

// A server that was stolen can say what it likes: nothing but the connector's own agent gets to the API server.
func TestAHostileServerCannotApplyAnythingElse(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	wish := func(change func(*DesiredAddon)) DesiredAddon {
		d := DesiredAddon{Name: agentName, Version: "v1.3.2-eksbuild.2", ResolveConflicts: resolveOverwrite, Action: Apply, Generation: 1}
		change(&d)
		return d
	}
	values := func(text string) DesiredAddon { return wish(func(d *DesiredAddon) { d.ConfigurationValues = text }) }
	for name, d := range map[string]DesiredAddon{
		"another add-on":        wish(func(d *DesiredAddon) { d.Name = "evil" }),
		"a path as a name":      wish(func(d *DesiredAddon) { d.Name = "../../clusterroles/admin" }),
		"no name":               wish(func(d *DesiredAddon) { d.Name = "" }),
		"an unknown version":    wish(func(d *DesiredAddon) { d.Version = "v9.0.0-eksbuild.1" }),
		"a version with a YAML": wish(func(d *DesiredAddon) { d.Version = "v1.3.2-eksbuild.2\n  namespace: default" }),
		"an image as a version": wish(func(d *DesiredAddon) { d.Version = "v1.3.2-eksbuild.2@sha256:00" }),
		"an unknown action":     wish(func(d *DesiredAddon) { d.Action = "exec" }),
		"no action":             wish(func(d *DesiredAddon) { d.Action = "" }),
		"an unknown resolution": wish(func(d *DesiredAddon) { d.ResolveConflicts = "FORCE" }),
		"a restart with a YAML": wish(func(d *DesiredAddon) { d.PodIdentityRestart = "1\"\nhostPID: true" }),
		"values too long":       values(`{"podAnnotations":{"note":"` + long + `"}}`),
		"values that are YAML":  values("image: evil"),
		"an image":              values(`{"image":{"repository":"evil"}}`),
		"a nested image":        values(`{"agent":{"image":"evil"}}`),
		"a command":             values(`{"agent":{"command":["sh"]}}`),
		"a volume":              values(`{"volumes":[{"name":"root","hostPath":{"path":"/"}}]}`),
		"a hostPath":            values(`{"hostPath":"/"}`),
		"a service account":     values(`{"serviceAccountName":"admin"}`),
		"a security context":    values(`{"securityContext":{"privileged":true}}`),
		"an endpoint":           values(`{"agent":{"additionalArgs":{"--endpoint":"https://evil"}}}`),
		"an STS":                values(`{"agent":{"additionalArgs":{"--sts-endpoint":"https://evil"}}}`),
		"a CA":                  values(`{"agent":{"additionalArgs":{"--ca-file":"/tmp/ca"}}}`),
		"a role":                values(`{"agent":{"additionalArgs":{"--role-arn":"arn:aws:iam::1:role/x"}}}`),
		"a listener":            values(`{"agent":{"additionalArgs":{"-b":"0.0.0.0"}}}`),
		"a flag in a value":     values(`{"agent":{"additionalArgs":{"-v":"info --endpoint=https://evil"}}}`),
		"a proxy":               values(`{"env":{"HTTPS_PROXY":"http://evil"}}`),
		"a loader":              values(`{"env":{"LD_PRELOAD":"/tmp/x.so"}}`),
		"a debug variable":      values(`{"env":{"GODEBUG":"x509ignoreCN=0"}}`),
		"a member twice":        values(`{"env":{},"env":{"HTTPS_PROXY":"x"}}`),
		"another case":          values(`{"Env":{"HTTPS_PROXY":"x"}}`),
		"a label that excludes": values(`{"podLabels":{"lanyard.dev/component":"x"}}`),
		"an AppArmor profile":   values(`{"podAnnotations":{"container.apparmor.security.beta.kubernetes.io/eks-pod-identity-agent":"unconfined"}}`),
	} {
		t.Run(name, func(t *testing.T) {
			kube := newKubeServer(t)
			a := testAddons(t, kube, "")
			report := a.reconcile(t.Context(), &d)
			if len(report.Issues) != 1 || report.Issues[0].Code != unsupportedAddon || report.Status == active {
				t.Errorf("the report is %+v", report)
			}
			if got := kube.written(); len(got) > 0 {
				t.Errorf("the API server was asked: %q", got)
			}
			text, err := json.Marshal(report)
			if err != nil || len(text) > 4<<10 {
				t.Errorf("the report has %d bytes: %v", len(text), err)
			}
		})
	}
	t.Run("what is allowed", func(t *testing.T) {
		kube := newKubeServer(t)
		d := wish(func(*DesiredAddon) {})
		if report := testAddons(t, kube, "").reconcile(t.Context(), &d); report.Status != creating || len(kube.written()) != 2 {
			t.Errorf("the report is %+v, the API server was asked %q", report, kube.written())
		}
	})
}

func testAddons(t *testing.T, kube *kubeServer, ca string) *addons {
	t.Helper()
	clients, err := newKube(kube.config())
	if err != nil {
		t.Fatal(err)
	}
	u := Upstream{
		Endpoint: "https://lanyard.example", Region: testRegion, Cluster: "dev", Instance: "connector-0", TokenFile: "token",
		RoleARN: "arn:aws:iam::" + testAccount + ":role/lanyard-connector-0123456789abcdef0123456789abcdef",
	}
	if err := u.check(); err != nil {
		t.Fatal(err)
	}
	return newAddons(clients.set, applier{clients.dynamic}, &agentSettings{u, Images{Repository: "registry.example/lanyard", Build: "1.2.3"}, ca, nil}, discardLog())
}

func TestPreserveLeavesWhatOthersHold(t *testing.T) {
	kube := newKubeServer(t)
	a := testAddons(t, kube, "")
	d := DesiredAddon{Name: agentName, Version: "v1.3.2-eksbuild.2", ResolveConflicts: resolvePreserve, Action: Apply, Generation: 1}
	if report := a.reconcile(t.Context(), &d); report.Status != creating {
		t.Fatalf("the report is %+v", report)
	}
	image := `.spec.template.spec.containers[name="eks-pod-identity-agent"].image`
	for _, field := range []string{image, ".spec.template.spec.priorityClassName"} {
		kube.conflicts[field] = true
	}
	d.Generation, d.ConfigurationValues = 2, `{"priorityClassName":"important"}`
	if report := a.reconcile(t.Context(), &d); report.Status != updating || len(report.Issues) > 0 {
		t.Errorf("the report is %+v", report)
	}
	set := kube.object(setPath)
	if _, says, _ := unstructured.NestedString(set.Object, "spec", "template", "spec", "priorityClassName"); says {
		t.Error("the connector says the priority that somebody else holds")
	}
	containers, _, _ := unstructured.NestedSlice(set.Object, "spec", "template", "spec", "containers")
	if c := containers[0].(map[string]any); c["image"] != nil || c["args"] == nil {
		t.Errorf("the container is %v", c)
	}
	// A field that we do not say cannot be left out: then it is a conflict after all.
	clear(kube.conflicts)
	kube.conflicts[".spec.template.spec.unknown"] = true
	if _, found := without(set, kube.conflicts); found {
		t.Error("a field was found that is not there")
	}
}

func TestProblemsHaveEKSsCodes(t *testing.T) {
	for _, tt := range []struct {
		code int
		body string
		want issueCode
	}{
		{403, `daemonsets is forbidden: User cannot patch`, accessDenied},
		{403, `admission webhook \"policy.example\" denied the request: no`, admissionRequestDenied},
		{422, `is invalid: spec.selector: field is immutable`, admissionRequestDenied},
		{404, `namespaces \"kube-system\" not found`, notFound},
		{500, `etcd is sad`, internalFailure},
		{503, `shutting down`, clusterUnreachable},
	} {
		t.Run(string(tt.want)+" "+strconv.Itoa(tt.code), func(t *testing.T) {
			reason := map[int]string{403: "Forbidden", 422: "Invalid", 404: "NotFound", 500: "InternalError", 503: "ServiceUnavailable"}[tt.code]
			kube := newKubeServer(t)
			kube.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPatch {
					kube.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.code)
				fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"%s","reason":%q,"code":%d}`, tt.body, reason, tt.code)
			})
			d := DesiredAddon{Name: agentName, Version: "v1.3.2-eksbuild.2", Action: Apply, Generation: 1}
			report := testAddons(t, kube, "").reconcile(t.Context(), &d)
			if len(report.Issues) != 1 || report.Issues[0].Code != tt.want || report.Status != createFailed {
				t.Errorf("the report is %+v, want %s", report, tt.want)
			}
		})
	}
}
