package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	filePrefix = "audit-"
	fileSuffix = ".jsonl"
	linkSeq    = `,"chain":{"seq":`
	linkPrev   = `,"prev":"`
	linkEnd    = `"}}`
	// maxLink is the longest link: the fixed text, 19 digits and a hash.
	maxLink = len(linkSeq) + 19 + len(linkPrev) + 2*sha256.Size + len(linkEnd)
)

// fileName names a file after its first line, so that the names sort as the chain goes.
func fileName(seq int64) string { return fmt.Sprintf("%s%019d%s", filePrefix, seq, fileSuffix) }

// appendLink ends a line: its own number and the hash of the line before it.
func appendLink(b []byte, link Head) []byte {
	b = append(b, linkSeq...)
	b = strconv.AppendInt(b, link.Seq, 10)
	b = append(b, linkPrev...)
	b = hex.AppendEncode(b, link.Hash[:])
	return append(b, linkEnd...)
}

// parseLink reads what appendLink wrote. It looks at the line's end only: nothing that an event holds can pass for a link.
func parseLink(line []byte) (Head, bool) {
	tail := line[max(0, len(line)-maxLink):]
	i := bytes.LastIndex(tail, []byte(linkSeq))
	if i < 0 {
		return Head{}, false
	}
	seq, rest, found := bytes.Cut(tail[i+len(linkSeq):], []byte(linkPrev))
	if !found || len(rest) != 2*sha256.Size+len(linkEnd) || string(rest[2*sha256.Size:]) != linkEnd {
		return Head{}, false
	}
	var link Head
	if _, err := hex.Decode(link.Hash[:], rest[:2*sha256.Size]); err != nil {
		return Head{}, false
	}
	var err error
	link.Seq, err = strconv.ParseInt(string(seq), 10, 64)
	return link, err == nil && link.Seq > 0
}

// end is where a walk came to: the last whole line, and what may follow it.
type end struct {
	head     Head
	file     string // the last one's name
	size     int64  // bytes of whole lines in it
	line     int    // the number, in that file, of the line after the last whole one
	torn     int    // bytes after the last whole line
	tornHash [sha256.Size]byte
}

// Verify reads every file of a log that no process has open and holds each line against the chain, which must begin with
// line 1: files that were archived have to lie in the same folder. Known heads, as kept in another place, must be lines of
// it: without one, a cut-off end or a chain that was computed anew cannot be told. The error names file and line.
func Verify(dir string, known ...Head) (Head, error) {
	names, err := files(dir)
	if err != nil {
		return Head{}, err
	}
	missing := slices.DeleteFunc(slices.Clone(known), func(h Head) bool { return h == Head{} })
	if len(names) > 0 && names[0] != fileName(1) {
		return Head{}, fmt.Errorf("the audit log begins with %s: the files before it are missing", names[0])
	}
	end, err := walk(dir, names, func(h Head) {
		missing = slices.DeleteFunc(missing, func(m Head) bool { return m == h })
	})
	if err != nil {
		return Head{}, err
	}
	if end.torn > 0 {
		return Head{}, fmt.Errorf("%s line %d is cut off in the middle: opening the log removes and records it", end.file, end.line)
	}
	for _, m := range missing {
		return Head{}, fmt.Errorf("line %d of the audit log is not the one with SHA-256 %x that was noted elsewhere", m.Seq, m.Hash)
	}
	return end.head, nil
}

// Report is what Check found.
type Report struct {
	First  int64 // the number of the first record that is there; 0: the log is empty
	Last   Head  // the last whole record
	Proven int64 // the last record that the known head vouches for; what follows belongs to the open second
	Torn   int   // bytes after the last whole record
}

// Check proves that the log leads to a head that was kept elsewhere: that nothing up to it was changed, dropped or
// reordered. A process may have the log open, and be writing behind that head: what is there is held against the chain too,
// but whoever can write the folder could have made it. The error names the first record that is not as it was.
func Check(dir string, known Head) (Report, error) {
	names, err := files(dir)
	if err != nil {
		return Report{}, err
	}
	var r Report
	if len(names) > 0 && names[0] != fileName(1) {
		return r, fmt.Errorf("the audit log begins with %s: the files before it are missing", names[0])
	}
	var same bool
	end, err := walk(dir, names, func(h Head) {
		if r.First == 0 {
			r.First = h.Seq
		}
		if h.Seq == known.Seq {
			same = h.Hash == known.Hash
		}
	})
	if err != nil {
		return r, err
	}
	r.Last, r.Torn, r.Proven = end.head, end.torn, known.Seq
	switch {
	case known == Head{}:
		return r, nil
	case end.head.Seq < known.Seq:
		return r, fmt.Errorf("records %d to %d of the audit log are missing: it ends at %s line %d",
			end.head.Seq+1, known.Seq, end.file, end.line-1)
	case !same:
		return r, fmt.Errorf("record %d of the audit log is not the one with SHA-256 %x that was noted elsewhere: it was changed, or the chain up to it was computed anew",
			known.Seq, known.Hash)
	}
	return r, nil
}

func files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the audit folder: %w", err)
	}
	var names []string
	for _, entry := range entries { // sorted by name
		if strings.HasPrefix(entry.Name(), filePrefix) && strings.HasSuffix(entry.Name(), fileSuffix) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// walk follows the chain through the named files and passes each line to seen, which may be nil. Where the first file is not
// the chain's first, what its first line says of the line before is taken on trust.
func walk(dir string, names []string, seen func(Head)) (end, error) {
	var at end
	for i, name := range names {
		if at.torn > 0 {
			return end{}, fmt.Errorf("%s line %d is cut off, but another file follows", at.file, at.line)
		}
		at.file, at.size, at.line = name, 0, 1
		trust := i == 0 && name != fileName(1)
		if !trust && name != fileName(at.head.Seq+1) {
			return end{}, fmt.Errorf("the audit log is broken: %s stands where %s should", name, fileName(at.head.Seq+1))
		}
		if err := at.walkFile(filepath.Join(dir, name), trust, seen); err != nil {
			return end{}, err
		}
		if at.size == 0 && name != fileName(at.head.Seq+1) {
			return end{}, fmt.Errorf("the audit log is broken: %s is empty and the files before it are missing", name)
		}
	}
	return at, nil
}

func (at *end) walkFile(name string, trust bool, seen func(Head)) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewReaderSize(f, maxEvent+1024)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			at.torn, at.tornHash = len(line), sha256.Sum256(line)
			return nil
		case err != nil:
			return fmt.Errorf("reading %s line %d: %w", at.file, at.line, err)
		}
		at.size += int64(len(line))
		line = line[:len(line)-1]
		link, ok := parseLink(line)
		switch {
		case !ok:
			return fmt.Errorf("the audit log is broken at %s line %d: it does not end in a link", at.file, at.line)
		case trust && fileName(link.Seq) == at.file:
			at.head = Head{Seq: link.Seq - 1, Hash: link.Hash}
		case link.Seq != at.head.Seq+1:
			return fmt.Errorf("the audit log is broken at %s line %d: record %d follows record %d",
				at.file, at.line, link.Seq, at.head.Seq)
		case link.Hash != at.head.Hash:
			return fmt.Errorf("the audit log is broken at %s line %d: record %d was changed after record %d was written",
				at.file, at.line, at.head.Seq, link.Seq)
		}
		trust = false
		at.head = Head{Seq: link.Seq, Hash: sha256.Sum256(line)}
		at.line++
		if seen != nil {
			seen(at.head)
		}
	}
}
