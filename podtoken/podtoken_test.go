package podtoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

const (
	audience = "pods.eks.amazonaws.com"

	goodClaims = `{"iss":"https://kubernetes.default.svc.cluster.local","aud":["pods.eks.amazonaws.com"],` +
		`"sub":"system:serviceaccount:payments:api","iat":1795000000,"nbf":1795000000,"exp":1795083000,"jti":"5f2d0c4e",` +
		`"kubernetes.io":{"namespace":"payments","serviceaccount":{"name":"api","uid":"sa-uid"},` +
		`"pod":{"name":"api-7c9f4","uid":"pod-uid"},"node":{"name":"ip-10-0-1-5.ec2.internal","uid":"node-uid"}}}`
)

// now is a time at which goodClaims are valid.
var now = time.Unix(1795000100, 0)

// signers are a cluster's keys with their private halves, by kid.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	made := map[string]crypto.Signer{}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	made["rs256"] = key
	for kid, curve := range map[string]elliptic.Curve{"es256": elliptic.P256(), "es384": elliptic.P384(), "es512": elliptic.P521()} {
		if made[kid], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			panic(err)
		}
	}
	return made
})

func keySet() KeySet {
	set := KeySet{Cluster: "c-1", Generation: 1, Issuers: []string{"https://old.example", "https://kubernetes.default.svc.cluster.local"}}
	for _, kid := range []string{"rs256", "es256", "es384", "es512"} {
		set.Keys = append(set.Keys, Key{ID: kid, Algorithm: strings.ToUpper(kid), Public: signers()[kid].Public()})
	}
	return set
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign makes a token of a header and claims as they are, by the algorithm and key named, whatever the header says.
func sign(t testing.TB, header, claims, algorithm string, key any) string {
	t.Helper()
	text := encode(header) + "." + encode(claims)
	signature, err := jwt.GetSigningMethod(algorithm).Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// genuine makes a token that the cluster signed: kid names the key, and the algorithm in lower case.
func genuine(t testing.TB, kid, claims string) string {
	t.Helper()
	return sign(t, `{"alg":"`+strings.ToUpper(kid)+`","kid":"`+kid+`"}`, claims, strings.ToUpper(kid), signers()[kid])
}

func TestVerifyAcceptsEachAlgorithm(t *testing.T) {
	for kid := range signers() {
		t.Run(kid, func(t *testing.T) {
			token := genuine(t, kid, goodClaims)
			got, err := NewVerifier(0).Verify(keySet(), audience, token, now)
			if err != nil {
				t.Fatal(err)
			}
			want := &Token{
				Issuer: "https://kubernetes.default.svc.cluster.local", Subject: "system:serviceaccount:payments:api", Audience: audience,
				Namespace: "payments", ServiceAccount: "api", ServiceAccountUID: "sa-uid", ID: "5f2d0c4e",
				Pod: Ref{"api-7c9f4", "pod-uid"}, Node: Ref{"ip-10-0-1-5.ec2.internal", "node-uid"},
				Issued: time.Unix(1795000000, 0).UTC(), Expires: time.Unix(1795083000, 0).UTC(), Hash: sha256.Sum256([]byte(token)),
				notBefore: time.Unix(1795000000, 0).UTC(),
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Token{})); diff != "" {
				t.Errorf("Verify (-want +got):\n%s", diff)
			}
		})
	}
}

// edit replaces a piece of the good claims, which must have it.
func edit(t testing.TB, old, replacement string) string {
	t.Helper()
	if strings.Count(goodClaims, old) != 1 {
		t.Fatalf("the good claims do not have %q once", old)
	}
	return strings.Replace(goodClaims, old, replacement, 1)
}

func TestClaims(t *testing.T) {
	sa := `"serviceaccount":{"name":"api","uid":"sa-uid"}`
	pod := `"pod":{"name":"api-7c9f4","uid":"pod-uid"}`
	node := `"node":{"name":"ip-10-0-1-5.ec2.internal","uid":"node-uid"}`
	aud := `["pods.eks.amazonaws.com"]`
	const accepted = fault.Internal // no kind: there is no error
	for _, test := range []struct {
		name, old, replacement string
		want                   fault.Kind
	}{
		{"audience as a string", aud, `"pods.eks.amazonaws.com"`, accepted},
		{"another audience", aud, `["sts.amazonaws.com"]`, fault.BadToken},
		{"another audience as a string", aud, `"sts.amazonaws.com"`, fault.BadToken},
		{"two audiences", aud, `["pods.eks.amazonaws.com","sts.amazonaws.com"]`, fault.BadToken},
		{"the audience twice", aud, `["pods.eks.amazonaws.com","pods.eks.amazonaws.com"]`, fault.BadToken},
		{"no audience in the list", aud, `[]`, fault.BadToken},
		{"an audience in another case", aud, `["Pods.EKS.amazonaws.com"]`, fault.BadToken},
		{"an audience in a list of lists", aud, `[["pods.eks.amazonaws.com"]]`, fault.BadToken},
		{"no audience", `"aud":["pods.eks.amazonaws.com"],`, ``, fault.BadToken},

		{"the cluster's other issuer", `https://kubernetes.default.svc.cluster.local`, `https://old.example`, accepted},
		{"an unknown issuer", `https://kubernetes.default.svc.cluster.local`, `https://evil.example`, fault.BadToken},
		{"an issuer with a slash more", `cluster.local"`, `cluster.local/"`, fault.BadToken},
		{"an issuer in a list", `"https://kubernetes.default.svc.cluster.local"`, `["https://old.example"]`, fault.BadToken},
		{"no issuer", `"iss":"https://kubernetes.default.svc.cluster.local",`, ``, fault.BadToken},
		{"an issuer in another case of the name", `"iss"`, `"ISS"`, fault.BadToken},

		{"ends a second from now", `"exp":1795083000`, `"exp":1795000101`, accepted},
		{"ends now", `"exp":1795083000`, `"exp":1795000100`, fault.ExpiredToken},
		{"ended a second ago", `"exp":1795083000`, `"exp":1795000099`, fault.ExpiredToken},
		{"ends before it starts", `"exp":1795083000`, `"exp":1794999999`, fault.BadToken},
		{"no end", `"exp":1795083000,`, ``, fault.BadToken},
		{"an end beyond 64 bits", `"exp":1795083000`, `"exp":18446744073709551617`, fault.BadToken},
		{"an end beyond the year 9999", `"exp":1795083000`, `"exp":253402300800`, fault.BadToken},
		{"an end of the form 1e300", `"exp":1795083000`, `"exp":1e300`, fault.BadToken},
		{"a fraction of a second", `"exp":1795083000`, `"exp":1795083000.5`, fault.BadToken},
		{"a negative end", `"exp":1795083000`, `"exp":-1`, fault.BadToken},
		{"an end of null", `"exp":1795083000`, `"exp":null`, fault.BadToken},
		{"an end in a string", `"exp":1795083000`, `"exp":"1795083000"`, fault.BadToken},
		{"no nbf", `"nbf":1795000000,`, ``, accepted},
		{"nbf 60 s ahead", `"nbf":1795000000`, `"nbf":1795000160`, accepted},
		{"nbf 61 s ahead", `"nbf":1795000000`, `"nbf":1795000161`, fault.BadToken},
		{"nbf of null", `"nbf":1795000000`, `"nbf":null`, fault.BadToken},
		{"iat 60 s ahead", `"iat":1795000000`, `"iat":1795000160`, accepted},
		{"iat 61 s ahead", `"iat":1795000000`, `"iat":1795000161`, fault.BadToken},
		{"no iat", `"iat":1795000000,`, ``, fault.BadToken},

		{"sub of another service account", `serviceaccount:payments:api`, `serviceaccount:payments:admin`, fault.BadToken},
		{"sub of another namespace", `serviceaccount:payments:api`, `serviceaccount:kube-system:api`, fault.BadToken},
		{"sub of a user", `system:serviceaccount:payments:api`, `api`, fault.BadToken},
		{"no sub", `"sub":"system:serviceaccount:payments:api",`, ``, fault.BadToken},
		{"namespace that the sub does not have", `"namespace":"payments"`, `"namespace":"kube-system"`, fault.BadToken},
		{"namespace in a list", `"namespace":"payments"`, `"namespace":["payments"]`, fault.BadToken},
		{"namespace that is a number", `"namespace":"payments"`, `"namespace":1`, fault.BadToken},
		{"no namespace", `"namespace":"payments",`, ``, fault.BadToken},
		{"no service account", sa + `,`, ``, fault.BadToken},
		{"a service account that is a string", sa, `"serviceaccount":"api"`, fault.BadToken},
		{"no uid of the service account", sa, `"serviceaccount":{"name":"api"}`, fault.BadToken},
		{"another service account than the sub's", sa, `"serviceaccount":{"name":"admin","uid":"sa-uid"}`, fault.BadToken},
		{"no claims of Kubernetes", `"kubernetes.io"`, `"example.com"`, fault.BadToken},

		{"no pod", pod + `,`, ``, accepted},
		{"no node", `,` + node, ``, accepted},
		{"a node whose uid is unknown", node, `"node":{"name":"n"}`, accepted},
		{"a pod without uid", pod, `"pod":{"name":"p"}`, fault.BadToken},
		{"a pod without name", pod, `"pod":{"uid":"u"}`, fault.BadToken},
		{"a pod of null", pod, `"pod":null`, fault.BadToken},
		{"a node of null", node, `"node":null`, fault.BadToken},
		{"a node uid in a list", node, `"node":{"name":"n","uid":["node-uid"]}`, fault.BadToken},
		{"a pod name in upper case", pod, `"pod":{"name":"API","uid":"u"}`, fault.BadToken},
		{"a pod name with a slash", pod, `"pod":{"name":"a/b","uid":"u"}`, fault.BadToken},
		{"a pod name with a line break", pod, `"pod":{"name":"a\nb","uid":"u"}`, fault.BadToken},
		{"a pod name that ends in a dot", pod, `"pod":{"name":"a.","uid":"u"}`, fault.BadToken},
		{"a pod name of 254 characters", pod, `"pod":{"name":"` + strings.Repeat("a", 254) + `","uid":"u"}`, fault.BadToken},
		{"a pod uid with a space", pod, `"pod":{"name":"p","uid":"u u"}`, fault.BadToken},
		{"jti that is a number", `"5f2d0c4e"`, `5`, fault.BadToken},

		{"an unknown claim", `"jti":`, `"new":{"a":[1,null,true]},"jti":`, accepted},
		{"a claim twice", `"jti":`, `"sub":"system:serviceaccount:payments:api","jti":`, fault.BadToken},
		{"a claim twice, spelt with an escape", `"jti":`, `"\u0073ub":"system:serviceaccount:kube-system:admin","jti":`, fault.BadToken},
		{"a claim of Kubernetes twice", `"namespace":`, `"namespace":"payments","namespace":`, fault.BadToken},
		{"8 levels", `"jti":`, `"new":` + strings.Repeat("[", 7) + strings.Repeat("]", 7) + `,"jti":`, accepted},
		{"9 levels", `"jti":`, `"new":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `,"jti":`, fault.BadToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := NewVerifier(8).Verify(keySet(), audience, genuine(t, "es256", edit(t, test.old, test.replacement)), now)
			if fault.Of(err) != test.want || (got == nil) == (test.want == accepted) || (err == nil) != (test.want == accepted) {
				t.Errorf("Verify = %v, %v, want kind %v", got, err, test.want)
			}
		})
	}
}

func TestNamesThatLookLikeKubernetes(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, test := range []struct {
		name  string
		value string
		want  string // namespace, pod name
	}{
		{"a letter", "a", "yes yes"},
		{"hyphens inside", "a--b", "yes yes"},
		{"digits", "0", "yes yes"},
		{"63 characters", long, "yes yes"},
		{"64 characters", long + "a", "no yes"},
		{"two labels", "a.b", "no yes"},
		{"empty", "", "no no"},
		{"a hyphen first", "-a", "no no"},
		{"a hyphen last", "a-", "no no"},
		{"an empty label", "a..b", "no no"},
		{"a hyphen before a dot", "a-.b", "no no"},
		{"upper case", "A", "no no"},
		{"an underscore", "a_b", "no no"},
		{"a letter beyond ASCII", "ä", "no no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var verdicts []string
			for _, f := range []form{isLabel, isSubdomain} {
				r := reader{}
				r.text(object{members: map[string]any{"n": test.value}}, "n", f)
				verdicts = append(verdicts, map[bool]string{true: "yes", false: "no"}[r.err == nil])
			}
			if got := strings.Join(verdicts, " "); got != test.want {
				t.Errorf("%q as namespace and as pod name: %s, want %s", test.value, got, test.want)
			}
		})
	}
}

func TestAnExpiredTokenIsRefusedInTheWordsOfAWS(t *testing.T) {
	_, err := NewVerifier(0).Verify(keySet(), audience, genuine(t, "es256", goodClaims), time.Unix(1795083000, 0))
	want := "The token included in the request is expired: current date/time 1795083000 must be before the expiration date/time 1795083000"
	if got := fault.Message(err); got != want {
		t.Errorf("message %q, want %q", got, want)
	}
}

func TestAnUnknownKeyIsWorthAskingForOnlyIfAllElseFits(t *testing.T) {
	head := `{"alg":"ES256","kid":"next"}`
	for _, test := range []struct {
		name, header, claims string
		want                 bool
	}{
		{"all else fits", head, goodClaims, true},
		{"no algorithm", `{"alg":"none","kid":"next"}`, goodClaims, false},
		{"no kid", `{"alg":"ES256"}`, goodClaims, false},
		{"another issuer", head, edit(t, "https://kubernetes.default.svc.cluster.local", "https://evil.example"), false},
		{"another audience", head, edit(t, `["pods.eks.amazonaws.com"]`, `["x"]`), false},
		{"expired", head, edit(t, `"exp":1795083000`, `"exp":1795000001`), false},
		{"no JSON", head, "x", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := sign(t, test.header, test.claims, "ES256", signers()["es256"])
			_, err := NewVerifier(8).Verify(keySet(), audience, token, now)
			if !fault.Is(err, fault.BadToken) || errors.Is(err, ErrUnknownKey) != test.want {
				t.Errorf("Verify = %v, want BadToken, ErrUnknownKey: %v", err, test.want)
			}
		})
	}
	t.Run("a known key", func(t *testing.T) {
		_, err := NewVerifier(8).Verify(keySet(), audience, genuine(t, "es256", goodClaims)+"A", now)
		if !fault.Is(err, fault.BadToken) || errors.Is(err, ErrUnknownKey) {
			t.Errorf("Verify of a wrong signature = %v, want BadToken without ErrUnknownKey", err)
		}
	})
}
