package api_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/openlanyard/lanyard/api"
)

// model is what is compared of a service's model, in the form that the SDKs for Python ship.
type model struct {
	Metadata struct {
		APIVersion   string `json:"apiVersion"`
		Protocol     string `json:"protocol"`
		XMLNamespace string `json:"xmlNamespace"`
	} `json:"metadata"`
	Operations map[string]struct {
		HTTP struct {
			Method     string `json:"method"`
			RequestURI string `json:"requestUri"`
		} `json:"http"`
		Input  *modelRef  `json:"input"`
		Output *modelRef  `json:"output"`
		Errors []modelRef `json:"errors"`
	} `json:"operations"`
	Shapes map[string]modelShape `json:"shapes"`
}

type modelRef struct {
	Shape         string `json:"shape"`
	Location      string `json:"location"`
	LocationName  string `json:"locationName"`
	ResultWrapper string `json:"resultWrapper"`
}

type modelShape struct {
	Type      string              `json:"type"`
	Min       int                 `json:"min"`
	Max       int                 `json:"max"`
	Pattern   string              `json:"pattern"`
	Enum      []string            `json:"enum"`
	Sensitive bool                `json:"sensitive"`
	Required  []string            `json:"required"`
	Members   map[string]modelRef `json:"members"`
	Member    modelRef            `json:"member"`
	Key       modelRef            `json:"key"`
	Value     modelRef            `json:"value"`
	Error     struct {
		Code string `json:"code"`
	} `json:"error"`
}

// TestModels compares the tables of the doors with the models of AWS's services, where LANYARD_MODELS names a folder of them.
// A difference has to be a row of docs/COMPATIBILITY.md, and a row has to be a difference.
func TestModels(t *testing.T) {
	folder, set := os.LookupEnv("LANYARD_MODELS")
	if !set {
		t.Log("LANYARD_MODELS names no folder of models: nothing was compared")
		return
	}
	listed := listedDifferences(t, requestsBegin)
	compared := 0
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	for _, door := range w.doors() {
		if services[door.Service] == "" {
			continue
		}
		compared++
		m := readModel(t, folder, door.Service)
		c := comparison{t: t, model: m, service: door.Service, listed: listed}
		c.door(door)
		if len(door.Routes) > 0 {
			c.unbuiltPaths(func(method, path string) answer {
				return w.send(t, server, request{as: admin, service: door.Service, method: method, path: path})
			}, door)
		}
	}
	if compared != len(services) {
		t.Errorf("%d models were compared, want %d", compared, len(services))
	}
	for row, seen := range listed {
		if !seen {
			t.Errorf("%s lists the difference %q, and there is none", compatibility, row)
		}
	}
}

func readModel(t *testing.T, folder, service string) (m model) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, service+".json"))
	if err != nil {
		t.Fatalf("LANYARD_MODELS: %v", err)
	}
	if err := json.Unmarshal(text, &m); err != nil || len(m.Operations) == 0 {
		t.Fatalf("LANYARD_MODELS: %s: %d operations, %v", service, len(m.Operations), err)
	}
	return m
}

const (
	requestsBegin  = "<!-- differences from the models; LANYARD_MODELS=FOLDER go test ./api -run TestModels holds them -->\n"
	answersBegin   = "<!-- differences of answers from the models; LANYARD_MODELS=FOLDER go test ./api -run TestGolden holds them -->\n"
	differencesEnd = "<!-- end of the differences from the models -->\n"
)

// listedDifferences are the rows of a table in docs/COMPATIBILITY.md: | service operation.member | what is different | why |.
func listedDifferences(t *testing.T, begin string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(compatibility)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begins := strings.Cut(string(text), begin)
	rows, _, ends := strings.Cut(rest, differencesEnd)
	if !begins || !ends {
		t.Fatalf("%s has no %q and %q", compatibility, begin, differencesEnd)
	}
	listed := map[string]bool{}
	for _, row := range strings.Split(rows, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || strings.Contains(row, "---") || strings.TrimSpace(cells[1]) == "member" {
			continue
		}
		listed[strings.TrimSpace(cells[1])+": "+strings.TrimSpace(cells[2])] = false
	}
	return listed
}

// comparison compares one door with its model.
type comparison struct {
	t       *testing.T
	model   model
	service string
	listed  map[string]bool
}

// differs notes a difference, which has to be listed. What is not is told once.
func (c comparison) differs(at, format string, args ...any) {
	what := c.service + " " + at + ": " + fmt.Sprintf(format, args...)
	if _, ok := c.listed[what]; !ok {
		c.t.Errorf("not in %s: %s", compatibility, what)
	}
	c.listed[what] = true
}

func (c comparison) door(door *api.Door) {
	names := slices.Clone(door.Unbuilt)
	for i, op := range door.Operations {
		names = append(names, op.Name)
		m, ok := c.model.Operations[op.Name]
		if !ok {
			c.differs(op.Name, "is not in the model")
			continue
		}
		if len(door.Routes) > 0 {
			if r := door.Routes[i]; r.Method != m.HTTP.Method || r.Path != m.HTTP.RequestURI {
				c.differs(op.Name, "%s %s, in the model %s %s", r.Method, r.Path, m.HTTP.Method, m.HTTP.RequestURI)
			}
		}
		if op.Input == nil {
			c.differs(op.Name, "has no rows")
			continue
		}
		of := modelShape{}
		if m.Input != nil {
			of = c.model.Shapes[m.Input.Shape]
		}
		c.members(op.Name, op.Input, of)
	}
	for name := range c.model.Operations {
		if !slices.Contains(names, name) {
			c.differs(name, "is in the model alone")
		}
	}
	for _, name := range names {
		if _, ok := c.model.Operations[name]; !ok {
			c.differs(name, "is not in the model")
		}
	}
}

func (c comparison) members(at string, rows []api.Member, of modelShape) {
	seen := map[string]bool{}
	for _, row := range rows {
		name := at + "." + row.Name
		ref, ok := of.Members[row.Name]
		if seen[row.Name] = true; !ok {
			c.differs(name, "is not in the model")
			continue
		}
		if required := slices.Contains(of.Required, row.Name); required != row.Required {
			c.differs(name, "required is %v, in the model %v", row.Required, required)
		}
		place := map[string]api.Place{"": api.InBody, "uri": api.InPath, "querystring": api.InQuery}[ref.Location]
		label := row.Label
		if place == api.InQuery {
			label = row.Name
		}
		if place != row.Place || ref.LocationName != label && place != api.InBody {
			c.differs(name, "its place is another in the model")
		}
		c.shape(name, row.Shape, ref.Shape, nil)
	}
	for name := range of.Members {
		if !seen[name] {
			c.differs(at+"."+name, "is in the model alone")
		}
	}
}

var modelTypes = map[string]api.Kind{
	"string": api.TextKind, "integer": api.NumberKind, "long": api.NumberKind, "boolean": api.FlagKind, "timestamp": api.TimeKind,
	"blob": api.BytesKind, "list": api.ListKind, "map": api.MapKind, "structure": api.StructureKind,
}

func (c comparison) shape(at string, s *api.Shape, name string, above []string) {
	of := c.model.Shapes[name]
	if kind, ok := modelTypes[of.Type]; !ok || kind != s.Kind {
		c.differs(at, "is another kind than %s", of.Type)
		return
	}
	if s.Min != of.Min || s.Max != of.Max {
		c.differs(at, "%d..%d, in the model %d..%d", s.Min, s.Max, of.Min, of.Max)
	}
	if s.Pattern != of.Pattern {
		c.differs(at, "`%s`, in the model `%s`", s.Pattern, of.Pattern)
	}
	ours, theirs := slices.Clone(s.Enum), slices.Clone(of.Enum)
	sort.Strings(ours)
	sort.Strings(theirs)
	if !slices.Equal(ours, theirs) {
		c.differs(at, "%s, in the model %s", strings.Join(ours, ", "), strings.Join(theirs, ", "))
	}
	if s.Secret != of.Sensitive && s.Kind == api.TextKind {
		c.differs(at, "secret is %v, in the model %v", s.Secret, of.Sensitive)
	}
	if slices.Contains(above, name) {
		return // a shape within itself
	}
	above = append(above, name)
	switch s.Kind {
	case api.ListKind:
		c.shape(at+".member", s.Item, of.Member.Shape, above)
	case api.MapKind:
		c.shape(at+".key", s.Key, of.Key.Shape, above)
		c.shape(at+".value", s.Item, of.Value.Shape, above)
	case api.StructureKind:
		c.members(at, s.Members, of)
	}
}

// unbuiltPaths asks for what a REST service has besides, at its path in the model.
func (c comparison) unbuiltPaths(ask func(method, path string) answer, door *api.Door) {
	for _, name := range door.Unbuilt {
		m := c.model.Operations[name].HTTP
		path := m.RequestURI
		for strings.Contains(path, "{") {
			before, rest, _ := strings.Cut(path, "{")
			_, after, _ := strings.Cut(rest, "}")
			path = before + url.PathEscape("arn:aws:x/y") + after
		}
		want, status := "UnknownOperationException", 404
		if slices.ContainsFunc(door.Refusals, func(r api.Refusal) bool {
			if r.Name == name && (r.Method != m.Method || r.Path != m.RequestURI) {
				c.differs(name, "%s %s, in the model %s %s", r.Method, r.Path, m.Method, m.RequestURI)
			}
			return r.Name == name
		}) {
			want, status = "InvalidRequestException", 400
		}
		if got := ask(m.Method, path); got.code() != want || got.status != status {
			c.t.Errorf("%s %s: %d %s, want %d %s", c.service, name, got.status, got.body, status, want)
		}
	}
}
