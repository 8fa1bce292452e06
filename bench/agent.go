package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/openlanyard/lanyard/agent"
)

const (
	agentProgram = "github.com/openlanyard/lanyard/cmd/lanyard-agent"

	missRounds, misses = 5, 2000
	herdRounds, herd   = 21, 64
	herdUpstream       = 50 * time.Millisecond
	deadTokens         = 20
	few, many          = 2000, 10_000 // tokens that an agent holds
)

// agent measures lanyard-agent as it ships, before an upstream that costs it nothing.
func (b *bench) agent(ctx context.Context) error {
	if err := b.buildAgent(ctx); err != nil {
		return err
	}
	for _, measure := range []func(context.Context) error{b.cold, b.herd, b.dead, b.held} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) buildAgent(ctx context.Context) error {
	progress("building lanyard-agent")
	return build(ctx, agentProgram, b.agentFile())
}

func (b *bench) agentFile() string { return filepath.Join(b.dir, "lanyard-agent") }

// node is a running lanyard-agent and its upstream.
type node struct {
	upstream *process
	cmd      *exec.Cmd
	address  string
}

// startNode starts an upstream that takes its time for each token, and an agent that asks it.
func (b *bench) startNode(ctx context.Context, delay time.Duration, cacheSize int) (n *node, err error) {
	n = &node{}
	if n.upstream, err = b.start(ctx, "upstream", delay.String()); err != nil {
		return nil, err
	}
	token := filepath.Join(b.dir, "node.token")
	if err := os.WriteFile(token, []byte("a.b.c"), 0o600); err != nil {
		return nil, errors.Join(err, n.upstream.stop())
	}
	n.cmd, n.address, err = b.startAgent(ctx, "http://"+n.upstream.Address, roleARN, token, cacheSize)
	if err != nil {
		return nil, errors.Join(err, n.upstream.stop())
	}
	return n, nil
}

// startAgent starts lanyard-agent as it ships, on loopback, and returns where it answers.
func (b *bench) startAgent(ctx context.Context, endpoint, role, tokenFile string, cacheSize int) (cmd *exec.Cmd, address string, err error) {
	log, err := os.CreateTemp(b.dir, "agent-*.log")
	if err != nil {
		return nil, "", err
	}
	cmd = exec.CommandContext(ctx, b.agentFile(), "server", "--cluster-name", clusterName, "--bind-hosts", "127.0.0.1", "--port", "0",
		"--probe-port", "0", "--metrics-address", "127.0.0.1", "--metrics-port", "0", "--region", region, "--role-arn", role,
		"--web-identity-token-file", tokenFile, "--max-cache-size", strconv.Itoa(cacheSize), "--endpoint", endpoint, "--sts-endpoint", endpoint)
	cmd.Stderr, cmd.Env = log, b.environment()
	interruptOnCancel(cmd)
	err = errors.Join(b.launch(cmd), log.Close()) // the agent has its own descriptor
	if err == nil {
		address, err = waitLogged(ctx, log.Name(), "serving credentials")
	}
	return cmd, address, err
}

func (n *node) stop() error {
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return errors.Join(n.cmd.Wait(), n.upstream.stop())
}

// newTokens makes the requests of n pods that nobody has seen: tokens as long as real ones, whose signature nobody checks.
func newTokens(n int, name string) [][]byte {
	requests := make([][]byte, n)
	for i := range requests {
		claims := fmt.Sprintf(`{"exp":%d,"jti":"%s-%d","pad":"%s"}`, time.Now().Add(24*time.Hour).Unix(), name, i, strings.Repeat("x", 560))
		token := "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJlbmNoIn0." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + strings.Repeat("A", 342)
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\nAccept: */*\r\n\r\n", agent.Path, token)
	}
	return requests
}

// cold measures tokens that the agent has not seen, from 32 connections at once, none of which may be refused.
func (b *bench) cold(ctx context.Context) (err error) {
	progress("the agent's misses: %d rounds of %d new tokens", missRounds, misses)
	n, err := b.startNode(ctx, 0, (missRounds+1)*misses)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	proxy, err := b.start(ctx, "hop", n.upstream.Address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxy.stop()) }()
	fresh := func(round int) ([][]byte, error) { return newTokens(misses, fmt.Sprint("cold-", round)), nil }
	before, err := n.connections(ctx)
	if err != nil {
		return err
	}
	ours := &side{pid: n.cmd.Process.Pid, address: n.address, requests: fresh}
	if err := b.turns(ctx, missRounds, ours); err != nil {
		return err
	}
	made, err := n.connections(ctx)
	if err != nil {
		return err
	}
	floor := &side{pid: proxy.cmd.Process.Pid, address: proxy.Address, requests: fresh}
	if err := b.turns(ctx, missRounds, floor); err != nil {
		return err
	}
	how := times(missRounds, misses)
	b.rows = append(b.rows,
		atMost(80, row{what: "agent: a new token, CPU", ours: ours.cost(), floor: floor.cost(), than: "a proxy that posts the token and copies the answer", unit: "µs", how: how}),
		atMost(connections, row{
			what: fmt.Sprintf("agent: connections for %d new tokens, %d at once", (missRounds+1)*misses, connections),
			ours: float64(made - before - 1), unit: "connections", how: "1", // the question itself made one
		}))
	return nil
}

func (n *node) connections(ctx context.Context) (int, error) {
	text, err := ask(ctx, n.upstream.Address, []byte("GET /connections HTTP/1.1\r\nHost: upstream\r\n\r\n"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

// herd measures how long the last of 64 pods waits that come at once with one new token. The floor is 64 requests at once to
// net/http that each wait as long as the upstream takes: what 64 new connections cost on this machine without an agent.
func (b *bench) herd(ctx context.Context) (err error) {
	progress("a herd: %d times %d requests at once", herdRounds, herd)
	n, err := b.startNode(ctx, herdUpstream, 2*herdRounds)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	call := []byte("POST /clusters/bench/assume-role-for-pod-identity HTTP/1.1\r\nHost: upstream\r\nContent-Length: 0\r\n\r\n")
	var took, floor, alone []float64
	for round := range herdRounds {
		for _, m := range []struct {
			times   *[]float64
			count   int
			address string
			request []byte
		}{
			{&took, herd, n.address, newTokens(1, fmt.Sprint("herd-", round))[0]},
			{&floor, herd, n.upstream.Address, call},
			{&alone, 1, n.upstream.Address, call},
		} {
			t, err := atOnce(ctx, m.count, m.address, m.request)
			if err != nil {
				return err
			}
			*m.times = append(*m.times, t)
		}
	}
	one := median(alone)
	r := atMost(one+5, row{
		what: fmt.Sprintf("agent: %d pods with one new token, the last", herd), ours: median(took), floor: median(floor), unit: "ms",
		than: fmt.Sprintf("%d requests to net/http that wait as long as the upstream; one takes %s ms", herd, figure(one)), how: times(herdRounds, herd),
	})
	r.goal = "<= upstream + 5 ms"
	b.rows = append(b.rows, r)
	return nil
}

// atOnce sends a request on so many new connections and returns how many ms the last one waited for its answer.
func atOnce(ctx context.Context, count int, address string, request []byte) (float64, error) {
	var all sync.WaitGroup
	failed := make([]error, count)
	began := time.Now()
	for i := range count {
		all.Go(func() { _, failed[i] = ask(ctx, address, request) })
	}
	all.Wait()
	return millis(time.Since(began)), errors.Join(failed...)
}

// dead measures how long a pod with a new token waits for its answer while the upstream hangs, and while it is gone.
func (b *bench) dead(ctx context.Context) (err error) {
	progress("a dead upstream: %d new tokens", 2*deadTokens)
	n, err := b.startNode(ctx, time.Hour, few)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, n.upstream.stop())
		}
		err = errors.Join(err, n.cmd.Process.Signal(syscall.SIGTERM), n.cmd.Wait())
	}()
	for _, state := range []string{"hangs", "is gone"} {
		if state == "is gone" {
			stopped = true
			if err := n.upstream.stop(); err != nil {
				return err
			}
		}
		var all sync.WaitGroup
		took, failed := make([]float64, deadTokens), make([]error, deadTokens)
		for i, request := range newTokens(deadTokens, state) {
			all.Go(func() {
				began := time.Now()
				_, err := ask(ctx, n.address, request)
				took[i] = time.Since(began).Seconds()
				if err == nil || !strings.Contains(err.Error(), "answered HTTP/1.1 503") {
					failed[i] = fmt.Errorf("a dead upstream is answered with %w", err)
				}
			})
		}
		all.Wait()
		if err := errors.Join(failed...); err != nil {
			return err
		}
		b.rows = append(b.rows, atMost(1, row{
			what: "agent: a new token while the upstream " + state + ", the slowest", ours: quantile(took, 1), unit: "s", how: strconv.Itoa(deadTokens),
		}))
	}
	return nil
}

// held measures the memory of an agent that holds tokens.
func (b *bench) held(ctx context.Context) (err error) {
	floor, err := b.start(ctx, "echo", "1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	bare, err := resident(floor.cmd.Process.Pid)
	if err != nil {
		return err
	}
	for _, h := range []struct {
		tokens int
		goal   float64
	}{{few, 25}, {many, 80}} {
		progress("memory with %d tokens", h.tokens)
		if err := b.heldTokens(ctx, h.tokens, h.goal, bare); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) heldTokens(ctx context.Context, tokens int, goal, bare float64) (err error) {
	n, err := b.startNode(ctx, 0, tokens)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	all := newTokens(tokens, "held")
	for range 3 { // misses, and then hits
		if err := load(ctx, connections, n.address, nil, all); err != nil {
			return err
		}
	}
	used, err := resident(n.cmd.Process.Pid)
	if err != nil {
		return err
	}
	b.rows = append(b.rows, atMost(goal, row{
		what: fmt.Sprintf("agent: resident memory with %d tokens", tokens), ours: used, floor: bare, than: "this program serving net/http alone", unit: "MiB", how: "1",
	}))
	return nil
}
