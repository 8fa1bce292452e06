package podtoken

import "testing"

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
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := parseObject([]byte(test.data)); (err == nil) != test.accepted {
				t.Errorf("parseObject(%q) = %v, %v, want accepted: %v", test.data, got, err, test.accepted)
			}
		})
	}
}
