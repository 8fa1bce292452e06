package api

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind is what the values of a shape are.
type Kind int

// The kinds, after Smithy's simple and aggregate types (https://smithy.io/2.0/spec/model.html).
const (
	TextKind Kind = iota
	NumberKind
	FlagKind
	TimeKind
	BytesKind
	ListKind
	MapKind
	StructureKind
)

// Shape is what a member's value has to be.
type Shape struct {
	Kind     Kind
	Min, Max int // characters of a text, members of a list or a map, the value of a number; 0: no bound
	Pattern  string
	Enum     []string
	Secret   bool // is not quoted in an answer
	Key      *Shape
	Item     *Shape // of a list, or the values of a map
	Members  []Member

	compiled *regexp.Regexp
}

// Place is where a REST request carries a member.
type Place int

// The places. A query protocol's members are all in its form, which is the body.
const (
	InBody Place = iota
	InPath
	InQuery
)

// Member is one row of an operation's table: a member of its request, as the service's model has it.
type Member struct {
	Name     string
	Required bool
	Place    Place
	Label    string // the path's label, where it is not called as the member is
	Shape    *Shape
}

// Must is a member that has to be there, May one that need not.
func Must(name string, of *Shape) Member { return Member{Name: name, Required: true, Shape: of} }

// May is a member that need not be there.
func May(name string, of *Shape) Member { return Member{Name: name, Shape: of} }

// Path puts a member into the path, under a label.
func (m Member) Path(label string) Member {
	m.Place, m.Label = InPath, label
	return m
}

// Query puts a member into the query.
func (m Member) Query() Member {
	m.Place = InQuery
	return m
}

// Shapes without a constraint.
var (
	AnyText   = &Shape{}
	AnyNumber = &Shape{Kind: NumberKind}
	AnyFlag   = &Shape{Kind: FlagKind}
	AnyTime   = &Shape{Kind: TimeKind}
	AnyBytes  = &Shape{Kind: BytesKind}
)

// Text is a text of minimum to maximum characters (0: no bound) that a pattern matches as a whole ("": any does). The
// pattern is spelt as the model spells it, in Java's way. It panics where that is no pattern: such a table is broken.
func Text(minimum, maximum int, pattern string) *Shape {
	s := &Shape{Min: minimum, Max: maximum, Pattern: pattern}
	if pattern != "" {
		s.compiled = regexp.MustCompile(`^(?:` + translated(pattern) + `)$`)
	}
	return s
}

// Secret is a text that no answer quotes.
func Secret(minimum, maximum int, pattern string) *Shape {
	s := Text(minimum, maximum, pattern)
	s.Secret = true
	return s
}

// OneOf is a text of an enumeration.
func OneOf(values ...string) *Shape { return &Shape{Enum: values} }

// Between is a whole number; a maximum of 0 is none.
func Between(minimum, maximum int) *Shape {
	return &Shape{Kind: NumberKind, Min: minimum, Max: maximum}
}

// ListOf is a list of minimum to maximum items.
func ListOf(minimum, maximum int, item *Shape) *Shape {
	return &Shape{Kind: ListKind, Min: minimum, Max: maximum, Item: item}
}

// MapOf is a map of minimum to maximum entries.
func MapOf(minimum, maximum int, key, value *Shape) *Shape {
	return &Shape{Kind: MapKind, Min: minimum, Max: maximum, Key: key, Item: value}
}

// StructureOf is a structure.
func StructureOf(members ...Member) *Shape {
	return &Shape{Kind: StructureKind, Members: members}
}

var (
	unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)
	// In Java \u10000 is two characters; the models mean one of the planes above.
	planes = strings.NewReplacer(`\u10000-\u10FFFF`, `\x{10000}-\x{10FFFF}`, `\uD800\uDC00-\uDBFF\uDFFF`, `\x{10000}-\x{10FFFF}`)
)

// alias is the one pattern that looks ahead, which package regexp does not: it wants no two hyphens in a row.
const alias, aliasTranslated = `^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`, `[a-z0-9](-?[a-z0-9])+`

// translated spells a pattern of the models for package regexp.
func translated(pattern string) string {
	if pattern == alias {
		return aliasTranslated
	}
	return unicodeEscape.ReplaceAllString(planes.Replace(pattern), `\x{$1}`)
}

// failure is a value that is not what its shape says.
type failure struct {
	at    string // the member, with dots between levels
	value string
	shape *Shape
	why   why
}

type why int

const (
	isAbsent why = iota
	isShort
	isLong
	isUnmatched
	isNoValue // of the enumeration
)

// constraint words what a value had to be, as IAM and STS do.
func (f failure) constraint() string {
	unit := "length"
	if f.shape.Kind == NumberKind {
		unit = "value"
	}
	switch f.why {
	case isAbsent:
		return "Member must not be null"
	case isShort:
		return fmt.Sprintf("Member must have %s greater than or equal to %d", unit, f.shape.Min)
	case isLong:
		return fmt.Sprintf("Member must have %s less than or equal to %d", unit, f.shape.Max)
	case isUnmatched:
		return "Member must satisfy regular expression pattern: " + f.shape.Pattern
	}
	return "Member must satisfy enum value set: [" + strings.Join(f.shape.Enum, ", ") + "]"
}

// checks collects what is wrong with a request.
type checks struct{ failures []failure }

// maxFailures is how many an answer tells: a list may have thousands.
const maxFailures = 5

func (k *checks) add(at, value string, s *Shape, reason why) {
	if len(k.failures) < maxFailures {
		k.failures = append(k.failures, failure{at: at, value: value, shape: s, why: reason})
	}
}

// structure holds members against their rows. A member that no row names is not looked at.
func (k *checks) structure(at string, rows []Member, values map[string]any) {
	for i := range rows {
		row := &rows[i]
		value, ok := values[row.Name]
		name := joined(at, row.Name)
		switch {
		case ok && value != nil:
			k.value(name, row.Shape, value)
		case row.Required:
			k.add(name, "", row.Shape, isAbsent)
		}
	}
}

func joined(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// value holds a value, which is of its shape's kind, to its constraints.
func (k *checks) value(at string, s *Shape, value any) {
	switch v := value.(type) {
	case string:
		k.text(at, s, v)
	case int:
		k.bounds(at, s, v, fmt.Sprint(v))
	case []any:
		k.bounds(at, s, len(v), "[…]")
		for i, item := range v {
			if len(k.failures) >= maxFailures {
				return
			}
			if item == nil {
				k.add(fmt.Sprintf("%s.%d.member", at, i+1), "", s.Item, isAbsent)
				continue
			}
			k.value(fmt.Sprintf("%s.%d.member", at, i+1), s.Item, item)
		}
	case map[string]any:
		if s.Kind == StructureKind {
			k.structure(at, s.Members, v)
			return
		}
		k.bounds(at, s, len(v), "{…}")
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if len(k.failures) >= maxFailures {
				return
			}
			item := v[key]
			k.text(at+".key", s.Key, key)
			if item == nil {
				k.add(joined(at, key), "", s.Item, isAbsent)
				continue
			}
			k.value(joined(at, key), s.Item, item)
		}
	}
}

func (k *checks) bounds(at string, s *Shape, n int, shown string) {
	switch {
	case s.Min != 0 && n < s.Min:
		k.add(at, shown, s, isShort)
	case s.Max != 0 && n > s.Max:
		k.add(at, shown, s, isLong)
	}
}

func (k *checks) text(at string, s *Shape, value string) {
	if s.Kind != TextKind {
		return
	}
	k.bounds(at, s, utf8.RuneCountInString(value), value)
	if !s.Matches(value) {
		k.add(at, value, s, isUnmatched)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, value) {
		k.add(at, value, s, isNoValue)
	}
}

// Matches reports whether the shape's pattern, if it has one, matches a text as a whole.
func (s *Shape) Matches(text string) bool {
	return s.compiled == nil || utf8.ValidString(text) && s.compiled.MatchString(text)
}
