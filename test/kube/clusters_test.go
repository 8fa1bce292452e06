package kube

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// second is another cluster of the same account: an API server with records and a key of its own, which calls itself by the same
// issuer as the first. It has no nodes: connector and agent are processes beside it, and its pods are records, whose tokens it signs.
type second struct {
	*world
	t          *testing.T
	kubeconfig string
	id         string
	pair       keys // by which it was activated
	agent      *process
}

const secondName = "second"

// kubectl is what kubectl prints of the second cluster.
func (s *second) kubectl(manifest string, args ...string) string {
	s.t.Helper()
	argv := append([]string{"kubectl", "--kubeconfig", s.kubeconfig}, args...)
	return strings.TrimSpace(ok(s.t, run(s.t, environment(), manifest, argv...), argv))
}

// token is one of a service account, bound to a pod.
func (s *second) token(namespace, account, pod, audience string) string {
	s.t.Helper()
	return s.kubectl("", "--namespace", namespace, "create", "token", account, "--bound-object-kind=Pod", "--bound-object-name="+pod, "--audience="+audience)
}

func (s *second) connectorToken() string {
	s.t.Helper()
	return s.token("lanyard-system", "lanyard-connector", "connector", "lanyard.dev/connector")
}

// file keeps a token where a program reads it.
func (s *second) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// joinSecond starts the cluster, registers it, and has a connector activate it with the pair and keep its keys.
func joinSecond(t *testing.T, w *world, namespace string) *second {
	t.Helper()
	s := &second{world: w, t: t}
	manage(t, "start", "second-apiserver")
	t.Cleanup(func() { manage(t, "stop", "-KILL", "second-apiserver") })
	text, err := os.ReadFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	s.kubeconfig = s.file("kubeconfig", strings.Replace(string(text), ":6443", ":6444", 1))
	eventually(t, "the second API server is ready", func() (bool, string) {
		got := run(t, environment(), "", "kubectl", "--kubeconfig", s.kubeconfig, "get", "--raw", "/readyz")
		return got.status == 0, got.errors
	})
	s.kubectl(fmt.Sprintf(`
{apiVersion: v1, kind: Namespace, metadata: {name: lanyard-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
{apiVersion: v1, kind: Node, metadata: {name: other}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: lanyard-connector, namespace: lanyard-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: %[2]s, namespace: kube-system}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop, namespace: %[1]s}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: stranger, namespace: %[1]s}}
`, namespace, agentName), "apply", "--filename", "-")
	for _, pod := range [][3]string{{"lanyard-system", "lanyard-connector", "connector"}, {"kube-system", agentName, "agent"}, {namespace, "shop", "app"}, {namespace, "stranger", "stranger"}} {
		s.kubectl(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: {serviceAccountName: %s, nodeName: other, containers: [{name: app, image: none}]}}",
			pod[2], pod[0], pod[1]), "apply", "--filename", "-")
	}

	made := strings.Fields(w.aws("eks register-cluster --query cluster.[id,connectorConfig.activationId,connectorConfig.activationCode] --output text --name",
		secondName, "--connector-config", "provider=OTHER,roleArn=arn:aws:iam::"+w.account+":role/any"))
	if len(made) != 3 {
		t.Fatalf("register-cluster answers %q", made)
	}
	t.Cleanup(func() { w.aws("eks deregister-cluster --name", secondName) })
	s.id, s.pair = made[0], keys{id: made[1], secret: made[2]}
	pair := t.TempDir()
	for name, text := range map[string]string{"id": made[1], "code": made[2]} {
		if err := os.WriteFile(filepath.Join(pair, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	connector := serving(t, []string{
		"lanyard-connector", "--cluster-name", secondName, "--endpoint", w.endpoint, "--ca-file", w.ca, "--region", "us-east-1", "--role-arn", s.role("connector"),
		"--web-identity-token-file", s.file("connector", s.connectorToken()),
		"--kubeconfig", s.kubeconfig, "--activation-dir", pair, "--image-repository", "lanyard.local", "--namespace", "lanyard-system",
		"--instance", "second", "--listen", "127.0.0.1:0", "--metrics-listen", "", "--linger", "0s",
	})
	s.tellAndStop("the second connector", connector)
	eventually(t, "the second cluster is ACTIVE", func() (bool, string) {
		got := w.aws("eks describe-cluster --query cluster.status --output text --name", secondName)
		return got == "ACTIVE", got
	})
	s.agent = serving(t, []string{
		"lanyard-agent", "server", "--cluster-name", secondName, "--endpoint", w.endpoint, "--ca-file", w.ca, "--region", "us-east-1", "--role-arn", s.role("agent"),
		"--web-identity-token-file", s.file("agent", s.token("kube-system", agentName, "agent", "sts.amazonaws.com")), "--node-name", "other",
		"--bind-hosts", "127.0.0.1", "--port", "0", "--probe-port", "0", "--metrics-address", "127.0.0.1", "--metrics-port", "0",
	})
	s.tellAndStop("the second agent", s.agent)
	return s
}

// role is that of the cluster's connector or agent.
func (s *second) role(of string) string {
	return "arn:aws:iam::" + s.account + ":role/lanyard-" + of + "-" + s.id
}

func (s *second) tellAndStop(what string, p *process) {
	s.t.Cleanup(func() {
		p.stop(s.t)
		if s.t.Failed() {
			s.t.Logf("%s\n%s", what, p.log)
		}
	})
}

// ask fetches from the second cluster's agent with a token.
func (s *second) ask(token string) (status, body string) {
	s.t.Helper()
	got := run(s.t, environment(), "", "curl", "--silent", "--max-time", "10", "--write-out", "\n%{http_code}", "--header", "Authorization: "+token, "http://"+s.agent.address+"/v1/credentials")
	i := strings.LastIndex(got.out, "\n")
	return got.out[i+1:], got.out[:max(i, 0)]
}

// TestSecondCluster has one role serve two clusters by two associations, with its trust policy as it was. Tokens of either are worth
// nothing at the other, though both clusters bear one issuer's name; and neither the second's connector nor its activation pair opens
// what is not its own.
func TestSecondCluster(t *testing.T) {
	w, ns := joined(t), newNamespace(t)
	role := w.role(ns.name, "s3:ListAllMyBuckets", "*")
	w.associate(ns, "shop", role)
	ns.apply(idle(t, "app", "node2", "shop"))
	ns.wait("condition=Ready", "pod/app")
	first := strings.TrimSpace(ns.kubectl("create", "token", "shop", "--bound-object-kind=Pod", "--bound-object-name=app", "--audience="+audience))
	gets(t, "the first cluster's pod", "2", first)

	s := joinSecond(t, w, ns.name)
	own := s.token(ns.name, "shop", "app", audience)
	if a, b := claimsOf(t, first), claimsOf(t, own); a.Iss != b.Iss || keyOf(t, first) == keyOf(t, own) {
		t.Fatalf("the clusters' tokens are by %s, %s and %s, %s: want one issuer and two keys", a.Iss, keyOf(t, first), b.Iss, keyOf(t, own))
	}
	isRefused(t, "before its association", func() (string, string) { return s.ask(own) })
	trust := func() string {
		return w.aws("iam get-role --query Role.AssumeRolePolicyDocument --output json --role-name", ns.name)
	}
	before := trust()
	w.aws("eks create-pod-identity-association --cluster-name", secondName, "--namespace", ns.name, "--service-account", "shop", "--role-arn", role)
	var body string
	eventually(t, "the second cluster's pod has the role", func() (bool, string) {
		var status string
		status, body = s.ask(own)
		return status == "200", status + " " + body
	})
	as := environment("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://"+s.agent.address+"/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="+s.file("token", own),
		"AWS_ENDPOINT_URL_STS="+w.endpoint, "AWS_ENDPOINT_URL_S3="+w.s3, "AWS_CA_BUNDLE="+w.ca, "AWS_REGION=us-east-1")
	for _, c := range []struct{ words, want string }{{"sts get-caller-identity", ":assumed-role/" + ns.name + "/"}, {"s3 ls", ""}} {
		if got := run(t, as, "", append([]string{"aws"}, strings.Fields(c.words)...)...); got.status != 0 || !strings.Contains(got.out, c.want) {
			t.Errorf("the second cluster's pod, %s: status %d, %s%s", c.words, got.status, got.out, got.errors)
		}
	}
	if after := trust(); after != before {
		t.Errorf("the role's trust policy is %s, and was %s", after, before)
	}

	for _, c := range []struct {
		name, by, token string
		ask             func(token string) (status, body string)
	}{
		{"no association", "/other", s.token(ns.name, "stranger", "stranger", audience), s.ask},
		{"the first cluster's token", "/other", first, s.ask},
		{"the second cluster's token at the first's agent", "/node2", own, func(token string) (string, string) { return ask(t, "2", token) }},
	} {
		audited := w.refusals()
		isRefused(t, c.name, func() (string, string) { return c.ask(c.token) })
		audited(c.name, "AssumeRoleForPodIdentity", c.by)
	}
	s.attack()
}

// attack has the second cluster's connector ask for the first's, shows its activation pair again, and guesses the code of another pair.
// What it may do comes first.
func (s *second) attack() {
	s.t.Helper()
	client := trusting(s.t, s.ca)
	connector := s.assume(s.role("connector"), s.connectorToken())
	const pods, gone, activations = "/lanyard/v1/clusters/%s/deleted-pods", `{"pods": [{"uid": "of-no-pod"}]}`, "/lanyard/v1/activations"
	if status, answer := s.signed(client, connector, "lanyard", "POST", fmt.Sprintf(pods, secondName), gone); status != 200 {
		s.t.Errorf("the second connector about its own cluster: status %d, %s", status, answer)
	}
	joining := fmt.Sprintf(`{"issuers": ["https://issuer.example"], "jwks": %s}`, s.kubectl("", "get", "--raw", "/openid/v1/jwks"))
	refused := func(what string, who keys, path, body, operation, by string) {
		s.t.Helper()
		audited := s.refusals()
		if status, answer := s.signed(client, who, "lanyard", "POST", path, body); status != 403 {
			s.t.Errorf("%s: status %d, %s, want 403", what, status, answer)
		}
		audited(what, operation, by)
	}
	refused("another cluster's connector", connector, fmt.Sprintf(pods, clusterName), gone, "ReportDeletedPods", "/lanyard-connector-"+s.id)
	refused("an activation pair again", s.pair, activations, joining, "", "")

	status, answer := s.signed(client, s.world.keys(), "lanyard", "POST", "/lanyard/v1/clusters/"+secondName+"/activation", "")
	var another struct{ ActivationID, ActivationCode string }
	if err := json.Unmarshal([]byte(answer), &another); err != nil || status != 200 || another.ActivationCode == "" {
		s.t.Fatalf("another pair: status %d, %s", status, answer)
	}
	for range 5 {
		refused("a guessed code", keys{id: another.ActivationID, secret: "guess" + another.ActivationCode}, activations, joining, "", "")
	}
	refused("the code after five guesses", keys{id: another.ActivationID, secret: another.ActivationCode}, activations, joining, "", "")
}
