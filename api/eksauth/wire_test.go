package eksauth

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// TestQuickly: what the short way reads is what encoding/json reads and what the row's pattern takes; anything else is left
// to the long way.
func TestQuickly(t *testing.T) {
	pattern := regexp.MustCompile("^(?:" + tokenPattern + ")$")
	for _, tt := range []struct {
		name, body string
		quick      bool
	}{
		{"as agents send it", `{"token":"eyJhbGci.eyJpc3Mi.c2ln-_"}`, true},
		{"with spaces", ` { "token" : "a.b.c" } `, false},
		{"with members of newer agents", `{"token":"a.b.c","eksNodeName":"n","zone":"z"}`, false},
		{"given twice", `{"token":"a.b.c","token":"d.e.f"}`, false},
		{"with an escape", `{"token":"a\u002eb.c"}`, false},
		{"with a quote inside", `{"token":"a\"}`, false},
		{"with UTF-8", `{"token":"a.b.ä"}`, false},
		{"with a control character", "{\"token\":\"a.b\n.c\"}", false},
		{"two parts", `{"token":"a.b"}`, false},
		{"four parts", `{"token":"a.b.c.d"}`, false},
		{"without the first part", `{"token":".b.c"}`, false},
		{"without the second part", `{"token":"a..c"}`, false},
		{"without the last part", `{"token":"a.b."}`, false},
		{"points alone", `{"token":".."}`, false},
		{"empty", `{"token":""}`, false},
		{"no body", "", false},
		{"cut off", `{"token":"a.b.c"`, false},
	} {
		got, quick := quickly([]byte(tt.body))
		if quick != tt.quick {
			t.Errorf("%s: quickly says %v, want %v", tt.name, quick, tt.quick)
		}
		if !quick {
			continue
		}
		var slow struct{ Token string }
		if err := json.Unmarshal([]byte(tt.body), &slow); err != nil || slow.Token != got || !pattern.MatchString(got) {
			t.Errorf("%s: quickly reads %q, encoding/json %q, %v", tt.name, got, slow.Token, err)
		}
	}
}

// TestAnswer holds the answer against encoding/json, with texts that it escapes as well.
func TestAnswer(t *testing.T) {
	type member = map[string]any
	for _, odd := range []string{"plain", "<&>", "\"\\\n", "ä\u2028", "\xff", strings.Repeat("x", 3000)} {
		g := &broker.Grant{
			Token:       &podtoken.Token{Namespace: "ns" + odd, ServiceAccount: "sa", Audience: registry.PodAudience},
			Association: &registry.Association{Region: "eu-central-1", Account: "111122223333", Cluster: "dev", ID: "a-1"},
			Session:     &session.Session{RoleID: "AROAX", Name: "eks-" + odd},
			Credentials: session.Credentials{
				AccessKeyID: "ASIAX", SecretAccessKey: "s+/=", SessionToken: odd, Expires: time.UnixMilli(1763869400250),
			},
		}
		want, err := json.Marshal(member{
			"subject":                member{"namespace": "ns" + odd, "serviceAccount": "sa"},
			"audience":               registry.PodAudience,
			"podIdentityAssociation": member{"associationArn": g.Association.ARN().String(), "associationId": "a-1"},
			"assumedRoleUser":        member{"arn": "arn:" + odd, "assumeRoleId": "AROAX:eks-" + odd},
			"credentials": member{
				"accessKeyId": "ASIAX", "secretAccessKey": "s+/=", "sessionToken": odd, "expiration": 1763869400.25,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var gotValue, wantValue any
		if err := json.Unmarshal(answer(g, "arn:"+odd), &gotValue); err != nil {
			t.Fatalf("%q: the answer is not JSON: %v", odd, err)
		}
		if err := json.Unmarshal(want, &wantValue); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantValue, gotValue); diff != "" {
			t.Errorf("%q: the answer differs (-want +got):\n%s", odd, diff)
		}
	}
}
