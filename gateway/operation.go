package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// level says what a path names.
type level uint8

const (
	service level = iota // "/"
	bucket               // "/BUCKET" or "/BUCKET/"
	object               // "/BUCKET/KEY"
)

// String completes "on …" in a message.
func (l level) String() string {
	return [...]string{"the service", "a bucket", "an object"}[l]
}

// payload says what an operation does with a request's body.
type payload uint8

const (
	empty    payload = iota // a body is refused
	stream                  // forwarded, verified as it passes
	document                // XML that is read here and made anew for the upstream: see schema
)

// answer says what an operation does with the upstream's answer.
type answer uint8

const (
	relayed answer = iota // as it is
	owned                 // a listing: whoever the upstream says owns or began something becomes the account
	read                  // a short document: may be an error in spite of its status, and names the upstream's addresses
)

// operation is one row of the table of what S3 offers here. Everything that is not in a row is refused: a sub-resource,
// query parameter or header that the gateway does not know may turn the plain operation into another one.
type operation struct {
	name     string // as S3's API reference spells it
	method   string
	level    level
	selector string   // the parameters that a query must have for this row: "uploads", "list-type=2", "partNumber&uploadId"; "" for the plain operation
	header   string   // a header, in canonical form, that makes this operation of the one without it
	query    []string // parameters that may also be there; they are forwarded
	headers  []string // headers that are forwarded, lower case; a trailing * stands for any ending
	body     payload
	document *schema // of a body that is a document
	answer   answer

	action    string               // the IAM action that is asked for the resource of the level
	versioned string               // the action in its place where a versionId is given; "" takes none
	also      func(c *call) []need // what is asked besides
	keys      []string             // query parameters that policies may ask for as s3:NAME
	tagged    bool                 // the table of actions has s3:ExistingObjectTag for its action; for no deletion, so tags keep nobody from one

	acl        bool // S3 takes a canned ACL here, of which "private" is dropped: see takeACL
	management bool // CloudTrail counts it among the management events

	selectors []string // of selector
}

// operations is the table. Actions and resources are those of
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.
var operations = func() []operation {
	all := slices.Concat(bucketOperations, objectOperations)
	for i := range all {
		if all[i].selector != "" {
			all[i].selectors = strings.Split(all[i].selector, "&")
		}
	}
	return all
}()

// never are the sub-resources that are refused whatever goes with them, each with the reason.
var never = []struct{ parameter, reason string }{
	{"acl", reach},
	{"policy", reach},
	{"policyStatus", reach},
	{"publicAccessBlock", reach},
	{"website", reach},
	{"torrent", reach},
	{"replication", past},
	{"notification", past},
	{"logging", past},
	{"inventory", past},
	{"analytics", past},
	{"metrics", itsOwn},
	{"accelerate", itsOwn},
	{"requestPayment", itsOwn},
	{"intelligent-tiering", itsOwn},
}

const (
	reach  = "who may reach the store is decided by IAM policies alone"
	past   = "it would send what the store has past the gateway"
	itsOwn = "it is the store's own business"
)

// consumed are the headers beginning with x-amz- that this door or the signature uses up.
var consumed = []string{
	"x-amz-content-sha256", "x-amz-date", "x-amz-expected-bucket-owner", "x-amz-security-token", "x-amz-source-expected-bucket-owner",
	"x-amz-user-agent",
	"x-amz-api-version", // the SDK for C++ says with every request which one it was made for; S3 has had one
	"x-amz-te",          // asks for a checksum behind the body, which the SDK for Java does on every read and does without
}

// find returns the row for a method on a level with this query and these headers, or the refusal that names what is not
// known.
func find(method string, at level, query url.Values, header http.Header) (*operation, error) {
	for _, n := range never {
		if len(query) > 0 && query.Has(n.parameter) {
			return nil, fault.New(fault.Unsupported, "the query parameter %q is not supported with %s on %s: %s", n.parameter, method, at, n.reason)
		}
	}
	found, most := (*operation)(nil), -1
	for i := range operations {
		op := &operations[i]
		if op.method != method || op.level != at {
			continue
		}
		if fit := op.fit(query, header); fit > most {
			found, most = op, fit
		}
	}
	if found == nil {
		return nil, refuse(methodNotAllowed, "the method %q is not accepted on %s", method, at)
	}
	for name, values := range query {
		switch {
		case len(values) != 1:
			return nil, fault.New(fault.Invalid, "the query parameter %q stands %d times: once is accepted", name, len(values))
		case !found.allows(name):
			return nil, fault.New(fault.Unsupported, "the query parameter %q is not supported with %s on %s", name, method, at)
		case name == "x-id" && !slices.ContainsFunc(operations, func(op operation) bool { return op.name == values[0] }):
			return nil, fault.New(fault.Unsupported, "the operation %q is not supported", values[0])
		case name == "x-id" && values[0] != found.name:
			return nil, fault.New(fault.Invalid, "x-id=%q does not fit this request, which is %s", values[0], found.name)
		case !found.takes(name, values[0]):
			return nil, fault.New(fault.Invalid, "the query parameter %s=%.100q is not of the accepted form", name, values[0])
		}
	}
	return found, nil
}

// fit says in how many things a request is what the row demands, -1 when it is not all of them.
func (op *operation) fit(query url.Values, header http.Header) int {
	n := 0
	for _, s := range op.selectors {
		name, value, hasValue := strings.Cut(s, "=")
		if !query.Has(name) || hasValue && query.Get(name) != value {
			return -1
		}
		n++
	}
	if op.header == "" {
		return n
	}
	if _, found := header[op.header]; !found {
		return -1
	}
	return n + 1
}

// selects reports whether a parameter is one that the row is found by.
func (op *operation) selects(parameter string) bool {
	return slices.ContainsFunc(op.selectors, func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return name == parameter
	})
}

// allows reports whether the operation takes a query parameter. SDKs add x-id, which says the operation's name once
// more.
func (op *operation) allows(parameter string) bool {
	return parameter == "x-id" || parameter == versionID && op.versioned != "" || slices.Contains(op.query, parameter) || op.selects(parameter)
}

const versionID = "versionId"

// takes reports whether a value has the form of its parameter. Stores read numbers each in their own way, and one over a
// file system makes file names of ids.
func (op *operation) takes(parameter, value string) bool {
	switch parameter {
	case "max-keys", "max-buckets", "max-uploads", "max-parts", "part-number-marker":
		return isNumber(value)
	case "partNumber":
		return isNumber(value) && len(value) <= 5 && value != "0"
	case versionID, "uploadId":
		return isID(value)
	case "upload-id-marker", "version-id-marker":
		return value == "" || isID(value)
	case "encoding-type":
		return value == "url"
	case "fetch-owner":
		return value == "true" || value == "false"
	}
	if op.selects(parameter) && !slices.Contains(op.selectors, parameter+"="+value) {
		return value == "" // a sub-resource
	}
	return true
}

// isNumber reports whether s is a count that every store reads alike: digits, of 31 bits at most.
func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 32)
	return err == nil && strings.Trim(s, "0123456789") == ""
}

// isID reports whether s can be the id of a version or an upload: a word in which no path can hide.
func isID(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+=", c) >= 0:
		default:
			return false
		}
	}
	return s != "" && len(s) <= 1024 && !hasDotSegment(s)
}

// forwards reports whether the operation hands a header, in lower case, on to the upstream.
func (op *operation) forwards(header string) bool {
	for _, pattern := range op.headers {
		if stem, open := strings.CutSuffix(pattern, "*"); header == pattern || open && strings.HasPrefix(header, stem) {
			return true
		}
	}
	return false
}

// Actions returns the IAM actions that operations ask for, without "s3:", sorted.
func Actions() []string {
	all := []string{"BypassGovernanceRetention"} // beside those of the table
	for i := range operations {
		for _, action := range []string{operations[i].action, operations[i].versioned} {
			if name, ok := strings.CutPrefix(action, "s3:"); ok {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
