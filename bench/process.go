package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// process is this program again, as a server. It ends when its input does, which it also does when this process dies.
type process struct {
	started
	cmd *exec.Cmd
	in  io.WriteCloser
}

// started is what a server says when it is ready.
type started struct {
	Address     string // host and port
	Certificate string // PEM of its own, if it speaks TLS
	Credentials struct {
		AccessKeyID, SecretAccessKey, SessionToken string
	} // of a caller that it made, if its verb makes one
}

// start runs a server of this program by its verb.
func (b *bench) start(ctx context.Context, verb string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, append([]string{serveVerb, verb}, args...)...)}
	p.cmd.Stderr, p.cmd.Env = os.Stderr, b.environment()
	if b.profiles != "" {
		p.cmd.Env = append(p.cmd.Env, profileVariable+"="+b.profile(verb))
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.launch(p.cmd); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.started)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the server %q: %w", verb, err), p.stop())
	}
	return p, nil
}

// profile names the next file for a server of a verb: NAME.pprof, NAME-2.pprof and so on.
func (b *bench) profile(verb string) string {
	if b.taken == nil {
		b.taken = map[string]int{}
	}
	name := verb
	if b.taken[verb]++; b.taken[verb] > 1 {
		name = fmt.Sprintf("%s-%d", verb, b.taken[verb])
	}
	return filepath.Join(b.profiles, name+".pprof")
}

// launch starts a server on its processor. Go is told of it, since it counts the processors of the machine otherwise.
func (b *bench) launch(cmd *exec.Cmd) error {
	if b.free {
		return cmd.Start()
	}
	return b.places.onServers(cmd.Start)
}

func (b *bench) environment() []string {
	if b.free {
		return os.Environ()
	}
	return append(os.Environ(), "GOMAXPROCS=1")
}

func (p *process) stop() error {
	err := p.in.Close()
	return errors.Join(err, p.cmd.Wait())
}

// side is one server that is measured in turns with others.
type side struct {
	pid      int
	address  string
	secure   *tls.Config                       // nil: without TLS
	requests func(round int) ([][]byte, error) // made before the clock is read
	clients  int                               // connections that it is asked over; 0: as load does
	costs    []float64                         // µs of CPU for a request, by round
	rates    []float64                         // requests a second, by round
}

// turns measures the sides one after the other, rounds times, and before that once to warm them up: round -1.
func (b *bench) turns(ctx context.Context, rounds int, sides ...*side) (err error) {
	if !b.free {
		if err := b.places.move(true); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.places.move(false)) }()
	}
	for round := -1; round < rounds; round++ {
		for _, s := range sides {
			requests, err := s.requests(round)
			if err != nil {
				return err
			}
			before, err := cpu(s.pid)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := load(ctx, cmp.Or(s.clients, connections), s.address, s.secure, requests); err != nil {
				return err
			}
			took := time.Since(began)
			after, err := cpu(s.pid)
			if err != nil {
				return err
			}
			if round >= 0 {
				s.costs = append(s.costs, micros(after-before)/float64(len(requests)))
				s.rates = append(s.rates, float64(len(requests))/took.Seconds())
			}
		}
	}
	return nil
}

// secure trusts the server alone.
func (p *process) secure() (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(p.Certificate)) {
		return nil, errors.New("the server has no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}, nil
}

func (s *side) cost() float64 { return median(s.costs) }

func (s *side) rate() float64 { return median(s.rates) }

// self is the CPU that this process used for something, in turns too short to be disturbed.
func self(do func()) (time.Duration, error) {
	before, err := cpu(os.Getpid())
	if err != nil {
		return 0, err
	}
	do()
	after, err := cpu(os.Getpid())
	return after - before, err
}
