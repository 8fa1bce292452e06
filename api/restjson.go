package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// Route is an operation with its place in a REST API: a method, and a path whose {labels} each match one segment.
type Route struct {
	Method, Path string
	Operation
}

// RESTJSON makes a door of AWS's restJson1 protocol (https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html).
func RESTJSON(service, source string, errs Errors, routes []Route) *Door {
	table, operations := make([]restRoute, len(routes)), make([]*Operation, len(routes))
	for i := range routes {
		operations[i] = &routes[i].Operation
		table[i] = restRoute{method: routes[i].Method, segments: strings.Split(routes[i].Path, "/"), operation: &routes[i].Operation}
	}
	return &Door{
		Service: service, Source: source, Operations: operations,
		Find:  func(c *Call) (*Operation, error) { return findRoute(table, c) },
		Reply: replyJSON,
		Fail: func(w http.ResponseWriter, c *Call, err error) (string, int) {
			code, message := errs.of(c, err)
			body, _ := json.Marshal(map[string]string{"__type": code.Name, "code": code.Name, "message": message}) // strings: always JSON
			w.Header().Set("x-amzn-ErrorType", code.Name)
			writeBody(w, c, "application/json", code.Status, body)
			return code.Name, code.Status
		},
	}
}

type restRoute struct {
	method    string
	segments  []string
	operation *Operation
}

// findRoute matches the path as it was sent, so that an encoded slash in a label (an ARN) does not split it.
func findRoute(table []restRoute, c *Call) (*Operation, error) {
	path := strings.Split(c.Request.URL.EscapedPath(), "/")
	for _, route := range table {
		if route.method != c.Request.Method || len(route.segments) != len(path) {
			continue
		}
		labels, ok := match(route.segments, path)
		if ok {
			c.Labels = labels
			return route.operation, nil
		}
	}
	return nil, fault.New(fault.UnknownOperation, "No operation has the method %s and the path %.200q.", c.Request.Method, c.Request.URL.EscapedPath())
}

func match(pattern, path []string) (map[string]string, bool) {
	labels := map[string]string{}
	for i, want := range pattern {
		if !strings.HasPrefix(want, "{") {
			if want != path[i] {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(path[i])
		if err != nil || value == "" {
			return nil, false
		}
		labels[strings.Trim(want, "{}")] = value
	}
	return labels, true
}

// Decode reads a JSON body. Unknown members are passed over, as AWS does; an empty body is an empty document.
func Decode[T any](c *Call) (T, error) {
	var in T
	if len(c.Body) == 0 {
		return in, nil
	}
	err := json.Unmarshal(c.Body, &in)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return in, fault.New(fault.Malformed, "%s is a JSON %s: %s is accepted.", place(wrong.Field), wrong.Value, jsonWord(wrong.Type.Kind()))
	case err != nil:
		return in, fault.New(fault.Malformed, "The body is not JSON: %s", err)
	}
	return in, nil
}

func place(field string) string {
	if field == "" {
		return "The body"
	}
	return "The member " + strconv.Quote(field)
}

// jsonWord says in JSON's words what a Go type is read from.
func jsonWord(k reflect.Kind) string {
	switch k {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

func replyJSON(w http.ResponseWriter, c *Call, out any) error {
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	writeBody(w, c, "application/json", http.StatusOK, body)
	return nil
}

func writeBody(w http.ResponseWriter, c *Call, contentType string, status int, body []byte) {
	h := w.Header()
	h.Set("x-amzn-RequestId", c.ID)
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no error of ours
}

// Epoch is a moment as restJson1 writes it: seconds since 1970, with a fraction.
type Epoch time.Time

// MarshalJSON writes the moment to the millisecond.
func (e Epoch) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(e).UnixMilli())/1000, 'f', -1, 64), nil
}
