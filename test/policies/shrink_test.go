package policies

import (
	"maps"
	"slices"
	"testing"
)

// shrink leaves out of a question what it can while both still differ, so that a failure can be read.
func shrink(t *testing.T, p *peer, q *question) *question {
	t.Helper()
	for smaller := true; smaller; {
		smaller = false
		for _, less := range smallerOnes(q) {
			if ours(t, less) != p.ask(t, less) {
				q, smaller = less, true
				break
			}
		}
	}
	return q
}

// smallerOnes returns the question with one thing left out of it, in all ways.
func smallerOnes(q *question) []*question {
	var all []*question
	with := func(change func(*question)) {
		less := *q
		change(&less)
		all = append(all, &less)
	}
	if q.Boundary != nil {
		with(func(l *question) { l.Boundary = nil })
		for _, d := range smallerDocuments(q.Boundary[0]) {
			with(func(l *question) { l.Boundary = []object{d} })
		}
	}
	for _, part := range []struct {
		had object
		set func(*question, object)
	}{
		{q.Session, func(l *question, d object) { l.Session = d }},
		{q.ResourcePolicy, func(l *question, d object) { l.ResourcePolicy = d }},
	} {
		if part.had == nil {
			continue
		}
		with(func(l *question) { part.set(l, nil) })
		for _, d := range smallerDocuments(part.had) {
			with(func(l *question) { part.set(l, d) })
		}
	}
	for i := range q.Identity {
		with(func(l *question) { l.Identity = slices.Delete(slices.Clone(q.Identity), i, i+1) })
		for _, d := range smallerDocuments(q.Identity[i]) {
			with(func(l *question) {
				l.Identity = slices.Clone(q.Identity)
				l.Identity[i] = d
			})
		}
	}
	for key := range q.Context {
		with(func(l *question) {
			l.Context = maps.Clone(q.Context)
			delete(l.Context, key)
		})
	}
	return all
}

func smallerDocuments(d object) []object {
	list, ok := d["Statement"].([]object)
	if !ok {
		list = []object{d["Statement"].(object)}
	}
	var all []object
	with := func(statements []object) { all = append(all, object{"Version": "2012-10-17", "Statement": statements}) }
	for i, s := range list {
		if len(list) > 1 {
			with(slices.Delete(slices.Clone(list), i, i+1))
		}
		for element, value := range s {
			less := maps.Clone(s)
			switch values, isList := value.([]string); {
			case element == "Condition":
				delete(less, element)
			case isList && len(values) > 1:
				less[element] = values[1:]
			case isList:
				less[element] = values[0]
			default:
				continue
			}
			replaced := slices.Clone(list)
			replaced[i] = less
			with(replaced)
		}
	}
	return all
}
