package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/openlanyard/lanyard/agent"
)

const (
	issueRounds, issueRequests   = 5, 2500
	cachedRounds, cachedRequests = 7, 5000
	effective                    = 200 // associations
)

// control measures what asks a control plane: credentials for pods, the agent before them, and an association's way.
func (b *bench) control(ctx context.Context) (err error) {
	progress("starting a control plane")
	l, err := b.startLanyard(ctx, "server")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	c, err := l.join(ctx)
	if err != nil {
		return err
	}
	for _, measure := range []func(context.Context, *cluster) error{b.cached, b.issue, b.association, b.storm} {
		if err := measure(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// cached measures a node's agent when it holds the answer, beside a handler that writes as many bytes.
func (b *bench) cached(ctx context.Context, c *cluster) (err error) {
	progress("the agent's cached answer: %d rounds of %d requests", cachedRounds, cachedRequests)
	token, err := c.agentToken()
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "agent.token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return err
	}
	node, err := b.start(ctx, "agent", "http://"+c.address, c.practice.AgentRole, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.stop()) }()
	pods, err := c.podTokens("api", 1)
	if err != nil {
		return err
	}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\nAccept: */*\r\n\r\n", agent.Path, pods[0])
	answer, err := ask(ctx, node.Address, request)
	if err != nil {
		return err
	}
	floor, err := b.start(ctx, "echo", strconv.Itoa(len(answer)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	requests := repeat([][]byte{request}, cachedRequests)
	ours := &side{pid: node.cmd.Process.Pid, address: node.Address, requests: requests}
	bare := &side{pid: floor.cmd.Process.Pid, address: floor.Address, requests: requests}
	if err := b.turns(ctx, cachedRounds, ours, bare); err != nil {
		return err
	}
	b.echo = bare.cost()
	b.rows = append(b.rows, atMostTimes(1.3, row{
		what: "agent: a cached answer, CPU", ours: ours.cost(), floor: bare.cost(), than: fmt.Sprintf("net/http writing the same %d bytes", len(answer)),
		unit: "µs", how: times(cachedRounds, cachedRequests),
	}))
	return nil
}

// issue measures EKS Auth for tokens that the server has not seen, and for the same tokens again.
func (b *bench) issue(ctx context.Context, c *cluster) (err error) {
	total := (issueRounds + 1) * issueRequests
	progress("signing %d tokens", total)
	tokens, err := c.podTokens("api", total)
	if err != nil {
		return err
	}
	progress("tokens to credentials: %d rounds of %d requests", issueRounds, issueRequests)
	of := func(round int) ([][]byte, error) {
		return c.exchange(tokens[(round+1)*issueRequests : (round+2)*issueRequests])
	}
	sample, err := c.exchange(tokens[:1])
	if err != nil {
		return err
	}
	answer, err := ask(ctx, c.address, sample[0])
	if err != nil {
		return err
	}
	size := strconv.Itoa(len(answer))
	rsa, err := b.start(ctx, "verify", size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rsa.stop()) }()
	bare, err := b.start(ctx, "echo", size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	fresh := &side{pid: c.cmd.Process.Pid, address: c.address, requests: of}
	freshFloor := &side{pid: rsa.cmd.Process.Pid, address: rsa.Address, requests: of}
	seen := &side{pid: c.cmd.Process.Pid, address: c.address, requests: of} // always after fresh had the same tokens
	seenFloor := &side{pid: bare.cmd.Process.Pid, address: bare.Address, requests: of}
	if err := b.turns(ctx, issueRounds, fresh, freshFloor, seen, seenFloor); err != nil {
		return err
	}
	b.rows = append(b.rows,
		atMost(70, row{
			what: "EKS Auth: a token never seen, CPU", ours: fresh.cost(), floor: freshFloor.cost(),
			than: "net/http and one RSA-2048 verification", unit: "µs", how: times(issueRounds, issueRequests),
		}),
		atMost(40, row{
			what: "EKS Auth: a token seen, CPU", ours: seen.cost(), floor: seenFloor.cost(), than: "net/http writing as many bytes",
			unit: "µs", how: times(issueRounds, issueRequests),
		}))
	if b.profiles == "" {
		return nil
	}
	return b.profileIssue(ctx, c)
}

// profileIssue writes CPU profiles of the server while it answers tokens that it has not seen, and those that it has.
func (b *bench) profileIssue(ctx context.Context, c *cluster) error {
	fresh, err := c.podTokens("fresh", 4*issueRequests)
	if err != nil {
		return err
	}
	if err := c.associate(ctx, "fresh"); err != nil {
		return err
	}
	for _, p := range []struct {
		name   string
		tokens []string
		again  int
	}{{"issue-fresh", fresh, 1}, {"issue-seen", fresh, 3}} {
		if err := b.profileLoad(ctx, c, p.name, p.again, p.tokens); err != nil {
			return err
		}
	}
	return nil
}

// profileLoad writes a CPU profile of the server while it answers tokens, again times.
func (b *bench) profileLoad(ctx context.Context, c *cluster, name string, again int, tokens []string) error {
	requests, err := c.exchange(tokens)
	if err != nil {
		return err
	}
	taken := make(chan error, 1)
	go func() {
		taken <- fetch(ctx, "http://"+c.debug+"/debug/pprof/profile?seconds=3", filepath.Join(b.profiles, name+".pprof"))
	}()
	for range again {
		err = errors.Join(err, load(ctx, connections, c.address, nil, requests))
	}
	if err := errors.Join(err, <-taken); err != nil {
		return fmt.Errorf("profiling %s: %w", name, err)
	}
	return nil
}

func fetch(ctx context.Context, url, file string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, response.Body)
	return errors.Join(err, f.Close())
}

// association measures the time from the request for an association until a pod that waits for it has credentials.
func (b *bench) association(ctx context.Context, c *cluster) error {
	progress("association to credentials: %d times", effective)
	var took, floor []float64
	for i := range effective {
		name := fmt.Sprintf("sa-%d", i)
		tokens, err := c.podTokens(name, 1)
		if err != nil {
			return err
		}
		requests, err := c.exchange(tokens)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := c.associate(ctx, name); err != nil {
			return err
		}
		// Once acknowledged it is in force, or this is refused and the run ends.
		if _, err := ask(ctx, c.address, requests[0]); err != nil {
			return fmt.Errorf("an acknowledged association is not in force: %w", err)
		}
		took = append(took, millis(time.Since(began)))
		synced, err := b.appendAndSync(3)
		if err != nil {
			return err
		}
		floor = append(floor, millis(synced))
	}
	how := fmt.Sprintf("%d", effective)
	than := "3 records of 400 bytes, each brought to the disk"
	b.rows = append(b.rows,
		atMost(50, row{what: "association to a pod's credentials, p50", ours: quantile(took, 0.5), floor: quantile(floor, 0.5), than: than, unit: "ms", how: how}),
		atMost(50, row{what: "association to a pod's credentials, p99", ours: quantile(took, 0.99), floor: quantile(floor, 0.99), than: than, unit: "ms", how: how}))
	return nil
}

// appendAndSync is what an association cannot do without: its record, and two records of the audit, on the disk.
func (b *bench) appendAndSync(times int) (took time.Duration, err error) {
	f, err := os.OpenFile(filepath.Join(b.dir, "records"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	began := time.Now()
	for range times {
		if _, err := f.Write(make([]byte, 400)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func times(rounds, requests int) string { return fmt.Sprintf("%d x %d", rounds, requests) }
