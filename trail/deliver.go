package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/audit"
)

const (
	// A batch is held in memory, packed; what packs a file takes half a megabyte besides.
	maxRecords = 50_000
	maxBytes   = 64 << 20
	maxFiles   = 100

	firstPause, longestPause = time.Second, time.Minute
	// lastCall is how long a process that ends goes on delivering.
	lastCall = 10 * time.Second
	// sameNames is how long a batch has the names with which it was first tried. An index does not look at days that are long over.
	sameNames = 12 * time.Hour
	// late is how long records may wait for delivery, beyond the interval, before the log says so.
	late = 5 * time.Minute
)

// Delivery brings a log to a sink, each record at least once. Where it is, is kept in a file in the log's folder: a process that
// was killed goes on there, and brings the batch that was under way again, under the same names.
type Delivery struct {
	Log     *audit.Log
	Dir     string // for the file with where it is: the log's folder
	Sink    Sink
	Writer  string        // whose log it is
	Region  string        // in the files' names
	Account string        // that records without an account are for: those of the log itself
	Each    time.Duration // how often there are files; a minute unless set
	Logger  *slog.Logger
	Now     func() time.Time // time.Now unless set

	position  position // Run's alone
	delivered atomic.Int64
	waiting   atomic.Int64 // since when there have always been records that wait, in Unix seconds; 0: none does
	failures  atomic.Int64
}

// position is what the file holds.
type position struct {
	File    int64    `json:"file"`
	Offset  int64    `json:"offset"`
	Seq     int64    `json:"seq"` // the last record that is delivered
	Pending *pending `json:"pending,omitempty"`
}

// pending is the batch that is under way.
type pending struct {
	Seq   int64     `json:"seq"` // its last record
	Time  time.Time `json:"time"`
	Since int64     `json:"since"` // when records began to wait, in Unix seconds; maybe batches ago
}

const positionFile = "delivery.json"

// Open reads where the delivery is. It comes before Run, and before Delivered is asked.
func (d *Delivery) Open() error {
	if d.Each <= 0 {
		d.Each = time.Minute
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	text, err := os.ReadFile(filepath.Join(d.Dir, positionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &d.position)
	}
	if err != nil {
		return fmt.Errorf("reading where the delivery of the audit log is: %w", err)
	}
	d.delivered.Store(d.position.Seq)
	if p := d.position.Pending; p != nil {
		d.waiting.Store(p.Since)
	}
	return nil
}

// Delivered returns the last record that is delivered.
func (d *Delivery) Delivered() int64 { return d.delivered.Load() }

// Describe has the metrics tell how far the delivery is.
func (d *Delivery) Describe(metrics prometheus.Registerer) {
	metrics.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lanyard_trail_undelivered_records", Help: "Audit records that are not delivered yet.",
		}, func() float64 { return float64(max(0, d.Log.Head().Seq-d.delivered.Load())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lanyard_trail_behind_seconds", Help: "How long audit records have been waiting for delivery.",
		}, func() float64 { return d.behind().Seconds() }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "lanyard_trail_failures_total", Help: "Attempts to deliver audit records that failed.",
		}, func() float64 { return float64(d.failures.Load()) }),
	)
}

func (d *Delivery) behind() time.Duration {
	since := d.waiting.Load()
	if since == 0 {
		return 0
	}
	return d.Now().Sub(time.Unix(since, 0))
}

// Run delivers until ctx ends, and then what is left, for lastCall at most and unless the sink fails. It returns nil: what cannot
// be delivered waits in the log.
func (d *Delivery) Run(ctx context.Context) error {
	pause, told := time.Duration(0), false
	for {
		select {
		case <-ctx.Done():
			if pause > 0 {
				return nil
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCall)
			defer cancel()
			if err := d.all(last); err != nil {
				d.Logger.Warn("the last audit records are not delivered yet", "to", d.Sink.String(), "error", err)
			}
			return nil
		case <-time.After(max(pause, d.Each)):
		}
		err := d.all(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			d.failures.Add(1)
			if pause == 0 {
				d.Logger.Warn("audit records cannot be delivered; trying again", "to", d.Sink.String(), "error", err)
			}
			pause = min(longestPause, max(firstPause, 2*pause))
			if behind := d.behind(); behind > late+d.Each && !told {
				told = true
				d.Logger.Error("the delivery of audit records is behind", "to", d.Sink.String(), "for", behind.Round(time.Second),
					"records", d.Log.Head().Seq-d.delivered.Load(), "error", err)
			}
		default:
			if told {
				d.Logger.Info("the delivery of audit records is up to date again", "to", d.Sink.String())
			}
			pause, told = 0, false
		}
	}
}

// all delivers batch by batch until nothing is left.
func (d *Delivery) all(ctx context.Context) error {
	for {
		more, err := d.deliver(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// deliver brings one batch.
func (d *Delivery) deliver(ctx context.Context) (more bool, err error) {
	at := d.Now().UTC()
	until, again := int64(1<<62), false
	if p := d.position.Pending; p != nil {
		until, again = p.Seq, true
		if at.Sub(p.Time) < sameNames {
			at = p.Time
		}
	}
	b := batch{account: d.Account, files: map[string]*packing{}}
	next, err := d.Log.Read(ctx, audit.Mark{File: d.position.File, Offset: d.position.Offset}, func(f audit.Found) bool {
		b.add(f)
		return b.last < until && !b.full()
	})
	if err != nil || b.records == 0 {
		if err == nil {
			d.waiting.Store(0)
		}
		return false, err
	}
	if d.waiting.Load() == 0 {
		d.waiting.Store(d.Now().Unix())
	}
	if !again {
		d.position.Pending = &pending{b.last, at, d.waiting.Load()}
		if err := d.keep(); err != nil {
			return false, err
		}
	}
	for account, file := range b.files {
		body, err := file.close()
		if err != nil {
			return false, err
		}
		if err := d.Sink.Put(ctx, fileName(account, d.Region, at, d.Writer, b.first), body); err != nil {
			return false, err
		}
	}
	d.position = position{File: next.File, Offset: next.Offset, Seq: b.last}
	if err := d.keep(); err != nil {
		return false, err
	}
	d.delivered.Store(b.last)
	if more = again || b.full(); !more {
		d.waiting.Store(0)
	}
	return more, nil
}

func (d *Delivery) keep() error {
	text, err := json.Marshal(d.position)
	if err != nil {
		return err
	}
	return Folder(d.Dir).Put(context.Background(), positionFile, text)
}

// batch is the records of some accounts.
type batch struct {
	account string // of records without one
	files   map[string]*packing
	first   [sha256.Size]byte // of the first record
	last    int64
	records int
	bytes   int
}

func (b *batch) full() bool {
	return b.records >= maxRecords || b.bytes >= maxBytes || len(b.files) >= maxFiles
}

func (b *batch) add(f audit.Found) {
	account := accountOf(f.Text)
	if account == "" {
		account = b.account
	}
	file := b.files[account]
	if file == nil {
		file = newPacking()
		b.files[account] = file
	}
	file.add(f.Text)
	if b.records == 0 {
		b.first = sha256.Sum256(f.Text)
	}
	b.last = f.Seq
	b.records++
	b.bytes += len(f.Text)
}

// packing is a log file under way. Writing into memory does not fail.
type packing struct {
	packed bytes.Buffer
	to     *gzip.Writer
	any    bool
}

func newPacking() *packing {
	p := &packing{}
	p.to, _ = gzip.NewWriterLevel(&p.packed, gzip.BestSpeed) // a level that there is
	_, _ = p.to.Write([]byte(`{"Records":[`))
	return p
}

func (p *packing) add(record []byte) {
	if p.any {
		_, _ = p.to.Write([]byte(","))
	}
	_, _ = p.to.Write(record)
	p.any = true
}

func (p *packing) close() ([]byte, error) {
	_, _ = p.to.Write([]byte("]}"))
	err := p.to.Close()
	return p.packed.Bytes(), err
}
