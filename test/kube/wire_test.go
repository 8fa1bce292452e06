package kube

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Where programs would take too long to start, or have no word for it, tests speak the two wires themselves.

// trusting is a client of HTTPS that trusts one CA, and shows certificates where there are some.
func trusting(t testing.TB, ca string, own ...tls.Certificate) *http.Client {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", ca)
	}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: own}, MaxIdleConnsPerHost: 8,
	}}
}

// keys is who signs.
type keys struct{ id, secret, token string }

// environment is that of a program that signs with these keys.
func (k keys) environment(more ...string) []string {
	return environment(append([]string{
		"AWS_ACCESS_KEY_ID=" + k.id, "AWS_SECRET_ACCESS_KEY=" + k.secret, "AWS_SESSION_TOKEN=" + k.token, "AWS_REGION=us-east-1",
	}, more...)...)
}

// assume is the session that a role gives for a service account's token.
func (l *lanyard) assume(role, token string) keys {
	l.t.Helper()
	text := l.aws("sts assume-role-with-web-identity --role-session-name attacker --query Credentials.[AccessKeyId,SecretAccessKey,SessionToken] --output text",
		"--role-arn", role, "--web-identity-token", token)
	fields := strings.Fields(text)
	if len(fields) != 3 {
		l.t.Fatalf("the session of %s: %d fields, want three", role, len(fields))
	}
	return keys{fields[0], fields[1], fields[2]}
}

// signed asks the server, signed by somebody, and is the status and the answer.
func (l *lanyard) signed(client *http.Client, k keys, service, method, path, body string) (status int, answer string) {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.endpoint+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	who := aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret, SessionToken: k.token}
	if err := v4.NewSigner().SignHTTP(l.t.Context(), who, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
		l.t.Fatal(err)
	}
	return does(client, r)
}

// does sends a request. No answer is status 0: several may be under way, so none ends the test.
func does(client *http.Client, r *http.Request) (status int, answer string) {
	response, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

// apiServer is the cluster's, as its administrator reaches it.
type apiServer struct {
	t      testing.TB
	client *http.Client
}

func openAPIServer(t testing.TB) apiServer {
	t.Helper()
	pki := filepath.Dir(os.Getenv("KUBECONFIG"))
	own, err := tls.LoadX509KeyPair(filepath.Join(pki, "admin.crt"), filepath.Join(pki, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	return apiServer{t, trusting(t, filepath.Join(pki, "ca.crt"), own)}
}

// create makes an object under a path, and is what became of it. Several may be made at a time.
func (a apiServer) create(path, object string) string {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, "https://10.99.0.1:6443"+path, bytes.NewReader([]byte(object)))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	status, answer := does(a.client, r)
	if status != http.StatusCreated {
		a.t.Errorf("POST %s: status %d, %s", path, status, answer)
	}
	return answer
}

// dry asks, as kubectl's --dry-run=server, for a pod that is not kept, and reports whether it is given credentials and how
// long the answer took.
func (a apiServer) dry(ns namespace, account string) (injected bool, took time.Duration) {
	a.t.Helper()
	began := time.Now()
	answer := a.create("/api/v1/namespaces/"+ns.name+"/pods?dryRun=All", fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asked"},
		"spec": {"serviceAccountName": %q, "containers": [{"name": "app", "image": "none"}]}}`, account))
	return isInjected(answer), time.Since(began)
}

// isInjected reports whether a pod is given what it needs to ask for credentials.
func isInjected(pod string) bool {
	return strings.Contains(pod, `"eks-pod-identity-token"`) && strings.Contains(pod, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
}
