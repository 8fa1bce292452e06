// Command bench measures Lanyard beside a floor or a peer, both in one run on one machine, and prints the ratio
// (docs/ARCHITECTURE.md has the two paths that are measured).
//
// The servers are processes of their own: `lanyard` as it ships, and this program again under a hidden verb. What counts
// is the CPU time that a server's process used for each request, since other programs on the machine disturb it least;
// durations are given where the goal is one. A server has one processor and its load comes from another, as where the
// goals were measured: what it costs to wake other processors depends on what else they do. Both sides are measured in turns, and the median of the turns is printed.
// Whether a goal is met does not change the exit status: that is for people to judge. Only a run that could not measure fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A bench is one run of this program.
type bench struct {
	dir      string         // a folder that is removed at the end
	profiles string         // folder for CPU profiles; empty: none are taken
	taken    map[string]int // profiles of each verb so far
	free     bool           // servers use all processors, as they do when nobody measures them
	places   places
	program  string  // lanyard, built by this run
	echo     float64 // µs of CPU that net/http took here to write the agent's bytes; 0: not measured
	rows     []row
}

// measurements are in the order of the table. Those that ask a server share one.
var measurements = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"decision", (*bench).decision},
	{"audit", (*bench).audit},
	{"control", (*bench).control},
	{"aws", (*bench).aws},
	{"iam", (*bench).iam},
	{"agent", (*bench).agent},
	{"gateway", (*bench).gateway},
	{"webhook", (*bench).webhook},
	{"dev", (*bench).dev},
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == serveVerb {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[2], err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run() (err error) {
	profiles := flag.String("profile", "", "folder to write CPU profiles of the servers to; those of the agent and the gateway are shown")
	free := flag.Bool("free", false, "let servers use all processors; the goals are for one")
	flag.Usage = func() {
		names := make([]string, len(measurements))
		for i, m := range measurements {
			names[i] = m.name
		}
		fmt.Fprintf(os.Stderr, "usage: go run ./bench [-free] [-profile DIR] [%s]...\n", strings.Join(names, "|"))
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{profiles: *profiles, free: *free}
	if b.places, err = findPlaces(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "lanyard-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.profiles != "" {
		if err := os.MkdirAll(b.profiles, 0o700); err != nil {
			return err
		}
	}
	b.program = filepath.Join(b.dir, "lanyard")
	progress("building lanyard")
	if err := build(ctx, program, b.program); err != nil {
		return err
	}
	began := time.Now()
	for _, m := range measurements {
		if flag.NArg() > 0 && !slices.Contains(flag.Args(), m.name) {
			continue
		}
		if err := m.run(b, ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", m.name, err)
		}
	}
	return errors.Join(b.print(os.Stdout, time.Since(began)), b.hottest(ctx))
}

// hottest shows where the two paths that every pod takes, the agent's answer and the gateway's hop, spend their time.
func (b *bench) hottest(ctx context.Context) error {
	if b.profiles == "" {
		return nil
	}
	for _, verb := range []string{"agent", "gateway"} {
		if b.taken[verb] == 0 {
			continue
		}
		fmt.Printf("\nthe hottest of the %s, by what each function does itself (flat) and with what it calls (cum)\n", verb)
		show := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=15", filepath.Join(b.profiles, verb+".pprof"))
		show.Stdout = os.Stdout
		if err := show.Run(); err != nil {
			return fmt.Errorf("showing the profile of the %s: %w", verb, err)
		}
	}
	return nil
}

// progress says on stderr what takes time now, so that the table is alone on stdout.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
