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
		Service: service, Source: source, Operations: operations, Routes: routes, read: readREST, word: wordREST,
		Find:  func(c *Call) (*Operation, error) { return findRoute(table, c) },
		Reply: replyJSON,
		Code:  errs.name,
		Fail: func(w http.ResponseWriter, c *Call, err error) (string, int) {
			code, message := errs.of(c, err)
			body, _ := json.Marshal(map[string]string{"__type": code.Name, "code": code.Name, "message": message}) // strings: always JSON
			w.Header().Set("x-amzn-ErrorType", code.Name)
			writeBody(w, c, "application/json", code.Status, body)
			return code.Name, code.Status
		},
	}
}

// Refusal is an operation that the service has and this door never will, with what to do instead.
type Refusal struct{ Name, Method, Path, Instead string }

// Refuses has a REST door answer operations by name, where UnknownOperationException would leave an administrator in doubt.
func (d *Door) Refuses(all []Refusal) *Door {
	table := make([]restRoute, len(all))
	for i, r := range all {
		table[i] = restRoute{method: r.Method, segments: strings.Split(r.Path, "/"), operation: &Operation{Name: r.Name}}
	}
	find := d.Find
	d.Refusals, d.Find = all, func(c *Call) (*Operation, error) {
		op, err := find(c)
		if err == nil {
			return op, nil
		}
		for i := range table {
			if table[i].method != c.Request.Method || len(table[i].segments) != strings.Count(c.Request.URL.EscapedPath(), "/")+1 {
				continue
			}
			if _, ok := match(table[i].segments, c.Request.URL.EscapedPath()); ok {
				return nil, fault.New(fault.Unsupported, "%s is not supported: %s", all[i].Name, all[i].Instead)
			}
		}
		return nil, err
	}
	return d
}

type restRoute struct {
	method    string
	segments  []string
	operation *Operation
}

// findRoute matches the path as it was sent, so that an encoded slash in a label (an ARN) does not split it.
func findRoute(table []restRoute, c *Call) (*Operation, error) {
	path := c.Request.URL.EscapedPath()
	segments := strings.Count(path, "/") + 1
	for _, route := range table {
		if route.method != c.Request.Method || len(route.segments) != segments {
			continue
		}
		labels, ok := match(route.segments, path)
		if ok {
			c.Labels = labels
			return route.operation, nil
		}
	}
	return nil, fault.New(fault.UnknownOperation, "No operation has the method %s and the path %.200q.", c.Request.Method, path)
}

// match holds a path against a pattern of as many segments.
func match(pattern []string, path string) (labels map[string]string, ok bool) {
	var segment string
	for _, want := range pattern {
		segment, path, _ = strings.Cut(path, "/")
		if !strings.HasPrefix(want, "{") {
			if want != segment {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segment)
		if err != nil || value == "" {
			return nil, false
		}
		if labels == nil {
			labels = make(map[string]string, 2)
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

// isPlain holds the bytes that encoding/json writes as they are.
var isPlain = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()

// AppendText appends s as a JSON string, in the bytes that encoding/json writes.
func AppendText(b []byte, s string) []byte {
	for i := range len(s) {
		if !isPlain[s[i]] {
			text, _ := json.Marshal(s) // strings: always JSON
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
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

// replyJSON writes out; a json.RawMessage is the body as it is, and Streaming writes its own.
func replyJSON(w http.ResponseWriter, c *Call, out any) (err error) {
	if stream, ok := out.(Streaming); ok {
		return stream.reply(w, c)
	}
	body, written := out.(json.RawMessage)
	if !written {
		if body, err = json.Marshal(out); err != nil {
			return err
		}
	}
	writeBody(w, c, "application/json", http.StatusOK, body)
	return nil
}

func writeBody(w http.ResponseWriter, c *Call, contentType string, status int, body []byte) {
	h, values := w.Header(), [...]string{c.ID, contentType, strconv.Itoa(len(body)), "nosniff", "no-store"}
	for i, name := range [...]string{"X-Amzn-Requestid", "Content-Type", "Content-Length", "X-Content-Type-Options", "Cache-Control"} {
		h[name] = values[i : i+1 : i+1] // one allocation for all, as the names are canonical already
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no error of ours
}

// Epoch is a moment as restJson1 writes it: seconds since 1970, with a fraction.
type Epoch time.Time

// MarshalJSON writes the moment to the millisecond.
func (e Epoch) MarshalJSON() ([]byte, error) {
	return e.Append(nil), nil
}

// Append is MarshalJSON behind other bytes.
func (e Epoch) Append(b []byte) []byte {
	return strconv.AppendFloat(b, float64(time.Time(e).UnixMilli())/1000, 'f', -1, 64)
}
