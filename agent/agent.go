// Package agent is the node's side of Lanyard: it trades a pod's token for credentials at EKS Auth and answers the SDKs'
// container credentials protocol (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
package agent

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/fault"
)

// The addresses of the credentials endpoint on a node: SDKs accept no others over plain HTTP, loopback aside.
const (
	IPv4 = "169.254.170.23"
	IPv6 = "fd00:ec2::23"
)

// Config is what one agent serves: the pods of one cluster on one node.
type Config struct {
	Cluster     string         // the cluster's name in its account
	Region      string         // the region of the signature's scope
	Endpoint    string         // base URL of EKS Auth; plain HTTP only on loopback, as it carries pods' tokens
	STSEndpoint string         // base URL of STS; empty: Endpoint
	RoleARN     string         // the agent's own role
	TokenFile   string         // the agent's own service-account token, read again for each use
	SessionName string         // of the agent's sessions, normally the node's name; empty: lanyard-agent
	CAs         *x509.CertPool // who may vouch for the endpoints; nil: the system's
	Kubernetes  *Kubernetes    // nil: the API server is not asked

	Hosts     []string      // accepted names in the Host header; empty: IPv4 and IPv6
	CacheSize int           // entries; 0: 2000, negative: nothing is cached
	Retention time.Duration // how long an answer is kept before it is renewed, if it lives so long; 0: 3 h, negative: nothing is cached
	QPS       float64       // renewals a second; 0: 3. Exceeded where entries would expire otherwise

	Logger     *slog.Logger          // nil: silent. Neither tokens nor credentials are ever logged
	Registerer prometheus.Registerer // nil: metrics are counted and not shown
	Traces     trace.TracerProvider  // nil: no traces
	Now        func() time.Time      // nil: time.Now
}

// Agent serves credentials. Handler may be mounted on any number of listeners; they share the cache. Run renews what is
// held and must run beside.
type Agent struct {
	hosts     map[string]bool
	retention time.Duration
	qps       float64
	log       *slog.Logger
	now       func() time.Time

	metrics    *metrics
	tracer     trace.Tracer
	upstream   *upstream
	kubernetes *kubernetes // nil: is not asked
	watcher    watcher
	gate       *gate
	junk       junkTokens
	cache      *cache
	changes    changes
	refusals   refusals
	quiet      quiet

	mu      sync.Mutex
	flights map[key]*flight

	credit   float64       // renewals that the pace allows just now
	pause    pause         // of renewals, while EKS Auth has trouble
	renewals chan struct{} // one place for each renewal that may be under way
	work     sync.WaitGroup
}

// New checks the configuration and prepares an agent. Nothing goes over the network before Run or the first request. The
// error is of kind Invalid and names the member.
func New(cfg Config) (*Agent, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	api, err := newKubernetes(cfg.Kubernetes)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	size := cfg.CacheSize
	if cfg.Retention < 0 {
		size = -1
	}
	client, answers, wall := newClient(cfg.CAs), new(atomic.Int64), &wall{now: cfg.Now}
	a := &Agent{
		hosts:     make(map[string]bool, len(cfg.Hosts)),
		retention: cfg.Retention,
		qps:       cfg.QPS,
		log:       cfg.Logger,
		now:       cfg.Now,
		metrics:   m,
		tracer:    cfg.Traces.Tracer("github.com/openlanyard/lanyard/agent"),
		upstream: &upstream{
			url:    cfg.Endpoint + "/clusters/" + cfg.Cluster + "/assume-role-for-pod-identity",
			region: cfg.Region,
			client: client, answers: answers,
			signer: v4.NewSigner(),
			wall:   wall,
			identity: &identity{
				url: cfg.STSEndpoint + "/", role: cfg.RoleARN, file: cfg.TokenFile, name: sessionName(cfg.SessionName),
				client: client, answers: answers, wall: wall, turn: make(chan struct{}, 1),
			},
		},
		watcher:    watcher{url: cfg.Endpoint + "/lanyard/v1/clusters/" + cfg.Cluster + "/invalidations"},
		kubernetes: api,
		gate:       newGate(),
		cache:      newCache(size),
		flights:    map[key]*flight{},
		renewals:   make(chan struct{}, parallelRenewals),
	}
	for _, host := range cfg.Hosts {
		a.hosts[host] = true
	}
	return a, nil
}

// Run gets the agent's identity, renews it and the credentials in use, and follows what the server says has changed, until
// ctx is done. It returns when nothing of
// the agent is under way any more; the listeners should have been shut down by then.
func (a *Agent) Run(ctx context.Context) error {
	a.work.Go(func() { a.watch(ctx) })
	if a.kubernetes != nil && a.kubernetes.Untaint != "" {
		a.work.Go(func() { a.serveNode(ctx) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		a.renewIdentity(ctx)
		a.renewDue(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			a.work.Wait()
			a.upstream.client.CloseIdleConnections()
			return nil
		}
	}
}

// Ready reports whether the agent holds an identity, so that it can answer a pod it has not seen.
func (a *Agent) Ready() error {
	if !a.upstream.identity.held() {
		return fault.New(fault.Unavailable, "the agent has no identity yet")
	}
	return nil
}

func (c *Config) complete() error {
	if !arn.IsClusterName(c.Cluster) {
		return fault.New(fault.Invalid, "cluster name %q: 1 to 100 letters, digits, - and _ are accepted, the first a letter or a digit", c.Cluster)
	}
	for _, need := range []struct{ name, value string }{
		{"region", c.Region}, {"role ARN", c.RoleARN}, {"token file", c.TokenFile}, {"endpoint", c.Endpoint},
	} {
		if need.value == "" {
			return fault.New(fault.Invalid, "the agent needs a %s", need.name)
		}
	}
	if c.STSEndpoint == "" {
		c.STSEndpoint = c.Endpoint
	}
	for _, endpoint := range []*string{&c.Endpoint, &c.STSEndpoint} {
		if err := checkEndpoint(endpoint); err != nil {
			return err
		}
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []string{IPv4, IPv6}
	}
	if c.CacheSize == 0 {
		c.CacheSize = 2000
	}
	if c.Retention == 0 {
		c.Retention = 3 * time.Hour
	}
	if c.QPS <= 0 {
		c.QPS = 3
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Traces == nil {
		c.Traces = noop.NewTracerProvider()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// checkEndpoint cuts a trailing slash. Plain HTTP beyond loopback is refused: who reads it has the pods' tokens.
func checkEndpoint(endpoint *string) error {
	u, err := url.Parse(*endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fault.New(fault.Invalid, "endpoint %q: https://HOST[:PORT] is accepted", *endpoint)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !net.ParseIP(u.Hostname()).IsLoopback()) {
		return fault.New(fault.Invalid, "endpoint %q: https is accepted, and http on a loopback address only", *endpoint)
	}
	for n := len(*endpoint); n > 0 && (*endpoint)[n-1] == '/'; n = len(*endpoint) {
		*endpoint = (*endpoint)[:n-1]
	}
	return nil
}
