package connector

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
)

const (
	testNamespace = "lanyard-system"
	setPath       = "/apis/apps/v1/namespaces/kube-system/daemonsets/" + agentName
	accountPath   = "/api/v1/namespaces/kube-system/serviceaccounts/" + agentName
	webhookPath   = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + RegistrationName
	sparePath     = "/api/v1/namespaces/" + testNamespace + "/secrets/" + SpareName
)

// world is a server, an API server and what a connector needs to stand between them.
type world struct {
	server *server
	kube   *kubeServer
	dir    string // token, id, code
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key := newSigningKey(t, "key-1")
	w := &world{server: newServer(t), kube: newKubeServer(t, key), dir: t.TempDir(), log: &lockedBuffer{}}
	w.file(t, "id", w.server.cluster.Activation.ID)
	w.file(t, "code", string(w.server.cluster.Activation.Secret))
	w.file(t, "token", key.token(t, testNamespace, ServiceAccountName, ConnectorAudience))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.log)
		}
	})
	return w
}

func (w *world) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) config(instance string) Config {
	return Config{
		Upstream: Upstream{
			Endpoint: w.server.URL, Region: testRegion, Cluster: "dev", RoleARN: w.server.connectorRole(),
			TokenFile: filepath.Join(w.dir, "token"), Instance: instance,
		},
		Images:     Images{Repository: "registry.example/lanyard", Build: "1.2.3"},
		Activation: Activation{Dir: w.dir}, Kube: w.kube.config(), Namespace: testNamespace, Service: "lanyard-connector",
		Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}
}

// run runs a connector until the test is over, or until the function that it returns is called.
func (w *world) run(t *testing.T, cfg Config) (*Connector, func()) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, c.start(t)
}

func (c *Connector) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits for what comes by itself. A test that waits in vain ends by the deadline of all tests.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited for a minute: %s", what)
		}
	}
}

func TestAClusterJoinsAndIsServed(t *testing.T) {
	w := newWorld(t)
	first := w.server.associate(t, "default", "app")
	c, stop := w.run(t, w.config("connector-0"))

	eventually(t, "the cluster has joined", func() bool { return w.server.now(t).Status == registry.Active })
	if got := w.server.now(t); !slices.Equal(got.Issuers, []string{testIssuer}) || len(got.Keys) != 1 || got.Keys[0].ID != "key-1" {
		t.Errorf("the server has issuers %q and keys %v", got.Issuers, got.Keys)
	}
	eventually(t, "the list has come", func() bool { return c.Ready() == nil })
	if id, ok := c.associations.ID(Identity{"default", "app"}); !ok || id != first.ID {
		t.Errorf("the association of default/app is %q", id)
	}
	if got := c.associations.Settings(); got == nil || got.ClusterID != w.server.cluster.ID || got.Account != testAccount {
		t.Errorf("the settings are %+v", got)
	}
	eventually(t, "the webhook is registered", func() bool { return w.kube.object(webhookPath) != nil })

	// What is associated is known at once: the barrier asks, whatever the stream has said.
	for range 20 {
		made := w.server.associate(t, "default", "app-"+strings.ToLower(time.Now().Format("150405.000000000")[7:]))
		who := Identity{made.Namespace, made.ServiceAccount}
		if _, ok := c.associations.ID(who); !ok {
			if err := c.associations.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if id, ok := c.associations.ID(who); !ok || id != made.ID {
			t.Errorf("%v is not known after it was asked about", who)
		}
	}
	if _, err := w.server.registry.DeleteAssociation(t.Context(), testAccount, "dev", first.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream tells what is removed", func() bool { _, ok := c.associations.ID(Identity{"default", "app"}); return !ok })

	eventually(t, "the server hears of the connector", func() bool {
		all := w.server.registry.Connectors(w.server.cluster.ID)
		return len(all) == 1 && all[0].Instance == "connector-0" && all[0].Leader && all[0].WebhookReady && all[0].Version == "1.2.3"
	})
	// A pair that is used up does no harm, and a connector that starts again does not use it.
	stop()
	again, _ := w.run(t, w.config("connector-1"))
	eventually(t, "the next connector follows", func() bool { return again.Ready() == nil })
	if strings.Contains(w.log.String(), "activation") {
		t.Error("the next connector tried the activation pair")
	}
}

// One who neither has a pair nor is known is told so, and gets nothing. A pair that was refused is not tried again.
func TestAnUnknownConnectorGetsNothing(t *testing.T) {
	for file, content := range map[string]string{"code": "wrong", "id": "LKIAXXXXXXXXXXXXXXXX"} {
		t.Run("wrong "+file, func(t *testing.T) {
			w := newWorld(t)
			w.file(t, file, content)
			c, stop := w.run(t, w.config("connector-0"))
			eventually(t, "the refusal is told, and then what the pair does not help against", func() bool {
				_, after, refused := strings.Cut(w.log.String(), "joining: the server answers with status 403")
				return refused && strings.Contains(after, "does not know this connector")
			})
			if c.Ready() == nil || w.server.now(t).Status != registry.Pending {
				t.Error("a wrong pair let the cluster join")
			}
			stop()
		})
	}
}

// What keeps a cluster from joining and is no fault of its pair may be mended, and then it joins.
func TestAClusterJoinsAfterAll(t *testing.T) {
	for name, c := range map[string]struct {
		hinder func(*testing.T, *world, *Connector) (mend func())
		reason string
	}{
		"a wrong clock": {func(_ *testing.T, _ *world, c *Connector) func() {
			var ahead atomic.Int64
			ahead.Store(int64(time.Hour))
			c.client.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			return func() { ahead.Store(0) }
		}, "at most 15 minutes apart"},
		"a former name of the cluster": {func(t *testing.T, w *world, _ *Connector) func() {
			former, err := w.server.registry.RegisterCluster(t.Context(), registry.NewCluster{Account: testAccount, Name: "former", Provider: "OTHER"})
			if err != nil {
				t.Fatal(err)
			}
			in := registry.Joining{Issuers: []string{testIssuer}, Keys: []podtoken.Key{w.kube.keys[0].public()}}
			if _, err := w.server.registry.ActivateCluster(t.Context(), former.Activation.ID, in); err != nil {
				t.Fatal(err)
			}
			return func() {
				if _, err := w.server.registry.DeregisterCluster(t.Context(), testAccount, "former"); err != nil {
					t.Fatal(err)
				}
			}
		}, "belongs to another cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			connector, err := New(w.config("connector-0"))
			if err != nil {
				t.Fatal(err)
			}
			mend := c.hinder(t, w, connector)
			connector.start(t)
			eventually(t, "the refusal is told", func() bool { return strings.Contains(w.log.String(), c.reason) })
			mend()
			eventually(t, "the cluster has joined", func() bool { return w.server.now(t).Status == registry.Active })
		})
	}
}

func TestKeysAreToldWhenAsked(t *testing.T) {
	w := newWorld(t)
	c, _ := w.run(t, w.config("connector-0"))
	eventually(t, "the connector follows", func() bool { return c.Ready() == nil && c.leading.Load() })
	eventually(t, "there is a spare token", func() bool { return w.kube.object(sparePath) != nil })
	next := newSigningKey(t, "key-2")
	w.kube.setKeys(next, w.kube.keys[0])
	if !w.server.registry.AskForKeys(w.server.cluster.ID) {
		t.Fatal("nobody was asked")
	}
	eventually(t, "the server has both keys", func() bool { return len(w.server.now(t).KeySet(time.Now()).Keys) == 2 })
}

// The signing key is replaced while no connector runs, and the pods of the next one have tokens of the new key alone.
func TestARotationWithoutAConnectorLosesNothing(t *testing.T) {
	w := newWorld(t)
	c, stop := w.run(t, w.config("connector-0"))
	eventually(t, "there is a spare token", func() bool { return c.Ready() == nil && w.kube.object(sparePath) != nil })
	stop()
	next := newSigningKey(t, "key-2")
	w.kube.setKeys(next)
	w.file(t, "token", next.token(t, testNamespace, ServiceAccountName, ConnectorAudience))

	w.kube.change(sparePath, func(u *unstructured.Unstructured) {}) // it is still there
	again, stop := w.run(t, w.config("connector-1"))
	eventually(t, "the next connector follows", func() bool { return again.Ready() == nil })
	eventually(t, "the server has the new key", func() bool {
		return slices.ContainsFunc(w.server.now(t).Keys, func(k registry.Key) bool { return k.ID == "key-2" && k.Leaves.IsZero() })
	})
	// Without the spare token it would be lost: this is what it is for.
	stop()
	third := newSigningKey(t, "key-3")
	w.kube.setKeys(third)
	w.file(t, "token", third.token(t, testNamespace, ServiceAccountName, ConnectorAudience))
	w.kube.mu.Lock()
	w.kube.objects[sparePath]["data"] = map[string]any{}
	w.kube.mu.Unlock()
	seen := len(w.log.String())
	lost, _ := w.run(t, w.config("connector-2"))
	eventually(t, "the refusal is told", func() bool { return strings.Contains(w.log.String()[seen:], "does not know this connector yet") })
	if lost.Ready() == nil {
		t.Error("a connector without any known token is served")
	}
}

func TestDeletedPodsAreTold(t *testing.T) {
	w := newWorld(t)
	w.server.associate(t, "default", "app")
	w.kube.pod("default", "one", "uid-one", "app")
	w.kube.pod("default", "two", "uid-two", "app")
	w.kube.pod("default", "other", "uid-other", "nobody")
	c, _ := w.run(t, w.config("connector-0"))
	eventually(t, "all is watched", func() bool {
		return c.Ready() == nil && c.leading.Load() && c.pods.synced.HasSynced()
	})
	w.kube.pod("default", "three", "uid-three", "app")
	eventually(t, "the new pod is seen", func() bool { _, ok := c.pods.uid("default", "three"); return ok })
	w.kube.pod("default", "one", "", "")
	w.kube.pod("default", "other", "", "")
	w.kube.pod("default", "three", "", "")
	eventually(t, "the server refuses what the pods had", func() bool { return w.server.isDeleted(t, "uid-one") && w.server.isDeleted(t, "uid-three") })
	for _, alive := range []string{"uid-two", "uid-other"} {
		if w.server.isDeleted(t, alive) {
			t.Errorf("%s is taken for deleted", alive)
		}
	}
	// What happens while a watch is broken is found by the next list: one gone, one replaced by another of its name.
	w.kube.cut(func() {
		w.kube.objects["/api/v1/namespaces/default/pods/two"]["metadata"].(map[string]any)["uid"] = "uid-two-b"
	})
	eventually(t, "the server hears of the pod that was replaced", func() bool { return w.server.isDeleted(t, "uid-two") })
	if w.server.isDeleted(t, "uid-two-b") {
		t.Error("the pod that took the name is taken for deleted")
	}
}

// Of two replicas one leads, and when it stops the other does, without a pause in what both do: serving pods.
func TestAnotherReplicaLeads(t *testing.T) {
	w := newWorld(t)
	w.server.associate(t, "default", "app")
	first, stopFirst := w.run(t, w.config("connector-0"))
	eventually(t, "the first leads", func() bool { return first.Ready() == nil && first.leading.Load() })
	second, _ := w.run(t, w.config("connector-1"))
	eventually(t, "the second is ready", func() bool { return second.Ready() == nil })
	leaders := func() (names []string) {
		for _, c := range w.server.registry.Connectors(w.server.cluster.ID) {
			if c.Leader {
				names = append(names, c.Instance)
			}
		}
		return names
	}
	eventually(t, "the server hears of one leader", func() bool { return slices.Equal(leaders(), []string{"connector-0"}) })
	if second.leading.Load() {
		t.Error("both lead")
	}
	stopFirst()
	if first.leading.Load() {
		t.Error("a replica that has stopped leads")
	}
	if second.Ready() != nil {
		t.Error("the second serves no pods while nobody leads")
	}
	eventually(t, "the second leads", func() bool { return second.leading.Load() })
	if _, err := w.server.registry.CreateAddon(t.Context(), registry.NewAddon{Account: testAccount, Cluster: "dev", Name: agentName}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second applies add-ons", func() bool { return w.kube.object(setPath) != nil })
}
