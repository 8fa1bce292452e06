package podtoken

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseObject(t *testing.T) {
	for _, test := range []struct {
		name, data string
		accepted   bool
	}{
		{"an empty object", `{}`, true},
		{"members that differ in case", `{"a":1,"A":2}`, true},
		{"one name in two objects", `{"a":{"b":1},"c":{"b":1},"d":[{"b":1},{"b":1}]}`, true},
		{"colons, quotes and brackets in strings", `{"a:\"{[":"\\","b":":{{{{{{{{{{\":"}`, true},
		{"white space", " {\n\"a\" :\t1 } \n", true},
		{"a member twice", `{"a":1,"a":1}`, false},
		{"a member twice, deep", `{"x":[{"y":{"a":1,"a":1}}]}`, false},
		{"a member twice, in what the second one replaces", `{"x":{"a":1,"a":1},"y":{},"x":{"a":1}}`, false},
		{"a member twice, spelt with an escape", `{"a":1,"\u0061":1}`, false},
		{"a member twice by bytes that are no text", "{\"\xff\":1,\"\xfe\":1}", false},
		{"9 levels", `{"a":[[[[[[[[]]]]]]]]}`, false},
		{"9 levels, closed too often", `{"a":[[[[[[[]]]]]]]}]]]]`, false},
		{"two objects", `{}{}`, false},
		{"a comma too many", `{"a":1,}`, false},
		{"a string", `"a"`, false},
		{"null", `null`, false},
		{"nothing", ``, false},
		{"8 levels", `{"a":[[[[[[[]]]]]]]}`, true},
		{"8 levels, many times", `{"a":[[[[[[[]]]]]]],"b":[[[[[[[]]]]]]]}`, true},
		{"levels that are not closed", strings.Repeat(`{"a":`, 8000), false},
		{"closed by another bracket", `{"a":[1}]`, false},
		{"a comma alone", `{,}`, false},
		{"a comma too many in a list", `{"a":[1,]}`, false},
		{"no comma", `{"a":1 "b":2}`, false},
		{"no comma in a list", `{"a":[1 2]}`, false},
		{"no colon", `{"a" 1}`, false},
		{"no value", `{"a":}`, false},
		{"a name without quotes", `{a:1}`, false},
		{"a name that is a number", `{1:1}`, false},
		{"something behind the object", `{} x`, false},
		{"a zero byte behind the object", "{}\x00", false},
		{"a byte order mark", "\ufeff{}", false},
		{"white space that JSON does not know", "{\v}", false},
		{"a comment", `{/**/}`, false},
		{"a string that is cut off", `{"a":"`, false},
		{"a string that is cut off in an escape", `{"a":"\`, false},
		{"a line break in a string", "{\"a\":\"\n\"}", false},
		{"a line break behind a backslash", "{\"a\":\"\\\n\"}", false},
		{"an unknown escape", `{"a":"\x41"}`, false},
		{"a string that is not UTF-8", "{\"a\":\"\xff\"}", false},
		{"numbers", `{"a":[0,-0,1.5,1e9,-1E-9]}`, true},
		{"moments", `{"iat":1763869400,"exp":9999999999,"l":[1000000000]}`, true},
		{"ten digits with a zero in front", `{"a":0763869400}`, false},
		{"nine digits and a letter", `{"a":176386940x}`, false},
		{"a number with a zero in front", `{"a":01}`, false},
		{"a number with a plus", `{"a":+1}`, false},
		{"a number of base 16", `{"a":0x1}`, false},
		{"a number with an underscore", `{"a":1_0}`, false},
		{"a number with a bracket in it", `{"a":1{}}`, false},
		{"a number beyond float64", `{"a":1e400}`, false},
		{"not a number", `{"a":NaN}`, false},
		{"words", `{"a":[true,false,null]}`, true},
		{"a word in upper case", `{"a":True}`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := parseObject([]byte(test.data)); (err == nil) != test.accepted {
				t.Errorf("parseObject(%q) = %v, %v, want accepted: %v", test.data, got, err, test.accepted)
			}
		})
	}
}

// FuzzParseObject holds parseObject against encoding/json: it accepts the objects that this one accepts, but for the three
// things that it is stricter about, and understands the same by them.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(goodClaims))
	f.Add([]byte(`{"a":{"b":[1,-2.5e3,true,null,"\u0061\ud83d\ude00\ud800"]},"A":[]," ":{}}`))
	f.Add([]byte(`{"a":1,"\u0061":1}`))
	f.Add([]byte(`{"a":[[[[[[[[]]]]]]]]} `))
	f.Fuzz(func(t *testing.T, data []byte) {
		var value any
		want, isObject := map[string]any(nil), false
		if err := json.Unmarshal(data, &value); err == nil {
			want, isObject = value.(map[string]any)
		}
		deepest, written := measure(data)
		accepted := isObject && utf8.Valid(data) && deepest <= maxDepth && count(want) == written
		got, err := parseObject(data)
		if (err == nil) != accepted {
			t.Fatalf("parseObject(%q) = %v, %v, want accepted: %v", data, got, err, accepted)
		}
		if diff := cmp.Diff(want, got); accepted && diff != "" {
			t.Errorf("parseObject(%q) (-encoding/json +got):\n%s", data, diff)
		}
	})
}

// measure returns how deep data goes and how many members its objects have as written: in valid JSON, each colon outside
// a string is one. Of other data it says nothing useful.
func measure(data []byte) (deepest, members int) {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		case c == ':':
			members++
		}
	}
	return deepest, members
}

// count returns how many members all objects in value have. Of members that stand twice encoding/json keeps one, so fewer
// than written means that some do.
func count(value any) int {
	n := 0
	switch v := value.(type) {
	case map[string]any:
		n = len(v)
		for _, member := range v {
			n += count(member)
		}
	case []any:
		for _, element := range v {
			n += count(element)
		}
	}
	return n
}
