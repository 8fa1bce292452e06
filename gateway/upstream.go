package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// Upstream is the store behind the gateway, and the key that the gateway alone knows. It belongs to one account.
type Upstream struct {
	URL                          *url.URL          // scheme and host only
	Transport                    http.RoundTripper // nil: one of the gateway's own
	Roots                        *x509.CertPool    // that this one trusts over https; nil: the system's
	AccessKeyID, SecretAccessKey string
	Region                       string // that the upstream wants in signatures
}

// transport is what an upstream gets that brings none. It asks for nothing in the name of a client: no proxy from the
// environment, no compression, no redirects (a RoundTripper follows none).
func transport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, // a store may take its time to put five gigabytes in place
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   256,
		DisableCompression:    true,
	}
}

// send makes the upstream's request anew from what was parsed and signs it. A body goes in the frame that upload.frame
// chooses.
func (g *Gateway) send(ctx context.Context, c *call, body *upload, declared string) (*http.Response, error) {
	up, exchange := &g.config.Upstream, newExchange(ctx, g.config.Stall)
	req, err := http.NewRequestWithContext(exchange, c.op.method, up.URL.String(), http.NoBody)
	if err != nil {
		exchange.end()
		return nil, fmt.Errorf("building the upstream request: %w", err)
	}
	req.URL.Path, req.URL.RawPath = c.path()
	req.URL.RawQuery = strings.ReplaceAll(c.query.Encode(), "+", "%20") // a + is an escaped space here, and signed as such
	for name, values := range c.headers {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "lanyard-gateway")
	req.Header.Set("Accept-Encoding", "identity") // or the transport would ask for gzip and unpack it
	hash := emptyHash
	if c.op.body != empty {
		var wire io.Reader
		hash, wire, req.ContentLength = body.frame(req.Header, declared)
		if req.ContentLength > 0 {
			wire = &sending{Reader: wire, stall: &exchange.sent}
			req.Body = io.NopCloser(wire)
			req.GetBody = func() (io.ReadCloser, error) { // for a connection that turns out to be closed
				if body.begun.Load() {
					return nil, errors.New("the body is on its way already")
				}
				return io.NopCloser(wire), nil
			}
		}
		if c.expects && c.length > 0 {
			req.Header.Set("Expect", "100-continue") // the client's body is not asked for before the upstream wants it
		}
	}
	g.signing.Sign(req, up.AccessKeyID, up.SecretAccessKey, "", up.Region, "s3", hash, g.config.Now())
	resp, err := g.transport.RoundTrip(req)
	exchange.sent.end() // it may have answered before it had all
	if err != nil {
		err = sendError(ctx, exchange, body, err)
		exchange.end()
		return nil, err
	}
	resp.Body = &answering{ReadCloser: resp.Body, of: exchange}
	if resp.StatusCode/100 == 2 && !body.whole.Load() {
		_ = resp.Body.Close() // it is not passed on
		return nil, errors.New("the upstream says that it has an object which it was not given whole")
	}
	if c.op.name == "UploadPart" && body.added != nil {
		// minio-go would tell it back when it completes the upload, which was not begun for checksums of this kind.
		resp.Header.Del(checksumPrefix + addedChecksum)
	}
	return resp, nil
}

// sendError words an exchange that came to no answer: by the body's fault, the client's or the upstream's.
func sendError(ctx context.Context, exchange *exchange, body *upload, err error) error {
	switch failed := body.failed(); {
	case exchange.stalled() && ctx.Err() == nil:
		return unavailable(errStalled)
	case failed != nil && ctx.Err() == nil:
		return failed
	case ctx.Err() != nil: // the client is gone
		return requestTimeout.refusal()
	}
	return unavailable(err)
}

// answerHeaders are the upstream's headers that a client may see. The others are the upstream's own business: its
// connection, its name, its request ids, its redirects.
var answerHeaders = func() map[string]bool {
	allowed := map[string]bool{}
	for _, name := range []string{
		"Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
		"Content-Range", "Content-Type", "Etag", "Expires", "Last-Modified", "X-Amz-Bucket-Region", "X-Amz-Delete-Marker",
		"X-Amz-Abort-Date", "X-Amz-Abort-Rule-Id", "X-Amz-Copy-Source-Version-Id", "X-Amz-Expiration", "X-Amz-Missing-Meta", "X-Amz-Mp-Parts-Count",
		"X-Amz-Object-Lock-Legal-Hold", "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Size", "X-Amz-Restore",
		"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled",
		"X-Amz-Storage-Class", "X-Amz-Tagging-Count", "X-Amz-Transition-Default-Minimum-Object-Size", "X-Amz-Version-Id",
	} {
		allowed[name] = true
	}
	return allowed
}()

// metadata is how the headers begin that are the user's own.
const metadata = "X-Amz-Meta-"

func answers(header string) bool {
	return answerHeaders[header] || isCORS(header) || strings.HasPrefix(header, metadata) || strings.HasPrefix(header, "X-Amz-Checksum-")
}

var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// relay passes a successful answer on and returns the number of body bytes. An answer that breaks off in the middle must
// not look complete, so the client's connection is then broken as well.
func (g *Gateway) relay(w http.ResponseWriter, c *call, resp *http.Response) (int64, error) {
	header := w.Header()
	for name, values := range resp.Header {
		switch {
		case strings.HasPrefix(name, metadata):
			header[strings.ToLower(name)] = values // as S3 writes it: boto3 gives the name as it came
		case answers(name):
			header[name] = values
		}
	}
	if c.op.name == "CreateBucket" {
		header.Set("Location", "/"+c.bucket)
	}
	w.WriteHeader(resp.StatusCode)
	if c.op.method == http.MethodHead || resp.StatusCode == http.StatusNotModified || resp.StatusCode == http.StatusNoContent {
		return 0, nil
	}
	buffer, _ := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buffer)
	out := &pacedWriter{Writer: w, connection: http.NewResponseController(w), idle: g.config.Idle}
	n, err := io.CopyBuffer(out, resp.Body, buffer[:])
	if err != nil {
		return n, fmt.Errorf("passing the answer on: %w", err)
	}
	return n, nil
}

// ofTheGateway are the upstream's codes that speak of the gateway's own credentials or clock. A client must not read them as its
// own.
var ofTheGateway = map[string]bool{
	"AuthorizationHeaderMalformed": true, "ExpiredToken": true, "InvalidAccessKeyId": true, "InvalidToken": true,
	"RequestTimeTooSkewed": true, "SignatureDoesNotMatch": true,
}

// refusalOf reads an upstream's answer that is no success. Its code, status and message are passed on; resource, request
// id and host become ours.
func refusalOf(c *call, resp *http.Response) error {
	var body struct{ Code, Message string }
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	parsed := err == nil && xml.Unmarshal(text, &body) == nil && body.Code != ""
	switch {
	case resp.StatusCode < 400 || resp.StatusCode == http.StatusUnauthorized || ofTheGateway[body.Code]:
		return fmt.Errorf("the upstream refuses the gateway itself: status %d, code %q, %q", resp.StatusCode, body.Code, body.Message)
	case parsed:
		return &refusal{code: code{name: body.Code, status: resp.StatusCode}, message: body.Message, upstream: true}
	case c.op.method == http.MethodHead && resp.StatusCode < 500: // has a status and nothing else
		return &refusal{code: code{name: http.StatusText(resp.StatusCode), status: resp.StatusCode}, upstream: true}
	case resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusGatewayTimeout:
		return fault.New(fault.Unavailable, "The object store is not available. Please try again.")
	}
	return fmt.Errorf("the upstream answered status %d without an S3 error", resp.StatusCode)
}
