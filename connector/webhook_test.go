package connector

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/openlanyard/lanyard/inject"
)

// A door is a webhook behind real TLS, with certificates as they are rotated.
type door struct {
	*Webhook
	url    string
	client *http.Client
	events atomic.Int64
	told   atomic.Pointer[Pod]
}

func open(t *testing.T, a *Associations) *door {
	t.Helper()
	d := new(door)
	var err error
	d.Webhook, err = NewWebhook(WebhookConfig{
		Associations: a, Registerer: prometheus.NewRegistry(),
		Local: inject.Settings{TokenSeconds: 7200},
		ServiceAccount: func(who Identity) map[string]string {
			return map[string]string{inject.Expiration: map[string]string{"hour": "3600"}[who.ServiceAccount]}
		},
		Event: func(p Pod, _ string) { d.events.Add(1); d.told.Store(&p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	certificates := &Certificates{Namespace: "lanyard-system", Service: "lanyard-connector"}
	g, _, err := generations{}.rotate(time.Now(), certificates.names())
	if err != nil {
		t.Fatal(err)
	}
	certificates.hold(&g)
	bundle, _ := certificates.Bundle()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(d.Handler(), certificates.Certificate, nil)
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: webhookNames[0]},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	d.url, d.client = "https://"+listener.Addr().String(), &http.Client{Transport: transport}
	return d
}

func (d *door) do(t *testing.T, method, path, contentType, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := d.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

type answer struct {
	Kind, APIVersion string
	Response         struct {
		UID              string
		Allowed          bool
		PatchType, Patch string
		Status           struct{ Message string }
	}
}

func (d *door) review(t *testing.T, body string) (answer, string) {
	t.Helper()
	status, text := d.do(t, http.MethodPost, MutatePath, "application/json", body)
	var a answer
	if err := json.Unmarshal([]byte(text), &a); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s (%v)", body, status, text, err)
	}
	patch, err := base64.StdEncoding.DecodeString(a.Response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(patch)
}

// question asks about a pod of namespace pay; edits are pairs of what is replaced.
func question(serviceAccount string, edits ...string) string {
	text := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u-1","kind":{"group":"","version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"pay","operation":"CREATE","dryRun":false,` +
		`"object":{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"api-","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"api","uid":"o-1"}]},` +
		`"spec":{"serviceAccountName":"` + serviceAccount + `","containers":[{"name":"app"}]}},"oldObject":null}}`
	return strings.NewReplacer(edits...).Replace(text)
}

// settled holds associations of pay/api and pay/hour; its server has nothing new.
func settled(t *testing.T) *Associations {
	t.Helper()
	a := NewAssociations((&source{}).position, func() {})
	err := a.Apply(&Line{
		Epoch: "e", Reset: true, Settings: &Settings{Region: "eu-west-1", S3Endpoint: "https://10.0.0.7", STSEndpoint: "https://10.0.0.8", CABundle: "PEM\n"},
		Associations: []Association{{"a-1", Identity{"pay", "api"}}, {"a-2", Identity{"pay", "hour"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestDecisions holds which pods are patched, and for each of those one like it that is not.
func TestDecisions(t *testing.T) {
	d := open(t, settled(t))
	tests := []struct{ name, body, want string }{
		{"associated", question("api"), `"expirationSeconds":7200`},
		{"its service account says an hour", question("hour"), `"expirationSeconds":3600`},
		{"endpoint", question("api"), `"value":"https://10.0.0.7"`},
		{"v1beta1", question("api", "admission.k8s.io/v1", "admission.k8s.io/v1beta1"), inject.Volume},
		{"dry run", question("api", `"dryRun":false`, `"dryRun":true`), inject.Volume},
		{"another service account", question("web"), ""},
		{"no service account", question(""), ""},
		{"letters of another case", question("API"), ""},
		{"another namespace", question("api", `"namespace":"pay"`, `"namespace":"play"`), ""},
		{"a namespace in the pod alone", question("api", `"namespace":"pay"`, `"namespace":"play"`, `"generateName":"api-"`, `"namespace":"pay"`), ""},
		{"update", question("api", "CREATE", "UPDATE"), ""},
		{"a subresource", question("api", `"oldObject":null`, `"subResource":"eviction"`), ""},
		{"another resource", question("api", `"pods"`, `"jobs"`), ""},
		{"another group", question("api", `"resource":{"group":""`, `"resource":{"group":"x"`), ""},
	}
	for _, tt := range tests {
		a, patch := d.review(t, tt.body)
		r := a.Response
		if a.Kind != "AdmissionReview" || !strings.Contains(tt.body, `"`+a.APIVersion+`"`) || r.UID != "u-1" || !r.Allowed {
			t.Errorf("%s: answer %+v", tt.name, a)
		}
		if tt.want == "" && (patch != "" || r.PatchType != "") || tt.want != "" && (!strings.Contains(patch, tt.want) || r.PatchType != "JSONPatch") {
			t.Errorf("%s: %s %q, want %q in it", tt.name, r.PatchType, patch, tt.want)
		}
	}
	if n := d.events.Load(); n != 0 {
		t.Errorf("%d events about certain decisions", n)
	}
	a, _ := d.review(t, question("api", `[{"name":"app"}]`, `{}`))
	if a.Response.Allowed || !strings.Contains(a.Response.Status.Message, "spec.containers is not a list") {
		t.Errorf("a pod that cannot be patched: %+v", a)
	}
	if got := testutil.ToFloat64(d.metrics.decided[injected]); got != 5 {
		t.Errorf("%g pods counted as injected, want 5", got)
	}
}

// TestBrokenStream holds that pods do not wait for it, and that people are told, but not of a dry run.
func TestBrokenStream(t *testing.T) {
	a := settled(t)
	d := open(t, a)
	a.Broken()
	if _, patch := d.review(t, question("api")); !strings.Contains(patch, inject.Volume) {
		t.Errorf("an association of the last list: patch %q", patch)
	}
	if _, patch := d.review(t, question("web", `"dryRun":false`, `"dryRun":true`)); patch != "" || d.events.Load() != 0 {
		t.Errorf("a dry run: patch %q, %d events", patch, d.events.Load())
	}
	const pods = 100
	for range pods {
		if _, patch := d.review(t, question("web")); patch != "" {
			t.Fatalf("no association in the last list: patch %q", patch)
		}
	}
	if n := d.events.Load(); n != pods {
		t.Errorf("%d events about %d pods", n, pods)
	}
	want := Pod{Namespace: "pay", Owner: Owner{"apps/v1", "ReplicaSet", "api", "o-1"}}
	if got := *d.told.Load(); got != want {
		t.Errorf("the event is about %+v, want %+v", got, want)
	}
	if got := testutil.ToFloat64(d.metrics.decided[broken]); got != pods+1 {
		t.Errorf("%g decisions counted as by a broken stream", got)
	}
}

// TestRefusals holds what is no question.
func TestRefusals(t *testing.T) {
	d := open(t, settled(t))
	large := question("api", `"oldObject":null`, `"oldObject":"`+strings.Repeat("x", maxReview)+`"`)
	fits := question("api", `"oldObject":null`, `"oldObject":"`+strings.Repeat("x", maxReview-2000)+`"`)
	tests := []struct {
		name, method, path, contentType, body string
		want                                  int
	}{
		{"a question", "POST", MutatePath, "application/json", question("api"), 200},
		{"a charset", "POST", MutatePath, "application/json; charset=utf-8", question("api"), 200},
		{"a large question", "POST", MutatePath, "application/json", fits, 200},
		{"too large", "POST", MutatePath, "application/json", large, 413},
		{"GET", "GET", MutatePath, "application/json", "", 405},
		{"PUT", "PUT", MutatePath, "application/json", question("api"), 405},
		{"no type", "POST", MutatePath, "", question("api"), 415},
		{"another type", "POST", MutatePath, "text/json", question("api"), 415},
		{"another path", "POST", "/mutate/x", "application/json", question("api"), 404},
		{"empty", "POST", MutatePath, "application/json", "", 400},
		{"no JSON", "POST", MutatePath, "application/json", "pod", 400},
		{"cut off", "POST", MutatePath, "application/json", question("api")[:40], 400},
		{"another kind", "POST", MutatePath, "application/json", question("api", "AdmissionReview", "Review"), 400},
		{"another version", "POST", MutatePath, "application/json", question("api", "k8s.io/v1", "k8s.io/v2"), 400},
		{"no uid", "POST", MutatePath, "application/json", question("api", "u-1", ""), 400},
		{"alive", "GET", "/healthz", "", "", 200},
		{"ready", "GET", "/readyz", "", "", 200},
	}
	for _, tt := range tests {
		if status, text := d.do(t, tt.method, tt.path, tt.contentType, tt.body); status != tt.want {
			t.Errorf("%s: %d %.200s, want %d", tt.name, status, text, tt.want)
		}
	}
	unready := open(t, NewAssociations(nil, nil))
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		if status, _ := unready.do(t, "GET", path, "", ""); status != want {
			t.Errorf("without a list, %s: %d, want %d", path, status, want)
		}
	}
}

// TestOnlyOurName holds that a client of another name is not served a certificate that it would take.
func TestOnlyOurName(t *testing.T) {
	d := open(t, settled(t))
	transport := d.client.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "lanyard-connector.other.svc"
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := (&http.Client{Transport: transport}).Do(r); err == nil {
		answer.Body.Close()
		t.Error("a certificate for another name was accepted")
	}
}

// TestThousandPods creates an association and at once its pod, a thousand times over TLS.
func TestThousandPods(t *testing.T) {
	s := &source{lines: make(chan *Line, 1000)}
	a := NewAssociations(s.position, nil)
	if err := a.Apply(&Line{Epoch: "e", Reset: true}); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{})
	go func() { defer close(told); s.tell(t, a) }()
	d := open(t, a)
	for i := range 1000 {
		name := "sa-" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		s.create(Identity{"pay", name})
		if _, patch := d.review(t, question(name)); !strings.Contains(patch, inject.Volume) {
			t.Fatalf("pod %d was not injected", i)
		}
	}
	close(s.lines)
	<-told
}
