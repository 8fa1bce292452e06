package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/openlanyard/lanyard/trail"
)

// TestAuditQueryShowsOneLineForARecord: whoever may name an object, or write where the audit is brought to, chooses texts that a
// terminal would obey, or that look like a line of another record.
func TestAuditQueryShowsOneLineForARecord(t *testing.T) {
	to, at := t.TempDir(), time.Now().UTC()
	hidden := "arn:aws:s3:::b/\x1b[2K\r\u009b1A\n" + at.Format(time.RFC3339) + "  Forged \u202e"
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := io.WriteString(w, `{"Records":[{"eventID":"1","eventName":"GetObject","eventTime":`+inJSON(at.Format(time.RFC3339))+`,
"requestParameters":
{"eventID":"2","eventName":"Forged"}
,"recipientAccountId":"111122223333","resources":[{"ARN":`+inJSON(hidden)+`}]}]}`)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := trail.Folder(to).Put(t.Context(), "AWSLogs/111122223333/CloudTrail/us-east-1/"+at.Format("2006/01/02/")+"a.json.gz", packed.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, form := range [][]string{nil, {"--json"}} {
		cmd := newAuditQuery()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(append([]string{"--trail", "file://" + to}, form...))
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := out.String()
		if strings.Count(got, "\n") != 1 || !strings.Contains(got, "GetObject") {
			t.Errorf("%v: want one line, got %q", form, got)
		}
		if form == nil && strings.ContainsAny(got, "\x1b\r\u009b\u202e") {
			t.Errorf("got %q", got)
		}
	}
}

func inJSON(s string) string {
	text, _ := json.Marshal(s) // a text: always JSON
	return string(text)
}
