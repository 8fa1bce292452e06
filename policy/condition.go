package policy

import (
	"fmt"
	"strings"
)

// operator is a row of the table below. A new operator is a row; one that compares in a new way is a domain as well.
type operator struct {
	name      string
	domain    domain
	order     order // number and date: how the request's value stands to the policy's
	negated   bool  // holds where the operator of the same domain does not
	wildcards bool  // text: * and ? are wildcards
	fold      bool  // text: ASCII letters compare without case
}

// domain says what an operator compares.
type domain uint8

const (
	text    domain = iota
	arns           // six segments, each with its wildcards, so that none of them reaches over a colon
	boolean        // true or false
	absence        // whether the request has the key at all
	number         // digits, exact
	date           // ISO 8601, or seconds since 1970
	address        // an IP address in a network
	binary         // base64 in the policy, its bytes in the request
)

// operators are the condition operators that Evaluate knows. Parse refuses every other.
var operators = []operator{
	{name: "StringEquals", domain: text},
	{name: "StringNotEquals", domain: text, negated: true},
	{name: "StringEqualsIgnoreCase", domain: text, fold: true},
	{name: "StringNotEqualsIgnoreCase", domain: text, fold: true, negated: true},
	{name: "StringLike", domain: text, wildcards: true},
	{name: "StringNotLike", domain: text, wildcards: true, negated: true},
	{name: "ArnEquals", domain: arns},
	{name: "ArnNotEquals", domain: arns, negated: true},
	{name: "ArnLike", domain: arns},
	{name: "ArnNotLike", domain: arns, negated: true},
	{name: "NumericEquals", domain: number, order: same},
	{name: "NumericNotEquals", domain: number, order: same, negated: true},
	{name: "NumericLessThan", domain: number, order: below},
	{name: "NumericLessThanEquals", domain: number, order: below | same},
	{name: "NumericGreaterThan", domain: number, order: above},
	{name: "NumericGreaterThanEquals", domain: number, order: above | same},
	{name: "DateEquals", domain: date, order: same},
	{name: "DateNotEquals", domain: date, order: same, negated: true},
	{name: "DateLessThan", domain: date, order: below},
	{name: "DateLessThanEquals", domain: date, order: below | same},
	{name: "DateGreaterThan", domain: date, order: above},
	{name: "DateGreaterThanEquals", domain: date, order: above | same},
	{name: "IpAddress", domain: address},
	{name: "NotIpAddress", domain: address, negated: true},
	{name: "BinaryEquals", domain: binary},
	{name: "Bool", domain: boolean},
	{name: "Null", domain: absence},
}

// quantifier says how the values of one key count together.
type quantifier uint8

const (
	single quantifier = iota
	forAll
	forAny
)

// quantifiers are the prefixes of operator names.
var quantifiers = []struct {
	prefix string
	is     quantifier
}{{"ForAllValues:", forAll}, {"ForAnyValue:", forAny}}

const ifExistsSuffix = "IfExists"

// condition is one key of one operator of a Condition element.
type condition struct {
	given      string // the operator as the policy spells it
	op         operator
	quantifier quantifier
	ifExists   bool
	key        key
	values     []operand
}

// operand is a compiled value of a condition; which field counts, the operator's domain says.
type operand struct {
	text  pattern
	arn   *[6]pattern
	is    bool
	value value
}

// readOperator splits an operator's name into quantifier, operator and suffix.
func readOperator(given string) (condition, error) {
	c, name := condition{given: given}, given
	for _, q := range quantifiers {
		if rest, ok := strings.CutPrefix(name, q.prefix); ok {
			c.quantifier, name = q.is, rest
			break
		}
	}
	name, c.ifExists = strings.CutSuffix(name, ifExistsSuffix)
	for _, op := range operators {
		if op.name != name {
			continue
		}
		if op.domain == absence && (c.ifExists || c.quantifier != single) {
			return condition{}, fmt.Errorf("operator %q is not supported: Null takes no prefix and no %s", given, ifExistsSuffix)
		}
		c.op = op
		return c, nil
	}
	return condition{}, fmt.Errorf("operator %q is not supported: %s are accepted, with ForAllValues: or ForAnyValue: before "+
		"and %s behind", given, operatorNames(), ifExistsSuffix)
}

func operatorNames() string {
	names := make([]string, len(operators))
	for i, op := range operators {
		names[i] = op.name
	}
	return strings.Join(names, ", ")
}

// readOperand compiles one value for the operator.
func (op *operator) readOperand(s string, variables bool) (operand, error) {
	d := dialect{wildcards: op.wildcards, variables: variables, fold: op.fold}
	switch op.domain {
	case text:
		p, err := compile(s, d)
		return operand{text: p}, err
	case arns:
		d.wildcards = true
		return readARN(s, d)
	case boolean, absence:
		switch lower(s) {
		case "true":
			return operand{is: true}, nil
		case "false":
			return operand{}, nil
		}
	case number, date, address:
		v, err := op.domain.readTyped(s)
		return operand{value: v}, err
	case binary:
		return readBinary(s)
	}
	return operand{}, fmt.Errorf("value %q is not accepted: true or false is", s)
}

// readARN compiles each segment of an ARN.
func readARN(s string, d dialect) (operand, error) {
	parts := segments(s, d.variables)
	if len(parts) != 6 {
		return operand{}, fmt.Errorf("value %q is not an ARN: six segments, arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, are accepted, "+
			"each with * and ? where wanted", s)
	}
	v := operand{arn: new([6]pattern)}
	for i, part := range parts {
		var err error
		if v.arn[i], err = compile(part, d); err != nil {
			return operand{}, err
		}
	}
	return v, nil
}

// segments cuts an ARN at its first five colons. Those in the name of a variable do not count.
func segments(s string, variables bool) []string {
	var (
		all    []string
		from   int
		inside bool
	)
	for i := range len(s) {
		switch {
		case variables && strings.HasPrefix(s[i:], "${"):
			inside = true
		case s[i] == '}':
			inside = false
		case s[i] == ':' && !inside && len(all) < 5:
			all, from = append(all, s[from:i]), i+1
		}
	}
	return append(all, s[from:])
}

// holds reports whether the condition is met. effect is that of its statement: see accepts.
func (c *condition) holds(ctx Context, effect Effect) bool {
	values := ctx.values(&c.key)
	if c.op.domain == absence {
		return c.has(len(values) == 0)
	}
	if len(values) == 0 && c.ifExists {
		return true
	}
	switch c.quantifier {
	case forAll:
		return isEmpty(values) || c.allAccepted(values, ctx, effect)
	case forAny:
		return !isEmpty(values) && c.anyAccepted(values, ctx, effect)
	}
	// Without a prefix a negated operator is the contrary of the plain one, also where the key is missing.
	if c.op.negated {
		return c.allAccepted(values, ctx, effect)
	}
	return c.anyAccepted(values, ctx, effect)
}

// isEmpty reports whether a set has no members: for AWS a set of empty strings has none.
func isEmpty(values []string) bool {
	for _, v := range values {
		if v != "" {
			return false
		}
	}
	return true
}

func (c *condition) allAccepted(values []string, ctx Context, effect Effect) bool {
	for _, v := range values {
		if !c.accepts(v, ctx, effect) {
			return false
		}
	}
	return true
}

func (c *condition) anyAccepted(values []string, ctx Context, effect Effect) bool {
	for _, v := range values {
		if c.accepts(v, ctx, effect) {
			return true
		}
	}
	return false
}

// accepts compares one value of the request with all of the policy's. A variable without a value equals nothing. An
// Allow is not given by that ("not ${aws:PrincipalTag/team}" does not let in those without the tag), a Deny is.
func (c *condition) accepts(s string, ctx Context, effect Effect) bool {
	if c.op.domain.typed() {
		return c.acceptsValue(s, effect)
	}
	sure := true
	for i := range c.values {
		switch c.op.compare(&c.values[i], s, ctx) {
		case yes:
			return !c.op.negated
		case unresolved:
			sure = false
		}
	}
	return c.op.negated && (sure || effect == Deny)
}

// acceptsValue is accepts for numbers, times and addresses. A request's value that is none equals nothing either: it
// neither opens what an Allow says ("not from 10.0.0.0/8") nor closes what a Deny says.
func (c *condition) acceptsValue(s string, effect Effect) bool {
	request, ok := c.op.domain.readValue(s)
	if !ok {
		return c.op.negated && effect == Deny
	}
	for i := range c.values {
		if c.op.fits(&request, &c.values[i].value) {
			return !c.op.negated
		}
	}
	return c.op.negated
}

func (op *operator) compare(v *operand, s string, ctx Context) verdict {
	switch op.domain {
	case text, binary:
		return v.text.match(s, ctx)
	case arns:
		return v.matchARN(s, ctx)
	case boolean:
		if v.is && equalFold("true", s) || !v.is && equalFold("false", s) {
			return yes
		}
	}
	return no
}

// matchARN compares segment by segment. What is not an ARN matches no pattern of one.
func (v *operand) matchARN(s string, ctx Context) verdict {
	for i := range v.arn {
		segment, more := s, i == 5
		if i < 5 {
			segment, s, more = strings.Cut(s, ":")
		}
		if !more {
			return no
		}
		if m := v.arn[i].match(segment, ctx); m != yes {
			return m
		}
	}
	return yes
}

// has reports whether one of the values is the truth.
func (c *condition) has(truth bool) bool {
	for i := range c.values {
		if c.values[i].is == truth {
			return true
		}
	}
	return false
}
