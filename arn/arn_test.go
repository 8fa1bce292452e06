package arn_test

import (
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

func TestParse(t *testing.T) {
	for _, s := range []string{
		"arn:aws:iam::111122223333:role/team/pay-api",
		"arn:aws:s3:::bucket/key:with:colons",
		"arn:aws:eks:us-east-1:111122223333:cluster/dev",
	} {
		a, err := arn.Parse(s)
		if err != nil {
			t.Errorf("Parse(%q): %v", s, err)
		} else if got := a.String(); got != s {
			t.Errorf("Parse(%q).String() = %q", s, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "arn", "arn:aws:iam::111122223333", "arn:aws:iam::111122223333:", "arn:aws::us-east-1:111122223333:x",
		"ARN:aws:iam::111122223333:role/x", "arn:aws-cn:iam::111122223333:role/x", "arn:aws:iam::11112222333:role/x",
		"arn:aws:iam::11112222333a:role/x", "arn:aws:iam::*:role/x",
	} {
		if a, err := arn.Parse(s); !fault.Is(err, fault.Invalid) {
			t.Errorf("Parse(%q) = %v, %v; want an Invalid error", s, a, err)
		}
	}
}

func TestIsClusterName(t *testing.T) {
	long := strings.Repeat("a", 100)
	for _, s := range []string{"a", "0", "prod-eu_1", "P", long} {
		if !arn.IsClusterName(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{"", "-a", "_a", "a.b", "a/b", "a b", "a\n", "é", long + "a"} {
		if arn.IsClusterName(s) {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestRoleName(t *testing.T) {
	tests := []struct {
		in, path, name string
		ok             bool
	}{
		{"arn:aws:iam::111122223333:role/pay", "/", "pay", true},
		{"arn:aws:iam::111122223333:role/a/b/pay", "/a/b/", "pay", true},
		{"arn:aws:iam::111122223333:role/", "/", "", false},
		{"arn:aws:iam::111122223333:user/pay", "", "", false},
		{"arn:aws:sts::111122223333:assumed-role/pay/s", "", "", false},
	}
	for _, tt := range tests {
		a, err := arn.Parse(tt.in)
		if err != nil {
			t.Fatalf("Parse(%q): %v", tt.in, err)
		}
		path, name, ok := a.RoleName()
		if ok != tt.ok || (ok && (path != tt.path || name != tt.name)) {
			t.Errorf("RoleName of %q = %q, %q, %v; want %q, %q, %v", tt.in, path, name, ok, tt.path, tt.name, tt.ok)
		}
	}
}

func TestPolicyName(t *testing.T) {
	a := arn.Policy("111122223333", "/a/b/", "read")
	if got := a.String(); got != "arn:aws:iam::111122223333:policy/a/b/read" {
		t.Errorf("Policy: got %s", got)
	}
	if path, name, ok := a.PolicyName(); path != "/a/b/" || name != "read" || !ok {
		t.Errorf("PolicyName of %s = %q, %q, %v", a, path, name, ok)
	}
	for _, other := range []arn.ARN{arn.Role("111122223333", "/", "read"), {Service: "s3", Resource: "policy/read"}, {Service: "iam", Resource: "policy/read"}} {
		if _, _, ok := other.PolicyName(); ok {
			t.Errorf("PolicyName of %s: ok, want not", other)
		}
	}
}

func TestIssuer(t *testing.T) {
	for in, want := range map[string]string{
		"arn:aws:iam::111122223333:oidc-provider/a.example.org/id/A": "a.example.org/id/A",
		arn.OIDCProvider("111122223333", "a.example.org/").String():  "a.example.org/",
		"arn:aws:iam::111122223333:oidc-provider/":                   "",
		"arn:aws:iam::111122223333:saml-provider/a":                  "",
		"arn:aws:iam:us-east-1:111122223333:oidc-provider/a":         "",
		"arn:aws:iam:::oidc-provider/a":                              "",
		"arn:aws:eks::111122223333:oidc-provider/a":                  "",
	} {
		a, err := arn.Parse(in)
		if err != nil {
			t.Fatalf("Parse(%q): %v", in, err)
		}
		if got, ok := a.Issuer(); ok != (want != "") || ok && got != want {
			t.Errorf("Issuer of %q = %q, %v; want %q", in, got, ok, want)
		}
	}
}
