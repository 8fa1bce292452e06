package kube

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// world is the test cluster as somebody has it who uses Lanyard: an object store of another make, a gateway before it and a
// server, all over TLS, and the connector in the cluster, which has joined by the name below.
type world struct {
	*lanyard
	objects, gateway *process // nil: none
	upstream         string   // file with the keys of the object store
	s3               string   // https://10.99.0.100:PORT, the gateway
}

const clusterName = "test"

// agentName is of the add-on and of everything of its own in kube-system.
const agentName = "eks-pod-identity-agent"

// shared is the world of all tests that ask for no other. There is one at a time: a cluster is joined once.
var shared *world

// joined is the world that tests share, with the agent's add-on running. A test that asks for it is not parallel to others.
func joined(t *testing.T) *world {
	t.Helper()
	if shared == nil {
		shared = join(t)
		shared.use(t)
		shared.aws("eks create-addon --addon-name "+agentName+" --cluster-name", clusterName)
		shared.active()
		return shared
	}
	shared.use(t)
	return shared
}

// newWorld is one that has just joined. It becomes what tests share after this one.
func newWorld(t *testing.T) *world {
	t.Helper()
	if shared != nil {
		shared.t = t
		shared.end()
	}
	shared = join(t)
	shared.use(t)
	return shared
}

// use lends the world to a test, and tells what went on in it when that fails.
func (w *world) use(t *testing.T) {
	w.t = t
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, ns := range []namespace{{t, "lanyard-system"}, {t, "kube-system"}} {
			ns.tell()
		}
		for _, p := range []*process{w.server, w.gateway, w.objects} {
			if p != nil {
				t.Logf("%q\n%s", p.argv, p.log)
			}
		}
	})
}

// join starts everything and joins the cluster.
func join(t testing.TB) *world {
	t.Helper()
	clear(t)
	folder, err := os.MkdirTemp(cluster.home, "world-*")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{lanyard: openLanyard(t, folder)}
	objects, any := filepath.Join(folder, "objects"), serverIPv4.String()+":0"
	if err := os.Mkdir(objects, 0o700); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(cluster.root, ".tools", "kube", "objects")
	w.upstream = filepath.Join(folder, "upstream.env")
	w.objects = serving(t, []string{store, objects, filepath.Join(w.dir, "tls.pem"), filepath.Join(w.dir, "tls.key"), w.upstream, any})
	w.open(any)
	w.s3 = "https://" + w.gateway.address
	w.enter()
	return w
}

// enter has the cluster join.
func (w *world) enter() {
	w.t.Helper()
	giveImages(w.t)
	w.as(w.joining()...)
}

// giveImages gives the nodes those that a cluster which has joined needs.
func giveImages(t testing.TB) {
	t.Helper()
	for _, program := range []string{"lanyard-connector", "demo", "probe"} {
		image(t, program)
	}
	// The add-on runs the agent of the connector's own build.
	build := strings.TrimPrefix(strings.TrimSpace(output(t, "lanyard-connector", "version")), "lanyard-connector ")
	manage(t, "import", filepath.Join(cluster.root, ".tools", "kube", "images", "lanyard-agent.tar"), "lanyard.local/lanyard-agent:"+build)
}

// open starts a gateway on an address, which follows the server where that is now.
func (w *world) open(listen string) {
	w.t.Helper()
	w.gateway = serving(w.t, []string{
		"lanyard", "gateway", "--server", w.endpoint, "--server-ca", w.ca, "--key-file", filepath.Join(w.dir, "administrator.env"),
		"--account", w.account, "--listen", listen, "--tls-cert", filepath.Join(w.dir, "tls.pem"), "--tls-key", filepath.Join(w.dir, "tls.key"),
		"--audit-dir", filepath.Join(filepath.Dir(w.dir), "audit"),
		"--upstream", "https://" + w.objects.address, "--upstream-ca", w.ca, "--upstream-key-file", w.upstream,
	}, "ready")
}

// joining is the command that joins the cluster.
func (w *world) joining() []string {
	argv := []string{
		"lanyard", "join", "--name", clusterName,
		"--image-repository", "lanyard.local", "--image-tag", "test", "--image-pull-policy", "Never", "--timeout", "2m",
	}
	if w.s3 != "" {
		argv = append(argv, "--s3-endpoint", w.s3)
	}
	return argv
}

// end takes the add-on and the connector away again, and stops the programs.
func (w *world) end() {
	w.t.Helper()
	shared = nil
	w.as("lanyard", "leave", "--name", clusterName, "--deregister")
	for _, p := range []*process{w.gateway, w.objects} {
		if p != nil {
			p.stop(w.t)
		}
	}
	w.stop()
	clear(w.t)
}

// clear removes what an earlier run may have left in the cluster.
func clear(t testing.TB) {
	t.Helper()
	output(t, "kubectl", "delete", "--ignore-not-found", "mutatingwebhookconfiguration/lanyard-pod-identity", "clusterrole/lanyard-connector",
		"clusterrolebinding/lanyard-connector", "priorityclass/lanyard-connector", "namespace/lanyard-system")
	output(t, "kubectl", "--namespace", "kube-system", "delete", "--ignore-not-found", "daemonset/"+agentName, "serviceaccount/"+agentName,
		"configmap/"+agentName, "role/lanyard-connector", "rolebinding/lanyard-connector")
}

// addon is what describe-addon says.
type addon struct {
	AddonVersion, Status string
	Health               struct {
		Issues []struct{ Code, Message string }
	}
}

func (w *world) addon() (a addon) {
	w.t.Helper()
	w.read(&struct{ Addon *addon }{&a}, "eks describe-addon --addon-name "+agentName+" --cluster-name", clusterName)
	return a
}

// active waits until the add-on runs.
func (w *world) active() {
	w.t.Helper()
	eventually(w.t, "the add-on is ACTIVE", func() (bool, string) {
		a := w.addon()
		return a.Status == "ACTIVE", fmt.Sprintf("%+v", a)
	})
}

// read decodes what the aws CLI answers the administrator.
func (w *world) read(into any, words string, more ...string) {
	w.t.Helper()
	text := w.aws(words, append(more, "--output", "json")...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		w.t.Fatalf("%s: %v: %s", words, err, text)
	}
}

const trustPods = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

// role makes one for pods, which may do what a statement says.
func (w *world) role(name, actions, resources string) (arn string) {
	w.t.Helper()
	arn = w.aws("iam create-role --query Role.Arn --output text --role-name", name, "--assume-role-policy-document", trustPods)
	w.permit(name, actions, resources)
	return arn
}

// permit gives a role these rights in place of those that it had.
func (w *world) permit(role, actions, resources string) {
	w.t.Helper()
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
		"Effect": "Allow", "Action": strings.Fields(actions), "Resource": strings.Fields(resources),
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.aws("iam put-role-policy --policy-name may --role-name", role, "--policy-document", string(policy))
}

// associate makes a service account and its association, and is the association's id.
func (w *world) associate(ns namespace, account, role string) string {
	w.t.Helper()
	ns.kubectl("create", "serviceaccount", account)
	return w.aws("eks create-pod-identity-association --query association.associationId --output text --cluster-name", clusterName,
		"--namespace", ns.name, "--service-account", account, "--role-arn", role)
}

// bucket makes one in the object store.
func (w *world) bucket(name string) {
	w.t.Helper()
	w.aws("s3 mb --endpoint-url", w.s3, "s3://"+name)
}
