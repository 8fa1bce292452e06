package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/trail"
)

// auditQuery looks through what is at hand: who may read the folder, or the bucket, needs no permission of any account.
type auditQuery struct {
	logs, since, until                                      string
	trail                                                   trailFlags
	namespace, pod, serviceAccount, role, action, principal string
	association, cluster, node, resource                    string
	outcome, account                                        string
	limit                                                   int
	asJSON                                                  bool
}

func newAuditQuery() *cobra.Command {
	var v auditQuery
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Find records of the audit, newest first",
		Long: "Find records of the audit, newest first: in the folder of a server or of lanyard dev, with what gateways and other servers have brought to its " +
			"--trail; in a folder of a log alone (--logs), such as a gateway's; or in what was brought to a folder or a bucket (--trail). Who may read these " +
			"needs no permission of an account.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return v.run(cmd) },
	}
	dirFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&v.logs, "logs", "", "folder of a log; empty: that of --dir")
	v.trail.sinkFlags(f, "where the audit was brought to, in place of a log")
	f.StringVar(&v.since, "since", "", "a time such as 2026-11-26T08:00:00Z, or how long ago, such as 2h")
	f.StringVar(&v.until, "until", "", "likewise")
	f.StringVar(&v.account, "account", "", "account whose record it is")
	f.StringVar(&v.namespace, "namespace", "", "namespace of the pod")
	f.StringVar(&v.pod, "pod", "", "name of the pod")
	f.StringVar(&v.serviceAccount, "service-account", "", "service account of the pod")
	f.StringVar(&v.association, "association", "", "id of the association by which the pod has its role")
	f.StringVar(&v.cluster, "cluster", "", "id of the pod's cluster, or its name in a request for credentials")
	f.StringVar(&v.node, "node", "", "node of the pod")
	f.StringVar(&v.role, "role", "", "name or ARN of the role that called or was assumed")
	f.StringVar(&v.action, "action", "", "name of the operation, such as AssumeRole or GetObject")
	f.StringVar(&v.resource, "resource", "", "ARN of what was touched, or its name: BUCKET, BUCKET/KEY, or what stands behind the ARN's last slash")
	f.StringVar(&v.principal, "principal", "", "ARN of the caller")
	f.StringVar(&v.outcome, "outcome", "", "allowed, refused, or an error's code")
	f.IntVar(&v.limit, "limit", 100, "records at most; 0: all")
	f.BoolVar(&v.asJSON, "json", false, "print the records as they are, one a line")
	cmd.MarkFlagsMutuallyExclusive("logs", "trail")
	return cmd
}

func (v *auditQuery) run(cmd *cobra.Command) error {
	q, err := v.query(time.Now())
	if err != nil {
		return err
	}
	n := 0
	var told error
	show := func(text []byte) bool {
		r, err := trail.ParseRecord(text)
		if err != nil {
			told = fmt.Errorf("a record is not JSON: %w", err)
			return false
		}
		if !v.match(r, q) {
			return true
		}
		n++
		if v.asJSON {
			var line bytes.Buffer
			if told = json.Compact(&line, text); told == nil {
				told = printf(cmd, "%s\n", line.Bytes())
			}
		} else {
			told = printLine(cmd, "%s", recordLine(r))
		}
		return told == nil && (v.limit <= 0 || n < v.limit)
	}
	dir := firstOf(v.logs, filepath.Join(cmd.Flag("dir").Value.String(), auditFolder))
	switch _, failed := os.Stat(indexFile(dir)); {
	case v.trail.to != "":
		err = v.inTrail(cmd.Context(), q, show)
	case v.logs == "" && failed == nil:
		err = inIndex(cmd.Context(), dir, q, show)
	default:
		err = v.inLog(cmd.Context(), dir, q, show)
	}
	if told != nil {
		return told
	}
	return err
}

// query words the question for an index. What it has no word for is left to match.
func (v *auditQuery) query(now time.Time) (q trail.Query, err error) {
	q = trail.Query{Account: v.account, Data: true, Has: map[trail.Kind]string{
		trail.Namespace: v.namespace, trail.PodName: v.pod, trail.Association: v.association, trail.Node: v.node, trail.Role: v.role,
		trail.EventName: v.action, trail.ResourceName: v.resource,
	}}
	if q.Since, err = timeFlag("since", v.since, now); err != nil {
		return q, err
	}
	q.Until, err = timeFlag("until", v.until, now)
	return q, err
}

// inLog reads a log's own files.
func (v *auditQuery) inLog(ctx context.Context, dir string, q trail.Query, show func([]byte) bool) error {
	in := audit.Query{Since: q.Since, Until: q.Until}
	if v.action != "" {
		text, _ := json.Marshal(v.action) // a text: always JSON
		in.Contains = append(in.Contains, append([]byte(`"eventName":`), text...))
	}
	_, err := audit.Find(ctx, dir, in, audit.Mark{}, func(f audit.Found) bool { return show(f.Text) })
	return err
}

// inIndex asks the index of a server, which may be running, once that has all that the log has. An index that this user may not
// write is asked for what it has.
func inIndex(ctx context.Context, dir string, q trail.Query, show func([]byte) bool) (err error) {
	keepFilesPrivate()
	x, err := trail.OpenIndex(trail.IndexConfig{
		File: indexFile(dir), Logger: slog.New(slog.DiscardHandler),
		Read: func(ctx context.Context, from audit.Mark, visit func(audit.Found) bool) (audit.Mark, error) {
			return audit.Read(ctx, dir, from, visit)
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if err := x.Fill(ctx); err != nil {
		return err
	}
	return x.Find(ctx, q, 0, func(f trail.Found) bool { return show(f.Text) })
}

// inTrail makes an index of what was brought there, for this one question.
func (v *auditQuery) inTrail(ctx context.Context, q trail.Query, show func([]byte) bool) (err error) {
	sink, err := v.trail.sink()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lanyard-audit-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	keepFilesPrivate()
	x, err := trail.OpenIndex(trail.IndexConfig{File: indexFile(dir), Sink: sink, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if err := x.Scan(ctx); err != nil {
		return err
	}
	return x.Find(ctx, q, 0, func(f trail.Found) bool { return show(f.Text) })
}

// timeFlag reads a moment, or how long before now it is.
func timeFlag(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fault.New(fault.Invalid, "--%s %q: a time such as 2026-11-26T08:00:00Z or a duration such as 2h is accepted", flag, text)
	}
	return t, nil
}

func (v *auditQuery) match(r *trail.Record, q trail.Query) bool {
	for kind, value := range q.Has {
		if value != "" && !r.Has(kind, value) {
			return false
		}
	}
	pod := r.Pod()
	for _, has := range [][2]string{
		{v.account, r.RecipientAccountID},
		{v.serviceAccount, pod.ServiceAccount},
		{v.principal, r.UserIdentity.ARN},
	} {
		if has[0] != "" && has[0] != has[1] {
			return false
		}
	}
	if v.cluster != "" && v.cluster != pod.Cluster && v.cluster != r.RequestParameters.ClusterName {
		return false
	}
	switch v.outcome {
	case "":
		return true
	case "refused":
		return r.ErrorCode != ""
	}
	return r.Outcome() == v.outcome
}

// recordLine is a record for people.
func recordLine(r *trail.Record) string {
	who := firstOf(r.UserIdentity.ARN, r.UserIdentity.InvokedBy, "-")
	text := fmt.Sprintf("%s  %-26s %-22s %s", r.EventTime.UTC().Format(time.RFC3339), r.EventName, r.Outcome(), who)
	if pod := r.Pod(); pod.Name != "" {
		text += fmt.Sprintf("  pod %s/%s (%s)", pod.Namespace, pod.Name, pod.ServiceAccount)
	}
	for _, touched := range r.Resources {
		text += "  " + touched.ARN
	}
	return text
}
