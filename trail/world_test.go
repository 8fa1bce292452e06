package trail_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/trail"
)

const (
	ours   = "111122223333"
	theirs = "444455556666"
	region = "us-east-1"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// openLog is a log whose writer runs until stop, or the test's end.
func openLog(tb testing.TB, dir string) (log *audit.Log, stop func()) {
	tb.Helper()
	log, err := audit.Open(dir, audit.Config{Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, log.Close()); err != nil {
			tb.Errorf("stopping the log: %v", err)
		}
	})
	tb.Cleanup(stop)
	return log, stop
}

func commit(tb testing.TB, log *audit.Log, events ...*audit.Event) {
	tb.Helper()
	place, err := log.Reserve()
	if err != nil {
		tb.Fatal(err)
	}
	defer place.Release()
	place.Record(events...)
	if err := place.Commit(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// called is a management event of an account.
func called(account, name string) *audit.Event {
	return &audit.Event{
		EventSource: "iam.amazonaws.com", EventName: name, ManagementEvent: true, RecipientAccountID: account, AWSRegion: region,
		UserIdentity: audit.UserIdentity{Type: "IAMUser", UserName: "administrator", ARN: "arn:aws:iam::" + account + ":user/administrator", AccessKeyID: "AKIAEXAMPLE"},
		// A member of a request cannot pass for one of the record.
		RequestParameters: map[string]any{"recipientAccountId": theirs, "eventID": "x"},
		Resources:         []audit.Resource{{AccountID: account, Type: "AWS::IAM::Role", ARN: "arn:aws:iam::" + account + ":role/" + name}},
	}
}

// readObject is a data event of a pod.
func readObject(account, pod, key string) *audit.Event {
	return &audit.Event{
		EventSource: "s3.amazonaws.com", EventName: "GetObject", RecipientAccountID: account, AWSRegion: region, ReadOnly: true,
		UserIdentity: audit.UserIdentity{Type: "AssumedRole", ARN: "arn:aws:sts::" + account + ":assumed-role/app/session", SessionContext: &audit.SessionContext{
			Issuer: audit.SessionIssuer{ARN: "arn:aws:iam::" + account + ":role/app"},
			Pod:    &audit.Pod{Namespace: "shop", Name: pod, ServiceAccount: "cart", Node: "node-1", Cluster: "c-1", Association: "a-1"},
		}},
		Resources: []audit.Resource{{Type: "AWS::S3::Object", ARN: "arn:aws:s3:::b/" + key}},
	}
}

func openIndex(tb testing.TB, cfg trail.IndexConfig) *trail.Index {
	tb.Helper()
	if cfg.File == "" {
		cfg.File = filepath.Join(tb.TempDir(), "index.db")
	}
	cfg.Logger = quiet
	x, err := trail.OpenIndex(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := x.Close(); err != nil {
			tb.Error(err)
		}
	})
	return x
}

// names are those of the events that are found, the newest first, as a word; a GetObject is named by its key.
func names(tb testing.TB, x *trail.Index, q trail.Query) string {
	tb.Helper()
	var all []string
	if err := x.Find(tb.Context(), q, 0, func(f trail.Found) bool {
		r, err := trail.ParseRecord(f.Text)
		if err != nil {
			tb.Fatal(err)
		}
		name := r.EventName
		if name == "GetObject" {
			name = r.Resources[0].ARN[strings.LastIndexByte(r.Resources[0].ARN, '/')+1:]
		}
		all = append(all, name)
		return true
	}); err != nil {
		tb.Fatal(err)
	}
	return strings.Join(all, " ")
}

// failing is a sink that fails as often as it is told.
type failing struct {
	trail.Sink
	times int
}

func (f *failing) Put(ctx context.Context, name string, body []byte) error {
	if f.times > 0 {
		f.times--
		return fmt.Errorf("%s: the store is away", name)
	}
	return f.Sink.Put(ctx, name, body)
}
