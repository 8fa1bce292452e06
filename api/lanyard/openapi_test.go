package lanyard

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/api"
)

// document is as much of OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0) as the test holds against the door.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Security   []map[string][]string
	Components struct {
		SecuritySchemes map[string]struct {
			Service string `json:"x-sigv4-service"`
		}
		Schemas   map[string]schema
		Responses map[string]any
	}
}

type operation struct {
	OperationID string
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody content
	Responses   map[string]response
}

type response struct {
	Ref string `json:"$ref"`
	content
}

type content struct {
	Content map[string]struct{ Schema schema }
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       string
	Required   []string
	Properties map[string]schema
	Enum       []string
}

// feedLines stands for an answer of JSON lines without end.
type feedLines struct{}

// wires are the shapes that each operation reads and writes.
var wires = map[string]struct{ in, out any }{
	"CreateAccount":   {createAccountRequest{}, createAccountResponse{}},
	"DescribeAccount": {struct{}{}, describeAccountResponse{}},
	"VerifyAccount":   {verifyAccountRequest{}, verifyAccountResponse{}},
	"ActivateCluster": {activateRequest{}, clusterResponse{}},
	"PutClusterKeys":  {putKeysRequest{}, clusterResponse{}},
	"UpdateCluster":   {updateClusterRequest{}, clusterResponse{}},
	"Revoke":          {revokeRequest{}, revokeResponse{}},
	"WatchFeed":       {feedRequest{}, feedLines{}},
	"ListGateways":    {struct{}{}, listGatewaysResponse{}},
	"ReportGateway":   {reportRequest{}, reportResponse{}},
	"GetSigningKey":   {signingKeyRequest{}, signingKeyResponse{}},

	"CheckMyAccess": {myAccessRequest{}, myAccessResponse{}},
	"WhoCan":        {whoCanRequest{}, whoCanResponse{}},
	"CanReach":      {canReachRequest{}, canReachResponse{}},
	"CheckPolicy":   {checkPolicyRequest{}, checkPolicyResponse{}},

	"DescribeAuditHeads": {struct{}{}, auditHeadsResponse{}},

	"ReactivateCluster": {struct{}{}, reactivateResponse{}},
	"ReportConnector":   {reportConnectorRequest{}, nothing{}},
	"DescribeConnector": {struct{}{}, describeConnectorResponse{}},
	"ReportDeletedPods": {deletedPodsRequest{}, deletedPodsResponse{}},

	"ListServiceAccounts":   {serviceAccountsRequest{}, serviceAccountsResponse{}},
	"ReportServiceAccounts": {reportServiceAccountsRequest{}, nothing{}},

	"WatchConnector":     {connectorRequest{}, connectorLine{}},
	"WatchInvalidations": {invalidationsRequest{}, invalidationsLine{}},
}

func readDocument(t *testing.T) document {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIHasEveryRoute(t *testing.T) {
	d := readDocument(t)
	var documented, served []string
	for path, methods := range d.Paths {
		for method, op := range methods {
			documented = append(documented, fmt.Sprintf("%s %s %s", op.OperationID, strings.ToUpper(method), path))
		}
	}
	for _, route := range (&door{}).routes() {
		served = append(served, fmt.Sprintf("%s %s %s", route.Name, route.Method, route.Path))
		if _, ok := wires[route.Name]; !ok {
			t.Errorf("%s has no shapes in this test", route.Name)
		}
	}
	slices.Sort(documented)
	slices.Sort(served)
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("routes of the door and of openapi.json (-door +document):\n%s", diff)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("openapi %q, want 3.1", d.OpenAPI)
	}
}

func TestOpenAPIHasEveryMember(t *testing.T) {
	d := readDocument(t)
	for path, methods := range d.Paths {
		for _, op := range methods {
			wire := wires[op.OperationID]
			d.compare(t, op.OperationID+" request", op.RequestBody, wire.in)
			if wire.out == (feedLines{}) {
				if answered := slices.Collect(maps.Keys(op.Responses["200"].Content)); !slices.Equal(answered, []string{"application/x-ndjson"}) {
					t.Errorf("%s answers %q, want JSON lines", op.OperationID, answered)
				}
				continue
			}
			out := d.compare(t, op.OperationID+" response", op.Responses["200"].content, wire.out)
			all := always(out, wire.out)
			if diff := cmp.Diff(all, slices.Sorted(slices.Values(out.Required))); diff != "" {
				t.Errorf("%s: members that are answered always (-door +required):\n%s", op.OperationID, diff)
			}
			var labels []string
			for _, p := range op.Parameters {
				if p.In != "path" || !p.Required {
					t.Errorf("%s: parameter %s is not a required one of the path", op.OperationID, p.Name)
				}
				labels = append(labels, p.Name)
			}
			for _, segment := range strings.Split(path, "/") {
				if name, ok := strings.CutPrefix(segment, "{"); ok && !slices.Contains(labels, strings.TrimSuffix(name, "}")) {
					t.Errorf("%s: the path's label %s has no parameter", op.OperationID, segment)
				}
			}
		}
	}
}

// always are the members that an answer has always: those that are not left out when empty.
func always(s schema, wire any) (names []string) {
	shape := reflect.TypeOf(wire)
	for i := range shape.NumField() {
		name, options, _ := strings.Cut(shape.Field(i).Tag.Get("json"), ",")
		if _, documented := s.Properties[name]; documented && options == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// compare holds a schema against a wire struct, both ways, and returns it.
func (d document) compare(t *testing.T, what string, in content, wire any) schema {
	t.Helper()
	found := d.resolve(in.Content["application/json"].Schema)
	got := map[string]string{}
	for name, property := range found.Properties {
		got[name] = d.resolve(property).Type
	}
	want := map[string]string{}
	shape := reflect.TypeOf(wire)
	for i := range shape.NumField() {
		name, _, _ := strings.Cut(shape.Field(i).Tag.Get("json"), ",")
		want[name] = jsonType(shape.Field(i).Type)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-door +document):\n%s", what, diff)
	}
	for _, name := range found.Required {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is required and unknown", what, name)
		}
	}
	return found
}

func (d document) resolve(s schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

func jsonType(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[api.Epoch]():
		return "number"
	case reflect.TypeFor[json.RawMessage]():
		return "object"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Slice:
		return "array"
	case reflect.Struct:
		return "object"
	case reflect.Bool:
		return "boolean"
	case reflect.Int64:
		return "integer"
	}
	return t.Kind().String()
}

func TestOpenAPIHasEveryError(t *testing.T) {
	d := readDocument(t)
	codes, statuses := map[string]bool{}, map[string]bool{"200": true}
	for _, code := range Errors {
		codes[code.Name], statuses[strconv.Itoa(code.Status)] = true, true
	}
	documented := d.Components.Schemas["Error"].Properties["code"].Enum
	if diff := cmp.Diff(slices.Sorted(maps.Keys(codes)), slices.Sorted(slices.Values(documented))); diff != "" {
		t.Errorf("codes (-door +document):\n%s", diff)
	}
	for _, methods := range d.Paths {
		for _, op := range methods {
			if diff := cmp.Diff(slices.Sorted(maps.Keys(statuses)), slices.Sorted(maps.Keys(op.Responses))); diff != "" {
				t.Errorf("%s: statuses (-door +document):\n%s", op.OperationID, diff)
			}
			for status, r := range op.Responses {
				name, ok := strings.CutPrefix(r.Ref, "#/components/responses/")
				if status != "200" && (!ok || d.Components.Responses[name] == nil) {
					t.Errorf("%s: %s refers to %q, which is not there", op.OperationID, status, r.Ref)
				}
			}
		}
	}
}

func TestOpenAPINamesTheService(t *testing.T) {
	d := readDocument(t)
	service := New(nil, nil, nil, nil, nil, nil).Service
	if got := d.Components.SecuritySchemes["sigv4"].Service; got != service {
		t.Errorf("openapi.json signs for the service %q, the door is %q", got, service)
	}
	if len(d.Security) != 1 || d.Security[0]["sigv4"] == nil {
		t.Errorf("security is %v, want sigv4 for every operation", d.Security)
	}
}
