package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/openlanyard/lanyard/sigv4"
)

const (
	largeRounds, largeRequests = 5, 300
	largeObject                = 1 << 20
)

// largeObjects measures objects of 1 MiB in both directions, where bytes are what costs. A server has one processor, which it
// uses up, so that its CPU for each object is its throughput.
func (b *bench) largeObjects(ctx context.Context) error {
	for _, m := range []struct {
		what, method, answer, hash string
		goal                       float64
	}{
		{"gateway: 1 MiB down, CPU", http.MethodGet, strconv.Itoa(largeObject), emptyHash, 1.1},
		{"gateway: 1 MiB up, its hash not declared, CPU", http.MethodPut, "2", sigv4.UnsignedPayload, 1.1},
	} {
		progress("%s: %d rounds of %d requests", m.what, largeRounds, largeRequests)
		if err := b.largeObject(ctx, m.what, m.method, m.answer, m.hash, m.goal); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) largeObject(ctx context.Context, what, method, answer, hash string, goal float64) (err error) {
	upstream, err := b.start(ctx, "echo", answer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upstream.stop()) }()
	asking, err := b.start(ctx, "gateway", upstream.Address, filepath.Join(b.dir, "gateway-"+method))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, asking.stop()) }()
	trusting, err := b.start(ctx, "thin", upstream.Address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trusting.stop()) }()
	few := make([][]byte, 8)
	for i := range few {
		path := fmt.Sprintf("http://%s/pay/in/%d", asking.Address, i)
		r, err := http.NewRequestWithContext(ctx, method, path, http.NoBody)
		if method == http.MethodPut && err == nil {
			r, err = http.NewRequestWithContext(ctx, method, path, bytes.NewReader(make([]byte, largeObject)))
		}
		if err != nil {
			return err
		}
		k := asking.Credentials
		sigv4.Sign(r, k.AccessKeyID, k.SecretAccessKey, k.SessionToken, region, "s3", hash, time.Now())
		if few[i], err = wire(r); err != nil {
			return err
		}
	}
	requests := repeat(few, largeRequests)
	ours := &side{pid: asking.cmd.Process.Pid, address: asking.Address, requests: requests}
	floor := &side{pid: trusting.cmd.Process.Pid, address: trusting.Address, requests: requests}
	if err := b.turns(ctx, largeRounds, ours, floor); err != nil {
		return err
	}
	b.rows = append(b.rows, atMostTimes(goal, row{
		what: what, ours: ours.cost(), floor: floor.cost(), than: "a proxy that asks nobody", unit: "µs", how: times(largeRounds, largeRequests),
	}))
	return nil
}
