package inject_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/openlanyard/lanyard/inject"
)

// everything injects all that there is.
var everything = inject.Settings{
	Region: "eu-west-1", RegionalSTS: true, S3Endpoint: "https://10.0.0.7", STSEndpoint: "https://10.0.0.8",
	CABundle: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
}

// FuzzPatch holds for any pod: the patch applies, it takes nothing away, and what comes out needs no other.
func FuzzPatch(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 10 {
		f.Fatalf("the tables in testdata: %v, %v", files, err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range a.Files {
			if !strings.HasSuffix(part.Name, ": pod") {
				continue
			}
			pod, err := yaml.YAMLToJSON(part.Data)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(pod))
		}
	}
	f.Add(`{"metadata":{"labels":null,"annotations":{"a/b~c":"d"}},"spec":{"volumes":[null],"containers":[{"env":[null,{"name":1}]}]}}`)
	f.Add(`{"metadata":[],"metadata":{},"spec":1,"spec":{"containers":[{"name":"\u0061","name":"b"}],"containers":[{}]}}`)
	f.Add(`{"metadata":{"labels":{"eks.amazonaws.com\/pod-identity":"x"}},"spec":{"initContainers":[{"volumeMounts":[]}]}}`)
	recipe := inject.New(everything)
	f.Fuzz(func(t *testing.T, pod string) {
		patch, err := recipe.Patch(pod, nil)
		if err != nil || !json.Valid([]byte(pod)) {
			return // the API server has decoded what it asks about
		}
		out := apply(t, pod, patch)
		var before, after map[string]any
		if err := json.Unmarshal([]byte(pod), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out), &after); err != nil {
			t.Fatal(err)
		}
		forget(before, "labels", inject.Label)
		forget(before, "annotations", inject.CAAnnotation)
		if !holds(after, before) {
			t.Errorf("%s became %s by %s: something is gone", pod, out, patch)
		}
		if again, err := recipe.Patch(out, nil); err != nil || again != nil {
			t.Errorf("%s, injected: %s, %v: want no patch", out, again, err)
		}
	})
}

// forget takes out a name whose value is ours to set.
func forget(pod map[string]any, group, name string) {
	if metadata, ok := pod["metadata"].(map[string]any); ok {
		if names, ok := metadata[group].(map[string]any); ok {
			delete(names, name)
		}
	}
}

// holds says whether all of want is in got, in its order: lists may be longer at one end.
func holds(got, want any) bool {
	switch want := want.(type) {
	case nil:
		return true // null is nothing yet
	case map[string]any:
		got, ok := got.(map[string]any)
		for name, w := range want {
			ok = ok && holds(got[name], w)
		}
		return ok
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) < len(want) {
			return false
		}
		return all(got[:len(want)], want) || all(got[len(got)-len(want):], want)
	default:
		return reflect.DeepEqual(got, want)
	}
}

func all(got, want []any) bool {
	for i := range want {
		if !holds(got[i], want[i]) {
			return false
		}
	}
	return true
}
