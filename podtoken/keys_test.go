package podtoken

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

func marshal(t testing.TB, keys []Key) string {
	t.Helper()
	jwks, err := MarshalKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return string(jwks)
}

func TestParseKeysReadsWhatMarshalKeysWrites(t *testing.T) {
	want := keySet().Keys
	jwks := marshal(t, want)
	got, err := ParseKeys([]byte(jwks))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseKeys(MarshalKeys) (-want +got):\n%s", diff)
	}
	if strings.Contains(jwks, `"d"`) {
		t.Errorf("a private member was written: %s", jwks)
	}
	if token, err := NewVerifier(0).Verify(KeySet{Issuers: keySet().Issuers, Keys: got}, audience, genuine(t, "es512", goodClaims), now); err != nil {
		t.Errorf("Verify with the keys read back = %v, %v", token, err)
	}
}

// The key of RFC 7515, appendix A.3, made by somebody else.
func TestParseKeysReadsAKeyOfTheSpecification(t *testing.T) {
	keys, err := ParseKeys([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a3",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 1 || keys[0].ID != "a3" || keys[0].Algorithm != "ES256" {
		t.Errorf("ParseKeys = %v, want one key a3 for ES256", keys)
	}
}

func TestParseKeys(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	private, ok := signers()["rs256"].(*rsa.PrivateKey)
	if !ok {
		t.Fatal("rs256 is no RSA key")
	}
	n := b64(private.N.Bytes())
	rsaKey := func(members string) string { return `{"keys":[{"kty":"RSA","kid":"k",` + members + `}]}` }
	ecKey := func(members string) string { return `{"keys":[{"kty":"EC","kid":"k",` + members + `}]}` }
	x, y := "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
	point := `"x":"` + x + `","y":"` + y + `"`
	two := `{"kty":"EC","kid":"k","crv":"P-256",` + point + `}`
	for _, test := range []struct {
		name, jwks string
		accepted   bool
	}{
		{"RSA", rsaKey(`"n":"` + n + `","e":"AQAB"`), true},
		{"RSA with alg and use", rsaKey(`"alg":"RS256","use":"sig","n":"` + n + `","e":"AQAB"`), true},
		{"RSA for another algorithm", rsaKey(`"alg":"RS512","n":"` + n + `","e":"AQAB"`), false},
		{"RSA for an algorithm of curves", rsaKey(`"alg":"ES256","n":"` + n + `","e":"AQAB"`), false},
		{"RSA with alg that is no string", rsaKey(`"alg":1,"n":"` + n + `","e":"AQAB"`), false},
		{"RSA for encryption", rsaKey(`"use":"enc","n":"` + n + `","e":"AQAB"`), false},
		{"RSA with an unknown member", rsaKey(`"x5t":"a","n":"` + n + `","e":"AQAB"`), true},
		{"RSA with the private exponent", rsaKey(`"d":"` + b64(private.D.Bytes()) + `","n":"` + n + `","e":"AQAB"`), false},
		{"RSA with a prime", rsaKey(`"p":"` + b64(private.Primes[0].Bytes()) + `","n":"` + n + `","e":"AQAB"`), false},
		{"RSA of 2048 bits", rsaKey(`"n":"` + b64(new(big.Int).SetBit(big.NewInt(1), 2047, 1).Bytes()) + `","e":"AQAB"`), true},
		{"RSA of 2047 bits", rsaKey(`"n":"` + b64(new(big.Int).SetBit(big.NewInt(1), 2046, 1).Bytes()) + `","e":"AQAB"`), false},
		{"RSA of 8200 bits", rsaKey(`"n":"` + b64(bytes.Repeat([]byte{0xff}, 1025)) + `","e":"AQAB"`), false},
		{"RSA of an even number", rsaKey(`"n":"` + b64(append(private.N.Bytes()[:255], 2)) + `","e":"AQAB"`), false},
		{"RSA with exponent 3", rsaKey(`"n":"` + n + `","e":"Aw"`), false},
		{"RSA with an even exponent", rsaKey(`"n":"` + n + `","e":"AQAC"`), false},
		{"RSA with an exponent of 40 bits", rsaKey(`"n":"` + n + `","e":"AQAAAAE"`), false},
		{"RSA without exponent", rsaKey(`"n":"` + n + `"`), false},
		{"RSA with padded base64", rsaKey(`"n":"` + n + `==","e":"AQAB"`), false},
		{"RSA with a line break in base64", rsaKey(`"n":"` + n + `","e":"AQ\nAB"`), false},
		{"RSA with n in a list", rsaKey(`"n":["` + n + `"],"e":"AQAB"`), false},

		{"EC", ecKey(`"crv":"P-256",` + point), true},
		{"EC with alg", ecKey(`"crv":"P-256","alg":"ES256",` + point), true},
		{"EC for the algorithm of another curve", ecKey(`"crv":"P-256","alg":"ES384",` + point), false},
		{"EC of another curve", ecKey(`"crv":"P-384",` + point), false},
		{"EC of an unknown curve", ecKey(`"crv":"secp256k1",` + point), false},
		{"EC off the curve", ecKey(`"crv":"P-256","x":"` + y + `","y":"` + x + `"`), false},
		{"EC with the private key", ecKey(`"crv":"P-256","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",` + point), false},
		{"EC without y", ecKey(`"crv":"P-256","x":"` + x + `"`), false},
		{"EC with a short x", ecKey(`"crv":"P-256","x":"AQ","y":"` + y + `"`), false},

		{"a secret", `{"keys":[{"kty":"oct","kid":"k","k":"c2VjcmV0"}]}`, false},
		{"Ed25519", `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"` + x + `"}]}`, false},
		{"no kty", `{"keys":[{"kid":"k","crv":"P-256",` + point + `}]}`, false},
		{"no kid", `{"keys":[{"kty":"EC","crv":"P-256",` + point + `}]}`, false},
		{"an empty kid", `{"keys":[{"kty":"EC","kid":"","crv":"P-256",` + point + `}]}`, false},
		{"a long kid", `{"keys":[{"kty":"EC","kid":"` + strings.Repeat("k", 257) + `","crv":"P-256",` + point + `}]}`, false},
		{"one kid twice", `{"keys":[` + two + `,` + two + `]}`, false},
		{"a good key and a bad one", `{"keys":[` + two + `,{"kty":"oct","kid":"l"}]}`, false},
		{"kid twice in a key", `{"keys":[{"kid":"l",` + two[1:] + `]}`, false},
		{"a key that is a list", `{"keys":[[]]}`, false},
		{"no keys", `{"keys":[]}`, false},
		{"keys of null", `{"keys":null}`, false},
		{"nothing", ``, false},
		{"a list", `[]`, false},
		{"something behind the set", `{"keys":[` + two + `]} {}`, false},
		{"more than 64 keys", `{"keys":[` + manyKeys(65, two) + `]}`, false},
		{"64 keys", `{"keys":[` + manyKeys(64, two) + `]}`, true},
		{"more than 128 KiB", `{"keys":[` + two + `]}` + strings.Repeat(" ", maxKeySet), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, err := ParseKeys([]byte(test.jwks))
			if (err == nil) != test.accepted || (keys != nil) != test.accepted || err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("ParseKeys = %v, %v, want accepted: %v", keys, err, test.accepted)
			}
		})
	}
}

// manyKeys repeats a key with its kid "k" under as many names.
func manyKeys(n int, key string) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strings.Replace(key, `"kid":"k"`, fmt.Sprintf(`"kid":"k%d"`, i), 1)
	}
	return strings.Join(keys, ",")
}

func TestMarshalKeysRefuses(t *testing.T) {
	good := keySet().Keys[0]
	for _, test := range []struct {
		name string
		keys []Key
	}{
		{"no kid", []Key{{Algorithm: good.Algorithm, Public: good.Public}}},
		{"another algorithm", []Key{{ID: "k", Algorithm: "ES256", Public: good.Public}}},
		{"a private key", []Key{{ID: "k", Algorithm: "RS256", Public: signers()["rs256"]}}},
		{"a kid twice", []Key{good, good}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if jwks, err := MarshalKeys(test.keys); !fault.Is(err, fault.Invalid) {
				t.Errorf("MarshalKeys = %s, %v, want Invalid", jwks, err)
			}
		})
	}
}

// FuzzParseKeys holds that what is accepted can be written, and reads back as the same keys.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(marshal(f, keySet().Keys)))
	for _, k := range keySet().Keys {
		f.Add([]byte(marshal(f, []Key{k})))
	}
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a3","d":"AQ"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AA","e":"AA","kid":"k"}]}`))
	f.Fuzz(func(t *testing.T, jwks []byte) {
		keys, err := ParseKeys(jwks)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("ParseKeys(%q) = %v, want Invalid", jwks, err)
			}
			return
		}
		again, err := ParseKeys([]byte(marshal(t, keys)))
		if err != nil {
			t.Fatalf("ParseKeys(%q) is written and refused: %v", jwks, err)
		}
		if diff := cmp.Diff(keys, again); diff != "" {
			t.Errorf("ParseKeys(%q) is written and read as (-first +second):\n%s", jwks, diff)
		}
	})
}
