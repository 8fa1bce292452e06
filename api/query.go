package api

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// Query makes a door of AWS's query protocol: a form in, XML out
// (https://smithy.io/2.0/aws/protocols/aws-query-protocol.html).
func Query(service, source, version string, errs Errors, operations []Operation) *Door {
	namespace := "https://" + service + ".amazonaws.com/doc/" + version + "/"
	byName := map[string]*Operation{}
	d := &Door{Service: service, Source: source, word: wordQuery, Code: errs.name}
	d.read = func(c *Call, rows []Member) (map[string]any, error) { return readForm(c.Form, rows) }
	for i := range operations {
		byName[operations[i].Name] = &operations[i]
		d.Operations = append(d.Operations, &operations[i])
		if operations[i].Unsigned {
			d.Unsigned = append(d.Unsigned, operations[i].Name)
		}
	}
	d.Find = func(c *Call) (*Operation, error) { return findAction(byName, version, c) }
	d.Reply = func(w http.ResponseWriter, c *Call, out any) error {
		if c.Operation.Presigned && c.Request.Header.Get("Accept") == "application/json" {
			return replyInJSON(w, c, out)
		}
		return replyXML(w, c, namespace, out)
	}
	d.Fail = func(w http.ResponseWriter, c *Call, err error) (string, int) {
		code, message := errs.of(c, err)
		body := errorResponse{Namespace: namespace, Type: "Sender", Code: code.Name, Message: message, RequestID: c.ID}
		if code.Status >= http.StatusInternalServerError {
			body.Type = "Receiver"
		}
		text, _ := xml.Marshal(body) // strings: always XML
		writeBody(w, c, "text/xml", code.Status, text)
		return code.Name, code.Status
	}
	return d
}

type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func findAction(byName map[string]*Operation, version string, c *Call) (*Operation, error) {
	text, presigned := string(c.Body), sigv4.IsPresigned(c.Request)
	switch {
	case presigned && c.Request.Method == http.MethodGet && c.Request.URL.EscapedPath() == "/":
		text = c.Request.URL.RawQuery
	case c.Request.Method != http.MethodPost || !isForm(c.Request):
		return nil, fault.New(fault.UnknownOperation, "This API takes a POST to / with a form as its body, not %s %.200q with %.100q.",
			c.Request.Method, c.Request.URL.EscapedPath(), c.Request.Header.Get("Content-Type"))
	}
	form, err := url.ParseQuery(text)
	if presigned {
		maps.DeleteFunc(form, func(name string, _ []string) bool { return sigv4.IsParameter(name) })
	}
	if err != nil {
		return nil, fault.New(fault.Malformed, "The body is not a form: %s", err)
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, fault.New(fault.Malformed, "The parameter %.100q is given %d times.", name, len(values))
		}
		if isAuthentication(name) {
			return nil, fault.New(fault.IncompleteAuth, "The form has the parameter %.100q: authentication is accepted in the Authorization header alone.", name)
		}
	}
	c.Form = form
	action := form.Get("Action")
	op := byName[action]
	if op == nil {
		return nil, fault.New(fault.UnknownOperation, "Could not find operation %.100q for version %.100q.", action, form.Get("Version"))
	}
	if presigned && !op.Presigned {
		return nil, fault.New(fault.Unsupported, "%s is not accepted as a presigned URL: sign it in its Authorization header.", action)
	}
	if v := form.Get("Version"); v != version {
		return nil, fault.New(fault.UnknownOperation, "Could not find operation %q for version %.100q: %s is accepted.", action, v, version)
	}
	return op, nil
}

// isAuthentication reports whether a parameter belongs to a signature in the form, as version 2 had it: with one there
// and one in the header, two readers could believe two principals.
func isAuthentication(name string) bool {
	return strings.EqualFold(name, "AWSAccessKeyId") || len(name) > 6 && strings.EqualFold(name[:6], "X-Amz-")
}

// Number reads an optional whole number, which the rows have held to be one; ok is false when it is absent.
func (c *Call) Number(name string) (n int, ok bool) {
	n, err := strconv.Atoi(c.Form.Get(name))
	return n, err == nil
}

// Members reads a list: NAME.member.1, NAME.member.2 and so on, or NAME.member.1.FIELD for each of the fields.
// The order is that of the numbers; a gap ends nothing, as at AWS.
func (c *Call) Members(name string, fields ...string) []map[string]string {
	byNumber := map[int]map[string]string{}
	for key := range c.Form {
		rest, ok := strings.CutPrefix(key, name+".member.")
		if !ok {
			continue
		}
		number, field, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if err != nil || strconv.Itoa(n) != number || n < 1 { // 1 and 01 are not two ways to say the same
			continue
		}
		if field != "" && !slices.Contains(fields, field) {
			continue
		}
		if byNumber[n] == nil {
			byNumber[n] = map[string]string{}
		}
		byNumber[n][field] = c.Form.Get(key)
	}
	numbers := make([]int, 0, len(byNumber))
	for n := range byNumber {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	members := make([]map[string]string, len(numbers))
	for i, n := range numbers {
		members[i] = byNumber[n]
	}
	return members
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// Page is the part of a list's answer that says whether there is more. IsTruncated is there on the last page too.
type Page struct {
	IsTruncated bool   `xml:"IsTruncated"`
	Marker      string `xml:"Marker,omitempty"`
}

// MaxItems reads the page size of a list call, which its row bounds; by default 100.
func (c *Call) MaxItems() int {
	if n, ok := c.Number("MaxItems"); ok {
		return n
	}
	return 100
}

// answerXML is an encoder with what it writes into. One is used again after an answer that was written well: its buffers cost
// more than what most answers need them for.
type answerXML struct {
	text    bytes.Buffer
	encoder *xml.Encoder
}

var answersXML = sync.Pool{New: func() any {
	a := &answerXML{}
	a.encoder = xml.NewEncoder(&a.text)
	return a
}}

// replyXML writes NAMEResponse with NAMEResult around out, or without a result when out is nil.
func replyXML(w http.ResponseWriter, c *Call, namespace string, out any) error {
	a := answersXML.Get().(*answerXML)
	a.text.Reset()
	if err := a.encode(c, namespace, out); err != nil {
		return err
	}
	writeBody(w, c, "text/xml", http.StatusOK, a.text.Bytes())
	if a.text.Cap() <= largestKept {
		answersXML.Put(a)
	}
	return nil
}

// largestKept is how much memory, in bytes, waits for the next answer.
const largestKept = 64 << 10

func (a *answerXML) encode(c *Call, namespace string, out any) error {
	response := xml.StartElement{
		Name: xml.Name{Local: c.Operation.Name + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}},
	}
	metadata := struct {
		RequestID string `xml:"RequestId"`
	}{c.ID}
	if err := a.encoder.EncodeToken(response); err != nil {
		return err
	}
	if out != nil {
		if err := a.encoder.EncodeElement(out, xml.StartElement{Name: xml.Name{Local: c.Operation.Name + "Result"}}); err != nil {
			return err
		}
	}
	if err := a.encoder.EncodeElement(metadata, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}); err != nil {
		return err
	}
	if err := a.encoder.EncodeToken(response.End()); err != nil {
		return err
	}
	return a.encoder.Flush()
}

// replyInJSON writes what replyXML does for who asks for JSON, as those do who take a presigned GetCallerIdentity as a token.
func replyInJSON(w http.ResponseWriter, c *Call, out any) error {
	name := c.Operation.Name
	body, err := json.Marshal(map[string]any{name + "Response": map[string]any{
		name + "Result": out, "ResponseMetadata": map[string]string{"RequestId": c.ID},
	}})
	if err != nil {
		return err
	}
	writeBody(w, c, "application/json", http.StatusOK, body)
	return nil
}

// Instant is a moment as the query protocol writes it.
type Instant time.Time

// MarshalText writes ISO 8601 in UTC.
func (i Instant) MarshalText() ([]byte, error) {
	return []byte(time.Time(i).UTC().Format("2006-01-02T15:04:05Z")), nil
}
