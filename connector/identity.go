package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

const (
	patience = 2 * time.Second  // how long after an attempt STS is left alone
	spent    = 30 * time.Second // a session with less than this left is not used any more
)

// identity is the connector's own session, got for its service-account token by STS's AssumeRoleWithWebIdentity
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html).
type identity struct {
	assume   func(context.Context, stscreds.IdentityTokenRetriever) (aws.Credentials, error)
	file     string
	fallback func(context.Context) (string, error)
	now      func() time.Time

	turn chan struct{} // one attempt at a time; the others wait for its outcome

	mu   sync.Mutex
	self aws.Credentials
	next time.Time // the earliest next attempt
	err  error     // of the last attempt
}

func newIdentity(u Upstream, client *http.Client, fallback func(context.Context) (string, error)) *identity {
	// One attempt: whoever waits has a deadline, and whoever renews comes again.
	service := sts.New(sts.Options{
		Region: u.Region, BaseEndpoint: aws.String(u.STSEndpoint), HTTPClient: client, Credentials: aws.AnonymousCredentials{},
		Retryer: aws.NopRetryer{},
	})
	return &identity{
		file: u.TokenFile, fallback: fallback, now: time.Now, turn: make(chan struct{}, 1),
		assume: func(ctx context.Context, token stscreds.IdentityTokenRetriever) (aws.Credentials, error) {
			provider := stscreds.NewWebIdentityRoleProvider(service, u.RoleARN, token, func(o *stscreds.WebIdentityRoleOptions) {
				o.RoleSessionName = sessionName(u.Instance)
			})
			self, err := provider.Retrieve(ctx)
			if answer := smithy.APIError(nil); errors.As(err, &answer) {
				err = answer // without the request's id, by which the same refusal would be told again and again
			}
			return self, err
		},
	}
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
	return i.attempt(ctx)
}

func (i *identity) current() (aws.Credentials, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.self, i.now().Add(spent).Before(i.self.Expires)
}

func (i *identity) lastFailure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now().Before(i.next) {
		return i.err
	}
	return nil
}

// discard gives up a session that the server does not accept. It reports false when that was done a moment ago: a new
// session does not help then.
func (i *identity) discard(accessKeyID string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.self.AccessKeyID != accessKeyID {
		return true // another call has done it
	}
	if i.now().Before(i.next) {
		return false
	}
	i.self = aws.Credentials{}
	return true
}

// keep renews the session at two thirds of its life, while the old one still serves, until ctx is done. A failure is
// told while the old one serves: after that, who asks for a session hears of it.
func (i *identity) keep(ctx context.Context, log *slog.Logger) {
	for told := false; ; {
		self, _ := i.current()
		wait := patience + rand.N(patience)
		if left := self.Expires.Sub(i.now()); left > spent {
			wait = left/3*2 + rand.N(left/12+1)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		select {
		case i.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		var err error
		if now, _ := i.current(); now.AccessKeyID == self.AccessKeyID { // nobody else did
			_, err = i.attempt(ctx) // kept for who asks next; the old session serves on
		}
		<-i.turn
		switch _, serves := i.current(); {
		case err == nil:
			told = false
		case serves && !told && ctx.Err() == nil:
			told = true
			log.LogAttrs(ctx, slog.LevelWarn, "the connector's session is not renewed", slog.String("reason", err.Error()), slog.Time("expires", self.Expires))
		}
	}
}

// attempt asks STS, with the token that kubelet keeps fresh, and with the fallback when STS does not take that one.
func (i *identity) attempt(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	self, err := i.assume(ctx, tokenFile(i.file))
	if err != nil && i.fallback != nil && isAnswer(err) {
		if token, missing := i.fallback(ctx); missing == nil {
			first := err
			if self, err = i.assume(ctx, tokenText(token)); err != nil {
				err = fmt.Errorf("%w; and with the spare token: %w", first, err)
			}
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next, i.err = i.now().Add(patience+rand.N(patience)), err
	if err != nil {
		i.err = fmt.Errorf("getting the connector's session: %w", err)
		return aws.Credentials{}, i.err
	}
	i.self = self
	return self, nil
}

// isAnswer tells what STS says from what becomes of a request on its way.
func isAnswer(err error) bool {
	var answer smithy.APIError
	return errors.As(err, &answer)
}

// tokenFile is read each time, because kubelet replaces the token.
type tokenFile string

// GetIdentityToken returns the token without the newline that a person's editor may have left.
func (f tokenFile) GetIdentityToken() ([]byte, error) {
	token, err := os.ReadFile(string(f))
	if err != nil {
		return nil, fmt.Errorf("reading the connector's token: %w", err)
	}
	return []byte(strings.TrimSpace(string(token))), nil
}

type tokenText string

// GetIdentityToken returns the token.
func (t tokenText) GetIdentityToken() ([]byte, error) { return []byte(t), nil }

// sessionName makes an instance's name fit RoleSessionName: 2 to 64 letters, digits and _+=,.@-.
func sessionName(instance string) string {
	name := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || strings.ContainsRune("_+=,.@-", r) {
			return r
		}
		return '-'
	}, instance)
	if len(name) < 2 {
		return "lanyard-connector"
	}
	return name[:min(len(name), 64)]
}

// forgive lets the next attempt come at once: what STS refused a moment ago it will not refuse now.
func (i *identity) forgive() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next, i.err = time.Time{}, nil
}
