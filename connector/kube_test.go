package connector

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// kubeServer is what these tests need of an API server: objects by path, server-side apply, watches, its keys, and RBAC,
// which lets through what RightsNeeded says and fails the test on anything else. test/kube meets a real one.
type kubeServer struct {
	t    *testing.T
	http *httptest.Server

	mu        sync.Mutex
	keys      []signingKey // the first one signs
	objects   map[string]map[string]any
	revision  int
	watchers  map[chan []byte]string // by the collection
	conflicts map[string]bool        // fields that somebody else holds
	writes    []string               // verb and path, in order
	used      map[string]bool        // rules
}

func newKubeServer(t *testing.T, keys ...signingKey) *kubeServer {
	t.Helper()
	k := &kubeServer{
		t: t, keys: keys, objects: map[string]map[string]any{}, watchers: map[chan []byte]string{}, used: map[string]bool{},
		conflicts: map[string]bool{},
	}
	k.http = httptest.NewServer(k)
	t.Cleanup(func() {
		k.http.CloseClientConnections()
		k.http.Close()
	})
	return k
}

func (k *kubeServer) config() *rest.Config { return &rest.Config{Host: k.http.URL} }

// setKeys replaces the signing keys, as a restart of the API server does.
func (k *kubeServer) setKeys(keys ...signingKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = keys
}

// target is what a path is about.
type target struct{ group, resource, namespace, name, sub string }

func parseTarget(path string) target {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	var out target
	if parts[0] == "apis" {
		out.group, parts = parts[1], parts[3:]
	} else {
		parts = parts[2:]
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		out.namespace, parts = parts[1], parts[2:]
	}
	out.resource = parts[0]
	if len(parts) > 1 {
		out.name = parts[1]
	}
	if len(parts) > 2 {
		out.sub = "/" + parts[2]
	}
	return out
}

func (k *kubeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.URL.Path == discoveryPath || r.URL.Path == keysPath {
		k.allow("get", target{resource: r.URL.Path})
		if r.URL.Path == keysPath {
			answerJSON(w, http.StatusOK, jwks(k.t, k.keys...))
			return
		}
		answerJSON(w, http.StatusOK, map[string]any{"issuer": testIssuer, "jwks_uri": "https://10.0.0.1" + keysPath})
		return
	}
	at := parseTarget(r.URL.Path)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		k.t.Error(err)
	}
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && query.Get("watch") != "":
		at.name = strings.TrimPrefix(query.Get("fieldSelector"), "metadata.name=")
		k.allow("watch", at)
		k.watch(w, r)
	case r.Method == http.MethodGet && at.name == "":
		k.allow("list", at)
		k.list(w, at)
	case r.Method == http.MethodGet:
		k.allow("get", at)
		k.answer(w, r.URL.Path)
	case r.Method == http.MethodPatch:
		k.allow("patch", at)
		if k.objects[r.URL.Path] == nil {
			k.allow("create", at)
		}
		k.apply(w, r, decodeObject(k.t, body))
	case r.Method == http.MethodPost && at.sub == "/token":
		k.allow("create", at)
		token := k.keys[0].token(k.t, at.namespace, at.name, ConnectorAudience)
		answerJSON(w, http.StatusCreated, map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "status": map[string]any{"token": token},
		})
	case r.Method == http.MethodPost:
		k.allow("create", at)
		object := decodeObject(k.t, body)
		if wrong := validation.NameIsDNSSubdomain(object.GetGenerateName(), true); object.GetName() == "" && len(wrong) > 0 {
			k.t.Errorf("%s generateName %q: %s", r.URL.Path, object.GetGenerateName(), wrong)
		}
		path := r.URL.Path + "/" + object.GetName() + object.GetGenerateName()
		if object.GetName() != "" && k.objects[path] != nil {
			answerStatus(w, metav1.Status{Code: http.StatusConflict, Reason: metav1.StatusReasonAlreadyExists, Message: path + " already exists"})
			return
		}
		k.put("POST", path, object.Object)
		answerJSON(w, http.StatusCreated, k.objects[path])
	case r.Method == http.MethodPut:
		k.allow("update", at)
		k.put("PUT", r.URL.Path, decodeObject(k.t, body).Object)
		k.answer(w, r.URL.Path)
	case r.Method == http.MethodDelete:
		k.allow("delete", at)
		k.answer(w, r.URL.Path)
		k.remove(r.URL.Path)
	default:
		k.t.Errorf("%s %s is not served", r.Method, r.URL)
	}
}

// allow is RBAC. The rights of the manifests' three roles hold where these are bound.
func (k *kubeServer) allow(verb string, at target) {
	rights := RightsNeeded()
	scopes := map[string][]rbacv1.PolicyRule{"cluster": rights.Cluster}
	switch at.namespace {
	case testNamespace:
		scopes["namespace"] = rights.Namespace
	case systemNamespace:
		scopes["system"] = rights.System
	}
	for scope, rules := range scopes {
		for i, rule := range rules {
			ok := slices.Contains(rule.NonResourceURLs, at.resource) || slices.Contains(rule.Resources, at.resource+at.sub) &&
				slices.Contains(rule.APIGroups, at.group) && (rule.ResourceNames == nil || slices.Contains(rule.ResourceNames, at.name))
			if ok && slices.Contains(rule.Verbs, verb) {
				k.used[fmt.Sprintf("%s %d %s", scope, i, verb)] = true
				return
			}
		}
	}
	k.t.Errorf("the connector does what RightsNeeded does not say: %s %+v", verb, at)
}

func (k *kubeServer) answer(w http.ResponseWriter, path string) {
	if object := k.objects[path]; object != nil {
		answerJSON(w, http.StatusOK, object)
		return
	}
	answerStatus(w, metav1.Status{Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: path + " not found"})
}

func (k *kubeServer) list(w http.ResponseWriter, at target) {
	kind := map[string]string{"pods": "PodList", "serviceaccounts": "PartialObjectMetadataList"}[at.resource]
	version := map[string]string{"pods": "v1", "serviceaccounts": "meta.k8s.io/v1"}[at.resource]
	items := []any{}
	for _, path := range slices.Sorted(maps.Keys(k.objects)) {
		if o := parseTarget(path); o.resource == at.resource && o.group == at.group && (at.namespace == "" || o.namespace == at.namespace) {
			items = append(items, k.objects[path])
		}
	}
	answerJSON(w, http.StatusOK, map[string]any{
		"apiVersion": version, "kind": kind, "metadata": map[string]any{"resourceVersion": strconv.Itoa(k.revision)}, "items": items,
	})
}

// watch has no lists of its own to send first: clients fall back to a list, as they do with an old API server.
func (k *kubeServer) watch(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("sendInitialEvents") != "" {
		answerStatus(w, metav1.Status{Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: "sendInitialEvents is not known"})
		return
	}
	// It remembers no history: who missed something lists again.
	if from := r.URL.Query().Get("resourceVersion"); strings.HasSuffix(r.URL.Path, "/pods") && from != strconv.Itoa(k.revision) {
		answerStatus(w, metav1.Status{Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "too old resource version"})
		return
	}
	events := make(chan []byte, 64)
	k.watchers[events] = r.URL.Path
	k.mu.Unlock()
	defer k.mu.Lock()
	defer func() { k.mu.Lock(); delete(k.watchers, events); k.mu.Unlock() }()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case event, ok := <-events:
			if !ok {
				return
			}
			if _, err := w.Write(append(event, '\n')); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// cut ends all watches, and has something happen that none of them tells.
func (k *kubeServer) cut(happens func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	happens()
	k.revision++
	for events := range k.watchers {
		close(events)
		delete(k.watchers, events)
	}
}

func (k *kubeServer) apply(w http.ResponseWriter, r *http.Request, object *unstructured.Unstructured) {
	if got := r.URL.Query().Get("fieldManager"); got != FieldManager {
		k.t.Errorf("the field manager is %q", got)
	}
	if r.URL.Query().Get("force") != "true" && k.objects[r.URL.Path] != nil {
		status := metav1.Status{Code: http.StatusConflict, Reason: metav1.StatusReasonConflict, Message: "somebody else holds fields", Details: &metav1.StatusDetails{}}
		for _, field := range slices.Sorted(maps.Keys(k.conflicts)) {
			if _, says := without(object, map[string]bool{field: true}); says {
				status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{Type: metav1.CauseTypeFieldManagerConflict, Field: field})
			}
		}
		if len(status.Details.Causes) > 0 {
			answerStatus(w, status)
			return
		}
	}
	merged := object.Object
	if old := k.objects[r.URL.Path]; old != nil {
		merged["status"] = old["status"]
		meta, _ := old["metadata"].(map[string]any)
		generation, _ := meta["generation"].(int64)
		object.SetGeneration(generation + 1)
	} else {
		object.SetGeneration(1)
	}
	k.put("PATCH", r.URL.Path, merged)
	k.answer(w, r.URL.Path)
}

func (k *kubeServer) put(verb, path string, object map[string]any) {
	kind := "MODIFIED"
	if k.objects[path] == nil {
		kind = "ADDED"
	}
	k.revision++
	u := unstructured.Unstructured{Object: object}
	u.SetResourceVersion(strconv.Itoa(k.revision))
	if u.GetUID() == "" {
		u.SetUID(types.UID("uid-" + strconv.Itoa(k.revision)))
	}
	k.objects[path] = object
	k.writes = append(k.writes, verb+" "+path)
	k.tell(kind, path)
}

func (k *kubeServer) remove(path string) {
	if k.objects[path] == nil {
		return
	}
	k.revision++
	u := unstructured.Unstructured{Object: k.objects[path]}
	u.SetResourceVersion(strconv.Itoa(k.revision))
	k.writes = append(k.writes, "DELETE "+path)
	k.tell("DELETED", path)
	delete(k.objects, path)
}

func (k *kubeServer) tell(kind, path string) {
	text, err := json.Marshal(map[string]any{"type": kind, "object": k.objects[path]})
	if err != nil {
		k.t.Error(err)
	}
	for events, of := range k.watchers {
		if a, b := parseTarget(of), parseTarget(path); a.group == b.group && a.resource == b.resource {
			events <- text
		}
	}
}

// pod makes or, with an empty uid, deletes a pod.
func (k *kubeServer) pod(namespace, name, uid, serviceAccount string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	path := "/api/v1/namespaces/" + namespace + "/pods/" + name
	if uid == "" {
		k.remove(path)
		return
	}
	k.put("TEST", path, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": namespace, "name": name, "uid": uid},
		"spec": map[string]any{"serviceAccountName": serviceAccount},
	})
}

// object returns a copy of an object, or nil.
func (k *kubeServer) object(path string) *unstructured.Unstructured {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.objects[path] == nil {
		return nil
	}
	return (&unstructured.Unstructured{Object: k.objects[path]}).DeepCopy()
}

// change changes an object as somebody else does.
func (k *kubeServer) change(path string, change func(*unstructured.Unstructured)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	u := (&unstructured.Unstructured{Object: k.objects[path]}).DeepCopy()
	change(u)
	k.put("TEST", path, u.Object)
}

// hasUsed reports whether a rule of RightsNeeded has let a request through.
func (k *kubeServer) hasUsed(rule string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.used[rule]
}

// written returns who wrote what, tests aside.
func (k *kubeServer) written() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(k.writes), func(s string) bool { return strings.HasPrefix(s, "TEST ") })
}

func decodeObject(t *testing.T, body []byte) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if strings.HasPrefix(string(body), "k8s\x00") {
		typed, kind, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		typed.GetObjectKind().SetGroupVersionKind(*kind)
		if body, err = json.Marshal(typed); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(body, &u.Object); err != nil {
		t.Fatalf("a body cannot be read: %v\n%s", err, body)
	}
	return u
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func answerStatus(w http.ResponseWriter, s metav1.Status) {
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	s.Status = metav1.StatusFailure
	answerJSON(w, int(s.Code), s)
}
