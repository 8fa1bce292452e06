package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/openlanyard/lanyard/agent"
)

// inNamespace says that this process is the test binary once more, in a network namespace of its own.
const inNamespace = "LANYARD_AGENT_IN_NAMESPACE"

// TestInANamespace runs the tests that need settings of the network which only root of it may change.
func TestInANamespace(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		t.Run("initialized", testInitialize)
		t.Run("a new agent takes over", testANewAgentTakesOver)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestInANamespace$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestInANamespace/a_new_agent_takes_over")) {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
}

// testInitialize makes the addresses, and on them both families are served.
func testInitialize(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // done again it changes nothing
		cmd := newCommand()
		var log strings.Builder
		cmd.SetErr(&log)
		cmd.SetArgs([]string{"initialize"})
		// On a kernel without dummy links a bridge has them, which is told.
		if err := cmd.ExecuteContext(t.Context()); err != nil || strings.Contains(log.String(), "IPv6") || strings.Contains(log.String(), "restart") {
			t.Fatalf("initialize: %v\n%s", err, log.String())
		}
		for _, ip := range []string{agent.IPv4, agent.IPv6} {
			if routes, err := netlink.RouteGet(net.ParseIP(ip)); err != nil || len(routes) != 1 || routes[0].Type != unix.RTN_LOCAL {
				t.Errorf("initialized, what is sent to %s goes by %v, %v", ip, routes, err)
			}
		}
	}
	released := make(chan struct{})
	close(released)
	endpoint := control(t, released, make(chan struct{}, 2))
	ctx, stop := context.WithCancel(t.Context())
	_, ended := start(ctx, t, "--endpoint", endpoint, "--sts-endpoint", "", "--bind-hosts", agent.IPv4+",["+agent.IPv6+"]", "--port", "80")
	for _, host := range []string{agent.IPv4, "[" + agent.IPv6 + "]"} {
		if err := fetchOnce(ctx, http.DefaultClient, host+":80", podToken()); err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// shared runs an agent that shares its address.
type shared struct {
	stop  context.CancelFunc
	ended <-chan error
}

func startShared(t *testing.T, endpoint, port string) (s shared, addr string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	addr, ended := start(ctx, t, "--endpoint", endpoint, "--sts-endpoint", "", "--reuse-port", "--port", port)
	return shared{stop, ended}, addr
}

// pods ask all the time, each request on a connection of its own or on kept ones.
type pods struct {
	ctx      context.Context
	stop     context.CancelFunc
	all      sync.WaitGroup
	answered atomic.Int64
	told     chan bool // an answer, if somebody waits for it
}

func startPods(t *testing.T, addr string) *pods {
	t.Helper()
	p := &pods{told: make(chan bool)}
	p.ctx, p.stop = context.WithCancel(t.Context())
	for i := range 8 {
		token := podToken()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		p.all.Go(func() {
			for p.ctx.Err() == nil {
				if err := fetchOnce(p.ctx, client, addr, token); err != nil && p.ctx.Err() == nil {
					t.Errorf("client %d after %d answers: %v", i, p.answered.Load(), err)
					p.stop()
				}
				p.answered.Add(1)
				select {
				case p.told <- true:
				default:
				}
			}
			client.CloseIdleConnections()
		})
	}
	return p
}

// more waits until so many more are answered.
func (p *pods) more(n int) {
	for range n {
		select {
		case <-p.told:
		case <-p.ctx.Done():
			return
		}
	}
}

// A new agent takes over from the old one on the same address, again and again, and no pod notices.
func testANewAgentTakesOver(t *testing.T) {
	released := make(chan struct{})
	close(released)
	asked := make(chan struct{}, 1000)
	endpoint := control(t, released, asked)
	running, addr := startShared(t, endpoint, "0")
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	load := startPods(t, addr)
	load.more(200)
	for round := range 8 {
		next, again := startShared(t, endpoint, port)
		if again != addr {
			t.Fatalf("the new agent listens on %s, the old one on %s", again, addr)
		}
		load.more(200)
		if round%4 == 2 { // the new one is taken back
			running, next = next, running
		}
		running.stop()
		load.more(200)
		if err := <-running.ended; err != nil {
			t.Errorf("the old agent ended with %v", err)
		}
		load.more(200)
		running = next
	}
	load.stop()
	load.all.Wait()
	running.stop()
	if err := <-running.ended; err != nil {
		t.Errorf("the last agent ended with %v", err)
	}
}

func TestAnAddressIsSharedOnlyWhenToldSo(t *testing.T) {
	released := make(chan struct{})
	close(released)
	endpoint := control(t, released, make(chan struct{}, 1))
	first, addr := startShared(t, endpoint, "0")
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	_, ended := start(t.Context(), t, "--endpoint", endpoint, "--sts-endpoint", "", "--port", port)
	if err := <-ended; err == nil {
		t.Error("a second agent took the address without being told to share it")
	}
	first.stop()
	if err := <-first.ended; err != nil {
		t.Errorf("the first ended with %v", err)
	}
}

func TestAMissingFamilyDoesNotStopTheOther(t *testing.T) {
	released := make(chan struct{})
	close(released)
	endpoint := control(t, released, make(chan struct{}, 1))
	ctx, stop := context.WithCancel(t.Context())
	// fd00:ec2::23 is on no link of a machine that runs tests; the last --bind-hosts counts as one more.
	args := []string{"--endpoint", endpoint, "--sts-endpoint", "", "--bind-hosts", "[" + agent.IPv6 + "],127.0.0.1"}
	addr, ended := start(ctx, t, append(args, "--skip-missing-hosts")...)
	if err := fetchOnce(ctx, http.DefaultClient, addr, podToken()); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	_, ended = start(t.Context(), t, args...)
	if err := <-ended; err == nil {
		t.Error("without the flag it serves one family of two")
	}
}

func TestAtLeastOneAddressIsServed(t *testing.T) {
	s := settings{
		cluster: "dev", endpoint: "https://lanyard.example", region: "us-east-1", role: "role", tokenFile: "file", node: "n", qps: 3,
		bindHosts: []string{"[" + agent.IPv6 + "]", "192.0.2.1"}, skipMissing: true,
	}
	if err := s.serve(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "none of the --bind-hosts") {
		t.Errorf("serve = %v", err)
	}
}
