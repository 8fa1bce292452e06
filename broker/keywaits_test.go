package broker

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/podtoken"
)

// rotating is a cluster whose pods show tokens that are signed with a key that it has not told yet.
type rotating struct {
	*world
	cluster
	next  signer
	agent *directory.Principal
	token string
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	w, next := fresh(t), newSigner(t, "k2")
	c := w.join(t, one, "prod", newSigner(t, "k1"), false)
	w.associate(t, c, "default", "app", w.role(t, one, "app", ""))
	return &rotating{w, c, next, w.agent(t, c, "node"), w.podToken(t, next, "node")}
}

// tell gives the cluster a key list that is newer than all questions so far.
func (r *rotating) tell(t *testing.T, keys ...podtoken.Key) {
	t.Helper()
	r.clock.pass(time.Millisecond)
	_, err := r.Registry.PutClusterKeys(t.Context(), one, r.Name, []string{tokenIssuer}, append(keys, r.signer.Key))
	must(t, err)
}

// ask asks as a pod. The keys are told once the question is put: whoever waits for them gets them.
func (r *rotating) ask(t *testing.T, when string, want fault.Kind, told ...podtoken.Key) {
	t.Helper()
	var once sync.Once
	r.Now = func() time.Time {
		now := r.clock.now()
		once.Do(func() {
			if told != nil {
				r.tell(t, told...)
			}
		})
		return now
	}
	g, err := r.ForPod(t.Context(), r.agent, r.Name, r.token)
	wants(t, when, g, err, want)
	r.Now = r.clock.now
}

func TestFewWaitForKeys(t *testing.T) {
	r := newRotating(t)
	other := r.join(t, one, "test", newSigner(t, "k3"), false)
	waiting := func(c cluster, n int) (leave func()) {
		for i := range n {
			if !r.keyWaits.enter(c.Cluster, r.clock.now()) {
				t.Errorf("call %d of %s may not wait", i+1, c.Name)
			}
		}
		return func() {
			for range n {
				r.keyWaits.leave(c.Cluster, r.clock.now(), false)
			}
		}
	}
	leave := waiting(r.cluster, maxKeyWaitsCluster)
	r.ask(t, "one more than may wait", fault.Unavailable, newSigner(t, "k4").Key)
	waiting(other, 1)() // another cluster's may
	leave()
	r.ask(t, "when they are gone", accepted, r.next.Key)

	for i := range maxKeyWaits / maxKeyWaitsCluster {
		c := r.join(t, one, "more-"+string(rune('a'+i)), newSigner(t, "k5"), false)
		defer waiting(c, maxKeyWaitsCluster)()
	}
	if r.keyWaits.enter(other.Cluster, r.clock.now()) {
		t.Errorf("a call may wait beside %d of other clusters", maxKeyWaits)
	}
}

func TestNobodyWaitsAfterAWaitInVain(t *testing.T) {
	r := newRotating(t)
	third := newSigner(t, "k3").Key
	r.ask(t, "nothing comes", fault.Unavailable)
	r.clock.pass(keyPause - time.Second)
	r.ask(t, "4 s later", fault.Unavailable, third) // although a list comes
	r.ask(t, "with that list", fault.BadToken, third)
	r.ask(t, "nothing comes again", fault.Unavailable)
	r.clock.pass(keyPause)
	r.ask(t, "5 s later", accepted, r.next.Key)
	r.clock.pass(keyPause)
	if r.keyWaits.enter(r.Cluster, r.clock.now()); len(r.keyWaits.clusters) != 1 {
		t.Errorf("remembered: got %v, want the present wait alone", r.keyWaits.clusters)
	}
}

func TestWhoWaitsIsServedWhenTheKeyComes(t *testing.T) {
	r := newRotating(t)
	var pods sync.WaitGroup
	grants, errs := make([]*Grant, maxKeyWaitsCluster), make([]error, maxKeyWaitsCluster)
	for i := range grants {
		pods.Go(func() { grants[i], errs[i] = r.ForPod(t.Context(), r.agent, r.Name, r.token) })
	}
	for waiting := 0; waiting < maxKeyWaitsCluster; runtime.Gosched() {
		r.keyWaits.mu.Lock()
		waiting = r.keyWaits.waiting
		r.keyWaits.mu.Unlock()
	}
	r.tell(t, r.next.Key)
	pods.Wait()
	for i := range grants {
		wants(t, "a pod that waited", grants[i], errs[i], accepted)
	}
	if r.keyWaits.waiting != 0 {
		t.Errorf("still waiting: got %d, want none", r.keyWaits.waiting)
	}
}

// Whoever comes by web identity is nobody yet, and keeps no place that others need.
func TestAWebIdentityWaitsForNoKey(t *testing.T) {
	r := newRotating(t)
	in := WebIdentity{Role: "arn:aws:iam::" + one + ":role/" + r.AgentRole(), SessionName: "node", Token: r.agentToken(t, r.next, "node")}
	var once sync.Once
	r.Now = func() time.Time {
		now := r.clock.now()
		once.Do(func() { r.tell(t, r.next.Key) })
		return now
	}
	g, err := r.ForWebIdentity(t.Context(), in)
	wants(t, "the key comes meanwhile", g, err, fault.Unavailable)
	g, err = r.ForWebIdentity(t.Context(), in)
	wants(t, "the key is there", g, err, accepted)
}
