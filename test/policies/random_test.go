package policies

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// rounds is how many questions are asked; LANYARD_POLICY_ROUNDS asks others.
const rounds = 4_000

// TestBothDecideAlike asks random questions. What is left out of them on purpose is in TestWhereTheyDiffer.
func TestBothDecideAlike(t *testing.T) {
	n, seed := rounds, uint64(1)
	if text := os.Getenv("LANYARD_POLICY_ROUNDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		seed = rand.Uint64()
	}
	w, p := world{rand.New(rand.NewPCG(seed, 5))}, startPeer(t)
	differ, seen := 0, map[string]int{}
	for range n {
		q := w.question()
		got, want := ours(t, q), p.ask(t, q)
		seen[got]++
		if got != want {
			q = shrink(t, p, q)
			text, err := json.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("seed %d: we say %s, the other %s, of\n%s", seed, ours(t, q), p.ask(t, q), text)
			if differ++; differ == 10 {
				break
			}
		}
	}
	for _, answer := range answers {
		if seen[answer] < n/50 {
			t.Errorf("%s came %d times of %d: the questions do not meet the documents", answer, seen[answer], n)
		}
	}
}

// world makes random documents and questions from few words, so that they often meet.
type world struct{ *rand.Rand }

func (w world) pick(from ...string) string { return from[w.IntN(len(from))] }

// some is a value, or a list of one to three.
func (w world) some(from ...string) any {
	if w.IntN(2) == 0 {
		return w.pick(from...)
	}
	all := make([]string, 1+w.IntN(3))
	for i := range all {
		all[i] = w.pick(from...)
	}
	return all
}

// comparisons are the operators with values for policies and for requests.
var comparisons = []struct{ operators, given, asked []string }{
	{
		[]string{"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"},
		[]string{"a", "A", "b", "a*", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/none, 'a'}", "x.y"},
		[]string{"a", "A", "b", "ab", "a*", "*", "x.y", "xzy"},
	},
	{
		[]string{"StringLike", "StringNotLike"},
		[]string{"a*", "?b", "*", "*/x", "a?c*e", "${*}*", "${aws:PrincipalTag/team}*", "(a|b)"},
		[]string{"a", "ab", "abcde", "q/x", "*z", "red-1", "(a|b)"},
	},
	{
		[]string{"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"},
		[]string{"arn:aws:iam::*:role/*", "arn:aws:s3:::b", "arn:*:*:*:*:*", "arn:aws:iam::111122223333:role/${aws:PrincipalTag/team}", "arn:aws:s?:::b*"},
		[]string{"arn:aws:iam::111122223333:role/red", "arn:aws:s3:::b", "arn:aws:s3:::bucket", "arn:aws:iam::444455556666:role/a/b", "arn:aws:sns:us-east-1:111122223333:t:s"},
	},
	{
		[]string{"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals"},
		[]string{"10", "-2", "0.5", "100"},
		[]string{"10", "10.0", "-2", "-3", "0.50", "99", "101"},
	},
	{
		[]string{"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"},
		[]string{"2026-11-25T09:00:00Z", "2026-11-25", "2026-11-25T10:00:00+01:00"},
		[]string{"2026-11-25T09:00:00Z", "2026-11-25T00:00:00Z", "2027-01-01T00:00:00Z", "2025-01-01T00:00:00Z"},
	},
	{
		[]string{"IpAddress", "NotIpAddress"},
		[]string{"10.0.0.0/8", "203.0.113.7/32", "2001:db8::/32", "2001:db8::1/128", "10.0.0.0/9"},
		[]string{"10.1.2.3", "203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db9::1", "::1"},
	},
	{[]string{"Bool"}, []string{"true", "false", "True"}, []string{"true", "false", "TRUE"}},
	{[]string{"Null"}, []string{"true", "false"}, []string{"x"}},
}

// condition returns a condition of one operator, and sometimes gives its key a value of the operator's type.
func (w world) condition(context map[string]any) object {
	kind := w.IntN(len(comparisons))
	c := comparisons[kind]
	operator, key := w.pick(c.operators...), "aws:RequestTag/"+strconv.Itoa(2*kind+w.IntN(2))
	if operator != "Null" && w.IntN(3) == 0 {
		operator, key = w.pick("ForAllValues:", "ForAnyValue:")+operator, key+"/many"
	}
	if operator != "Null" && !strings.HasPrefix(operator, "ForAnyValue:") && w.IntN(4) == 0 {
		operator += "IfExists"
	}
	if _, set := context[key]; !set && w.IntN(4) > 0 {
		context[key] = w.pick(c.asked...)
		if strings.HasSuffix(key, "/many") {
			values := make([]string, 1+w.IntN(3))
			for i := range values {
				values[i] = w.pick(c.asked...)
			}
			context[key] = values
		}
	}
	return object{operator: object{key: w.some(c.given...)}}
}

func (w world) statement(q *question, resource bool) object {
	s := object{"Effect": w.pick("Allow", "Allow", "Allow", "Deny")}
	s[w.pick("Action", "Action", "Action", "NotAction")] = w.some("*", "dynamodb:*", "dynamodb:Get*", "DynamoDB:PutItem", "dynamodb:?etItem", "sns:*", "dynamodb:GetItem")
	s[w.pick("Resource", "Resource", "Resource", "NotResource")] = w.some("*", "arn:aws:dynamodb:us-east-1:111122223333:table/a", "arn:aws:dynamodb:*:*:table/a*",
		"arn:aws:dynamodb:us-east-1:*:table/${aws:PrincipalTag/team}", "arn:aws:dynamodb:us-east-?:444455556666:*",
		"arn:aws:dynamodb:us-east-1:111122223333:table/${aws:PrincipalTag/none, 'a'}")
	if resource {
		s["Principal"] = "*"
		if w.IntN(5) > 0 {
			s["Principal"] = object{"AWS": w.some(account, "arn:aws:iam::111122223333:root", "444455556666", "arn:aws:iam::111122223333:role/r",
				"arn:aws:iam::111122223333:user/u", "arn:aws:sts::111122223333:assumed-role/r/s", "arn:aws:sts::111122223333:assumed-role/r/other")}
		}
	}
	for range w.IntN(3) {
		if s["Condition"] == nil {
			s["Condition"] = w.condition(q.Context)
		}
	}
	return s
}

func (w world) document(q *question, resource bool) object {
	all := make([]object, 1+w.IntN(3))
	for i := range all {
		all[i] = w.statement(q, resource)
	}
	if len(all) == 1 && w.IntN(2) == 0 {
		return object{"Version": "2012-10-17", "Statement": all[0]}
	}
	return object{"Version": "2012-10-17", "Statement": all}
}

func (w world) question() *question {
	q := &question{
		Action:   w.pick("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:getitem"),
		Resource: w.pick("arn:aws:dynamodb:us-east-1:111122223333:table/a", "arn:aws:dynamodb:us-east-1:111122223333:table/ab", "arn:aws:dynamodb:us-east-1:111122223333:table/red", "arn:aws:dynamodb:us-west-2:111122223333:table/a"),
		Owner:    account, Context: map[string]any{}, Identity: []object{},
	}
	q.Context["aws:PrincipalTag/team"] = w.pick("red", "a")
	switch w.IntN(2) {
	case 0:
		q.names = []string{"arn:aws:iam::111122223333:user/u"}
	case 1:
		q.names = []string{"arn:aws:sts::111122223333:assumed-role/r/s", "arn:aws:iam::111122223333:role/r"}
	}
	for range 1 + w.IntN(2) {
		q.Identity = append(q.Identity, w.document(q, false))
	}
	if w.IntN(3) == 0 {
		q.Boundary = []object{w.document(q, false)}
	}
	if w.IntN(3) == 0 {
		q.ResourcePolicy = w.document(q, true)
	}
	q.Principal = q.names[0]
	if q.ResourcePolicy == nil && len(q.names) > 1 && w.IntN(2) == 0 {
		q.Session = w.document(q, false)
	}
	if q.ResourcePolicy != nil && w.IntN(3) == 0 {
		q.Owner, q.Resource = "444455556666", "arn:aws:dynamodb:us-east-1:444455556666:table/a"
	}
	return q
}
