// Package install is what a cluster is given so that the connector runs in it: its rights, settings and pods, from one
// template that `lanyard join` and the Helm chart share. It is apart from the connector so that the CLI has the manifests
// without the program, and without Kubernetes' libraries.
package install

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// Names that the cluster's trust policy, the manifests and those who look for them must agree on.
const (
	Namespace      = "lanyard-system"
	Name           = "lanyard-connector"         // of everything in the manifests
	Webhook        = "lanyard-pod-identity"      // the MutatingWebhookConfiguration, which the connector makes
	Certificates   = "lanyard-connector-webhook" // a Secret that the connector makes
	Spare          = "lanyard-connector-spare"   // another
	Pods           = "lanyard-connector-pods"    // a ConfigMap that it makes
	Lease          = "lanyard-connector"
	AgentNamespace = "kube-system"
	Agent          = "eks-pod-identity-agent"
)

// Values are what differs between clusters.
type Values struct {
	Cluster string // its name
	Server  string // https URL of all APIs
	Region  string
	Role    string // ARN of the cluster's connector role
	CA      string // PEM of the CA of the server's certificate; empty: a public one

	Repository    string // where the images of connector and agent are: HOST/PATH without the program's name
	Tag           string // of the connector's image
	PullPolicy    string // empty: IfNotPresent
	FailurePolicy string // Ignore or Fail: what becomes of new pods while no connector answers; empty: Ignore

	AgentRights []addon.Right // what add-on values may make the agents use
}

// check refuses values that would be found wrong only in the cluster.
func (v Values) check() error {
	u, err := url.Parse(v.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return fault.New(fault.Invalid, "server %q: https://HOST[:PORT] is accepted", v.Server)
	}
	if role, err := arn.Parse(v.Role); err != nil || role.Service != "iam" {
		return fault.New(fault.Invalid, "role %q: the ARN of the cluster's connector role is accepted", v.Role)
	}
	if v.Cluster == "" || v.Region == "" {
		return fault.New(fault.Invalid, "the cluster's name and the region are required")
	}
	if !repository.MatchString(v.Repository) {
		return fault.New(fault.Invalid, "image repository %q: HOST[:PORT]/PATH in lower case is accepted, without a tag", v.Repository)
	}
	if !tag.MatchString(v.Tag) {
		return fault.New(fault.Invalid, "image tag %q: at most 128 letters, digits, dots, dashes and underscores are accepted", v.Tag)
	}
	switch v.FailurePolicy {
	case "Ignore", "Fail":
	default:
		return fault.New(fault.Invalid, "failure policy %q: Ignore or Fail is accepted", v.FailurePolicy)
	}
	return addon.CheckRights(v.AgentRights)
}

var (
	repository = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$`)
	tag        = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
)

// dot is what the template sees. The chart fills in the same keys from its own values.
func (v Values) dot() map[string]any {
	rights := make([]string, len(v.AgentRights))
	for i, r := range v.AgentRights {
		rights[i] = string(r)
	}
	return map[string]any{
		"cluster": v.Cluster, "server": strings.TrimSuffix(v.Server, "/"), "region": v.Region, "role": v.Role, "ca": v.CA,
		"image": v.Repository + "/" + Name + ":" + v.Tag, "pullPolicy": v.PullPolicy, "pullSecrets": nil,
		"repository": v.Repository, "failurePolicy": v.FailurePolicy, "replicas": 2,
		"resources": map[string]any{
			"requests": map[string]any{"cpu": "50m", "memory": "64Mi"},
			"limits":   map[string]any{"memory": "512Mi"},
		},
		"nodeSelector": map[string]any{"kubernetes.io/os": "linux"}, "tolerations": nil, "activationSecret": "",
		"agentRights": rights,
	}
}

// Template is the text that the Helm chart has a copy of.
//
//go:embed connector.yaml.tpl
var Template string

// namespace is not in the template: Helm makes it by itself.
const namespace = `apiVersion: v1
kind: Namespace
metadata:
  name: ` + Namespace + `
  labels:
    app.kubernetes.io/part-of: lanyard
    pod-security.kubernetes.io/enforce: restricted
`

// Manifests returns the objects as YAML documents, in the order in which they are to be applied.
func Manifests(v Values) (string, error) {
	v.PullPolicy, v.FailurePolicy = or(v.PullPolicy, "IfNotPresent"), or(v.FailurePolicy, "Ignore")
	if err := v.check(); err != nil {
		return "", err
	}
	t := template.New("").Option("missingkey=error")
	t.Funcs(template.FuncMap{
		"has":       func(one string, all []string) bool { return slices.Contains(all, one) },
		"include":   func(name string, dot any) (string, error) { return include(t, name, dot) },
		"join":      func(separator string, all []string) string { return strings.Join(all, separator) },
		"list":      func(all ...any) []any { return all },
		"nindent":   nindent,
		"sha256sum": func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) },
		"toJson":    toJSON,
	})
	if _, err := t.Parse(Template); err != nil {
		return "", err
	}
	text, err := include(t, "lanyard.connector", v.dot())
	if err != nil {
		return "", err
	}
	return namespace + "---\n" + text + "\n", nil
}

// The functions are Helm's own, so that both render one text.

func include(t *template.Template, name string, dot any) (string, error) {
	var out bytes.Buffer
	err := t.ExecuteTemplate(&out, name, dot)
	return out.String(), err
}

func nindent(n int, text string) string {
	pad := "\n" + strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(text, "\n", pad)
}

func toJSON(value any) (string, error) {
	text, err := json.Marshal(value)
	return string(text), err
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// Object is one object of the Kubernetes API.
type Object map[string]any

// Objects parses YAML documents.
func Objects(manifests string) ([]Object, error) {
	var all []Object
	for _, doc := range strings.Split(manifests, "\n---\n") {
		var o Object
		if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
			return nil, fmt.Errorf("reading manifest %d: %w", len(all)+1, err)
		}
		if o != nil {
			all = append(all, o)
		}
	}
	return all, nil
}

// kinds says where the API server has each kind that is in the manifests.
var kinds = map[string]struct {
	resource   string
	namespaced bool
}{
	"Namespace":           {"namespaces", false},
	"ServiceAccount":      {"serviceaccounts", true},
	"ClusterRole":         {"clusterroles", false},
	"ClusterRoleBinding":  {"clusterrolebindings", false},
	"Role":                {"roles", true},
	"RoleBinding":         {"rolebindings", true},
	"ConfigMap":           {"configmaps", true},
	"PriorityClass":       {"priorityclasses", false},
	"Service":             {"services", true},
	"PodDisruptionBudget": {"poddisruptionbudgets", true},
	"Deployment":          {"deployments", true},
}

// Kind and Name identify an object, Namespace where it has one.
func (o Object) Kind() string      { return o.text("kind") }
func (o Object) Name() string      { return o.metadata("name") }
func (o Object) Namespace() string { return o.metadata("namespace") }

// Path is where the API server has the object.
func (o Object) Path() (string, error) {
	k, known := kinds[o.Kind()]
	version := o.text("apiVersion")
	if !known || version == "" || o.Name() == "" || (o.Namespace() != "") != k.namespaced {
		return "", fault.New(fault.Invalid, "object %q %q in namespace %q is none that is installed", o.Kind(), o.Name(), o.Namespace())
	}
	path := "/apis/" + version
	if !strings.Contains(version, "/") {
		path = "/api/" + version
	}
	if k.namespaced {
		path += "/namespaces/" + o.Namespace()
	}
	return path + "/" + k.resource + "/" + o.Name(), nil
}

func (o Object) text(key string) string {
	s, _ := o[key].(string)
	return s
}

func (o Object) metadata(key string) string {
	m, _ := o["metadata"].(map[string]any)
	s, _ := m[key].(string)
	return s
}

// Paths are where the API server has the objects of the template, in the order of Manifests and without the namespace: those
// of all agent rights, given or not, so that what was given once is found.
func Paths() ([]string, error) {
	// Which objects there are depends on no other value.
	manifests, err := Manifests(Values{
		Cluster: "any", Server: "https://any", Region: "any", Role: "arn:aws:iam::000000000000:role/any", Repository: "any", Tag: "any",
		AgentRights: addon.Rights(),
	})
	if err != nil {
		return nil, err
	}
	objects, err := Objects(manifests)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, o := range objects {
		if o.Kind() == "Namespace" {
			continue
		}
		path, err := o.Path()
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// Made are the paths of what the connector makes by itself in its namespace.
func Made() []string {
	return []string{
		"/api/v1/namespaces/" + Namespace + "/secrets/" + Certificates,
		"/api/v1/namespaces/" + Namespace + "/secrets/" + Spare,
		"/api/v1/namespaces/" + Namespace + "/configmaps/" + Pods,
		"/apis/coordination.k8s.io/v1/namespaces/" + Namespace + "/leases/" + Lease,
	}
}
