package install

import (
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/connector"
	"github.com/openlanyard/lanyard/fault"
)

var update = flag.Bool("update", false, "rewrite testdata")

func values() Values {
	return Values{
		Cluster: "prod", Server: "https://192.0.2.10:8443", Region: "us-east-1",
		Role: "arn:aws:iam::111122223333:role/lanyard-connector-0123456789abcdef0123456789abcdef",
		CA:   "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", Repository: "registry.example/lanyard", Tag: "1.2.3",
	}
}

// made are the objects that the values make, and their text.
func made(t *testing.T, v Values) ([]Object, string) {
	t.Helper()
	text, err := Manifests(v)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Objects(text)
	if err != nil {
		t.Fatal(err)
	}
	return objects, text
}

func TestManifests(t *testing.T) {
	most := values()
	most.AgentRights = addon.Rights()
	for file, v := range map[string]Values{"testdata/connector.yaml": values(), "testdata/rights.yaml": most} {
		holdGolden(t, file, v)
	}
}

func holdGolden(t *testing.T, file string, v Values) {
	t.Helper()
	got, err := Manifests(v)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestManifestsRefuse(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Values)
	}{
		{"no cluster", func(v *Values) { v.Cluster = "" }},
		{"no region", func(v *Values) { v.Region = "" }},
		{"server without TLS", func(v *Values) { v.Server = "http://192.0.2.10:8443" }},
		{"server with a path", func(v *Values) { v.Server += "/lanyard" }},
		{"server with a password", func(v *Values) { v.Server = "https://a:b@192.0.2.10" }},
		{"role that is none", func(v *Values) { v.Role = "lanyard-connector" }},
		{"role of another service", func(v *Values) { v.Role = "arn:aws:sts::111122223333:role/x" }},
		{"repository with a scheme", func(v *Values) { v.Repository = "https://registry.example" }},
		{"repository with a tag", func(v *Values) { v.Repository = "registry.example/lanyard:1" }},
		{"repository with an option", func(v *Values) { v.Repository = "registry.example/a b" }},
		{"empty repository", func(v *Values) { v.Repository = "" }},
		{"empty tag", func(v *Values) { v.Tag = "" }},
		{"tag with a digest", func(v *Values) { v.Tag = "1@sha256:00" }},
		{"failure policy", func(v *Values) { v.FailurePolicy = "ignore" }},
		{"an agent right", func(v *Values) { v.AgentRights = []addon.Right{"everything"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := values()
			tt.change(&v)
			if got, err := Manifests(v); !fault.Is(err, fault.Invalid) {
				t.Errorf("Manifests(%+v) = %d bytes, %v; want it refused as invalid", v, len(got), err)
			}
		})
	}
}

// TestHostileValues: a value stays a value, whatever YAML would make of it.
func TestHostileValues(t *testing.T) {
	v := values()
	v.Cluster = "a\"}\n---\napiVersion: v1\nkind: Secret"
	v.CA = "'\n---\nkind: Secret\n{{ .server }}"
	objects, _ := made(t, v)
	for _, o := range objects {
		if _, err := o.Path(); err != nil {
			t.Errorf("the values made an object: %v", err)
		}
		if o.Kind() == "ConfigMap" {
			got := o["data"].(map[string]any)
			if got["cluster"] != v.Cluster || got["ca.pem"] != v.CA {
				t.Errorf("data %q, want the values as they were given", got)
			}
		}
	}
}

// TestRights holds the rights to what they may never be.
func TestRights(t *testing.T) {
	objects, _ := made(t, values())
	rules := 0
	for _, o := range objects {
		if o.Kind() != "ClusterRole" && o.Kind() != "Role" {
			continue
		}
		for _, r := range o["rules"].([]any) {
			rules++
			rule := r.(map[string]any)
			words := func(key string) (all []string) {
				list, _ := rule[key].([]any)
				for _, w := range list {
					all = append(all, w.(string))
				}
				return all
			}
			where := o.Kind() + " in " + o.Namespace()
			for _, key := range []string{"apiGroups", "resources", "verbs"} {
				if slices.Contains(words(key), "*") {
					t.Errorf("%s: %s are %v: everything is too much", where, key, words(key))
				}
			}
			resources, names, verbs := words("resources"), words("resourceNames"), words("verbs")
			own := o.Namespace() == Namespace
			made := own && slices.Equal(verbs, []string{"create"})
			if slices.Contains(resources, "secrets") && !made && (!own || !slices.Equal(names, []string{Certificates}) && !slices.Equal(names, []string{Spare})) {
				t.Errorf("%s: %v of Secrets %v: the connector has two, in %s", where, verbs, names, Namespace)
			}
			if slices.Contains(resources, "serviceaccounts/token") && (!made || !slices.Equal(names, []string{Name})) {
				t.Errorf("%s: %v of tokens of %v: the connector's own is enough", where, verbs, names)
			}
			for _, verb := range []string{"bind", "escalate", "impersonate", "deletecollection"} {
				if slices.Contains(verbs, verb) {
					t.Errorf("%s: %s of %v", where, verb, resources)
				}
			}
			for _, resource := range []string{"clusterroles", "roles", "rolebindings", "clusterrolebindings", "pods/exec"} {
				if slices.Contains(resources, resource) {
					t.Errorf("%s: rights over %s", where, resource)
				}
			}
			changes := slices.ContainsFunc(verbs, func(v string) bool { return v == "update" || v == "patch" || v == "delete" })
			if changes && len(names) == 0 {
				t.Errorf("%s: %v of all %v", where, verbs, resources)
			}
		}
	}
	if rules < 5 {
		t.Errorf("read %d rules: the test is broken", rules)
	}
}

// TestRightsAreThoseThatTheConnectorNeeds: no fewer, and no more. The connector's own tests hold it to what it says it needs.
func TestRightsAreThoseThatTheConnectorNeeds(t *testing.T) {
	needed := connector.RightsNeeded()
	want := slices.Concat(grants("", needed.Cluster), grants(Namespace, needed.Namespace), grants(AgentNamespace, needed.System))
	objects, _ := made(t, values())
	var got []string
	for _, o := range objects {
		if o.Kind() != "ClusterRole" && o.Kind() != "Role" {
			continue
		}
		var role rbacv1.Role
		text, err := json.Marshal(o)
		if err == nil {
			err = json.Unmarshal(text, &role)
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, grants(o.Namespace(), role.Rules)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights (-needed +given):\n%s", diff)
	}
}

// grants has a line for each thing that rules allow in a namespace, or everywhere.
func grants(namespace string, rules []rbacv1.PolicyRule) (all []string) {
	for _, r := range rules {
		things := slices.Clone(r.NonResourceURLs)
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				if len(r.ResourceNames) == 0 {
					things = append(things, group+"/"+resource)
				}
				for _, name := range r.ResourceNames {
					things = append(things, group+"/"+resource+" "+name)
				}
			}
		}
		for _, thing := range things {
			for _, verb := range r.Verbs {
				all = append(all, namespace+": "+verb+" "+thing)
			}
		}
	}
	return all
}

// TestAgentRightsAreGivenOneByOne: each brings its own role for the agent, and nothing for the connector.
func TestAgentRightsAreGivenOneByOne(t *testing.T) {
	for right, want := range map[addon.Right][]string{
		"":                 nil,
		addon.VerifyPods:   {"lanyard-agent-verify-pods"},
		addon.StartupTaint: {"lanyard-agent-startup-taint"},
	} {
		v := values()
		if right != "" {
			v.AgentRights = []addon.Right{right}
		}
		objects, text := made(t, v)
		var bound []string
		for _, o := range objects {
			if o.Kind() != "ClusterRoleBinding" || o.Name() == Name {
				continue
			}
			who := o["subjects"].([]any)[0].(map[string]any)
			if who["name"] != Agent || who["namespace"] != AgentNamespace || o["roleRef"].(map[string]any)["name"] != o.Name() {
				t.Errorf("%q: %s binds %v", right, o.Name(), o)
			}
			bound = append(bound, o.Name())
		}
		if !slices.Equal(bound, want) {
			t.Errorf("%q binds %q, want %q", right, bound, want)
		}
		if told := strings.Contains(text, "--agent-rights="); told != (right != "") {
			t.Errorf("%q: the connector is told of rights: %v", right, told)
		}
	}
}

func TestPaths(t *testing.T) {
	paths, err := Paths()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/api/v1/namespaces/lanyard-system/serviceaccounts/lanyard-connector",
		"/apis/rbac.authorization.k8s.io/v1/clusterroles/lanyard-connector",
		"/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/lanyard-connector",
		"/apis/apps/v1/namespaces/lanyard-system/deployments/lanyard-connector",
		"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/lanyard-agent-startup-taint",
	} {
		if !slices.Contains(paths, want) {
			t.Errorf("paths %s: want %s among them", strings.Join(paths, "\n"), want)
		}
	}
	for _, o := range []Object{
		{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "a", "namespace": "b"}},
		{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "a"}},
		{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "a", "namespace": "b"}},
		{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"namespace": "b"}},
		{"kind": "Service", "metadata": map[string]any{"name": "a", "namespace": "b"}},
	} {
		if path, err := o.Path(); err == nil {
			t.Errorf("Path of %v is %q, want it refused", o, path)
		}
	}
}
