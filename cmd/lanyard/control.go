package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

// controlConfig says where a gateway's server is, and as whom the gateway calls it.
type controlConfig struct {
	endpoint, caFile, region string
	keyFile                  string
	role, tokenFile          string
}

// control is a gateway's way to its server.
type control struct {
	controlConfig
	calls   *http.Client
	streams *http.Client // without a time that an answer may take

	mu      sync.Mutex
	self    identity
	renewed time.Time
}

// identity is a key that signs. One without expiry is a long-term key.
type identity struct {
	keyID, secret, token string
	expires              time.Time
}

func newControl(cfg controlConfig) (*control, error) {
	u, err := url.Parse(cfg.endpoint)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return nil, fault.New(fault.Invalid, "--server %q: https://HOST is accepted", cfg.endpoint)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !net.ParseIP(u.Hostname()).IsLoopback()) {
		return nil, fault.New(fault.Invalid, "--server %q: the feed holds keys, so https is accepted, and http on a loopback address alone", cfg.endpoint)
	}
	cfg.endpoint = strings.TrimSuffix(cfg.endpoint, "/")
	c := &control{controlConfig: cfg}
	switch {
	case cfg.keyFile != "":
		if c.self.keyID, c.self.secret, err = readKeyFile(cfg.keyFile); err != nil {
			return nil, err
		}
	case cfg.role == "" || cfg.tokenFile == "":
		return nil, fault.New(fault.Invalid, "the gateway needs --key-file, or --role-arn and --web-identity-token-file")
	}
	trusting := &client{}
	if err := trusting.trust(cfg.caFile); err != nil {
		return nil, err
	}
	c.calls = trusting.http
	c.streams = trusting.unhurried()
	return c, nil
}

var keyLine = regexp.MustCompile(`(?m)^(?:export )?(AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY)=(?:'([^'\n]*)'|"([^"\n]*)"|(\S*))[ \t]*$`)

// readKeyFile reads an access key from lines for a shell or for systemd: NAME=VALUE. Others may not read the file.
func readKeyFile(path string) (id, secret string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", "", err
	}
	if !isPrivate(info) {
		return "", "", fault.New(fault.Invalid, "%s has mode %04o: others may not read it (0600)", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	for _, found := range keyLine.FindAllStringSubmatch(string(text), -1) {
		value := found[2] + found[3] + found[4]
		if found[1] == "AWS_ACCESS_KEY_ID" {
			id = value
		} else {
			secret = value
		}
	}
	if id == "" || secret == "" {
		return "", "", fault.New(fault.Invalid, "%s: the lines AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… are accepted", path)
	}
	return id, secret, nil
}

// who returns who the gateway is. A session is renewed when two thirds of it are over, and serves to its end while STS is away.
func (c *control) who(ctx context.Context) (identity, error) {
	if c.keyFile != "" {
		return c.self, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.renewed.Add(c.self.expires.Sub(c.renewed) * 2 / 3)) {
		return c.self, nil
	}
	fresh, err := c.assume(ctx)
	if err != nil && now.Add(time.Minute).Before(c.self.expires) {
		return c.self, nil
	}
	if err == nil {
		c.self, c.renewed = fresh, now
	}
	return fresh, err
}

// forget gives up a session that the server did not accept.
func (c *control) forget(was identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was.token != "" && c.self == was {
		c.self, c.renewed = identity{}, time.Time{}
	}
}

// assume makes the one call that is not signed. The token file is read each time: kubelet replaces the token.
func (c *control) assume(ctx context.Context) (self identity, err error) {
	token, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return self, fmt.Errorf("reading the gateway's token: %w", err)
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {c.role}, "RoleSessionName": {"lanyard-gateway"}, "WebIdentityToken": {strings.TrimSpace(string(token))},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", strings.NewReader(form.Encode()))
	if err != nil {
		return self, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	body, err := finish(c.calls.Do(r))
	if err != nil {
		return self, fmt.Errorf("assuming %s: %w", c.role, err)
	}
	var wire struct {
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      time.Time
		} `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	}
	if xml.Unmarshal(body, &wire) != nil || wire.Credentials.SessionToken == "" { // the cause could quote the body
		return self, errors.New("the answer of STS cannot be read")
	}
	got := wire.Credentials
	return identity{got.AccessKeyID, got.SecretAccessKey, got.SessionToken, got.Expiration}, nil
}

// send makes a signed call; its answer is of any status.
func (c *control) send(ctx context.Context, through *http.Client, method, path string, in any) (*http.Response, error) {
	self, err := c.who(ctx)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	sigv4.Sign(r, self.keyID, self.secret, self.token, c.region, "lanyard", hex.EncodeToString(sum[:]), time.Now())
	response, err := through.Do(r)
	if err == nil {
		switch response.Header.Get("X-Amzn-ErrorType") {
		case "ExpiredTokenException", "UnrecognizedClientException":
			c.forget(self)
		}
	}
	return response, err
}

func (c *control) call(ctx context.Context, method, path string, in, out any) error {
	body, err := finish(c.send(ctx, c.calls, method, path, in))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// finish reads an answer whole; one that is no success is a *dev.Answer.
func finish(response *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	_ = response.Body.Close() // read; nothing to lose
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, answer(response.StatusCode, body)
	}
	return body, nil
}

type feedRequest struct {
	Account string `json:"account"`
	Gateway string `json:"gateway"`
	Region  string `json:"region"`

	Epoch    string `json:"epoch,omitempty"`
	Revision int64  `json:"revision,omitempty"`
}

// feed returns what opens the gateway's feed.
func (c *control) feed(in feedRequest) func(context.Context, store.Position) (io.ReadCloser, error) {
	return func(ctx context.Context, from store.Position) (io.ReadCloser, error) {
		in.Epoch, in.Revision = from.Epoch, from.Revision
		response, err := c.send(ctx, c.streams, http.MethodPost, "/lanyard/v1/feed", in)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			_, err := finish(response, nil)
			return nil, err
		}
		return response.Body, nil
	}
}

type auditHead struct {
	Seq  int64  `json:"auditSeq"`
	Hash string `json:"auditHash"`
}

func headOf(h audit.Head) auditHead {
	if h == (audit.Head{}) {
		return auditHead{}
	}
	return auditHead{h.Seq, hex.EncodeToString(h.Hash[:])}
}

type gatewayReport struct {
	Instance    string `json:"instance"`
	Leaving     bool   `json:"leaving,omitempty"`
	Epoch       string `json:"epoch"`
	Revision    int64  `json:"revision"`
	AuditDigest string `json:"auditDigest,omitempty"` // to be signed
	auditHead
}

// report tells how far the gateway is, and returns the audit head that the server had, and the signature of the digest.
func (c *control) report(ctx context.Context, name string, in gatewayReport) (known audit.Head, signature []byte, err error) {
	var out struct {
		auditHead
		Signature []byte `json:"auditSignature"`
	}
	if err := c.call(ctx, http.MethodPut, "/lanyard/v1/gateways/"+url.PathEscape(name), in, &out); err != nil {
		return known, nil, err
	}
	raw, err := hex.DecodeString(out.Hash)
	if err != nil || len(raw) != len(known.Hash) {
		return known, nil, errors.New("the server's answer has no audit head")
	}
	known.Seq = out.Seq
	copy(known.Hash[:], raw)
	return known, out.Signature, nil
}

// signingKey asks for the day's key of a long-term key.
func (c *control) signingKey(ctx context.Context, keyID, date, region string) (key sigv4.Key, err error) {
	var out struct {
		SigningKey string `json:"signingKey"`
	}
	in := map[string]string{"accessKeyId": keyID, "date": date, "region": region}
	err = c.call(ctx, http.MethodPost, "/lanyard/v1/signing-keys", in, &out)
	var refused *dev.Answer
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return key, fault.Hide(fault.UnknownKey, err, "The security token included in the request is invalid.")
	case err != nil:
		return key, fault.Hide(fault.Unavailable, err, "The access key cannot be verified just now. Please try again.")
	}
	raw, err := base64.StdEncoding.DecodeString(out.SigningKey)
	if err != nil || len(raw) != len(key) {
		return key, errors.New("the server's answer is no signing key")
	}
	copy(key[:], raw)
	return key, nil
}
