package broker

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/registry"
)

// Who follows a cluster is told of the pods that are refused for good, in the words that they get; not of one that is served, or
// of a token that is not verified.
func TestRefusalsAreTold(t *testing.T) {
	w := fresh(t)
	c := w.practice(t, two, "prod")
	role := w.role(t, two, "app", "")
	agent, token := w.agent(t, c, "node"), w.podToken(t, c.signer, "node")
	follower := w.Registry.Follow(c.Cluster)
	defer follower.Close()
	ask := func(what, token string, want fault.Kind, isTold bool) {
		t.Helper()
		g, err := w.ForPod(t.Context(), agent, "prod", token)
		wants(t, what, g, err, want)
		change, failed := follower.Next()
		must(t, failed)
		var told []registry.RefusedPod
		if isTold {
			told = []registry.RefusedPod{{Namespace: "default", Name: "app-7c9f4d8b5-x2x", UID: "pod-uid", Reason: fault.Message(err), At: w.clock.now()}}
		}
		if diff := cmp.Diff(told, change.Refused); diff != "" {
			t.Errorf("%s, told (-want +got):\n%s", what, diff)
		}
	}
	ask("no association", token, fault.NotFound, true)
	w.associate(t, c, "default", "app", role)
	ask("associated", token, accepted, false)
	ask("signed by another", w.podToken(t, newSigner(t, c.signer.ID), "node"), fault.BadToken, false)
	ask("of another node", w.podToken(t, c.signer, "node-2"), fault.Denied, true)
	must(t, w.Directory.UpdateTrust(t.Context(), two, "app", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:*"}]}`))
	ask("denied by the role", token, fault.Denied, true)

	for _, account := range []directory.NewAccount{{ID: one, Name: "x"}, {ID: two, Name: "y", AWS: &directory.AWSAccount{Region: "us-east-1"}}} {
		_, _, err := w.Directory.CreateAccount(t.Context(), account)
		must(t, err)
	}
	ask("AWS cannot be asked", token, fault.Unavailable, true)
}
