package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/prometheus/client_golang/prometheus"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// clock is the agent's and the upstream's time; tests move it, or it runs with a bubble's.
type clock struct {
	offset atomic.Int64
	began  time.Time // in a bubble
}

func (c *clock) now() time.Time {
	if !c.began.IsZero() {
		return noon.Add(time.Since(c.began))
	}
	return noon.Add(time.Duration(c.offset.Load()))
}
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// fakeUpstream speaks the wire of EKS Auth and STS as a real server on loopback. It checks each signature.
type fakeUpstream struct {
	t     *testing.T
	clock *clock
	url   string

	closeConnections func() // all of them, as a server does that restarts

	calls, identities atomic.Int64
	session           atomic.Int64 // seconds that pods' sessions live
	own               atomic.Int64 // seconds that the agent's sessions live
	behind            atomic.Int64 // what the server's clock says more than the agent's

	mu       sync.Mutex
	exchange func(w http.ResponseWriter, token string) bool // answers itself: true
	sts      func(w http.ResponseWriter) bool
	stream   func(w http.ResponseWriter, r *http.Request, asked string) // nil: the server has none
	seen     func(*http.Request)                                        // is shown each question to EKS Auth
	forms    []map[string][]string
	stale    map[string]bool // access keys that are refused
}

func newFake(t *testing.T, listener net.Listener) *fakeUpstream {
	t.Helper()
	f := &fakeUpstream{t: t, clock: &clock{}, stale: map[string]bool{}}
	f.session.Store(6 * 3600)
	f.own.Store(3600)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /clusters/dev/assume-role-for-pod-identity", f.assume)
	mux.HandleFunc("POST /{$}", f.webIdentity)
	mux.HandleFunc("POST /lanyard/v1/clusters/dev/invalidations", f.watch)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", f.clock.now().Add(time.Duration(f.behind.Load())).Format(http.TimeFormat))
		mux.ServeHTTP(w, r)
	}))
	if listener != nil {
		server.Listener = listener
	}
	server.Start()
	t.Cleanup(server.Close)
	f.url, f.closeConnections = server.URL, server.CloseClientConnections
	return f
}

func (f *fakeUpstream) answerWith(exchange func(w http.ResponseWriter, token string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exchange = exchange
}

func (f *fakeUpstream) refuseWith(status int, name, message string) {
	f.answerWith(func(w http.ResponseWriter, _ string) bool {
		exception(w, status, name, message)
		return true
	})
}

func (f *fakeUpstream) watch(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	stream := f.stream
	f.mu.Unlock()
	if stream == nil { // as a server of AWS's answers what it does not know
		exception(w, http.StatusNotFound, "UnknownOperationException", "")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent gave up
	}
	if _, err := checkSignature(r, body, "lanyard"); err != nil {
		f.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	stream(w, r, string(body))
}

func exception(w http.ResponseWriter, status int, name, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", name+":http://internal.amazon.com/coral/")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":%q}`, message)
}

func (f *fakeUpstream) webIdentity(w http.ResponseWriter, r *http.Request) {
	n := f.identities.Add(1)
	if err := r.ParseForm(); err != nil {
		f.t.Errorf("the form cannot be read: %v", err)
	}
	if got := r.Header.Get("Authorization"); got != "" {
		f.t.Errorf("AssumeRoleWithWebIdentity is signed: %s", got)
	}
	f.mu.Lock()
	f.forms = append(f.forms, r.PostForm)
	sts := f.sts
	f.mu.Unlock()
	if sts != nil && sts(w) {
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIAAGENT%d</AccessKeyId><SecretAccessKey>agent-secret</SecretAccessKey><SessionToken>agent-session</SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, n,
		f.clock.now().Add(time.Duration(f.behind.Load())+time.Duration(f.own.Load())*time.Second).Format(time.RFC3339))
}

func (f *fakeUpstream) assume(w http.ResponseWriter, r *http.Request) {
	n := f.calls.Add(1)
	if f.seen != nil {
		f.seen(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent gave up
	}
	keyID, err := checkSignature(r, body, "eks-auth")
	if err != nil {
		f.t.Error(err)
		exception(w, http.StatusForbidden, "InvalidSignatureException", err.Error())
		return
	}
	f.mu.Lock()
	exchange, stale := f.exchange, f.stale[keyID]
	f.mu.Unlock()
	server := f.clock.now().Add(time.Duration(f.behind.Load()))
	if signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date")); err != nil || server.Sub(signed).Abs() > 15*time.Minute {
		exception(w, http.StatusForbidden, "InvalidSignatureException", "Signature not yet current")
		return
	}
	if stale {
		exception(w, http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired")
		return
	}
	var in struct{ Token string }
	if err := json.Unmarshal(body, &in); err != nil {
		f.t.Errorf("the body cannot be read: %v", err)
	}
	if exchange != nil && exchange(w, in.Token) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"subject":{"namespace":"default","serviceAccount":"api"},"audience":"pods.eks.amazonaws.com",
"podIdentityAssociation":{"associationArn":"arn:aws:eks:us-east-1:111122223333:podidentityassociation/dev/a-1","associationId":"a-1"},
"assumedRoleUser":{"arn":"arn:aws:sts::111122223333:assumed-role/api/eks-dev-api","assumeRoleId":"AROA:eks-dev-api"},
"credentials":{"accessKeyId":"ASIAPOD%d","secretAccessKey":"pod-secret","sessionToken":"pod-session/+<&","expiration":%d}}`,
		n, server.Unix()+f.session.Load())
}

// checkSignature signs what arrived once more with the secret that STS gave, and compares.
func checkSignature(r *http.Request, body []byte, service string) (keyID string, err error) {
	got := r.Header.Get("Authorization")
	date, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(got, "Credential=")
	keyID, scope, _ := strings.Cut(rest, "/")
	if want := date.Format("20060102") + "/us-east-1/" + service + "/aws4_request,"; !strings.HasPrefix(scope, want) {
		return "", fmt.Errorf("signed for %q, want the scope %q", scope, want)
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	again.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	digest := sha256.Sum256(body)
	self := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: "agent-secret", SessionToken: "agent-session"}
	if err := v4.NewSigner().SignHTTP(context.Background(), self, again, hex.EncodeToString(digest[:]), service, "us-east-1", date); err != nil {
		return "", err
	}
	if want := again.Header.Get("Authorization"); got != want {
		return "", fmt.Errorf("signature %s, want %s", got, want)
	}
	return keyID, nil
}

// rig is an agent before a fake upstream, with all that it logged.
type rig struct {
	*Agent
	fake     *fakeUpstream
	log      *safeBuffer
	file     string
	registry *prometheus.Registry
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newRig starts an agent whose log is searched for secrets when the test ends: every test is one about that.
func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	return newRigOn(t, newFake(t, nil), change)
}

func newRigOn(t *testing.T, fake *fakeUpstream, change func(*Config)) *rig {
	t.Helper()
	r := &rig{
		fake: fake, log: &safeBuffer{}, registry: prometheus.NewRegistry(),
		file: filepath.Join(t.TempDir(), "token"),
	}
	if err := os.WriteFile(r.file, []byte("agent.own.token-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Cluster: "dev", Region: "us-east-1", Endpoint: r.fake.url, RoleARN: "arn:aws:iam::111122223333:role/lanyard-agent-x",
		TokenFile: r.file, SessionName: "node-1.example", Hosts: []string{"127.0.0.1"},
		Logger:     slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer: r.registry, Now: r.fake.clock.now,
	}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Agent = a
	t.Cleanup(func() {
		a.work.Wait()
		a.upstream.client.CloseIdleConnections()
		for _, secret := range []string{"agent.own", "agent-secret", "agent-session", "pod-secret", "pod-session", tokenMark} {
			if strings.Contains(r.log.String(), secret) {
				t.Errorf("the log has the secret %q:\n%s", secret, r.log)
			}
		}
	})
	return r
}

// tokenMark begins each test token, as the header of a JWT does.
const tokenMark = "eyJhbGciOiJSUzI1NiJ9"

func token(name string, expires time.Time) string {
	payload := fmt.Sprintf(`{"aud":["pods.eks.amazonaws.com"],"exp":%d,"nbf":%d,"jti":%[3]q,"kubernetes.io":{"namespace":"default","pod":{"name":%[3]q,"uid":"uid-of-%[3]s"},"node":{"name":"node-1"}}}`, expires.Unix(), noon.Add(-time.Minute).Unix(), name)
	return tokenMark + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2lnbmF0dXJl"
}

// day is a token that outlives its test.
func day(name string) string { return token(name, noon.Add(24*time.Hour)) }

// get asks as a pod does.
func (r *rig) get(token string) *httptest.ResponseRecorder { return r.getFrom("192.0.2.1:1234", token) }

func (r *rig) getFrom(peer, token string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/v1/credentials", nil)
	request.RemoteAddr = peer
	request.Header.Set("Authorization", token)
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, request)
	return w
}

func (r *rig) wantStatus(t *testing.T, token string, want int) *httptest.ResponseRecorder {
	t.Helper()
	w := r.get(token)
	if w.Code != want {
		t.Errorf("status %d, want %d; body %s; log\n%s", w.Code, want, w.Body, r.log)
	}
	return w
}

func (r *rig) wantCalls(t *testing.T, want int64) {
	t.Helper()
	if got := r.fake.calls.Load(); got != want {
		t.Errorf("%d calls of EKS Auth, want %d", got, want)
	}
}

// second is what Run does each second, and waits for it.
func (r *rig) second(t *testing.T) {
	t.Helper()
	r.renewIdentity(t.Context())
	r.renewDue(t.Context())
	r.work.Wait()
}
