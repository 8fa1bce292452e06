package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/policy"
)

// TestForeseeKeepsItsWord holds, for random documents and questions of which a part of the context is hidden: what is
// foreseen for certain comes so, and what is foreseen as impossible never comes.
func TestForeseeKeepsItsWord(t *testing.T) {
	w := world{rand.New(rand.NewPCG(5, 6))}
	came := map[string]int{}
	for range 2000 {
		layers := policy.Layers{Identity: []*policy.Document{compileAll(t, policy.Identity, w.document(policy.Identity))}}
		if w.IntN(3) == 0 {
			layers.Boundary = []*policy.Document{compileAll(t, policy.Identity, w.document(policy.Identity))}
		}
		if w.IntN(3) == 0 {
			layers.Session = []*policy.Document{compileAll(t, policy.Session, w.document(policy.Session))}
		}
		for range 10 {
			q := w.question()
			hidden := w.some("k:one", "k:two", "k:three")
			if w.IntN(4) == 0 {
				hidden = nil
			}
			known := *q
			known.Context = slices.DeleteFunc(slices.Clone(q.Context), func(e policy.Entry) bool { return slices.Contains(hidden, strings.ToLower(e.Key)) })
			got := layers.Foresee(&known, policy.Unnamed, func(key string) bool { return !slices.Contains(hidden, key) })
			is := layers.Evaluate(q)
			what := fmt.Sprintf("%s\n%+v\nwithout %v: foreseen %v with %d open, and it is %v", layers.Identity[0].Text(), q, hidden, got.Effect, len(got.Open), is.Effect)
			sure := len(got.Open) == 0
			switch {
			case got.Effect != policy.Allow && is.Effect == policy.Allow, got.Effect == policy.Allow && sure && is.Effect != policy.Allow,
				got.Effect == policy.Deny && is.Effect != policy.Deny:
				t.Fatal(what)
			case hidden == nil && (got.Decision != is || !sure):
				t.Fatalf("%s\nwith nothing hidden", what)
			}
			came[fmt.Sprint(got.Effect, sure, is.Effect)]++
		}
	}
	for _, outcome := range []string{"Allow true Allow", "Allow false Allow", "Allow false ImplicitDeny", "Allow false Deny", "Deny true Deny", "ImplicitDeny true ImplicitDeny"} {
		if came[outcome] < 50 {
			t.Errorf("%s came %d times: %v", outcome, came[outcome], came)
		}
	}
}

func TestForesee(t *testing.T) {
	const version = `{"Version":"2012-10-17","Statement":`
	tags := policy.Context{{Key: "aws:PrincipalTag/kubernetes-namespace", Values: []string{"billing"}}}
	onlyTags := func(key string) bool { return strings.HasPrefix(key, "aws:principaltag/") || key == "aws:username" }
	for _, test := range []struct {
		name, document string
		want           policy.Effect
		open           []policy.Term
	}{
		{"plain", `{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`, policy.Allow, nil},
		{"another action", `{"Effect":"Allow","Action":"s3:Put*","Resource":"*"}}`, policy.ImplicitDeny, nil},
		{"its tag", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"billing"}}}}`, policy.Allow, nil},
		{"another's tag", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"web"}}}}`, policy.ImplicitDeny, nil},
		{"a tag it will not have", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"a"}}}}`, policy.ImplicitDeny, nil},
		{
			"an unknown key", `{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8"]},"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"billing"}}}}`,
			policy.Allow,
			[]policy.Term{{Operator: "IpAddress", Key: "aws:SourceIp", Values: []string{"10.0.0.0/8"}}},
		},
		{
			"an unknown Deny", `[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}`,
			policy.Allow,
			[]policy.Term{{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"false"}}},
		},
		{"a sure Deny", `[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Null":{"aws:PrincipalTag/team":"true"}}}]}`, policy.Deny, nil},
		{"its variable", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/${aws:PrincipalTag/kubernetes-namespace}/*"}}`, policy.Allow, nil},
		{"a variable without value", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::data/${aws:username}/*"}}`, policy.ImplicitDeny, nil},
		{
			"an unknown variable", `{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::other/*","arn:aws:s3:::data/${aws:userid}/*"]}}`,
			policy.Allow,
			[]policy.Term{{Key: "Resource", Values: []string{"arn:aws:s3:::data/${aws:userid}/*"}}},
		},
		{"an unknown variable elsewhere", `{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::log/${aws:userid}/*"}}`, policy.ImplicitDeny, nil},
		{"all but its own", `{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::data/${aws:PrincipalTag/kubernetes-namespace}/*"}}`, policy.ImplicitDeny, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := &policy.Question{Action: "s3:GetObject", Resource: "arn:aws:s3:::data/billing/x", Context: tags}
			got := policy.Foresee(q, []*policy.Document{mustParse(t, policy.Identity, version+test.document)}, onlyTags)
			var open []policy.Term
			for i := range got.Open {
				open = append(open, got.Open[i].Undecided(got.Open[i].Document.Terms(got.Open[i].Statement))...)
			}
			if got.Effect != test.want {
				t.Errorf("%v, want %v", got.Effect, test.want)
			}
			if diff := cmp.Diff(test.open, open); diff != "" {
				t.Errorf("open (-want +got):\n%s", diff)
			}
		})
	}
}

// Where ${ is text it stays, also if the document has the name of the later version somewhere.
func TestNothingIsFilledIntoAnOldDocument(t *testing.T) {
	d := mustParse(t, policy.Identity, `{"Id":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/${k:one}"}}`)
	terms := d.Terms(&d.Statements()[0])
	got := d.Filled(terms, policy.Context{{Key: "k:one", Values: []string{"a"}}}, nil)
	if diff := cmp.Diff(terms, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProspects(t *testing.T) {
	d := mustParse(t, policy.Identity, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::data/${k:one}/*","arn:aws:s3:::x/${k:none}","arn:aws:s3:::y/${k:none, 'd'}","arn:aws:s3:::z/${k:what}${*}"]},
		{"Effect":"Deny","NotAction":"s3:*","NotResource":"arn:aws:s3:::b","Condition":{"NumericLessThan":{"k:what":5}}},
		{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"k:one":"other"}}}]}`)
	ctx := policy.Context{{Key: "k:One", Values: []string{"a"}}}
	lacks := func(key string) bool { return key == "k:none" }
	var got []policy.Terms
	for _, p := range policy.Prospects(ctx, []*policy.Document{d}, policy.OfIdentity, lacks) {
		got = append(got, d.Filled(d.Terms(p.Statement), ctx, lacks))
	}
	want := []policy.Terms{
		{Effect: policy.Allow, Actions: []string{"s3:GetObject", "s3:PutObject"}, Resources: []string{"arn:aws:s3:::data/a/*", "arn:aws:s3:::y/d", "arn:aws:s3:::z/${k:what}${*}"}},
		{
			Effect: policy.Deny, NotActions: []string{"s3:*"}, NotResources: []string{"arn:aws:s3:::b"},
			Conditions: []policy.Term{{Operator: "NumericLessThan", Key: "k:what", Values: []string{"5"}}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
