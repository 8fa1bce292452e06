package sigv4

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/openlanyard/lanyard/fault"
)

// pathRule says how a service's canonical path is made from the path on the wire.
type pathRule uint8

const (
	// encodeTwice removes dot segments and empty ones, then encodes what the client had encoded already:
	// every service but S3.
	encodeTwice pathRule = iota
	// encodeOnce takes the path as it is, because "a//b" and "a/./b" are names of objects: S3.
	encodeOnce
)

func ruleOf(service string) pathRule {
	if service == s3 {
		return encodeOnce
	}
	return encodeTwice
}

// wirePath returns the path as it was received. EscapedPath is not enough: it re-encodes a path with raw UTF-8, which
// encodeTwice would then encode once more. A RawPath that does not mean Path is not believed, so that what is verified
// is what the doors read.
func wirePath(u *url.URL) string {
	if u.RawPath != "" {
		if path, err := url.PathUnescape(u.RawPath); err == nil && path == u.Path {
			return u.RawPath
		}
	}
	return u.EscapedPath()
}

// appendCanonical appends the canonical request
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html). Errors are BadSignature:
// no client signs a request without a canonical form.
func appendCanonical(b []byte, r *http.Request, path string, rule pathRule, signed []string, payloadHash string) ([]byte, error) {
	if r.Method == "" { // a request of our own: net/http sends it as GET
		b = append(b, http.MethodGet...)
	}
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, path, rule)
	b = append(b, '\n')
	b, ok := appendQuery(b, r.URL.RawQuery)
	if !ok {
		return nil, fault.New(fault.BadSignature,
			"the query has a malformed percent escape or a bare semicolon: %%XX with two hex digits is accepted")
	}
	b = append(b, '\n')
	for _, name := range signed {
		b = append(b, name...)
		b = append(b, ':')
		if b, ok = appendHeader(b, r, name); !ok {
			return nil, fault.New(fault.BadSignature, "the signed header %q is not in the request", name)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range signed {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return append(b, payloadHash...), nil
}

func appendPath(b []byte, path string, rule pathRule) []byte {
	if path == "" {
		return append(b, '/')
	}
	if rule == encodeOnce {
		return appendPathOnce(b, path)
	}
	if strings.Contains(path, "//") || strings.Contains(path, "/.") {
		path = normalise(path)
	}
	for i := range len(path) {
		if path[i] == '/' {
			b = append(b, '/')
			continue
		}
		b = appendEncoded(b, path[i])
	}
	return b
}

// appendPathOnce decodes and encodes each byte, so that clients may differ in what they escape. A slash and an escaped
// slash stay what they were.
func appendPathOnce(b []byte, path string) []byte {
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '/' {
			b = append(b, '/')
			continue
		}
		if c == '%' {
			if d, ok := unescape(path[i:]); ok {
				c = d
				i += 2
			}
		}
		b = appendEncoded(b, c)
	}
	return b
}

// normalise removes empty, "." and ".." segments. A trailing slash stays.
func normalise(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, segment)
		}
	}
	normal := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && strings.HasSuffix(path, "/") {
		normal += "/"
	}
	return normal
}

// span is one encoded pair: its name is [start:equals], its value [equals+1:end].
type span struct{ start, equals, end int }

// appendQuery appends the pairs of a raw query, re-encoded and sorted by name, then value. A plus is a space, as the
// doors read it (url.ParseQuery): a pair must not be signed with one meaning and served with another. For the same reason
// a pair that they would drop in silence is not ok. The signature of a presigned URL is not part of what it signs.
func appendQuery(b []byte, raw string) (_ []byte, ok bool) {
	if raw == "" {
		return b, true
	}
	var encodedSpace [512]byte
	var spanSpace [16]span
	encoded, spans := encodedSpace[:0], spanSpace[:0]
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		s := span{start: len(encoded)}
		if encoded, ok = appendQueryText(encoded, name); !ok {
			return nil, false
		}
		s.equals = len(encoded)
		if string(encoded[s.start:]) == signatureParameter {
			encoded = encoded[:s.start]
			continue
		}
		encoded = append(encoded, '=')
		if encoded, ok = appendQueryText(encoded, value); !ok {
			return nil, false
		}
		s.end = len(encoded)
		spans = append(spans, s)
	}
	// The whole pairs must not be compared: "=" sorts after "-", so "a-b" would come before "a".
	slices.SortFunc(spans, func(x, y span) int {
		if c := bytes.Compare(encoded[x.start:x.equals], encoded[y.start:y.equals]); c != 0 {
			return c
		}
		return bytes.Compare(encoded[x.equals:x.end], encoded[y.equals:y.end])
	})
	for i, s := range spans {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, encoded[s.start:s.end]...)
	}
	return b, true
}

func appendQueryText(b []byte, s string) (_ []byte, ok bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case ';':
			return nil, false
		case '%':
			if c, ok = unescape(s[i:]); !ok {
				return nil, false
			}
			i += 2
		}
		b = appendEncoded(b, c)
	}
	return b, true
}

// unescape reads the %XX at the start of s.
func unescape(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, low := hexDigit(s[1]), hexDigit(s[2])
	return high<<4 | low, high < 16 && low < 16
}

// hexDigit returns a digit's value in either case, and 255 for what is no digit.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// appendEncoded appends an unreserved character of RFC 3986 as it is and any other byte as %XX.
func appendEncoded(b []byte, c byte) []byte {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
		return append(b, c)
	}
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

// hasHeader reports whether a request has a header; name is in lower case.
func hasHeader(r *http.Request, name string) bool {
	var one [1]string
	return len(valuesOf(r, name, &one)) > 0
}

// appendHeader appends the value of a header; ok is false where the request has none. name is in lower case.
func appendHeader(b []byte, r *http.Request, name string) (_ []byte, ok bool) {
	var one [1]string
	values := valuesOf(r, name, &one)
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, value)
	}
	return b, len(values) > 0
}

// valuesOf returns the values of a header as the client sent it, none where it sent none; name is in lower case. net/http
// takes some headers out of the map, or has not written them yet in a request of our own: those are read from where it
// keeps them, and put into one.
func valuesOf(r *http.Request, name string, one *[1]string) []string {
	if name == "host" {
		one[0] = host(r)
		if one[0] == "" {
			return nil
		}
		return one[:]
	}
	values := lookup(r.Header, name)
	switch {
	case len(values) > 0:
	case name == "content-length" && r.ContentLength > 0:
		one[0] = strconv.FormatInt(r.ContentLength, 10)
		return one[:]
	case name == "transfer-encoding":
		return r.TransferEncoding
	}
	return values
}

func host(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host // a request of our own
}

// appendValue appends a header's value without spaces around it and with one space for several.
func appendValue(b []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	if !strings.Contains(value, "  ") {
		return append(b, value...)
	}
	for i := range len(value) {
		if value[i] == ' ' && value[i-1] == ' ' { // i > 0: the first byte is no space
			continue
		}
		b = append(b, value[i])
	}
	return b
}

// lookup is Header.Values for a name in lower case, without the allocation of its canonical form.
func lookup(h http.Header, name string) []string {
	key := make([]byte, 0, maxHeaderName)
	up := true
	for i := range len(name) {
		c := name[i]
		if up && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = c == '-'
		key = append(key, c)
	}
	return h[string(key)]
}
