package audit_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/audit"
)

// found pages through a log with so many records a page.
func found(t *testing.T, dir string, q audit.Query, page int) string {
	t.Helper()
	var names strings.Builder
	var from audit.Mark
	for range 1000 {
		n := 0
		next, err := audit.Find(t.Context(), dir, q, from, func(f audit.Found) bool {
			var e audit.Event
			if err := json.Unmarshal(f.Text, &e); err != nil {
				t.Fatalf("record %d: %v", f.Seq, err)
			}
			names.WriteString(e.EventName)
			n++
			return n < page
		})
		if err != nil {
			t.Fatal(err)
		}
		if from = next; from == (audit.Mark{}) {
			return names.String()
		}
	}
	t.Fatal("the pages have no end")
	return ""
}

func TestFindGoesBackThroughEveryFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	written(t, dir)
	files := chainFiles(t, dir)
	edit(t, files[len(files)-1], func(l [][]byte) [][]byte { return append(l, []byte(`{"eventName":"torn`)) })
	for _, tt := range []struct {
		name string
		q    audit.Query
		want string
	}{
		{"all", audit.Query{}, "LKJIHGFEDCBA"},
		{"a byte at a time", audit.Query{Budget: 1}, "LKJIHGFEDCBA"},
		{"one", audit.Query{Contains: [][]byte{[]byte(`"eventName":"C"`)}}, "C"},
		{"none", audit.Query{Contains: [][]byte{[]byte(`"eventName":"X"`)}}, ""},
		{"of the last hour", audit.Query{Since: time.Now().Add(-time.Hour)}, "LKJIHGFEDCBA"},
		{"before it", audit.Query{Until: time.Now().Add(-time.Hour)}, ""},
		{"long before it", audit.Query{Until: time.Now().Add(-5 * time.Hour)}, ""},
		{"of times to come", audit.Query{Since: time.Now().Add(5 * time.Hour)}, ""},
	} {
		for _, page := range []int{1, 5, 12, 50} {
			if got := found(t, dir, tt.q, page); got != tt.want {
				t.Errorf("%s, %d a page: got %q, want %q", tt.name, page, got, tt.want)
			}
		}
	}
}

func TestFindReadsLinesLongerThanAStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log := start(t, dir, audit.Config{})
	var want string
	for i := range 40 { // 2.4 MB: lines lie across the steps
		e := named(string(rune('A' + i)))
		e.RequestParameters = map[string]any{"a": strings.Repeat("x", 30_000), "b": strings.Repeat("y", 30_000)}
		commit(t, log.Log, e)
		want = e.EventName + want
	}
	log.stop()
	if info, err := os.Stat(chainFiles(t, dir)[0]); err != nil || info.Size() < 2<<20 {
		t.Fatalf("the file is too small to try it: %v", err)
	}
	if got := found(t, dir, audit.Query{}, 7); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
