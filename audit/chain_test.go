package audit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/audit"
)

// written makes a log of three files and returns its head.
func written(t *testing.T, dir string) audit.Head {
	t.Helper()
	log := start(t, dir, audit.Config{FileSize: 2000})
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"} {
		commit(t, log.Log, named(name))
	}
	log.stop()
	if n := len(chainFiles(t, dir)); n < 3 {
		t.Fatalf("%d files, want at least 3", n)
	}
	return log.Head()
}

// edit rewrites the lines of one file.
func edit(t *testing.T, name string, change func(lines [][]byte) [][]byte) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Join(change(bytes.SplitAfter(text, []byte("\n"))), nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsTampering(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(t *testing.T, files []string)
		errors string // part of the message; empty: accepted
	}{
		{"untouched", func(*testing.T, []string) {}, ""},
		{"one byte", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte {
				l[1] = bytes.Replace(l[1], []byte(`"B"`), []byte(`"X"`), 1)
				return l
			})
		}, "0001.jsonl line 3: record 2 was changed"},
		{"one byte of the last line", func(t *testing.T, files []string) {
			edit(t, files[len(files)-1], func(l [][]byte) [][]byte {
				last := len(l) - 2 // an empty piece follows the last line end
				l[last] = bytes.Replace(l[last], []byte(`"L"`), []byte(`"X"`), 1)
				return l
			})
		}, "line 12 of the audit log is not the one"},
		{"a link", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte {
				l[1] = bytes.Replace(l[1], []byte(`"seq":2`), []byte(`"seq":3`), 1)
				return l
			})
		}, "line 2: record 3 follows record 1"},
		{"a link removed", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte {
				l[1] = bytes.Replace(l[1], []byte(`"chain"`), []byte(`"chaim"`), 1)
				return l
			})
		}, "line 2: it does not end in a link"},
		{"a line deleted", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) })
		}, "line 2: record 3 follows record 1"},
		{"the first line deleted", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte { return slices.Delete(l, 0, 1) })
		}, "line 1: record 2 follows record 0"},
		{"two lines exchanged", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte {
				l[0], l[1] = l[1], l[0]
				return l
			})
		}, "line 1: record 2 follows record 0"},
		{"the last line deleted", func(t *testing.T, files []string) {
			edit(t, files[len(files)-1], func(l [][]byte) [][]byte { return slices.Delete(l, len(l)-2, len(l)-1) })
		}, "line 12 of the audit log is not the one"},
		{"the last file deleted", func(t *testing.T, files []string) { remove(t, files[len(files)-1]) }, "line 12 of the audit log is not the one"},
		{"a middle file deleted", func(t *testing.T, files []string) { remove(t, files[1]) }, "stands where"},
		{"the first file deleted", func(t *testing.T, files []string) { remove(t, files[0]) }, "the files before it are missing"},
		{"a torn end", func(t *testing.T, files []string) {
			edit(t, files[len(files)-1], func(l [][]byte) [][]byte { return append(l, []byte(`{"eventVersion`)) })
		}, "is cut off in the middle"},
		{"a torn middle file", func(t *testing.T, files []string) {
			edit(t, files[0], func(l [][]byte) [][]byte { return append(l, []byte(`{"eventVersion`)) })
		}, "is cut off, but another file follows"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			head := written(t, dir)
			tt.spoil(t, chainFiles(t, dir))
			got, err := audit.Verify(dir, audit.Head{}, head)
			switch {
			case tt.errors == "" && (err != nil || got != head):
				t.Errorf("Verify = %v, %v; want %v", got, err, head)
			case tt.errors != "" && (err == nil || !strings.Contains(err.Error(), tt.errors)):
				t.Errorf("Verify = %v, %v; want an error with %q", got, err, tt.errors)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesBrokenEnd(t *testing.T) {
	dir := t.TempDir() + "/a"
	written(t, dir)
	files := chainFiles(t, dir)
	edit(t, files[len(files)-2], func(l [][]byte) [][]byte {
		l[0] = bytes.Replace(l[0], []byte("eks."), []byte("sts."), 1)
		return l
	})
	_, err := audit.Open(dir, audit.Config{Logger: quiet})
	if err == nil || !strings.Contains(err.Error(), filepath.Base(files[len(files)-2])+" line 2") {
		t.Errorf("Open of a broken chain: %v, want an error that names file and line", err)
	}
}

func TestTornTailIsCutAndRecorded(t *testing.T) {
	tests := []struct{ name, torn string }{
		{"part of a line", `{"eventVersion":"1.09","userIden`},
		{"a whole line without its end", `{"chain":{"seq":13,"prev":"00"}}`},
		{"zeros", strings.Repeat("\x00", 4096)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			head := written(t, dir)
			files := chainFiles(t, dir)
			edit(t, files[len(files)-1], func(l [][]byte) [][]byte { return append(l, []byte(tt.torn)) })

			log := start(t, dir, audit.Config{FileSize: 2000})
			commit(t, log.Log, named("after"))
			log.stop()
			if got, err := audit.Verify(dir, head); err != nil || got != log.Head() {
				t.Fatalf("Verify = %v, %v; want %v", got, err, log.Head())
			}
			events := read(t, dir)
			cut := events[len(events)-2]
			data, _ := cut.AdditionalEventData.(map[string]any)
			if cut.EventName != "CutTornLine" || data["bytes"] != float64(len(tt.torn)) {
				t.Errorf("the cut was recorded as %+v, want %d bytes", cut, len(tt.torn))
			}
		})
	}
}

func TestTornFirstLine(t *testing.T) {
	dir := t.TempDir() + "/a"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit-0000000000000000001.jsonl"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := start(t, dir, audit.Config{})
	log.stop()
	if head, err := audit.Verify(dir); err != nil || head.Seq != 1 {
		t.Errorf("Verify = %v, %v; want the record of the cut alone", head, err)
	}
}

func TestAHeadThatWasKeptElsewhereIsLookedFor(t *testing.T) {
	tests := []struct {
		name  string
		known func(head audit.Head) audit.Head
		harm  func(t *testing.T, dir string)
		miss  bool
	}{
		{name: "none", known: func(audit.Head) audit.Head { return audit.Head{} }},
		{name: "the last", known: func(h audit.Head) audit.Head { return h }},
		{name: "another line of its number", known: func(h audit.Head) audit.Head { h.Hash[0]++; return h }, miss: true},
		{name: "one that is yet to come", known: func(h audit.Head) audit.Head { h.Seq++; return h }, miss: true},
		{name: "the last, of a folder that is gone", known: func(h audit.Head) audit.Head { return h }, miss: true, harm: func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			head := written(t, dir)
			if tt.harm != nil {
				tt.harm(t, dir)
			}
			log := start(t, dir, audit.Config{Known: tt.known(head)})
			commit(t, log.Log, named("after"))
			log.stop()
			missed := false
			for _, e := range read(t, dir) {
				missed = missed || e.EventName == "MissKnownHead"
			}
			if missed != tt.miss {
				t.Errorf("recorded as missing: %v, want %v", missed, tt.miss)
			}
		})
	}
}
