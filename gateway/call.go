package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// Bounds that S3 states for one request.
const (
	keyBytes      = 1024
	metadataBytes = 2 << 10
	objectBytes   = 5 << 30
)

// call is a request after it was understood: all that policy is asked about and all that the upstream is told.
type call struct {
	op      *operation
	bucket  string
	key     string // decoded; what the policy sees and what the upstream acts on
	query   url.Values
	headers http.Header // those the operation forwards
	owners  []string    // whose buckets the client expects
	length  int64       // of the body's content, in bytes
	chunked bool        // the body comes in chunks
	checks  []*check    // what the client states about its content
	trailer *check      // the one of them that it states at the end
	expects bool        // the client waits for 100 Continue
	acl     string      // that the client states, which goes no further

	meaning // what it takes to decide, beyond what stands in path and query
}

// parse understands a request, or refuses what it does not understand. It does not read the body.
func (g *Gateway) parse(r *http.Request) (*call, error) {
	path, err := g.pathOf(r)
	if err != nil {
		return nil, err
	}
	bucketName, key, at, err := splitPath(path)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the query string is malformed: NAME=VALUE pairs joined by & are accepted")
	}
	header, err := headersOf(r, query)
	if err != nil {
		return nil, err
	}
	op, err := find(r.Method, at, query, header)
	if err != nil {
		return nil, err
	}
	query.Del("x-id")
	for _, name := range []string{"prefix", "marker", "start-after", "key-marker"} {
		if value := query.Get(name); hasDotSegment(value) || strings.ContainsRune(value, 0) {
			return nil, fault.New(fault.Invalid, "%s=%q: path segments of one or two dots are not accepted", name, value)
		}
	}
	c := &call{
		op: op, bucket: bucketName, key: key, query: query,
		owners:  append(header["X-Amz-Expected-Bucket-Owner"], header["X-Amz-Source-Expected-Bucket-Owner"]...),
		chunked: strings.HasPrefix(header.Get("X-Amz-Content-Sha256"), "STREAMING-"),
	}
	if err := c.takeHeaders(header); err != nil {
		return nil, err
	}
	if err := c.takeLength(r, header); err != nil {
		return nil, err
	}
	if err := c.checkBody(r); err != nil {
		return nil, err
	}
	if c.op.body != empty {
		err = c.takeChecks(header)
	}
	return c, err
}

// splitPath reads a path-style path. The upstream may be a file system: a key with "." or ".." or an empty segment would
// name one object in the policy and another one there, so such keys are refused. A single slash at the end is part of
// the key, as at S3.
func splitPath(escaped string) (bucketName, key string, at level, err error) {
	rest, rooted := strings.CutPrefix(escaped, "/")
	if !rooted {
		return "", "", service, refuse(invalidURI, "the path %q does not begin with a slash", escaped)
	}
	if rest == "" {
		return "", "", service, nil
	}
	bucketName, rawKey, _ := strings.Cut(rest, "/")
	if !validBucket(bucketName) {
		return "", "", bucket, refuse(invalidBucketName,
			"%q is not a bucket name: 3 to 63 lower-case letters, digits, hyphens and dots are accepted", bucketName)
	}
	if rawKey == "" {
		return bucketName, "", bucket, nil
	}
	key, err = url.PathUnescape(rawKey)
	if err != nil {
		return "", "", object, refuse(invalidURI, "the object key %q is not properly escaped", rawKey)
	}
	if err := checkKey(key); err != nil {
		return "", "", object, err
	}
	return bucketName, key, object, nil
}

// checkKey refuses a key that a store could take for another one: see splitPath.
func checkKey(key string) error {
	switch {
	case len(key) > keyBytes:
		return refuse(keyTooLong, "the object key has %d bytes: at most %d are accepted", len(key), keyBytes)
	case !utf8.ValidString(key) || strings.ContainsRune(key, 0):
		return refuse(invalidURI, "the object key %q is not UTF-8 text without NUL", key)
	case key == "" || hasDotSegment(key) || strings.HasPrefix(key, "/") || strings.Contains(key, "//"):
		return refuse(invalidURI, "the object key %q has a path segment that is empty or made of one or two dots", key)
	}
	return nil
}

// validBucket holds a name against
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, the part of it that is about form.
func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		inner := i > 0 && i < len(name)-1 && (c == '-' || c == '.')
		if !alphanumeric && !inner {
			return false
		}
	}
	return strings.Count(name, ".") != 3 || strings.Trim(name, "0123456789.") != "" // not an IPv4 address
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// takeHeaders keeps what the operation forwards. A header that begins with x-amz- changes the meaning of a request, so
// one that nobody here uses is refused instead of dropped; others are dropped.
func (c *call) takeHeaders(header http.Header) error {
	c.headers = make(http.Header, 4)
	metadata := 0
	for name, values := range header {
		lower := strings.ToLower(name)
		forwarded := c.op.forwards(lower) || name == originHeader
		if c.takeACL(lower, values) {
			continue
		}
		known := forwarded || c.op.usesUp(lower) || c.frames(lower) || slices.Contains(consumed, lower)
		switch {
		case !known && strings.HasPrefix(lower, "x-amz-"):
			return fault.New(fault.Unsupported, "the header %q is not supported with %s", lower, c.op.name)
		case forwarded && slices.Contains(listHeaders, lower):
			values = []string{strings.Join(values, ",")} // some SDKs send a line for each
		case known && len(values) != 1 && !(c.chunked && lower == "content-encoding"):
			return fault.New(fault.Invalid, "the header %q stands %d times: once is accepted", lower, len(values))
		}
		if stem, isMetadata := strings.CutPrefix(lower, "x-amz-meta-"); isMetadata {
			metadata += len(stem) + len(values[0])
		}
		if forwarded {
			c.headers[name] = values
		}
	}
	if metadata > metadataBytes {
		return refuse(metadataTooLarge, "the metadata has %d bytes: at most %d are accepted", metadata, metadataBytes)
	}
	c.expects = strings.EqualFold(header.Get("Expect"), "100-continue")
	return c.takeEncoding()
}

// takeACL takes the one canned ACL that asks for what is so anyway: S3 gives it to whatever is made without one, and it
// opens nothing to anybody. Some clients state it with all that they write.
func (c *call) takeACL(header string, values []string) bool {
	if header != "x-amz-acl" || !c.op.acl || len(values) != 1 || values[0] != "private" {
		return false
	}
	c.acl = values[0]
	return true
}

// checkBody refuses a body where none is due, and one of unknown or excessive length.
func (c *call) checkBody(r *http.Request) error {
	switch {
	case c.op.body == empty && r.ContentLength != 0:
		return fault.New(fault.Invalid, "%s takes no body", c.op.name)
	case c.op.body != empty && c.length < 0:
		return refuse(missingContentLength, "%s needs the Content-Length header", c.op.name)
	case c.op.body == stream && c.length > objectBytes:
		return refuse(entityTooLarge, "the object has %d bytes: at most %d are accepted", c.length, int64(objectBytes))
	case c.op.body == document && c.length > c.op.document.limit():
		return fault.New(fault.TooLarge, "the body has %d bytes: at most %d are accepted", c.length, c.op.document.limit())
	}
	return nil
}

// resource returns the name that policy is asked about.
func (c *call) resource() string {
	switch c.op.level {
	case service:
		return bucketARN("*")
	case bucket:
		return bucketARN(c.bucket)
	default:
		return bucketARN(c.bucket + "/" + c.key)
	}
}

func bucketARN(resource string) string { return arn.ARN{Service: "s3", Resource: resource}.String() }

// path returns what the upstream is asked for: built anew from bucket and key, with every byte escaped that
// Signature Version 4 escapes, so that both sides sign and decode the same.
func (c *call) path() (decoded, escaped string) {
	switch c.op.level {
	case service:
		return "/", "/"
	case bucket:
		return "/" + c.bucket, "/" + c.bucket
	default:
		return "/" + c.bucket + "/" + c.key, "/" + c.bucket + "/" + escapeKey(c.key)
	}
}

func escapeKey(key string) string {
	var b strings.Builder
	b.Grow(len(key) + len(key)/4)
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			const digits = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}
