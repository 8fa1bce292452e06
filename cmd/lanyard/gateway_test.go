package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/sigv4"
)

const (
	upstreamID     = "AKIDUPSTREAM"
	upstreamSecret = "what only gateways know"
	memberAccount  = "444455556666"
)

// bucket is an object store with one bucket, which takes what is signed with its own key and nothing else.
type bucket struct {
	mu      sync.Mutex
	objects map[string]string
}

func startBucket(t *testing.T) *httptest.Server {
	t.Helper()
	b := &bucket{objects: map[string]string{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return server
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sig, err := sigv4.Parse(r)
	if err == nil {
		err = sig.Verify(r, sigv4.Derive(upstreamSecret, sig.Date, sig.Region, sig.Service), sig.PayloadHash)
	}
	if err != nil || sig.KeyID != upstreamID {
		http.Error(w, "<Error><Code>SignatureDoesNotMatch</Code></Error>", http.StatusForbidden)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		b.objects[r.URL.Path] = string(body)
		return
	}
	object, ok := b.objects[r.URL.Path]
	if !ok {
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		return
	}
	_, _ = io.WriteString(w, object) // a client that went away is no matter
}

// site is a server with a practice cluster, and what is needed to start gateways of it.
type site struct {
	*testing.T
	world
	folder  string
	address string // of the server
	server  *process
	cluster *dev.Practice
	gate    world // the same callers, at the gateway
	bucket  *httptest.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, world: newWorld(t.TempDir()), folder: t.TempDir(), bucket: startBucket(t)}
	init := initVerb{dir: s.file("server"), region: dev.Region, account: dev.Account, name: "management", addresses: []string{"127.0.0.1"}}
	s.must(init.run(t.Context()))
	s.startServer(fmt.Sprintf("127.0.0.1:%d", 20_000+sites.Add(1)))
	pem, err := os.ReadFile(s.file("server/ca.pem"))
	s.must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	s.wire = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	id, secret, err := readKeyFile(s.file("server/administrator.env"))
	s.must(err)
	s.callers["administrator"] = caller{keyID: id, secret: secret}
	s.gate = world{callers: s.callers, wire: s.wire}
	s.cluster = s.join("administrator", dev.Account)
	writeKeyFile(t, s.file("upstream.env"), upstreamID, upstreamSecret)
	return s
}

func (s *site) file(name string) string { return filepath.Join(s.folder, name) }

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// sites counts the addresses of servers. They are below those that the kernel gives to whoever wants any: while a server is
// away, a connection of somebody else could have its own.
var sites atomic.Int32

func (s *site) startServer(listen string, more ...string) {
	s.Helper()
	p, err := startLanyard(s.folder, os.Environ(), func(p *process) bool {
		_, ok := p.serving()
		return ok
	}, append([]string{"server", "--dir", s.file("server"), "--listen", listen}, more...)...)
	s.must(err)
	s.Cleanup(p.kill)
	s.server = p
	s.address, _ = p.serving()
	s.endpoint = "https://" + s.address
}

// join makes a practice cluster in an account.
func (s *site) join(admin, account string) *dev.Practice {
	s.Helper()
	p, err := dev.NewPractice("dev", account)
	s.must(err)
	c := &client{endpoint: s.endpoint, keyID: s.callers[admin].keyID, secret: s.callers[admin].secret, region: dev.Region, http: s.wire}
	s.must(dev.JoinPractice(s.Context(), c.call, c.as, p))
	return p
}

// assume becomes a role by web identity.
func (s *site) assume(who string, cluster *dev.Practice, pod dev.Pod, role string) error {
	token, err := cluster.Token(pod, registry.AgentAudience, time.Hour)
	if err != nil {
		return err
	}
	text, err := s.send("unsigned", form("sts", "AssumeRoleWithWebIdentity", url.Values{
		"RoleArn": {role}, "RoleSessionName": {"it"}, "WebIdentityToken": {token},
	}))
	if err != nil {
		return err
	}
	var got struct {
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
		} `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	err = xml.Unmarshal([]byte(text), &got)
	s.callers[who] = caller{got.Credentials.AccessKeyID, got.Credentials.SecretAccessKey, got.Credentials.SessionToken}
	return err
}

var agentPod = dev.Pod{Namespace: "kube-system", ServiceAccount: "eks-pod-identity-agent", Name: "agent"}

// pod becomes what a pod of the service account becomes.
func (s *site) pod(who, serviceAccount string) {
	s.Helper()
	s.must(s.assume("agent", s.cluster, agentPod, s.cluster.AgentRole))
	namespace, name, _ := strings.Cut(serviceAccount, "/")
	token, err := s.cluster.Token(dev.Pod{Namespace: namespace, ServiceAccount: name, Name: name + "-0"}, registry.PodAudience, time.Hour)
	s.must(err)
	text, err := s.send("agent", request{
		service: "eks-auth", method: http.MethodPost, path: "/clusters/dev/assume-role-for-pod-identity", body: `{"token":"` + token + `"}`,
	})
	s.must(err)
	var got struct {
		Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }
	}
	s.must(json.Unmarshal([]byte(text), &got))
	s.callers[who] = caller{got.Credentials.AccessKeyID, got.Credentials.SecretAccessKey, got.Credentials.SessionToken}
}

// gatewayRole is the role that gateways call the server as, and the pod that may become it.
var gatewayPod = dev.Pod{Namespace: "lanyard-system", ServiceAccount: "lanyard-gateway", Name: "gateway-0"}

const watchFeed = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"lanyard:WatchFeed","Resource":"arn:aws:lanyard:us-east-1:` + dev.Account + `:gateway/*"},
 {"Effect":"Allow","Action":"lanyard:GetSigningKey","Resource":"*"}]}`

// startGateway starts a gateway, which need not become ready.
func (s *site) startGateway(more ...string) *process {
	s.Helper()
	p, err := startLanyard(s.folder, os.Environ(), func(p *process) bool {
		_, ok := p.serving()
		return ok
	}, append([]string{
		"gateway", "--server", s.endpoint, "--server-ca", s.file("server/ca.pem"), "--account", dev.Account, "--name", "gw-1",
		"--listen", "127.0.0.1:0", "--tls-cert", s.file("server/tls.pem"), "--tls-key", s.file("server/tls.key"),
		"--upstream", s.bucket.URL, "--upstream-key-file", s.file("upstream.env"), "--audit-dir", s.file("audit"),
	}, more...)...)
	s.must(err)
	s.Cleanup(p.kill)
	at, _ := p.serving()
	s.gate.endpoint = "https://" + at
	return p
}

func (s *site) ready() bool {
	body, err := s.gate.send("unsigned", request{method: http.MethodGet, path: "/readyz"})
	return err == nil && body == "ok\n"
}

func (s *site) wait(so func() bool, otherwise string) {
	s.Helper()
	s.must(eventually(so, otherwise))
}

// got is what a caller gets for a GET of the object at the gateway: its content or the error's code.
func (s *site) got(who, path string) string {
	body, err := s.gate.send(who, rest("s3", http.MethodGet, path, ""))
	var refused *dev.Answer
	switch {
	case errors.As(err, &refused):
		return refused.Code
	case err != nil:
		return err.Error()
	}
	return body
}

// becomes waits until the answer to a GET is another one, which it then has to stay.
func (s *site) becomes(who, path, want, when string) {
	s.Helper()
	s.wait(func() bool { return s.got(who, path) == want }, when+": "+who+" does not get "+want+" for "+path)
}

func (s *site) is(who, path, want, when string) {
	s.Helper()
	if got := s.got(who, path); got != want {
		s.Errorf("%s: %s gets %q for %s, want %q", when, who, got, path, want)
	}
}

const readsReports = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::store/${aws:PrincipalTag/kubernetes-namespace}/*"}}`

// TestGatewayProcess runs a gateway beside its server, from before it may do anything to after both were killed.
func TestGatewayProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.must(s.makeRole("reader", readsReports))
	association, err := s.makeAssociation("dev", "shop/web", "reader")
	s.must(err)
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:eks:us-east-1:%s:cluster/dev"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"lanyard:sub":"system:serviceaccount:lanyard-system:lanyard-gateway","lanyard:aud":"sts.amazonaws.com"}}}}`, dev.Account)
	_, err = s.send("administrator", form("iam", "CreateRole", url.Values{"RoleName": {"gateway"}, "AssumeRolePolicyDocument": {trust}}))
	s.must(err)
	token, err := s.cluster.Token(gatewayPod, registry.AgentAudience, time.Hour)
	s.must(err)
	s.must(os.WriteFile(s.file("token"), []byte(token), 0o600))
	asRole := []string{"--role-arn", "arn:aws:iam::" + dev.Account + ":role/gateway", "--web-identity-token-file", s.file("token")}

	// Without the right to the feed the gateway lives, is not ready, and says so in S3's words.
	g := s.startGateway(asRole...)
	s.wait(func() bool { return strings.Contains(g.err.String(), "not authorized to perform: lanyard:WatchFeed") }, "the gateway does not say what it lacks")
	if body, err := s.gate.send("unsigned", request{method: http.MethodGet, path: "/healthz"}); err != nil || body != "ok\n" {
		t.Errorf("/healthz: got %q, %v", body, err)
	}
	if s.ready() {
		t.Error("a gateway that has heard nothing is ready")
	}
	s.pod("pod", "shop/web")
	s.is("pod", "/store/shop/a", "ServiceUnavailable", "before the first snapshot")
	s.must(s.putPolicy("gateway", watchFeed))
	s.wait(s.ready, "the gateway may watch and is not ready")

	// What policy allows goes through, what it does not allow does not, and whatever is changed counts at once.
	if _, err := s.gate.send("pod", rest("s3", http.MethodPut, "/store/shop/a", "hello")); err != nil {
		t.Fatal(err)
	}
	s.is("pod", "/store/shop/a", "hello", "allowed")
	s.is("pod", "/store/other/a", "AccessDenied", "another namespace's")
	s.must(s.putPolicy("reader", anything))
	s.becomes("pod", "/store/shop/a", "AccessDenied", "policy replaced by a deny")
	s.must(s.putPolicy("reader", readsReports))
	s.becomes("pod", "/store/shop/a", "hello", "policy put back")

	_, err = s.send("administrator", rest("eks", http.MethodDelete, associations+"/"+association, ""))
	s.must(err)
	s.becomes("pod", "/store/shop/a", "ExpiredToken", "association deleted")
	_, err = s.makeAssociation("dev", "shop/web", "reader")
	s.must(err)
	s.becomes("pod", "/store/shop/a", "hello", "association created again")
	_, err = s.send("administrator", rest("lanyard", http.MethodPost, revocations, `{"kind":"pod","cluster":"dev","value":"shop/web-0"}`))
	s.must(err)
	s.becomes("pod", "/store/shop/a", "ExpiredToken", "revoked")
	s.pod("pod", "shop/web")
	s.is("pod", "/store/shop/a", "hello", "a session of a newer revision than any that the gateway was told of by itself")

	// A long-term key works without its secret ever being at the gateway.
	s.must(s.notIn(g, s.callers["administrator"].secret))
	s.is("administrator", "/store/shop/a", "hello", "a long-term key")
	s.callers["liar"] = caller{keyID: s.callers["administrator"].keyID, secret: "wrong"}
	s.is("liar", "/store/shop/a", "SignatureDoesNotMatch", "a wrong secret")
	s.callers["empty"] = caller{keyID: s.callers["administrator"].keyID}
	s.is("empty", "/store/shop/a", "SignatureDoesNotMatch", "an empty secret")

	// Another account is nobody here, its administrator and its sessions alike.
	text, err := s.send("administrator", rest("lanyard", http.MethodPost, "/lanyard/v1/accounts", `{"name":"member","accountId":"`+memberAccount+`"}`))
	s.must(err)
	var member struct{ AccessKeyID, SecretAccessKey string }
	s.must(json.Unmarshal([]byte(text), &member))
	s.callers["member"] = caller{keyID: member.AccessKeyID, secret: member.SecretAccessKey}
	theirs := s.join("member", memberAccount)
	s.must(s.assume("member's session", theirs, agentPod, theirs.AgentRole))
	s.is("member", "/store/shop/a", "InvalidAccessKeyId", "another account's key")
	s.is("member's session", "/store/shop/a", "InvalidToken", "another account's session")

	s.outages(t, g, asRole)
}

// notIn looks for a secret in what a process has written.
func (s *site) notIn(p *process, secret string) error {
	found := []string{p.out.String(), p.err.String()}
	files, err := filepath.Glob(s.file("audit") + "/*")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no audit files: %w", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		found = append(found, string(text))
	}
	for _, text := range found {
		if strings.Contains(text, secret) {
			return errors.New("the gateway has written a secret")
		}
	}
	return nil
}

// outages kills the server and then the gateway.
func (s *site) outages(t *testing.T, g *process, asRole []string) {
	s.server.kill()
	s.is("pod", "/store/shop/a", "hello", "the server is gone")
	s.is("administrator", "/store/shop/a", "hello", "the server is gone, and the day's key is known")
	if !s.ready() {
		t.Error("a gateway that is cut off for a moment is not ready")
	}
	s.startServer(s.address)
	s.must(s.putPolicy("reader", anything))
	s.becomes("pod", "/store/shop/a", "AccessDenied", "policy changed after the server came back")
	s.must(s.putPolicy("reader", readsReports))
	s.becomes("pod", "/store/shop/a", "hello", "policy put back after the server came back")

	// The chain of a gateway that was killed goes on, and leads to the head that the server was told.
	told := regexp.MustCompile(`"revision":(\d+)`)
	s.wait(func() bool {
		list, err := s.send("administrator", rest("lanyard", http.MethodGet, "/lanyard/v1/gateways", ""))
		return err == nil && strings.Contains(list, `"name":"gw-1"`) && told.MatchString(list)
	}, "the server does not list the gateway")
	status := exec.Command("lanyard", "status")
	status.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+s.endpoint, "AWS_CA_BUNDLE="+s.file("server/ca.pem"),
		"AWS_ACCESS_KEY_ID="+s.callers["administrator"].keyID, "AWS_SECRET_ACCESS_KEY="+s.callers["administrator"].secret)
	if text, err := status.CombinedOutput(); err != nil || !strings.Contains(string(text), "\ngateway     gw-1 was heard from at ") {
		t.Errorf("lanyard status: %v, says %q, want the gateway in it", err, text)
	}
	g.kill()
	if _, err := audit.Verify(s.file("audit")); err != nil {
		t.Errorf("the audit log after kill -9: %v", err)
	}
	g = s.startGateway(asRole...)
	s.wait(s.ready, "the gateway does not come back")
	s.is("pod", "/store/shop/a", "hello", "after the gateway was killed")
	got, err := listening(g.cmd.Process.Pid)
	s.must(err)
	if want := "tcp " + strings.TrimPrefix(s.gate.endpoint, "https://"); len(got) != 1 || got[0] != want {
		t.Errorf("the gateway listens on %q, want %q alone", got, want)
	}
	if err := g.stop(); err != nil {
		t.Errorf("stopping the gateway: %v\n%s", err, g.err.String())
	}
	head, err := audit.Verify(s.file("audit"))
	s.must(err)

	// A folder that was put in the place of the log is found out by the next start.
	s.must(os.Rename(s.file("audit"), s.file("kept")))
	g = s.startGateway(asRole...)
	s.wait(s.ready, "the gateway does not start on another audit folder")
	s.wait(func() bool {
		log := g.err.String()
		return strings.Contains(log, "records are missing or were changed") && strings.Contains(log, fmt.Sprintf(`"record":%d`, head.Seq))
	}, "with another audit folder the gateway does not say that records are missing")
	if err := g.stop(); err != nil {
		t.Errorf("stopping the gateway: %v", err)
	}
	if err := s.server.stop(); err != nil {
		t.Errorf("stopping the server: %v", err)
	}
}

// TestGatewayIsCutOff lets a gateway be cut off for longer than it may be.
func TestGatewayIsCutOff(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	g := s.startGateway("--key-file", s.file("server/administrator.env"), "--max-staleness", "2s")
	s.wait(s.ready, "the gateway is not ready")
	s.becomes("administrator", "/store/none", "NoSuchKey", "following")
	s.server.kill()
	s.becomes("administrator", "/store/none", "ServiceUnavailable", "cut off")
	if s.ready() {
		t.Error("a gateway that may answer nothing is ready")
	}
	s.startServer(s.address)
	s.wait(s.ready, "the gateway does not come back")
	s.becomes("administrator", "/store/none", "NoSuchKey", "following again")
	if err := g.stop(); err != nil {
		t.Errorf("stopping the gateway: %v\n%s", err, g.err.String())
	}
}

// TestGatewayOfAnotherAccount is refused by the server, whatever it may do in its own.
func TestGatewayOfAnotherAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	g := s.startGateway("--key-file", s.file("server/administrator.env"), "--account", memberAccount)
	s.wait(func() bool {
		return strings.Contains(g.err.String(), "not authorized to perform: lanyard:WatchFeed on resource: arn:aws:lanyard:us-east-1:"+memberAccount+":gateway/gw-1")
	}, "the gateway is not told that the account is not its own")
	if s.ready() {
		t.Error("it is ready")
	}
	// A gateway that waits stops as it is told to.
	if err := g.stop(); err != nil {
		t.Errorf("stopping the gateway: %v\n%s", err, g.err.String())
	}
}

func TestReadKeyFile(t *testing.T) {
	const id, secret = "AKIAEXAMPLE", "a/b+c="
	tests := []struct {
		name, text string
		mode       os.FileMode
		ok         bool
	}{
		{"for a shell", "export AWS_ACCESS_KEY_ID=" + id + "\nexport AWS_SECRET_ACCESS_KEY=" + secret + "\nexport AWS_REGION=r\n", 0o600, true},
		{"for systemd", "AWS_SECRET_ACCESS_KEY=\"" + secret + "\"\nAWS_ACCESS_KEY_ID='" + id + "'\n", 0o400, true},
		{"others may read it", "AWS_ACCESS_KEY_ID=" + id + "\nAWS_SECRET_ACCESS_KEY=" + secret + "\n", 0o640, false},
		{"no secret", "AWS_ACCESS_KEY_ID=" + id + "\n", 0o600, false},
		{"an empty secret", "AWS_ACCESS_KEY_ID=" + id + "\nAWS_SECRET_ACCESS_KEY=\n", 0o600, false},
		{"commented out", "#AWS_ACCESS_KEY_ID=" + id + "\n#AWS_SECRET_ACCESS_KEY=" + secret + "\n", 0o600, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key.env")
			if err := errors.Join(os.WriteFile(file, []byte(test.text), 0o600), os.Chmod(file, test.mode)); err != nil {
				t.Fatal(err)
			}
			gotID, gotSecret, err := readKeyFile(file)
			if ok := err == nil && gotID == id && gotSecret == secret; ok != test.ok {
				t.Errorf("got %q, %q, %v", gotID, gotSecret, err)
			}
			if err != nil && bytes.Contains([]byte(err.Error()), []byte(secret)) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}
