package eksauth

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/session"
)

// TestReadToken: the short way and the long one read the same, and refuse the same.
func TestReadToken(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"as agents send it", `{"token":"eyJhbGci.eyJpc3Mi.c2ln-_"}`, "eyJhbGci.eyJpc3Mi.c2ln-_"},
		{"with spaces", ` { "token" : "a.b.c" } `, "a.b.c"},
		{"with members of newer agents", `{"token":"a.b.c","eksNodeName":"n","zone":"z"}`, "a.b.c"},
		{"after another member", `{"zone":"z","token":"a.b.c"}`, "a.b.c"},
		{"given twice", `{"token":"a","token":"b"}`, "b"},
		{"with an escape", `{"token":"a\u002eb"}`, "a.b"},
		{"with a quote inside", `{"token":"a\"}`, ""},
		{"with UTF-8", `{"token":"ä"}`, "ä"},
		{"with a control character", "{\"token\":\"a\nb\"}", ""},
		{"empty", `{"token":""}`, ""},
		{"absent", `{}`, ""},
		{"of another type", `{"token":7}`, ""},
		{"no body", "", ""},
		{"cut off", `{"token":"a.b.c"`, ""},
	} {
		c := &api.Call{Body: []byte(tt.body)}
		got, err := readToken(c)
		slow, slowErr := api.Decode[struct {
			Token string `json:"token"`
		}](c)
		if (err == nil) != (slowErr == nil) || got != slow.Token || (err == nil && got != tt.want) {
			t.Errorf("%s: readToken = %q, %v; want %q; encoding/json reads %q, %v", tt.name, got, err, tt.want, slow.Token, slowErr)
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
