package connector

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/fault"
)

// Images says where the images are. All of it was fixed when the cluster joined, or when the connector was built.
type Images struct {
	Repository string // HOST[:PORT]/PATH, without the program's name
	Build      string // the connector's own version, which is the agent's tag
	Digest     string // of the agent's image, sha256:…; empty: by its tag alone
}

var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$`)
	imageTag       = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
	imageDigest    = regexp.MustCompile(`^(sha256:[0-9a-f]{64})?$`)
)

func (i Images) check() error {
	switch {
	case !repositoryName.MatchString(i.Repository):
		return fault.New(fault.Invalid, "image repository %q: HOST[:PORT]/PATH in lower case is accepted, without a tag", i.Repository)
	case !imageTag.MatchString(i.Build):
		return fault.New(fault.Invalid, "build %q: the tag of an image is accepted", i.Build)
	case !imageDigest.MatchString(i.Digest):
		return fault.New(fault.Invalid, "digest %q: sha256: and 64 hex digits are accepted", i.Digest)
	}
	return nil
}

func (i Images) agent() string {
	name := i.Repository + "/lanyard-agent:" + i.Build
	if i.Digest != "" {
		name += "@" + i.Digest
	}
	return name
}

// agentSettings are what the agent of this cluster is told whatever the server says.
type agentSettings struct {
	Upstream
	Images
	ca     string        // PEM of the server's authority; empty: a public one
	rights []addon.Right // that the cluster gives its agents
}

const (
	agentName        = addon.Agent
	agentTokenFile   = "/var/run/secrets/lanyard.dev/serviceaccount/token"
	agentCAFile      = "/etc/lanyard/ca/ca.crt"
	agentProbeSocket = "/run/lanyard/probe.sock"
	agentProbePort   = 2703
	agentMetricsPort = 2705
	appliedMark      = "lanyard.dev/applied"

	agentStartupTaint = "lanyard.dev/agent-not-ready" // agent.StartupTaint
)

//go:embed templates/agent.yaml
var templates embed.FS

var agentTemplate = template.Must(template.New("agent.yaml").Funcs(template.FuncMap{"json": toJSON}).ParseFS(templates, "templates/agent.yaml"))

// toJSON is how every value gets into a template. JSON is YAML, and no text in it can become a member.
func toJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

// A rendering is an add-on's objects in the order in which they are applied, and a digest of all that they came from.
type rendering struct {
	objects []*unstructured.Unstructured
	applied string
}

// renderAgent makes the agent's objects of a version and values that were checked.
func (s *agentSettings) renderAgent(d *DesiredAddon) (*rendering, error) {
	values, err := addon.ParseAgent(d.ConfigurationValues)
	if err != nil {
		return nil, err
	}
	if err := values.Permit(s.rights); err != nil {
		return nil, err
	}
	dot, err := s.dot(d, values)
	if err != nil {
		return nil, err
	}
	text, err := execute(dot)
	if err != nil {
		return nil, err
	}
	// The same objects under another generation are applied again: that is how a person has changes undone.
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s\n%s", d.Generation, d.ResolveConflicts, text))
	r := &rendering{applied: hex.EncodeToString(sum[:16])}
	dot["Applied"] = r.applied
	if text, err = execute(dot); err != nil {
		return nil, err
	}
	r.objects, err = parseObjects(text)
	return r, err
}

func execute(dot map[string]any) ([]byte, error) {
	var out bytes.Buffer
	if err := agentTemplate.Execute(&out, dot); err != nil {
		return nil, fmt.Errorf("rendering the agent: %w", err)
	}
	return out.Bytes(), nil
}

func (s *agentSettings) dot(d *DesiredAddon, v *addon.AgentValues) (map[string]any, error) {
	role, err := s.agentRole()
	if err != nil {
		return nil, err
	}
	probes := v.Agent.ProbePort
	if probes == 0 {
		probes = agentProbePort
	}
	dot := map[string]any{
		"Version": d.Version, "Applied": "", "CA": s.ca, "Image": s.agent(), "ProbePort": probes,
		"Args": s.args(role.String(), probes, v), "Env": env(v), "DNSPolicy": s.dnsPolicy(),
		"PodLabels": podLabels(v), "PodAnnotations": s.podAnnotations(d, v),
		"Resources": resources(v), "Tolerations": any(v.Tolerations), "Affinity": any(v.Affinity), "NodeSelector": nodeSelector(v),
		"UpdateStrategy": any(v.UpdateStrategy), "PriorityClassName": v.PriorityClassName,
		"ProbeSocket": agentProbeSocket,
		"APIServer":   v.Agent.VerifyPods || v.Agent.RemoveStartupTaint,
	}
	switch {
	case v.Tolerations == nil:
		dot["Tolerations"] = []addon.Toleration{{Operator: "Exists"}} // a node without an agent serves no pod
	case v.Agent.RemoveStartupTaint:
		dot["Tolerations"] = append(slices.Clone(v.Tolerations), addon.Toleration{Key: agentStartupTaint, Operator: "Exists"})
	}
	if v.Affinity == nil {
		dot["Affinity"] = addon.Affinity{NodeAffinity: &addon.NodeAffinity{Required: &addon.NodeTerms{Terms: []addon.NodeTerm{{
			Expressions: []addon.Requirement{{Key: corev1.LabelArchStable, Operator: "In", Values: []string{"amd64", "arm64"}}},
		}}}}}
	}
	if v.UpdateStrategy == nil {
		// The new agent shares the addresses with the old one before that one stops.
		dot["UpdateStrategy"] = addon.UpdateStrategy{Type: "RollingUpdate", RollingUpdate: &addon.RollingUpdate{
			MaxSurge: json.RawMessage("1"), MaxUnavailable: json.RawMessage("0"),
		}}
	}
	if v.PriorityClassName == "" {
		dot["PriorityClassName"] = "system-node-critical"
	}
	return dot, nil
}

// args are the agent's flags (cmd/lanyard-agent). The values' own come last, from their allow-list.
func (s *agentSettings) args(role string, probes int, v *addon.AgentValues) []string {
	args := []string{
		"server", "--cluster-name=" + s.Cluster, "--endpoint=" + s.Endpoint, "--sts-endpoint=" + s.STSEndpoint, "--region=" + s.Region,
		"--role-arn=" + role, "--web-identity-token-file=" + agentTokenFile, "--node-name=$(NODE_NAME)",
		"--port=80", "--probe-port=" + strconv.Itoa(probes), "--probe-socket=" + agentProbeSocket,
		"--metrics-port=" + strconv.Itoa(agentMetricsPort),
		"--reuse-port", "--skip-missing-hosts",
	}
	if s.ca != "" {
		args = append(args, "--ca-file="+agentCAFile)
	}
	if v.Agent.VerifyPods {
		args = append(args, "--verify-pods")
	}
	if v.Agent.RemoveStartupTaint {
		args = append(args, "--remove-startup-taint")
	}
	for _, name := range slices.Sorted(maps.Keys(v.Agent.AdditionalArgs)) {
		args = append(args, name+"="+v.Agent.AdditionalArgs[name])
	}
	return args
}

func env(v *addon.AgentValues) []corev1.EnvVar {
	all := []corev1.EnvVar{{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}}}
	for _, name := range slices.Sorted(maps.Keys(v.Env)) {
		all = append(all, corev1.EnvVar{Name: name, Value: v.Env[name]})
	}
	return all
}

// dnsPolicy asks the cluster's DNS for the server only where the server's name is the cluster's: the node's own works
// before anything of the cluster does.
func (s *agentSettings) dnsPolicy() corev1.DNSPolicy {
	u, err := url.Parse(s.Endpoint)
	if err == nil && (strings.HasSuffix(u.Hostname(), ".svc") || strings.Contains(u.Hostname(), ".svc.")) {
		return corev1.DNSClusterFirstWithHostNet
	}
	return corev1.DNSDefault
}

func podLabels(v *addon.AgentValues) map[string]string {
	labels := maps.Clone(v.PodLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		"app.kubernetes.io/name": agentName, "app.kubernetes.io/instance": agentName, ComponentLabel: "agent",
	})
	return labels
}

// podAnnotations change where the pods must start anew although nothing else has changed.
func (s *agentSettings) podAnnotations(d *DesiredAddon, v *addon.AgentValues) map[string]string {
	annotations := maps.Clone(v.PodAnnotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	if s.ca != "" {
		sum := sha256.Sum256([]byte(s.ca))
		annotations["lanyard.dev/ca"] = hex.EncodeToString(sum[:8])
	}
	if d.PodIdentityRestart != "" {
		annotations["lanyard.dev/pod-identity-restart"] = d.PodIdentityRestart
	}
	return annotations
}

func resources(v *addon.AgentValues) map[string]map[string]string {
	all := map[string]map[string]string{}
	if v.Resources.Requests != nil {
		all["requests"] = v.Resources.Requests
	}
	if v.Resources.Limits != nil {
		all["limits"] = v.Resources.Limits
	}
	return all
}

func nodeSelector(v *addon.AgentValues) map[string]string {
	selector := map[string]string{corev1.LabelOSStable: "linux"} // the image is for nothing else
	for key, value := range v.NodeSelector {
		if key != corev1.LabelOSStable {
			selector[key] = value
		}
	}
	return selector
}

// kinds are those that add-ons consist of. The connector has the right to no other.
var kinds = map[schema.GroupVersionKind]struct {
	resource schema.GroupVersionResource
	typed    func() any
}{
	{Version: "v1", Kind: "ServiceAccount"}: {
		schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, func() any { return &corev1.ServiceAccount{} },
	},
	{Version: "v1", Kind: "ConfigMap"}: {
		schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, func() any { return &corev1.ConfigMap{} },
	},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}: {
		schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}, func() any { return &appsv1.DaemonSet{} },
	},
}

// parseObjects reads what a template made. Each must be wholly what the API's own types say: a slip is found here, and not
// by an API server that drops what it does not know.
func parseObjects(text []byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(doc, &object.Object); err != nil {
			return nil, fmt.Errorf("reading a rendered object: %w", err)
		}
		kind, ok := kinds[object.GroupVersionKind()]
		if !ok {
			return nil, fault.New(fault.Internal, "a rendered object is of kind %s", object.GroupVersionKind())
		}
		if err := yaml.UnmarshalStrict(doc, kind.typed()); err != nil {
			return nil, fmt.Errorf("reading the rendered %s: %w", object.GetKind(), err)
		}
		all = append(all, object)
	}
	return all, nil
}
