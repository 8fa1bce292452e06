package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

const jsonType = "application/x-amz-json-1.1"

// JSONErrors returns the table of a JSON-RPC door with the words that are its own. Its codes are those of REST, but all that
// is the caller's fault has the status 400.
func JSONErrors(own Errors) Errors {
	all := maps.Clone(restErrors)
	for kind, code := range all {
		if code.Status < http.StatusInternalServerError {
			all[kind] = Code{code.Name, http.StatusBadRequest}
		}
	}
	return all.with(own)
}

// JSON makes a door of AWS's awsJson1.1 protocol: a POST to / that names its operation in X-Amz-Target
// (https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html).
func JSON(service, source, target string, errs Errors, operations []Operation) *Door {
	byName := map[string]*Operation{}
	d := &Door{Service: service, Source: source, word: wordQuery, Reply: replyJSONRPC, Code: errs.name}
	d.read = func(c *Call, rows []Member) (map[string]any, error) { return readBody(c, rows) }
	for i := range operations {
		byName[operations[i].Name] = &operations[i]
		d.Operations = append(d.Operations, &operations[i])
	}
	d.Find = func(c *Call) (*Operation, error) { return findTarget(byName, target, c) }
	d.Fail = func(w http.ResponseWriter, c *Call, err error) (string, int) {
		code, message := errs.of(c, err)
		body, _ := json.Marshal(map[string]string{"__type": code.Name, "message": message}) // strings: always JSON
		w.Header().Set("x-amzn-ErrorType", code.Name)
		writeBody(w, c, jsonType, code.Status, body)
		return code.Name, code.Status
	}
	return d
}

// findTarget finds the operation. Clients spell the target with the service's long name or with the end of it.
func findTarget(byName map[string]*Operation, target string, c *Call) (*Operation, error) {
	if c.Request.Method != http.MethodPost || c.Request.URL.EscapedPath() != "/" || c.Request.URL.RawQuery != "" {
		return nil, fault.New(fault.UnknownOperation, "This API takes a POST to / with an X-Amz-Target, not %s %.200q.", c.Request.Method, c.Request.URL.EscapedPath())
	}
	given := c.Request.Header.Values("X-Amz-Target")
	if len(given) != 1 {
		return nil, fault.New(fault.UnknownOperation, "The header X-Amz-Target is there %d times: one is accepted.", len(given))
	}
	prefix, name, _ := cutLast(given[0], ".")
	_, short, _ := cutLast(target, ".")
	if op := byName[name]; op != nil && (prefix == target || prefix == short) {
		return op, nil
	}
	return nil, fault.New(fault.UnknownOperation, "No operation has the target %.200q.", given[0])
}

// cutLast cuts a text at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+len(separator):], true
}

func replyJSONRPC(w http.ResponseWriter, c *Call, out any) error {
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	writeBody(w, c, jsonType, http.StatusOK, body)
	return nil
}
