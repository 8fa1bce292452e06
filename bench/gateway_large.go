package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"

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
		body                       []byte
		goal                       float64
	}{
		{"gateway: 1 MiB down, CPU", http.MethodGet, strconv.Itoa(largeObject), emptyHash, nil, 1.1},
		{"gateway: 1 MiB up, its hash not declared, CPU", http.MethodPut, "2", sigv4.UnsignedPayload, make([]byte, largeObject), 1.1},
	} {
		progress("%s: %d rounds of %d requests", m.what, largeRounds, largeRequests)
		if err := b.largeObject(ctx, m.what, m.method, m.answer, m.hash, m.body, m.goal); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) largeObject(ctx context.Context, what, method, answer, hash string, body []byte, goal float64) (err error) {
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
		if few[i], err = asking.signed(ctx, method, fmt.Sprintf("/pay/in/%d", i), hash, body); err != nil {
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
