package connector

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

const refusedText = "Lanyard refused this pod's request for credentials: "

func refusedPod(name, reason string) *RefusedPod {
	return &RefusedPod{Namespace: "default", Name: name, UID: "uid-" + name, Reason: reason, At: 1_795_000_000.25}
}

// readEvents are the Events that were made.
func readEvents(t *testing.T, made *events) []eventsv1.Event {
	t.Helper()
	var all []eventsv1.Event
	for _, text := range made.all() {
		var one eventsv1.Event
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(text), nil, &one); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all = append(all, one)
	}
	return all
}

// A refused pod has an Event that names it and why. The same reason comes once in five minutes, and whatever the server says,
// a pod has one in a minute.
func TestARefusedPodHasAnEvent(t *testing.T) {
	inBubble(t, refusedPace(), func(n *notes, made *events) {
		tell := func(name, reason string, want int) {
			t.Helper()
			n.refused(refusedPod(name, reason))
			time.Sleep(time.Second)
			if got := made.count(); got != want {
				t.Errorf("after %s was refused for %q there are %d Events, want %d", name, reason, got, want)
			}
		}
		tell("app", "No association.", 1)
		tell("app", "No association.", 1)
		tell("app", "The role denies.", 1)
		tell("other", "No association.", 2)
		time.Sleep(refusedRepeat)
		tell("app", "No association.", 2)
		tell("app", "The role denies.", 3)
		time.Sleep(noteRepeat)
		tell("app", "No association.", 4)

		all := readEvents(t, made)
		e := all[0]
		if e.Type != "Warning" || e.Reason != "PodIdentityDenied" || e.Action != "AssumeRole" || e.Note != refusedText+"No association." ||
			e.Namespace != "default" || e.Regarding.Kind != "Pod" || e.Regarding.Namespace != "default" || e.Regarding.Name != "app" || e.Regarding.UID != "uid-app" ||
			e.ReportingController != "lanyard.dev/connector" || e.ReportingInstance != "connector-0" {
			t.Errorf("the Event is %+v", e)
		}
		if all[1].Regarding.UID != "uid-other" || all[2].Note != refusedText+"The role denies." {
			t.Errorf("the other Events are %+v", all[1:3])
		}
	})
}

// No Event is made about a pod that is not there, not even where another pod has its name.
func TestNoEventIsAboutAPodThatIsNotThere(t *testing.T) {
	inBubble(t, refusedPace(), func(n *notes, made *events) {
		n.refused(refusedPod("never", "No."))
		replaced := refusedPod("app", "No.")
		replaced.UID = "uid-former"
		n.refused(replaced)
		time.Sleep(2 * notePatience)
		if got := made.all(); len(got) != 0 {
			t.Errorf("there are %q", got)
		}
		n.refused(refusedPod("app", "No."))
		time.Sleep(time.Second)
		if got := made.count(); got != 1 {
			t.Errorf("about the pod that is there: %d Events, want 1", got)
		}
	})
}

// What a server says becomes text of bounded length in which every character is seen, or nothing.
func TestTheServersTextIsNotTrusted(t *testing.T) {
	inBubble(t, refusedPace(), func(n *notes, made *events) {
		for _, bad := range []RefusedPod{
			{},
			{Name: "a", UID: "uid-a", Reason: "No."},
			{Namespace: "default", UID: "uid-", Reason: "No."},
			{Namespace: "default", Name: "b", Reason: "No."},
			{Namespace: "default", Name: "c", UID: "uid-c"},
			{Namespace: "default", Name: "d", UID: "uid-d", Reason: "\n\x1b\u202e\u200b"},
			{Namespace: strings.Repeat("n", maxNamespaceName+1), Name: "e", UID: "uid-e", Reason: "No."},
			{Namespace: "default", Name: strings.Repeat("f", maxPodName+1), UID: "uid-" + strings.Repeat("f", maxPodName+1), Reason: "No."},
			{Namespace: "default", Name: strings.Repeat("g", maxUID), UID: "uid-" + strings.Repeat("g", maxUID), Reason: "No."},
		} {
			n.refused(&bad)
		}
		time.Sleep(2 * notePatience)
		if got := made.all(); len(got) != 0 {
			t.Errorf("there are %q", got)
		}
		n.refused(refusedPod("app", "a\nb\x1b[31mc\u202ed\u2028e\x00f\u200bg\xff\u00e4\u65e5"))
		n.refused(refusedPod("long", strings.Repeat("\u00e9", 8<<20)))
		time.Sleep(time.Second)
		all := readEvents(t, made)
		if len(all) != 2 {
			t.Fatalf("there are %d Events, want 2", len(all))
		}
		slices.SortFunc(all, func(a, b eventsv1.Event) int { return strings.Compare(a.Regarding.Name, b.Regarding.Name) })
		if want := refusedText + "a b [31mc d e f g\u00e4\u65e5"; all[0].Note != want {
			t.Errorf("got %q, want %q", all[0].Note, want)
		}
		if want := refusedText + strings.Repeat("\u00e9", maxReason/2); all[1].Note != want || len(want) > maxNote {
			t.Errorf("got %q, want %q", all[1].Note, want)
		}
	})
}

// Twenty at once, then one a second, whatever the server says, and whoever says it does not wait.
func TestRefusalsHaveAPace(t *testing.T) {
	inBubble(t, refusedPace(), func(n *notes, made *events) {
		start := time.Now()
		for i := range 1000 {
			n.refused(refusedPod(fmt.Sprint("pod-", i), "No."))
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("handing in refusals took %s", waited)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if got := made.count(); got != 30 {
			t.Errorf("after ten seconds there are %d Events, want 30", got)
		}
		time.Sleep(time.Hour)
		if got := made.count(); got > notesWaiting+21 || got < notesWaiting { // some leave the queue while others come
			t.Errorf("of a thousand at once %d became Events, want those that fit in the queue of %d", got, notesWaiting)
		}
	})
}

// heard counts a connector's notes by outcome.
func heard(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "lanyard_connector_events_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			all[m.GetLabel()[0].GetValue()] += m.GetCounter().GetValue()
		}
	}
	return all
}

// podEvents are the Events of the API server, by the pod's uid and their text.
func (k *kubeServer) podEvents() (all []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(k.objects)) {
		if parseTarget(path).resource != "events" {
			continue
		}
		text, err := json.Marshal(k.objects[path])
		var e eventsv1.Event
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil {
			k.t.Fatal(err)
		}
		all = append(all, string(e.Regarding.UID)+" "+e.Note)
	}
	slices.Sort(all)
	return all
}

// A pod that the server refuses has one Event though two replicas hear of it; one that gets credentials, and one that
// no key of the cluster vouches for, have none.
func TestRefusedPodsHaveEvents(t *testing.T) {
	w := newWorld(t)
	w.server.associate(t, "default", "app")
	for _, name := range []string{"app", "stranger", "forged"} {
		w.kube.pod("default", name, "uid-"+name, name)
	}
	both := make([]*prometheus.Registry, 2)
	for i := range both {
		both[i] = prometheus.NewRegistry()
		cfg := w.config(fmt.Sprint("connector-", i))
		cfg.Registerer = both[i]
		c, _ := w.run(t, cfg)
		eventually(t, "the replica follows", func() bool { return c.Ready() == nil && c.pods.synced.HasSynced() })
	}
	eventually(t, "the server has both streams", func() bool { return w.server.registry.Following(w.server.cluster.ID) == 2 })

	key := w.kube.keys[0]
	ask := func(key signingKey, account, uid string) error {
		_, err := w.server.broker.ForPod(context.WithoutCancel(t.Context()), w.nodesAgent(), "dev", key.podToken(t, account, uid))
		return err
	}
	if err := ask(key, "app", "uid-app"); err != nil {
		t.Fatalf("an associated pod: %v", err)
	}
	if err := ask(newSigningKey(t, key.id), "forged", "uid-forged"); err == nil {
		t.Fatal("a forged token is honoured")
	}
	refusal := ask(key, "stranger", "uid-stranger")
	if refusal == nil {
		t.Fatal("a pod without an association is not refused")
	}
	eventually(t, "both replicas are through", func() bool {
		first, second := heard(t, both[0]), heard(t, both[1])
		return first["made"]+second["made"] == 1 && first["repeated"]+second["repeated"] == 1
	})
	want := []string{"uid-stranger " + refusedText + refusal.Error()}
	if diff := cmp.Diff(want, w.kube.podEvents()); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
}

// A server that says what it likes, and too much of it, makes Events of pods that are there, at the connector's pace.
func TestAHostileServerCannotFloodWithEvents(t *testing.T) {
	inBubble(t, refusedPace(), func(n *notes, made *events) {
		c := &Connector{associations: NewAssociations(nil, nil), addons: &addons{}, refusals: n}
		for second := range int64(600) {
			line := &Line{Epoch: "e", Revision: second, Reset: second == 0}
			for i := range 1000 {
				p := refusedPod(fmt.Sprint("pod-", i%3), fmt.Sprint("Anything, ", second, " ", i))
				if i%2 == 1 {
					p.Name = "never"
				}
				line.Refused = append(line.Refused, *p)
			}
			if err := c.apply(line); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := made.count(); got < 3 || got > 30 {
			t.Errorf("ten minutes of it made %d Events, want at most one a minute of each of three pods", got)
		}
		for _, e := range readEvents(t, made) {
			if !strings.HasPrefix(e.Note, refusedText) || e.Regarding.Name == "never" {
				t.Errorf("an Event of it is about %s: %q", e.Regarding.Name, e.Note)
			}
		}
	})
}

// nodesAgent is who asks for pods on node-1.
func (w *world) nodesAgent() *directory.Principal {
	return &directory.Principal{Account: testAccount, Session: &session.Session{
		Origin: &session.Origin{Cluster: w.server.cluster.ID, NodeName: "node-1", NodeUID: "uid-node-1"},
	}}
}

// podToken is that of a pod which is called as its service account is.
func (k signingKey) podToken(t *testing.T, account, uid string) string {
	t.Helper()
	return k.tokenOf(t, "default", account, registry.PodAudience, map[string]any{
		"pod": map[string]any{"name": account, "uid": uid}, "node": map[string]any{"name": "node-1", "uid": "uid-node-1"},
	})
}
