package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/openlanyard/lanyard/policy"
)

// world makes random documents and questions from few words, so that they often meet.
type world struct{ *rand.Rand }

func (w world) pick(from ...string) string { return from[w.IntN(len(from))] }

func (w world) some(from ...string) []string {
	all := make([]string, 1+w.IntN(3))
	for i := range all {
		all[i] = w.pick(from...)
	}
	return all
}

// typedValues are operators that read what they compare, with values for them.
var typedValues = []struct{ operators, values []string }{
	{[]string{"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericGreaterThanEquals"}, []string{"1", "2.5", "-3"}},
	{[]string{"DateEquals", "DateNotEquals", "DateLessThanEquals", "DateGreaterThan"}, []string{"2026", "2026-11-25T09:00:00Z", "1"}},
	{[]string{"IpAddress", "NotIpAddress"}, []string{"10.0.0.0/8", "10.1.2.3", "::/0"}},
}

// statement returns a random statement with the effect.
func (w world) statement(use policy.Use, effect string) map[string]any {
	s := map[string]any{"Effect": effect}
	s[w.pick("Action", "Action", "Action", "NotAction")] = w.some("*", "s3:*", "s3:Get*", "s3:GetObject", "S3:putobject", "iam:?etRole", "eks:*")
	if use == policy.Trust {
		s["Principal"] = map[string]any{w.pick("AWS", "AWS", "Service"): "*"}
		if w.IntN(4) > 0 {
			s["Principal"] = map[string]any{
				"AWS":     w.some("111122223333", "arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223333:user/u", "*"),
				"Service": w.some("pods.eks.amazonaws.com", "ec2.amazonaws.com"),
			}
		} else {
			s["Principal"] = "*"
		}
	} else {
		s[w.pick("Resource", "Resource", "Resource", "NotResource")] = w.some("*", "arn:aws:s3:::a/*", "arn:aws:s3:::b", "arn:aws:s3:::b/x*",
			"arn:aws:s3:::?/x", "arn:aws:s3:::a/${k:one}", "arn:aws:iam::111122223333:role/*", "arn:aws:s3:::${k:one, 'b'}/x", "arn:*")
	}
	if w.IntN(2) == 0 {
		operator := w.pick("", "ForAllValues:", "ForAnyValue:") + w.pick("StringEquals", "StringNotEquals", "StringLike", "StringNotLike") +
			w.pick("", "IfExists")
		s["Condition"] = map[string]any{operator: map[string]any{w.pick("k:one", "k:two"): w.some("a", "b", "*", "${k:one}", "${k:two, 'a'}")}}
		if typed := w.IntN(6); typed < len(typedValues) {
			v := typedValues[typed]
			operator = w.pick("", "ForAllValues:", "ForAnyValue:") + w.pick(v.operators...) + w.pick("", "IfExists")
			s["Condition"] = map[string]any{operator: map[string]any{w.pick("k:one", "k:three"): w.some(v.values...)}}
		}
	}
	return s
}

func (w world) document(use policy.Use) []map[string]any {
	all := make([]map[string]any, 1+w.IntN(12))
	for i := range all {
		all[i] = w.statement(use, w.pick("Allow", "Allow", "Allow", "Deny"))
	}
	return all
}

func (w world) question() *policy.Question {
	q := &policy.Question{
		Action: w.pick("s3:GetObject", "s3:PutObject", "iam:GetRole", "EKS:ListClusters"),
		Resource: w.pick("*", "arn:aws:s3:::a/x", "arn:aws:s3:::b", "arn:aws:s3:::b/x", "arn:aws:s3:::a/a", "arn:aws:iam::111122223333:role/r",
			"arn:aws:s3:::a", ""),
	}
	switch w.IntN(3) {
	case 0:
		q.Principal = policy.Principal{Kind: policy.Service, Names: []string{w.pick("pods.eks.amazonaws.com", "s3.amazonaws.com")}}
	case 1:
		q.Principal = policy.Principal{Kind: policy.AWS, Account: w.pick("111122223333", "444455556666"), Names: []string{
			w.pick("arn:aws:iam::111122223333:role/r", "arn:aws:iam::111122223333:user/v"),
		}}
	}
	for _, key := range []string{"k:one", "K:Two"} {
		if w.IntN(3) > 0 {
			q.Context = append(q.Context, policy.Entry{Key: key, Values: w.some("a", "b", "*", "")})
		}
	}
	if w.IntN(3) > 0 {
		q.Context = append(q.Context, policy.Entry{Key: "k:Three", Values: w.some("1", "3", "2026", "2026-11-25", "10.1.2.3", "2001:db8::1", "x")})
	}
	return q
}

func compileAll(t *testing.T, use policy.Use, statements []map[string]any) *policy.Document {
	t.Helper()
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	return mustParse(t, use, string(text))
}

// TestProperties holds, for random documents and questions: Explain and Evaluate agree, which also says that the index
// leaves out nothing; a Deny added anywhere never allows; a document parses to the same from its own text.
func TestProperties(t *testing.T) {
	w := world{rand.New(rand.NewPCG(3, 4))}
	effects := map[string]int{}
	for range 1000 {
		use := []policy.Use{policy.Identity, policy.Trust}[w.IntN(2)]
		statements := w.document(use)
		d := compileAll(t, use, statements)
		if again := mustParse(t, use, d.Text()); !reflect.DeepEqual(again, d) {
			t.Fatalf("Parse(Text()) differs for %s", d.Text())
		}
		at := w.IntN(len(statements) + 1)
		denying := append([]map[string]any{}, statements[:at]...)
		denying = append(append(denying, w.statement(use, "Deny")), statements[at:]...)
		stricter := policy.Layers{Identity: []*policy.Document{compileAll(t, use, denying)}}
		layers := policy.Layers{Identity: []*policy.Document{d}}
		if w.IntN(2) == 0 {
			session := compileAll(t, policy.Session, w.document(policy.Session))
			layers.Session, stricter.Session = []*policy.Document{session}, []*policy.Document{session}
		}
		for range 10 {
			q := w.question()
			got := layers.Evaluate(q)
			effects[fmt.Sprint(got.Effect, " ", got.Named)]++
			if trace := layers.Explain(q); trace.Decision != got {
				t.Fatalf("%s\n%+v\nExplain = %+v, Evaluate = %+v", d.Text(), q, trace.Decision, got)
			}
			if after := stricter.Evaluate(q).Effect; got.Effect != policy.Allow && after == policy.Allow {
				t.Fatalf("%s\n%+v\n%v became Allow with a Deny more", d.Text(), q, got.Effect)
			}
			if got.Effect == policy.Allow && policy.Evaluate(q, layers.Identity).Effect != policy.Allow {
				t.Fatalf("%s\n%+v\nallowed only with a session policy", d.Text(), q)
			}
		}
	}
	for _, effect := range []string{"Allow 0", "Allow 2", "Deny 0", "Deny 2", "ImplicitDeny 0"} {
		if effects[effect] < 100 {
			t.Errorf("%s came %d times: the documents and questions do not meet", effect, effects[effect])
		}
	}
}
