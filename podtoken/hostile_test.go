package podtoken

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/openlanyard/lanyard/fault"
)

// TestHostileTokens has the attacks on token verifiers that are known by name; each differs from a good token in one thing.
// TestClaims has those in the claims.
func TestHostileTokens(t *testing.T) {
	good := genuine(t, "rs256", goodClaims)
	goodES := genuine(t, "es256", goodClaims)
	parts := strings.Split(good, ".")
	private := signers()
	public, err := x509.MarshalPKIXPublicKey(private["rs256"].Public())
	if err != nil {
		t.Fatal(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	es256 := func(header string) string { return sign(t, header, goodClaims, "ES256", private["es256"]) }
	flipped := func(token string) string {
		return token[:len(token)-10] + string(token[len(token)-10]^1) + token[len(token)-9:]
	}
	for _, test := range []struct{ name, token string }{
		{"nothing", ""},
		{"two dots", ".."},
		{"the claims alone", parts[1]},
		{"no signature", parts[0] + "." + parts[1]},
		{"an empty signature", parts[0] + "." + parts[1] + "."},
		{"a fourth part", good + ".x"},
		{"trailing garbage", good + "AAAA"},
		{"a trailing line break", good + "\n"},
		{"a line break inside", parts[0] + ".\r\n" + parts[1] + "." + parts[2]},
		{"a space before", " " + good},
		{"a padded part", parts[0] + "=." + parts[1] + "." + parts[2]},
		{"standard base64", parts[0] + "." + parts[1] + ".+/" + parts[2][2:]},
		{"stray bits in the last character", stray(goodES)},
		{"more than 16 KiB", sign(t, `{"alg":"ES256","kid":"es256"}`, edit(t, `"jti":`, `"x":"`+strings.Repeat("x", maxToken)+`","jti":`), "ES256", private["es256"])},
		{"a bit of the RSA signature flipped", flipped(good)},
		{"a bit of the ECDSA signature flipped", flipped(goodES)},
		{"an ECDSA signature of zeros", goodES[:strings.LastIndexByte(goodES, '.')+1] + strings.Repeat("A", 86)},
		{"another token's claims", parts[0] + "." + encode(edit(t, `"5f2d0c4e"`, `"5f2d0c4f"`)) + "." + parts[2]},
		{"a stranger's key under a known kid", sign(t, `{"alg":"ES256","kid":"es256"}`, goodClaims, "ES256", stranger)},

		{"alg none", sign(t, `{"alg":"none","kid":"rs256"}`, goodClaims, "none", jwt.UnsafeAllowNoneSignatureType)},
		{"alg None", sign(t, `{"alg":"None","kid":"rs256"}`, goodClaims, "none", jwt.UnsafeAllowNoneSignatureType)},
		{"alg HS256 with the public key as secret", sign(t, `{"alg":"HS256","kid":"rs256"}`, goodClaims, "HS256", secret)},
		{"alg RS256 with an HMAC of the public key", sign(t, `{"alg":"RS256","kid":"rs256"}`, goodClaims, "HS256", secret)},
		{"alg RS512", sign(t, `{"alg":"RS512","kid":"rs256"}`, goodClaims, "RS512", private["rs256"])},
		{"alg PS256", sign(t, `{"alg":"PS256","kid":"rs256"}`, goodClaims, "PS256", private["rs256"])},
		{"alg in lower case", es256(`{"alg":"es256","kid":"es256"}`)},
		{"alg of another curve", es256(`{"alg":"ES384","kid":"es256"}`)},
		{"alg of another curve, the signature made to fit it", es384ByP256(t, goodClaims)},
		{"the key of another curve", es256(`{"alg":"ES256","kid":"es384"}`)},
		{"the key of another type", es256(`{"alg":"ES256","kid":"rs256"}`)},
		{"no alg", es256(`{"kid":"es256"}`)},
		{"alg twice", es256(`{"alg":"none","kid":"es256","alg":"ES256"}`)},
		{"alg in a list", es256(`{"alg":["ES256"],"kid":"es256"}`)},

		{"no kid", es256(`{"alg":"ES256"}`)},
		{"an empty kid", es256(`{"alg":"ES256","kid":""}`)},
		{"an unknown kid", es256(`{"alg":"ES256","kid":"es257"}`)},
		{"a kid in another case", es256(`{"alg":"ES256","kid":"ES256"}`)},
		{"a kid of null", es256(`{"alg":"ES256","kid":null}`)},
		{"kid twice", es256(`{"alg":"ES256","kid":"rs256","kid":"es256"}`)},
		{"typ of another kind", es256(`{"alg":"ES256","kid":"es256","typ":"dpop+jwt"}`)},
		{"jwk", es256(`{"alg":"ES256","kid":"es256","jwk":{"kty":"EC"}}`)},
		{"jku", es256(`{"alg":"ES256","kid":"es256","jku":"https://evil.example/keys"}`)},
		{"x5u", es256(`{"alg":"ES256","kid":"es256","x5u":"https://evil.example/chain"}`)},
		{"x5c", es256(`{"alg":"ES256","kid":"es256","x5c":[]}`)},
		{"crit", es256(`{"alg":"ES256","kid":"es256","crit":["exp"]}`)},
		{"b64", es256(`{"alg":"ES256","kid":"es256","b64":false}`)},
		{"zip", es256(`{"alg":"ES256","kid":"es256","zip":"DEF"}`)},

		{"a header that is a list", es256(`["ES256"]`)},
		{"a header of null", es256(`null`)},
		{"a header with something behind it", es256(`{"alg":"ES256","kid":"es256"}{}`)},
		{"a header of many levels", es256(strings.Repeat("[", 8000))},
		{"claims that are a list", genuine(t, "es256", `[`+goodClaims+`]`)},
		{"claims of null", genuine(t, "es256", `null`)},
		{"no claims", genuine(t, "es256", `{}`)},
		{"claims of nothing", genuine(t, "es256", ``)},
		{"claims with something behind them", genuine(t, "es256", goodClaims+`{}`)},
		{"claims cut off", genuine(t, "es256", goodClaims[:len(goodClaims)-1])},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := NewVerifier(8)
			for range 2 { // the second time from what the cache must not have kept
				if got, err := v.Verify(keySet(), audience, test.token, now); got != nil || !fault.Is(err, fault.BadToken) {
					t.Fatalf("Verify = %v, %v, want BadToken", got, err)
				}
			}
		})
	}
	for _, token := range []string{good, goodES, es256(`{"typ":"JWT","kid":"es256","alg":"ES256"}`)} {
		if _, err := NewVerifier(8).Verify(keySet(), audience, token, now); err != nil {
			t.Errorf("Verify of a good token = %v", err)
		}
	}
}

// es384ByP256 signs as ES384 does, but with a key of P-256 and zeros in front of r and s. The mathematics agree to it.
func es384ByP256(t *testing.T, claims string) string {
	t.Helper()
	key, ok := signers()["es256"].(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("es256 is no ECDSA key")
	}
	text := encode(`{"alg":"ES384","kid":"es256"}`) + "." + encode(claims)
	digest := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	var signature [96]byte
	r.FillBytes(signature[:48])
	s.FillBytes(signature[48:])
	if err := jwt.SigningMethodES384.Verify(text, signature[:], key.Public()); err != nil {
		t.Fatalf("the library alone refuses it, so this case proves nothing: %v", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}

// stray sets a bit of the last character that stands for no byte of the signature.
func stray(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])|1])
}

// Who holds the key could spell the parts of a token otherwise than everybody else reads them, and sign that spelling.
func TestATokenSpeltOtherwiseIsRefusedThoughItIsSigned(t *testing.T) {
	head, body := encode(`{"alg":"ES256","kid":"es256"}`), encode(goodClaims+strings.Repeat(" ", 2-len(goodClaims)%3))
	next := encode(`{"alg":"ES256","kid":"next"}`) // no such key: the claims are read without it
	for _, test := range []struct {
		name, head, body, end string
		want                  bool
	}{
		{"as it should be", head, body, "", true},
		{"stray bits in the header", stray(head), body, "", false},
		{"stray bits in the claims", head, stray(body), "", false},
		{"padding of the header", head + "=", body, "", false},
		{"padding of the claims", head, body + "=", "", false},
		{"a line break in the header", head[:4] + "\n" + head[4:], body, "", false},
		{"a line break in the claims", head, body[:4] + "\r\n" + body[4:], "", false},
		{"a line break behind the signature", head, body, "\n", false},
		{"a space in the claims", head, body[:4] + " " + body[4:], "", false},
		{"a character too many in the claims", head, body + "AA", "", false},
		{"no header", "", body, "", false},
		{"no claims", head, "", "", false},
		{"an unknown key, and padding of the claims", next, body + "=", "", false},
		{"an unknown key, and padding of the signature", next, body, "==", false},
		{"an unknown key, and a line break behind the signature", next, body, "\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := test.head + "." + test.body
			signature, err := jwt.SigningMethodES256.Sign(text, signers()["es256"])
			if err != nil {
				t.Fatal(err)
			}
			token := text + "." + base64.RawURLEncoding.EncodeToString(signature) + test.end
			got, err := NewVerifier(0).Verify(keySet(), audience, token, now)
			if (err == nil) != test.want || err != nil && (!fault.Is(err, fault.BadToken) || errors.Is(err, ErrUnknownKey)) {
				t.Errorf("Verify = %v, %v, want accepted: %v, or else BadToken without ErrUnknownKey", got, err, test.want)
			}
		})
	}
}

func TestATokenWithAnyBitFlippedIsRefused(t *testing.T) {
	token := genuine(t, "es256", goodClaims)
	for i := range len(token) {
		for bit := range 8 {
			changed := []byte(token)
			changed[i] ^= 1 << bit
			if _, err := NewVerifier(0).Verify(keySet(), audience, string(changed), now); !fault.Is(err, fault.BadToken) {
				t.Fatalf("bit %d of character %d flipped: Verify = %v, want BadToken", bit, i, err)
			}
		}
	}
}

// A key set that was not read by ParseKeys gets no further with a weak or unfitting key.
func TestKeysThatAreNotAccepted(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, token string
		key         Key
	}{
		{"an RSA key of 1024 bits", sign(t, `{"alg":"RS256","kid":"k"}`, goodClaims, "RS256", weak), Key{ID: "k", Algorithm: "RS256", Public: weak.Public()}},
		{"an RSA key for PS256", sign(t, `{"alg":"PS256","kid":"k"}`, goodClaims, "PS256", signers()["rs256"]), Key{ID: "k", Algorithm: "PS256", Public: signers()["rs256"].Public()}},
		{"a key for no algorithm", sign(t, `{"alg":"ES256","kid":"k"}`, goodClaims, "ES256", signers()["es256"]), Key{ID: "k", Algorithm: "", Public: signers()["es256"].Public()}},
		{"a secret", sign(t, `{"alg":"HS256","kid":"k"}`, goodClaims, "HS256", []byte("secret")), Key{ID: "k", Algorithm: "HS256", Public: []byte("secret")}},
		{"no key", sign(t, `{"alg":"ES256","kid":"k"}`, goodClaims, "ES256", signers()["es256"]), Key{ID: "k", Algorithm: "ES256", Public: nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := keySet()
			set.Keys = []Key{test.key}
			if got, err := NewVerifier(0).Verify(set, audience, test.token, now); !fault.Is(err, fault.BadToken) {
				t.Errorf("Verify = %v, %v, want BadToken", got, err)
			}
		})
	}
}

// FuzzVerify signs whatever claims it is given with a good key, so that it reaches what stands behind the signature, and
// also offers its input as a token.
func FuzzVerify(f *testing.F) {
	f.Add(`{"alg":"ES256","kid":"es256"}`, goodClaims)
	f.Add(`{"alg":"ES256","kid":"es256","typ":"JWT"}`, `{"aud":"pods.eks.amazonaws.com","exp":1e3,"kubernetes.io":[]}`)
	f.Add(`{"alg":"none"}`, `{"exp":-1}`)
	f.Add(encode(`{"alg":"ES256","kid":"es256"}`)+"."+encode(goodClaims)+"."+strings.Repeat("A", 86), `[[[[[[[[[`)
	f.Add("a.b.c", `{"a":1,"a":2}`)
	v := NewVerifier(16)
	f.Fuzz(func(t *testing.T, text, claims string) {
		if got, err := v.Verify(keySet(), audience, text, now); !fault.Is(err, fault.BadToken) {
			t.Errorf("Verify(%q) = %v, %v, want BadToken", text, got, err)
		}
		for _, head := range []string{`{"alg":"ES256","kid":"es256"}`, text} {
			token := sign(t, head, claims, "ES256", signers()["es256"])
			got, err := v.Verify(keySet(), audience, token, now)
			if err != nil {
				if !fault.Is(err, fault.BadToken) && !fault.Is(err, fault.ExpiredToken) {
					t.Errorf("Verify of header %q, claims %q = %v, want BadToken or ExpiredToken", head, claims, err)
				}
				continue
			}
			if got.Subject != "system:serviceaccount:"+got.Namespace+":"+got.ServiceAccount || got.Audience != audience ||
				!got.Expires.After(now) || !dnsLabel(got.Namespace) || !dnsName(got.ServiceAccount) {
				t.Errorf("Verify of header %q, claims %q = %+v", head, claims, got)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, kid := range []string{"rs256", "es256"} {
		token := genuine(b, kid, goodClaims)
		for _, run := range []struct {
			name string
			size int
		}{{"cold", 0}, {"cached", 1}} {
			b.Run(run.name+"/"+strings.ToUpper(kid), func(b *testing.B) {
				v, set := NewVerifier(run.size), keySet()
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(set, audience, token, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkFloorRSA(b *testing.B) {
	token := genuine(b, "rs256", goodClaims)
	cut := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil {
		b.Fatal(err)
	}
	public := signers()["rs256"].Public()
	for b.Loop() {
		if err := jwt.SigningMethodRS256.Verify(token[:cut], signature, public); err != nil {
			b.Fatal(err)
		}
	}
}
