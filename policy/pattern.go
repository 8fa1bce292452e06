package policy

import (
	"strings"
	"unicode/utf8"
)

// verdict is the outcome of matching a pattern.
type verdict uint8

const (
	no verdict = iota
	yes
	unresolved // a policy variable has no single value, so there is nothing to match
)

// pattern is a compiled string of a policy. Wildcards cut it into runs: between two runs stands a star. As the first run
// sits at the start, the last at the end, and the others each at the first place they fit, matching never goes back over
// a star: its cost is at most the product of both lengths, whatever an attacker writes on either side.
type pattern struct {
	shape shape
	fold  bool   // compare ASCII letters without case; text and runs are then lower case
	text  string // of a literal, or of a prefix without its star
	runs  [][]atom
	slots int // number of variables
}

// shape tells the patterns that need no general matching.
type shape uint8

const (
	general shape = iota
	literal
	prefix // a literal and a star
)

// atom is a piece of a run: literal text, any one character, or a variable's value.
type atom struct {
	kind     atomKind
	slot     int    // of a variable
	text     string // the literal, or the variable's default
	fallback bool   // the variable has a default
	key      key
}

type atomKind uint8

const (
	atomText atomKind = iota
	atomOne
	atomVariable
)

// maxVariables bounds the variables of one pattern, so that their values fit on the stack.
const maxVariables = 16

// match compares the whole of s with the pattern.
func (p *pattern) match(s string, ctx Context) verdict {
	matched := false
	switch p.shape {
	case literal:
		matched = len(s) == len(p.text) && p.begins(s, p.text)
	case prefix:
		matched = p.begins(s, p.text)
	default:
		if p.slots == 0 {
			matched = p.matchRuns(s, nil)
			break
		}
		var values [maxVariables]string
		if !p.resolve(ctx, &values) {
			return unresolved
		}
		matched = p.matchRuns(s, &values)
	}
	if matched {
		return yes
	}
	return no
}

// resolve puts the value of each variable in its slot. A key with several values has no one value to stand for it.
func (p *pattern) resolve(ctx Context, values *[maxVariables]string) bool {
	for _, run := range p.runs {
		for i := range run {
			a := &run[i]
			if a.kind != atomVariable {
				continue
			}
			switch found := ctx.values(&a.key); {
			case len(found) == 1:
				values[a.slot] = found[0]
			case len(found) == 0 && a.fallback:
				values[a.slot] = a.text
			default:
				return false
			}
		}
	}
	return true
}

func (p *pattern) matchRuns(s string, values *[maxVariables]string) bool {
	s, ok := p.cutPrefix(s, p.runs[0], values)
	if !ok {
		return false
	}
	last := len(p.runs) - 1
	if last == 0 {
		return s == ""
	}
	for _, run := range p.runs[1:last] {
		if s, ok = p.cutThrough(s, run, values); !ok {
			return false
		}
	}
	return p.endsWith(s, p.runs[last], values)
}

// cutPrefix returns what follows the run at the start of s. A variable's value is text: a star in it is a star.
func (p *pattern) cutPrefix(s string, run []atom, values *[maxVariables]string) (rest string, ok bool) {
	for i := range run {
		n := 0
		switch a := &run[i]; a.kind {
		case atomOne:
			if s == "" {
				return "", false
			}
			_, n = utf8.DecodeRuneInString(s)
		default:
			text := a.value(values)
			if !p.begins(s, text) {
				return "", false
			}
			n = len(text)
		}
		s = s[n:]
	}
	return s, true
}

// cutThrough returns what follows the first place in s where the run fits.
func (p *pattern) cutThrough(s string, run []atom, values *[maxVariables]string) (rest string, ok bool) {
	for {
		if run[0].kind == atomText && !p.fold {
			n := strings.Index(s, run[0].text)
			if n < 0 {
				return "", false
			}
			s = s[n:]
		}
		if rest, ok = p.cutPrefix(s, run, values); ok || s == "" {
			return rest, ok
		}
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
}

// endsWith reports whether s ends with the run.
func (p *pattern) endsWith(s string, run []atom, values *[maxVariables]string) bool {
	for i := len(run) - 1; i >= 0; i-- {
		n := 0
		switch a := &run[i]; a.kind {
		case atomOne:
			if s == "" {
				return false
			}
			_, n = utf8.DecodeLastRuneInString(s)
		default:
			text := a.value(values)
			n = len(text)
			if n > len(s) || !p.begins(s[len(s)-n:], text) {
				return false
			}
		}
		s = s[:len(s)-n]
	}
	return true
}

func (a *atom) value(values *[maxVariables]string) string {
	if a.kind == atomVariable {
		return values[a.slot]
	}
	return a.text
}

// begins reports whether s begins with text.
func (p *pattern) begins(s, text string) bool {
	if !p.fold {
		return strings.HasPrefix(s, text)
	}
	return len(s) >= len(text) && equalFold(text, s[:len(text)])
}

// leading returns the literal text that everything the pattern matches begins with.
func (p *pattern) leading() string {
	if p.shape != general {
		return p.text
	}
	if first := p.runs[0]; len(first) > 0 && first[0].kind == atomText {
		return first[0].text
	}
	return ""
}

// equalFold compares two strings without the case of ASCII letters. Only those: Unicode folding would make the Kelvin
// sign a k, and names that are told apart elsewhere equal here. It begins at the end, where names of one service differ.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] && toLower(a[i]) != toLower(b[i]) {
			return false
		}
	}
	return true
}

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// lower returns s with its ASCII letters in lower case.
func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = toLower(b[i])
	}
	return string(b)
}
