package clients

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/COMPATIBILITY.md anew")

// resultsVariable names the folder where each client's outcome is kept for the table. Without it nothing is kept.
const resultsVariable = "TRIED_RESULTS"

// everyone adds to tried what each client tries in a file of its own.
var everyone = map[string][]string{
	"uploads": {"upload of a stream", "multipart upload", "presigned URL"}, // as a pod
	"refresh": {"refresh across an expiry"},                                // as a pod whose sessions are short
	"plain":   {"the reason as AWS's agent tells it"},                      // as a pod of a node with AWS's agent
	"tls":     {"own CA by the injected variables"},                        // as the administrator of a server
	"trail": { // as the administrator; see historians
		"LookupEvents by EventName", "LookupEvents by ResourceName", "LookupEvents by pages", "LookupEvents by time",
		"LookupEvents of another account",
	},
}

// brief is what clients try of tried, in fewer and larger cases, that are not first-hand proofs of a door: what a door
// answers is the same for all, and what differs from one SDK to the next is how it asks and what it makes of a refusal.
var brief = map[string][]string{
	"pod": {
		"credentials by the default chain", "buckets", "objects", "odd keys", "listing", "AccessDenied",
		"EKS and IAM are denied to a pod",
	},
	"stranger": {"the agent's reason"},
	"eks":      {"clusters and associations"},
	"iam":      {"roles and policies"},
	"signing":  {"any region", "wrong secret, unknown key"},
	"agent": {
		"AssumeRoleWithWebIdentity by the default chain", "AssumeRoleWithWebIdentity, refused",
		"AssumeRoleForPodIdentity as the agent",
	},
}

// inBrief are the clients that go by brief.
var inBrief = []string{javaScript, java, rust}

// columns are those of the table, from left to right.
var columns = []string{
	"agent by the default chain", "S3 through the gateway", "upload of a stream", "multipart upload", "presigned URL",
	"AccessDenied names the action", "the agent's reason", "the reason as AWS's agent tells it", "EKS", "IAM", "STS by web identity", "EKS Auth", "signatures refused",
	"refresh across an expiry", "own CA by the injected variables", "event history",
}

// columnOf says which column a case counts for.
func columnOf(section, name string) string {
	switch {
	case section == "pod" && (strings.Contains(name, "by the default chain") || name == "GetCallerIdentity"):
		return "agent by the default chain"
	case section == "pod" && (name == "AccessDenied" || strings.Contains(name, "denied to a pod")):
		return "AccessDenied names the action"
	case section == "pod":
		return "S3 through the gateway"
	case strings.HasPrefix(name, "AssumeRoleForPodIdentity"):
		return "EKS Auth"
	case section == "agent":
		return "STS by web identity"
	case section == "eks":
		return "EKS"
	case section == "iam":
		return "IAM"
	case section == "signing":
		return "signatures refused"
	case section == "trail":
		return "event history"
	}
	return name
}

// outcome is what one client's row says.
type outcome struct {
	Client, Version string
	Cells           map[string]string // by column; the absent ones were not tried
}

// outcomes are of the clients of this run.
var outcomes = struct {
	sync.Mutex
	of map[string]*outcome
}{of: map[string]*outcome{}}

// keep keeps what a client told in this test, at its end, if the table is asked for.
func keep(t *testing.T, client, version string) {
	t.Helper()
	outcomes.Lock()
	defer outcomes.Unlock()
	outcomes.of[client] = &outcome{client, strings.TrimSpace(version), map[string]string{}}
	folder := os.Getenv(resultsVariable)
	if folder == "" {
		return
	}
	t.Cleanup(func() {
		outcomes.Lock()
		defer outcomes.Unlock()
		text := jsonOf(t, outcomes.of[client])
		if err := os.WriteFile(filepath.Join(folder, client+".json"), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	})
}

// tell records how a case went. A note says more than yes.
func tell(client, section, name string, passed bool, note string) {
	outcomes.Lock()
	defer outcomes.Unlock()
	cells, column := outcomes.of[client].Cells, columnOf(section, name)
	switch {
	case !passed:
		cells[column] = "fails"
	case cells[column] == "" || cells[column] == "yes":
		cells[column] = cmp.Or(note, "yes")
	}
}

// The table is between these lines of docs/COMPATIBILITY.md.
const (
	tableBegins = "<!-- what `make compat` saw; `make compat UPDATE=1` writes it -->\n"
	tableEnds   = "<!-- end of what `make compat` saw -->\n"
)

// TestCompatTable holds the table in docs/COMPATIBILITY.md against what the clients of the runs before this one told.
func TestCompatTable(t *testing.T) {
	folder := os.Getenv(resultsVariable)
	kept, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if folder == "" || err != nil || len(kept) == 0 {
		t.Fatalf("no outcome of a client in %s=%q: `make compat` makes them first (%v)", resultsVariable, folder, err)
	}
	var rows []outcome
	for _, file := range kept {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var row outcome
		if err := json.Unmarshal(text, &row); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		rows = append(rows, row)
	}
	got := table(t, rows)

	const papers = "../../docs/COMPATIBILITY.md"
	text, err := os.ReadFile(papers)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), tableBegins)
	committed, after, ends := strings.Cut(rest, tableEnds)
	switch {
	case !begins || !ends:
		t.Fatalf("%s has no place for the table, between %q and %q", papers, tableBegins, tableEnds)
	case committed == got:
	case *update && !t.Failed():
		if err := os.WriteFile(papers, []byte(before+tableBegins+got+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table in %s is not what this run saw; `make compat UPDATE=1` writes it. Committed:\n%s\nseen:\n%s", papers, committed, got)
	}
}

// table is one row for each client, in the order in which clients has them.
func table(t *testing.T, rows []outcome) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\n| client | %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)+1))
	for _, client := range clients {
		i := slices.IndexFunc(rows, func(o outcome) bool { return o.Client == client })
		if i < 0 {
			t.Errorf("no outcome of %s", client)
			continue
		}
		fmt.Fprintf(&b, "| %s %s |", client, rows[i].Version)
		for _, column := range columns {
			fmt.Fprintf(&b, " %s |", cmp.Or(rows[i].Cells[column], "–"))
		}
		b.WriteString("\n")
	}
	for _, row := range rows {
		for column, cell := range row.Cells {
			if cell == "fails" || !slices.Contains(columns, column) || !slices.Contains(clients, row.Client) {
				t.Errorf("%s, %s: %s", row.Client, column, cell)
			}
		}
	}
	return b.String() + "\n"
}
