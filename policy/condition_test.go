package policy

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
)

// TestEveryOperatorHasItsCases holds each row of the table: a context that meets the condition, one that does not, and a
// value that is refused. Both contexts are values of the key k:k.
func TestEveryOperatorHasItsCases(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/"
	cases := map[string]struct{ value, holds, fails, malformed string }{
		"StringEquals":              {`"a*"`, "a*", "ab", `1`},
		"StringNotEquals":           {`"a*"`, "ab", "a*", `"${k"`},
		"StringEqualsIgnoreCase":    {`"Pay"`, "pAY", "play", `true`},
		"StringNotEqualsIgnoreCase": {`"Pay"`, "play", "pAY", `{}`},
		"StringLike":                {`"a?c*"`, "abcd", "ac", `["a", 1]`},
		"StringNotLike":             {`"a?c*"`, "ac", "abcd", `[]`},
		"ArnEquals":                 {`"` + role + `*"`, role + "x/y", "arn:aws:iam::222233334444:role/x", `"role"`},
		"ArnNotEquals":              {`"` + role + `*"`, "arn:aws:iam::222233334444:role/x", role + "x", `"*"`},
		"ArnLike":                   {`"arn:aws:iam::*:role/${k:role}"`, role + "r", role + "s", `"arn:aws:iam::1"`},
		"ArnNotLike":                {`"arn:aws:iam::*:role/x"`, "no ARN", role + "x", `"${k:role}"`},
		"NumericEquals":             {`["10", 7]`, "10.0", "10.01", `"ten"`},
		"NumericNotEquals":          {`"10"`, "-10", "010", `"1e1"`},
		"NumericLessThan":           {`"10"`, "9.99", "10", `1e1`},
		"NumericLessThanEquals":     {`10`, "10", "11", `""`},
		"NumericGreaterThan":        {`"-0.5"`, "-0.25", "-0.5", `"${k:role}"`},
		"NumericGreaterThanEquals":  {`"12345678901234567890"`, "12345678901234567890", "12345678901234567889", `"*"`},
		"DateEquals":                {`"2026-11-25T09:00:00+01:00"`, "2026-11-25T08:00:00Z", "2026-11-25T09:00:00Z", `"today"`},
		"DateNotEquals":             {`1764096516`, "2026-11-25T18:48:36Z", "2025-11-25T18:48:36Z", `"2026-11-25 09:00:00"`},
		"DateLessThan":              {`"2026-12"`, "2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z", `"2026-13"`},
		"DateLessThanEquals":        {`"2026-11-25"`, "2026-11-25T00:00:00Z", "2026-11-25T00:00:01Z", `"2026-02-30"`},
		"DateGreaterThan":           {`"2026"`, "1767225601", "1767225600", `"2026-11-25T09:00:00"`},
		"DateGreaterThanEquals":     {`"2026-11-25T09:00Z"`, "2026-11-25T09:00Z", "2026-11-25T08:59:59Z", `true`},
		"IpAddress":                 {`["203.0.113.0/24", "2001:db8::/32"]`, "203.0.113.7", "203.0.114.7", `"203.0.113.0/33"`},
		"NotIpAddress":              {`["10.1.2.3/8", "2001:db8::1"]`, "2001:db8::2", "::ffff:10.9.9.9", `"::ffff:10.0.0.0/104"`},
		"BinaryEquals":              {`"aGk/"`, "hi?", "aGk/", `"aGk"`},
		"Bool":                      {`"true"`, "True", "false", `"yes"`},
		"Null":                      {`"false"`, "x", "", `"no"`},
	}
	for _, op := range operators {
		t.Run(op.name, func(t *testing.T) {
			c, ok := cases[op.name]
			if !ok {
				t.Fatal("no cases: a holding, a failing and a malformed one are wanted")
			}
			for value, want := range map[string]bool{c.holds: true, c.fails: false} {
				ctx := Context{{Key: "k:role", Values: []string{"r"}}}
				if value != "" {
					ctx = append(ctx, Entry{Key: "k:k", Values: []string{value}})
				}
				if got := decide(t, "Allow", op.name, c.value, ctx); got != want {
					t.Errorf("%s %s with %q = %v, want %v", op.name, c.value, value, got, want)
				}
			}
			if _, err := Parse(Identity, conditional("Allow", op.name, c.malformed)); !fault.Is(err, fault.MalformedPolicy) {
				t.Errorf("%s %s: %v, want a MalformedPolicy error", op.name, c.malformed, err)
			} else if !strings.Contains(err.Error(), op.name) {
				t.Errorf("%s %s: %v, want it to name the operator", op.name, c.malformed, err)
			}
		})
	}
}

// conditional returns a document whose one statement has a condition on k:k.
func conditional(effect, operator, value string) string {
	return `{"Version": "2012-10-17", "Statement": {"Effect": "` + effect + `", "Action": "*", "Resource": "*", "Condition": {"` +
		operator + `": {"k:k": ` + value + `}}}}`
}

// decide reports whether the statement applies.
func decide(t *testing.T, effect, operator, value string, ctx Context) bool {
	t.Helper()
	d, err := Parse(Identity, conditional(effect, operator, value))
	if err != nil {
		t.Fatal(err)
	}
	got := Evaluate(&Question{Action: "a:B", Resource: "*", Context: ctx}, []*Document{d})
	return got.Statement != nil
}

func TestValuesOfAKeyCountTogether(t *testing.T) {
	var (
		missing []string
		blank   = []string{""}
		a       = []string{"a"}
		x       = []string{"x"}
		ab      = []string{"a", "b"}
		ax      = []string{"a", "x"}
		xy      = []string{"x", "y"}
	)
	tests := []struct {
		operator string
		holds    [][]string
		fails    [][]string
	}{
		{"StringEquals", [][]string{a, ab, ax}, [][]string{missing, blank, x, xy}},
		{"StringNotEquals", [][]string{missing, blank, x, xy}, [][]string{a, ab, ax}},
		{"StringEqualsIfExists", [][]string{missing, a, ax}, [][]string{blank, x, xy}},
		{"StringNotEqualsIfExists", [][]string{missing, blank, x, xy}, [][]string{a, ab, ax}},
		{"ForAllValues:StringEquals", [][]string{missing, blank, a, ab}, [][]string{x, ax, xy}},
		{"ForAllValues:StringNotEquals", [][]string{missing, blank, x, xy}, [][]string{a, ab, ax}},
		{"ForAllValues:StringEqualsIfExists", [][]string{missing, blank, a, ab}, [][]string{x, ax, xy}},
		{"ForAnyValue:StringEquals", [][]string{a, ab, ax}, [][]string{missing, blank, x, xy}},
		{"ForAnyValue:StringNotEquals", [][]string{x, xy, ax}, [][]string{missing, blank, a, ab}},
		{"ForAnyValue:StringEqualsIfExists", [][]string{missing, a, ab, ax}, [][]string{blank, x, xy}},
	}
	for _, tt := range tests {
		for want, all := range map[bool][][]string{true: tt.holds, false: tt.fails} {
			for _, values := range all {
				ctx := Context{{Key: "K:k", Values: values}}
				if got := decide(t, "Allow", tt.operator, `["a", "b"]`, ctx); got != want {
					t.Errorf("%s [a b] with %q = %v, want %v", tt.operator, values, got, want)
				}
			}
		}
	}
}

// A variable without a value must neither open what an Allow says nor close what a Deny says.
func TestAMissingVariableNeverHelps(t *testing.T) {
	ctx := Context{{Key: "k:k", Values: []string{"red"}}}
	for _, tt := range []struct {
		effect, operator string
		want             bool
	}{
		{"Allow", "StringEquals", false},
		{"Allow", "StringNotEquals", false},
		{"Allow", "ForAllValues:StringNotEquals", false},
		{"Deny", "StringEquals", false},
		{"Deny", "StringNotEquals", true},
	} {
		if got := decide(t, tt.effect, tt.operator, `"${aws:PrincipalTag/team}"`, ctx); got != tt.want {
			t.Errorf("%s %s with no value for the variable = %v, want %v", tt.effect, tt.operator, got, tt.want)
		}
	}
	with := append(Context{{Key: "aws:PrincipalTag/team", Values: []string{"blue"}}}, ctx...)
	if !decide(t, "Allow", "StringNotEquals", `"${aws:PrincipalTag/team}"`, with) {
		t.Error("Allow StringNotEquals with another value for the variable = false, want true")
	}
}

// A value that cannot be read must neither open what an Allow says nor close what a Deny says. A key that is missing is
// what it is for every operator: not equal.
func TestAnUnreadableValueNeverHelps(t *testing.T) {
	for _, tt := range []struct {
		operator, value, unreadable string
	}{
		{"NumericNotEquals", `"10"`, "ten"},
		{"DateNotEquals", `"2026"`, "yesterday"},
		{"NotIpAddress", `"10.0.0.0/8"`, "localhost"},
	} {
		unreadable, empty := Context{{Key: "k:k", Values: []string{tt.unreadable}}}, Context{}
		for _, c := range []struct {
			effect, operator string
			ctx              Context
			want             bool
		}{
			{"Allow", tt.operator, unreadable, false},
			{"Deny", tt.operator, unreadable, true},
			{"Allow", "ForAllValues:" + tt.operator, unreadable, false},
			{"Allow", "ForAnyValue:" + tt.operator, unreadable, false},
			{"Allow", tt.operator + "IfExists", unreadable, false},
			{"Allow", tt.operator, empty, true},
			{"Deny", tt.operator, empty, true},
			{"Allow", tt.operator + "IfExists", empty, true},
			{"Allow", "ForAnyValue:" + tt.operator, empty, false},
		} {
			if got := decide(t, c.effect, c.operator, tt.value, c.ctx); got != c.want {
				t.Errorf("%s %s %s with %v = %v, want %v", c.effect, c.operator, tt.value, c.ctx, got, c.want)
			}
		}
	}
	for _, operator := range []string{"NumericEquals", "NumericLessThan", "NumericGreaterThanEquals"} {
		for _, effect := range []string{"Allow", "Deny"} {
			for _, values := range [][]string{nil, {"ten"}, {""}} {
				if decide(t, effect, operator, `"10"`, Context{{Key: "k:k", Values: values}}) {
					t.Errorf("%s %s 10 with %q holds", effect, operator, values)
				}
			}
		}
	}
}

func TestValuesOfATypeCountTogether(t *testing.T) {
	for _, tt := range []struct {
		operator, given string
		values          []string
		want            bool
	}{
		{"NumericLessThan", `["5", "10"]`, []string{"7"}, true},
		{"NumericLessThan", `["5", "10"]`, []string{"11", "4"}, true},
		{"ForAllValues:NumericLessThan", `"10"`, []string{"11", "4"}, false},
		{"ForAllValues:NumericLessThan", `"10"`, []string{"9", "4"}, true},
		{"ForAllValues:NumericLessThan", `"10"`, nil, true},
		{"ForAllValues:NumericLessThan", `"10"`, []string{"9", "x"}, false},
		{"ForAnyValue:IpAddress", `"10.0.0.0/8"`, []string{"192.0.2.1", "10.0.0.1"}, true},
		{"ForAnyValue:IpAddress", `"10.0.0.0/8"`, []string{"192.0.2.1"}, false},
		{"NotIpAddress", `["10.0.0.0/8", "192.0.2.0/24"]`, []string{"192.0.2.1"}, false},
		{"DateGreaterThanIfExists", `"2026"`, nil, true},
		{"DateGreaterThanIfExists", `"2026"`, []string{"2025-01-01"}, false},
	} {
		if got := decide(t, "Allow", tt.operator, tt.given, Context{{Key: "k:k", Values: tt.values}}); got != tt.want {
			t.Errorf("%s %s with %q = %v, want %v", tt.operator, tt.given, tt.values, got, tt.want)
		}
	}
}
