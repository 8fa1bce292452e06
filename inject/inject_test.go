package inject_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/inject"
)

var update = flag.Bool("update", false, "rewrite the pods in testdata that come out")

// drawn is the random number of every table.
const drawn = 1234

// TestTables holds the tables in testdata, a rule each. A case has a pod, what goes in beside it where that matters, and
// the pod that comes out when the patch is applied by the library that the API server uses.
func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("the tables in testdata: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts, names := map[string]string{}, []string{}
			for _, f := range a.Files {
				parts[f.Name] = string(f.Data)
				if name, ok := strings.CutSuffix(f.Name, ": pod"); ok {
					names = append(names, name)
				}
			}
			if len(names) < 3 {
				t.Fatalf("cases %q: a rule has those where it applies and those where it does not", names)
			}
			out := txtar.Archive{Comment: a.Comment}
			for _, name := range names {
				got := runCase(t, name, parts)
				for _, part := range []string{": pod", ": settings", ": service account"} {
					if text, ok := parts[name+part]; ok {
						out.Files = append(out.Files, txtar.File{Name: name + part, Data: []byte(text)})
					}
				}
				out.Files = append(out.Files, txtar.File{Name: name + ": out", Data: []byte(got)})
				if diff := cmp.Diff(parts[name+": out"], got); diff != "" && !*update {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(&out), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func runCase(t *testing.T, name string, parts map[string]string) string {
	t.Helper()
	settings := inject.Settings{}
	var annotations map[string]string
	for part, to := range map[string]any{": settings": &settings, ": service account": &annotations} {
		if text := parts[name+part]; text != "" {
			if err := json.Unmarshal([]byte(text), to); err != nil {
				t.Fatalf("%s%s: %v", name, part, err)
			}
		}
	}
	settings.Int64N = func(int64) int64 { return drawn }
	pod, err := yaml.YAMLToJSON([]byte(parts[name+": pod"]))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	recipe := inject.New(settings)
	patch, err := recipe.Patch(string(pod), annotations)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	got := apply(t, string(pod), patch)
	again, err := recipe.Patch(got, annotations)
	if err != nil || again != nil {
		t.Errorf("%s: injecting the pod that came out: %s, %v: want no patch", name, again, err)
	}
	text, err := yaml.JSONToYAML([]byte(got))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(text)
}

// apply returns the patched pod. Everything but an addition fails.
func apply(t *testing.T, pod string, patch []byte) string {
	t.Helper()
	if patch == nil {
		return pod
	}
	var ops []struct{ Op, Path string }
	if err := json.Unmarshal(patch, &ops); err != nil {
		t.Fatalf("patch %s: %v", patch, err)
	}
	for _, op := range ops {
		if op.Op != "add" {
			t.Errorf("operation %q of %s: want additions alone", op.Op, op.Path)
		}
	}
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatalf("patch %s: %v", patch, err)
	}
	out, err := p.Apply([]byte(pod))
	if err != nil {
		t.Fatalf("applying %s to %s: %v", patch, pod, err)
	}
	return string(out)
}

// TestSpread holds the default lifetime to its ends, and other ones to themselves.
func TestSpread(t *testing.T) {
	const pod = `{"metadata":{},"spec":{"containers":[]}}`
	tests := []struct {
		name  string
		draw  func(int64) int64
		write int64
		want  string
	}{
		{"least", func(int64) int64 { return 0 }, 0, `"expirationSeconds":79200,`},
		{"most", func(n int64) int64 { return n - 1 }, 0, `"expirationSeconds":86400,`},
		{"explicit", func(int64) int64 { t.Error("a number was drawn"); return 0 }, 86399, `"expirationSeconds":86399,`},
	}
	for _, tt := range tests {
		patch, err := inject.New(inject.Settings{Int64N: tt.draw, TokenSeconds: tt.write}).Patch(pod, nil)
		if err != nil || !strings.Contains(string(patch), tt.want) {
			t.Errorf("%s: patch %s, %v: want %s in it", tt.name, patch, err, tt.want)
		}
	}
}

// TestNoPod holds what cannot be patched: it is refused, and the message says where.
func TestNoPod(t *testing.T) {
	tests := []struct{ name, pod, want string }{
		{"empty", ``, "not JSON"},
		{"cut off", `{"spec":{"containers":[]}`, "not JSON"},
		{"two", `{"spec":{}}{}`, "not JSON"},
		{"a list", `[]`, "not a JSON object"},
		{"no spec", `{"metadata":{}}`, "spec is not an object"},
		{"null spec", `{"spec":null}`, "spec is not an object"},
		{"spec twice", `{"spec":{},"spec":1}`, "spec is not an object"},
		{"metadata", `{"metadata":[],"spec":{}}`, "metadata is not an object"},
		{"labels", `{"metadata":{"labels":"x"},"spec":{}}`, "metadata.labels is not an object"},
		{"annotations", `{"metadata":{"annotations":[]},"spec":{}}`, "metadata.annotations is not an object"},
		{"volumes", `{"spec":{"volumes":{}}}`, "spec.volumes is not a list"},
		{"containers", `{"spec":{"containers":{}}}`, "spec.containers is not a list"},
		{"container", `{"spec":{"containers":[null]}}`, "an element of spec.containers is not an object"},
		{"init container", `{"spec":{"initContainers":["x"]}}`, "an element of spec.initContainers is not an object"},
		{"env", `{"spec":{"containers":[{"env":{}}]}}`, "env is not a list"},
		{"mounts", `{"spec":{"containers":[{"volumeMounts":"x"}]}}`, "volumeMounts is not a list"},
	}
	for _, tt := range tests {
		patch, err := inject.New(inject.Settings{}).Patch(tt.pod, nil)
		if patch != nil || fault.Of(err) != fault.Malformed || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %s, %v: want Malformed, %q", tt.name, patch, err, tt.want)
		}
	}
}
