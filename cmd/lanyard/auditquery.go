package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
)

// auditQuery looks through a log's own files: who may read the folder needs no permission of any account.
type auditQuery struct {
	logs, since, until                                      string
	namespace, pod, serviceAccount, role, action, principal string
	outcome, account                                        string
	limit                                                   int
	asJSON                                                  bool
}

func newAuditQuery() *cobra.Command {
	var v auditQuery
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Find records in an audit log's folder, newest first",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return v.run(cmd) },
	}
	dirFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&v.logs, "logs", "", "folder of the log; empty: that of --dir")
	f.StringVar(&v.since, "since", "", "a time such as 2026-11-26T08:00:00Z, or how long ago, such as 2h")
	f.StringVar(&v.until, "until", "", "likewise")
	f.StringVar(&v.account, "account", "", "account whose record it is")
	f.StringVar(&v.namespace, "namespace", "", "namespace of the pod")
	f.StringVar(&v.pod, "pod", "", "name of the pod")
	f.StringVar(&v.serviceAccount, "service-account", "", "service account of the pod")
	f.StringVar(&v.role, "role", "", "name or ARN of the role that called or was assumed")
	f.StringVar(&v.action, "action", "", "name of the operation, such as AssumeRole or GetObject")
	f.StringVar(&v.principal, "principal", "", "ARN of the caller")
	f.StringVar(&v.outcome, "outcome", "", "allowed, refused, or an error's code")
	f.IntVar(&v.limit, "limit", 100, "records at most; 0: all")
	f.BoolVar(&v.asJSON, "json", false, "print the records as they are, one a line")
	return cmd
}

func (v *auditQuery) run(cmd *cobra.Command) error {
	now := time.Now()
	var q audit.Query
	var err error
	if q.Since, err = timeFlag("since", v.since, now); err != nil {
		return err
	}
	if q.Until, err = timeFlag("until", v.until, now); err != nil {
		return err
	}
	if v.action != "" {
		text, _ := json.Marshal(v.action) // a text: always JSON
		q.Contains = append(q.Contains, append([]byte(`"eventName":`), text...))
	}
	n := 0
	var told error
	_, err = audit.Find(cmd.Context(), firstOf(v.logs, filepath.Join(cmd.Flag("dir").Value.String(), auditFolder)), q, audit.Mark{}, func(f audit.Found) bool {
		var r auditRecord
		if told = json.Unmarshal(f.Text, &r); told != nil {
			told = fmt.Errorf("record %d is not JSON: %w", f.Seq, told)
			return false
		}
		if !v.match(&r) {
			return true
		}
		n++
		if v.asJSON {
			told = printf(cmd, "%s\n", f.Text)
		} else {
			told = printf(cmd, "%s\n", r.line(f))
		}
		return told == nil && (v.limit <= 0 || n < v.limit)
	})
	if told != nil {
		return told
	}
	return err
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

// auditRecord is as much of a record as is asked for.
type auditRecord struct {
	audit.Event
	AdditionalEventData struct {
		Pod struct{ Namespace, Name, ServiceAccount string }
	} `json:"additionalEventData"`
}

// issuer is the ARN of the role whose session called; "" where none did.
func (r *auditRecord) issuer() string {
	if r.UserIdentity.SessionContext == nil {
		return ""
	}
	return r.UserIdentity.SessionContext.Issuer.ARN
}

// pod is the pod that got credentials, or whose session called; zero where there is none.
func (r *auditRecord) pod() audit.Pod {
	if s := r.UserIdentity.SessionContext; s != nil && s.Pod != nil {
		return *s.Pod
	}
	got := r.AdditionalEventData.Pod
	return audit.Pod{Namespace: got.Namespace, Name: got.Name, ServiceAccount: got.ServiceAccount}
}

func (v *auditQuery) match(r *auditRecord) bool {
	pod := r.pod()
	for _, has := range [][2]string{
		{v.account, r.RecipientAccountID},
		{v.namespace, pod.Namespace},
		{v.pod, pod.Name},
		{v.serviceAccount, pod.ServiceAccount},
		{v.action, r.EventName},
		{v.principal, r.UserIdentity.ARN},
	} {
		if has[0] != "" && has[0] != has[1] {
			return false
		}
	}
	switch v.outcome {
	case "":
	case "allowed":
		if r.ErrorCode != "" {
			return false
		}
	case "refused":
		if r.ErrorCode == "" {
			return false
		}
	default:
		if r.ErrorCode != v.outcome {
			return false
		}
	}
	return v.role == "" || v.ofRole(r)
}

func (v *auditQuery) ofRole(r *auditRecord) bool {
	is := func(arn string) bool {
		return arn == v.role || strings.Contains(arn, ":role/") && strings.HasSuffix(arn, "/"+v.role)
	}
	for _, touched := range r.Resources {
		if is(touched.ARN) {
			return true
		}
	}
	return is(r.issuer())
}

// line is a record for people.
func (r *auditRecord) line(f audit.Found) string {
	outcome := firstOf(r.ErrorCode, "allowed")
	who := firstOf(r.UserIdentity.ARN, r.UserIdentity.InvokedBy, "-")
	text := fmt.Sprintf("%s  %-26s %-22s %s", f.Time.UTC().Format(time.RFC3339), r.EventName, outcome, who)
	if pod := r.pod(); pod.Name != "" {
		text += fmt.Sprintf("  pod %s/%s (%s)", pod.Namespace, pod.Name, pod.ServiceAccount)
	}
	for _, touched := range r.Resources {
		text += "  " + touched.ARN
	}
	return text
}
