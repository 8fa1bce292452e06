package policy_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/openlanyard/lanyard/policy"
)

var words = &policy.Vocabulary{
	Actions: map[string][]string{"s3": {"GetObject", "PutObject", "ListBucket"}, "sts": {"AssumeRole", "TagSession"}, "iam": {"GetRole"}},
	Keys:    []string{"aws:SourceIp", "aws:PrincipalTag/*", "s3:prefix"},
}

// TestCheckTellsOfManyAtMost: whoever may ask for a check may ask about a document of which every third character is wrong.
func TestCheckTellsOfManyAtMost(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		use  policy.Use
	}{
		"errors":   {`{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{},`, 10_000) + `{}]}`, policy.Identity},
		"warnings": {`{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*"},`, 600) + `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*"}]}`, policy.Trust},
	} {
		if n := len(policy.Check(tt.use, tt.text, words)); n < 50 || n > 200 {
			t.Errorf("%s: %d findings", name, n)
		}
	}
}

// TestCheck holds the tables in testdata/check: a document, and what is told of it, a line each.
func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("the tables in testdata/check: %v, %v", files, err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil || len(a.Files)%2 != 0 {
			t.Fatalf("%s: %v, %d parts", file, err, len(a.Files))
		}
		for i := 0; i < len(a.Files); i += 2 {
			t.Run(a.Files[i].Name, func(t *testing.T) {
				text := string(a.Files[i].Data)
				var got strings.Builder
				for _, f := range policy.Check(policy.UseOf(text), text, words) {
					kind := "warning"
					if f.Error {
						kind = "error"
					}
					fmt.Fprintf(&got, "%d:%d: %s: %s\n", f.Line, f.Column, kind, f.Text)
				}
				if diff := cmp.Diff(got.String(), string(a.Files[i+1].Data)); diff != "" {
					t.Errorf("(-got +want)\n%s", diff)
				}
			})
		}
	}
}
