package agent

import (
	"encoding/base64"
	"strings"
	"testing"
)

// What EKS Auth is asked about at a renewal is the very token that the pod showed, and no two texts are one token.
func TestATokenHasOneText(t *testing.T) {
	usual := day("a")
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"as the API server makes it":   {usual, nil},
		"a signature of zeroes":        {signed(`{"exp":1800000000}`, "AAAA"), nil},
		"bits that decode to nothing":  {usual + "cx", errEncoding},
		"a signature of an odd length": {usual + "A", errEncoding},
		"claims of an odd length":      {"e30.e30AA.AAAA", errEncoding},
		"claims that are no object":    {"e30.AAAA.AAAA", errClaims},
		"no expiry":                    {signed(`{"nbf":1}`, "AAAA"), errClaims},
		"an expiry in words":           {signed(`{"exp":"1800000000"}`, "AAAA"), errClaims},
		"an expiry below zero":         {signed(`{"exp":-1}`, "AAAA"), errClaims},
		"an expiry beyond all years":   {signed(`{"exp":1e300}`, "AAAA"), errClaims},
		"a beginning in words":         {signed(`{"exp":1800000000,"nbf":"1"}`, "AAAA"), errClaims},
		"a beginning beyond all years": {signed(`{"exp":1800000000,"nbf":253402300800}`, "AAAA"), errClaims},
		"an expiry inside another one": {signed(`{"a":{"exp":1800000000}}`, "AAAA"), errClaims},
		"an expiry with a fraction":    {signed(`{"exp":1800000000.5}`, "AAAA"), nil},
	} {
		if err := checkShape(c.text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := parseToken(c.text, noon)
		if err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil && got.packed.text() != c.text {
			t.Errorf("%s: %q has become %q", name, c.text, got.packed.text())
		}
	}
}

func signed(claims, signature string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + signature
}

func FuzzToken(f *testing.F) {
	f.Add(day("a"))
	f.Add("a.b.c")
	f.Add("..")
	f.Add("A.AB.ABC")
	f.Add(tokenMark + ".eyJleHAiOjFlMzAwfQ.c2ln")
	f.Fuzz(func(t *testing.T, text string) {
		if checkShape(text) != nil {
			return
		}
		if strings.ContainsAny(text, "\"\\\r\n \x00") {
			t.Errorf("%q may be written into JSON", text)
		}
		token, err := parseToken(text, noon)
		if err != nil {
			return
		}
		if !token.expires.After(noon) {
			t.Errorf("%q: expired at %v and accepted", text, token.expires)
		}
		if got := token.packed.text(); got != text {
			t.Errorf("%q has become %q", text, got)
		}
	})
}
