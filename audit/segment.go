package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	filePrefix = "audit-"
	fileSuffix = ".jsonl"
	packed     = ".gz" // after fileSuffix, once a segment is closed and sealed
)

// fileName names a segment after its first line, so that the names sort as the chain goes.
func fileName(seq int64) string { return fmt.Sprintf("%s%019d%s", filePrefix, seq, fileSuffix) }

// firstOf returns the number in a segment's name, or 0.
func firstOf(name string) int64 {
	digits := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(name, packed), filePrefix), fileSuffix)
	seq, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || fileName(seq) != strings.TrimSuffix(name, packed) {
		return 0
	}
	return seq
}

// files lists the segments in the chain's order, by the names that they have without packing: one that is being packed is there
// twice for a moment.
func files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the audit folder: %w", err)
	}
	var names []string
	for _, entry := range entries { // sorted by name
		name := entry.Name()
		plain := strings.TrimSuffix(name, packed)
		if !strings.HasPrefix(name, filePrefix) || !strings.HasSuffix(plain, fileSuffix) {
			continue
		}
		if len(names) == 0 || names[len(names)-1] != plain {
			names = append(names, plain)
		}
	}
	return names, nil
}

// pathOf is where a segment lies now.
func pathOf(dir, name string) string {
	plain := filepath.Join(dir, name)
	if _, err := os.Stat(plain); err != nil {
		return plain + packed
	}
	return plain
}

// openSegment reads a segment as it was written, packed or not.
func openSegment(dir, name string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	f, err = os.Open(filepath.Join(dir, name+packed))
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	unpacked, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", name+packed, err), f.Close())
	}
	return &unpacking{unpacked, f}, nil
}

type unpacking struct {
	*gzip.Reader
	file *os.File
}

func (u *unpacking) Close() error { return errors.Join(u.Reader.Close(), u.file.Close()) }

// pack puts a packed copy of a segment in its place. A crash leaves the segment, its copy, or both.
func pack(ctx context.Context, dir, name string) error {
	from, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is packed already
	}
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was read only
	err = replace(filepath.Join(dir, name+packed), func(w io.Writer) error {
		to, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // a third of the processor time of the default, for a quarter more bytes
		if err != nil {
			return err
		}
		if _, err := io.Copy(to, &gentle{ctx: ctx, from: from}); err != nil {
			return err
		}
		return to.Close()
	})
	if err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	return os.Remove(filepath.Join(dir, name))
}

// gentle is a reader for what is done beside decisions: it ends when its context does, and after each piece has its user rest three
// times as long as the work on that took, for pods may wait for the same processor.
type gentle struct {
	ctx   context.Context
	from  io.Reader
	piece int // bytes of it that were read
	began time.Time
}

const (
	gentlePiece = 1 << 20
	gentleRest  = 3
)

func (g *gentle) Read(p []byte) (int, error) {
	if g.piece >= gentlePiece {
		select {
		case <-g.ctx.Done():
		case <-time.After(gentleRest * time.Since(g.began)):
		}
		g.piece = 0
	}
	if g.piece == 0 {
		g.began = time.Now()
	}
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := g.from.Read(p)
	g.piece += n
	return n, err
}

// unfinished ends the name of a file that is not there yet.
const unfinished = ".new"

// replace writes a file that is either there whole and durable or not at all.
func replace(name string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(name+unfinished, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(name+unfinished))
		}
	}()
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+unfinished, name); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(name))
}

// Read passes on a log's records in the order in which they were written, from a mark on, until visit returns false; the zero mark
// is the beginning. It returns where to go on. Where retention has removed the mark's file, it goes on with the next one. A
// process may have the log open.
func Read(ctx context.Context, dir string, from Mark, visit func(Found) bool) (Mark, error) {
	return read(ctx, dir, from, 1<<62, visit)
}

// Read is the function Read for the records that are durable.
func (l *Log) Read(ctx context.Context, from Mark, visit func(Found) bool) (Mark, error) {
	return read(ctx, l.dir, from, l.Head().Seq, visit)
}

func read(ctx context.Context, dir string, from Mark, last int64, visit func(Found) bool) (Mark, error) {
	names, err := files(dir)
	if err != nil {
		return from, err
	}
	if len(names) > 0 && firstOf(names[len(names)-1]) < from.File {
		from = Mark{} // of a log that was replaced
	}
	for _, name := range names {
		first := firstOf(name)
		switch {
		case first < from.File:
			continue
		case first > last:
			return from, nil
		case first > from.File:
			from = Mark{File: first}
		}
		more, err := readIn(ctx, dir, name, &from, last, visit)
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention was faster
		}
		if err != nil || !more {
			return from, err
		}
	}
	return from, nil
}

// readIn moves the mark over each line that it passed on.
func readIn(ctx context.Context, dir, name string, at *Mark, last int64, visit func(Found) bool) (more bool, err error) {
	f, err := openSegment(dir, name)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // it was read only
	if plain, ok := f.(*os.File); ok {
		if info, failed := plain.Stat(); failed == nil && info.Size() < at.Offset {
			at.Offset = 0 // of a log that was replaced
		}
		_, err = plain.Seek(at.Offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, at.Offset)
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	lines := bufio.NewReaderSize(f, maxLine)
	for ctx.Err() == nil {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return true, nil // what is not whole yet is read next time
		}
		if err != nil {
			return false, fmt.Errorf("reading %s: %w", name, err)
		}
		size := int64(len(line))
		found, ok := parseFound(line[:size-1])
		if ok && found.Seq > last {
			return false, nil
		}
		at.Offset += size
		found.Next = *at
		if ok && !visit(found) {
			return false, nil
		}
	}
	return false, ctx.Err()
}
