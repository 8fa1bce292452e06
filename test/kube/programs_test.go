package kube

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPrograms stops and starts what others stop and start: nothing answers meanwhile, and pods live through it.
func TestPrograms(t *testing.T) {
	ns := newNamespace(t)
	ns.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: shop}\n")
	ns.apply(tokenPod(t, "node2"))
	ns.wait("condition=Ready", "pod/node2")
	container := func() string {
		return ns.kubectl("get", "pod", "node2", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
	}
	before := container()

	manage(t, "stop", "-KILL", "kube-apiserver")
	if got := ns.try("get", "pods"); got.status == 0 {
		t.Errorf("the API server answers after it was stopped: %s", got.out)
	}
	manage(t, "start", "kube-apiserver")
	eventually(t, "the API server is back", func() (bool, string) {
		got := ns.try("get", "--raw", "/readyz")
		return got.status == 0, got.errors
	})

	manage(t, "stop", "-KILL", "kubelet", "2")
	manage(t, "stop", "-KILL", "containerd", "2")
	if got := onNode(t, "2", "ctr", "--connect-timeout=1s", "containers", "list"); got.status == 0 {
		t.Errorf("containerd answers after it was killed: %s", got.out)
	}
	manage(t, "start", "containerd", "2")
	manage(t, "start", "kubelet", "2")
	ns.apply(strings.Replace(tokenPod(t, "node2"), "name: node2", "name: after", 1))
	ns.wait("condition=Ready", "pod/after", "pod/node2")
	if after := container(); after != before {
		t.Errorf("the pod has container %s, want that of before, %s", after, before)
	}
}

// TestRotate has the API server sign with another key: it takes tokens by either, tells anybody of both keys, and takes none
// that neither signed.
func TestRotate(t *testing.T) {
	ns := newNamespace(t)
	token := func() string {
		return strings.TrimSpace(ns.kubectl("create", "token", "default", "--audience", audience))
	}
	first := token()
	manage(t, "rotate")
	second := token()
	if keyOf(t, first) == keyOf(t, second) {
		t.Fatalf("both tokens are by key %s", keyOf(t, first))
	}
	forged := second[:strings.LastIndex(second, ".")] + first[strings.LastIndex(first, "."):]
	for _, c := range []struct{ name, token, want string }{{"before", first, "true"}, {"after", second, "true"}, {"forged", forged, ""}} {
		if got := reviewed(t, c.token); got != c.want {
			t.Errorf("%s: authenticated %q, want %q", c.name, got, c.want)
		}
	}

	var published struct{ Keys []struct{ Kid string } }
	text := output(t, "curl", "--silent", "--fail", "--cacert", filepath.Join(filepath.Dir(os.Getenv("KUBECONFIG")), "ca.crt"), "https://10.99.0.1:6443/openid/v1/jwks")
	if err := json.Unmarshal([]byte(text), &published); err != nil {
		t.Fatal(err)
	}
	var kids []string
	for _, k := range published.Keys {
		kids = append(kids, k.Kid)
	}
	if !slices.Contains(kids, keyOf(t, first)) || !slices.Contains(kids, keyOf(t, second)) {
		t.Errorf("published are %v, want %s and %s among them", kids, keyOf(t, first), keyOf(t, second))
	}
}

// reviewed is what the API server says of a token.
func reviewed(t *testing.T, token string) string {
	t.Helper()
	argv := strings.Fields("kubectl create --filename - -o jsonpath={.status.authenticated}")
	return ok(t, run(t, environment(), fmt.Sprintf(`{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
		"spec": {"token": %q, "audiences": [%q]}}`, token, audience), argv...), argv)
}

// keyOf is the id of the key that signed a token.
func keyOf(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	var header struct{ Alg, Kid string }
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err == nil {
		err = json.Unmarshal(text, &header)
	}
	if err != nil || header.Alg != "RS256" || header.Kid == "" {
		t.Fatalf("the token's header: %v, %+v, want RS256 and a key", err, header)
	}
	return header.Kid
}
