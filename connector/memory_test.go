package connector

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const podsPath = "/api/v1/namespaces/" + testNamespace + "/configmaps/" + PodsName

// remembered returns what the ConfigMap says.
func (w *world) remembered(t *testing.T) []types.UID {
	t.Helper()
	object := w.kube.object(podsPath)
	if object == nil {
		return nil
	}
	text, _, _ := unstructured.NestedString(object.Object, "binaryData", podsKey)
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := unpackPods(packed)
	if err != nil {
		t.Fatal(err)
	}
	var uids []types.UID
	for _, p := range pods {
		uids = append(uids, p.UID)
	}
	return uids
}

// Pods that are deleted while no connector runs are found by the next one: those alone.
func TestWhatIsDeletedWithoutAConnectorIsFound(t *testing.T) {
	w := newWorld(t)
	w.server.associate(t, "default", "app")
	for _, name := range []string{"gone", "stays", "replaced"} {
		w.kube.pod("default", name, "uid-"+name, "app")
	}
	w.kube.pod("default", "other", "uid-other", "nobody")
	c, stop := w.run(t, w.config("connector-0"))
	eventually(t, "the pods are on the list", func() bool { return len(w.remembered(t)) == 3 })
	stop()
	if got, want := w.remembered(t), []types.UID{"uid-gone", "uid-replaced", "uid-stays"}; !slices.Equal(got, want) {
		t.Fatalf("the connector that stopped has left %q, want %q", got, want)
	}

	w.kube.pod("default", "gone", "", "")
	w.kube.pod("default", "other", "", "")
	w.kube.pod("default", "replaced", "", "")
	w.kube.pod("default", "replaced", "uid-replaced-b", "app")
	w.kube.pod("default", "new", "uid-new", "app")
	c, stop = w.run(t, w.config("connector-1"))
	eventually(t, "the server hears of both", func() bool { return w.server.isDeleted(t, "uid-gone") && w.server.isDeleted(t, "uid-replaced") })
	eventually(t, "the connector knows that it was heard", func() bool { return len(c.pods.seen()) == 3 })
	for _, alive := range []string{"uid-stays", "uid-replaced-b", "uid-new", "uid-other"} {
		if w.server.isDeleted(t, alive) {
			t.Errorf("%s is taken for deleted", alive)
		}
	}
	stop()
	if got, want := w.remembered(t), []types.UID{"uid-new", "uid-replaced-b", "uid-stays"}; !slices.Equal(got, want) {
		t.Errorf("the second has left %q, want %q", got, want)
	}
}

// What the server could not be told before the connector stops is on the list, although its pod is not there any more.
func TestWhatIsOwedIsRemembered(t *testing.T) {
	c, err := New(newWorld(t).config("connector-0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.associations.Apply(&Line{Epoch: "e", Revision: 1, Reset: true, Settings: &Settings{}, Associations: []Association{{ID: "a-1", Identity: Identity{"default", "app"}}}}); err != nil {
		t.Fatal(err)
	}
	c.pods.gone(&podRef{metav1.ObjectMeta{Namespace: "default", Name: "one", UID: "uid-one"}, "app"})
	c.pods.gone(&podRef{metav1.ObjectMeta{Namespace: "default", Name: "two", UID: "uid-two"}, "nobody"})
	packed, err := packPods(c.pods.seen())
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpackPods(packed)
	if want := []deletedPod{{UID: "uid-one", Namespace: "default", Name: "one", ServiceAccount: "app"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("the list is %+v, %v, want %+v", got, err, want)
	}
}

// A list that cannot be read is told, and neither stops the connector nor has pods taken for deleted.
func TestALostMemoryIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.server.associate(t, "default", "app")
	w.kube.pod("default", "one", "uid-one", "app")
	w.kube.mu.Lock()
	w.kube.put("TEST", podsPath, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": testNamespace, "name": PodsName},
		"binaryData": map[string]any{podsKey: base64.StdEncoding.EncodeToString([]byte("not what it was"))},
	})
	w.kube.mu.Unlock()
	c, stop := w.run(t, w.config("connector-0"))
	eventually(t, "it is told", func() bool { return strings.Contains(w.log.String(), "the list of pods cannot be read") })
	eventually(t, "the list is another", func() bool { return w.kube.hasUsed("namespace 6 patch") && c.pods.synced.HasSynced() })
	stop()
	if got := w.remembered(t); !slices.Equal(got, []types.UID{"uid-one"}) || w.server.isDeleted(t, "uid-one") {
		t.Errorf("the list is %q, and the pod is deleted: %v", got, w.server.isDeleted(t, "uid-one"))
	}
}

// A replica that leads again writes its list, although it is as it was: another may have led meanwhile.
func TestAReplicaThatLeadsAgainWritesItsList(t *testing.T) {
	w := newWorld(t)
	w.kube.pod("default", "one", "uid-one", "app")
	c, err := New(w.config("connector-0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.associations.Apply(&Line{Epoch: "e", Revision: 1, Reset: true, Associations: []Association{{"a-1", Identity{"default", "app"}}}}); err != nil {
		t.Fatal(err)
	}
	go c.pods.synced.RunWithContext(t.Context())
	lead := func() {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() { c.memory.run(ctx); close(ended) }()
		eventually(t, "the list is written", func() bool { return slices.Equal(w.remembered(t), []types.UID{"uid-one"}) })
		stop()
		<-ended
	}
	lead()
	none, err := packPods(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.kube.change(podsPath, func(u *unstructured.Unstructured) { // by one that saw no pods
		u.Object["binaryData"] = map[string]any{podsKey: base64.StdEncoding.EncodeToString(none)}
	})
	lead()
}
