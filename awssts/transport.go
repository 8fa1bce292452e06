package awssts

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

const (
	maxAnswer     = 64 << 10 // bytes; STS's are under 10,000
	answerTimeout = 5 * time.Second
	connections   = 64
)

// newHTTP makes the client of STS from the one that the SDK was configured with, whose CAs and proxy it keeps. It follows
// no redirect, which would carry the external id and the answer to where nobody configured them to go.
func newHTTP(configured aws.HTTPClient) *http.Client {
	from, ok := configured.(*awshttp.BuildableClient)
	if !ok {
		from = awshttp.NewBuildableClient()
	}
	t := from.GetTransport()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = connections, connections, connections
	t.DisableCompression = true // the bound is for what is read here
	t.ResponseHeaderTimeout, t.TLSHandshakeTimeout = answerTimeout, answerTimeout
	return &http.Client{
		Transport:     guard{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       2 * answerTimeout,
	}
}

// guard lets no request leave in the clear, wherever its address came from, and bounds the answers.
type guard struct{ next http.RoundTripper }

var (
	errInsecure = errors.New("an STS that is not on loopback is asked over https alone")
	errRedirect = errors.New("STS answers with a redirect, which is not followed")
	errTooLong  = errors.New("STS's answer is longer than any of STS's")
)

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLoopback(r.URL.Hostname()) {
		return nil, errInsecure
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		return nil, errors.Join(errRedirect, answer.Body.Close())
	}
	answer.Body = &bounded{answer.Body, maxAnswer}
	return answer, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// bounded is a body that fails where it is too long; cut short it could still be read as an answer.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}
