package api_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/api"
)

// unshown lists, by operation, what the models have in answers and no golden answer shows.
const unshown = "testdata/unshown.txt"

// testModelledAnswers holds the golden answers against the models: each has what its operation's model has, in its types,
// bounds, patterns and enumerations, and all that it requires. A difference has to be a row of docs/COMPATIBILITY.md, and a row a difference.
func testModelledAnswers(t *testing.T, w *world, answers []answer, logged map[string]outcome) {
	folder, set := os.LookupEnv("LANYARD_MODELS")
	if !set {
		t.Log("LANYARD_MODELS names no folder of models: no answers were compared")
		return
	}
	listed := listedDifferences(t, answersBegin)
	got := "# LANYARD_MODELS=FOLDER go test ./api -run TestGolden -update\n"
	for _, door := range w.doors() {
		if services[door.Service] == "" {
			continue
		}
		m := readModel(t, folder, door.Service)
		c := answerComparison{m, comparison{t: t, model: m, service: door.Service, listed: listed}.differs, map[string]bool{}}
		for _, a := range answers {
			if o := logged[a.header.Get("X-Amzn-Requestid")]; o.Door == door.Service && o.Operation != "" && o.Code == "" {
				c.answer(o.Operation, a.body)
			}
		}
		if len(c.shown) == 0 {
			t.Errorf("%s: no answer was compared", door.Service)
		}
		got += c.unshown(door)
	}
	for row, seen := range listed {
		if !seen {
			t.Errorf("%s lists the difference %q, and there is none", compatibility, row)
		}
	}
	if *update {
		if err := os.WriteFile(unshown, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(unshown)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", unshown, diff)
	}
}

// answerComparison compares the answers of one door with its model.
type answerComparison struct {
	model   model
	differs func(at, format string, args ...any)
	shown   map[string]bool // what some answer has, by its place in the model
}

func (c answerComparison) answer(operation, body string) {
	output := c.model.Operations[operation].Output
	var result any
	if c.model.Metadata.Protocol == "query" {
		first, ok := c.unwrapped(operation, body, output)
		if !ok || output == nil {
			return
		}
		result = c.fromXML(operation, first, output.Shape)
	} else {
		decoder := json.NewDecoder(strings.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&result); err != nil || !json.Valid([]byte(body)) {
			c.differs(operation, "is not answered in JSON")
			return
		}
	}
	c.value(operation, result, output.Shape)
}

// element is one of an XML document.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

func (e element) names() (all []string) {
	for _, child := range e.Children {
		all = append(all, child.XMLName.Local)
	}
	return all
}

// unwrapped is the first element in an answer of the query protocol: the result, where the operation has an output.
func (c answerComparison) unwrapped(operation, body string, output *modelRef) (first element, ok bool) {
	var response element
	if err := xml.Unmarshal([]byte(body), &response); err != nil {
		c.differs(operation, "is not answered in XML")
		return element{}, false
	}
	name, names := xml.Name{Space: c.model.Metadata.XMLNamespace, Local: operation + "Response"}, []string{"ResponseMetadata"}
	if output != nil {
		names = []string{output.ResultWrapper, "ResponseMetadata"}
	}
	if response.XMLName != name || !slices.Equal(response.names(), names) {
		c.differs(operation, "is answered with %v of %v, in the model %v of %v", response.XMLName, response.names(), name, names)
		return element{}, false
	}
	return response.Children[0], true
}

// fromXML is an element as JSON would have it, except for what has no such form by its shape. That is another kind.
func (c answerComparison) fromXML(at string, e element, name string) any {
	of := c.model.Shapes[name]
	nested := of.Type == "list" || of.Type == "map" || of.Type == "structure"
	if nested && e.Text != "" || !nested && len(e.Children) > 0 {
		return nil
	}
	switch of.Type {
	case "boolean":
		if e.Text == "true" || e.Text == "false" {
			return e.Text == "true"
		}
	case "integer", "long":
		return json.Number(e.Text)
	case "list":
		items := []any{}
		for _, child := range e.Children {
			if child.XMLName.Local != "member" {
				return nil
			}
			items = append(items, c.fromXML(at, child, of.Member.Shape))
		}
		return items
	case "map":
		entries := map[string]any{}
		for _, child := range e.Children {
			if child.XMLName.Local != "entry" || !slices.Equal(child.names(), []string{"key", "value"}) {
				return nil
			}
			entries[child.Children[0].Text] = c.fromXML(at, child.Children[1], of.Value.Shape)
		}
		return entries
	case "structure":
		members := map[string]any{}
		for _, child := range e.Children {
			name := child.XMLName.Local
			if _, has := members[name]; has {
				c.differs(at+"."+name, "is answered twice")
			}
			members[name] = c.fromXML(at+"."+name, child, of.Members[name].Shape)
		}
		return members
	}
	return e.Text
}

// value compares a value with its shape. What a shape says of values is told of the shape, wherever it is.
func (c answerComparison) value(at string, value any, name string) {
	c.shown[at] = true
	of := c.model.Shapes[name]
	if !slices.Contains(c.kinds(value), of.Type) {
		c.differs(at, "is another kind than %s", of.Type)
		return
	}
	n := of.Min
	switch value := value.(type) {
	case string:
		n = utf8.RuneCountInString(value)
		if of.Enum != nil && !slices.Contains(of.Enum, value) {
			c.differs(name, "%q is none of the model's", value)
		}
		if !api.Text(0, 0, of.Pattern).Matches(value) {
			c.differs(name, "a text does not match the model's `%s`", of.Pattern)
		}
	case json.Number:
		if whole, err := strconv.Atoi(value.String()); err == nil {
			n = whole
		}
	case []any:
		n = len(value)
		for _, item := range value {
			c.value(at+".member", item, of.Member.Shape)
		}
	case map[string]any:
		n = len(value)
		c.members(at, value, of)
	}
	if n < of.Min || of.Max > 0 && n > of.Max {
		c.differs(name, "%d, in the model %d..%d", n, of.Min, of.Max)
	}
}

// kinds are the types of the model that a value may have.
func (c answerComparison) kinds(value any) (all []string) {
	query := c.model.Metadata.Protocol == "query"
	switch value := value.(type) {
	case bool:
		return []string{"boolean"}
	case json.Number:
		if _, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			all = append(all, "integer", "long")
		}
		if !query {
			all = append(all, "timestamp")
		}
	case string:
		if _, err := time.Parse(time.RFC3339, value); err == nil && query {
			all = append(all, "timestamp")
		}
		return append(all, "string", "blob")
	case []any:
		return []string{"list"}
	case map[string]any:
		return []string{"map", "structure"}
	}
	return all
}

func (c answerComparison) members(at string, values map[string]any, of modelShape) {
	for name, value := range values {
		ref, ok := of.Members[name]
		switch {
		case of.Type == "map":
			c.value(at+".key", name, of.Key.Shape)
			c.value(at+".value", value, of.Value.Shape)
		case ok:
			c.value(at+"."+name, value, ref.Shape)
		default:
			c.differs(at+"."+name, "is not in the model")
		}
	}
	for _, name := range of.Required {
		if _, ok := values[name]; !ok {
			c.differs(at+"."+name, "is not answered, and required in the model")
		}
	}
}

// unshown tells what no answer has shown of each operation.
func (c answerComparison) unshown(door *api.Door) string {
	var out strings.Builder
	without := 0
	for _, op := range door.Operations {
		output := c.model.Operations[op.Name].Output
		if output == nil {
			without++
			continue
		}
		places := c.below(op.Name, output.Shape, nil)
		if len(places) > 0 {
			fmt.Fprintf(&out, "\n%s %s\n", door.Service, op.Name)
		}
		for _, place := range places {
			out.WriteString(strings.TrimPrefix(place, op.Name+".") + "\n")
		}
	}
	if without > 0 {
		fmt.Fprintf(&out, "\n%s: %d operations have no output in the model, and answer none\n", door.Service, without)
	}
	return out.String()
}

// below are the highest places below one in the model that no answer has shown.
func (c answerComparison) below(at, name string, above []string) (all []string) {
	if slices.Contains(above, name) {
		return nil // a shape within itself
	}
	of := c.model.Shapes[name]
	places := map[string]string{}
	for member, ref := range of.Members {
		places[member] = ref.Shape
	}
	switch of.Type {
	case "list":
		places["member"] = of.Member.Shape
	case "map":
		places["value"] = of.Value.Shape
	}
	for _, member := range slices.Sorted(maps.Keys(places)) {
		if place := at + "." + member; c.shown[place] {
			all = append(all, c.below(place, places[member], append(above, name))...)
		} else {
			all = append(all, place)
		}
	}
	return all
}

// TestAnswersAreCompared has answers that are as a model says, and the same with one thing wrong.
func TestAnswersAreCompared(t *testing.T) {
	const shapes = `"operations":{"Get":{"output":{"shape":"Got","resultWrapper":"GetResult"}},"Put":{}},"shapes":{
		"Got":{"type":"structure","required":["Name"],"members":{"Name":{"shape":"Text"},"On":{"shape":"Flag"},"Size":{"shape":"Number"},
			"At":{"shape":"Time"},"State":{"shape":"State"},"Tags":{"shape":"Tags"},"Parts":{"shape":"Parts"}}},
		"Text":{"type":"string","max":9,"pattern":"[^ ]*"},"Flag":{"type":"boolean"},"Number":{"type":"integer","min":1,"max":9},"Time":{"type":"timestamp"},
		"State":{"type":"string","enum":["UP"]},"Tags":{"type":"map","key":{"shape":"Text"},"value":{"shape":"Text"}},
		"Parts":{"type":"list","max":2,"member":{"shape":"Part"}},"Part":{"type":"structure","members":{"Id":{"shape":"Text"},"Parts":{"shape":"Parts"}}}}}`
	const inJSON = `{"metadata":{"protocol":"json"},` + shapes
	const inXML = `{"metadata":{"protocol":"query","xmlNamespace":"urn:x"},` + shapes
	get := func(result string) string {
		return `<GetResponse xmlns="urn:x"><GetResult>` + result + `</GetResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetResponse>`
	}
	for _, tt := range []struct{ name, model, operation, body, want string }{
		{"all", inJSON, "Get", `{"Name":"a","On":true,"Size":1,"At":1.5,"State":"UP","Tags":{"a":"b"},"Parts":[{"Id":"a","Parts":[]}]}`, ""},
		{"the least", inJSON, "Get", `{"Name":"a"}`, ""},
		{"a required member", inJSON, "Get", `{"On":true}`, "Get.Name is not answered, and required in the model"},
		{"an unknown member", inJSON, "Get", `{"Name":"a","name":"a"}`, "Get.name is not in the model"},
		{"an unknown member of an item", inJSON, "Get", `{"Name":"a","Parts":[{"Id":"a"},{"ID":"a"}]}`, "Get.Parts.member.ID is not in the model"},
		{"another value", inJSON, "Get", `{"Name":"a","State":"up"}`, `State "up" is none of the model's`},
		{"a text too long", inJSON, "Get", `{"Name":"a123456789"}`, "Text 10, in the model 0..9"},
		{"a text that does not match", inJSON, "Get", `{"Name":"a b"}`, "Text a text does not match the model's `[^ ]*`"},
		{"a number too small", inJSON, "Get", `{"Name":"a","Size":0}`, "Number 0, in the model 1..9"},
		{"a list too long", inJSON, "Get", `{"Name":"a","Parts":[{},{},{}]}`, "Parts 3, in the model 0..2"},
		{"a flag in words", inJSON, "Get", `{"Name":"a","On":"true"}`, "Get.On is another kind than boolean"},
		{"a number in words", inJSON, "Get", `{"Name":"a","Size":"1"}`, "Get.Size is another kind than integer"},
		{"a broken number", inJSON, "Get", `{"Name":"a","Size":1.5}`, "Get.Size is another kind than integer"},
		{"a moment in words", inJSON, "Get", `{"Name":"a","At":"2026-11-22T10:00:00Z"}`, "Get.At is another kind than timestamp"},
		{"nothing", inJSON, "Get", `{"Name":null}`, "Get.Name is another kind than string"},
		{"a list for a map", inJSON, "Get", `{"Name":"a","Tags":[]}`, "Get.Tags is another kind than map"},
		{"a number in a map", inJSON, "Get", `{"Name":"a","Tags":{"a":1}}`, "Get.Tags.value is another kind than string"},
		{"a structure for a list", inJSON, "Get", `{"Name":"a","Parts":{}}`, "Get.Parts is another kind than list"},
		{"no JSON", inJSON, "Get", `{"Name":"a"}}`, "Get is not answered in JSON"},
		{"all", inXML, "Get", get(`<Name>a</Name><On>true</On><Size>1</Size><At>2026-11-22T10:00:00Z</At><State>UP</State><Tags><entry><key>a</key><value>b</value></entry></Tags><Parts><member><Id>a</Id><Parts></Parts></member></Parts>`), ""},
		{"the least", inXML, "Get", get(`<Name></Name>`), ""},
		{"a required member", inXML, "Get", get(``), "Get.Name is not answered, and required in the model"},
		{"an unknown member", inXML, "Get", get(`<Name>a</Name><name>a</name>`), "Get.name is not in the model"},
		{"a member twice", inXML, "Get", get(`<Name>a</Name><Name>b</Name>`), "Get.Name is answered twice"},
		{"another value", inXML, "Get", get(`<Name>a</Name><State>up</State>`), `State "up" is none of the model's`},
		{"a flag with a capital", inXML, "Get", get(`<Name>a</Name><On>True</On>`), "Get.On is another kind than boolean"},
		{"a broken number", inXML, "Get", get(`<Name>a</Name><Size>1.5</Size>`), "Get.Size is another kind than integer"},
		{"a moment in numbers", inXML, "Get", get(`<Name>a</Name><At>1795341600</At>`), "Get.At is another kind than timestamp"},
		{"a text with elements", inXML, "Get", get(`<Name><a></a></Name>`), "Get.Name is another kind than string"},
		{"a list without members", inXML, "Get", get(`<Name>a</Name><Parts><Id>a</Id></Parts>`), "Get.Parts is another kind than list"},
		{"a text for a list", inXML, "Get", get(`<Name>a</Name><Parts>a</Parts>`), "Get.Parts is another kind than list"},
		{"a map without entries", inXML, "Get", get(`<Name>a</Name><Tags><a>b</a></Tags>`), "Get.Tags is another kind than map"},
		{"no result", inXML, "Get", `<GetResponse xmlns="urn:x"><ResponseMetadata></ResponseMetadata></GetResponse>`, "Get is answered with {urn:x GetResponse} of [ResponseMetadata], in the model {urn:x GetResponse} of [GetResult ResponseMetadata]"},
		{"another namespace", inXML, "Put", `<PutResponse xmlns="urn:y"><ResponseMetadata></ResponseMetadata></PutResponse>`, "Put is answered with {urn:y PutResponse} of [ResponseMetadata], in the model {urn:x PutResponse} of [ResponseMetadata]"},
		{"nothing, as there is", inXML, "Put", `<PutResponse xmlns="urn:x"><ResponseMetadata></ResponseMetadata></PutResponse>`, ""},
		{"no XML", inXML, "Put", `<PutResponse`, "Put is not answered in XML"},
	} {
		var got []string
		c := answerComparison{shown: map[string]bool{}, differs: func(at, format string, args ...any) {
			got = append(got, at+" "+fmt.Sprintf(format, args...))
		}}
		if err := json.Unmarshal([]byte(tt.model), &c.model); err != nil {
			t.Fatal(err)
		}
		c.answer(tt.operation, tt.body)
		if joined := strings.Join(got, "; "); joined != tt.want {
			t.Errorf("%s in %s: got %q, want %q", tt.name, c.model.Metadata.Protocol, joined, tt.want)
		}
		left := map[string]string{"all": "", "the least": "\nx Get\nAt\nOn\nParts\nSize\nState\nTags\n", "a list for a map": "\nx Get\nAt\nOn\nParts\nSize\nState\nTags.value\n"}
		door := &api.Door{Service: "x", Operations: []*api.Operation{{Name: "Get"}, {Name: "Put"}}}
		if want, ok := left[tt.name]; ok {
			want += "\nx: 1 operations have no output in the model, and answer none\n"
			if diff := cmp.Diff(want, c.unshown(door)); diff != "" {
				t.Errorf("%s in %s, unshown (-want +got):\n%s", tt.name, c.model.Metadata.Protocol, diff)
			}
		}
	}
}
