package connector

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/agent"
)

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

const everyValue = `{
	"agent": {"additionalArgs": {"-b": "169.254.170.23", "-v": "debug"}, "probePort": 3703,
		"verifyPods": true, "removeStartupTaint": true},
	"env": {"GOGC": "50", "GOMEMLIMIT": "64MiB"},
	"resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
	"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}],
	"nodeSelector": {"pool": "a", "kubernetes.io/os": "windows"},
	"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}]}}},
	"priorityClassName": "important",
	"podAnnotations": {"prometheus.io/scrape": "true"}, "podLabels": {"team": "identity"},
	"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}
}`

// TestRenderAgent holds what is applied to files that a person has read.
func TestRenderAgent(t *testing.T) {
	for name, tt := range map[string]struct {
		ca, endpoint, digest string
		rights               []addon.Right
		d                    DesiredAddon
	}{
		"plain":  {endpoint: "https://lanyard.example", d: DesiredAddon{Version: "v1.3.2-eksbuild.2"}},
		"ca":     {ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", endpoint: "https://lanyard.lanyard-system.svc:8443", d: DesiredAddon{Version: "v1.3.10-eksbuild.2", PodIdentityRestart: "7"}},
		"values": {endpoint: "https://[2001:db8::1]:8443", digest: "sha256:" + strings.Repeat("ab", 32), rights: everyRight, d: DesiredAddon{Version: "v1.3.2-eksbuild.2", ConfigurationValues: everyValue}},
	} {
		t.Run(name, func(t *testing.T) {
			a := testAddons(t, newKubeServer(t), tt.ca)
			a.settings.Endpoint, a.settings.STSEndpoint, a.settings.Digest = tt.endpoint, tt.endpoint, tt.digest
			a.settings.rights = tt.rights
			tt.d.Name, tt.d.Action, tt.d.Generation = agentName, Apply, 3
			if _, err := tt.d.check(); err != nil {
				t.Fatal(err)
			}
			r, err := a.settings.renderAgent(&tt.d)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for _, object := range r.objects {
				text, err := yaml.Marshal(object.Object)
				if err != nil {
					t.Fatal(err)
				}
				out.WriteString("---\n")
				out.Write(text)
			}
			golden(t, filepath.Join("testdata", "agent-"+name+".yaml"), out.Bytes())
			confined(t, a.settings, r)
		})
	}
}

// confined asserts what no configuration may change.
func confined(t *testing.T, s *agentSettings, r *rendering) {
	t.Helper()
	var set appsv1.DaemonSet
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(r.objects[len(r.objects)-1].Object, &set, true); err != nil {
		t.Fatal(err)
	}
	pod := set.Spec.Template.Spec
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 1 || pod.HostPID || pod.HostIPC || pod.ServiceAccountName != agentName ||
		pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("the pod is %+v", pod)
	}
	want := map[string]corev1.Capability{"eks-pod-identity-agent": "NET_BIND_SERVICE", "eks-pod-identity-agent-init": "NET_ADMIN"}
	for _, c := range append(pod.Containers, pod.InitContainers...) {
		sc := c.SecurityContext
		if c.Image != s.agent() || len(c.Command) > 0 || len(c.Ports) > 0 || sc == nil || sc.Privileged != nil ||
			sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
			t.Errorf("container %s is %+v", c.Name, c)
			continue
		}
		if add, drop := sc.Capabilities.Add, sc.Capabilities.Drop; len(add) != 1 || add[0] != want[c.Name] || len(drop) != 1 || drop[0] != "ALL" {
			t.Errorf("container %s has the capabilities %v without %v", c.Name, add, drop)
		}
	}
	for _, v := range pod.Volumes {
		if v.HostPath != nil || v.Secret != nil || v.CSI != nil {
			t.Errorf("the pod has the volume %+v", v)
		}
		want := ""
		switch v.Name {
		case "identity":
			want = "sts.amazonaws.com"
		case "api-server":
			if s.rights == nil {
				t.Error("the pod has a token for the API server")
			}
		default:
			if v.Projected != nil {
				t.Errorf("the pod has the volume %+v", v)
			}
			continue
		}
		if p := v.Projected; p.Sources[0].ServiceAccountToken.Audience != want {
			t.Errorf("the pod has the token %+v", p)
		}
	}
}

var everyRight = addon.Rights()

// TestValuesDoNotExtendRights: what the cluster has not given its agents, no server gives them, and the issue says who can.
func TestValuesDoNotExtendRights(t *testing.T) {
	kube := newKubeServer(t)
	a := testAddons(t, kube, "")
	d := DesiredAddon{Name: agentName, Version: "v1.3.2-eksbuild.2", Action: Apply, Generation: 1, ConfigurationValues: `{"agent":{"verifyPods":true}}`}
	a.settings.rights = []addon.Right{addon.StartupTaint}
	report := a.reconcile(t.Context(), &d)
	if report.Status != createFailed || len(report.Issues) != 1 || report.Issues[0].Code != unsupportedAddon ||
		!strings.Contains(report.Issues[0].Message, "--agent-rights") || len(kube.written()) != 0 {
		t.Errorf("the report is %+v, the API server was asked %q", report, kube.written())
	}
	a.settings.rights = []addon.Right{addon.VerifyPods}
	if report := a.reconcile(t.Context(), &d); report.Status != creating || len(kube.written()) == 0 {
		t.Errorf("with the right the report is %+v", report)
	}
}

// TestTheStartupTaintIsTolerated: an agent that is kept off the node by the taint could not remove it.
func TestTheStartupTaintIsTolerated(t *testing.T) {
	if agentStartupTaint != agent.StartupTaint {
		t.Errorf("the connector calls the taint %s, the agent %s", agentStartupTaint, agent.StartupTaint)
	}
	a := testAddons(t, newKubeServer(t), "")
	a.settings.rights = everyRight
	for values, want := range map[string]int{
		`{"tolerations":[],"agent":{"removeStartupTaint":true}}`: 1, `{"tolerations":[]}`: 0,
	} {
		r, err := a.settings.renderAgent(&DesiredAddon{Name: agentName, Version: "v1.3.2-eksbuild.2", Action: Apply, ConfigurationValues: values})
		if err != nil {
			t.Fatal(err)
		}
		got, _, _ := unstructured.NestedSlice(r.objects[len(r.objects)-1].Object, "spec", "template", "spec", "tolerations")
		if len(got) != want {
			t.Errorf("%s tolerates %v", values, got)
		}
	}
}

func TestASlipInATemplateIsFound(t *testing.T) {
	for name, text := range map[string]string{
		"an unknown field": "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x}\nautomountServiceAccountTokens: false\n",
		"another kind":     "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n",
		"a field twice":    "apiVersion: v1\nkind: ConfigMap\nkind: ConfigMap\nmetadata: {name: x}\n",
		"a wrong type":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: [1]\n",
	} {
		if _, err := parseObjects([]byte(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := parseObjects([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n")); err != nil {
		t.Error(err)
	}
}

func TestImagesAreChecked(t *testing.T) {
	good := Images{Repository: "registry.example:5000/lanyard", Build: "0.4.0-12-gabc", Digest: "sha256:" + strings.Repeat("0", 64)}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Images{
		{Repository: "", Build: "1"},
		{Repository: "Upper/case", Build: "1"},
		{Repository: "evil image", Build: "1"},
		{Repository: "r", Build: "1+2"},
		{Repository: "r", Build: ""},
		{Repository: "r", Build: "1", Digest: "sha256:0"},
	} {
		if bad.check() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
