package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/store"
	"github.com/openlanyard/lanyard/trail"
)

func TestTasksStopOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running tasks
		var ended []string
		for _, name := range []string{"first", "second", "third"} {
			running.start(func(ctx context.Context) error {
				<-ctx.Done()
				if name != "first" {
					time.Sleep(time.Second) // whoever is stopped meanwhile is faster
				}
				ended = append(ended, name)
				return nil
			})
		}
		running.end()
		if got := strings.Join(ended, " "); got != "third second first" {
			t.Errorf("ended: %s; want the last first", got)
		}
	})
}

// unpacked is a sink that keeps all that it is brought.
type unpacked struct {
	trail.Folder
	text bytes.Buffer
}

func (u *unpacked) Put(_ context.Context, _ string, body []byte) error {
	from, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	_, err = io.Copy(&u.text, from)
	return err
}

// TestTheLastCountsAreDelivered: the audit log writes how often each token was refused as it stops, and its delivery waits for that.
func TestTheLastCountsAreDelivered(t *testing.T) {
	sink := &unpacked{Folder: trail.Folder(t.TempDir())}
	p, err := openPlane(t.Context(), planeConfig{
		State: t.TempDir() + "/state", Audit: t.TempDir() + "/audit", MasterKey: store.NewMasterKey(), Region: dev.Region, Account: dev.Account,
		Trail: sink, TrailEach: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err = errors.Join(err, refuseToken(t.Context(), p.audit))
	}
	if err := errors.Join(err, p.close()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(sink.text.String(), `"refusedAgain":2`); got != 1 {
		t.Errorf("delivered %s: %d counts of two more refusals, want one", sink.text.String(), got)
	}
}

func refuseToken(ctx context.Context, log *audit.Log) error {
	place, err := log.Reserve()
	if err != nil {
		return err
	}
	defer place.Release()
	return place.Refuse(ctx, sha256.Sum256([]byte("a token")), "it is refused", &audit.Event{EventName: "AssumeRoleForPodIdentity", RecipientAccountID: dev.Account})
}
