package clients

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/golang-jwt/jwt/v5"
)

// serverAddress is not in 127.0.0.0/8: the server and the agent's way to it are those of production.
const serverAddress = "10.99.0.2"

const who = "sts get-caller-identity --query Arn --output text"

// TestServer is a server, a cluster and the agent of one node as they run in production: nothing here comes from
// `lanyard dev`, and the issuer is this test.
func TestServer(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread() // what the test leaves behind ends with its thread
	if out, err := exec.Command("ip", "address", "replace", serverAddress+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("loopback does not take the address %s: %v: %s", serverAddress, err, bytes.TrimSpace(out))
	}
	dir := filepath.Join(t.TempDir(), "server")
	output(t, here.asNobody, "lanyard", "init", "--dir", dir, "--address", serverAddress)
	server, at := launch(t, "serving", "lanyard", "server", "--dir", dir, "--listen", serverAddress+":0")
	endpoint, ca := "https://"+at, filepath.Join(dir, "ca.pem")
	reach := []string{
		"AWS_ENDPOINT_URL=" + endpoint, "AWS_ENDPOINT_URL_STS=" + endpoint, "AWS_CA_BUNDLE=" + ca,
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
	}
	administrator := cli{t, func(ctx context.Context, argv ...string) *exec.Cmd {
		sourced := []string{"bash", "-euc", `. "$0"; exec "$@"`, filepath.Join(dir, "administrator.env")}
		return here.command(ctx, here.environment(reach...), append(sourced, argv...)...)
	}}

	account, _, _ := strings.Cut(strings.TrimPrefix(administrator.ok(who), "arn:aws:iam::"), ":")
	administrator.ok("iam create-role --role-name payments --assume-role-policy-document", trust)
	issuer := newIssuer(t)
	authority := administrator.got(ca)
	id := join(administrator, account, issuer, authority, func(by aws.Credentials, in any) (int, string) {
		return post(t, ca, endpoint+"/lanyard/v1/activations", by, in)
	})
	association := administrator.ok("eks create-pod-identity-association --cluster-name production --namespace shop --service-account payments" +
		" --role-arn arn:aws:iam::" + account + ":role/payments --query association.associationId --output text")

	node := object{"name": "worker-1", "uid": "5f0a4a4c-6c0c-4d5e-9d3e-6f5b7c1d2e01"}
	own := administrator.file("agent.token", issuer.token(t, "kube-system", "eks-pod-identity-agent", "sts.amazonaws.com", node))
	// The probes' ports stay 2703 and 2705: the kernel gives neither to anybody who asks for port 0.
	agent, at := launch(t, "serving credentials", "lanyard-agent", "server", "--cluster-name", "production", "--endpoint", endpoint, "--ca-file", ca,
		"--role-arn", "arn:aws:iam::"+account+":role/lanyard-agent-"+id, "--web-identity-token-file", own, "--region", "us-east-1",
		"--bind-hosts", "127.0.0.1", "--port", "0", "--metrics-address", "127.0.0.1")
	agent.ready(t, "http://127.0.0.1:2703/readyz")

	const audience = "pods.eks.amazonaws.com"
	pod := func(token string) cli {
		return cli{t, caller(here.asNobody).with(reach...).with("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://"+at+"/v1/credentials",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="+administrator.file("token", token))}
	}
	payments := pod(issuer.token(t, "shop", "payments", audience, node))
	administrator.contains("the pod", payments.ok(who), "arn:aws:sts::"+account+":assumed-role/payments/eks-production-payments-0-")
	held := strings.Fields(output(t, payments.as, "python3", "-c", "import boto3; print(*boto3.Session().get_credentials().get_frozen_credentials()[:3])"))

	foreign, forger := newIssuer(t), newIssuer(t)
	forger.id = issuer.id
	elsewhere := object{"name": "worker-2", "uid": "5f0a4a4c-6c0c-4d5e-9d3e-6f5b7c1d2e02"}
	refused(t, pod, []refusal{
		{"another node", issuer.token(t, "shop", "payments", audience, elsewhere), "400", "AccessDeniedException", "the token is of node worker-2, the caller is on node worker-1"},
		{"another service account", issuer.token(t, "shop", "billing", audience, node), "404", "ResourceNotFoundException", "No pod identity association found for service account shop/billing."},
		{"another audience", issuer.token(t, "shop", "payments", "sts.amazonaws.com", node), "400", "InvalidTokenException", "aud"},
		{"a key that is not listed yet", foreign.token(t, "shop", "payments", audience, node), "503", "ServiceUnavailable", "try again"},
		{"a key under the id of the listed one", forger.token(t, "shop", "payments", audience, node), "400", "InvalidTokenException", "signature"},
	})

	session := cli{t, caller(here.asNobody).with(reach...).with("AWS_ACCESS_KEY_ID="+held[0], "AWS_SECRET_ACCESS_KEY="+held[1], "AWS_SESSION_TOKEN="+held[2])}
	session.contains("the session", session.ok(who), ":assumed-role/payments/eks-production-payments-0-")
	administrator.ok("eks delete-pod-identity-association --cluster-name production --association-id", association)
	session.refused("ExpiredToken", "its pod identity association is deleted", who)

	agent.terminate(t)
	server.terminate(t)
}

// join registers a cluster and does what its connector is to do: it hands over the keys, signed with the pair that the
// registration answered, which serves once.
func join(c cli, account string, by issuer, authority string, activate func(by aws.Credentials, in any) (status int, body string)) (id string) {
	c.t.Helper()
	registered := strings.Fields(c.ok("eks register-cluster --name production --connector-config provider=OTHER,roleArn=arn:aws:iam::" + account +
		":role/connector --output text --query cluster.[id,connectorConfig.activationId,connectorConfig.activationCode]"))
	pair := aws.Credentials{AccessKeyID: registered[1], SecretAccessKey: registered[2]}
	joining := object{"issuers": []string{by.name}, "jwks": by.jwks(), "endpoint": "https://10.99.0.3:6443", "certificateAuthority": authority}
	const describe = "eks describe-cluster --name production --output text --query cluster.[status,identity.oidc.issuer]"
	c.equal("cluster", c.ok(describe), "PENDING\tNone")
	if status, body := activate(pair, joining); status != http.StatusOK {
		c.t.Fatalf("activation: status %d, %s", status, body)
	}
	c.equal("cluster", c.ok(describe), "ACTIVE\t"+by.name)
	if status, body := activate(pair, joining); status != http.StatusForbidden || !strings.Contains(body, "UnrecognizedClientException") {
		c.t.Errorf("a second activation: status %d, %s, want 403 and UnrecognizedClientException", status, body)
	}
	c.ok("eks wait cluster-active --name production")
	kubeconfig := c.file("kubeconfig", "")
	c.ok("eks update-kubeconfig --name production --kubeconfig " + kubeconfig)
	c.contains("kubeconfig", c.got(kubeconfig), "server: https://10.99.0.3:6443", "certificate-authority-data: "+base64.StdEncoding.EncodeToString([]byte(authority)))
	return registered[0]
}

type refusal struct{ name, token, status, code, message string }

// refused wants the CLI to show the agent's refusal of each token. They are asked for at once, for the CLI asks three
// times, a second apart.
func refused(t *testing.T, pod func(token string) cli, cases []refusal) {
	t.Helper()
	told, asked := make([]bytes.Buffer, len(cases)), make([]*exec.Cmd, len(cases))
	for i, c := range cases {
		asked[i] = pod(c.token).as(t.Context(), strings.Fields("aws "+who)...)
		asked[i].Stderr = &told[i]
		if err := asked[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cases {
		if err := asked[i].Wait(); err == nil {
			t.Errorf("%s: the CLI succeeded", c.name)
		}
		cli{t, nil}.contains(c.name, told[i].String(), "Received non 200 response "+c.status+" from container metadata", `"code":"`+c.code+`"`, c.message)
	}
}

type object map[string]any

// program is a server that a test started.
type program struct {
	cmd    *exec.Cmd
	log    *lines
	logged chan struct{} // closed at the end of the log
}

// launch starts a server and returns the address of the log line with the message.
func launch(t *testing.T, message string, argv ...string) (p *program, address string) {
	t.Helper()
	p = &program{here.command(context.WithoutCancel(t.Context()), here.environment(), argv...), &lines{}, make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	in := json.NewDecoder(io.TeeReader(out, p.log))
	for address == "" {
		var line struct{ Msg, Address string }
		if err := in.Decode(&line); err != nil {
			t.Fatalf("%q did not log %q: %v\n%s", argv, message, err, p.log)
		}
		if line.Msg == message {
			address = line.Address
		}
	}
	go func() {
		defer close(p.logged)
		_, _ = io.Copy(p.log, out) // it ends with the program
	}()
	return p, address
}

// terminate wants a program to end well when it is told to, as Kubernetes tells it.
func (p *program) terminate(t *testing.T) {
	t.Helper()
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.logged
	if waited := p.cmd.Wait(); err != nil || waited != nil {
		t.Errorf("%s: %v, %v, want it to end with status 0 after SIGTERM\n%s", p.cmd.Args[0], err, waited, p.log)
	}
	if log := p.log.String(); strings.Contains(log, "Internal") || strings.Contains(log, "panic") {
		t.Errorf("%s had an error of its own:\n%s", p.cmd.Args[0], log)
	}
}

// issuer signs tokens as an API server does.
type issuer struct {
	name, id string
	key      *rsa.PrivateKey
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{"https://kubernetes.default.svc.cluster.local", rand.Text(), key}
}

func (i issuer) jwks() object {
	text := base64.RawURLEncoding.EncodeToString
	return object{"keys": []object{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": i.id,
		"n": text(i.key.N.Bytes()), "e": text(big.NewInt(int64(i.key.E)).Bytes()),
	}}}
}

// token is one of the pod SERVICEACCOUNT-0, in the form that the kubelet projects.
func (i issuer) token(t *testing.T, namespace, serviceAccount, audience string, node object) string {
	t.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": i.name, "aud": []string{audience}, "sub": "system:serviceaccount:" + namespace + ":" + serviceAccount,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
		"kubernetes.io": object{
			"namespace": namespace, "node": node,
			"serviceaccount": object{"name": serviceAccount, "uid": "uid-of-" + serviceAccount},
			"pod":            object{"name": serviceAccount + "-0", "uid": "uid-of-" + serviceAccount + "-0"},
		},
	})
	token.Header["kid"] = i.id
	delete(token.Header, "typ") // as Kubernetes' tokens have none
	signed, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// post sends JSON to Lanyard's own API, signed.
func post(t *testing.T, ca, url string, by aws.Credentials, in any) (status int, body string) {
	t.Helper()
	text := jsonOf(t, in)
	digest := sha256.Sum256([]byte(text))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if err := v4.NewSigner().SignHTTP(t.Context(), by, r, hex.EncodeToString(digest[:]), "lanyard", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	trusted := x509.NewCertPool()
	if err != nil || !trusted.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate: %v", ca, err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	if closing := response.Body.Close(); err != nil || closing != nil {
		t.Fatal(err, closing)
	}
	return response.StatusCode, string(answer)
}

// ready asks until the probe says that all is well. A minute is there for a program that never is.
func (p *program) ready(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		response, err := http.Get(url)
		if err == nil {
			err = response.Body.Close()
			if response.StatusCode == http.StatusOK && err == nil {
				return
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%s does not say that %s is ready: %v\n%s", url, p.cmd.Args[0], err, p.log)
		}
	}
}
