package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/api"
)

// candidates are values that some pattern of the tables takes.
var candidates = []string{
	"dev", "a.b.c", "/", "v1", "https://example.com/id", "arn:aws:iam::111122223333:role/of-some-length", "AKIAAAAAAAAAAAAAAAAA",
	"123456", "111122223333", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "{}", "iam:GetRole", "x.amazonaws.com",
}

// sample is a value that a shape takes, as JSON has it.
func sample(tb testing.TB, s *api.Shape) any {
	tb.Helper()
	switch s.Kind {
	case api.NumberKind:
		return max(s.Min, 1)
	case api.FlagKind:
		return true
	case api.TimeKind:
		return "2026-11-22T10:00:00Z"
	case api.BytesKind:
		return "AAAA"
	case api.ListKind:
		return []any{sample(tb, s.Item)}
	case api.MapKind:
		return map[string]any{sample(tb, s.Key).(string): sample(tb, s.Item)}
	case api.StructureKind:
		return samples(tb, s.Members)
	}
	if s.Enum != nil {
		return s.Enum[0]
	}
	for _, text := range candidates {
		if len(text) >= s.Min && (s.Max == 0 || len(text) <= s.Max) && s.Matches(text) {
			return text
		}
	}
	tb.Fatalf("no candidate has %d to %d characters and matches %s", s.Min, s.Max, s.Pattern)
	return nil
}

// samples has all members: the optional ones, too, are then held to their rows.
func samples(tb testing.TB, rows []api.Member) map[string]any {
	tb.Helper()
	values := map[string]any{}
	for _, row := range rows {
		values[row.Name] = sample(tb, row.Shape)
	}
	return values
}

// change is a request that is wrong in one thing.
type change struct {
	what  string
	value any // nil: absent
}

// wrongs are all the ways in which a member can be wrong, each alone.
func wrongs(tb testing.TB, row api.Member) (all []change) {
	tb.Helper()
	if row.Required && row.Place != api.InPath { // without a label it is another path
		all = append(all, change{"missing", nil})
	}
	for _, c := range wrongValues(tb, row.Shape) {
		if text, ok := c.value.(string); row.Place != api.InPath || !ok || text != "" {
			all = append(all, c)
		}
	}
	return all
}

func wrongValues(tb testing.TB, s *api.Shape) (all []change) {
	tb.Helper()
	add := func(what string, value any) { all = append(all, change{what, value}) }
	switch s.Kind {
	case api.NumberKind:
		if s.Min > 0 {
			add("too small", s.Min-1)
		}
		if s.Max > 0 {
			add("too large", s.Max+1)
		}
	case api.ListKind:
		many := make([]any, s.Max+1)
		for i := range many {
			many[i] = sample(tb, s.Item)
		}
		if s.Max > 0 {
			add("too many", many)
		}
		for _, c := range wrongValues(tb, s.Item) {
			add("an item "+c.what, []any{c.value})
		}
	case api.MapKind:
		many := map[string]any{}
		for i := range s.Max + 1 {
			many[fmt.Sprint("k", i)] = sample(tb, s.Item)
		}
		if s.Max > 0 {
			add("too many", many)
		}
		if s.Min > 0 {
			add("too few", map[string]any{})
		}
		for _, c := range wrongValues(tb, s.Key) {
			add("a key "+c.what, map[string]any{c.value.(string): sample(tb, s.Item)})
		}
		for _, c := range wrongValues(tb, s.Item) {
			add("a value "+c.what, map[string]any{sample(tb, s.Key).(string): c.value})
		}
	case api.StructureKind:
		for _, row := range s.Members {
			for _, c := range wrongs(tb, row) {
				values := samples(tb, s.Members)
				values[row.Name] = c.value
				if c.value == nil {
					delete(values, row.Name)
				}
				add(row.Name+" "+c.what, values)
			}
		}
	case api.TextKind:
		if s.Max > 0 {
			add("too long", strings.Repeat("a", s.Max+1))
		}
		if s.Min > 0 {
			add("too short", "")
		}
		if s.Enum != nil {
			add("no such value", "none-of-these")
		}
		for _, text := range []string{"\x01", "é/ \n", "a b"} {
			if s.Pattern != "" && !s.Matches(text) {
				add("unmatched", strings.Repeat(text, max(1, s.Min)))
				break
			}
		}
	}
	return all
}

// wire makes a request of an operation with these members.
func wire(as signer, door *api.Door, op *api.Operation, route api.Route, values map[string]any) request {
	in := request{as: as, service: door.Service, method: "POST", path: "/"}
	if isQuery(door.Service) {
		form := url.Values{"Action": {op.Name}, "Version": {map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}[door.Service]}}
		for name, value := range values {
			flatten(form, name, value)
		}
		in.body = form.Encode()
		return in
	}
	in.method, in.path = route.Method, route.Path
	query, body := url.Values{}, map[string]any{}
	for _, row := range op.Input {
		value, given := values[row.Name]
		switch {
		case row.Place == api.InPath:
			in.path = strings.Replace(in.path, "{"+row.Label+"}", url.PathEscape(value.(string)), 1)
		case !given:
		case row.Place == api.InQuery && row.Shape.Kind == api.ListKind:
			for _, item := range value.([]any) {
				query.Add(row.Name, fmt.Sprint(item))
			}
		case row.Place == api.InQuery:
			query.Set(row.Name, fmt.Sprint(value))
		default:
			body[row.Name] = value
		}
	}
	if len(query) > 0 {
		in.path += "?" + query.Encode()
	}
	if in.method != "GET" && in.method != "DELETE" {
		text, _ := json.Marshal(body)
		in.body = string(text)
	}
	return in
}

// flatten writes a value as the query protocol does.
func flatten(form url.Values, name string, value any) {
	switch value := value.(type) {
	case []any:
		if len(value) == 0 {
			form.Set(name, "")
		}
		for i, item := range value {
			flatten(form, fmt.Sprintf("%s.member.%d", name, i+1), item)
		}
	case map[string]any:
		for key, item := range value {
			flatten(form, name+"."+key, item)
		}
	default:
		form.Set(name, fmt.Sprint(value))
	}
}

// told is what a service says of a member that is not what its row says.
var told = regexp.MustCompile(`validation errors? detected|The parameter [\w.]+ is required|contains invalid characters|(are|is) accepted`)

// TestRowsAreHeld sends, for each operation, a request that is as its rows say, and then with one member wrong: missing, too
// long, too short, no value of its enumeration, or unmatched by its pattern. The rows are the test's only source.
func TestRowsAreHeld(t *testing.T) {
	w := newWorld(t)
	w.setClock(goldenTime)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	tried := 0
	for _, door := range w.doors() {
		for i, op := range door.Operations {
			if op.Input == nil {
				if isQuery(door.Service) {
					t.Errorf("%s %s: no rows hold what it reads from its form", door.Service, op.Name)
				}
				continue
			}
			var route api.Route
			if len(door.Routes) > 0 {
				route = door.Routes[i]
			}
			for _, row := range op.Input {
				for _, c := range wrongs(t, row) {
					values := samples(t, op.Input)
					values[row.Name] = c.value
					if c.value == nil {
						delete(values, row.Name)
					}
					before := w.store.Revision()
					got := w.send(t, server, wire(admin, door, op, route, values))
					tried++
					code := invalid(door.Service, op.Name)
					if got.status != 400 || got.code() != code || !told.MatchString(got.body) || !strings.Contains(got.body, lowerFirst(door, row.Name)) {
						t.Errorf("%s %s: %s %s: %d %s, want %s", door.Service, op.Name, row.Name, c.what, got.status, got.body, code)
					}
					if w.store.Revision() != before {
						t.Errorf("%s %s: %s %s: refused, and something was stored", door.Service, op.Name, row.Name, c.what)
					}
				}
			}
			got := w.send(t, server, wire(admin, door, op, route, samples(t, op.Input)))
			if regexp.MustCompile(`validation errors? detected|contains invalid characters|is required`).MatchString(got.body) {
				t.Errorf("%s %s: a request as its rows say: %d %s", door.Service, op.Name, got.status, got.body)
			}
		}
	}
	if tried < 300 {
		t.Errorf("%d wrong requests were sent, want more", tried)
	}
}

// invalid is the code of a service for what is not as its model says.
func invalid(service, operation string) string {
	switch {
	case isQuery(service):
		return "ValidationError"
	case strings.HasSuffix(operation, "Resource"): // the tag operations of EKS
		return "BadRequestException"
	}
	return "InvalidParameterException"
}

// lowerFirst is a member as its service's messages name it.
func lowerFirst(door *api.Door, name string) string {
	if isQuery(door.Service) {
		return strings.ToLower(name[:1]) + name[1:]
	}
	return name
}
