package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const program = "github.com/openlanyard/lanyard/cmd/lanyard"

// build makes a program as `make build` does.
func build(ctx context.Context, program, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", to, program)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %w", program, err)
	}
	return nil
}

// lanyard is the control plane as it ships, without TLS: on loopback, with its audit and a log line for each request.
type lanyard struct {
	cmd     *exec.Cmd
	address string // of all APIs
	debug   string // of its profiles
	key     keyPair
}

// keyPair is what a caller signs with.
type keyPair struct{ id, secret, token string }

// startLanyard makes a server's folder, of that name, and starts a server in it, with more in its environment.
func (b *bench) startLanyard(ctx context.Context, name string, env ...string) (*lanyard, error) {
	dir := filepath.Join(b.dir, name)
	if out, err := exec.CommandContext(ctx, b.program, "init", "--dir", dir, "--account", account, "--region", region, "--address", "127.0.0.1").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("lanyard init: %w: %s", err, out)
	}
	l := &lanyard{}
	var err error
	if l.key, err = administrator(filepath.Join(dir, "administrator.env")); err != nil {
		return nil, err
	}
	if l.debug, err = freeAddress(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	l.cmd = exec.CommandContext(ctx, b.program, "server", "--dir", dir, "--plain-http", "--listen", "127.0.0.1:0", "--debug-listen", l.debug,
		"--rate-per-address", "1000000", "--rate-per-principal", "1000000", "--sts-rate", "1000000") // one agent asks for all here
	l.cmd.Stderr, l.cmd.Env = log, append(b.environment(), env...)
	interruptOnCancel(l.cmd)
	err = b.launch(l.cmd)
	err = errors.Join(err, log.Close()) // the server has its own descriptor
	if err != nil {
		return nil, err
	}
	if l.address, err = waitLogged(ctx, log.Name(), "serving"); err != nil {
		return nil, errors.Join(err, l.stop())
	}
	return l, nil
}

func (l *lanyard) stop() error {
	if err := l.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return l.cmd.Wait()
}

// interruptOnCancel lets a server that is cut short put its state away.
func interruptOnCancel(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
}

// waitLogged reads the address that a server logs with a message once it has taken it.
func waitLogged(ctx context.Context, log, message string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(text)) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == message {
				return entry.Address, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the server does not serve; its log: %s", text)
		case <-again.C:
		}
	}
}

// administrator reads the file of shell variables that init writes.
func administrator(file string) (k keyPair, err error) {
	f, err := os.Open(file)
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		switch value = strings.Trim(value, "'"); name {
		case "AWS_ACCESS_KEY_ID":
			k.id = value
		case "AWS_SECRET_ACCESS_KEY":
			k.secret = value
		}
	}
	if k.id == "" || k.secret == "" {
		return k, fmt.Errorf("%s has no access key", file)
	}
	return k, nil
}

// freeAddress is one that nobody had a moment ago: the debug listener does not say which it took.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
