// Package awssts asks a real STS for the credentials of roles, and spares it while it does
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
//
// It knows no records: who may become which role is decided above. What STS answers is believed only as far as it fits
// the question, since whoever answers in its place would else choose what pods do next.
package awssts

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/fault"
)

// STS asks as one identity: what the SDK's default chain finds for this process, which is the environment, a profile, a web
// identity, a credential process, a container's or an instance's role. The chain is first asked when it is needed.
type STS struct {
	load  func(context.Context) (aws.Config, error)
	now   func() time.Time
	calls *prometheus.HistogramVec

	mu      sync.Mutex
	own     *aws.Config // nil: not loaded
	loaded  time.Time
	doors   map[Place]*door
	longest map[string]shorter // by role
}

// Place is where an STS is: AWS's own of a region, or another endpoint, which is https unless it is on loopback.
type Place struct {
	Region   string
	Endpoint string // "" is AWS's
}

// Config is what may differ from what a program wants.
type Config struct {
	Load func(context.Context) (aws.Config, error) // nil: the SDK's default chain
	Now  func() time.Time                          // nil: time.Now

	Metrics prometheus.Registerer // nil: none
}

// New returns an STS that has asked nobody yet.
func New(cfg Config) *STS {
	s := &STS{load: cfg.Load, now: cfg.Now, calls: newCalls(cfg.Metrics), doors: map[Place]*door{}, longest: map[string]shorter{}}
	if s.load == nil {
		s.load = func(ctx context.Context) (aws.Config, error) {
			return config.LoadDefaultConfig(ctx, config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) {
				o.ExpiryWindow = 5 * time.Minute
			}))
		}
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

const reloadAfter = 30 * time.Second

// door returns the place as it is asked, and as whom: a session, or Lanyard itself.
func (s *STS) door(ctx context.Context, at Place, as *Session) (*door, aws.Credentials, error) {
	d, own, err := s.find(ctx, at)
	if err != nil {
		return nil, aws.Credentials{}, noIdentity(err)
	}
	if as != nil {
		return d, aws.Credentials{AccessKeyID: as.AccessKeyID, SecretAccessKey: as.SecretAccessKey, SessionToken: as.SessionToken}, nil
	}
	self, err := own.Retrieve(ctx)
	if err != nil {
		s.doubt()
		return nil, aws.Credentials{}, noIdentity(err)
	}
	return d, self, nil
}

func (s *STS) find(ctx context.Context, at Place) (*door, aws.CredentialsProvider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil {
		cfg, err := s.load(ctx)
		if err != nil {
			return nil, nil, err
		}
		s.own, s.loaded = &cfg, s.now()
	}
	d := s.doors[at]
	if d == nil {
		var err error
		if d, err = newDoor(ctx, s.own, at); err != nil {
			return nil, nil, err
		}
		s.doors[at] = d
	}
	return d, s.own.Credentials, nil
}

// doubt has the chain asked anew after STS did not accept the identity: its files may have changed since.
func (s *STS) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own != nil && s.now().Sub(s.loaded) > reloadAfter {
		s.own = nil
		clear(s.doors)
	}
}

// Caller is who Lanyard is at AWS.
type Caller struct {
	ARN     string // of a user, or of a role's session
	Account string
}

// Caller asks STS who we are.
func (s *STS) Caller(ctx context.Context, at Place) (Caller, error) {
	door, self, err := s.door(ctx, at, nil)
	if err != nil {
		return Caller{}, err
	}
	var out getCallerIdentityResponse
	if _, err := s.ask(ctx, door, self, newForm("GetCallerIdentity"), &out); err != nil {
		return Caller{}, s.refusal(err, "")
	}
	found := Caller{out.Result.ARN, out.Result.Account}
	if !isPlain(found.ARN, 2048) || !isPlain(found.Account, 12) {
		return Caller{}, unreadable("it does not say who Lanyard is")
	}
	return found, nil
}

// Session is a role that STS let us become. It prints without its secrets.
type Session struct {
	AccessKeyID, SecretAccessKey, SessionToken string

	RoleID    string    // AROA…
	Issued    time.Time // by our clock, not after it was made
	Expires   time.Time // what STS says, or earlier where its clock is not ours
	Packed    int       // percent of what tags and policies may take
	RequestID string    // STS's
}

// LogValue keeps the secrets out of logs.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String keeps the secrets out of formatted text.
func (s Session) String() string { return s.AccessKeyID + " REDACTED" }

// GoString is String, for the verb that ignores it.
func (s Session) GoString() string { return s.String() }

func noIdentity(cause error) error {
	return fault.Hide(fault.Unavailable, cause, "Lanyard has no identity at AWS that works; try again later.")
}
