package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	what  string
	ours  float64
	floor float64 // 0: there is none to measure here
	than  string  // what the floor is
	unit  string
	goal  string // as people read it
	met   bool
	how   string // rounds and requests, or starts
}

// goalsEcho is what one echo took on the quiet machine where the goals were set, in µs.
const goalsEcho = 14.0

// atMost is a row whose goal is a bound in the row's unit.
func atMost(bound float64, r row) row {
	r.goal, r.met = fmt.Sprintf("<= %g %s", bound, r.unit), r.ours <= bound
	return r
}

// atLeast is a row whose goal is a bound in the row's unit that is to be reached.
func atLeast(bound float64, r row) row {
	r.goal, r.met = fmt.Sprintf(">= %g %s", bound, r.unit), r.ours >= bound
	return r
}

// atMostTimes is a row whose goal is a bound of the ratio.
func atMostTimes(bound float64, r row) row {
	r.goal, r.met = fmt.Sprintf("<= %g x", bound), r.ours <= bound*r.floor
	return r
}

func (b *bench) print(w io.Writer, took time.Duration) error {
	var text strings.Builder
	text.WriteString("what\tLanyard\tfloor or peer\tratio\tgoal\tmet?\tmeasured\tthe floor is\n")
	for _, r := range b.rows {
		floor, ratio, met := "-", "-", "no"
		if r.floor > 0 {
			floor, ratio = figure(r.floor)+" "+r.unit, fmt.Sprintf("%.2f", r.ours/r.floor)
		}
		if r.met {
			met = "yes"
		}
		fmt.Fprintf(&text, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.what, figure(r.ours), r.unit, floor, ratio, r.goal, met, r.how, r.than)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(t, text.String()); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	where := "each server on one processor, its load on another"
	if b.free {
		where = "servers on all processors"
	}
	if b.echo > 0 {
		where += fmt.Sprintf("\nnet/http's echo took %s µs, and %g µs where the goals were measured: CPU figures may be %.1f times as high here",
			figure(b.echo), goalsEcho, b.echo/goalsEcho)
	}
	_, err := fmt.Fprintf(w, "\nmedians of the rounds; CPU is of the server's process alone; %s\n%s; %s/%s, %d processors, %s\n",
		where, took.Round(time.Second), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	return err
}

// figure rounds to three digits that mean something.
func figure(f float64) string {
	switch {
	case math.Abs(f) >= 100:
		return fmt.Sprintf("%.0f", f)
	case math.Abs(f) >= 10:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.2f", f)
	}
}

// quantile returns the value that the part q of all values is not above. It sorts them.
func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// micros and millis are durations in the table's units.
func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
