package gateway

import (
	"net/http"
	"net/url"
	"slices"
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
	empty         payload = iota // a body is refused
	stream                       // forwarded, verified as it passes
	configuration                // read and parsed here: at most configurationBytes, never forwarded
)

// operation is one row of the table of what S3 offers here. Everything that is not in a row is refused: a sub-resource,
// query parameter or header that the gateway does not know may turn the plain operation into another one.
type operation struct {
	name     string // as S3's API reference spells it
	method   string
	level    level
	selector string   // "name" or "name=value" that a query must have for this row, "" for the plain operation
	query    []string // parameters that may also be there; they are forwarded
	headers  []string // headers that are forwarded, lower case; a trailing * stands for any ending
	body     payload
	action   string   // the IAM action that is asked for the resource of the level
	keys     []string // query parameters that policies may ask for as s3:NAME

	management bool // CloudTrail counts it among the management events
}

var (
	listing  = []string{"prefix", "delimiter", "max-keys", "encoding-type"}
	listKeys = []string{"prefix", "delimiter", "max-keys"}
	reading  = []string{
		"partNumber", "response-cache-control", "response-content-disposition", "response-content-encoding",
		"response-content-language", "response-content-type", "response-expires",
	}
	readHeaders = []string{
		"if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "range", "x-amz-checksum-mode",
	}
	writeHeaders = []string{
		"cache-control", "content-disposition", "content-encoding", "content-language", "content-md5", "content-type",
		"expires", "if-match", "if-none-match", "x-amz-checksum-*", "x-amz-meta-*", "x-amz-sdk-checksum-algorithm",
		"x-amz-storage-class",
	}
)

// operations is the table. Actions and resources are those of
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.
var operations = []operation{
	{
		name: "ListBuckets", method: http.MethodGet, level: service, action: "s3:ListAllMyBuckets",
		query: []string{"prefix", "max-buckets", "continuation-token"}, management: true,
	},
	{
		name: "CreateBucket", method: http.MethodPut, level: bucket, action: "s3:CreateBucket",
		body: configuration, management: true,
	},
	{name: "DeleteBucket", method: http.MethodDelete, level: bucket, action: "s3:DeleteBucket", management: true},
	{name: "HeadBucket", method: http.MethodHead, level: bucket, action: "s3:ListBucket"},
	{
		name: "ListObjects", method: http.MethodGet, level: bucket, action: "s3:ListBucket",
		query: append([]string{"marker"}, listing...), keys: listKeys,
	},
	{
		name: "ListObjectsV2", method: http.MethodGet, level: bucket, selector: "list-type=2", action: "s3:ListBucket",
		query: append([]string{"continuation-token", "start-after", "fetch-owner"}, listing...), keys: listKeys,
	},
	{
		name: "GetObject", method: http.MethodGet, level: object, action: "s3:GetObject",
		query: reading, headers: readHeaders,
	},
	{
		name: "HeadObject", method: http.MethodHead, level: object, action: "s3:GetObject",
		query: reading, headers: readHeaders,
	},
	{
		name: "PutObject", method: http.MethodPut, level: object, action: "s3:PutObject",
		headers: writeHeaders, body: stream,
	},
	{
		name: "DeleteObject", method: http.MethodDelete, level: object, action: "s3:DeleteObject",
		headers: []string{"if-match"},
	},
}

// notServed are the operations that clients turn to by themselves, as the CLI does for a large file: who meets one is told
// its name and what to do instead.
var notServed = []struct {
	name, method string
	level        level
	selector     string
	instead      string
}{
	{"CreateMultipartUpload", http.MethodPost, object, "uploads", inOnePiece},
	{"UploadPart", http.MethodPut, object, "uploadId", inOnePiece},
	{"CompleteMultipartUpload", http.MethodPost, object, "uploadId", inOnePiece},
	{"AbortMultipartUpload", http.MethodDelete, object, "uploadId", inOnePiece},
	{"ListParts", http.MethodGet, object, "uploadId", inOnePiece},
	{"ListMultipartUploads", http.MethodGet, bucket, "uploads", inOnePiece},
	{"DeleteObjects", http.MethodPost, bucket, "delete", "delete the objects one by one, with DeleteObject"},
}

const inOnePiece = "send the object in one piece, of up to 5 GB; for the CLI: aws configure set default.s3.multipart_threshold 5GB"

// consumed are the headers beginning with x-amz- that this door or the signature uses up.
var consumed = []string{
	"x-amz-content-sha256", "x-amz-date", "x-amz-expected-bucket-owner", "x-amz-security-token", "x-amz-user-agent",
}

// find returns the row for a method on a level with this query, or the refusal that names what is not known.
func find(method string, at level, query url.Values) (*operation, error) {
	for _, op := range notServed {
		if op.method == method && op.level == at && query.Has(op.selector) {
			return nil, fault.New(fault.Unsupported, "the operation %s is not supported: %s", op.name, op.instead)
		}
	}
	var found *operation
	for i := range operations {
		op := &operations[i]
		if op.method != method || op.level != at || !op.selected(query) {
			continue
		}
		if found == nil || op.selector != "" {
			found = op
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
		}
	}
	return found, nil
}

func (op *operation) selected(query url.Values) bool {
	name, value, hasValue := strings.Cut(op.selector, "=")
	return op.selector == "" || query.Has(name) && (!hasValue || query.Get(name) == value)
}

// allows reports whether the operation takes a query parameter. SDKs add x-id, which says the operation's name once
// more.
func (op *operation) allows(parameter string) bool {
	selector, _, _ := strings.Cut(op.selector, "=")
	return parameter == "x-id" || parameter == selector && selector != "" || slices.Contains(op.query, parameter)
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
