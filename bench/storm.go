package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/openlanyard/lanyard/agent"
)

// A storm is what AWS holds its own agent against: pods that start one after the other at a rate, and each fetches once.
const (
	stormPods = 5000
	stormRate = 200 // pods a second
)

// storm measures the first fetch of each of many pods that come at a fixed rate, whether those before have been answered or not, from an
// address and on a connection of its own, with a token by the cluster's key: by lanyard-agent and the server, both as they ship. A pod
// waits from the moment at which it was to come. The floor is the same storm before net/http, which tells what the machine itself adds.
func (b *bench) storm(ctx context.Context, c *cluster) (err error) {
	if err := b.buildAgent(ctx); err != nil {
		return err
	}
	progress("signing %d tokens", stormPods)
	tokens, err := c.podTokens("api", stormPods)
	if err != nil {
		return err
	}
	own, err := c.agentToken()
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "storm.token")
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		return err
	}
	node, address, err := b.startAgent(ctx, "http://"+c.address, c.practice.AgentRole, file, stormPods)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Process.Signal(syscall.SIGTERM), node.Wait()) }()
	requests := make([][]byte, stormPods)
	for i, token := range tokens {
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\nAccept: */*\r\n\r\n", agent.Path, token)
	}
	floor, err := b.start(ctx, "echo", "1500")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()

	progress("%d pods at %d/s, and as many before net/http", stormPods, stormRate)
	if !b.free {
		if err := b.places.move(true); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.places.move(false)) }()
	}
	ours, failed, first := arrive(ctx, address, requests)
	bare, lost, why := arrive(ctx, floor.Address, requests)
	if lost > 0 || ctx.Err() != nil {
		return fmt.Errorf("net/http failed %d times: %w", lost, errors.Join(why, ctx.Err()))
	}
	if first != nil {
		progress("a first fetch failed: %v", first)
	}
	how := fmt.Sprintf("%d, from when each was to come", stormPods)
	b.rows = append(b.rows,
		atMost(100, row{
			what: fmt.Sprintf("%d pods at %d/s: the first fetch, p99.9", stormPods, stormRate), ours: quantile(ours, 0.999), floor: quantile(bare, 0.999),
			than: "as many new connections to net/http writing 1500 bytes", unit: "ms", how: how,
		}),
		atMost(0, row{what: fmt.Sprintf("%d pods at %d/s: failed first fetches", stormPods, stormRate), ours: float64(failed), unit: "pods", how: strconv.Itoa(stormPods)}))
	return nil
}

// arrive sends each request at its time, and returns how many ms each waited, how many failed, and why the first of these did. One that
// failed has waited as long as it took to fail.
func arrive(ctx context.Context, address string, requests [][]byte) (waited []float64, failed int, first error) {
	waited = make([]float64, len(requests))
	failures := make([]error, len(requests))
	var pods sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	began := time.Now()
	for i, request := range requests {
		due := began.Add(time.Duration(i) * time.Second / stormRate)
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		pods.Go(func() {
			failures[i] = askFrom(ctx, podAddress(i), address, request)
			waited[i] = millis(time.Since(due))
		})
	}
	pods.Wait()
	for _, err := range failures {
		if err == nil {
			continue
		}
		failed++
		if first == nil {
			first = err
		}
	}
	return waited, failed, first
}

// podAddress is one of loopback's own: every pod comes from another.
func podAddress(i int) net.IP { return net.IPv4(127, 1, byte(i>>8), byte(i)) }

// askFrom sends a request from an address, as a pod with credentials to come does, and wants them.
func askFrom(ctx context.Context, from net.IP, address string, request []byte) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	body, err := askBy(ctx, &dialer, address, request)
	if err == nil && len(strings.TrimSpace(string(body))) == 0 {
		return errors.New("the answer is empty")
	}
	return err
}
