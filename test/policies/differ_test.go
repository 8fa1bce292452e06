package policies

import "testing"

const (
	guide    = "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
	allowed  = "Allowed"
	denied   = "ExplicitlyDenied"
	nobody   = "ImplicitlyDenied"
	table    = "arn:aws:dynamodb:us-east-1:111122223333:table/a"
	queue    = "arn:aws:sqs:us-east-1:111122223333:a"
	everyone = "*"
)

// differences are what the two are known to decide differently, with the page of AWS's documentation that decides. Those of
// one operator stand for its family. docs/COMPATIBILITY.md has the list.
var differences = []struct {
	name, page   string
	effect       string
	resource     string
	condition    object
	context      map[string]any
	ours, theirs string
}{
	{
		"an escaped star where stars are no wildcards", guide + "reference_policies_variables.html", "Allow", everyone,
		object{"StringEquals": object{"aws:RequestTag/k": "${*}"}},
		map[string]any{"aws:RequestTag/k": "*"},
		allowed, nobody,
	},
	{
		"every IPv4 address", guide + "reference_policies_elements_condition_operators.html", "Allow", everyone,
		object{"IpAddress": object{"aws:SourceIp": "0.0.0.0/0"}},
		map[string]any{"aws:SourceIp": "10.1.2.3"},
		allowed, nobody,
	},
	{
		"an IPv6 address is not that IPv4 address", guide + "reference_policies_elements_condition_operators.html", "Allow", everyone,
		object{"NotIpAddress": object{"aws:SourceIp": "203.0.113.7"}},
		map[string]any{"aws:SourceIp": "2001:db8::1"},
		allowed, nobody,
	},
	{
		"bytes of the request against base64 of the policy", guide + "reference_policies_elements_condition_operators.html", "Allow", everyone,
		object{"BinaryEquals": object{"aws:RequestTag/k": "aGk/"}},
		map[string]any{"aws:RequestTag/k": "hi?"},
		allowed, nobody,
	},
	{
		"IfExists holds without the key, for a set too", guide + "reference_policies_elements_condition_operators.html", "Allow", everyone,
		object{"ForAnyValue:StringEqualsIfExists": object{"aws:TagKeys": "a"}},
		map[string]any{},
		allowed, nobody,
	},
	{
		"an empty text is an empty set", guide + "reference_policies_condition-single-vs-multi-valued-context-keys.html", "Allow", everyone,
		object{"ForAllValues:StringLike": object{"aws:TagKeys": "a*"}},
		map[string]any{"aws:TagKeys": []string{""}},
		allowed, nobody,
	},
	{
		"a missing variable equals nothing, and a Deny of what is not equal stands", guide + "reference_policies_variables.html", "Deny", everyone,
		object{"StringNotEquals": object{"aws:RequestTag/k": "${aws:PrincipalTag/none}"}},
		map[string]any{"aws:RequestTag/k": "a"},
		denied, nobody,
	},
	{
		"what is no number is not that number, for a Deny", guide + "reference_policies_elements_condition_operators.html", "Deny", everyone,
		object{"NumericNotEquals": object{"aws:RequestTag/k": "10"}},
		map[string]any{"aws:RequestTag/k": "ten"},
		denied, nobody,
	},
	{
		"four digits are a year", guide + "reference_policies_elements_condition_operators.html", "Allow", everyone,
		object{"DateLessThan": object{"aws:CurrentTime": "2026"}},
		map[string]any{"aws:CurrentTime": "2025-11-25T09:00:00Z"},
		allowed, nobody,
	},
}

// TestWhereTheyDiffer holds that the list is true of both: what they come to agree on leaves it.
func TestWhereTheyDiffer(t *testing.T) {
	p := startPeer(t)
	for _, d := range differences {
		t.Run(d.name, func(t *testing.T) {
			s := object{"Effect": d.effect, "Action": "*", "Resource": d.resource}
			if d.condition != nil {
				s["Condition"] = d.condition
			}
			q := user(table, d.context)
			q.Identity = []object{{"Version": "2012-10-17", "Statement": []object{s}}}
			holds(t, p, q, d.ours, d.theirs, d.page)
		})
	}
	t.Run("a variable in a resource without a slash", func(t *testing.T) {
		q := user(queue, map[string]any{"aws:PrincipalTag/team": "a"})
		q.Identity = []object{document("Allow", "arn:aws:sqs:us-east-1:111122223333:${aws:PrincipalTag/team}")}
		holds(t, p, q, allowed, nobody, guide+"reference_policies_variables.html")
	})
	t.Run("a session that a resource's policy names is not limited by its session policy", func(t *testing.T) {
		q := user(table, map[string]any{})
		q.names = []string{"arn:aws:sts::111122223333:assumed-role/r/s", "arn:aws:iam::111122223333:role/r"}
		q.Principal, q.Session, q.ResourcePolicy = q.names[0], document("Allow", "arn:aws:s3:::b"), document("Allow", everyone)
		q.ResourcePolicy["Statement"].(object)["Principal"] = object{"AWS": q.names[0]}
		holds(t, p, q, allowed, nobody, guide+"access_policies.html#policies_session")
	})
	t.Run("NotPrincipal with a user of an account that it does not name", func(t *testing.T) {
		q := user(table, map[string]any{})
		q.Identity, q.ResourcePolicy = []object{document("Allow", everyone)}, document("Deny", everyone)
		q.ResourcePolicy["Statement"].(object)["NotPrincipal"] = object{"AWS": q.Principal}
		holds(t, p, q, denied, allowed, guide+"reference_policies_elements_notprincipal.html")
	})
	t.Run("variables of documents of 2008", func(t *testing.T) {
		q := user("arn:aws:dynamodb:us-east-1:111122223333:table/${aws:PrincipalTag/team}", map[string]any{"aws:PrincipalTag/team": "a"})
		q.Identity = []object{document("Allow", q.Resource)}
		q.Identity[0]["Version"] = "2008-10-17"
		holds(t, p, q, allowed, nobody, guide+"reference_policies_elements_version.html")
	})
}

func user(resource string, context map[string]any) *question {
	name := "arn:aws:iam::111122223333:user/u"
	return &question{Identity: []object{}, Principal: name, names: []string{name}, Action: "dynamodb:GetItem", Resource: resource, Owner: account, Context: context}
}

func document(effect, resource string) object {
	return object{"Version": "2012-10-17", "Statement": object{"Effect": effect, "Action": "*", "Resource": resource}}
}

func holds(t *testing.T, p *peer, q *question, want, theirs, page string) {
	t.Helper()
	if got := ours(t, q); got != want {
		t.Errorf("we say %s, want %s by %s", got, want, page)
	}
	if got := p.ask(t, q); got != theirs {
		t.Errorf("the other says %s, and the list %s", got, theirs)
	}
}
