package sigv4

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// The names that a part of the signature has both as a header and as a parameter of a presigned URL
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html), and those that are parameters alone.
const (
	amzDate       = "X-Amz-Date"
	contentHash   = "X-Amz-Content-Sha256"
	securityToken = "X-Amz-Security-Token" //nolint:gosec // a header's name

	signatureParameter     = "X-Amz-Signature"
	algorithmParameter     = "X-Amz-Algorithm"
	credentialParameter    = "X-Amz-Credential"
	expiresParameter       = "X-Amz-Expires"
	signedHeadersParameter = "X-Amz-SignedHeaders"
)

// maxExpires is the longest that a presigned URL may be good for.
const maxExpires = 7 * 24 * time.Hour

// parameters are those of a presigned URL: whether a signature needs them.
var parameters = map[string]bool{
	algorithmParameter: true, credentialParameter: true, amzDate: true, expiresParameter: true, signedHeadersParameter: true,
	signatureParameter: true, securityToken: false, contentHash: false,
}

// IsPresigned reports whether a request has a signature in its query, a good one or not.
func IsPresigned(r *http.Request) bool {
	name, _ := queryAuthentication(r.URL.RawQuery)
	return name != ""
}

// IsParameter reports whether a parameter of a query belongs to its signature.
func IsParameter(name string) bool {
	_, found := parameters[name]
	return found
}

// queryAuthentication returns the first parameter of a query that belongs to a signature, and why that is refused if it is
// by its name. Names are compared as a lenient reader would take them: decoded, in any case.
func queryAuthentication(raw string) (name, refusal string) {
	if raw == "" {
		return "", ""
	}
	for pair := range strings.SplitSeq(raw, "&") {
		one, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(one); err == nil {
			one = decoded
		}
		if strings.EqualFold(one, "AWSAccessKeyId") {
			return one, refuseV2Query
		}
		if name == "" && isAmz(one) && isParameter(one) {
			name = one
		}
	}
	return name, ""
}

// isParameter is IsParameter for a lenient reader. Of the two that are headers as well, the hash of a body alone makes no
// signature.
func isParameter(name string) bool {
	for known := range parameters {
		if known != contentHash && strings.EqualFold(name, known) {
			return true
		}
	}
	return false
}

// parseQuery reads the parameters of a presigned URL, each of which stands once and is spelt as AWS spells it.
func parseQuery(raw string) (*Signature, error) {
	if len(raw) > maxQuery {
		return nil, incomplete("a presigned query of %d bytes: at most %d are accepted", len(raw), maxQuery)
	}
	given := make(map[string]string, len(parameters))
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, incomplete("the query has a malformed percent escape: %%XX with two hex digits is accepted")
		}
		if !IsParameter(name) {
			if isParameter(name) || strings.EqualFold(name, contentHash) {
				return nil, incomplete("the query has %.100q: such names are accepted as AWS spells them", name)
			}
			continue
		}
		if _, twice := given[name]; twice {
			return nil, incomplete("the query has two %s: at most one is accepted", name)
		}
		if value == "" {
			return nil, incomplete("the query has an empty %s", name)
		}
		given[name] = value
	}
	for _, name := range [...]string{
		algorithmParameter, credentialParameter, signatureParameter, amzDate, signedHeadersParameter, expiresParameter,
	} {
		if given[name] == "" {
			return nil, incomplete("the query lacks %s: a presigned URL needs X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "+
				"X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires", name)
		}
	}
	switch given[algorithmParameter] {
	case algorithm:
	case "AWS4-ECDSA-P256-SHA256":
		return nil, fault.New(fault.Unsupported, refuseV4A)
	default:
		return nil, incomplete("X-Amz-Algorithm %.100q: %s is accepted", given[algorithmParameter], algorithm)
	}
	expires, err := readExpires(given[expiresParameter])
	if err != nil {
		return nil, err
	}
	s, err := newSignature(given[credentialParameter], given[signedHeadersParameter], given[signatureParameter])
	if err != nil {
		return nil, err
	}
	s.Expires, s.query = expires, given
	return s, nil
}

// readExpires reads a number of seconds in the one way to write it.
func readExpires(text string) (time.Duration, error) {
	seconds, err := strconv.ParseUint(text, 10, 32)
	switch d := time.Duration(seconds) * time.Second; {
	case err != nil || strconv.FormatUint(seconds, 10) != text || d == 0:
		return 0, incomplete("X-Amz-Expires %.100q: a number of seconds from 1 to %d is accepted", text, int(maxExpires.Seconds()))
	case d > maxExpires:
		return 0, incomplete("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than %d seconds",
			int(maxExpires.Seconds()))
	default:
		return d, nil
	}
}
