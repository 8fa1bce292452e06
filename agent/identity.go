package agent

import (
	"context"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openlanyard/lanyard/fault"
)

// patience is how long after an attempt STS is left alone, so that a flood of pods without an answer is none at STS.
const patience = 2 * time.Second

// identity is the agent's own session, got for its service-account token by STS's AssumeRoleWithWebIdentity
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html).
type identity struct {
	url, role, file, name string
	client                *transport
	answers               *atomic.Int64
	wall                  *wall

	turn chan struct{} // one attempt at a time; the others wait for its outcome

	mu    sync.Mutex
	self  aws.Credentials
	ahead time.Time // when to renew in the background
	next  time.Time // the earliest next attempt
	err   error     // of the last attempt
}

// session returns the session as long as it lives, and otherwise gets a new one, once for all who wait.
func (i *identity) session(ctx context.Context) (aws.Credentials, error) {
	if self, ok := i.current(); ok {
		return self, nil
	}
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return aws.Credentials{}, ctx.Err()
	}
	if self, ok := i.current(); ok {
		return self, nil
	}
	if err := i.lastFailure(); err != nil {
		return aws.Credentials{}, err
	}
	if err := i.attempt(ctx); err != nil {
		return aws.Credentials{}, err
	}
	self, _ := i.current()
	return self, nil
}

func (i *identity) now() time.Time { return i.wall.now() }

func (i *identity) current() (aws.Credentials, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.self, i.now().Add(spent).Before(i.self.Expires)
}

func (i *identity) held() bool {
	_, ok := i.current()
	return ok
}

// due reports whether the session should be renewed now: it is missing, or two thirds of it are over.
func (i *identity) due() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	return !now.Before(i.ahead) && !now.Before(i.next)
}

// renew gets a new session while the old one still serves, unless another attempt is or was under way, which is as good.
func (i *identity) renew(ctx context.Context) (renewed bool, err error) {
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	default:
		return false, nil
	}
	if !i.due() { // another attempt has just ended
		return false, nil
	}
	err = i.attempt(ctx)
	return err == nil, err
}

// discard gives up a session that EKS Auth does not accept. It reports false when that was done a moment ago: a new
// session does not help then.
func (i *identity) discard(accessKeyID string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.self.AccessKeyID != accessKeyID {
		return true // another request has done it
	}
	if i.now().Before(i.next) {
		return false
	}
	i.self, i.ahead = aws.Credentials{}, time.Time{}
	return true
}

func (i *identity) lastFailure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now().Before(i.next) {
		return i.err
	}
	return nil
}

// attempt takes a few seconds at most, even for who would wait longer: pods come after.
func (i *identity) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	self, err := i.assume(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	i.next, i.err = now.Add(patience+rand.N(patience)), err
	if err != nil {
		// While the old session serves there is time: a node must not join a crowd at an STS that just came back.
		if left := i.self.Expires.Sub(now); left > 0 {
			i.ahead = now.Add(rand.N(min(time.Minute, left/4) + 1))
		}
		return err
	}
	left := self.Expires.Sub(now)
	i.self, i.ahead = self, now.Add(renewal(left, left))
	return nil
}

// assume makes the one call that is not signed. The token file is read each time, because kubelet replaces the token.
func (i *identity) assume(ctx context.Context) (aws.Credentials, error) {
	token, err := os.ReadFile(i.file)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("reading the agent's token: %w", err)
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {i.role}, "RoleSessionName": {i.name}, "WebIdentityToken": {strings.TrimSpace(string(token))},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, strings.NewReader(form.Encode()))
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("building the request to STS: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header["Idempotency-Key"] = []string{} // not sent: a connection that was just closed is replaced
	status, header, body, err := send(i.client, i.answers, r)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("asking STS: %w", err)
	}
	i.wall.learn(header)
	if status != http.StatusOK {
		return aws.Credentials{}, readSTSError(status, body)
	}
	var wire struct {
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      time.Time
		} `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if xml.Unmarshal(body, &wire) != nil { // the cause could quote the body
		return aws.Credentials{}, fault.New(fault.Unavailable, "the answer of STS cannot be read")
	}
	c := wire.Credentials
	if c.AccessKeyID == "" || c.SecretAccessKey == "" || c.SessionToken == "" {
		return aws.Credentials{}, fault.New(fault.Unavailable, "the answer of STS lacks a part of the credentials")
	}
	c.Expiration = i.wall.local(c.Expiration)
	if now := i.now(); !now.Add(spent).Before(c.Expiration) {
		if err := i.wall.wrong(); err != nil {
			return aws.Credentials{}, err
		}
		return aws.Credentials{}, fault.New(fault.Unavailable, "the session that STS gave ends at %s, and this node's clock says %s: is it right?",
			c.Expiration.UTC().Format(zulu), now.UTC().Format(zulu))
	}
	return aws.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		CanExpire: true, Expires: c.Expiration,
	}, nil
}

func readSTSError(status int, body []byte) error {
	var wire struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(body, &wire) != nil || wire.Code == "" {
		return fault.New(fault.Unavailable, "STS answers with status %d", status)
	}
	return fault.New(fault.Unavailable, "STS answers with status %d, %.80s: %s", status, oneLine(wire.Code), oneLine(wire.Message))
}

// sessionName makes a node's name fit RoleSessionName: 2 to 64 letters, digits and _+=,.@-.
func sessionName(node string) string {
	name := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || strings.ContainsRune("_+=,.@-", r) {
			return r
		}
		return '-'
	}, node)
	if len(name) < 2 {
		return "lanyard-agent"
	}
	return name[:min(len(name), 64)]
}
