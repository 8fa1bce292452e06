package agent

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
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/propagation"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

const (
	// deadline is what one question to EKS Auth may take, the identity's renewal and the API server's review included:
	// several SDKs give up after a second and should still hear why.
	deadline = 950 * time.Millisecond

	maxAnswer  = 64 << 10 // bytes
	maxMessage = 300      // bytes of an upstream's text that a pod is shown
)

// upstream is EKS Auth's one operation, spoken as the wire has it: a few lines instead of an SDK and its credential chain.
type upstream struct {
	url      string
	region   string
	client   *transport
	answers  *atomic.Int64 // how many came, from any server
	signer   *v4.Signer
	identity *identity
	wall     *wall
}

// newClient keeps as many idle connections as there can be calls, so that a burst does not churn connections. It is no
// http.Client, which follows redirects: they would carry pods' tokens to where nobody configured them to go.
func newClient(cas *x509.CertPool) *transport {
	dialer := &net.Dialer{Timeout: 500 * time.Millisecond, KeepAlive: 15 * time.Second}
	return newTransport(&http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{RootCAs: cas, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 800 * time.Millisecond,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: 1024 + parallelRenewals,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}, dialer.DialContext)
}

// identityError says that EKS Auth refuses the agent, not the pod.
type identityError struct{ code, message string }

func (e identityError) Error() string {
	return "EKS Auth refuses the agent: " + e.code + ": " + e.message
}

// assume asks for a token's credentials. When EKS Auth refuses the agent's own session, it is renewed and the question is
// asked once more. The errors have the kinds of the table exceptions; whatever is not EKS Auth's word is Unavailable.
func (u *upstream) assume(ctx context.Context, token string) (credentials, error) {
	for again := true; ; again = false {
		self, err := u.identity.session(ctx)
		if err != nil {
			return credentials{}, fault.Hide(fault.Unavailable, err, "the agent has no identity yet: try again")
		}
		c, err := u.call(ctx, self, token)
		refused, isIdentity := err.(identityError)
		if !isIdentity {
			return c, err
		}
		if !again || !u.identity.discard(self.AccessKeyID) {
			return credentials{}, fault.Hide(fault.Unavailable, refused, "EKS Auth does not accept this node's agent: try again")
		}
	}
}

func (u *upstream) call(ctx context.Context, self aws.Credentials, token string) (credentials, error) {
	body := make([]byte, 0, len(token)+len(`{"token":""}`))
	body = append(body, `{"token":"`...)
	body = append(body, token...) // base64url and dots: checkShape has seen it
	body = append(body, `"}`...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url, bytes.NewReader(body))
	if err != nil {
		return credentials{}, fmt.Errorf("building the request: %w", err)
	}
	r.Header["Content-Type"] = jsonType
	digest := sha256.Sum256(body)
	if err := u.signer.SignHTTP(ctx, self, r, hex.EncodeToString(digest[:]), "eks-auth", u.region, u.wall.now()); err != nil {
		return credentials{}, fmt.Errorf("signing the request: %w", err)
	}
	// Asking twice does no harm: an idle connection that the server has just closed is replaced, not reported. Without a
	// value the header is not sent.
	r.Header["Idempotency-Key"] = []string{}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header)) // nothing without a trace
	status, header, answer, err := send(u.client, u.answers, r)
	if err != nil {
		return credentials{}, fault.Hide(fault.Unavailable, err, "EKS Auth cannot be reached: try again")
	}
	u.wall.learn(header)
	if status != http.StatusOK {
		err := readException(status, header.Get("X-Amzn-ErrorType"), answer)
		if _, isIdentity := err.(identityError); isIdentity && u.wall.wrong() != nil {
			err = u.wall.wrong() // another session would not help
		}
		return credentials{}, err
	}
	found, err := readCredentials(answer)
	found.expires = u.wall.local(found.expires)
	return found, err
}

// send reads a bounded answer whole, so that its connection can be used again. After a timeout during which no answer
// came at all the idle connections are closed too: they may be as dead as this one, and each would cost a pod its answer.
func send(client *transport, answers *atomic.Int64, r *http.Request) (status int, header http.Header, body []byte, err error) {
	before := answers.Load()
	response, err := client.RoundTrip(r)
	if err != nil {
		if r.Context().Err() != nil && answers.Load() == before {
			client.CloseIdleConnections()
		}
		return 0, nil, nil, err
	}
	answers.Add(1)
	var read bytes.Buffer
	read.Grow(int(max(0, min(response.ContentLength, maxAnswer))) + bytes.MinRead) // with room to see the end without growing
	_, err = read.ReadFrom(io.LimitReader(response.Body, maxAnswer))
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	return response.StatusCode, response.Header, read.Bytes(), err
}

func readCredentials(body []byte) (credentials, error) {
	if !gjson.ValidBytes(body) {
		return credentials{}, fault.New(fault.Unavailable, "EKS Auth's answer cannot be read: try again")
	}
	answer := gjson.ParseBytes(body)
	session := answer.Get("credentials")
	found := credentials{
		accessKeyID:    session.Get("accessKeyId").Str,
		secret:         session.Get("secretAccessKey").Str,
		token:          session.Get("sessionToken").Str,
		namespace:      answer.Get("subject.namespace").Str,
		serviceAccount: answer.Get("subject.serviceAccount").Str,
		association:    answer.Get("podIdentityAssociation.associationId").Str,
	}
	expires, ok := seconds(session.Raw, "expiration")
	if found.accessKeyID == "" || found.secret == "" || found.token == "" || !ok || expires == 0 {
		return credentials{}, fault.New(fault.Unavailable, "EKS Auth's answer lacks a part of the credentials: try again")
	}
	found.expires = time.Unix(expires, 0)
	found.role, _, _ = strings.Cut(answer.Get("assumedRoleUser.assumeRoleId").Str, ":") // the role's id, a colon, the session's name
	// SDKs do without the account; a role of another partition has none that we can read.
	if role, err := arn.Parse(answer.Get("assumedRoleUser.arn").Str); err == nil {
		found.account = role.Account
	}
	return found, nil
}

// exceptions is EKS Auth's list of errors (its API model, version 2023-11-26).
var exceptions = map[string]fault.Kind{
	"AccessDeniedException":       fault.Denied,
	"ExpiredTokenException":       fault.ExpiredToken,
	"InvalidTokenException":       fault.BadToken,
	"InvalidParameterException":   fault.Invalid,
	"InvalidRequestException":     fault.BadState,
	"ResourceNotFoundException":   fault.NotFound,
	"ThrottlingException":         fault.Throttled,
	"InternalServerException":     fault.Unavailable,
	"ServiceUnavailableException": fault.Unavailable,
}

// readException turns an error answer into one of ours. A status alone proves nothing: a proxy's 404 must not end what is
// held, so an answer without a name is no answer of EKS Auth.
func readException(status int, name string, body []byte) error {
	var wire struct {
		Type         string `json:"__type"`
		Code         string `json:"code"`
		LowerMessage string `json:"message"`
		Message      string `json:"Message"`
	}
	readable := json.Unmarshal(body, &wire) == nil
	name = exceptionName(name, wire.Type, wire.Code)
	message := oneLine(wire.LowerMessage)
	if message == "" {
		message = oneLine(wire.Message)
	}
	kind, known := exceptions[name]
	switch {
	case status == http.StatusTooManyRequests || kind == fault.Throttled:
		return fault.New(fault.Throttled, "EKS Auth is asked too often: try again")
	case status >= http.StatusInternalServerError || status < http.StatusBadRequest || kind == fault.Unavailable || !readable || name == "":
		cause := fmt.Errorf("status %d, %.80q: %s", status, name, message)
		return fault.Hide(fault.Unavailable, cause, "EKS Auth is not available: try again")
	// An expired token of the pod is a 400; a 403 with the same name is about the agent's own session.
	case (status == http.StatusForbidden || status == http.StatusUnauthorized) && kind != fault.Denied, strings.Contains(name, "Signature"):
		return identityError{name, message}
	case !known:
		return fault.New(fault.Invalid, "%.80s: %s", oneLine(name), message)
	}
	return fault.New(kind, "%s", message)
}

// exceptionName takes the first that is not empty, without the namespace before it and the address behind it.
func exceptionName(names ...string) string {
	for _, name := range names {
		if name != "" {
			name, _, _ = strings.Cut(name, ":")
			return name[strings.LastIndexByte(name, '#')+1:]
		}
	}
	return ""
}

// oneLine cuts a text to what fits on a line: SDKs print all of it. Nothing in it can forge a second log line.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxMessage)], "")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
