package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cluster is the one that all tests share. They keep apart by their namespaces, and a test that stops something of it is not
// parallel to others.
var cluster struct {
	home string // of those who run programs here
	root string // of the repository
}

func TestMain(m *testing.M) {
	runtime.LockOSThread() // what a test leaves running ends with its thread
	if err := prepare(); err != nil {
		fmt.Fprintf(os.Stderr, "test/kube: %v\n", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(cluster.home); err != nil {
		fmt.Fprintf(os.Stderr, "test/kube: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// prepare refuses to begin elsewhere than in the namespaces of the cluster, where no token can leave the machine.
func prepare() (err error) {
	if os.Getenv("KUBE_INSIDE") == "" {
		return errors.New("these tests run in the namespaces of the test cluster, as root: make test-kube")
	}
	for _, family := range []string{"-4", "-6"} {
		if out, err := exec.Command("ip", family, "route", "show", "default").Output(); err != nil || len(out) != 0 {
			return fmt.Errorf("a route leads out of here, so a wrong variable could send a token away: %q, %v", out, err)
		}
	}
	if cluster.root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	// Ours, and Debian 13's aws CLI; kubectl is there already.
	path := filepath.Join(cluster.root, "bin") + ":" + filepath.Join(cluster.root, "test", "debian13") + ":" + os.Getenv("PATH")
	if err := os.Setenv("PATH", path); err != nil {
		return err
	}
	cluster.home, err = os.MkdirTemp("", "lanyard-kube-*")
	return err
}

// environment is what every program starts from: nothing of who runs the tests but what finds the programs and the cluster.
func environment(more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + cluster.home, "TMPDIR=" + os.TempDir(), "LC_ALL=C.UTF-8",
		"KUBECONFIG=" + os.Getenv("KUBECONFIG"), "KUBE_INSIDE=1",
	}, more...)
}

// ran is how a program ended.
type ran struct {
	status      int
	out, errors string
}

// run runs a program in the control plane's namespaces to its end. Three minutes are more than any takes; they are there for
// one that hangs.
func run(t testing.TB, env []string, stdin string, argv ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = cluster.home, env, strings.NewReader(stdin), &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", argv, err)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// output is what a program prints, which ends well.
func output(t testing.TB, argv ...string) string {
	t.Helper()
	return ok(t, run(t, environment(), "", argv...), argv)
}

func ok(t testing.TB, got ran, argv []string) string {
	t.Helper()
	if got.status != 0 {
		t.Fatalf("%q: status %d, want 0\n%s%s", argv, got.status, got.out, got.errors)
	}
	return got.out
}

// manage is test/kube/cluster: start, stop (with a signal or without), rotate, import, run -n NODE.
func manage(t testing.TB, args ...string) string {
	t.Helper()
	return output(t, append([]string{filepath.Join(cluster.root, "test", "kube", "cluster")}, args...)...)
}

// onNode runs a program in the namespaces of a node, "1" or "2", and says how it ended.
func onNode(t testing.TB, node string, argv ...string) ran {
	t.Helper()
	return run(t, environment(), "", append([]string{filepath.Join(cluster.root, "test", "kube", "cluster"), "run", "-n", node}, argv...)...)
}

// eventually asks until the answer is yes. It is for what the cluster does by itself, in its own time; two minutes are there
// for what never happens, and then the last answer is told.
func eventually(t testing.TB, what string, ask func() (done bool, answer string)) {
	t.Helper()
	give, again := time.NewTimer(2*time.Minute), time.NewTicker(100*time.Millisecond)
	defer give.Stop()
	defer again.Stop()
	for {
		done, answer := ask()
		if done {
			return
		}
		select {
		case <-again.C:
		case <-give.C:
			t.Fatalf("%s: not so after two minutes: %s", what, answer)
		}
	}
}

// The addresses that test/kube/settings gives the nodes' network for `lanyard server`.
var (
	serverIPv4 = net.IPv4(10, 99, 0, 100)
	serverIPv6 = net.ParseIP("fd00:99::100")
)
