package podtoken

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

const (
	issuerURL = "https://idp.example.org/a"

	identityClaims = `{"iss":"https://idp.example.org/a","aud":"app","sub":"repo:octo/app","iat":1795000000,"exp":1795003600`
)

func issuerKeys() KeySet {
	set := keySet()
	set.Cluster, set.Issuers = "oidc", []string{issuerURL}
	return set
}

func TestVerifyIdentity(t *testing.T) {
	for name, test := range map[string]struct {
		more     string // claims
		audience string
		want     Identity
	}{
		"the least":                   {``, "app", Identity{Audiences: []string{"app"}}},
		"a list of audiences":         {`,"aud":["app"]`, "app", Identity{Audiences: []string{"app"}}},
		"an authorized party":         {`,"aud":["x","y"],"azp":"app"`, "app", Identity{Audiences: []string{"x", "y"}, AuthorizedParty: "app"}},
		"methods":                     {`,"amr":["pwd","mfa"]`, "app", Identity{Audiences: []string{"app"}, Methods: []string{"pwd", "mfa"}}},
		"one method":                  {`,"amr":"pwd"`, "app", Identity{Audiences: []string{"app"}, Methods: []string{"pwd"}}},
		"a source identity":           {`,"https://aws.amazon.com/source_identity":"anna"`, "app", Identity{Audiences: []string{"app"}, SourceIdentity: "anna"}},
		"unknown claims":              {`,"actor":"octo","nested":{"a":[1,2]},"email_verified":true`, "app", Identity{Audiences: []string{"app"}}},
		"tags":                        {`,"https://aws.amazon.com/tags":{"principal_tags":{"team":["a"],"Cost":["1"]},"transitive_tag_keys":["TEAM"]}`, "app", Identity{Audiences: []string{"app"}, Tags: []IdentityTag{{"Cost", "1", false}, {"team", "a", true}}}},
		"tags as texts":               {`,"https://aws.amazon.com/tags":{"principal_tags":{"team":"a"},"transitive_tag_keys":[]}`, "app", Identity{Audiences: []string{"app"}, Tags: []IdentityTag{{"team", "a", false}}}},
		"tags in claims of their own": {`,"https://aws.amazon.com/tags/principal_tags/team":"a","https://aws.amazon.com/tags/principal_tags/empty":[""],"https://aws.amazon.com/tags/transitive_tag_keys":["team"]`, "app", Identity{Audiences: []string{"app"}, Tags: []IdentityTag{{"empty", "", false}, {"team", "a", true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			claims := identityClaims + test.more + "}"
			if strings.Contains(test.more, `"aud"`) {
				claims = strings.Replace(claims, `"aud":"app",`, "", 1)
			}
			v := NewVerifier(10)
			for range 2 { // the second is from memory
				got, err := v.VerifyIdentity(issuerKeys(), []string{"other", test.audience}, genuine(t, "rs256", claims), now)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&test.want, got.Identity); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if got.Issuer != issuerURL || got.Subject != "repo:octo/app" || got.Audience != test.audience || got.Namespace != "" {
					t.Errorf("got %+v", got)
				}
			}
		})
	}
}

func TestVerifyIdentityRefuses(t *testing.T) {
	with := func(old, text string) string { return strings.Replace(identityClaims+"}", old, text, 1) }
	for name, test := range map[string]struct {
		claims string
		want   fault.Kind
	}{
		"another issuer":                {with(issuerURL, "https://idp.example.org/b"), fault.BadToken},
		"an issuer with a slash more":   {with(issuerURL, issuerURL+"/"), fault.BadToken},
		"an issuer in capitals":         {with("idp", "IDP"), fault.BadToken},
		"an issuer with a port":         {with("example.org", "example.org:443"), fault.BadToken},
		"an issuer with a user":         {with("https://idp", "https://idp.example.org@idp"), fault.BadToken},
		"an issuer with a fragment":     {with(issuerURL, issuerURL+"#"), fault.BadToken},
		"an issuer over http":           {with("https://idp", "http://idp"), fault.BadToken},
		"no issuer":                     {with(`"iss":"https://idp.example.org/a",`, ""), fault.BadToken},
		"two issuers":                   {with(`"aud"`, `"iss":"https://idp.example.org/b","aud"`), fault.BadToken},
		"another audience":              {with(`"app"`, `"pods.eks.amazonaws.com"`), fault.BadToken},
		"an audience in capitals":       {with(`"app"`, `"App"`), fault.BadToken},
		"no audience":                   {with(`"aud":"app",`, ""), fault.BadToken},
		"an empty audience":             {with(`"app"`, `""`), fault.BadToken},
		"an empty list of audiences":    {with(`"app"`, `[]`), fault.BadToken},
		"two audiences":                 {with(`"app"`, `["app","other"]`), fault.BadToken},
		"an audience that is a number":  {with(`"app"`, `["app",1]`), fault.BadToken},
		"an authorized party of others": {with(`"app"`, `"app","azp":"x"`), fault.BadToken},
		"an empty authorized party":     {with(`"app"`, `"app","azp":""`), fault.BadToken},
		"no subject":                    {with(`"sub":"repo:octo/app",`, ""), fault.BadToken},
		"a long subject":                {with("repo", strings.Repeat("r", 256)), fault.BadToken},
		"no end":                        {with(`,"exp":1795003600`, ""), fault.BadToken},
		"no beginning":                  {with(`"iat":1795000000,`, ""), fault.BadToken},
		"an end that is a text":         {with(`1795003600`, `"1795003600"`), fault.BadToken},
		"an end before the beginning":   {with(`1795003600`, `1794000000`), fault.BadToken},
		"over":                          {with(`1795003600`, `1795000100`), fault.ExpiredToken},
		"not begun":                     {with(`1795000000`, `1795000200`), fault.BadToken},
		"not before":                    {with(`"exp"`, `"nbf":1795000200,"exp"`), fault.BadToken},
		"tags of an unknown form":       {with(`"exp"`, `"https://aws.amazon.com/tags":{"principal_tags":{},"more":1},"exp"`), fault.BadToken},
		"tags that are a list":          {with(`"exp"`, `"https://aws.amazon.com/tags":[],"exp"`), fault.BadToken},
		"a tag with two values":         {with(`"exp"`, `"https://aws.amazon.com/tags":{"principal_tags":{"a":["b","c"]}},"exp"`), fault.BadToken},
		"a tag that is a number":        {with(`"exp"`, `"https://aws.amazon.com/tags":{"principal_tags":{"a":1}},"exp"`), fault.BadToken},
		"a tag in both forms":           {with(`"exp"`, `"https://aws.amazon.com/tags":{"principal_tags":{"a":"b"}},"https://aws.amazon.com/tags/principal_tags/a":"c","exp"`), fault.BadToken},
		"a transitive tag that is none": {with(`"exp"`, `"https://aws.amazon.com/tags":{"principal_tags":{"a":"b"},"transitive_tag_keys":["c"]},"exp"`), fault.BadToken},
		"a source identity of a list":   {with(`"exp"`, `"https://aws.amazon.com/source_identity":["a"],"exp"`), fault.BadToken},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewVerifier(10).VerifyIdentity(issuerKeys(), []string{"app"}, genuine(t, "rs256", test.claims), now)
			if !fault.Is(err, test.want) {
				t.Errorf("got %+v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestVerifyIdentityHoldsTokensToTheirKey(t *testing.T) {
	claims := identityClaims + "}"
	v := NewVerifier(10)
	for name, token := range map[string]string{
		"none":                     encode(`{"alg":"none","kid":"rs256"}`) + "." + encode(claims) + ".",
		"none with a signature":    sign(t, `{"alg":"none","kid":"rs256"}`, claims, "RS256", signers()["rs256"]),
		"HMAC with the public key": sign(t, `{"alg":"HS256","kid":"rs256"}`, claims, "HS256", []byte("public")),
		"the key of another kid":   sign(t, `{"alg":"ES256","kid":"rs256"}`, claims, "ES256", signers()["es256"]),
		"a longer digest":          sign(t, `{"alg":"RS512","kid":"rs256"}`, claims, "RS512", signers()["rs256"]),
		"no kid":                   sign(t, `{"alg":"RS256"}`, claims, "RS256", signers()["rs256"]),
		"a key of its own":         sign(t, `{"alg":"RS256","kid":"rs256","jwk":{}}`, claims, "RS256", signers()["rs256"]),
		"a place for its key":      sign(t, `{"alg":"RS256","kid":"rs256","jku":"https://idp.example.org"}`, claims, "RS256", signers()["rs256"]),
		"a thumbprint of a list":   sign(t, `{"alg":"RS256","kid":"rs256","x5t":[]}`, claims, "RS256", signers()["rs256"]),
		"an access token":          sign(t, `{"alg":"RS256","kid":"rs256","typ":"at+jwt"}`, claims, "RS256", signers()["rs256"]),
		"a changed claim":          strings.Replace(genuine(t, "rs256", claims), encode(claims), encode(strings.Replace(claims, "octo", "evil", 1)), 1),
		"a very long one":          genuine(t, "rs256", claims) + strings.Repeat("a", maxToken),
	} {
		if got, err := v.VerifyIdentity(issuerKeys(), []string{"app"}, token, now); !fault.Is(err, fault.BadToken) || errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: got %+v, %v; want BadToken", name, got, err)
		}
	}
	unknown := sign(t, `{"alg":"RS256","kid":"new"}`, claims, "RS256", signers()["rs256"])
	if _, err := v.VerifyIdentity(issuerKeys(), []string{"app"}, unknown, now); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("an unknown kid: got %v, want ErrUnknownKey", err)
	}
	if _, err := v.VerifyIdentity(issuerKeys(), []string{"other"}, unknown, now); errors.Is(err, ErrUnknownKey) {
		t.Errorf("an unknown kid for others: got %v, which would have keys fetched", err)
	}
	with := sign(t, `{"alg":"RS256","kid":"rs256","typ":"JWT","x5t":"abc","x5t#S256":"abc"}`, claims, "RS256", signers()["rs256"])
	if _, err := v.VerifyIdentity(issuerKeys(), []string{"app"}, with, now); err != nil {
		t.Errorf("thumbprints in the header: %v", err)
	}
	// Neither reads what the other has found good.
	if _, err := v.Verify(issuerKeys(), "app", with, now); !fault.Is(err, fault.BadToken) {
		t.Errorf("as a pod's: got %v, want BadToken", err)
	}
	set := issuerKeys()
	set.Generation++
	set.Keys = nil
	if _, err := v.VerifyIdentity(set, []string{"app"}, with, now); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("after the key left: got %v, want ErrUnknownKey", err)
	}
	if _, err := v.VerifyIdentity(issuerKeys(), []string{"other"}, with, now); !fault.Is(err, fault.BadToken) {
		t.Errorf("remembered, for others: got %v, want BadToken", err)
	}
}

func TestReadAddress(t *testing.T) {
	for claims, want := range map[string]Addressed{
		identityClaims + "}": {issuerURL, []string{"app"}},
		goodClaims:           {"https://kubernetes.default.svc.cluster.local", []string{audience}},
	} {
		if got, err := ReadAddress(genuine(t, "rs256", claims)); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	for _, token := range []string{"", "a.b", "a.b.c", encode("{}") + "." + encode("{}") + ".", encode("{}") + "." + encode("[]") + ".", strings.Repeat("a", maxToken+1)} {
		if got, err := ReadAddress(token); !fault.Is(err, fault.BadToken) {
			t.Errorf("ReadAddress(%.20q) = %v, %v; want BadToken", token, got, err)
		}
	}
}

func TestParseIssuerKeysLeavesOutWhatIsOfNoUse(t *testing.T) {
	good, err := MarshalKeys(keySet().Keys[:2])
	if err != nil {
		t.Fatal(err)
	}
	list := strings.TrimSuffix(strings.TrimPrefix(string(good), `{"keys":[`), `]}`)
	set := func(more ...string) []byte {
		return []byte(`{"keys":[` + strings.Join(append(more, list), ",") + `],"more":1}`)
	}
	for name, jwks := range map[string][]byte{
		"as they are":            set(),
		"a key for encryption":   set(strings.ReplaceAll(strings.ReplaceAll(strings.Split(list, "},")[0]+"}", `"use":"sig"`, `"use":"enc"`), `"rs256"`, `"enc"`)),
		"a key of another curve": set(`{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"AAAA"}`),
		"a key without id":       set(`{"kty":"RSA"}`, `{"kty":"RSA"}`),
		"a shared secret":        set(`{"kty":"oct","kid":"k","k":"AAAA"}`),
		"what is no key":         set(`1`),
	} {
		keys, err := ParseIssuerKeys(jwks)
		if err != nil || len(keys) != 2 || keys[0].ID != "rs256" || keys[1].ID != "es256" {
			t.Errorf("%s: got %v, %v", name, keys, err)
		}
	}
	for name, jwks := range map[string][]byte{
		"none":            []byte(`{"keys":[]}`),
		"no list":         []byte(`{}`),
		"of no use":       []byte(`{"keys":[{"kty":"oct","kid":"k"}]}`),
		"one kid twice":   set(`{"kty":"oct","kid":"rs256"}`),
		"too many":        set(strings.Split(strings.Repeat(`1,`, 64)+"1", ",")...),
		"too large":       []byte(`{"keys":[],"x":"` + strings.Repeat("x", maxKeySet) + `"}`),
		"what is no JSON": []byte(`<html>`),
	} {
		if keys, err := ParseIssuerKeys(jwks); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, %v; want Invalid", name, keys, err)
		}
	}
}
