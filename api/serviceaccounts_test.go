package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ListServiceAccounts is answered by the connector that follows, while the caller waits.
func TestServiceAccountsAreListed(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, watchAccount)
	server := w.serve(t, w.config())
	const path = "/lanyard/v1/clusters/dev/service-accounts"
	connector := w.connector(t, watchAccount)
	cluster, err := w.registry.Cluster(watchAccount, "dev")
	if err != nil {
		t.Fatal(err)
	}
	follower := w.registry.Follow(cluster)
	defer follower.Close()
	answers := make(chan answer, 1)
	asking := w.build(t, server.URL, request{as: admin, service: "lanyard", method: http.MethodPost, path: path, body: `{"namespace":"shop"}`})
	go func() { answers <- do(t, server.Client(), asking) }()
	for {
		<-follower.Woken
		told, err := follower.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(told.Questions) == 0 {
			continue
		}
		if q := told.Questions[0]; q.Namespace != "shop" {
			t.Errorf("asked for %q", q.Namespace)
		}
		report := `{"id":"` + told.Questions[0].ID + `","namespaces":["billing","shop"],"serviceAccounts":[{"namespace":"shop","name":"web.v2"}],"truncated":true}`
		in := request{as: admin, service: "lanyard", method: http.MethodPut, path: "/lanyard/v1/clusters/other/service-accounts", body: report}
		if got := w.send(t, server, in); got.status != http.StatusNotFound {
			t.Errorf("an answer for another cluster: %d %s", got.status, got.body)
		}
		in.as, in.path = connector, path
		if got := w.send(t, server, in); got.status != http.StatusOK {
			t.Fatalf("the answer: %d %s", got.status, got.body)
		}
		break
	}
	got := <-answers
	want := `{"namespaces":["billing","shop"],"serviceAccounts":[{"namespace":"shop","name":"web.v2"}],"truncated":true}`
	if diff := cmp.Diff(want, got.body); got.status != http.StatusOK || diff != "" {
		t.Errorf("%d (-want +got):\n%s", got.status, diff)
	}
	recorded := false
	for line := range strings.Lines(w.log.String()) {
		var l struct{ Operation, Code string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		recorded = recorded || l.Operation == "ListServiceAccounts" && l.Code == ""
	}
	if !recorded {
		t.Error("no line of the log tells of ListServiceAccounts")
	}
}
