package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestConditionKeysAreInTheDocuments holds that what `policy check` knows is what docs/COMPATIBILITY.md tells.
func TestConditionKeysAreInTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/COMPATIBILITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| condition key | where it comes from |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var want strings.Builder
	for _, k := range conditionKeys {
		fmt.Fprintf(&want, "| `%s` | %s |\n", k.key, k.from)
	}
	if !found || table+"\n" != want.String() {
		t.Errorf("docs/COMPATIBILITY.md has not this table of condition keys:\n%s", want.String())
	}
}

// TestVocabularyKnowsWhatDoorsAsk holds one action of each door.
func TestVocabularyKnowsWhatDoorsAsk(t *testing.T) {
	v := vocabulary()
	for _, action := range []string{"s3:GetObject", "iam:PassRole", "iam:CreateRole", "sts:AssumeRole", "eks:RegisterCluster", "eks-auth:AssumeRoleForPodIdentity", "lanyard:WatchFeed"} {
		service, name, _ := strings.Cut(action, ":")
		known := false
		for _, n := range v.Actions[service] {
			known = known || n == name
		}
		if !known {
			t.Errorf("%s is unknown", action)
		}
	}
}
