package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The clients, by the names that the table and the buckets, service accounts and roles have them.
const (
	awsCLI = "aws-cli"
	boto3  = "boto3"
	golang = "go-sdk"
)

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

// callers says who tries which section.
func callers(client string) map[string]caller {
	return map[string]caller{
		"pod":      here.asPod(client),
		"stranger": here.asPod("stranger"),
		"eks":      here.asAdministrator,
		"iam":      here.asAdministrator,
		"signing":  here.asAdministrator,
		"agent":    here.asAgent,
	}
}

func TestBoto3(t *testing.T) {
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	programs(t, boto3, func(section string) []string { return []string{"python3", folder + "/boto", section} })
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
	told := []string{
		"TRIED_ODD_KEYS=" + jsonOf(t, oddKeys), "TRIED_BAD_KEYS=" + jsonOf(t, badKeys), "TRIED_TRUST=" + trust, "TRIED_ROLE=" + role,
		"TRIED_ENDPOINT=" + here.endpoint, "TRIED_POD_TOKEN=" + here.podToken(t, client),
	}
	for section, as := range callers(client) {
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			got := as.with(told...).with(sectionVariable+"="+section).run(t, argv(section)...)
			var names []string
			for in := bufio.NewScanner(strings.NewReader(got.out)); in.Scan(); {
				var line struct {
					Case  string
					Error *string
				}
				if err := json.Unmarshal(in.Bytes(), &line); err != nil {
					t.Errorf("the client printed %q: %v", in.Text(), err)
					continue
				}
				names = append(names, line.Case)
				t.Run(line.Case, func(t *testing.T) {
					if line.Error != nil {
						t.Error(*line.Error)
					}
				})
			}
			if got.status != 0 {
				t.Errorf("the client ended with status %d: %s", got.status, got.errors)
			}
			account(t, client, section, names)
		})
	}
}
