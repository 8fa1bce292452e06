package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
)

// premises are a server's process as its administrator sees it.
type premises struct {
	world
	process *process
	env     []string // of the administrator's shell
}

// newPremises makes and starts a server, with more in its environment.
func newPremises(t *testing.T, account string, more ...string) *premises {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "server")
	shell := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	s := &premises{world: newWorld(dir)}
	s.cli(t, shell, "init", "--dir", dir, "--address", "127.0.0.1", "--account", account)
	var err error
	s.process, err = startLanyard(filepath.Dir(dir), append(shell, more...), func(p *process) bool { _, ok := p.serving(); return ok },
		"server", "--dir", dir, "--listen", "127.0.0.1:0", "--plain-http")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.process.kill)
	address, _ := s.process.serving()
	s.endpoint = "http://" + address
	text, err := os.ReadFile(filepath.Join(dir, administratorFile))
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(shell, "AWS_ENDPOINT_URL="+s.endpoint)
	for line := range strings.Lines(string(text)) {
		s.env = append(s.env, strings.TrimSpace(strings.TrimPrefix(line, "export ")))
	}
	s.callers["administrator"] = keyOf(strings.Join(s.env, "\n"))
	return s
}

var keyLines = regexp.MustCompile(`AWS_ACCESS_KEY_ID='?([A-Z0-9]+)'?\s+AWS_SECRET_ACCESS_KEY='?([^\s']+)`)

func keyOf(text string) caller {
	m := keyLines.FindStringSubmatch(text)
	if m == nil {
		return caller{}
	}
	return caller{keyID: m[1], secret: m[2]}
}

// as is the environment of another's shell.
func (s *premises) as(c caller) []string {
	return append(s.env[:len(s.env):len(s.env)], "AWS_ACCESS_KEY_ID="+c.keyID, "AWS_SECRET_ACCESS_KEY="+c.secret)
}

// cli runs the program, which must succeed.
func (s *premises) cli(t *testing.T, env []string, args ...string) string {
	t.Helper()
	text, err := s.try(env, args...)
	if err != nil {
		t.Fatalf("lanyard %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return text
}

// try returns what the program prints, on both streams.
func (s *premises) try(env []string, args ...string) (string, error) {
	cmd := exec.Command("lanyard", args...)
	cmd.Env = env
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// must makes a call that succeeds.
func (s *premises) must(t *testing.T, who string, r request) string {
	t.Helper()
	body, err := s.send(who, r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func jsonCall(service, method, path, body string) request {
	return request{service: service, method: method, path: path, body: body, header: http.Header{"Content-Type": {"application/json"}}}
}

// TestAWSAccount is the way of docs/AWS.md through processes. AWS is a second Lanyard, of which only the STS is asked; the
// statements that `account trust-policy` prints are what its role has.
//
// Long: it is one story, and each step needs what the one before has made.
func TestAWSAccount(t *testing.T) {
	t.Parallel()
	const customer = "444455556666"
	cloud := newPremises(t, "999988887777")
	cloud.callers["customer"] = keyOf(cloud.cli(t, cloud.env, "account", "create", "customer", "--id", customer))
	self := cloud.callers["administrator"]
	ours := newPremises(t, "111122223333", "AWS_ACCESS_KEY_ID="+self.keyID, "AWS_SECRET_ACCESS_KEY="+self.secret)

	for _, args := range [][]string{
		{"--aws", "--region", "eu-central-1"},
		{"--region", "eu-central-1"},
		{"--aws", "--account-id", customer, "--region", "eu-central-1", "--endpoint", "http://sts.example.com"},
	} {
		if text, err := ours.try(ours.env, append([]string{"account", "create", "prod"}, args...)...); err == nil {
			t.Errorf("account create %q: %s, want it refused", args, text)
		}
	}
	made := ours.cli(t, ours.env, "account", "create", "prod", "--aws", "--account-id", customer, "--region", "eu-central-1", "--endpoint", cloud.endpoint)
	ours.callers["prod"] = keyOf(made)
	prod := ours.as(ours.callers["prod"])

	cluster := ours.cluster(t, "prod")
	policy := ours.cli(t, prod, "account", "trust-policy", "--cluster", "prod-1", "--namespace", "shop", "--service-account", "app")
	for format, want := range map[string]string{
		"terraform":      "variable = \"sts:ExternalId\"",
		"cloudformation": "AssumeRolePolicyDocument:\n",
	} {
		if text := ours.cli(t, prod, "account", "trust-policy", "--format", format); !strings.Contains(text, want) || !strings.Contains(text, "user/administrator") {
			t.Errorf("--format %s: %s", format, text)
		}
	}
	cloud.must(t, "customer", form("iam", "CreateRole", url.Values{"RoleName": {"app"}, "AssumeRolePolicyDocument": {policy}, "MaxSessionDuration": {"7200"}}))

	const role = "arn:aws:iam::" + customer + ":role/app"
	associate := func(serviceAccount string) (string, error) {
		return ours.send("prod", jsonCall("eks", http.MethodPost, "/clusters/prod-1/pod-identity-associations",
			`{"namespace":"shop","serviceAccount":"`+serviceAccount+`","roleArn":"`+role+`"}`))
	}
	if _, err := associate("app"); err != nil {
		t.Fatal(err)
	}
	if _, err := associate("thief"); err == nil || !strings.Contains(err.Error(), "Role provided in the request does not exist.") {
		t.Errorf("another service account with the role: %v, want AWS to refuse it", err)
	}
	if text := ours.cli(t, prod, "account", "verify"); !strings.Contains(text, "ok       prod-1/shop/app") || strings.Contains(text, "does not ask for the external id") {
		t.Errorf("verify: %s", text)
	}

	// A pod, by the agent's call, gets what AWS itself takes, for the two hours that the role allows.
	cluster.become(t, ours, "agent", "kube-system", "eks-pod-identity-agent")
	token := cluster.token(t, registry.PodAudience, "shop", "app")
	ask := jsonCall("eks-auth", http.MethodPost, "/clusters/prod-1/assume-role-for-pod-identity", `{"token":"`+token+`"}`)
	var pod struct {
		Credentials struct {
			AccessKeyID, SecretAccessKey, SessionToken string
			Expiration                                 float64
		}
	}
	if err := json.Unmarshal([]byte(ours.must(t, "agent", ask)), &pod); err != nil {
		t.Fatal(err)
	}
	if life := time.Until(time.Unix(int64(pod.Credentials.Expiration), 0)); life < time.Hour || life > 2*time.Hour {
		t.Errorf("the session lives for %s, want the role's 2 h", life)
	}
	cloud.callers["pod"] = caller{pod.Credentials.AccessKeyID, pod.Credentials.SecretAccessKey, pod.Credentials.SessionToken}
	if who := cloud.must(t, "pod", form("sts", "GetCallerIdentity", url.Values{})); !strings.Contains(who, "<Arn>arn:aws:sts::"+customer+":assumed-role/app/eks-prod-1-app-1-") {
		t.Errorf("at AWS the pod is %s", who)
	}

	told := ours.cli(t, prod, "revoke", "--cluster", "prod-1", "--service-account", "shop/app")
	for _, want := range []string{"AWS itself honours them until they end", `"aws:TokenIssueTime":"20`, "--policy-name AWSRevokeOlderSessions", "--role-name app"} {
		if !strings.Contains(told, want) {
			t.Errorf("revoke prints %q, want %q in it", told, want)
		}
	}

	// What is taken away at AWS is named with the statement that is missing.
	cloud.must(t, "customer", form("iam", "UpdateAssumeRolePolicy", url.Values{"RoleName": {"app"}, "PolicyDocument": {strings.ReplaceAll(policy, "sts:TagSession", "sts:SetContext")}}))
	text, err := ours.try(prod, "account", "verify")
	if err == nil || !strings.Contains(text, "REFUSED  prod-1/shop/app") || !strings.Contains(text, "missing: LanyardTagsSessions") {
		t.Errorf("verify without TagSession: %v %s", err, text)
	}
	if _, err := ours.send("agent", ask); err == nil || !strings.Contains(err.Error(), "sts:TagSession is not allowed") {
		t.Errorf("a pod then: %v, want the reason", err)
	}
	if _, err := ours.send("prod", form("iam", "GetRole", url.Values{"RoleName": {"app"}})); err == nil || !strings.Contains(err.Error(), "aws iam") {
		t.Errorf("GetRole: %v, want to be told where", err)
	}

	// Nothing of Lanyard's identity or of the pod is in the folder or the log; the pod's secrets are not at rest.
	scanned := 0
	for _, secret := range []string{self.secret, pod.Credentials.SecretAccessKey, pod.Credentials.SessionToken, token} {
		err := filepath.WalkDir(string(ours.dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			scanned++
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("a secret is in %s", path)
			}
			return err
		})
		if err != nil || strings.Contains(ours.process.err.String(), secret) {
			t.Errorf("a secret is in the log (%v)", err)
		}
	}
	if scanned < 8 {
		t.Errorf("scanned %d files: the folder is not there", scanned)
	}
}

// testCluster is a cluster whose key we have.
type testCluster struct {
	agentRole, id string
	key           *rsa.PrivateKey
}

const testIssuer = "https://kubernetes.default.svc.cluster.local"

// cluster registers and activates the cluster prod-1 of who.
func (s *premises) cluster(t *testing.T, who string) *testCluster {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := podtoken.MarshalKeys([]podtoken.Key{{ID: "k1", Algorithm: "RS256", Public: &key.PublicKey}})
	if err != nil {
		t.Fatal(err)
	}
	var registered struct {
		Cluster struct {
			ConnectorConfig struct{ ActivationID, ActivationCode string }
		}
	}
	body := s.must(t, who, jsonCall("eks", http.MethodPost, "/cluster-registrations", `{"name":"prod-1","connectorConfig":{"roleArn":"arn:aws:iam::444455556666:role/x","provider":"OTHER"}}`))
	if err := json.Unmarshal([]byte(body), &registered); err != nil {
		t.Fatal(err)
	}
	pair := registered.Cluster.ConnectorConfig
	s.callers["activation"] = caller{keyID: pair.ActivationID, secret: pair.ActivationCode}
	var active struct{ AgentRoleARN, ID string }
	body = s.must(t, "activation", jsonCall("lanyard", http.MethodPost, "/lanyard/v1/activations", `{"issuers":["`+testIssuer+`"],"jwks":`+string(jwks)+`}`))
	if err := json.Unmarshal([]byte(body), &active); err != nil {
		t.Fatal(err)
	}
	return &testCluster{active.AgentRoleARN, active.ID, key}
}

// token is the kubelet's for a pod of a service account on node-1.
func (c *testCluster) token(t *testing.T, audience, namespace, account string) string {
	t.Helper()
	now := time.Now().Unix()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": testIssuer, "sub": "system:serviceaccount:" + namespace + ":" + account, "aud": []string{audience},
		"iat": now, "nbf": now, "exp": now + 3600, "kubernetes.io": map[string]any{
			"namespace": namespace, "serviceaccount": map[string]any{"name": account, "uid": "sa-uid"},
			"pod": map[string]any{"name": account + "-1", "uid": account + "-uid"}, "node": map[string]any{"name": "node-1", "uid": "node-uid"},
		},
	})
	token.Header["kid"] = "k1"
	text, err := token.SignedString(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// become makes the caller the cluster's agent by web identity.
func (c *testCluster) become(t *testing.T, s *premises, who, namespace, account string) {
	t.Helper()
	body := s.must(t, "unsigned", form("sts", "AssumeRoleWithWebIdentity", url.Values{
		"RoleArn": {c.agentRole}, "RoleSessionName": {"node-1"}, "WebIdentityToken": {c.token(t, registry.AgentAudience, namespace, account)},
	}))
	part := func(name string) string {
		_, rest, _ := strings.Cut(body, "<"+name+">")
		value, _, _ := strings.Cut(rest, "</"+name+">")
		return value
	}
	s.callers[who] = caller{part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken")}
}
