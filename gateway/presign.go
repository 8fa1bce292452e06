package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
)

// headersOf returns the headers of a request, with those that a presigned URL has in its query, as AWS's SDKs put them
// there: they count as headers. The signature's own parameters leave the query.
func headersOf(r *http.Request, query url.Values) (http.Header, error) {
	if !sigv4.IsPresigned(r) {
		return r.Header, nil
	}
	header := maps.Clone(r.Header)
	for name, values := range query {
		if sigv4.IsParameter(name) {
			delete(query, name)
			continue
		}
		if !strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			continue
		}
		canonical := http.CanonicalHeaderKey(name)
		if len(values) != 1 || len(header[canonical]) > 0 {
			return nil, fault.New(fault.Invalid, "%q stands more than once in the query and the headers: once is accepted", strings.ToLower(name))
		}
		header[canonical] = values
		delete(query, name)
	}
	return header, nil
}

// signatureError words, as S3 does, what is wrong with a presigned URL.
func signatureError(r *http.Request, err error) error {
	if err == nil || !sigv4.IsPresigned(r) {
		return err
	}
	switch {
	case fault.Is(err, fault.IncompleteAuth) && len(r.Header["Authorization"]) > 0:
		return refuse(codes[fault.Invalid], "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
			"Signature query string parameter or the Authorization header should be specified")
	case fault.Is(err, fault.IncompleteAuth):
		return refuse(badParameters, "%s", fault.Message(err))
	case fault.Is(err, fault.Skewed):
		return refuse(codes[fault.Denied], "%s", fault.Message(err))
	}
	return err
}
