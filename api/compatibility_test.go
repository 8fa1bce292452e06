package api_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	compatibility   = "../docs/COMPATIBILITY.md"
	operationsBegin = "<!-- from the tables of the doors; `go test ./api -run TestOperationsAreTold -update` writes it -->\n"
	operationsEnd   = "<!-- end of what is from the tables -->\n"
)

// services are AWS's, by their doors.
var services = map[string]string{"eks": "EKS", "eks-auth": "EKS Auth", "iam": "IAM", "sts": "STS", "cloudtrail": "CloudTrail"}

// TestOperationsAreTold holds docs/COMPATIBILITY.md to the doors' tables: which operations are built and which are not.
func TestOperationsAreTold(t *testing.T) {
	var want strings.Builder
	said := 0
	for _, door := range newWorld(t).doors() {
		name, ours := services[door.Service]
		if !ours {
			continue
		}
		said++
		var built []string
		for _, op := range door.Operations {
			built = append(built, op.Name)
		}
		slices.Sort(built)
		unbuilt := slices.Clone(door.Unbuilt)
		for i, operation := range unbuilt {
			for _, r := range door.Refusals {
				if r.Name == operation {
					unbuilt[i] += "¹"
				}
			}
		}
		fmt.Fprintf(&want, "\n%s: %d of %d operations.\n\n", name, len(built), len(built)+len(door.Unbuilt))
		want.WriteString(item("built", built) + item("not built", unbuilt))
	}
	if said != len(services) {
		t.Errorf("%d doors are services of AWS, want %d", said, len(services))
	}
	want.WriteString("\n")
	text, err := os.ReadFile(compatibility)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), operationsBegin)
	got, after, ends := strings.Cut(rest, operationsEnd)
	if !begins || !ends {
		t.Fatalf("%s has no %q and %q", compatibility, operationsBegin, operationsEnd)
	}
	if *update {
		if err := os.WriteFile(compatibility, []byte(before+operationsBegin+want.String()+operationsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", compatibility, diff)
	}
}

// item is an item of a list in lines of a readable length.
func item(title string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	lines, line := "", "- "+title+":"
	for i, name := range names {
		if i < len(names)-1 {
			name += ","
		}
		if len(line)+len(name) > 118 {
			lines, line = lines+line+"\n", " "
		}
		line += " " + name
	}
	return lines + line + "\n"
}

// TestUnbuiltOperationsAreRefused asks each query and JSON door for what it does not have, and EKS for what it has by name
// alone (the golden files have its paths).
func TestUnbuiltOperationsAreRefused(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	asked := 0
	for _, door := range w.doors() {
		for _, name := range door.Unbuilt {
			in, want := request{as: admin, service: door.Service, method: "POST", path: "/"}, "InvalidAction"
			switch door.Service {
			case "iam", "sts":
				in.body = "Action=" + name + "&Version=" + map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[door.Service]
			case "cloudtrail":
				in.header = http.Header{"X-Amz-Target": {"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101." + name}}
				in.body, want = "{}", "UnknownOperationException"
			default:
				in.path, want = "/"+name, "UnknownOperationException"
			}
			asked++
			if got := w.send(t, server, in); got.code() != want || got.status >= 500 {
				t.Errorf("%s %s: %d %s, want %s", door.Service, name, got.status, got.body, want)
			}
		}
	}
	if asked < 100 {
		t.Errorf("asked for %d operations, want more", asked)
	}
}
