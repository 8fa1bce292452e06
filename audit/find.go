package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

const (
	// findStep is how much of a file is read at a time.
	findStep = 1 << 20
	// findSlack is how far apart the times of neighbours in the log may be: an event has the time at which its request came.
	findSlack = time.Hour
)

// Query says which records to look for.
type Query struct {
	Contains     [][]byte  // texts that the line has, as it is written
	Since, Until time.Time // the event's time, both included; zero: open
	Budget       int64     // bytes to look through at most, about; 0: all
}

// Mark is a place in the log: before it are the records that were not looked at. The zero value is the log's end.
type Mark struct {
	File   int64 // the number of the file's first record
	Offset int64
}

// Found is a record.
type Found struct {
	Seq  int64
	Time time.Time
	Text []byte // the record as JSON, without its link; valid until visit returns
	Next Mark   // where Read goes on behind it; Find leaves it out
}

// Find looks through a log's files, newest record first, from a mark on, and passes on what fits the query until visit returns
// false or the budget is spent. It needs no index, which could be behind: files are left out by the times at their ends, and lines
// by their text. It returns where to go on; the zero mark when there is no more. A process may have the log open.
func Find(ctx context.Context, dir string, q Query, from Mark, visit func(Found) bool) (Mark, error) {
	return find(ctx, dir, q, from, 1<<62, visit)
}

// Find is the function Find for the records that are durable.
func (l *Log) Find(ctx context.Context, q Query, from Mark, visit func(Found) bool) (Mark, error) {
	return find(ctx, l.dir, q, from, l.Head().Seq, visit)
}

func find(ctx context.Context, dir string, q Query, from Mark, last int64, visit func(Found) bool) (Mark, error) {
	names, err := files(dir)
	if err != nil {
		return Mark{}, err
	}
	slices.Reverse(names)
	spent := int64(0)
	for _, name := range names {
		at := Mark{File: firstOf(name)}
		if at.File == 0 {
			return Mark{}, fmt.Errorf("the audit log has a file %q without a number", name)
		}
		if from.File != 0 && at.File > from.File {
			continue
		}
		end := int64(-1)
		if at.File == from.File {
			end = from.Offset
		}
		stopped := false
		at.Offset, err = findIn(dir, name, end, q, func(line []byte) bool {
			spent += int64(len(line))
			if q.fits(line) {
				if found, ok := parseFound(line); ok && found.Seq <= last && q.within(found.Time) {
					stopped = !visit(found)
				}
			}
			stopped = stopped || q.Budget > 0 && spent >= q.Budget || ctx.Err() != nil
			return !stopped
		})
		if err != nil {
			return Mark{}, err
		}
		if stopped && (at.Offset > 0 || name != names[len(names)-1]) {
			return at, ctx.Err()
		}
	}
	return Mark{}, ctx.Err()
}

func (q Query) fits(line []byte) bool {
	for _, text := range q.Contains {
		if !bytes.Contains(line, text) {
			return false
		}
	}
	return true
}

func (q Query) within(t time.Time) bool {
	return (q.Since.IsZero() || !t.Before(q.Since)) && (q.Until.IsZero() || !t.After(q.Until))
}

// parseFound reads what each line has. No text within an event can hold a quoted name, so the first is the event's.
func parseFound(line []byte) (Found, bool) {
	link, ok := parseLink(line)
	if !ok {
		return Found{}, false
	}
	_, rest, ok := bytes.Cut(line, []byte(`"eventTime":"`))
	stamp, _, end := bytes.Cut(rest, []byte(`"`))
	t, err := time.Parse(time.RFC3339, string(stamp))
	i := bytes.LastIndex(line, []byte(linkSeq))
	return Found{Seq: link.Seq, Time: t, Text: append(line[:i:i], '}')}, ok && end && err == nil
}

// findIn passes on a file's lines before end, the last first, and returns where the last one it passed begins; 0 when there
// are no more. An end of -1 is the file's.
func findIn(dir, name string, end int64, q Query, visit func(line []byte) bool) (at int64, err error) {
	segment, err := openSegment(dir, name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, segment.Close()) }()
	f, size, err := atAnyPlace(segment)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", name, err)
	}
	if end < 0 || end > size {
		end = size
	}
	if past, err := q.passesOver(f, end); past || err != nil {
		return 0, err
	}
	return backwards(f, end, visit)
}

// atAnyPlace is a segment that can be read from its end. One that is packed is unpacked into memory.
func atAnyPlace(segment io.Reader) (f io.ReaderAt, size int64, err error) {
	if plain, ok := segment.(*os.File); ok {
		info, err := plain.Stat()
		if err != nil {
			return nil, 0, err
		}
		return plain, info.Size(), nil
	}
	text, err := io.ReadAll(segment)
	return bytes.NewReader(text), int64(len(text)), err
}

// passesOver reports whether all of a file is too old or too new.
func (q Query) passesOver(f io.ReaderAt, end int64) (bool, error) {
	if q.Since.IsZero() && q.Until.IsZero() {
		return false, nil
	}
	var newest time.Time
	if _, err := backwards(f, end, func(line []byte) bool {
		found, ok := parseFound(line)
		newest = found.Time
		return !ok
	}); err != nil {
		return false, err
	}
	if !newest.IsZero() && !q.Since.IsZero() && newest.Before(q.Since.Add(-findSlack)) {
		return true, nil
	}
	if q.Until.IsZero() {
		return false, nil
	}
	text := make([]byte, min(end, maxLine))
	if _, err := f.ReadAt(text, 0); err != nil {
		return false, fmt.Errorf("reading the audit log: %w", err)
	}
	line, _, whole := bytes.Cut(text, []byte("\n"))
	first, ok := parseFound(line)
	return whole && ok && first.Time.After(q.Until.Add(findSlack)), nil
}

// backwards passes on the whole lines before end, the last first, until visit returns false, and returns where the last one
// begins.
func backwards(f io.ReaderAt, end int64, visit func(line []byte) bool) (int64, error) {
	var rest []byte // the end of a line whose beginning is not read yet
	for end > 0 {
		n := min(end, findStep)
		text := make([]byte, n, n+int64(len(rest)))
		if _, err := f.ReadAt(text, end-n); err != nil {
			return 0, fmt.Errorf("reading the audit log: %w", err)
		}
		if rest == nil { // the first step: what follows the last line end is not whole
			text = text[:bytes.LastIndexByte(text, '\n')+1]
		}
		text = append(text, rest...)
		end -= n
		for len(text) > 0 {
			i := bytes.LastIndexByte(text[:len(text)-1], '\n')
			if i < 0 && end > 0 {
				break
			}
			if !visit(text[i+1 : len(text)-1]) {
				return end + int64(i+1), nil
			}
			text = text[:i+1]
		}
		rest = append([]byte{}, text...)
	}
	return 0, nil
}
