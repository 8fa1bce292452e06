package inject_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/inject"
)

// podOf is as large as pods are when the API server asks: two containers, probes, managed fields.
func podOf() string {
	container := func(name string) string {
		return `{"name":"` + name + `","image":"registry.example.com/team/` + name + `:v1.2.3","args":["--listen=:8080","--log=json"],` +
			`"env":[` + strings.TrimSuffix(strings.Repeat(`{"name":"SETTING","value":"some value"},`, 12), ",") + `],` +
			`"resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},` +
			`"livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},` +
			`"volumeMounts":[{"name":"data","mountPath":"/data"},{"name":"kube-api-access-x2x2x","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}`
	}
	managed := strings.TrimSuffix(strings.Repeat(`"k:{\"name\":\"SETTING\"}":{".":{},"f:name":{},"f:value":{}},`, 40), ",")
	return fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"api-5d9c7b6f4-","namespace":"pay","creationTimestamp":null,`+
		`"labels":{"app":"api","pod-template-hash":"5d9c7b6f4"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"api-5d9c7b6f4","uid":"1b671a64-40d5-491e-99b0-da01ff1f3341"}],`+
		`"managedFields":[{"manager":"kube-controller-manager","operation":"Update","fieldsV1":{"f:spec":{%s}}}]},`+
		`"spec":{"volumes":[{"name":"data","emptyDir":{}},{"name":"kube-api-access-x2x2x","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}]}}],`+
		`"containers":[%s,%s],"restartPolicy":"Always","serviceAccountName":"api","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]},"status":{}}`,
		managed, container("app"), container("proxy"))
}

// BenchmarkPatch injects all that there is.
func BenchmarkPatch(b *testing.B) {
	pod, recipe := podOf(), inject.New(everything)
	b.SetBytes(int64(len(pod)))
	b.ReportAllocs()
	for b.Loop() {
		if patch, err := recipe.Patch(pod, nil); err != nil || patch == nil {
			b.Fatal(string(patch), err)
		}
	}
}

// BenchmarkFloor decodes what decides, and nothing else: no less can be done with encoding/json.
func BenchmarkFloor(b *testing.B) {
	pod := []byte(podOf())
	b.SetBytes(int64(len(pod)))
	b.ReportAllocs()
	for b.Loop() {
		var p struct {
			Metadata struct{ Labels, Annotations map[string]string }
			Spec     struct {
				Volumes    []struct{ Name string }
				Containers []struct {
					Name              string
					Env, VolumeMounts []struct{ Name string }
				}
			}
		}
		if err := json.Unmarshal(pod, &p); err != nil {
			b.Fatal(err)
		}
	}
}
