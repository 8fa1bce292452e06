// Package trail carries the record of every decision to a folder or a bucket, in the layout of CloudTrail's log files, and finds
// events again: those of this process's log and those that others have brought there.
//
// The layout is described at
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html. What CloudTrail's log
// files are read with reads these too. Delivery and index follow the log: no decision waits for either, and neither is a proof,
// which is the log's own matter.
package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/arn"
)

// A Sink is where log files are brought to. Names have slashes.
type Sink interface {
	// Put stores a file whole, in the place of one that has its name.
	Put(ctx context.Context, name string, body []byte) error
	// Get returns a file. A fault of kind Invalid says that it is none that can be read, now or later.
	Get(ctx context.Context, name string) ([]byte, error)
	// List returns what is directly below a prefix that ends in a slash: files, and prefixes that end in one. Of a prefix with
	// nothing below it that is nothing, and no error.
	List(ctx context.Context, prefix string) (files []File, prefixes []string, err error)
	// String names the place for people.
	String() string
}

// File is a file of a sink.
type File struct {
	Name string
	Size int64
}

const root = "AWSLogs/"

// logs is the prefix of an account's log files.
func logs(account string) string { return root + account + "/CloudTrail/" }

// dayOf is the prefix of a day's log files.
func dayOf(account, region string, day time.Time) string {
	return logs(account) + region + day.UTC().Format("/2006/01/02/")
}

// fileName names the log file of an account's records in a batch, by the batch's first record. A batch that is brought again has the
// same names, and no other one has: a log may be one of several with that writer's name, or have begun anew.
func fileName(account, region string, at time.Time, writer string, first [sha256.Size]byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%x\n%s", writer, first, account))
	unique := base32.StdEncoding.EncodeToString(sum[:10])
	return path.Join(dayOf(account, region, at), fmt.Sprintf("%s_CloudTrail_%s_%s_%s.json.gz", account, region, at.UTC().Format("20060102T1504Z"), unique))
}

// accountOf returns the account that a record is for, or "". Behind the record's own member stand only texts that cannot hold
// a quoted name; before it may stand a member of a request that has its name.
func accountOf(record []byte) string {
	account := lastText(record, `"recipientAccountId":"`)
	if !arn.IsAccount(account) {
		return ""
	}
	return account
}

func lastText(record []byte, member string) string {
	i := bytes.LastIndex(record, []byte(member))
	if i < 0 {
		return ""
	}
	text, _, _ := strings.Cut(string(record[i+len(member):min(len(record), i+len(member)+100)]), `"`)
	return text
}
