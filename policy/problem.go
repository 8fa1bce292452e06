package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/openlanyard/lanyard/fault"
)

// Position is a place in a document. Both count from 1, columns in characters.
type Position struct{ Line, Column int }

// positionOf returns where the text has so many bytes before it.
func positionOf(text string, offset int) Position {
	before := text[:min(offset, len(text))]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return Position{Line: strings.Count(before, "\n") + 1, Column: utf8.RuneCountInString(line) + 1}
}

// malformed is what is wrong with a document: where, in the words that IAM has for it, and what would be accepted.
type malformed struct {
	at    int    // bytes of the document before it
	path  string // the elements that lead to it
	said  string // by IAM; "" is syntax
	cause error
}

// syntax is what IAM says of a document whose form it does not take.
const syntax = "Syntax errors in policy."

func (m *malformed) Error() string { return m.path + m.cause.Error() }
func (m *malformed) Unwrap() error { return m.cause }

// fault is the error that a door tells: IAM's sentence first, since tools look for it.
func (m *malformed) fault() error {
	said := m.said
	if said == "" {
		said = syntax
	}
	return fault.New(fault.MalformedPolicy, "%s", shorten(said+" "+m.Error()))
}

// at gives an error its place, unless it has one.
func at(offset int, err error) error {
	if err == nil {
		return nil
	}
	if m := (*malformed)(nil); errors.As(err, &m) {
		if m.at < 0 {
			m.at = offset
		}
		return m
	}
	return &malformed{at: offset, cause: err}
}

// within gives an error the element that it was met in.
func within(element string, offset int, err error) error {
	if err == nil {
		return nil
	}
	m := at(offset, err).(*malformed)
	m.path = element + ": " + m.path
	return m
}

// saying makes an error that IAM has words for.
func saying(said, format string, a ...any) error {
	return &malformed{at: -1, said: said, cause: fmt.Errorf(format, a...)}
}

// shorten leaves out the middle of a message that quotes a very long value: the element is named at its start, what is
// accepted at its end.
func shorten(s string) string {
	const half = 500
	if len(s) <= 2*half {
		return s
	}
	return strings.ToValidUTF8(s[:half]+" ... "+s[len(s)-half:], "")
}
