package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// Inputs are the rows of a door's operations, by the operation's name.
type Inputs map[string][]Member

// Knows names the operations of the service, so that those without a row in the door's table can be told. It panics where
// the table has one that the service has not.
func (d *Door) Knows(service ...string) *Door {
	for _, op := range d.Operations {
		if !slices.Contains(service, op.Name) {
			panic("api: " + d.Service + " has no operation " + op.Name)
		}
	}
	d.Unbuilt = slices.DeleteFunc(slices.Clone(service), func(name string) bool {
		return slices.ContainsFunc(d.Operations, func(op *Operation) bool { return op.Name == name })
	})
	return d
}

// Takes gives a door's operations their rows: what a request has to be before its operation sees it. There may be rows of
// what is not built. It panics where rows are of nothing that the service has: such a table is broken.
func (d *Door) Takes(all Inputs) *Door {
	for name := range all {
		if !slices.Contains(d.Unbuilt, name) && !slices.ContainsFunc(d.Operations, func(op *Operation) bool { return op.Name == name }) {
			panic("api: " + d.Service + " has rows of " + name + ", which is no operation")
		}
	}
	for _, op := range d.Operations {
		rows, ok := all[op.Name]
		if !ok {
			continue
		}
		op.Input, op.checked = rows, make([]Member, 0, len(rows))
		for _, row := range rows {
			if row.Place != InBody || !op.OwnBody {
				op.checked = append(op.checked, row)
			}
		}
	}
	return d
}

// CheckBody is for an operation that has said OwnBody: it holds the request to all its rows.
func (c *Call) CheckBody() error { return c.check(c.Operation.Input) }

// check holds a request to rows of its operation.
func (c *Call) check(rows []Member) error {
	if len(rows) == 0 {
		return nil
	}
	values, err := c.Door.read(c, rows)
	if err != nil {
		return err
	}
	var k checks
	if k.structure("", rows, values); len(k.failures) > 0 {
		return c.Door.word(k.failures)
	}
	return nil
}

// wordQuery says what is wrong as IAM and STS do.
func wordQuery(all []failure) error {
	said := make([]string, len(all))
	for i, f := range all {
		value := fmt.Sprintf("Value '%.100s'", f.value)
		switch {
		case f.why == isAbsent:
			value = "Value null"
		case f.shape.Secret:
			value = "Value"
		}
		said[i] = fmt.Sprintf("%s at '%s' failed to satisfy constraint: %s", value, lowered(f.at), f.constraint())
	}
	errs := "errors"
	if len(all) == 1 {
		errs = "error"
	}
	return fault.New(fault.Invalid, "%d validation %s detected: %s", len(all), errs, strings.Join(said, "; "))
}

// lowered spells a member as IAM and STS do in their messages: tags.1.member.key.
func lowered(at string) string {
	parts := strings.Split(at, ".")
	for i, part := range parts {
		if part != "" {
			parts[i] = lowerFirst(part)
		}
	}
	return strings.Join(parts, ".")
}

// wordREST says what is wrong first as EKS does.
func wordREST(all []failure) error {
	f := all[0]
	quoted := fmt.Sprintf("%s %.100q", f.at, f.value)
	if f.shape.Secret || f.shape.Kind == ListKind || f.shape.Kind == MapKind {
		quoted = f.at
	}
	switch f.why {
	case isAbsent:
		return fault.New(fault.Invalid, "The parameter %s is required.", f.at)
	case isUnmatched:
		return fault.New(fault.Invalid, "The parameter %s contains invalid characters. It should conform to the regular expression \"%s\".", f.at, f.shape.Pattern)
	case isNoValue:
		return fault.New(fault.Invalid, "%s: one of %s is accepted", quoted, strings.Join(f.shape.Enum, ", "))
	}
	unit := map[Kind]string{TextKind: " characters", ListKind: " items", MapKind: " entries"}[f.shape.Kind]
	switch {
	case f.shape.Max == 0:
		return fault.New(fault.Invalid, "%s: at least %d%s are accepted", quoted, f.shape.Min, unit)
	case f.shape.Min == 0:
		return fault.New(fault.Invalid, "%s: at most %d%s are accepted", quoted, f.shape.Max, unit)
	}
	return fault.New(fault.Invalid, "%s: %d to %d%s are accepted", quoted, f.shape.Min, f.shape.Max, unit)
}
