package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openlanyard/lanyard/dev"
)

// process is a `lanyard` that runs beside a test.
type process struct {
	cmd      *exec.Cmd
	out, err output
	ended    chan struct{}
	status   error // once ended
}

// output is a file: what a process has written is there to be read before whatever it does next.
type output struct{ *os.File }

func newOutput(dir string) (output, error) {
	f, err := os.CreateTemp(dir, "lanyard-*.output")
	return output{f}, err
}

func (o output) String() string {
	text, err := os.ReadFile(o.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// startLanyard starts the program in a folder and returns once it is ready. What it printed is told when it ends before that.
func startLanyard(dir string, env []string, ready func(*process) bool, args ...string) (*process, error) {
	p := &process{cmd: exec.Command("lanyard", args...), ended: make(chan struct{})}
	var err error
	if p.out, err = newOutput(dir); err != nil {
		return nil, err
	}
	if p.err, err = newOutput(dir); err != nil {
		return nil, err
	}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, p.out.File, p.err.File
	if err := errors.Join(p.cmd.Start(), p.out.Close(), p.err.Close()); err != nil {
		return nil, err
	}
	go func() {
		p.status = p.cmd.Wait()
		close(p.ended)
	}()
	err = eventually(func() bool { return p.over() || ready(p) }, "lanyard %s is not ready", strings.Join(args, " "))
	if err == nil && p.over() {
		err = fmt.Errorf("lanyard %s ended: %w", strings.Join(args, " "), p.status)
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("%w\n%s%s", err, p.out.String(), p.err.String())
	}
	return p, nil
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// stop is ctrl-C; it returns how the process ended.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := eventually(p.over, "the process goes on"); err != nil {
		return err
	}
	return p.status
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may be over
	<-p.ended
}

// startDev starts `lanyard dev`. It is ready when it says so and, at the first start, has finished that.
func startDev(dir dev.Dir, env []string, args ...string) (*process, error) {
	return launchDev(dir, env, func(p *process) bool {
		return strings.Contains(p.out.String(), "lanyard dev is ready: ") && dir.Started()
	}, args...)
}

// launchDev starts `lanyard dev` on ports that are free.
func launchDev(dir dev.Dir, env []string, ready func(*process) bool, args ...string) (*process, error) {
	args = append([]string{"dev", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0"}, args...)
	return startLanyard(filepath.Dir(string(dir)), append(env, "LANYARD_DIR="+string(dir)), ready, args...)
}

func (s *story) dev(args []string) error {
	s.need(args, 1, "dev start [ARG...] | stop | kill")
	switch args[0] {
	case "start":
		p, err := startDev(s.world.dir, s.vars, args[1:]...)
		if err != nil {
			return err
		}
		s.processes["dev"] = p
		s.told(p)
		at, err := s.world.dir.Addresses()
		if err != nil {
			return err
		}
		s.Setenv("API", hostOf(at.Endpoint))
		s.Setenv("AGENT", hostOf(at.Agent))
		return s.open(at.Endpoint)
	case "stop":
		return s.stop("dev")
	case "kill":
		p := s.process("dev")
		p.kill()
		s.told(p)
		return nil
	}
	s.Fatalf("dev %s: unknown", args[0])
	return nil
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	return u.Host
}

func (s *story) server(args []string) error {
	s.need(args, 1, "server start [ARG...] | stop")
	if args[0] == "stop" {
		return s.stop("server")
	}
	p, err := startLanyard(s.MkAbs("."), s.vars, func(p *process) bool {
		_, ok := p.serving()
		return ok
	}, append([]string{"server"}, args[1:]...)...)
	if err != nil {
		return err
	}
	s.processes["server"] = p
	s.told(p)
	address, _ := p.serving()
	s.Setenv("API", address)
	return nil
}

// serving returns the address that a server's log names.
func (p *process) serving() (string, bool) {
	for line := range strings.Lines(p.err.String()) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			return entry.Address, true
		}
	}
	return "", false
}

func (s *story) process(name string) *process {
	p := s.processes[name]
	if p == nil {
		s.Fatalf("%s was not started", name)
	}
	return p
}

func (s *story) stop(name string) error {
	p := s.process(name)
	err := p.stop()
	s.told(p)
	return err
}

// told shows the verbs stdout and stderr what a process has printed so far.
func (s *story) told(p *process) {
	s.print(p.out.String())
	_, err := io.WriteString(s.Stderr(), p.err.String())
	s.Check(err)
}

func (s *story) listens(args []string) error {
	s.need(args, 1, "listens dev|server ADDRESS...")
	p := s.process(args[0])
	got, err := listening(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, a := range args[1:] {
		want["tcp "+a] = true
	}
	var wrong []error
	for _, l := range got {
		path, unix := strings.CutPrefix(l, "unix ")
		inside := unix && strings.HasPrefix(path, string(s.world.dir)+"/")
		if !want[l] && !inside {
			wrong = append(wrong, fmt.Errorf("listens on %s", l))
		}
		delete(want, l)
	}
	for l := range want {
		wrong = append(wrong, fmt.Errorf("does not listen on %s", l))
	}
	return errors.Join(wrong...)
}

// listening returns every address that a process takes connections or datagrams on, as Linux tells it.
func listening(pid int) ([]string, error) {
	proc := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return nil, err
	}
	own := map[string]bool{} // inodes of its sockets
	for _, fd := range fds {
		if target, err := os.Readlink(proc + "/fd/" + fd.Name()); err == nil && strings.HasPrefix(target, "socket:[") {
			own[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("process %d has no sockets at all", pid)
	}
	var found []string
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(proc + "/net/" + table)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			const listen, unconnected = "0A", "07"
			if len(f) > 9 && own[f[9]] && (f[3] == listen || f[3] == unconnected) {
				address, err := kernelAddress(f[1])
				if err != nil {
					return nil, err
				}
				found = append(found, strings.TrimSuffix(table, "6")+" "+address)
			}
		}
	}
	text, err := os.ReadFile(proc + "/net/unix")
	if err != nil {
		return nil, err
	}
	cwd, err := os.Readlink(proc + "/cwd")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line) // Num RefCount Protocol Flags Type St Inode Path
		const accepts = "00010000"
		if len(f) < 7 || !own[f[6]] || f[3] != accepts {
			continue
		}
		path := strings.Join(f[7:], " ")
		if !filepath.IsAbs(path) && !strings.HasPrefix(path, "@") {
			path = filepath.Join(cwd, path)
		}
		found = append(found, "unix "+path)
	}
	return found, nil
}
