package kube

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// process is a program of ours that serves until it is told to end, and logs JSON.
type process struct {
	argv    []string
	cmd     *exec.Cmd
	address string // where it serves, as it has logged
	log     *lines
	logged  chan struct{} // closed at the end of the log
}

// serving starts a program, and returns when it has logged that it is serving, and all the words of until, one after the
// other.
func serving(t testing.TB, argv []string, until ...string) *process {
	t.Helper()
	return servingIn(t, environment(), argv, until...)
}

// servingIn is serving with an environment of its own.
func servingIn(t testing.TB, env, argv []string, until ...string) *process {
	t.Helper()
	p := &process{argv: argv, cmd: exec.Command(argv[0], argv[1:]...), log: &lines{}, logged: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = cluster.home, env
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	in, words := json.NewDecoder(io.TeeReader(out, p.log)), append([]string{"serving"}, until...)
	for len(words) > 0 {
		var line struct{ Msg, Address string }
		if err := in.Decode(&line); err != nil {
			t.Fatalf("%q does not serve: %v\n%s", argv, err, p.log)
		}
		if strings.HasPrefix(line.Msg, words[0]) { // agents serve credentials
			words = words[1:]
			p.address += line.Address // told once
		}
	}
	go func() {
		defer close(p.logged)
		_, _ = io.Copy(p.log, out) // it ends with the program
	}()
	return p
}

// stop ends the program as Kubernetes does, and wants it to end well.
func (p *process) stop(t testing.TB) {
	t.Helper()
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.logged
	if err := errors.Join(err, p.cmd.Wait()); err != nil {
		t.Errorf("%q: %v, want it to end with status 0 after SIGTERM\n%s", p.argv, err, p.log)
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
