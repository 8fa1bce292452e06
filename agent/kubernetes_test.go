package agent

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// apiServer answers the two paths of the Kubernetes API that an agent asks for, over TLS, to whoever shows the agent's token.
type apiServer struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	reviews []string // the tokens that it was asked about
	review  func(w http.ResponseWriter)
	taints  []map[string]string
	race    func() // before a patch is applied
}

const ownToken = "agent.own.kubernetes-token"

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/tokenreviews", s.tokenReview)
	mux.HandleFunc("GET /api/v1/nodes/node-1.example", s.node)
	mux.HandleFunc("PATCH /api/v1/nodes/node-1.example", s.patch)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+ownToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) tokenReview(w http.ResponseWriter, r *http.Request) {
	var in struct {
		APIVersion, Kind string
		Spec             struct {
			Token     string
			Audiences []string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Kind != "TokenReview" || in.APIVersion != "authentication.k8s.io/v1" {
		s.t.Errorf("the review cannot be read: %+v, %v", in, err)
	}
	if want := []string{"pods.eks.amazonaws.com"}; !cmp.Equal(in.Spec.Audiences, want) {
		s.t.Errorf("asked for the audiences %q, want %q", in.Spec.Audiences, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reviews = append(s.reviews, in.Spec.Token)
	if s.review != nil {
		s.review(w)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{"status":{"authenticated":true,"audiences":["pods.eks.amazonaws.com"],"user":{"username":"system:serviceaccount:default:api"}}}`)
}

func (s *apiServer) node(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := json.NewEncoder(w).Encode(map[string]any{"spec": map[string]any{"taints": s.taints}}); err != nil {
		s.t.Error(err)
	}
}

// patch does what the API server does with a JSON patch of one test and one removal (RFC 6902).
func (s *apiServer) patch(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Content-Type"); got != "application/json-patch+json" {
		s.t.Errorf("patch of type %q", got)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent gave up
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.race != nil {
		s.race()
		s.race = nil
	}
	var steps []struct{ Op, Path, Value string }
	var index int
	if err := json.Unmarshal(body, &steps); err != nil || len(steps) != 2 {
		s.t.Errorf("patch %s: %v", body, err)
		return
	}
	if _, err := fmt.Sscanf(steps[1].Path, "/spec/taints/%d", &index); err != nil || steps[0].Path != steps[1].Path+"/key" || steps[0].Op != "test" || steps[1].Op != "remove" {
		s.t.Errorf("patch %s: %v", body, err)
		return
	}
	if index >= len(s.taints) || s.taints[index]["key"] != steps[0].Value {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	s.taints = slices.Delete(s.taints, index, index+1)
	fmt.Fprint(w, `{}`)
}

// asks returns the configuration of an agent that asks this server.
func (s *apiServer) asks(change func(*Kubernetes)) func(*Config) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(ownToken+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return func(c *Config) {
		c.Kubernetes = &Kubernetes{URL: s.URL, TokenFile: file, CAs: x509.NewCertPool()}
		c.Kubernetes.CAs.AddCert(s.Certificate())
		change(c.Kubernetes)
	}
}

func TestPodsAreVerified(t *testing.T) {
	verify := func(k *Kubernetes) { k.VerifyPods = true }
	status := func(code int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	for _, tt := range []struct {
		name   string
		review func(http.ResponseWriter)
		want   int
		says   string
	}{
		{"accepted", nil, http.StatusOK, "ASIAPOD1"},
		{"its pod is gone", status(201, `{"status":{"authenticated":false,"error":"[invalid bearer token, pod \"api\" is gone]"}}`), 400, "its pod is gone"},
		{"not authenticated, without an error", status(201, `{"status":{}}`), 400, "does not accept the token"},
		{"for another audience", status(201, `{"status":{"authenticated":true,"audiences":["sts.amazonaws.com"]}}`), 400, "does not accept the token"},
		{"for no audience, as an API server answers that knows none", status(201, `{"status":{"authenticated":true}}`), 400, "does not accept the token"},
		{"the agent may not ask", status(403, `{"reason":"Forbidden"}`), 503, "cannot be asked"},
		{"the API server fails", status(500, `{}`), 503, "cannot be asked"},
		{"no JSON", status(201, `<html>`), 503, "cannot be asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAPIServer(t)
			s.review = tt.review
			r := newRig(t, s.asks(verify))
			w := r.wantStatus(t, day("a"), tt.want)
			if !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("body %s lacks %q", w.Body, tt.says)
			}
			if want := []string{day("a")}; !cmp.Equal(s.reviews, want) {
				t.Errorf("asked about %q, want %q", s.reviews, want)
			}
			wantCalls := int64(0) // EKS Auth is not asked about a token that the API server does not vouch for
			if tt.want == http.StatusOK {
				wantCalls = 1
			}
			r.wantCalls(t, wantCalls)
		})
	}
}

func TestVerifyingAnswersFromTheCache(t *testing.T) {
	s := newAPIServer(t)
	r := newRig(t, s.asks(func(k *Kubernetes) { k.VerifyPods = true }))
	for range 3 {
		r.wantStatus(t, day("a"), http.StatusOK)
	}
	if len(s.reviews) != 1 {
		t.Errorf("%d reviews, want 1: only what goes to EKS Auth is verified", len(s.reviews))
	}
}

// TestUnreachableAPIServer: nobody gets credentials unverified because the API server is down.
func TestUnreachableAPIServer(t *testing.T) {
	s := newAPIServer(t)
	r := newRig(t, s.asks(func(k *Kubernetes) { k.VerifyPods = true }))
	s.Close()
	r.wantStatus(t, day("a"), http.StatusServiceUnavailable)
	r.wantCalls(t, 0)
}

func TestStartupTaintIsRemoved(t *testing.T) {
	taint := func(key, effect string) map[string]string { return map[string]string{"key": key, "effect": effect} }
	gpu := taint("example.com/gpu", "NoSchedule")
	for _, tt := range []struct {
		name         string
		taints, want []map[string]string
		race         func(*apiServer)
	}{
		{"alone", []map[string]string{taint(StartupTaint, "NoSchedule")}, []map[string]string{}, nil},
		{"absent", []map[string]string{gpu}, []map[string]string{gpu}, nil},
		{
			"with both effects, around another's",
			[]map[string]string{taint(StartupTaint, "NoSchedule"), gpu, taint(StartupTaint, "NoExecute")},
			[]map[string]string{gpu},
			nil,
		},
		{
			"while another taint comes before it",
			[]map[string]string{taint(StartupTaint, "NoSchedule")},
			[]map[string]string{gpu},
			func(s *apiServer) { s.taints = slices.Insert(s.taints, 0, gpu) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAPIServer(t)
			s.taints = tt.taints
			if tt.race != nil {
				s.race = func() { tt.race(s) }
			}
			r := newRig(t, s.asks(func(k *Kubernetes) { k.Untaint = "node-1.example" }))
			r.second(t) // it has its identity then
			r.serveNode(t.Context())
			if diff := cmp.Diff(s.taints, tt.want); diff != "" {
				t.Errorf("taints (-got +want):\n%s", diff)
			}
		})
	}
}

// TestStartupTaintStaysUntilTheAgentServes: a node whose agent has no identity gets no pods.
func TestStartupTaintStaysUntilTheAgentServes(t *testing.T) {
	s := newAPIServer(t)
	s.taints = []map[string]string{{"key": StartupTaint, "effect": "NoSchedule"}}
	r := newRig(t, s.asks(func(k *Kubernetes) { k.Untaint = "node-1.example" }))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.serveNode(ended)
	if len(s.taints) != 1 {
		t.Error("the taint is gone before the agent has an identity")
	}
}

func TestAPIServerIsChecked(t *testing.T) {
	for _, k := range []Kubernetes{
		{URL: "http://10.96.0.1", TokenFile: "token"}, // the requests carry pods' tokens
		{URL: "https://", TokenFile: "token"},
		{URL: "https://10.96.0.1"},
	} {
		if _, err := newKubernetes(&k); err == nil {
			t.Errorf("%+v is accepted", k)
		}
	}
}
