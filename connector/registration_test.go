package connector

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestRegistration holds what is applied to files that a person has read.
func TestRegistration(t *testing.T) {
	tests := []struct {
		name string
		r    Registration
	}{
		{"ignore", Registration{Namespace: "lanyard-system", Service: "lanyard-connector", CABundle: []byte("old and new\n")}},
		{"fail", Registration{Namespace: "lanyard-system", Service: "lanyard-connector", CABundle: []byte("one\n"), Fail: true}},
		{"in-kube-system", Registration{Namespace: "kube-system", Service: "lanyard-connector", CABundle: []byte("one\n"), Fail: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := yaml.Marshal(tt.r.configuration())
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "registration-"+tt.name+".yaml"), got)
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
