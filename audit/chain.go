package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
)

const (
	linkSeq  = `,"chain":{"seq":`
	linkPrev = `,"prev":"`
	linkEnd  = `"}}`
	// maxLink is the longest link: the fixed text, 19 digits and a hash.
	maxLink = len(linkSeq) + 19 + len(linkPrev) + 2*sha256.Size + len(linkEnd)
	// maxLine is more than a line can have.
	maxLine = maxEvent + 1024
)

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

// Report is what Check found.
type Report struct {
	First  int64 // the number of the first record that is there; 0: the log is empty
	Last   Head  // the last whole record
	Proven int64 // the last record that the known head vouches for; what follows belongs to the open second
	Signed int64 // the last record that a digest vouches for
	Torn   int   // bytes after the last whole record
}

// Verify is Check for a log that no process has open, without digests: it must begin with line 1, and its last line be whole.
// Every known head must be a line of it.
func Verify(dir string, known ...Head) (Head, error) {
	missing := slices.DeleteFunc(slices.Clone(known), func(h Head) bool { return h == Head{} })
	names, err := files(dir)
	if err != nil {
		return Head{}, err
	}
	if err := complete(names, 1); err != nil {
		return Head{}, err
	}
	end, err := walk(dir, names, nil, func(h Head) {
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

// Check proves that the log leads to a head that was kept elsewhere: that nothing up to it was changed, dropped or
// reordered; and that its closed segments are those that its digests vouch for. It begins with line 1, or where the last digest
// says that retention has left it. A process may have the log open, and be writing behind that head: what is there is held
// against the chain too, but whoever can write the folder could have made it. The error names the first record that is not as
// it was.
func Check(dir string, trust Trust) (Report, error) {
	for again := 3; ; again-- {
		var r Report
		digests, err := readDigests(dir)
		if err == nil {
			r, err = check(dir, digests, trust)
		}
		if err == nil || again == 0 || !errors.Is(err, fs.ErrNotExist) && !sealedSince(dir, digests) {
			return r, err
		}
	}
}

// sealedSince reports whether there is a newer digest: a process that seals a segment may also remove others, which were missed.
func sealedSince(dir string, digests []sealed) bool {
	now, err := readDigests(dir)
	if err != nil || len(now) == 0 {
		return false
	}
	return len(digests) == 0 || now[len(now)-1].name != digests[len(digests)-1].name
}

func check(dir string, digests []sealed, trust Trust) (Report, error) {
	names, err := files(dir) // after the digests, so that what has one is there
	if err != nil {
		return Report{}, err
	}
	r, known, oldest := Report{}, trust.Head, int64(1)
	if len(digests) > 0 {
		last := &digests[len(digests)-1]
		oldest, r.Signed = last.Oldest, last.Last
		if err := complete(names, oldest); err != nil {
			return r, err
		}
	} else if err := complete(names, 1); err != nil {
		return r, err
	}
	var same bool
	end, err := walk(dir, names, digests, func(h Head) {
		if r.First == 0 {
			r.First = h.Seq
		}
		if h.Seq == known.Seq {
			same = h.Hash == known.Hash
		}
	})
	if err == nil {
		err = checkDigests(digests, trust)
	}
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
	case known.Seq < r.First:
		return r, fmt.Errorf("the audit log begins with record %d, behind the head of record %d that was noted elsewhere: a newer head is needed", r.First, known.Seq)
	case !same:
		return r, fmt.Errorf("record %d of the audit log is not the one with SHA-256 %x that was noted elsewhere: it was changed, or the chain up to it was computed anew",
			known.Seq, known.Hash)
	}
	return r, nil
}

// complete refuses segments that begin after the record that they should begin with.
func complete(names []string, oldest int64) error {
	if len(names) > 0 && firstOf(names[0]) > oldest {
		return fmt.Errorf("the audit log begins with %s: the files before it are missing, from record %d on", names[0], oldest)
	}
	if len(names) == 0 && oldest > 1 {
		return fmt.Errorf("the audit log is missing, from record %d on", oldest)
	}
	return nil
}

// walk follows the chain through the named files and passes each line to seen, which may be nil. A file with a digest is
// held against it. Where the first file is not the chain's first, what its first line says of the line before is taken on trust.
func walk(dir string, names []string, digests []sealed, seen func(Head)) (end, error) {
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
		var digest *digest
		for i := range digests {
			if digests[i].Segment == name {
				digest = &digests[i].digest
			}
		}
		if err := at.walkFile(dir, trust, digest, seen); err != nil {
			return end{}, err
		}
		if at.size == 0 && name != fileName(at.head.Seq+1) {
			return end{}, fmt.Errorf("the audit log is broken: %s is empty and the files before it are missing", name)
		}
	}
	return at, nil
}

func (at *end) walkFile(dir string, trust bool, digest *digest, seen func(Head)) (err error) {
	f, err := openSegment(dir, at.file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var from io.Reader = f
	sum := sha256.New()
	if digest != nil {
		from = io.TeeReader(f, sum)
	}
	if err := at.walkLines(bufio.NewReaderSize(from, maxLine), trust, seen); err != nil || digest == nil {
		return err
	}
	return digest.holds(sum.Sum(nil), at.size+int64(at.torn), at.head)
}

func (at *end) walkLines(lines *bufio.Reader, trust bool, seen func(Head)) error {
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			at.torn, at.tornHash = len(line), sha256.Sum256(line)
			return nil
		case err != nil:
			return fmt.Errorf("reading %s line %d, of record %d: %w", at.file, at.line, at.head.Seq+1, err)
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
