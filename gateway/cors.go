package gateway

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
)

// S3 lets pages of other origins use a bucket by its CORS rules
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html). The store keeps them and answers by them: to a browser's
// preflight, which nobody signs, and beside its answer to a request that names an origin. They say what a browser may show
// to a page and never what a caller may do: policy is asked all the same.
const (
	originHeader  = "Origin"
	methodHeader  = "Access-Control-Request-Method"
	headersHeader = "Access-Control-Request-Headers"
)

// isCORS reports whether a header of an answer is for browsers to go by.
func isCORS(header string) bool {
	return header == "Vary" || strings.HasPrefix(header, "Access-Control-")
}

// preflight answers a browser that asks whether a page may send a request.
func (g *Gateway) preflight(w http.ResponseWriter, r *http.Request, e *entry) (err error) {
	if r.ContentLength != 0 {
		return fault.New(fault.Invalid, "%s takes no body", r.Method)
	}
	for _, name := range [...]string{originHeader, methodHeader} {
		if len(r.Header[name]) != 1 {
			return refuse(badRequest, "Insufficient information. %s request header needed.", name)
		}
	}
	if e.call, err = g.parsePreflight(r, r.Header.Get(methodHeader)); err != nil {
		return err
	}
	if asked := r.Header[headersHeader]; len(asked) > 0 {
		e.call.headers.Set(headersHeader, strings.Join(asked, ","))
	}
	rules, err := g.askRules(r, e.call)
	if err != nil {
		return err
	}
	maps.Copy(w.Header(), rules)
	mark(w, e.id)
	e.status = http.StatusOK
	w.WriteHeader(e.status)
	return nil
}

// rulesFor returns the headers that let a page, if it may use the bucket, read an answer that is not the store's: a browser
// would show it nothing of a refusal without them.
func (g *Gateway) rulesFor(r *http.Request) http.Header {
	if len(r.Header[originHeader]) != 1 || r.Method == http.MethodOptions {
		return http.Header{}
	}
	c, err := g.parsePreflight(r, r.Method)
	if err != nil {
		return http.Header{}
	}
	rules, err := g.askRules(r, c)
	if err != nil { // then a browser shows nothing, and the log's line tells what was refused
		return http.Header{}
	}
	return rules
}

// parsePreflight makes the call that asks the store whether a request by the method may come from the origin that r names.
func (g *Gateway) parsePreflight(r *http.Request, method string) (*call, error) {
	path, err := g.pathOf(r)
	if err != nil {
		return nil, err
	}
	bucketName, key, at, err := splitPath(path)
	switch {
	case err != nil:
		return nil, err
	case at == service:
		return nil, refuse(methodNotAllowed, "the method %q is not accepted on %s", r.Method, at)
	}
	return &call{
		op: &operation{name: "Preflight", method: http.MethodOptions, level: at}, bucket: bucketName, key: key,
		headers: http.Header{originHeader: r.Header[originHeader], methodHeader: {method}},
	}, nil
}

// askRules asks the store for a caller who may be anybody, so what has to wait for a slow one is bounded by address. What the
// store says beyond yes and no about a bucket is for callers who sign.
func (g *Gateway) askRules(r *http.Request, c *call) (http.Header, error) {
	leave, ok := g.flights.enter(limit.Source(r.RemoteAddr))
	if !ok {
		return nil, codes[fault.Throttled].refusal()
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), lookupTime)
	defer cancel()
	resp, err := g.send(ctx, c, nothing(), emptyHash)
	switch {
	case err != nil && r.Context().Err() == nil: // nobody but the store was late
		return nil, unavailable(err)
	case err != nil:
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // there is nothing in it
	switch {
	case resp.StatusCode/100 == 2 && resp.Header.Get("Access-Control-Allow-Origin") != "":
		maps.DeleteFunc(resp.Header, func(name string, _ []string) bool { return !isCORS(name) })
		return resp.Header, nil
	case resp.StatusCode/100 == 2, resp.StatusCode/100 == 4: // some stores say no by silence
		return nil, accessForbidden.refusal()
	}
	return nil, refusalOf(c, resp)
}
