package policy

import "strings"

// indexFrom is the number of statements from which looking one up costs less than asking each.
const indexFrom = 8

// index finds the statements that could cover a question. Each statement is filed in one way: under the beginnings of
// its resources where each has a usable one, else under the services of its actions, else with the rest.
type index struct {
	byResource map[string][]int
	byService  map[string][]int
	rest       []int
}

func newIndex(statements []Statement) *index {
	if len(statements) < indexFrom {
		return nil
	}
	x := &index{byResource: map[string][]int{}, byService: map[string][]int{}}
	for i := range statements {
		s := &statements[i]
		switch {
		case s.resourceKeys != nil:
			file(x.byResource, s.resourceKeys, i)
		case s.serviceKeys != nil:
			file(x.byService, s.serviceKeys, i)
		default:
			x.rest = append(x.rest, i)
		}
	}
	return x
}

// file adds n once under each key.
func file(m map[string][]int, keys []string, n int) {
	for _, k := range keys {
		if list := m[k]; len(list) == 0 || list[len(list)-1] != n {
			m[k] = append(list, n)
		}
	}
}

// resourceKey returns a resource up to the end of the first word after its fifth colon: "arn:aws:s3:::bucket" of
// "arn:aws:s3:::bucket/key". ended is false when the string stops before that word has a visible end, as every pattern
// with a wildcard inside it does.
func resourceKey(resource string) (key string, ended bool) {
	at := 0
	for range 5 {
		n := strings.IndexByte(resource[at:], ':')
		if n < 0 {
			return "", false
		}
		at += n + 1
	}
	if n := strings.IndexByte(resource[at:], '/'); n >= 0 {
		return resource[:at+n], true
	}
	return resource, false
}

// resourceKeysOf returns the key of each pattern, or nil when one has none. A resource that matches a pattern begins
// with the pattern's literal text, so both have the same key.
func resourceKeysOf(patterns []pattern) []string {
	keys := make([]string, 0, len(patterns))
	for i := range patterns {
		k, ended := resourceKey(patterns[i].leading())
		if k == "" || (!ended && patterns[i].shape != literal) {
			return nil
		}
		keys = append(keys, k)
	}
	return keys
}

// serviceKeysOf returns the lower-case service of each action pattern, or nil when one is for all services.
func serviceKeysOf(patterns []pattern) []string {
	keys := make([]string, 0, len(patterns))
	for i := range patterns {
		service, _, found := strings.Cut(patterns[i].leading(), ":")
		if !found {
			return nil
		}
		keys = append(keys, service)
	}
	return keys
}

// cursor walks the candidates in the document's order, so that the deciding statement does not depend on the index.
type cursor struct {
	lists  [3][]int
	at     int // the next statement when there are no lists
	length int
}

// candidates returns the statements to ask; all asks for every one.
func (d *Document) candidates(q *Question, all bool) cursor {
	if d.index == nil || all {
		return cursor{length: len(d.statements)}
	}
	c := cursor{lists: [3][]int{d.index.rest}}
	if k, _ := resourceKey(q.Resource); k != "" {
		c.lists[1] = d.index.byResource[k]
	}
	if n := strings.IndexByte(q.Action, ':'); n > 0 && n <= 64 {
		var lower [64]byte
		for i := range n {
			lower[i] = toLower(q.Action[i])
		}
		c.lists[2] = d.index.byService[string(lower[:n])]
	}
	return c
}

// next returns the position of the next candidate, or -1.
func (c *cursor) next() int {
	if c.at < c.length {
		c.at++
		return c.at - 1
	}
	first := -1
	for i := range c.lists {
		if len(c.lists[i]) > 0 && (first < 0 || c.lists[i][0] < c.lists[first][0]) {
			first = i
		}
	}
	if first < 0 {
		return -1
	}
	n := c.lists[first][0]
	c.lists[first] = c.lists[first][1:]
	return n
}
