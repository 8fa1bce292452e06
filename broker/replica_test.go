package broker

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// childVariable makes the test binary be an etcd server.
const childVariable = "LANYARD_BROKER_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	if err := runEtcd(os.Args[1]); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// runEtcd serves etcd on a loopback port and says its address. It ends when it is killed.
func runEtcd(dir string) error {
	config := embed.NewConfig()
	config.Dir = dir
	config.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenPeerUrls = nil
	config.TickMs, config.ElectionMs = 10, 100
	config.LogLevel = "fatal"
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	<-server.Server.ReadyNotify()
	fmt.Println("address", server.Clients[0].Addr())
	return <-server.Err()
}

// replicas are two brokers on one etcd process, which cut ends.
type replicas struct {
	first, second *world
	kill          func()
	isCut         bool
}

func (r *replicas) cut() {
	r.kill()
	r.isCut = true
}

// known asks again where a replica could not know in time what is newest, and says that: a busy machine may take longer.
func (r *replicas) known(ask func() (*Grant, error)) (*Grant, error) {
	g, err := ask()
	for again := 0; !r.isCut && again < 20 && (fault.Is(err, fault.Unavailable) || err == nil && g.Stale); again++ {
		g, err = ask()
	}
	return g, err
}

func startReplicas(t *testing.T) *replicas {
	t.Helper()
	etcd := exec.Command(os.Args[0], filepath.Join(t.TempDir(), "etcd"))
	etcd.Env = append(os.Environ(), childVariable+"=etcd")
	out, err := etcd.StdoutPipe()
	must(t, err)
	must(t, etcd.Start())
	kill := func() {
		_ = etcd.Process.Kill() // may be dead already
		_ = etcd.Wait()         // reports the kill
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "address ")
	if !ok {
		t.Fatalf("etcd says %q", line)
	}
	config := store.Config{Endpoints: []string{address}, MasterKey: store.NewMasterKey()}
	return &replicas{first: open(t, config), second: open(t, config), kill: kill}
}

// What one replica has acknowledged, the other one knows when it is asked; and when it cannot know, it says that.
func TestTwoReplicas(t *testing.T) {
	r := startReplicas(t)
	c := r.first.practice(t, one, "prod")
	role := r.first.role(t, one, "app", "")
	agent, token := r.first.agent(t, c, "node"), r.first.podToken(t, c.signer, "node")
	ask := func(when, cluster string, want fault.Kind) *Grant {
		t.Helper()
		g, err := r.known(func() (*Grant, error) { return r.second.ForPod(t.Context(), agent, cluster, token) })
		wants(t, when, g, err, want)
		return g
	}
	for range 20 {
		a := r.first.associate(t, c, "default", "app", role)
		ask("created at the other", "prod", accepted)
		_, err := r.first.Registry.DeleteAssociation(t.Context(), one, "prod", a.ID)
		must(t, err)
		ask("deleted at the other", "prod", fault.NotFound)
	}
	for i := range 5 {
		fresh := r.first.practice(t, one, fmt.Sprint("new-", i))
		// Of another cluster's agent, but the cluster is known: a replica that lags would call it not found.
		ask("a cluster made at the other", fresh.Name, fault.BadToken)
		_, err := r.first.Registry.DeregisterCluster(t.Context(), one, fresh.Name)
		must(t, err)
	}
	// Web identity, whose roles and trust policies change at the other replica.
	arnOf := func(name string) string { return "arn:aws:iam::" + one + ":role/" + name }
	become := func(when, role string, want fault.Kind) *Grant {
		t.Helper()
		in := WebIdentity{Role: role, SessionName: "node", Token: r.first.agentToken(t, c.signer, "node")}
		g, err := r.known(func() (*Grant, error) { return r.second.ForWebIdentity(t.Context(), in) })
		wants(t, when, g, err, want)
		return g
	}
	statement := func(effect string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":{"Federated":"` + c.ARN().String() + `"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`
	}
	for range 20 {
		become("a role created at the other", r.first.role(t, one, "web", statement("Allow")), accepted)
		must(t, r.first.Directory.UpdateTrust(t.Context(), one, "web", statement("Deny")))
		become("its trust taken away at the other", arnOf("web"), fault.Denied)
		must(t, r.first.Directory.UpdateTrust(t.Context(), one, "web", statement("Allow")))
		become("its trust given back at the other", arnOf("web"), accepted)
		must(t, r.first.Directory.DeleteRole(t.Context(), one, "web"))
		become("deleted at the other", arnOf("web"), fault.Denied)
	}
	r.first.role(t, one, "barred", statement("Deny"))
	nowhere := r.first.role(t, one, "nowhere", strings.Replace(statement("Allow"), "/prod", "/prod2", 1))
	become("a role that trusts no cluster", nowhere, fault.Denied)
	if g := become("the last answer with etcd", arnOf(c.AgentRole()), accepted); g.Stale {
		t.Error("the last answer with etcd: got it stale")
	}

	r.first.associate(t, c, "default", "app", role)
	if g := ask("the last answer with etcd", "prod", accepted); g.Stale {
		t.Error("the last answer with etcd: got it stale")
	}
	// The people of a pod are told of a refusal, and of nothing that may pass.
	missing := r.first.token(t, c.signer, "default", "app2", "pods.eks.amazonaws.com", "node")
	follower := r.second.Registry.Follow(c.Cluster)
	defer follower.Close()
	wantTold := func(when string, want ...string) {
		t.Helper()
		change, err := follower.Next()
		must(t, err)
		var got []string
		for _, p := range change.Refused {
			got = append(got, p.Namespace+"/"+p.Name+" "+p.UID+": "+p.Reason)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, told (-want +got):\n%s", when, diff)
		}
	}
	lone := r.first.token(t, c.signer, "default", "app3", "pods.eks.amazonaws.com", "node")
	_, err := r.known(func() (*Grant, error) { return r.second.ForPod(t.Context(), agent, "prod", lone) })
	wantTold("no association", "default/app3-7c9f4d8b5-x2x pod-uid: "+fault.Message(err))
	r.cut()
	miss := func(when string) {
		t.Helper()
		g, err := r.second.ForPod(t.Context(), agent, "prod", missing)
		wants(t, when+", no association", g, err, fault.Unavailable)
		ask(when+", no cluster", "prod2", fault.Unavailable)
		become(when+", no role", arnOf("web"), fault.Unavailable)
		become(when+", no cluster of the role", nowhere, fault.Unavailable)
		become(when+", refused by the role", arnOf("barred"), fault.Unavailable)
	}
	r.second.clock.pass(maxStale - time.Second)
	if g := ask("cut off for less than 5 s", "prod", accepted); !g.Stale {
		t.Error("cut off for less than 5 s: got the answer as if it were fresh")
	}
	if g := become("cut off for less than 5 s", arnOf(c.AgentRole()), accepted); !g.Stale {
		t.Error("cut off for less than 5 s: got the role as if it were fresh")
	}
	miss("cut off for less than 5 s")
	r.second.clock.pass(2 * time.Second)
	ask("cut off for more", "prod", fault.Unavailable)
	become("cut off for more", arnOf(c.AgentRole()), fault.Unavailable)
	miss("cut off for more")
	wantTold("cut off")
}
