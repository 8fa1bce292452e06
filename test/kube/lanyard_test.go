package kube

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// lanyard is a `lanyard server` of a test's own, on an address of the nodes' network, with TLS by a CA of its own.
type lanyard struct {
	t        testing.TB
	dir      string // what `lanyard init` made
	endpoint string // https://10.99.0.100:PORT
	ca       string // file
	account  string
	cmd      *exec.Cmd
	log      *lines
	logged   chan struct{} // closed at the end of the log
}

// newLanyard starts a server on any port of its address, and ends it with the test.
func newLanyard(t testing.TB) *lanyard {
	t.Helper()
	l := &lanyard{t: t, dir: filepath.Join(t.TempDir(), "server")}
	l.ca = filepath.Join(l.dir, "ca.pem")
	output(t, "lanyard", "init", "--dir", l.dir, "--address", serverIPv4.String(), "--address", serverIPv6.String())
	l.start(serverIPv4.String() + ":0")
	l.account, _, _ = strings.Cut(strings.TrimPrefix(l.aws("sts get-caller-identity --query Arn --output text"), "arn:aws:iam::"), ":")
	t.Cleanup(func() {
		if l.cmd != nil {
			l.stop()
		}
		if t.Failed() {
			t.Logf("lanyard server\n%s", l.log)
		}
	})
	return l
}

// start starts the server on an address: again on that of endpoint, after stop.
func (l *lanyard) start(listen string) {
	l.t.Helper()
	l.log, l.logged = &lines{}, make(chan struct{})
	l.cmd = exec.Command("lanyard", "server", "--dir", l.dir, "--listen", listen)
	l.cmd.Dir, l.cmd.Env = cluster.home, environment()
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := l.cmd.StderrPipe()
	if err == nil {
		err = l.cmd.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	in, address := json.NewDecoder(io.TeeReader(out, l.log)), ""
	for address == "" {
		var line struct{ Msg, Address string }
		if err := in.Decode(&line); err != nil {
			l.t.Fatalf("lanyard server does not serve: %v\n%s", err, l.log)
		}
		if line.Msg == "serving" {
			address = line.Address
		}
	}
	l.endpoint = "https://" + address
	log, logged := l.log, l.logged
	go func() {
		defer close(logged)
		_, _ = io.Copy(log, out) // it ends with the program
	}()
}

// stop ends the server as Kubernetes does, and wants it to end well.
func (l *lanyard) stop() {
	l.t.Helper()
	err := l.cmd.Process.Signal(syscall.SIGTERM)
	<-l.logged
	if err := errors.Join(err, l.cmd.Wait()); err != nil {
		l.t.Errorf("lanyard server: %v, want it to end with status 0 after SIGTERM\n%s", err, l.log)
	}
	l.cmd = nil
}

// administrator is the environment of the account's administrator, who reaches the server by TLS.
func (l *lanyard) administrator() []string {
	l.t.Helper()
	text := output(l.t, "bash", "-euc", `. "$0" && env`, filepath.Join(l.dir, "administrator.env"))
	env := environment("AWS_ENDPOINT_URL="+l.endpoint, "AWS_CA_BUNDLE="+l.ca, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "AWS_") && !strings.HasPrefix(line, "AWS_ENDPOINT") {
			env = append(env, strings.TrimSpace(line))
		}
	}
	return env
}

// aws is what Debian's aws CLI prints as the administrator, when it ends well. Words are split at spaces; what holds a space
// comes as one of the arguments that follow.
func (l *lanyard) aws(words string, more ...string) string {
	l.t.Helper()
	argv := append(append([]string{"aws"}, strings.Fields(words)...), more...)
	return strings.TrimSpace(ok(l.t, run(l.t, l.administrator(), "", argv...), argv))
}

// awsRefused wants the CLI to fail with the code and the words.
func (l *lanyard) awsRefused(code, message, words string, more ...string) {
	l.t.Helper()
	argv := append(append([]string{"aws"}, strings.Fields(words)...), more...)
	got := run(l.t, l.administrator(), "", argv...)
	if got.status == 0 || !strings.Contains(got.errors, "("+code+")") || !strings.Contains(got.errors, message) {
		l.t.Errorf("%q: status %d\n%s%s\nwant %s with %q", argv, got.status, got.out, got.errors, code, message)
	}
}

// lines collects what a process writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// caText is the certificate of the CA, for a pod that must trust it.
func (l *lanyard) caText() string {
	l.t.Helper()
	text, err := os.ReadFile(l.ca)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}
