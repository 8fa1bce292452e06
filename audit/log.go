// Package audit keeps the record of every decision, in CloudTrail's event format, as JSON Lines that are chained by hash.
//
// The record's contents are described at
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html. A decision
// reserves its place first, so that a full log refuses it before anything is decided, and its answer leaves only after
// Commit. Each line ends in
//
//	"chain":{"seq":N,"prev":"SHA-256 of the line before, in hexadecimal"}
//
// across all files, the segments; one is named after its first line's number. A segment that is closed gets a signed digest, and
// is packed. Whoever can write the folder can also compute a new chain: what proves the past is what is kept elsewhere, the
// newest Head and the key of the digests.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// Config is how a log is kept. The zero value is usable.
type Config struct {
	Capacity int              // decisions that may be under way at once; 4096 unless set
	FileSize int64            // bytes after which a new file is begun, as after each hour; 64 MiB unless set
	Now      func() time.Time // time.Now unless set
	Logger   *slog.Logger     // slog.Default() unless set
	Known    Head             // a head that was kept elsewhere, to which the log must lead; zero: none

	// Sign signs the digest of a closed segment under a key that is kept elsewhere. nil: closed segments have no digests, and
	// are not packed.
	Sign      func(ctx context.Context, digest []byte) (signature []byte, err error)
	Writer    string        // whose log it is, for its digests
	Keep      time.Duration // how long segments stay after they were sealed; 0: for good
	Delivered func() int64  // the last record that is kept elsewhere too, and may go; nil: all
}

// Head is the last durable line of a chain: its number, from 1, and its SHA-256. The zero value is an empty chain's.
type Head struct {
	Seq  int64
	Hash [sha256.Size]byte
}

// Log is one writer's chain of files in one folder. Its methods may be called at once from any goroutine.
type Log struct {
	dir        string
	config     Config
	lock       *os.File
	places     atomic.Int64 // reserved and not yet given back
	full       atomic.Bool  // the last write failed: nothing is to be decided that may not be recorded
	head       atomic.Pointer[Head]
	syncs      atomic.Int64
	turnedAway atomic.Int64 // decisions for which there was no place
	refused    refusals
	strange    *stream

	mu      sync.Mutex
	queue   []*Place
	stopped bool
	wake    chan struct{}
	closed  chan struct{} // a segment was closed

	// These belong to the writer: to Open, then to Run, then to Close.
	file  *os.File
	size  int64 // bytes of whole lines in file
	hour  int64 // in which file was last written
	last  Head  // the last line written, durable or not
	torn  bool  // bytes after size may be in file
	batch []byte
	taken []*Place
	// broken is a failed fsync. It is never tried again: the kernel reports lost pages once, and the next call would
	// succeed without them.
	broken error
}

// Open takes the folder, makes it when it is missing, and checks the end of the chain: the last two files are read whole. A
// last line that is cut off in the middle, as kill -9 or a power cut leaves it, was acknowledged to nobody: it is removed,
// and the removal is recorded. So is it recorded when the known head is not on the chain: records are missing then, or the
// chain was computed anew. A chain that is broken anywhere else is refused with the file and line in the error, and so
// are a folder or file that others may read and a folder that another process has open.
func Open(dir string, config Config) (*Log, error) {
	if config.Capacity <= 0 {
		config.Capacity = 4096
	}
	if config.FileSize <= 0 {
		config.FileSize = 64 << 20
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the audit folder: %w", err)
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	l := &Log{dir: dir, config: config, wake: make(chan struct{}, 1), closed: make(chan struct{}, 1)}
	l.refused.window = time.Minute
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.closeFiles())
	}
	return l, nil
}

func (l *Log) open() error {
	var err error
	if l.lock, err = os.OpenFile(filepath.Join(l.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("opening the audit lock: %w", err)
	}
	// Two writers would fork the chain.
	if err := syscall.Flock(int(l.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fault.New(fault.InUse, "the audit folder %q is open in another process", l.dir)
	}
	if err := sweep(l.dir); err != nil {
		return fmt.Errorf("removing what a crash left in the audit folder: %w", err)
	}
	names, err := files(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := private(pathOf(l.dir, name)); err != nil {
			return err
		}
	}
	first, found := int64(0), l.config.Known == Head{}
	end, err := walk(l.dir, names[max(0, len(names)-2):], nil, func(h Head) {
		if first == 0 {
			first = h.Seq
		}
		found = found || h == l.config.Known
	})
	if err != nil {
		return err
	}
	found = found || l.config.Known.Seq < first // in a file before those that were read
	l.last, l.size = end.head, end.size
	l.head.Store(&end.head)
	if len(names) > 0 {
		name := filepath.Join(l.dir, names[len(names)-1])
		if l.file, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0); err != nil {
			return fmt.Errorf("opening the audit log: %w", err)
		}
		info, err := l.file.Stat()
		if err != nil {
			return err
		}
		l.hour = hour(info.ModTime())
	}
	if end.torn > 0 {
		if err := l.cutTail(end); err != nil {
			return err
		}
	}
	if !found {
		if err := l.missHead(); err != nil {
			return err
		}
	}
	l.strange, err = openStream(l.dir, l.config)
	return err
}

// cutTail removes the torn line and records that it did.
func (l *Log) cutTail(end end) error {
	l.config.Logger.Warn("the audit log ended in the middle of a line, which is cut off",
		"file", end.file, "line", end.line, "bytes", end.torn)
	l.torn = true
	return l.recordOwn("CutTornLine", map[string]any{
		"file": end.file, "line": end.line, "bytes": end.torn, "sha256": hex.EncodeToString(end.tornHash[:]),
	})
}

// missHead records that the log does not lead to the head that was kept elsewhere.
func (l *Log) missHead() error {
	known := l.config.Known
	l.config.Logger.Error("the audit log does not have the record that was noted elsewhere: records are missing or were changed",
		"record", known.Seq, "last", l.last.Seq)
	return l.recordOwn("MissKnownHead", map[string]any{
		"record": known.Seq, "sha256": hex.EncodeToString(known.Hash[:]), "last": l.last.Seq,
	})
}

// recordOwn writes a record about the log itself, before anything else is written.
func (l *Log) recordOwn(name string, details map[string]any) error {
	place := &Place{log: l}
	place.Record(&Event{
		EventSource: "audit.lanyard.dev", EventName: name, EventType: "AwsServiceEvent", ManagementEvent: true,
		UserIdentity:        UserIdentity{Type: "AWSService", InvokedBy: "audit.lanyard.dev"},
		AdditionalEventData: details,
	})
	if place.err != nil {
		return place.err
	}
	if err := l.append([]*Place{place}); err != nil {
		return fmt.Errorf("recording %s in the audit log: %w", name, err)
	}
	return l.sync()
}

// Head returns the last durable line. Two heads are compared with ==; one that is kept elsewhere lets Verify find a log
// whose end was cut off or rewritten.
func (l *Log) Head() Head { return *l.head.Load() }

// Run is the writer: nothing is committed but by it. It returns nil once ctx ends and what was queued is written. It returns
// an error after a failed fsync, for then the kernel may have dropped lines that later calls would report as safe: the
// process must stop, and Open looks at what is really there.
func (l *Log) Run(ctx context.Context) error {
	var aside sync.WaitGroup
	asideCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	aside.Go(func() { l.strange.run(asideCtx) })
	if l.config.Sign != nil {
		aside.Go(func() { l.sealing(asideCtx) })
	}
	defer aside.Wait()
	defer stop()

	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			l.refuseQueueing()
			l.enqueueCounts(l.refused.all())
			return l.flush(true)
		case <-l.wake:
			l.gather()
			err = l.flush(false)
		case <-second.C:
			l.resume()
			l.closeHour()
			l.enqueueCounts(l.refused.over(l.config.Now()))
			err = l.flush(true)
		}
		if err != nil {
			l.refuseAll(err)
			return err
		}
	}
}

// resume tries, after a failed write, whether there is room again, by a record that says how it was.
func (l *Log) resume() {
	if !l.full.Load() || l.broken != nil {
		return
	}
	if err := l.recordOwn("Resume", map[string]any{"last": l.last.Seq}); err != nil {
		l.config.Logger.Warn("the audit log still cannot be written", "error", err)
	}
}

// Close gives the folder back. Call it after Run has returned.
func (l *Log) Close() error {
	l.refuseAll(errors.New("the log is closed"))
	return l.closeFiles()
}

func (l *Log) refuseAll(reason error) {
	l.refuseQueueing()
	for _, p := range l.take() {
		p.finish(unavailable(reason))
	}
}

func (l *Log) closeFiles() error {
	var errs []error
	if l.strange != nil {
		errs = append(errs, l.strange.file.Close())
	}
	for _, f := range []*os.File{l.file, l.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func (l *Log) refuseQueueing() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
}

// enqueue hands a place to the writer; it does not wait.
func (l *Log) enqueue(p *Place) error {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return unavailable(errors.New("the log is closed"))
	}
	l.queue = append(l.queue, p)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // the writer has been called already and will see this place too
	}
	return nil
}

// enqueueCounts adds records that nobody waits for. Their number is bounded by the table they come from.
func (l *Log) enqueueCounts(counts []*refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range counts {
		p := &Place{log: l, done: make(chan error, 1)}
		p.Record(r.event())
		l.queue = append(l.queue, p)
	}
}

// gather lets those who are about to commit do so first, as long as there are any: the first of a burst wakes the writer
// while the others are still on their way, and each sync that they share is one that they do not wait for in turn.
func (l *Log) gather() {
	for before := -1; ; {
		l.mu.Lock()
		queued := len(l.queue)
		l.mu.Unlock()
		if queued == before {
			return
		}
		before = queued
		runtime.Gosched()
	}
}

func (l *Log) take() []*Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.taken)
	l.taken, l.queue = l.queue, l.taken[:0]
	return l.taken
}

// flush writes what is queued. The fsync is shared by all who wait for one; those who do not are answered before it. A
// failed write answers those who wait for it and is not returned: the disk may have room again next time.
func (l *Log) flush(force bool) error {
	places := l.take()
	if len(places) > 0 {
		if err := l.append(places); err != nil {
			l.config.Logger.Error("writing the audit log", "error", err, "records", len(places))
			for _, p := range places {
				p.finish(unavailable(err))
			}
			places = places[:0]
		}
	}
	for _, p := range places {
		if p.durable {
			force = true
		} else {
			p.finish(nil)
		}
	}
	err := l.broken
	if force && err == nil {
		err = l.sync()
	}
	for _, p := range places {
		if p.durable && err != nil {
			p.finish(unavailable(err))
		} else if p.durable {
			p.finish(nil)
		}
	}
	return err
}

// append writes the places' lines in one call, or none of them.
func (l *Log) append(places []*Place) (err error) {
	defer func() { l.full.Store(err != nil) }()
	if l.broken != nil {
		return l.broken
	}
	if l.torn {
		if err := l.file.Truncate(l.size); err != nil {
			return err
		}
		l.torn = false
	}
	now := hour(l.config.Now())
	if l.file == nil || l.size >= l.config.FileSize || l.size > 0 && now != l.hour {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	last := l.last
	l.batch = l.batch[:0]
	for _, p := range places {
		start := 0
		for _, end := range p.ends {
			at := len(l.batch)
			l.batch = append(l.batch, p.lines[start:end]...)
			l.batch = appendLink(l.batch, Head{Seq: last.Seq + 1, Hash: last.Hash})
			last = Head{Seq: last.Seq + 1, Hash: sha256.Sum256(l.batch[at:])}
			l.batch = append(l.batch, '\n')
			start = end
		}
	}
	n, err := l.file.Write(l.batch)
	if err != nil {
		l.torn = n > 0
		return err
	}
	l.size += int64(n)
	l.hour = now
	l.last = last
	return nil
}

// sync makes what is written durable and moves the head.
func (l *Log) sync() error {
	if l.broken != nil || l.last == *l.head.Load() {
		return l.broken
	}
	if err := l.file.Sync(); err != nil {
		l.broken = fmt.Errorf("syncing the audit log: %w", err)
		return l.broken
	}
	l.syncs.Add(1)
	head := l.last
	l.head.Store(&head)
	return nil
}

// private refuses what others than the owner may read or write.
func private(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	allowed := fs.FileMode(0o600)
	if info.IsDir() {
		allowed = 0o700
	}
	if !info.IsDir() && !info.Mode().IsRegular() || info.Mode().Perm()&^allowed != 0 {
		return fault.New(fault.Invalid, "%q has mode %v: a folder of mode 0700 with files of mode 0600 is accepted", name, info.Mode())
	}
	return nil
}

func unavailable(cause error) error {
	return fault.Hide(fault.Unavailable, cause, "the audit log cannot take the record just now")
}
