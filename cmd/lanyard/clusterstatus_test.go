package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestClusterSteps holds `lanyard status` to the cases to which test/console/health.test.mjs holds the console: which
// steps a cluster goes, which of them are well, and the command that helps where one is not.
func TestClusterSteps(t *testing.T) {
	text, err := os.ReadFile("testdata/clustersteps.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Case, Status string
		Told         connectorStatus
		Steps        []struct {
			Name, Command, Tells string
			Well                 bool
		}
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		t.Run(c.Case, func(t *testing.T) {
			got := steps("prod", c.Status, &c.Told, time.Unix(1000, 0))
			if len(got) != len(c.Steps) {
				t.Fatalf("got %q, want %+v", got, c.Steps)
			}
			for i, want := range c.Steps {
				s := got[i]
				command := want.Command == "" || strings.Contains(s.fix, "`"+want.Command+"`")
				if s.name != want.Name || (s.fix == "") != want.Well || !command || !strings.Contains(s.state+"; "+s.fix, want.Tells) {
					t.Errorf("got %q, want %+v", s, want)
				}
			}
		})
	}
}
