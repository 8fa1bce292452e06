package awssts_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
)

const (
	ours   = "999988887777" // the account of Lanyard's identity
	theirs = "111122223333" // the customer's
	region = "eu-central-1"
)

// aws is an STS: our own door, as a third party would run it. What differs from AWS's is in docs/AWS.md. A proxy that can
// be told to misbehave stands before it.
type amazon struct {
	directory *directory.Directory
	clock     *clock // of the STS
	endpoint  string // of the proxy
	root      *directory.AccessKey

	mu    sync.Mutex
	fault http.HandlerFunc // in place of the STS; nil: none
	calls int
}

// clock is a time that the test moves.
type clock struct {
	mu   sync.Mutex
	past time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.past)
}

func (c *clock) set(past time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past = past
}

func newAmazon(t *testing.T) *amazon {
	t.Helper()
	a := &amazon{clock: &clock{}}
	st, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(t.TempDir(), "state"), MasterKey: store.NewMasterKey()})
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	a.directory = directory.New(st, a.clock.now)
	ring := keyring.New(st, nil, a.clock.now)
	reg := registry.New(st, a.directory, registry.Config{Region: region, Now: a.clock.now})
	must(t, st.Start(t.Context()))
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit"), audit.Config{Now: a.clock.now})
	must(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- log.Run(ctx) }()
	t.Cleanup(func() { stop(); must(t, <-stopped); must(t, log.Close()) })
	door := sts.New(&broker.Broker{
		Store: st, Directory: a.directory, Registry: reg, Keyring: ring, Verifier: podtoken.NewVerifier(16), Now: a.clock.now,
	})
	behind := httptest.NewServer(api.New(api.Config{
		Region: region, Audit: log, Log: slog.New(slog.DiscardHandler), Now: a.clock.now, Ready: st.Ready,
		Access:    &access.Access{Store: st, Directory: a.directory, Registry: reg, Ring: ring.Ring(), Keys: sigv4.NewCache(16), Now: a.clock.now},
		Addresses: limit.NewRates(1e6, 1e6, 64), Principals: limit.NewRates(1e6, 1e6, 64), Gate: limit.NewGate(64, 16),
	}, "sts", door))
	t.Cleanup(behind.Close)
	to, err := url.Parse(behind.URL)
	must(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Date", a.clock.now().UTC().Format(http.TimeFormat))
			return nil
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.calls++
		broken := a.fault
		a.mu.Unlock()
		if broken != nil {
			broken(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	a.endpoint = front.URL
	_, a.root, err = a.directory.CreateAccount(t.Context(), directory.NewAccount{ID: ours, Name: "broker"})
	must(t, err)
	_, _, err = a.directory.CreateAccount(t.Context(), directory.NewAccount{ID: theirs, Name: "customer"})
	must(t, err)
	return a
}

func (a *amazon) place() awssts.Place { return awssts.Place{Region: region, Endpoint: a.endpoint} }

// breaks has the proxy answer instead of the STS; nil mends it.
func (a *amazon) breaks(by http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = by
}

func (a *amazon) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// role makes a role of the customer's and returns its ARN.
func (a *amazon) role(t *testing.T, account, name, trust string, longest time.Duration) arn.ARN {
	t.Helper()
	r, err := a.directory.CreateRole(t.Context(), directory.NewRole{Account: account, Name: name, Trust: trust, MaxSession: longest})
	must(t, err)
	return r.ARN()
}

// as is an STS that asks with an access key.
func as(keyID, secret, token string) *awssts.STS {
	return awssts.New(awssts.Config{Load: func(context.Context) (aws.Config, error) {
		return aws.Config{Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, token)}, nil
	}})
}

func (a *amazon) asLanyard() *awssts.STS { return as(a.root.ID, string(a.root.Secret), "") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
