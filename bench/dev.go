package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const devStarts = 3

// dev measures the time from starting the program until it says that it is ready: on an empty folder, and again.
func (b *bench) dev(ctx context.Context) error {
	progress("lanyard dev: %d first starts and %d second ones", devStarts, devStarts)
	var first, second []float64
	for i := range devStarts {
		dir := filepath.Join(b.dir, fmt.Sprintf("dev-%d", i))
		for _, took := range []*[]float64{&first, &second} {
			d, err := b.startDev(ctx, dir)
			if err != nil {
				return err
			}
			*took = append(*took, d.Seconds())
		}
	}
	how := fmt.Sprintf("%d starts", devStarts)
	b.rows = append(b.rows,
		atMost(2, row{what: "lanyard dev: ready, first start", ours: median(first), unit: "s", how: how}),
		atMost(2, row{what: "lanyard dev: ready, second start", ours: median(second), unit: "s", how: how}))
	return nil
}

// startDev starts it without the walk-through, as only that comes after it is ready, and stops it.
func (b *bench) startDev(ctx context.Context, dir string) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.program, "dev", "--empty", "--dir", dir, "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0")
	interruptOnCancel(cmd)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	took = time.Since(began)
	if err != nil || !strings.Contains(line, "ready") {
		cancel()
		return 0, errors.Join(fmt.Errorf("lanyard dev did not start: %q", line), err, cmd.Wait(), errors.New(said.String()))
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		return 0, err
	}
	return took, cmd.Wait()
}
