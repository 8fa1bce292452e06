package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	rounds = 7
	spell  = 20 * time.Millisecond // CPU time of one engine in one round
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

// run prints the CPU time of each engine, garbage collection with it: the median of rounds in which they take turns.
func run() error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	head := []string{"what"}
	for _, e := range engines {
		head = append(head, e.name)
	}
	lines := []string{strings.Join(append(head, "Lanyard to the fastest of the others"), "\t")}
	for _, groups := range []int{1, 20} {
		for _, q := range []struct {
			what, key string
			want      bool
		}{{"allowed by tags", "team-a/x/y.parquet", true}, {"denied", "secret/x", false}} {
			asks, allocations := make([]func(), len(engines)), make([]float64, len(engines))
			for i, e := range engines {
				made, err := e.compile(e.document(groups))
				if err != nil {
					return fmt.Errorf("%s: %w", e.name, err)
				}
				ask, err := made(bucketOf(groups-1), q.key)
				if err != nil {
					return fmt.Errorf("%s: %w", e.name, err)
				}
				if ask() != q.want {
					return fmt.Errorf("%s: %d statements, %s: decides otherwise than the rest", e.name, 5*groups, q.what)
				}
				asks[i], allocations[i] = func() { ask() }, testing.AllocsPerRun(100, func() { ask() })
			}
			lines = append(lines, line(fmt.Sprintf("a decision by %d statements, %s (allocations)", 5*groups, q.what), measure(asks), allocations))
		}
		var compiles []func()
		for _, e := range engines {
			document := e.document(groups)
			compiles = append(compiles, func() { _, _ = e.compile(document) }) // compiled before, without an error
		}
		lines = append(lines, line(fmt.Sprintf("compiling %d statements", 5*groups), measure(compiles), nil))
	}
	if _, err := fmt.Fprintln(t, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return t.Flush()
}

// line is a row of the table.
func line(what string, times []time.Duration, allocations []float64) string {
	columns := []string{what}
	for i, took := range times {
		text := fmt.Sprintf("%.3g µs", float64(took)/1000)
		if allocations != nil {
			text += fmt.Sprintf(" (%g)", allocations[i])
		}
		columns = append(columns, text)
	}
	return strings.Join(append(columns, fmt.Sprintf("%.3f", float64(times[0])/float64(slices.Min(times[1:])))), "\t")
}

// measure returns what each takes.
func measure(all []func()) []time.Duration {
	took := make([][]time.Duration, len(all))
	for range rounds {
		for i, do := range all {
			n := 1
			for {
				began := used()
				for range n {
					do()
				}
				if d := used() - began; d >= spell {
					took[i] = append(took[i], d/time.Duration(n))
					break
				}
				n *= 2
			}
		}
	}
	medians := make([]time.Duration, len(all))
	for i := range took {
		slices.Sort(took[i])
		medians[i] = took[i][rounds/2]
	}
	return medians
}

// used is the CPU time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no reason to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
