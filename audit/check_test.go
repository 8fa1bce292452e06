package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/audit"
)

// heads returns the head after each record of a log, the first at 0.
func heads(t *testing.T, files []string) (all []audit.Head) {
	t.Helper()
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			all = append(all, audit.Head{Seq: int64(len(all) + 1), Hash: sha256.Sum256(bytes.TrimSuffix(line, []byte("\n")))})
		}
	}
	return all
}

func TestCheckTellsTheOpenSecond(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	last := written(t, dir)
	for _, known := range append(heads(t, chainFiles(t, dir)), audit.Head{}) {
		got, err := audit.Check(dir, audit.Trust{Head: known})
		want := audit.Report{First: 1, Last: last, Proven: known.Seq}
		if err != nil || got != want {
			t.Errorf("Check with the head of record %d = %+v, %v; want %+v", known.Seq, got, err, want)
		}
		known.Hash[3] ^= 1
		if got, err := audit.Check(dir, audit.Trust{Head: known}); err == nil {
			t.Errorf("Check with another head for record %d = %+v, want an error", known.Seq, got)
		}
	}
}

// TestCheckAfterACrashAtAnyByte cuts the log as a crash within a write would. What was acknowledged is before the head.
func TestCheckAfterACrashAtAnyByte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	written(t, dir)
	files := chainFiles(t, dir)
	name := files[len(files)-1]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	all := heads(t, files)
	inLast := bytes.Count(whole, []byte("\n"))
	known := all[len(all)-inLast] // the first record of the last file
	first := bytes.IndexByte(whole, '\n')
	for size := range len(whole) {
		if err := os.WriteFile(name, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := audit.Check(dir, audit.Trust{Head: known})
		switch {
		case size <= first && err == nil:
			t.Fatalf("cut to %d bytes, before the head: Check = %+v, want an error", size, got)
		case size <= first:
			continue
		case err != nil || got.Proven != known.Seq || got.Last.Seq != known.Seq-1+int64(bytes.Count(whole[:size], []byte("\n"))):
			t.Fatalf("cut to %d bytes, behind the head: Check = %+v, %v", size, got, err)
		case got.Torn != size-1-bytes.LastIndexByte(whole[:size], '\n'):
			t.Fatalf("cut to %d bytes: %d bytes are torn", size, got.Torn)
		}
	}
}

var prev = regexp.MustCompile(`"prev":"[0-9a-f]{64}"`)

// rechain computes the chain anew from the first file on, as who can write the folder could.
func rechain(t *testing.T, files []string) {
	t.Helper()
	var hash [sha256.Size]byte
	for _, name := range files {
		edit(t, name, func(lines [][]byte) [][]byte {
			for i, line := range lines {
				if len(line) > 0 {
					lines[i] = prev.ReplaceAll(line, []byte(`"prev":"`+hex.EncodeToString(hash[:])+`"`))
					hash = sha256.Sum256(bytes.TrimSuffix(lines[i], []byte("\n")))
				}
			}
			return lines
		})
	}
}

func TestCheckNamesTheFirstBadRecord(t *testing.T) {
	flip := func(t *testing.T, name string) {
		edit(t, name, func(l [][]byte) [][]byte {
			l[0] = bytes.Replace(l[0], []byte("eks."), []byte("sts."), 1)
			return l
		})
	}
	tests := []struct {
		name   string
		spoil  func(t *testing.T, files []string)
		errors string
	}{
		{"a flip", func(t *testing.T, files []string) { flip(t, files[0]) }, "line 2: record 1 was changed after record 2 was written"},
		{"a drop", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) })
		}, "line 2: record 3 follows record 1"},
		{"a reordering", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte {
				l[1], l[2] = l[2], l[1]
				return l
			})
		}, "line 2: record 3 follows record 1"},
		{"a cut tail", func(t *testing.T, files []string) {
			edit(t, files[len(files)-1], func(l [][]byte) [][]byte { return slices.Delete(l, len(l)-2, len(l)-1) })
		}, "records 12 to 12 of the audit log are missing"},
		{"a cut file", func(t *testing.T, files []string) { remove(t, files[len(files)-1]) }, "to 12 of the audit log are missing"},
		{"a segment and the chain after it", func(t *testing.T, files []string) {
			flip(t, files[1])
			rechain(t, files)
		}, "record 12 of the audit log is not the one"},
		{"all of it", func(t *testing.T, files []string) {
			for _, name := range files {
				remove(t, name)
			}
		}, "records 1 to 12 of the audit log are missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			head := written(t, dir)
			tt.spoil(t, chainFiles(t, dir))
			if got, err := audit.Check(dir, audit.Trust{Head: head}); err == nil || !strings.Contains(err.Error(), tt.errors) {
				t.Errorf("Check = %+v, %v; want an error with %q", got, err, tt.errors)
			}
		})
	}
}
