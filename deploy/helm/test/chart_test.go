package test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/connector/install"
)

var update = flag.Bool("update", false, "rewrite what the chart renders in testdata")

const folder = "../lanyard"

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render is `helm template lanyard CHART --namespace NAMESPACE --values VALUES`.
func render(t *testing.T, namespace, values string) (string, error) {
	t.Helper()
	var v map[string]any
	if err := yaml.UnmarshalStrict([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	c := load(t)
	options := common.ReleaseOptions{Name: "lanyard", Namespace: namespace, IsInstall: true, Revision: 1}
	top, err := util.ToRenderValues(c, v, options, nil)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(c, top)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if text := strings.TrimSpace(files[name]); text != "" && !strings.HasSuffix(name, ".tpl") && !strings.HasSuffix(name, "NOTES.txt") {
			out.WriteString("---\n# " + filepath.Base(name) + "\n" + text + "\n")
		}
	}
	return out.String(), nil
}

func cases(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: got %d files, %v", pattern, len(files), err)
	}
	return files
}

// TestTemplateIsShared: the chart's copy is the same, to the part that no test renders. It comes first, so that -update renders the new one.
func TestTemplateIsShared(t *testing.T) {
	const file = folder + "/templates/_connector.tpl"
	if *update {
		if err := os.WriteFile(file, []byte(install.Template), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, []byte(install.Template)) {
		t.Errorf("%s is not connector/install's template: `go test -update` copies it", file)
	}
}

// TestGolden: each testdata/*.txtar has values and what they make.
func TestGolden(t *testing.T) {
	files := cases(t, "testdata/*.txtar")
	if len(files) < 10 {
		t.Errorf("got %d sets of values, want ten at least", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := render(t, install.Namespace, string(archive.Files[0].Data))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				archive.Files = append(archive.Files[:1], txtar.File{Name: "manifests.yaml", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if len(archive.Files) != 2 {
				t.Fatalf("%s has %d files, want values.yaml and manifests.yaml", file, len(archive.Files))
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
			objects, err := install.Objects(got)
			if err != nil {
				t.Fatal(err)
			}
			hold(t, objects)
		})
	}
}

// hold holds every object to what is true of all of them.
func hold(t *testing.T, objects []install.Object) {
	t.Helper()
	seen := map[string]bool{}
	for _, o := range objects {
		id := o.Kind() + " " + o.Namespace() + "/" + o.Name()
		if o.Kind() == "" || o.Name() == "" || seen[id] {
			t.Errorf("object %q has no kind or no name, or is there twice", id)
		}
		seen[id] = true
		if o.Kind() == "Secret" {
			t.Errorf("%s: values hold no secrets, and so no Secret is made of them", id)
		}
		spec, _ := o["spec"].(map[string]any)
		pods, _ := spec["template"].(map[string]any)
		if pods == nil {
			continue
		}
		pod := pods["spec"].(map[string]any)
		user := pod["securityContext"].(map[string]any)
		if user["runAsNonRoot"] != true || pod["hostNetwork"] != nil {
			t.Errorf("%s: security context %v", id, user)
		}
		for _, c := range pod["containers"].([]any) {
			c := c.(map[string]any)
			confined := c["securityContext"].(map[string]any)
			want := map[string]any{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}},
			}
			if diff := cmp.Diff(want, confined); diff != "" {
				t.Errorf("%s, container %v (-want +got):\n%s", id, c["name"], diff)
			}
			if c["resources"] == nil {
				t.Errorf("%s, container %v: no resources", id, c["name"])
			}
		}
	}
}

// TestConnectorIsAsJoined: the chart and `lanyard join` install the same connector.
func TestConnectorIsAsJoined(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/lanyard-connector-0123456789abcdef0123456789abcdef"
	const ca = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
	tests := []struct {
		name   string
		values install.Values
		chart  string
	}{
		{
			"least",
			install.Values{Cluster: "prod", Server: "https://lanyard.example", Region: "us-east-1", Role: role, Repository: "ghcr.io/openlanyard", Tag: "0.1.0"},
			`connector: {enabled: true, cluster: prod, server: "https://lanyard.example", roleArn: "` + role + `"}`,
		},
		{
			"all",
			install.Values{
				Cluster: "other_1", Server: "https://192.0.2.10:8443/", Region: "eu-central-1", Role: role, CA: ca, Repository: "registry.example:5000/a/b",
				Tag: "1.2.3-rc.1", PullPolicy: "Never", FailurePolicy: "Fail",
				AgentRights: []addon.Right{addon.VerifyPods, addon.StartupTaint},
			},
			`image: {repository: "registry.example:5000/a/b", tag: 1.2.3-rc.1, pullPolicy: Never}
connector:
  {enabled: true, cluster: other_1, server: "https://192.0.2.10:8443/", region: eu-central-1, roleArn: "` + role + `", failurePolicy: Fail,
   agentRights: [verify-pods, startup-taint],
   ca: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			joined, err := install.Manifests(tt.values)
			if err != nil {
				t.Fatal(err)
			}
			charted, err := render(t, install.Namespace, "server: {enabled: false}\n"+tt.chart)
			if err != nil {
				t.Fatal(err)
			}
			want, err := install.Objects(joined)
			if err != nil {
				t.Fatal(err)
			}
			got, err := install.Objects(charted)
			if err != nil {
				t.Fatal(err)
			}
			if want[0].Kind() != "Namespace" || len(want) < 10 {
				t.Fatalf("join applies %d objects, the first a %s", len(want), want[0].Kind())
			}
			if diff := cmp.Diff(want[1:], got); diff != "" { // Helm makes the namespace
				t.Errorf("(-join +chart):\n%s", diff)
			}
		})
	}
}

// TestRefused: wrong values are refused, each for what is said; the same values without the change are accepted.
func TestRefused(t *testing.T) {
	const (
		role      = `"arn:aws:iam::111122223333:role/lanyard-connector-0123456789abcdef0123456789abcdef"`
		connector = `connector: {enabled: true, cluster: prod, server: "https://lanyard.example", roleArn: ` + role
		gateway   = `gateway: {enabled: true, account: "111122223333", keySecret: key, tlsSecret: tls, upstream: {url: "http://store:9000", keySecret: store}`
	)
	tests := []struct{ name, accepted, refused, why string }{
		{"a second replica of the server", `server: {replicas: 1}`, `server: {replicas: 2}`, "/server/replicas"},
		{"an unknown value", `server: {region: us-east-1}`, `server: {regoin: us-east-1}`, "regoin"},
		{"an unknown section", `server: {}`, `servers: {}`, "servers"},
		{"a secret in the values", `gateway: {keySecret: a}`, `gateway: {secretAccessKey: a}`, "secretAccessKey"},
		{"an account that is none", `server: {account: "111122223333"}`, `server: {account: "1111"}`, "/server/account"},
		{"an account that is a number", `server: {account: "111122223333"}`, `server: {account: 111122223333}`, "/server/account"},
		{"a size without a unit", `server: {storage: {size: 1Gi}}`, `server: {storage: {size: "1"}}`, "/server/storage/size"},
		{"an address with an option", `server: {addresses: [192.0.2.1]}`, `server: {addresses: ["a --tls-cert=x"]}`, "/server/addresses/0"},
		{"no administrator's Secret", `server: {administratorSecret: a}`, `server: {administratorSecret: ""}`, "/server/administratorSecret"},
		{"a repository with a tag", `image: {repository: registry.example/a}`, `image: {repository: "registry.example/a:1"}`, "/image/repository"},
		{"a connector without a cluster", connector + `}`, connector + `, cluster: ""}`, "/connector/cluster"},
		{"a connector without a role", connector + `}`, strings.Replace(connector, role, `""`, 1) + `}`, "/connector/roleArn"},
		{"the agent's role for a connector", connector + `}`, strings.Replace(connector, "role/lanyard-connector-", "role/lanyard-agent-", 1) + `}`, "/connector/roleArn"},
		{"a server without TLS", connector + `}`, strings.Replace(connector, "https://", "http://", 1) + `}`, "/connector/server"},
		{"a failure policy", connector + `, failurePolicy: Fail}`, connector + `, failurePolicy: Never}`, "/connector/failurePolicy"},
		{"a right that is none", connector + `, agentRights: [verify-pods]}`, connector + `, agentRights: [everything]}`, "/connector/agentRights/0"},
		{"a right twice", connector + `, agentRights: [verify-pods, startup-taint]}`, connector + `, agentRights: [verify-pods, verify-pods]}`, "/connector/agentRights"},
		{"a key for a CA", connector + `, ca: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"}`, connector + `, ca: "-----BEGIN PRIVATE KEY-----\n"}`, "/connector/ca"},
		{"a gateway with two identities", gateway + `}`, gateway + `, roleArn: "arn:aws:iam::111122223333:role/gateway"}`, "/gateway"},
		{"a gateway without an identity", gateway + `}`, strings.Replace(gateway, "keySecret: key, ", "", 1) + `}`, "/gateway"},
		{"a gateway without a certificate", gateway + `}`, strings.Replace(gateway, "tlsSecret: tls, ", "", 1) + `}`, "/gateway/tlsSecret"},
		{"a gateway without a store", gateway + `}`, strings.Replace(gateway, `url: "http://store:9000", `, "", 1) + `}`, "/gateway/upstream/url"},
		{"two kinds of volume", gateway + `, auditVolume: {emptyDir: {}}}`, gateway + `, auditVolume: {emptyDir: {}, hostPath: {path: /}}}`, "/gateway/auditVolume"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// A member that is there twice is the last one.
			accepted, refused := flat(t, tt.accepted), flat(t, tt.refused)
			if _, err := render(t, install.Namespace, accepted); err != nil {
				t.Errorf("%s: %v, want it accepted", accepted, err)
			}
			_, err := render(t, install.Namespace, refused)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%s: got %v, want it refused for %s", refused, err, tt.why)
			}
		})
	}
}

func flat(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestNamespace: in another namespace the connector could not become its role.
func TestNamespace(t *testing.T) {
	const values = `connector: {enabled: true, cluster: prod, server: "https://a", roleArn: "arn:aws:iam::111122223333:role/lanyard-connector-0123456789abcdef0123456789abcdef"}`
	if _, err := render(t, "elsewhere", values); err == nil || !strings.Contains(err.Error(), "lanyard-system") {
		t.Errorf("got %v, want it refused with the namespace that is accepted", err)
	}
	if _, err := render(t, "elsewhere", "server: {}"); err != nil {
		t.Errorf("a server elsewhere: %v", err)
	}
}
