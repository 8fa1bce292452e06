package kube

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

const audience = "pods.eks.amazonaws.com"

// TestCluster is what all other tests stand on: two nodes, pods with addresses of both kinds that reach each other, tokens
// with EKS's claims, a server's address that pods reach, and no way out.
func TestCluster(t *testing.T) {
	for _, node := range []string{"1", "2"} {
		if got := output(t, "kubectl", "get", "node", "node"+node, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); got != "True" {
			t.Errorf("node%s: ready %q, want True", node, got)
		}
	}
	ns := newNamespace(t)
	ns.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: shop}\n")
	for _, node := range []string{"node1", "node2"} {
		ns.apply(tokenPod(t, node))
	}
	ns.wait("condition=Ready", "pod/node1", "pod/node2")

	in := func(pod string, does ...string) string {
		return strings.TrimSpace(ns.kubectl(append([]string{"exec", pod, "--", "/probe"}, does...)...))
	}
	ips := map[string][]string{}
	for _, name := range []string{"node1", "node2"} {
		var pod struct {
			Metadata struct{ UID string }
			Spec     struct{ NodeName string }
			Status   struct{ PodIPs []struct{ IP string } }
		}
		ns.get("pod/"+name, &pod)
		for _, ip := range pod.Status.PodIPs {
			ips[name] = append(ips[name], ip.IP)
		}
		if seen := strings.Fields(in(name, "addresses")); len(seen) != 2 || !slices.Equal(slices.Sorted(slices.Values(seen)), slices.Sorted(slices.Values(ips[name]))) {
			t.Fatalf("%s has %v, and its status says %v: want one address of each kind", name, seen, ips[name])
		}
		if v4, v6 := net.ParseIP(ips[name][0]), net.ParseIP(ips[name][1]); v4.To4() == nil || v6.To4() != nil || pod.Spec.NodeName != name {
			t.Errorf("%s on %s has %v, want IPv4 and IPv6", name, pod.Spec.NodeName, ips[name])
		}
		claims := claimsOf(t, in(name, "cat", "/token/token"))
		want := claim{Iss: "https://kubernetes.default.svc.cluster.local", Aud: []string{audience}, Sub: "system:serviceaccount:" + ns.name + ":shop"}
		want.Kubernetes.Namespace, want.Kubernetes.Node.Name = ns.name, name
		want.Kubernetes.Pod.Name, want.Kubernetes.Pod.UID, want.Kubernetes.ServiceAccount.Name = name, pod.Metadata.UID, "shop"
		if got, want := fmt.Sprint(claims), fmt.Sprint(want); got != want {
			t.Errorf("the token of %s says %s, want %s", name, got, want)
		}
	}

	// From node to node, by both kinds, the caller keeps its own address.
	for i := range 2 {
		if got, want := in("node1", "get", "http://"+net.JoinHostPort(ips["node2"][i], "8080")), "200 OK\n"+ips["node1"][i]; got != want {
			t.Errorf("node2 answers node1 %q, want %q", got, want)
		}
	}
	// Nobody listens there yet, and somebody says so: the address is reached. The documentation's addresses are not.
	for _, ip := range []net.IP{serverIPv4, serverIPv6} {
		if got := in("node2", "dial", net.JoinHostPort(ip.String(), "9")); !strings.HasSuffix(got, "connection refused") {
			t.Errorf("the server's address %s: %s, want connection refused", ip, got)
		}
	}
	for _, address := range []string{"192.0.2.1:443", "[2001:db8::1]:443", "1.1.1.1:443"} {
		for _, pod := range []string{"node1", "node2"} {
			if got := in(pod, "dial", address); !strings.HasSuffix(got, "unreachable") && !strings.HasSuffix(got, "no route to host") {
				t.Errorf("a pod of %s dials %s: %s, want it unreachable", pod, address, got)
			}
		}
		if conn, err := net.Dial("tcp", address); err == nil || !strings.HasSuffix(err.Error(), "unreachable") {
			t.Errorf("node1 dials %s: %v, %v, want it unreachable", address, conn, err)
		}
	}
}

// tokenPod is a pod on a node, named as it, which serves and holds a token for EKS Pod Identity.
func tokenPod(t *testing.T, node string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: %[1]s
spec:
  nodeName: %[1]s
  serviceAccountName: shop
  terminationGracePeriodSeconds: 1
  containers:
  - name: probe
    image: %[2]s
    imagePullPolicy: Never
    args: [serve, ":8080"]
    volumeMounts: [{name: token, mountPath: /token}]
    readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
  volumes:
  - name: token
    projected:
      sources:
      - serviceAccountToken: {audience: %[3]s, expirationSeconds: 86400, path: token}
`, node, image(t, "probe"), audience)
}

// claim is what Lanyard reads of a token.
type claim struct {
	Iss        string
	Aud        []string
	Sub        string
	Kubernetes struct {
		Namespace      string
		Node           struct{ Name string }
		Pod            struct{ Name, UID string }
		ServiceAccount struct{ Name string }
	} `json:"kubernetes.io"`
}

func claimsOf(t *testing.T, token string) (c claim) {
	t.Helper()
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a token", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatalf("the token's claims: %v", err)
	}
	return c
}
