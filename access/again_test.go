package access

import (
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/registry"
)

func TestAgainIsAsStrictAsTheFirstTime(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*testing.T, *world)
		want fault.Kind
	}{
		{"nothing has changed", func(*testing.T, *world) {}, accepted},
		{"the session is over", func(_ *testing.T, w *world) { w.clock.pass(6 * time.Hour) }, fault.ExpiredCredentials},
		{"revoked", func(t *testing.T, w *world) {
			_, err := w.Registry.Revoke(t.Context(), one, "admin", registry.Target{Kind: registry.ByNode, Value: w.cluster.ID + "/node"})
			must(t, err)
		}, fault.ExpiredCredentials},
		{"the association deleted", func(t *testing.T, w *world) {
			_, err := w.Registry.DeleteAssociation(t.Context(), one, "prod", w.association.ID)
			must(t, err)
		}, fault.ExpiredCredentials},
		{"the cluster deregistered", func(t *testing.T, w *world) {
			_, err := w.Registry.DeregisterCluster(t.Context(), one, "prod")
			must(t, err)
		}, fault.ExpiredCredentials},
		{"the role deleted", func(t *testing.T, w *world) { must(t, w.Directory.DeleteRole(t.Context(), one, "app")) }, fault.UnknownKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := fresh(t)
			first, err := w.authenticate(t, w.mint(t, w.podSession(t)))
			must(t, err)
			c.do(t, w)
			_, err = w.Again(first)
			wants(t, "Again", err, c.want)
		})
	}
}

func TestAgainHasThePermissionsOfNow(t *testing.T) {
	w := fresh(t)
	first, err := w.authenticate(t, w.mint(t, w.podSession(t)))
	must(t, err)
	may := func() policy.Effect {
		t.Helper()
		now, err := w.Again(first)
		must(t, err)
		decision, _ := w.Authorize(now, "s3:GetObject", "arn:aws:s3:::b/x", nil)
		return decision.Effect
	}
	if got := may(); got == policy.Allow {
		t.Error("allowed before there is a policy")
	}
	must(t, w.Directory.PutPolicy(t.Context(), directory.Roles.Named(one, "app"), "p", document(allowAll)))
	if got := may(); got != policy.Allow {
		t.Errorf("%v once there is a policy", got)
	}
	must(t, w.Directory.DeletePolicy(t.Context(), directory.Roles.Named(one, "app"), "p"))
	if got := may(); got == policy.Allow {
		t.Error("allowed after the policy is gone")
	}
}

func TestAgainForKeys(t *testing.T) {
	w := fresh(t)
	admin, err := w.authenticate(t, byKey(w.admin))
	must(t, err)
	_, err = w.Again(admin)
	wants(t, "a user's key", err, accepted)
	_, err = w.Directory.RecoverAdministrator(t.Context(), one)
	must(t, err)
	_, err = w.Again(admin)
	wants(t, "a key that was deleted", err, fault.UnknownKey)

	joining, err := w.authenticate(t, byActivation(w.register(t, "waiting").Activation))
	must(t, err)
	_, err = w.Again(joining)
	wants(t, "an activation pair", err, fault.UnknownKey)
}

// A copy that is cut off may lack the key that sessions are sealed under by now: such a session is not refused for good.
func TestAKeyThatACutOffCopyLacks(t *testing.T) {
	w := fresh(t)
	sealing, mac, err := w.keyring.Sealing(t.Context(), one)
	must(t, err)
	sealing.ID[0] ^= 1
	pod := sealed(t, w.podSession(t), sealing, mac)
	_, err = w.authenticate(t, pod)
	wants(t, "a copy that is up to date", err, fault.UnknownKey)
	must(t, w.Store.Close())
	w.clock.pass(recent)
	_, err = w.authenticate(t, pod)
	wants(t, "a copy of five seconds", err, fault.UnknownKey)
	w.clock.pass(time.Second)
	_, err = w.authenticate(t, pod)
	wants(t, "an older copy", err, fault.Unavailable)
}
