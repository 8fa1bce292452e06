package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/connector/install"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/registry"
)

// apiServer stands for a Kubernetes API server where a story is about the CLI: it keeps what is applied, signs tokens, and
// when the connector's Deployment is there, it does what the connector's pods would do first: become the cluster's role
// with what the ConfigMap says, and report. Whether a real one takes the manifests, test/kube says.
type apiServer struct {
	*httptest.Server
	practice *dev.Practice
	token    string // of its one user

	mu       sync.Mutex
	uid      string
	minor    string
	objects  map[string]map[string]any
	managers map[string]string
	webhook  string // what the connector reports of it; empty: that it is ready
	silent   bool   // the pods do not start
}

func newAPIServer() (*apiServer, error) {
	practice, err := dev.NewPractice("real", "")
	if err != nil {
		return nil, err
	}
	a := &apiServer{
		practice: practice, token: "a-user-of-kubernetes", uid: "1b2c3d4e-0000-4000-8000-000000000001", minor: "36",
		objects: map[string]map[string]any{}, managers: map[string]string{},
	}
	a.Server = httptest.NewTLSServer(a)
	return a, nil
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+a.token {
		refuse(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	switch p := r.URL.Path; r.Method + " " + p {
	case "GET /version":
		tell(w, map[string]string{"major": "1", "minor": a.minor, "gitVersion": "v1." + a.minor + ".0"})
	case "GET /api/v1/namespaces/kube-system":
		tell(w, map[string]any{"metadata": map[string]string{"name": "kube-system", "uid": a.uid}})
	case "GET /.well-known/openid-configuration":
		tell(w, map[string]string{"issuer": a.practice.Issuer, "jwks_uri": a.URL + "/openid/v1/jwks"})
	case "GET /openid/v1/jwks":
		if !strings.Contains(r.Header.Get("Accept"), "application/jwk-set+json") {
			refuse(w, http.StatusNotAcceptable, "406: Not Acceptable")
			return
		}
		keys, err := a.practice.JWKS()
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		tell(w, keys)
	case "GET /api/v1/namespaces/lanyard-system/pods":
		tell(w, a.pods())
	default:
		a.object(w, r, body)
	}
}

func (a *apiServer) object(w http.ResponseWriter, r *http.Request, body []byte) {
	p := r.URL.Path
	found, there := a.objects[p]
	switch {
	case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/apply-patch+yaml":
		manager := r.URL.Query().Get("fieldManager")
		var o map[string]any
		if err := json.Unmarshal(body, &o); err != nil || manager == "" || install.Object(o).Name() != path.Base(p) {
			refuse(w, http.StatusBadRequest, "what is applied is not the object of the path")
			return
		}
		if there && a.managers[p] != manager && r.URL.Query().Get("force") != "true" {
			refuse(w, http.StatusConflict, fmt.Sprintf("Apply failed with 1 conflict: conflict with %q: .spec.replicas", a.managers[p]))
			return
		}
		a.objects[p], a.managers[p] = o, manager
		if strings.HasSuffix(p, "/deployments/"+install.Name) && !a.silent {
			if err := a.runConnector(); err != nil {
				refuse(w, http.StatusInternalServerError, "the connector: "+err.Error())
				return
			}
		}
		tell(w, o)
	case !there:
		refuse(w, http.StatusNotFound, fmt.Sprintf("%s not found", path.Base(p)))
	case r.Method == http.MethodGet:
		tell(w, found)
	case r.Method == http.MethodDelete:
		delete(a.objects, p)
		delete(a.managers, p)
		tell(w, map[string]string{"kind": "Status", "status": "Success"})
	default:
		refuse(w, http.StatusMethodNotAllowed, r.Method)
	}
}

func (a *apiServer) pods() any {
	pod := map[string]any{"metadata": map[string]string{"name": install.Name + "-0"}}
	switch {
	case a.objects["/apis/apps/v1/namespaces/lanyard-system/deployments/"+install.Name] == nil:
		return map[string]any{"items": []any{}}
	case a.silent:
		pod["status"] = map[string]any{"phase": "Pending", "containerStatuses": []any{map[string]any{
			"state": map[string]any{"waiting": map[string]string{"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
		}}}
	default:
		pod["status"] = map[string]any{"phase": "Running", "conditions": []any{map[string]string{"type": "Ready", "status": "True"}}}
	}
	return map[string]any{"items": []any{pod}}
}

// runConnector knows nothing but what a pod of the Deployment is given.
func (a *apiServer) runConnector() (err error) {
	settings, _ := a.objects["/api/v1/namespaces/lanyard-system/configmaps/"+install.Name]["data"].(map[string]any)
	value := func(key string) string { s, _ := settings[key].(string); return s }
	folder, err := os.MkdirTemp("", "connector")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	ca := path.Join(folder, "ca.pem")
	if err := os.WriteFile(ca, []byte(value("ca.pem")), 0o600); err != nil {
		return err
	}
	c := &client{endpoint: value("server"), region: value("region")}
	if err := c.trust(ca); err != nil {
		return err
	}
	defer c.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.become(ctx, c, value("roleArn")); err != nil {
		return err
	}
	return c.call(ctx, "lanyard", http.MethodPut, "/lanyard/v1/clusters/"+value("cluster")+"/connector", map[string]any{
		"instance": install.Name + "-0", "version": "1.2.3", "leader": true,
		"webhook": map[string]any{"ready": a.webhook == "", "message": a.webhook},
	}, nil)
}

// become trades a token of the connector's service account for a session.
func (a *apiServer) become(ctx context.Context, c *client, role string) error {
	pod := dev.Pod{Namespace: install.Namespace, ServiceAccount: install.Name, Name: install.Name + "-0"}
	token, err := a.practice.Token(pod, registry.ConnectorAudience, time.Hour)
	if err != nil {
		return err
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {pod.Name}, "WebIdentityToken": {token},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return answer(response.StatusCode, text)
	}
	var got struct {
		Result struct {
			Credentials struct {
				AccessKeyID     string `xml:"AccessKeyId"`
				SecretAccessKey string
				SessionToken    string
			}
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	if err := xml.Unmarshal(text, &got); err != nil {
		return err
	}
	is := got.Result.Credentials
	c.keyID, c.secret, c.token = is.AccessKeyID, is.SecretAccessKey, is.SessionToken
	return nil
}

func tell(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "status": "Failure", "message": message, "code": status})
}

// kubeconfig is how its user reaches it.
func (a *apiServer) kubeconfig() []byte {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	var out bytes.Buffer
	_ = json.NewEncoder(&out).Encode(map[string]any{ // into memory
		"apiVersion": "v1", "kind": "Config", "current-context": "here",
		"clusters": []any{map[string]any{"name": "real", "cluster": map[string]any{"server": a.URL, "certificate-authority-data": ca}}},
		"users":    []any{map[string]any{"name": "me", "user": map[string]any{"token": a.token}}},
		"contexts": []any{
			map[string]any{"name": "here", "context": map[string]any{"cluster": "real", "user": "me"}},
			map[string]any{"name": "nobody", "context": map[string]any{"cluster": "real"}},
		},
	})
	return out.Bytes()
}

// apiserver is a verb of stories:
//
//	apiserver start | minor N | uid UID | webhook MESSAGE | silent | starts
//	apiserver objects           prints the paths of what was applied, each with its manager
//	apiserver take PATH         another manager sets a field of the object
//	apiserver make PATH         somebody makes an object
//	apiserver secret PATH       prints the names in a Secret, and writes it as secret.env and secret.pem
func (s *story) apiserver(args []string) error {
	s.need(args, 1, "apiserver start | ...")
	if args[0] == "start" {
		a, err := newAPIServer()
		if err != nil {
			return err
		}
		s.kubernetes = a
		s.Setenv("KUBERNETES", a.URL)
		return os.WriteFile(s.MkAbs("kubeconfig"), a.kubeconfig(), 0o600)
	}
	a := s.kubernetes
	if a == nil {
		return errors.New("apiserver start comes first")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	rest := strings.Join(args[1:], " ")
	switch args[0] {
	case "minor":
		a.minor = rest
	case "uid":
		a.uid = rest
	case "webhook":
		a.webhook = rest
	case "silent":
		a.silent = true
	case "starts":
		a.silent = false
	case "take":
		a.managers[rest] = "somebody-else"
	case "make":
		a.objects[rest] = map[string]any{}
	case "objects":
		s.print(fmt.Sprintf("%d objects\n", len(a.objects)))
		for _, p := range slices.Sorted(maps.Keys(a.objects)) {
			s.print(p + " " + a.managers[p] + "\n")
		}
	case "secret":
		return s.keepSecret(a.objects[rest])
	default:
		return fmt.Errorf("apiserver %s: unknown", args[0])
	}
	return nil
}

func (s *story) keepSecret(o map[string]any) error {
	data, _ := o["data"].(map[string]any)
	value := func(key string) string {
		text, _ := data[key].(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		s.Check(err)
		return string(raw)
	}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		s.print(key + "\n")
	}
	env := fmt.Sprintf("export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\n", value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"))
	return errors.Join(os.WriteFile(s.MkAbs("secret.env"), []byte(env), 0o600), os.WriteFile(s.MkAbs("secret.pem"), []byte(value("ca.pem")), 0o600))
}
