package agent

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// What EKS Auth is asked about at a renewal is the very token that the pod showed, however it was encoded.
func TestAPackedTokenIsTheSame(t *testing.T) {
	usual := day("a")
	for name, c := range map[string]struct {
		text  string
		short bool
	}{
		"as the API server makes it":       {usual, true},
		"bits that decode to nothing":      {strings.TrimSuffix(usual, "c2lnbmF0dXJl") + "c2lnbmF0dXJlcx", false},
		"a signature of an odd length":     {usual + "A", false},
		"claims of an odd length":          {"e30.e30AA.AAAA", false},
		"one part":                         {"e30", false},
		"no signature":                     {"e30.e30", false},
		"four parts":                       {usual + ".c2ln", false},
		"a signature of zeroes":            {"e30.e30.AAAA", true},
		"padding":                          {"e30=.e30=.AA==", false},
		"a header that decodes to nothing": {"A.e30.AAAA", true}, // which is kept as it is
		"line breaks":                      {"e30.e3\n0.AA\nAA", false},
	} {
		p := pack(c.text)
		if got := p.text(); got != c.text {
			t.Errorf("%s: %q has become %q", name, c.text, got)
		}
		if short := p.claims >= 0; short != c.short {
			t.Errorf("%s: packed %v, want %v", name, short, c.short)
		}
	}
}

func FuzzPack(f *testing.F) {
	f.Add(token("a", time.Unix(1, 0)))
	f.Add("A.AB.ABC")
	f.Add("e30.." + base64.RawURLEncoding.EncodeToString([]byte("x")))
	f.Fuzz(func(t *testing.T, text string) {
		if got := pack(text).text(); got != text {
			t.Errorf("%q has become %q", text, got)
		}
	})
}
