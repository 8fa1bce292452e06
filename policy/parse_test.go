package policy_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/policy"
)

// statement returns a document of one statement with the elements.
func statement(elements string) string {
	return `{"Version": "2012-10-17", "Statement": {` + elements + `}}`
}

const (
	allow  = `"Effect": "Allow", "Action": "s3:GetObject", `
	always = allow + `"Resource": "*"`
)

func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name string
		use  policy.Use
		text string
	}{
		{"no version", policy.Identity, `{"Statement": [{` + always + `}]}`},
		{"old version", policy.Identity, `{"Version": "2008-10-17", "Id": "x", "Statement": {` + always + `}}`},
		{"old version, an open brace is text", policy.Identity, `{"Statement": {` + allow + `"Resource": "arn:aws:s3:::b/${"}}`},
		{"everything", policy.Session, statement(`"Effect": "Deny", "NotAction": ["*:*", "ec2:Describe?*"], "NotResource": ["arn:*", "*"], "Sid": ""`)},
		{"no conditions", policy.Identity, statement(always + `, "Condition": {}`)},
		{"tag with spaces", policy.Identity, statement(always + `, "Condition": {"StringLike": {"aws:PrincipalTag/a b/é": ["x", "y*"]}}`)},
		{"truths", policy.Identity, statement(always + `, "Condition": {"Bool": {"aws:SecureTransport": true}, "Null": {"a:b": "False"}}`)},
		{"variables", policy.Identity, statement(allow + `"Resource": "arn:aws:s3:::b/${aws:username}/${a:b, 'c'}/${$}{x}"`)},
		{"principals", policy.Trust, statement(`"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ["*", "111122223333",
			"arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:role/a/b", "arn:aws:iam::111122223333:user/u",
			"arn:aws:sts::111122223333:assumed-role/r/s"], "Service": "ec2.amazonaws.com",
			"Federated": "arn:aws:iam::111122223333:oidc-provider/issuer.example/id"}`)},
		{"a bucket's", policy.Resource, statement(always + `, "Sid": "All but (us)", "Principal": {"AWS": "*", "CanonicalUser": "` +
			strings.Repeat("a1", 32) + `"}`)},
		{"all but", policy.Resource, statement(`"Effect": "Deny", "Action": "s3:*", "Resource": "*", "NotPrincipal": {"AWS": ["111122223333",
			"arn:aws:sts::111122223333:federated-user/ann"], "Service": "ec2.amazonaws.com"}`)},
		{"providers of AWS's", policy.Trust, statement(`"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
			"Principal": {"Federated": ["accounts.google.com", "cognito-identity.amazonaws.com"]}`)},
		{"everyone", policy.Trust, statement(`"Effect": "Deny", "Action": "sts:AssumeRole", "Principal": "*"`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustParse(t, tt.use, tt.text)
			if got := d.Text(); got != tt.text {
				t.Errorf("Text() = %q, want %q", got, tt.text)
			}
			if again := mustParse(t, d.Use(), d.Text()); !reflect.DeepEqual(again, d) {
				t.Errorf("Parse of Text() = %+v, want %+v", again, d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const trust = `"Effect": "Allow", "Action": "sts:AssumeRole"`
	resource := func(r string) string { return statement(allow + `"Resource": ` + r) }
	action := func(a string) string { return statement(`"Effect": "Allow", "Resource": "*", "Action": ` + a) }
	condition := func(c string) string { return statement(always + `, "Condition": ` + c) }
	principal := func(p string) string { return statement(trust + `, "Principal": ` + p) }
	tests := []struct {
		name string
		use  policy.Use
		text string
		want string // part of the message
	}{
		{"empty", policy.Identity, ``, "not JSON"},
		{"not JSON", policy.Identity, `{"Version"`, "not JSON"},
		{"trailing data", policy.Identity, statement(always) + `{}`, "follows"},
		{"trailing text", policy.Identity, statement(always) + `x`, "follows"},
		{"a comma too many", policy.Identity, `{"Statement": [{` + always + `},]}`, "not JSON"},
		{"not UTF-8", policy.Identity, resource("\"arn:aws:s3:::\xff\""), "UTF-8"},
		{"not an object", policy.Identity, `[]`, "object"},
		{"too deep", policy.Identity, strings.Repeat(`[`, 5000), "deeper"},
		{"too big", policy.Identity, statement(always) + strings.Repeat(" ", 131072), "131072"},
		{"unknown version", policy.Identity, `{"Version": "2012-10-18", "Statement": {` + always + `}}`, "2012-10-17"},
		{"version of another kind", policy.Identity, `{"Version": 2012, "Statement": {` + always + `}}`, "a string is accepted"},
		{"unknown member", policy.Identity, `{"Statements": []}`, "Statements: unknown element"},
		{"member in lower case", policy.Identity, `{"statement": []}`, "statement: unknown element"},
		{"no statement", policy.Identity, `{"Version": "2012-10-17"}`, `"Statement" is missing`},
		{"empty statement list", policy.Identity, `{"Statement": []}`, "Statement: the list is empty"},
		{"statement of another kind", policy.Identity, `{"Statement": ["x"]}`, "an object or a list"},
		{"the second statement", policy.Identity, `{"Statement": [{` + always + `}, {}]}`, `statement[1]: "Effect" is missing`},
		{"duplicate member", policy.Identity, `{"Statement": {` + always + `}, "Statement": {` + always + `}}`, "twice"},
		{"duplicate element", policy.Identity, statement(always + `, "Effect": "Deny"`), `"Effect" stands twice`},
		{"duplicate element, escaped", policy.Identity, statement(always + `, "\u0045ffect": "Deny"`), `"Effect" stands twice`},
		{"duplicate operator", policy.Identity, condition(`{"Bool": {"a:b": "true"}, "Bool": {"a:b": "true"}}`), "twice"},
		{"duplicate key", policy.Identity, condition(`{"Bool": {"a:b": "true", "a:b": "false"}}`), "twice"},
		{"unknown element", policy.Identity, statement(always + `, "Conditions": {}`), "Conditions: unknown element"},
		{"sid", policy.Identity, statement(always + `, "Sid": "a b"`), "Sid"},
		{"sid twice", policy.Identity, `{"Statement": [{"Sid": "A", ` + always + `}, {"Sid": "A", ` + always + `}]}`, "twice"},
		{"no effect", policy.Identity, statement(`"Action": "*", "Resource": "*"`), "Effect"},
		{"unknown effect", policy.Identity, statement(`"Effect": "allow", "Action": "*", "Resource": "*"`), `"Allow" and "Deny"`},
		{"no action", policy.Identity, statement(`"Effect": "Allow", "Resource": "*"`), "Action"},
		{"empty actions", policy.Identity, action(`[]`), "Action: the list is empty"},
		{"action and not action", policy.Identity, statement(always + `, "NotAction": "s3:*"`), "only one"},
		{"action without service", policy.Identity, action(`"foo"`), `"foo"`},
		{"action without name", policy.Identity, action(`"s3:"`), `"s3:"`},
		{"action with a pattern for a service", policy.Identity, action(`"s*:Get"`), `"s*:Get"`},
		{"action with a variable", policy.Identity, action(`"s3:${aws:username}"`), "Action"},
		{"action with a second colon", policy.Identity, action(`"s3:Get:Object"`), "Action"},
		{"action of another kind", policy.Identity, action(`[1]`), "a number"},
		{"no resource", policy.Identity, statement(`"Effect": "Allow", "Action": "*"`), "Resource"},
		{"resource and not resource", policy.Identity, statement(always + `, "NotResource": "*"`), "only one"},
		{"resource that is no ARN", policy.Identity, resource(`"bucket/*"`), "Resource"},
		{"resource that is a short ARN", policy.Identity, resource(`"arn:aws:s3"`), "Resource"},
		{"resource that is short but for a variable", policy.Identity, resource(`"arn:aws:s3::${a:b}"`), "Resource"},
		{"resource that is very long", policy.Identity, resource(`"` + strings.Repeat("x", 100_000) + `"`), "are accepted"},
		{"empty resources", policy.Session, resource(`[]`), "Resource: the list is empty"},
		{"variable without end", policy.Identity, resource(`"arn:aws:s3:::${aws:username"`), "does not end"},
		{"variable without key", policy.Identity, resource(`"arn:aws:s3:::${}"`), "SERVICE:NAME"},
		{"variable with a bad default", policy.Identity, resource(`"arn:aws:s3:::${aws:username, x}"`), "single quotes"},
		{"too many variables", policy.Identity, resource(`"arn:aws:s3:::` + strings.Repeat("${a:b}", 17) + `"`), "16 variables"},
		{"principal in an identity policy", policy.Identity, statement(always + `, "Principal": "*"`), "only in a trust policy"},
		{"principal in a session policy", policy.Session, statement(always + `, "Principal": "*"`), "only in a trust policy"},
		{"not principal", policy.Trust, statement(trust + `, "NotPrincipal": "*"`), "NotPrincipal: not accepted in a trust policy"},
		{"all but, in an Allow", policy.Resource, statement(always + `, "NotPrincipal": {"AWS": "111122223333"}`), "with the effect Deny alone"},
		{"all but everyone", policy.Resource, statement(`"Effect": "Deny", "Action": "*", "Resource": "*", "NotPrincipal": "*"`), "would deny nobody"},
		{"principal and not principal", policy.Resource, statement(`"Effect": "Deny", "Action": "*", "Resource": "*", "Principal": "*",
			"NotPrincipal": {"AWS": "111122223333"}`), "only one of Principal and NotPrincipal"},
		{"nobody in a bucket's policy", policy.Resource, statement(always), "Principal or NotPrincipal is accepted"},
		{"a bucket's without resource", policy.Resource, statement(`"Effect": "Allow", "Action": "*", "Principal": "*"`), `"Resource" is missing`},
		{"a canonical user who is none", policy.Resource, statement(always + `, "Principal": {"CanonicalUser": "x"}`), "64 hexadecimal digits"},
		{"resource in a trust policy", policy.Trust, statement(trust + `, "Principal": "*", "Resource": "*"`), "the role is the resource"},
		{"no principal", policy.Trust, statement(trust), "Principal"},
		{"empty principal", policy.Trust, principal(`{}`), "Principal"},
		{"empty principals", policy.Trust, principal(`{"AWS": []}`), "AWS: the list is empty"},
		{"principal without a kind", policy.Trust, principal(`"111122223333"`), "Principal"},
		{"unknown kind of principal", policy.Trust, principal(`{"CanonicalUser": "x"}`), "CanonicalUser"},
		{"principal with a pattern", policy.Trust, principal(`{"AWS": "arn:aws:iam::111122223333:role/*"}`), "role/*"},
		{"principal of another service", policy.Trust, principal(`{"AWS": "arn:aws:s3:::b"}`), "arn:aws:s3:::b"},
		{"principal that is a group", policy.Trust, principal(`{"AWS": "arn:aws:iam::111122223333:group/g"}`), "group/g"},
		{"session without a name", policy.Trust, principal(`{"AWS": "arn:aws:sts::111122223333:assumed-role/r"}`), "assumed-role/r"},
		{"service with a star", policy.Trust, principal(`{"Service": "*"}`), "under Service"},
		{"provider with a star", policy.Trust, principal(`{"Federated": "*"}`), "under Federated"},
		{"unknown operator", policy.Identity, condition(`{"NumericIs": {"a:b": "1"}}`), `"NumericIs" is not supported`},
		{"operator in lower case", policy.Identity, condition(`{"stringequals": {"a:b": "1"}}`), "not supported"},
		{"two prefixes", policy.Identity, condition(`{"ForAnyValue:ForAllValues:Bool": {"a:b": "true"}}`), "not supported"},
		{"two suffixes", policy.Identity, condition(`{"BoolIfExistsIfExists": {"a:b": "true"}}`), "not supported"},
		{"condition of another kind", policy.Identity, condition(`[]`), "Condition"},
		{"operator without keys", policy.Identity, condition(`{"Bool": {}}`), "one at least"},
		{"key without service", policy.Identity, condition(`{"Bool": {"SecureTransport": "true"}}`), "SERVICE:NAME"},
		{"no values", policy.Identity, condition(`{"StringEquals": {"a:b": []}}`), "the list is empty"},
		{"null as text", policy.Identity, condition(`{"StringEquals": {"a:b": null}}`), "null"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.use, tt.text, tt.want) })
	}
}

// TestATakenDocumentStaysReadable holds that records of before trust policies were refused for their actions are read, and
// that nothing else is let through with them.
func TestATakenDocumentStaysReadable(t *testing.T) {
	old := statement(`"Effect": "Allow", "Action": ["sts:AssumeRole", "s3:Get*"], "Principal": "*"`)
	if d, err := policy.Stored(policy.Trust, old); err != nil || d.Text() != old {
		t.Errorf("Stored(%s): %v, want the document", old, err)
	}
	if _, err := policy.Stored(policy.Trust, statement(`"Effect": "Allow", "Action": "get", "Principal": "*"`)); !fault.Is(err, fault.MalformedPolicy) {
		t.Errorf("an action without a service: %v, want MalformedPolicy", err)
	}
}

// TestParseSaysWhatIAMSays holds the sentences that a refusal begins with, which tools look for.
func TestParseSaysWhatIAMSays(t *testing.T) {
	for _, tt := range []struct {
		use        policy.Use
		text, want string
	}{
		{policy.Identity, `{`, "Syntax errors in policy. "},
		{policy.Identity, statement(`"Effect": "allow", "Action": "*", "Resource": "*"`), "Syntax errors in policy. statement[0]: Effect: "},
		{policy.Identity, statement(`"Effect": "Allow", "Resource": "*"`), "Policy statement must contain actions. "},
		{policy.Identity, statement(`"Effect": "Allow", "Action": "*"`), "Policy statement must contain resources. "},
		{policy.Identity, statement(`"Effect": "Allow", "Action": "get", "Resource": "*"`), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. "},
		{policy.Identity, statement(`"Effect": "Allow", "Action": "a:b:c", "Resource": "*"`), "Actions/Condition can contain only one colon. "},
		{policy.Identity, statement(`"Effect": "Allow", "Action": "s*:Get", "Resource": "*"`), "Vendor s* is not valid "},
		{policy.Identity, statement(allow + `"Resource": "b/*"`), `Resource b/* must be in ARN format or "*". `},
		{policy.Identity, statement(always + `, "Principal": "*"`), "Policy document should not specify a principal. "},
		{policy.Identity, statement(always + `, "Sid": "a b"`), "Statement IDs (SID) must be alpha-numeric. "},
		{policy.Identity, `{"Statement": [{"Sid": "A", ` + always + `}, {"Sid": "A", ` + always + `}]}`, "Statement IDs (SID) in a single policy must be unique. "},
		{policy.Trust, statement(`"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "x"}`), `Invalid principal in policy: "AWS":"x" `},
		{policy.Trust, statement(`"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*", "Resource": "*"`), "Has prohibited field Resource. "},
		{policy.Trust, statement(`"Effect": "Allow", "Action": ["sts:AssumeRole", "s3:Get*"], "Principal": "*"`), "AssumeRole policy may only specify STS AssumeRole actions. "},
		{policy.Trust, statement(`"Effect": "Allow", "Action": "sts:TagSessions", "Principal": "*"`), "AssumeRole policy may only specify STS AssumeRole actions. "},
		{policy.Trust, statement(`"Effect": "Allow", "Action": "sts:AssumeRole"`), "Missing required field Principal. "},
	} {
		_, err := policy.Parse(tt.use, tt.text)
		if err == nil || !strings.HasPrefix(fault.Message(err), tt.want) {
			t.Errorf("Parse(%s): %v, want %q first", tt.text, err, tt.want)
		}
	}
}

// refuses holds that a document is malformed, and that the message says so in few words.
func refuses(t *testing.T, use policy.Use, text, want string) {
	t.Helper()
	d, err := policy.Parse(use, text)
	if !fault.Is(err, fault.MalformedPolicy) || d != nil {
		t.Fatalf("Parse(%.200s) = %v, %v; want a MalformedPolicy error", text, d, err)
	}
	if got := fault.Message(err); !strings.Contains(got, want) || len(got) > 1100 {
		t.Errorf("Parse(%.200s): %q, want it to say %q in few words", text, got, want)
	}
}

func TestParseRefusesValues(t *testing.T) {
	for _, tt := range []struct{ name, condition, want string }{
		{"text as a number", `{"NumericEquals": {"a:b": ["1", "x"]}}`, `NumericEquals: "a:b": value "x" is not a number`},
		{"date of a variable", `{"DateLessThan": {"a:b": "${a:c}"}}`, `statement[0]: Condition: DateLessThan: "a:b": value "${a:c}" is not a time`},
		{"address with a star", `{"IpAddress": {"a:b": "10.*"}}`, `value "10.*" is not an address`},
		{"address with a zone", `{"IpAddress": {"a:b": "fe80::1%eth0/64"}}`, "is not an address"},
		{"binary that is not base64", `{"BinaryEquals": {"a:b": "?"}}`, "base64"},
		{"number as an address", `{"IpAddress": {"a:b": 10}}`, "a number"},
		{"number as text", `{"StringEquals": {"a:b": 1}}`, "a number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refuses(t, policy.Identity, statement(always+`, "Condition": `+tt.condition), tt.want)
		})
	}
}
