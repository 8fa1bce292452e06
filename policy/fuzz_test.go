package policy_test

import (
	"path/filepath"
	"reflect"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// seeds returns the documents of the decision tables.
func seeds(f *testing.F) []string {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("the tables in testdata: %v, %v", files, err)
	}
	var all []string
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range a.Files {
			if filepath.Ext(part.Name) == ".json" {
				all = append(all, string(part.Data))
			}
		}
	}
	return all
}

// FuzzParse holds that any text is either refused as malformed or compiled to a document that its own text gives again.
func FuzzParse(f *testing.F) {
	for _, text := range append(seeds(f), ``, `{`, `null`, `{"Statement": {"Effect": "Allow", "Action": "a:${", "Resource": "arn:${}"}}`) {
		for use := range uint8(4) {
			f.Add(use, text)
		}
	}
	f.Fuzz(func(t *testing.T, use uint8, text string) {
		d, err := policy.Parse(policy.Use(use%4), text)
		if err != nil {
			if !fault.Is(err, fault.MalformedPolicy) {
				t.Errorf("Parse(%q): kind %v, want MalformedPolicy", text, fault.Of(err))
			}
			return
		}
		again, err := policy.Parse(d.Use(), d.Text())
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("Parse(%q) differs from the document it came from: %v", d.Text(), err)
		}
	})
}

// FuzzEvaluate holds that Evaluate ends, agrees with Explain, and that a document that denies everything is obeyed.
func FuzzEvaluate(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text, "s3:GetObject", "arn:aws:s3:::data/pay/x", "aws:PrincipalTag/kubernetes-namespace", "pay")
		f.Add(text, "sts:AssumeRole", "*", "aws:SourceArn", "arn:aws:eks:us-east-1:111122223333:cluster/prod-1")
	}
	f.Fuzz(func(t *testing.T, text, action, resource, key, value string) {
		q := &policy.Question{
			Action: action, Resource: resource,
			Principal: policy.Principal{Kind: policy.AWS, Account: "111122223333", Names: []string{value}},
			Context:   policy.Context{{Key: key, Values: []string{value}}},
		}
		for _, use := range []policy.Use{policy.Identity, policy.Trust} {
			d, err := policy.Parse(use, text)
			if err != nil {
				continue
			}
			docs := []*policy.Document{d}
			got := policy.Evaluate(q, docs)
			if trace := policy.Explain(q, docs); trace.Decision != got {
				t.Errorf("Explain = %+v, Evaluate = %+v", trace.Decision, got)
			}
			closed := mustParse(t, policy.Identity, `{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}`)
			if got := policy.Evaluate(q, append(docs, closed)); got.Effect != policy.Deny {
				t.Errorf("with a Deny of everything = %v", got.Effect)
			}
		}
	})
}
