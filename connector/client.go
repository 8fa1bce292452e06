package connector

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

const (
	callDeadline = 10 * time.Second
	maxAnswer    = 64 << 10 // bytes, of a call
	maxMessage   = 300      // bytes of the server's text that are shown
	maxSkew      = 15 * time.Minute
)

// Upstream says where Lanyard is, and who this connector is there.
type Upstream struct {
	Endpoint    string         // base URL of the server; plain HTTP only on loopback
	STSEndpoint string         // base URL of STS; empty: Endpoint
	Region      string         // the region of the signature's scope
	Cluster     string         // the cluster's name in its account
	RoleARN     string         // the connector's own role, arn:aws:iam::ACCOUNT:role/lanyard-connector-ID
	TokenFile   string         // the connector's own service-account token, read again for each use
	CAs         *x509.CertPool // who may vouch for the endpoints; nil: the system's
	Instance    string         // tells replicas apart: the pod's name
}

// check completes what was left out. The error is of kind Invalid and names the member.
func (u *Upstream) check() error {
	for _, need := range []struct{ name, value string }{
		{"endpoint", u.Endpoint},
		{"region", u.Region},
		{"cluster name", u.Cluster},
		{"role ARN", u.RoleARN},
		{"token file", u.TokenFile},
		{"instance name", u.Instance},
	} {
		if need.value == "" {
			return fault.New(fault.Invalid, "the connector needs a %s", need.name)
		}
	}
	if !arn.IsClusterName(u.Cluster) {
		return fault.New(fault.Invalid, "cluster name %q: 1 to 100 letters, digits, - and _ are accepted, the first a letter or a digit", u.Cluster)
	}
	if _, err := u.agentRole(); err != nil {
		return err
	}
	if u.STSEndpoint == "" {
		u.STSEndpoint = u.Endpoint
	}
	for _, endpoint := range []*string{&u.Endpoint, &u.STSEndpoint} {
		if err := checkEndpoint(endpoint); err != nil {
			return err
		}
	}
	return nil
}

// agentRole is the role of the same cluster's agents: the server made both, and their names differ in this alone.
func (u *Upstream) agentRole() (arn.ARN, error) {
	role, err := arn.Parse(u.RoleARN)
	if err == nil {
		if id, ok := strings.CutPrefix(role.Resource, "role/lanyard-connector-"); ok && role.Service == "iam" && clusterID.MatchString(id) {
			role.Resource = "role/lanyard-agent-" + id
			return role, nil
		}
	}
	return arn.ARN{}, fault.New(fault.Invalid, "role ARN %q: arn:aws:iam::ACCOUNT:role/lanyard-connector-ID is accepted, with the cluster's id", u.RoleARN)
}

// checkEndpoint cuts a trailing slash. Plain HTTP beyond loopback is refused: who reads it has the connector's session.
func checkEndpoint(endpoint *string) error {
	u, err := url.Parse(*endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fault.New(fault.Invalid, "endpoint %q: https://HOST[:PORT] is accepted", *endpoint)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !net.ParseIP(u.Hostname()).IsLoopback()) {
		return fault.New(fault.Invalid, "endpoint %q: https is accepted, and http on a loopback address only", *endpoint)
	}
	*endpoint = strings.TrimRight(*endpoint, "/")
	return nil
}

// Client makes calls of Lanyard's own API as the connector of one cluster.
type Client struct {
	Upstream
	http     *http.Client
	signer   *v4.Signer
	identity *identity
	now      func() time.Time
}

// NewClient checks where Lanyard is. Nothing goes over the network before the first call. fallback returns another token of
// the connector's own for when the server does not take the first; nil: there is none.
func NewClient(u Upstream, fallback func(context.Context) (string, error)) (*Client, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	c := &Client{Upstream: u, http: newHTTPClient(u.CAs), signer: v4.NewSigner(), now: time.Now}
	c.identity = newIdentity(u, c.http, fallback)
	return c, nil
}

// newHTTPClient follows no redirect: it would carry the connector's token to where nobody configured it to go.
func newHTTPClient(cas *x509.CertPool) *http.Client {
	dialer := &net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dialer.DialContext,
			TLSClientConfig:       &tls.Config{RootCAs: cas, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   3 * time.Second,
			ResponseHeaderTimeout: callDeadline,
			MaxIdleConnsPerHost:   4,
			IdleConnTimeout:       90 * time.Second,
			DisableCompression:    true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Refusal is an answer of the server that is not a success.
type Refusal struct {
	Status        int
	Code, Message string

	skewed bool // the clocks are further apart than any signature survives
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the server answers with status %d, %s: %s", r.Status, r.Code, r.Message)
}

// final reports whether the same request would be refused again.
func (r *Refusal) final() bool {
	return r.Status >= 400 && r.Status < 500 && r.Status != http.StatusTooManyRequests && !r.identity()
}

// identity reports whether the connector's session is what was refused.
func (r *Refusal) identity() bool {
	return r.Code == "ExpiredTokenException" || r.Code == "UnrecognizedClientException"
}

// path is below the connector's own cluster: it asks about no other.
func (c *Client) path(of string) string { return "/lanyard/v1/clusters/" + c.Cluster + "/" + of }

// call makes one call, and once more with a new session when the old one was refused. Both bodies are JSON; out may be nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	response, err := c.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	return read(response, out)
}

// open makes a call and returns its answer, which is a success and still to be read.
func (c *Client) open(ctx context.Context, method, path string, in any) (*http.Response, error) {
	for again := true; ; again = false {
		self, err := c.identity.session(ctx)
		if err != nil {
			return nil, err
		}
		response, err := c.send(ctx, self, method, path, in)
		refusal, refused := err.(*Refusal)
		if !refused || !refusal.identity() || !again || !c.identity.discard(self.AccessKeyID) {
			return response, err
		}
	}
}

// send signs a request with the credentials and returns a success, or a *Refusal.
func (c *Client) send(ctx context.Context, self aws.Credentials, method, path string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, c.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	digest := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, self, r, hex.EncodeToString(digest[:]), "lanyard", c.Region, c.now()); err != nil {
		return nil, fmt.Errorf("signing the request: %w", err)
	}
	r.Header["Idempotency-Key"] = []string{} // not sent: a connection that was just closed is replaced
	response, err := c.http.Do(r)
	if err != nil {
		return nil, fault.Hide(fault.Unavailable, err, "the server cannot be reached")
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close() // read; nothing to lose
	if err != nil {
		return nil, err
	}
	refusal := readRefusal(response, text)
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		refusal.skewed = c.now().Sub(date).Abs() > maxSkew
	}
	return nil, refusal
}

func readRefusal(response *http.Response, body []byte) *Refusal {
	var wire struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(body, &wire) // without a message the status has to do
	code, _, _ := strings.Cut(response.Header.Get("X-Amzn-ErrorType"), ":")
	return &Refusal{Status: response.StatusCode, Code: oneLine(code[strings.LastIndexByte(code, '#')+1:]), Message: oneLine(wire.Message)}
}

func read(response *http.Response, out any) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fault.New(fault.Unavailable, "the server's answer cannot be read")
	}
	return nil
}

// oneLine cuts a text to what fits on a line. Nothing in it can forge a second log line.
func oneLine(s string) string { return printable(s, maxMessage) }

// printable cuts a text to a length in bytes, and makes spaces of what is no letter, mark, digit, sign or space: beside
// control characters those that are not seen or turn the direction of what follows.
func printable(s string, most int) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), most)], ""))
}
