package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpu returns what all threads of a process have used so far, the ended ones included, to the nanosecond: /proc has it in
// ticks of 10 ms, or without the threads that ended. The clock's number is that of clock_getcpuclockid(3).
func cpu(pid int) (time.Duration, error) {
	const scheduler = 2
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &used); err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// resident returns the memory of a process that is in use, in MiB.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kilobytes / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}

// places are the processors that servers run on and that their load comes from. They are one set where there is only one
// processor.
type places struct{ all, servers, load unix.CPUSet }

func findPlaces() (p places, err error) {
	if err := unix.SchedGetaffinity(0, &p.all); err != nil {
		return p, fmt.Errorf("reading the affinity: %w", err)
	}
	p.load = p.all
	for n := 0; p.servers.Count() == 0; n++ {
		if p.all.IsSet(n) {
			p.servers.Set(n)
			if p.all.Count() > 1 {
				p.load.Clear(n)
			}
		}
	}
	return p, nil
}

// onServers starts a process that runs on the servers' processor: it inherits the affinity of the thread that starts it.
func (p *places) onServers(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.SchedSetaffinity(0, &p.servers); err != nil {
		return fmt.Errorf("setting the affinity: %w", err)
	}
	started := start()
	if err := unix.SchedSetaffinity(0, &p.all); err != nil {
		return fmt.Errorf("setting the affinity: %w", err)
	}
	return started
}

// move puts all threads of this process on the load's processor, or back on all. Threads that are made later inherit it.
func (p *places) move(toLoad bool) error {
	to := &p.all
	if toLoad {
		to = &p.load
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, to); err != nil && err != unix.ESRCH { // a thread that has just ended
			return fmt.Errorf("setting the affinity: %w", err)
		}
	}
	return nil
}
