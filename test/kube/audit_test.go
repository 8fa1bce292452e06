package kube

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// record is what the tests read of an audit record, CloudTrail's form.
type record struct {
	EventID, EventName, ErrorCode, ErrorMessage, SourceIPAddress string
	UserIdentity                                                 struct{ ARN string }
	AdditionalEventData                                          json.RawMessage
}

// records are those that server and gateway have written so far, by their ids: of decisions, and of callers and tokens that
// nobody could verify.
func (w *world) records() map[string]record {
	w.t.Helper()
	all := map[string]record{}
	for _, folder := range []string{filepath.Join(w.dir, "audit"), filepath.Join(filepath.Dir(w.dir), "audit")} {
		names, err := filepath.Glob(filepath.Join(folder, "*.jsonl*"))
		if err != nil || len(names) == 0 {
			w.t.Fatalf("%s: %v, %v, want files", folder, names, err)
		}
		for _, name := range names {
			file, err := os.Open(name)
			if err != nil {
				w.t.Fatal(err)
			}
			var text io.Reader = file
			if strings.HasSuffix(name, ".gz") { // a segment whose hour is over
				if text, err = gzip.NewReader(file); err != nil {
					w.t.Fatalf("%s: %v", name, err)
				}
			}
			lines := bufio.NewScanner(text)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				var r record
				if json.Unmarshal(lines.Bytes(), &r) == nil && r.EventID != "" { // the last line may be under way
					all[r.EventID] = r
				}
			}
			if err := file.Close(); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return all
}

// refusals begins to look for records of refusals. What it returns waits for one since then, of an operation by somebody whose ARN
// has these words.
func (w *world) refusals() func(what, operation, by string) {
	w.t.Helper()
	before := w.records()
	return func(what, operation, by string) {
		w.t.Helper()
		var found []string
		eventually(w.t, what+": is audited as "+operation, func() (bool, string) {
			found = nil
			for id, r := range w.records() {
				if _, old := before[id]; old || r.ErrorCode == "" {
					continue
				}
				if r.EventName == operation && strings.Contains(r.UserIdentity.ARN, by) {
					w.t.Logf("%s: audited: %s %s: %s", what, operation, r.ErrorCode, r.ErrorMessage)
					return true, ""
				}
				found = append(found, fmt.Sprintf("%+v", r))
			}
			return false, strings.Join(found, "\n")
		})
	}
}
