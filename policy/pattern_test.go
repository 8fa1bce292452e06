package policy

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	ctx := Context{
		{Key: "k:a", Values: []string{"val"}},
		{Key: "k:star", Values: []string{"*"}},
		{Key: "k:empty", Values: []string{""}},
		{Key: "k:two", Values: []string{"x", "y"}},
	}
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a"}},
		{"*", []string{"", "a", "a:b/c"}, nil},
		{"**", []string{"", "a"}, nil},
		{"abc", []string{"abc"}, []string{"", "ab", "abcd", "ABC"}},
		{"ab*", []string{"ab", "abc"}, []string{"a", "xab"}},
		{"*ab", []string{"ab", "xab", "abab"}, []string{"aba", "b"}},
		{"a*a", []string{"aa", "aba"}, []string{"a", "ab"}},
		{"a*b*c", []string{"abc", "axbxc", "abcbc"}, []string{"acb", "ab", "bc"}},
		{"*ab*ba*", []string{"abba", "xabxbax"}, []string{"aba"}},
		{"a?c", []string{"abc", "aéc", "a?c"}, []string{"ac", "abbc"}},
		{"?*?", []string{"ab", "éé", "abc"}, []string{"", "a", "é"}},
		{"*?", []string{"a", "é", "ab"}, []string{""}},
		{"*??b*", []string{"xyb", "éxb", "ééb1"}, []string{"éb", "xb"}},
		{"é*é", []string{"éé", "éxé"}, []string{"é"}},
		{"${*}${?}${$}", []string{"*?$"}, []string{"xx$", "*x$"}},
		{"$a{b}", []string{"$a{b}"}, nil},
		{"x-${k:a}", []string{"x-val"}, []string{"x-", "x-vala"}},
		{"${K:A}*", []string{"val", "value"}, []string{"va", ""}},
		{"*${k:a}*-?", []string{"val-1", "xval--1"}, []string{"val", "va-1"}},
		{"*/${k:a}", []string{"/val", "/val/val"}, []string{"/val/", "val"}},
		{"${k:star}", []string{"*"}, []string{"x", ""}},
		{"a${k:empty}b", []string{"ab"}, []string{"a*b"}},
		{"*${k:empty}*", []string{"", "a"}, nil},
		{"${k:none, 'd, f'}", []string{"d, f"}, []string{""}},
		{"${k:a,'d'}", []string{"val"}, []string{"d"}},
	}
	for _, tt := range tests {
		p, err := compile(tt.pattern, dialect{wildcards: true, variables: true})
		if err != nil {
			t.Errorf("compile(%q): %v", tt.pattern, err)
			continue
		}
		for _, s := range tt.yes {
			if got := p.match(s, ctx); got != yes {
				t.Errorf("%q with %q = %v, want yes", tt.pattern, s, got)
			}
		}
		for _, s := range tt.no {
			if got := p.match(s, ctx); got != no {
				t.Errorf("%q with %q = %v, want no", tt.pattern, s, got)
			}
		}
	}
	for _, s := range []string{"${k:none}", "${k:two}", "${k:two, 'x'}", "*${k:none}*"} {
		p, err := compile(s, dialect{wildcards: true, variables: true})
		if err != nil {
			t.Errorf("compile(%q): %v", s, err)
		} else if got := p.match("x", ctx); got != unresolved {
			t.Errorf("%q = %v, want unresolved", s, got)
		}
	}
}

func TestFoldingIsOfASCIIAlone(t *testing.T) {
	p, err := compile("K*É", dialect{wildcards: true, fold: true})
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]verdict{"kÉ": yes, "KxÉ": yes, "ké": no, "\u212aÉ": no} {
		if got := p.match(s, nil); got != want {
			t.Errorf("K*É with %q = %v, want %v", s, got, want)
		}
	}
}

// TestPatternAgreesWithItsDefinition compares with a table of all prefixes, which is slow and plainly right.
func TestPatternAgreesWithItsDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(letters string, most int) string {
		b := make([]byte, rng.IntN(most+1))
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	matched := 0
	for range 100_000 {
		text, s := random("ab*?", 8), random("ab", 8)
		p, err := compile(text, dialect{wildcards: true})
		if err != nil {
			t.Fatal(err)
		}
		want := no
		if defined(text, s) {
			want = yes
			matched++
		}
		if got := p.match(s, nil); got != want {
			t.Fatalf("%q with %q = %v, want %v", text, s, got, want)
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d pairs matched: the test looks at one side alone", matched)
	}
}

// defined reports whether the pattern matches s.
func defined(pattern, s string) bool {
	fits := make([]bool, len(s)+1) // fits[j]: the pattern read so far matches s[:j]
	fits[0] = true
	for i := range len(pattern) {
		next := make([]bool, len(s)+1)
		for j := range next {
			switch {
			case pattern[i] == '*':
				next[j] = fits[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = fits[j-1] && (pattern[i] == '?' || pattern[i] == s[j-1])
			}
		}
		fits = next
	}
	return fits[len(s)]
}

// With backtracking over stars this would not end.
func TestManyStarsAreNoAttack(t *testing.T) {
	for _, unit := range []string{"a*", "?*", "a?*", "*a"} {
		p, err := compile(strings.Repeat(unit, 500)+"b", dialect{wildcards: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.match(strings.Repeat("a", 4000), nil); got != no {
			t.Errorf("%q... = %v, want no", unit, got)
		}
	}
}
