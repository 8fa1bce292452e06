package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/registry"
)

// hearing is an open stream of a cluster's connector.
type hearing struct {
	t     *testing.T
	lines *bufio.Reader
}

type heardPod struct {
	Namespace, Name, UID, Reason string
	At                           float64
}

func (w *world) startHearing(t *testing.T, server *httptest.Server, account string) *hearing {
	t.Helper()
	resp, err := server.Client().Do(w.build(t, server.URL, request{
		as: w.connector(t, account), service: "lanyard", method: http.MethodPost, path: "/lanyard/v1/clusters/dev/connector", body: `{"instance":"c"}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	h := &hearing{t, bufio.NewReader(resp.Body)}
	if text := h.next(); strings.Contains(text, "refused") {
		t.Errorf("the first line tells of refused pods: %s", text)
	}
	return h
}

func (h *hearing) next() string {
	h.t.Helper()
	text, err := h.lines.ReadString('\n')
	if err != nil {
		h.t.Fatalf("a line of the stream %q: %v", text, err)
	}
	return text
}

// refused waits for the next line that tells of refused pods.
func (h *hearing) refused() []heardPod {
	h.t.Helper()
	for {
		var line struct{ Refused []heardPod }
		if text := h.next(); json.Unmarshal([]byte(text), &line) != nil {
			h.t.Fatalf("a line of the stream: %q", text)
		}
		if len(line.Refused) > 0 {
			return line.Refused
		}
	}
}

// podOf is the token of a pod with a uid of its own.
func podOf(now time.Time, uid string) jwt.MapClaims {
	claims := podToken(now)
	claims["kubernetes.io"].(map[string]any)["pod"] = map[string]any{"name": "app-1", "uid": uid}
	return claims
}

// A cluster's connector hears which of its pods were refused, with the words that the pod got: those with a verified token,
// of its own cluster alone, and not those that got credentials.
func TestTheConnectorHearsOfRefusedPods(t *testing.T) {
	const other = "444455556666"
	w := newWorld(t)
	now := time.Now().Truncate(time.Second)
	w.setClock(now)
	w.account(t, watchAccount)
	w.account(t, other)
	server := w.serve(t, w.config())
	here, there := w.startHearing(t, server, watchAccount), w.startHearing(t, server, other)
	stranger := newClusterKey(t, "key-1") // another key of the same name
	as := w.agent(t, watchAccount)
	refuse := func(uid string) (message string) {
		t.Helper()
		got := w.send(t, server, w.pod(as, w.token(t, podOf(now, uid))))
		var body struct{ Message string }
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status == http.StatusOK || body.Message == "" {
			t.Fatalf("pod %s: status %d, %s", uid, got.status, got.body)
		}
		return body.Message
	}
	wants := func(h *hearing, want ...heardPod) {
		t.Helper()
		if diff := cmp.Diff(want, h.refused()); diff != "" {
			t.Errorf("heard (-want +got):\n%s", diff)
		}
	}
	tick := func() { now = now.Add(time.Second); w.setClock(now) } // refusals wake a stream once a second
	heard := func(uid, reason string) heardPod {
		return heardPod{"default", "app-1", uid, reason, float64(now.Unix())}
	}

	// No association. What no key of the cluster has signed was said by nobody.
	for _, bad := range []string{stranger.sign(t, podOf(now, "forged")), "a.b.c"} {
		if got := w.send(t, server, w.pod(as, bad)); got.status == http.StatusOK {
			t.Fatalf("a forged token is answered: %s", got.body)
		}
	}
	reason := refuse("one")
	if !strings.Contains(reason, "No pod identity association") {
		t.Errorf("the pod is told %q", reason)
	}
	wants(here, heard("one", reason))
	refuse("one") // again within a minute: what is heard next is the next thing

	// An association: the pod gets credentials, and nothing is heard of it; then its role does not let it.
	tick()
	w.associate(t, watchAccount)
	if got := w.send(t, server, w.pod(as, w.token(t, podOf(now, "allowed")))); got.status != http.StatusOK {
		t.Fatalf("an associated pod: status %d, %s", got.status, got.body)
	}
	if err := w.directory.UpdateTrust(t.Context(), watchAccount, "pod", strings.Replace(trust, "Allow", "Deny", 1)); err != nil {
		t.Fatal(err)
	}
	wants(here, heard("one", refuse("one")))

	// Another node's pod.
	tick()
	claims := podOf(now, "moved")
	claims["kubernetes.io"].(map[string]any)["node"] = map[string]any{"name": "node-2", "uid": "node-2-uid"}
	if got := w.send(t, server, w.pod(as, w.token(t, claims))); got.status == http.StatusOK {
		t.Fatalf("another node's pod is answered: %s", got.body)
	}
	if got := here.refused(); len(got) != 1 || got[0].UID != "moved" || !strings.HasPrefix(got[0].Reason, "Node binding: ") {
		t.Errorf("another node's pod: heard %+v", got)
	}

	// The other cluster has heard of none of these: the first is its own, in the words that everybody gets.
	as = w.agent(t, other)
	wants(there, heard("theirs", refuse("theirs")))
	tick()
	as = w.agent(t, watchAccount)
	if _, err := w.registry.DeletePods(t.Context(), watchAccount, "dev", "test", []registry.DeletedPod{{UID: "gone", Namespace: "default", Name: "app-1", ServiceAccount: "app"}}); err != nil {
		t.Fatal(err)
	}
	wants(here, heard("gone", refuse("gone")))
}
