package connector

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

func (w *world) serviceAccount(namespace, name string) {
	path := "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + name
	w.kube.mu.Lock()
	defer w.kube.mu.Unlock()
	w.kube.put("POST", path, map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"namespace": namespace, "name": name, "uid": name},
	})
}

// Who asks the server for a cluster's service accounts is told by the cluster, as it is.
func TestTheServerAsksForServiceAccounts(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"web", "default"} {
		w.serviceAccount("shop", name)
	}
	w.serviceAccount("billing", "default")
	c, stop := w.run(t, w.config("connector-1"))
	eventually(t, "the stream", func() bool { return c.stream.Broken() == nil })
	all := []registry.ServiceAccount{{Namespace: "billing", Name: "default"}, {Namespace: "shop", Name: "default"}, {Namespace: "shop", Name: "web"}}
	for namespace, want := range map[string][]registry.ServiceAccount{"": all, "shop": all[1:], "none": nil} {
		got, err := w.server.registry.AskForServiceAccounts(t.Context(), w.server.now(t), namespace)
		if err != nil {
			t.Fatalf("%q: %v", namespace, err)
		}
		wanted := &registry.ServiceAccountList{Namespaces: []string{"billing", "shop"}, ServiceAccounts: want}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", namespace, diff)
		}
	}
	w.serviceAccount("shop", "later")
	eventually(t, "a new service account", func() bool {
		got, err := w.server.registry.AskForServiceAccounts(t.Context(), w.server.now(t), "shop")
		return err == nil && len(got.ServiceAccounts) == 3
	})
	stop()
	eventually(t, "the end of the stream", func() bool { return w.server.registry.Following(w.server.cluster.ID) == 0 })
	if _, err := w.server.registry.AskForServiceAccounts(t.Context(), w.server.now(t), ""); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a connector: got %v, want Unavailable", err)
	}
}

func TestAnswersAreCut(t *testing.T) {
	w := newWorld(t)
	for i := range maxListed + 5 {
		w.serviceAccount(fmt.Sprintf("ns-%04d", i/2), fmt.Sprintf("sa-%d", i))
	}
	c, _ := w.run(t, w.config("connector-1"))
	eventually(t, "the copy", func() bool { return c.accounts.watch.HasSynced() })
	got := c.accounts.list(Question{ID: "q"})
	if !got.Truncated || len(got.ServiceAccounts) != maxListed || len(got.Namespaces) != (maxListed+6)/2 || got.ID != "q" {
		t.Errorf("all: %d service accounts of %d namespaces, truncated %v", len(got.ServiceAccounts), len(got.Namespaces), got.Truncated)
	}
	if got := c.accounts.list(Question{Namespace: "ns-0502"}); got.Truncated || len(got.ServiceAccounts) != 1 {
		t.Errorf("of the last namespace: %+v", got.ServiceAccounts)
	}
}
