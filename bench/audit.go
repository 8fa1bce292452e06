package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/audit"
)

const (
	auditRounds, auditRequests = 5, 50_000
	// auditAtOnce is how many requests are under way on a server that has all it can do.
	auditAtOnce = 256
)

// audited is what recording one round's requests took: on the clock until the last was durable, and of processor time until
// all its segments were sealed and packed.
type audited struct {
	clock, cpu time.Duration
	bytes      int64
	syncs      int64
}

// audit measures what a request for a pod's credentials costs the audit, its two records durable, beside the write and the sync of
// as many bytes in as many pieces. It runs in this process, where nothing else does meanwhile.
func (b *bench) audit(ctx context.Context) error {
	progress("recording requests for credentials: %d rounds of %d", auditRounds, auditRequests)
	var ours, floor, rate, floorRate []float64
	for round := range auditRounds {
		dir := filepath.Join(b.dir, fmt.Sprintf("audit-%d", round))
		took, err := recordRound(ctx, dir)
		if err != nil {
			return err
		}
		bare, err := writeRound(filepath.Join(b.dir, fmt.Sprintf("bare-%d", round)), took)
		if err != nil {
			return err
		}
		ours, rate = append(ours, micros(took.cpu)/auditRequests), append(rate, 2*auditRequests/took.clock.Seconds())
		floor, floorRate = append(floor, micros(bare.cpu)/auditRequests), append(floorRate, 2*auditRequests/bare.clock.Seconds())
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	how := times(auditRounds, auditRequests)
	b.rows = append(b.rows,
		atMost(5, row{
			what: "audit: a credential request, its records durable, later sealed", ours: median(ours), floor: median(floor),
			than: "write and fsync of as many bytes in as many pieces", unit: "µs", how: how,
		}),
		atLeast(20_000, row{
			what: "audit: events a second, durable", ours: median(rate), floor: median(floorRate),
			than: "write and fsync of as many bytes in as many pieces", unit: "/s", how: how,
		}))
	return nil
}

// recordRound records the requests of one round and waits until the log is sealed.
func recordRound(ctx context.Context, dir string) (took audited, err error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return took, err
	}
	log, err := audit.Open(dir, audit.Config{
		Logger: slog.New(slog.DiscardHandler), FileSize: 16 << 20, Writer: "bench",
		Sign: func(_ context.Context, digest []byte) ([]byte, error) { return ed25519.Sign(key, digest), nil },
	})
	if err != nil {
		return took, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- log.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended, log.Close())
	}()
	began := time.Now()
	took.cpu, err = self(func() {
		err = recordAll(ctx, log)
		took.clock = time.Since(began)
		for err == nil && !allSealed(dir) {
			time.Sleep(time.Millisecond)
			err = ctx.Err() // a log that seals nothing keeps nobody
		}
	})
	if err != nil {
		return took, err
	}
	took.syncs = log.State().Syncs
	_, err = log.Read(ctx, audit.Mark{}, func(f audit.Found) bool {
		took.bytes += int64(len(f.Text)) + 100 // and its link
		return true
	})
	return took, err
}

func recordAll(ctx context.Context, log *audit.Log) error {
	var working sync.WaitGroup
	failed := make(chan error, auditAtOnce)
	for worker := range auditAtOnce {
		working.Go(func() {
			asked, issued := credentialEvents()
			for range auditRequests/auditAtOnce + min(1, max(0, auditRequests%auditAtOnce-worker)) {
				asked.EventID, issued.EventID, asked.SharedEventID, issued.SharedEventID = "", "", "", ""
				place, err := log.Reserve()
				if err == nil {
					place.Record(asked, issued)
					err = place.Commit(ctx)
					place.Release()
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	working.Wait()
	close(failed)
	return <-failed
}

// allSealed reports whether no segment but the last is as it was written.
func allSealed(dir string) bool {
	plain, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl"))
	return err == nil && len(plain) == 1
}

// writeRound writes and syncs what a round did.
func writeRound(name string, as audited) (took audited, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return took, err
	}
	piece := make([]byte, as.bytes/max(1, as.syncs))
	began := time.Now()
	took.cpu, err = self(func() {
		for range as.syncs {
			if _, err = f.Write(piece); err == nil {
				err = f.Sync()
			}
			if err != nil {
				return
			}
		}
	})
	took.clock = time.Since(began)
	return took, errors.Join(err, f.Close(), os.Remove(name))
}

// credentialEvents are the two records of AssumeRoleForPodIdentity, as the door makes them.
func credentialEvents() (asked, issued *audit.Event) {
	now := time.Now().UTC()
	node := audit.UserIdentity{
		Type: "AssumedRole", PrincipalID: "AROA5D4IYAW5Z3NPWLQJQ:node-1", ARN: "arn:aws:sts::111122223333:assumed-role/lanyard-agent-c1/node-1",
		AccountID: account, AccessKeyID: "ASIA5D4IYAW5Z3NPWLQJ", SessionContext: &audit.SessionContext{
			Issuer:     audit.SessionIssuer{Type: "Role", PrincipalID: "AROA5D4IYAW5Z3NPWLQJQ", ARN: "arn:aws:iam::111122223333:role/lanyard-agent-c1", AccountID: account, UserName: "lanyard-agent-c1"},
			Attributes: audit.SessionAttributes{CreationDate: now},
		},
	}
	pod := audit.Object{
		{Name: "name", Value: "api-5d9c7b6f4-x2x2x"},
		{Name: "namespace", Value: "pay"},
		{Name: "node", Value: "node-1"},
		{Name: "nodeUid", Value: "1b671a64-40d5-491e-99b0-da01ff1f3341"},
		{Name: "serviceAccount", Value: "api"},
		{Name: "uid", Value: "1b671a64-40d5-491e-99b0-da01ff1f3342"},
	}
	asked = &audit.Event{
		EventSource: "eks-auth.amazonaws.com", EventName: "AssumeRoleForPodIdentity", AWSRegion: "us-east-1", SourceIPAddress: "10.0.0.1",
		UserAgent: "lanyard-agent", RequestID: "1b671a64-40d5-491e-99b0-da01ff1f3343", ManagementEvent: true, RecipientAccountID: account, EventTime: now,
		UserIdentity: node, RequestParameters: audit.Object{{Name: "clusterName", Value: "dev"}, {Name: "token", Value: audit.Hidden}},
		AdditionalEventData: audit.Object{{Name: "association", Value: "a-7jkyhg"}, {Name: "decision/trust", Value: "Allow by statement 0"}, {Name: "pod", Value: pod}},
	}
	tags := make([]audit.Tag, 0, 6)
	for _, key := range []string{"eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-service-account", "kubernetes-pod-name", "kubernetes-pod-uid"} {
		tags = append(tags, audit.Tag{Key: key, Value: "1b671a64-40d5-491e-99b0-da01ff1f3341"})
	}
	issued = &audit.Event{
		EventSource: "sts.amazonaws.com", EventName: "AssumeRole", AWSRegion: "us-east-1", SourceIPAddress: "pods.eks.amazonaws.com",
		UserAgent: "pods.eks.amazonaws.com", RequestID: asked.RequestID, ManagementEvent: true, RecipientAccountID: account, EventTime: now,
		UserIdentity:      audit.UserIdentity{Type: "AWSService", InvokedBy: "pods.eks.amazonaws.com"},
		RequestParameters: audit.Object{{Name: "durationSeconds", Value: 21600}, {Name: "roleArn", Value: roleARN}, {Name: "roleSessionName", Value: "eks-dev-api-1b671a64"}, {Name: "tags", Value: tags}},
		ResponseElements:  audit.Object{{Name: "credentials", Value: audit.Object{{Name: "accessKeyId", Value: "ASIA5D4IYAW5Z3NPWLQJ"}, {Name: "expiration", Value: now}, {Name: "sessionToken", Value: audit.Hidden}}}},
		Resources:         []audit.Resource{{AccountID: account, Type: "AWS::IAM::Role", ARN: roleARN}},
	}
	return asked, issued
}
