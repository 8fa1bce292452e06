package kube

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// once is a pod that runs a program of an image to its end; nothing in it is about Lanyard. It has a region, so that a pod which is
// given nothing lacks its credentials alone.
func once(name, node, account, image string, command ...string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  nodeName: %s
  serviceAccountName: %s
  restartPolicy: Never
  containers:
  - {name: shop, image: %s, imagePullPolicy: Never, env: [{name: AWS_REGION, value: us-east-1}, {name: AWS_DEFAULT_REGION, value: us-east-1}], command: [%s]}
`, name, node, account, image, strings.Join(command, ", "))
}

// TestSDKs has AWS's SDKs for Go, JavaScript and Java write and read an object from pods, over TLS with the server's own CA: the
// first two know it by what the pod is given, Java by the trust store in its image. Beside it stand pods whose account has no
// association, and a Java that trusts nobody.
func TestSDKs(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	w.bucket(ns.name)
	w.associate(ns, "shop", w.role(ns.name, "s3:GetObject s3:PutObject", "arn:aws:s3:::"+ns.name+"/*"))
	ns.kubectl("create", "serviceaccount", "stranger")
	packed := filepath.Join(cluster.home, "java.tar")
	manage(t, "trusting", w.ca, packed)
	manage(t, "import", packed, "lanyard.local/java:test")
	java := func(more ...string) []string {
		return append(append([]string{"/java/bin/java", "-cp", "/app/classes:/app/lib/*"}, more...), "Shop", ns.name, "by-java")
	}
	sdks := []struct {
		name, image string
		command     []string
		lost        string // what it says without credentials
	}{
		{"go", image(t, "probe"), []string{"/probe", "object", ns.name + "/by-go"}, "get credentials"},
		{"javascript", image(t, "javascript"), []string{"node", "/app/shop.mjs", ns.name, "by-javascript"}, "Could not load credentials from any providers"},
		{"java", "lanyard.local/java:test", java(), "Unable to load credentials from any of the providers"},
	}
	for _, s := range sdks {
		ns.apply(once(s.name+"-one", "node1", "shop", s.image, s.command...))
		ns.apply(once(s.name+"-two", "node2", "shop", s.image, s.command...))
		ns.apply(once(s.name+"-stranger", "node2", "stranger", s.image, s.command...))
	}
	ns.apply(once("java-trusting-nobody", "node1", "shop", "lanyard.local/java:test", java("-Djavax.net.ssl.trustStore=NONE")...))

	for _, s := range sdks {
		for _, pod := range []string{s.name + "-one", s.name + "-two"} {
			if phase, log := ns.ended(pod); phase != "Succeeded" || !strings.Contains(log, "wrote and read") {
				t.Errorf("%s: %s: %s", pod, phase, log)
			}
		}
		if phase, log := ns.ended(s.name + "-stranger"); phase != "Failed" || !strings.Contains(log, s.lost) {
			t.Errorf("%s without an association: %s: %s\nwant %q", s.name, phase, log, s.lost)
		}
	}
	if phase, log := ns.ended("java-trusting-nobody"); phase != "Failed" || !strings.Contains(log, "trustAnchors") {
		t.Errorf("a Java that trusts nobody: %s: %s", phase, log)
	}
	objects := w.aws("s3api list-objects-v2 --query Contents[].Key --output text --endpoint-url", w.s3, "--bucket", ns.name)
	if got := strings.Join(strings.Fields(objects), " "); got != "by-go by-java by-javascript" {
		t.Errorf("the bucket holds %s", got)
	}
}
