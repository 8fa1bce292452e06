package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The clients, by the names that the table and the buckets, service accounts and roles have them.
const (
	awsCLI     = "aws-cli"
	awsCLI2    = "aws-cli-2" // the same cases as awsCLI, in a run of their own where it is `aws`
	boto3      = "boto3"
	golang     = "go-sdk"
	javaScript = "js-sdk"
	java       = "java-sdk"
	rust       = "rust-sdk"
	rclone     = "rclone"

	// Libraries that speak S3 alone; what they try is storage.
	pyarrow     = "pyarrow"
	minioGo     = "minio-go"
	objectStore = "object-store"
	mountpoint  = "mountpoint"
)

// clients are all of them, in the order of the table.
var clients = []string{golang, boto3, awsCLI, awsCLI2, javaScript, java, rust, rclone, pyarrow, minioGo, objectStore, mountpoint}

// sectionVariable tells a process of this test binary that it is a client, and what to try.
const sectionVariable = "TRIED_SECTION"

// with adds variables to a caller's environment; `lanyard exec` takes away none that do not begin with AWS_.
func (as caller) with(variables ...string) caller {
	return func(ctx context.Context, argv ...string) *exec.Cmd {
		cmd := as(ctx, argv...)
		cmd.Env = append(cmd.Env, variables...)
		return cmd
	}
}

// historians are the clients that try the event history: what is answered is the same for all, and these are the ones that
// people read it with.
var historians = []string{golang, boto3, awsCLI, awsCLI2, javaScript}

// callers says who tries which section.
func callers(client string) map[string]caller {
	by := map[string]caller{
		"pod":      here.asPod(client),
		"uploads":  here.asPod(client),
		"stranger": here.asPod("stranger"),
		"eks":      here.asAdministrator,
		"iam":      here.asAdministrator,
		"signing":  here.asAdministrator,
		"agent":    here.asAgent,
	}
	if slices.Contains(historians, client) {
		by["trail"] = here.asAdministrator
	}
	return by
}

func TestBoto3(t *testing.T) {
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	programs(t, boto3, func(section string) []string { return []string{"python3", folder + "/boto", section} })
}

func TestJavaScriptSDK(t *testing.T) {
	tools, err := filepath.Abs("../../.tools/js")
	if err != nil {
		t.Fatal(err)
	}
	// By the link in .tools/js and not by where it leads, so that the packages that lie beside it are found.
	programs(t, javaScript, func(section string) []string {
		return []string{"node", "--preserve-symlinks", "--preserve-symlinks-main", tools + "/client/index.mjs", section}
	})
}

func TestGoSDK(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	programs(t, golang, func(string) []string { return []string{self} })
}

// programs runs a client that is a program: one process a section, which tells each case on a line.
func programs(t *testing.T, client string, argv func(section string) []string) {
	t.Parallel()
	by := callers(client)
	by["plain"], by["refresh"], by["tls"] = plainSpoken(t), shortLived(t), secured(t)
	sections(t, client, argv, by)
}

// sections runs a client once for each of the callers.
func sections(t *testing.T, client string, argv func(section string) []string, by map[string]caller) {
	keep(t, client, version(t, argv("version")))
	told := []string{
		"TRIED_ODD_KEYS=" + jsonOf(t, oddKeys), "TRIED_BAD_KEYS=" + jsonOf(t, badKeys), "TRIED_TRUST=" + trust, "TRIED_ROLE=" + role,
		"TRIED_ENDPOINT=" + here.endpoint, "TRIED_POD_TOKEN=" + here.podToken(t, client),
		fmt.Sprintf("TRIED_SESSION_SECONDS=%.0f", shortSession.Seconds()), "TRIED_OTHER_ACCOUNT=" + here.other.account, "TRIED_OTHER_ID=" + here.other.id, "TRIED_OTHER_SECRET=" + here.other.secret,
	}
	for section, as := range by {
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			got := as.with(told...).with(sectionVariable+"="+section).run(t, argv(section)...)
			var names []string
			for _, line := range linesOf(t, got) {
				names = append(names, line.Case)
				passed := t.Run(line.Case, func(t *testing.T) {
					if line.Error != nil {
						t.Error(*line.Error)
					}
				})
				tell(client, section, line.Case, passed, line.Note)
			}
			account(t, client, section, names)
		})
	}
}

// caseLine is what a client prints of a case.
type caseLine struct {
	Case  string
	Error *string
	Note  string // for the table, where there is more to say than yes
}

func linesOf(t *testing.T, got ran) (told []caseLine) {
	t.Helper()
	for in := bufio.NewScanner(strings.NewReader(got.out)); in.Scan(); {
		var line caseLine
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			t.Errorf("the client printed %q: %v", in.Text(), err)
			continue
		}
		told = append(told, line)
	}
	if got.status != 0 {
		t.Errorf("the client ended with status %d: %s", got.status, got.errors)
	}
	return told
}

// version asks a client for its own.
func version(t *testing.T, argv []string) string {
	t.Helper()
	told := linesOf(t, caller(here.asNobody).with(sectionVariable+"=version").run(t, argv...))
	if len(told) != 1 || told[0].Error != nil || told[0].Note == "" {
		t.Fatalf("%q told %+v, want its version", argv, told)
	}
	return told[0].Note
}
