package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/gateway"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/store"
	"github.com/openlanyard/lanyard/trail"
)

type gatewayVerb struct {
	control                  controlConfig
	account, name            string
	listen, cert, key        string
	insecure                 bool
	domains                  []string
	upstream, upstreamKey    string
	upstreamRegion           string
	upstreamCA               string
	auditDir, debugListen    string
	trail                    trailFlags
	sink                     trail.Sink // nil without --trail
	staleness                time.Duration
	perAddress, perPrincipal int
}

func newGateway() *cobra.Command {
	var v gatewayVerb
	cmd := &cobra.Command{
		Use:   "gateway --server URL --account ACCOUNT --upstream URL --upstream-key-file FILE --audit-dir DIR",
		Short: "Run a gateway: S3 in, authorized S3 out to the object store of one account",
		Long: "Run a gateway in front of the object store of one account. It follows the server's feed, as a principal of that account that " +
			"is allowed lanyard:WatchFeed, and keeps nothing but its audit log. Key files have mode 0600 and lines AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=….",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return unlessStopped(cmd.Context(), v.run(cmd.Context(), newLogger(slog.LevelInfo)))
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.control.endpoint, "server", os.Getenv("AWS_ENDPOINT_URL"), "URL of the server; https, but on loopback (AWS_ENDPOINT_URL)")
	f.StringVar(&v.control.caFile, "server-ca", os.Getenv("AWS_CA_BUNDLE"), "PEM file of the server's CA; empty: the system's (AWS_CA_BUNDLE)")
	f.StringVar(&v.control.region, "region", firstOf(os.Getenv("AWS_REGION"), "us-east-1"), "the server's region (AWS_REGION)")
	f.StringVar(&v.control.keyFile, "key-file", "", "file of the access key that the gateway calls the server with; or a role by web identity")
	f.StringVar(&v.control.role, "role-arn", os.Getenv("AWS_ROLE_ARN"), "role that the gateway calls the server as (AWS_ROLE_ARN)")
	f.StringVar(&v.control.tokenFile, "web-identity-token-file", os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), "file of the gateway's service-account token (AWS_WEB_IDENTITY_TOKEN_FILE)")
	f.StringVar(&v.account, "account", "", "12 digits of the account that the upstream belongs to (required)")
	f.StringVar(&v.name, "name", hostname(), "name of this gateway, which no other has; the host's unless set")
	f.StringVar(&v.listen, "listen", "127.0.0.1:8444", "address of S3")
	f.StringVar(&v.cert, "tls-cert", "", "certificate file. It is read again when it changes")
	f.StringVar(&v.key, "tls-key", "", "key file of --tls-cert")
	f.BoolVar(&v.insecure, "insecure-http", false, "speak HTTP on an address that is not loopback: only inside a service mesh that encrypts")
	f.StringSliceVar(&v.domains, "domain", nil, "name below which a host names a bucket (virtual-host style); repeatable; none: path style alone")
	f.StringVar(&v.upstream, "upstream", "", "URL of the object store: scheme and host (required)")
	f.StringVar(&v.upstreamKey, "upstream-key-file", "", "file of the object store's access key (required)")
	f.StringVar(&v.upstreamRegion, "upstream-region", "us-east-1", "region that the object store wants in signatures")
	f.StringVar(&v.upstreamCA, "upstream-ca", "", "PEM file of the object store's CA; empty: the system's")
	f.StringVar(&v.auditDir, "audit-dir", "", "folder of the audit log (required)")
	v.trail.add(f)
	f.DurationVar(&v.staleness, "max-staleness", 5*time.Minute, "cut off from the server for longer, the gateway answers nothing but 503")
	f.IntVar(&v.perAddress, "rate-per-address", perAddress, "requests a second of one source address, with as many in a burst")
	f.IntVar(&v.perPrincipal, "rate-per-principal", perPrincipal, "requests a second of one principal, with as many in a burst")
	f.StringVar(&v.debugListen, "debug-listen", "", "address of metrics and profiles; loopback only; empty: none")
	require(cmd, "account", "upstream", "upstream-key-file", "audit-dir")
	return cmd
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// run starts in this order: what was asked is checked; the address is taken, where only /healthz answers yet; the copy is
// read from the server's feed; the server says where the audit log stood, which is opened; S3 is served. It stops in the
// reverse order, and tells the server last where the audit log ended.
func (v *gatewayVerb) run(ctx context.Context, log *slog.Logger) (err error) {
	if !arn.IsAccount(v.account) {
		return fault.New(fault.Invalid, "--account %q: 12 digits are accepted", v.account)
	}
	upstream, err := v.openUpstream()
	if err != nil {
		return err
	}
	if v.sink, err = v.trail.sink(); err != nil {
		return err
	}
	control, err := newControl(v.control)
	if err != nil {
		return err
	}
	listener, err := v.open(log)
	if err != nil {
		return err
	}
	log.Info("serving", "address", listener.Addr().String(), "tls", v.cert != "", "account", v.account, "name", v.name)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	start := func(run func() error) {
		running.Go(func() { cancel(run()) })
	}
	metrics := prometheus.NewRegistry()
	front := &front{}
	start(func() error { return serve(ctx, listener, front, log) })
	start(func() error { return v.debug(ctx, metrics, log) })

	p, err := v.openFollower(ctx, control, log, metrics)
	if err == nil {
		defer func() { err = errors.Join(err, p.close()) }()
		err = p.serve(ctx, v, upstream, front)
	}
	if err == nil {
		log.Info("ready", "revision", p.store.Revision())
		select {
		case err = <-p.failed:
		case <-ctx.Done():
		}
	}
	cancel(err)
	running.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// open listens with TLS, or without it on loopback or when told so.
func (v *gatewayVerb) open(log *slog.Logger) (net.Listener, error) {
	if (v.cert == "") != (v.key == "") {
		return nil, fault.New(fault.Invalid, "--tls-cert and --tls-key go together")
	}
	address, err := net.ResolveTCPAddr("tcp", v.listen)
	if err != nil {
		return nil, fault.New(fault.Invalid, "--listen %q: ADDRESS:PORT is accepted", v.listen)
	}
	switch {
	case v.cert != "":
		cert, err := newCertificate(v.cert, v.key)
		if err != nil {
			return nil, err
		}
		return listenTLS(v.listen, cert)
	case address.IP.IsLoopback():
	case v.insecure:
		log.Warn("INSECURE: --insecure-http speaks plain HTTP beyond loopback: whoever is on the way reads every object and replays every request", "address", v.listen)
	default:
		return nil, fault.New(fault.Invalid, "--listen %q is not a loopback address: give --tls-cert and --tls-key, or --insecure-http inside a mesh that encrypts", v.listen)
	}
	return net.Listen("tcp", address.String())
}

func (v *gatewayVerb) openUpstream() (up gateway.Upstream, err error) {
	if up.URL, err = url.Parse(v.upstream); err != nil {
		return up, fault.New(fault.Invalid, "--upstream %q is no URL", v.upstream)
	}
	if (up.URL.Scheme != "https" && up.URL.Scheme != "http") || up.URL.Host == "" {
		return up, fault.New(fault.Invalid, "--upstream %q: http://HOST or https://HOST is accepted", v.upstream)
	}
	if v.upstreamCA != "" {
		text, err := os.ReadFile(v.upstreamCA)
		if err != nil {
			return up, fmt.Errorf("reading --upstream-ca: %w", err)
		}
		if up.Roots = x509.NewCertPool(); !up.Roots.AppendCertsFromPEM(text) {
			return up, fault.New(fault.Invalid, "--upstream-ca %q holds no certificate in PEM form", v.upstreamCA)
		}
	}
	up.AccessKeyID, up.SecretAccessKey, err = readKeyFile(v.upstreamKey)
	up.Region = v.upstreamRegion
	return up, err
}

func (v *gatewayVerb) debug(ctx context.Context, metrics *prometheus.Registry, log *slog.Logger) error {
	if v.debugListen == "" {
		<-ctx.Done()
		return nil
	}
	l, err := listenLoopback("--debug-listen", v.debugListen)
	if err != nil {
		return err
	}
	return serve(ctx, l, debugHandler(metrics), log)
}

// front is what answers before there is anything to answer with.
type front struct{ ready atomic.Pointer[api.Frame] }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if frame := f.ready.Load(); frame != nil {
		frame.ServeHTTP(w, r)
		return
	}
	if r.Method == http.MethodGet && r.Header.Get("Authorization") == "" && r.URL.EscapedPath() == "/healthz" {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	gateway.WriteError(w, r, rand.Text()[:16], fault.New(fault.Unavailable, "This gateway has not heard from its server yet. Please try again."))
}

// follower is what a gateway has of the control plane: the same rooms, on a copy that follows.
type follower struct {
	store     *store.Store
	directory *directory.Directory
	keyring   *keyring.Keyring
	registry  *registry.Registry
	audit     *audit.Log
	delivery  *trail.Delivery // nil: the audit is brought nowhere

	control  *control
	name     string
	instance string // of this process
	leaving  bool   // the next report is the last
	log      *slog.Logger
	metrics  prometheus.Registerer
	tasks
}

// openFollower returns once the copy and the audit log are there, however long the server is away.
func (v *gatewayVerb) openFollower(ctx context.Context, control *control, log *slog.Logger, metrics prometheus.Registerer) (*follower, error) {
	keepFilesPrivate()
	tuneCollector()
	st, err := store.Open(ctx, store.Config{
		Feed:   control.feed(feedRequest{Account: v.account, Gateway: v.name, Region: v.control.region}),
		Logger: log,
	})
	if err != nil {
		return nil, err
	}
	p := &follower{
		store: st, control: control, name: v.name, instance: rand.Text(), log: log, metrics: metrics, tasks: tasks{failed: make(chan error, 4)},
	}
	p.directory = directory.New(st, nil)
	p.keyring = keyring.New(st, log, nil)
	p.registry = registry.New(st, p.directory, registry.Config{Region: v.control.region, Log: log})
	if err := st.Start(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	known, err := p.firstReport(ctx)
	if err == nil {
		err = p.openAudit(v, known)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lanyard_copy_age_seconds", Help: "Time since this gateway's copy was known to be up to date.",
	}, func() float64 { return st.Age().Seconds() }))
	p.startAudit(p.audit, p.delivery)
	p.start(p.report)
	return p, nil
}

func (p *follower) openAudit(v *gatewayVerb, known audit.Head) (err error) {
	log := audit.Config{
		Logger: p.log, Known: known, Writer: string(registry.GatewayWriter(v.account, v.name)), Keep: v.trail.keep, Sign: p.signDigest,
	}
	if v.sink != nil {
		p.delivery = &trail.Delivery{
			Dir: v.auditDir, Sink: v.sink, Writer: log.Writer, Region: v.control.region, Account: v.account, Each: v.trail.each, Logger: p.log,
		}
	}
	p.audit, err = openDelivered(v.auditDir, log, p.delivery, p.metrics)
	return err
}

// serve puts S3 in front.
func (p *follower) serve(ctx context.Context, v *gatewayVerb, upstream gateway.Upstream, front *front) error {
	rates := newRates(v.perPrincipal, perPrincipal)
	a := &access.Access{
		Store: p.store, Directory: p.directory, Registry: p.registry, Ring: p.keyring.GatewayRing(),
		Sessions: access.NewSessions(keysKept), MaxStaleness: v.staleness, SigningKey: newDayKeys(p.control.signingKey).get,
	}
	g, err := gateway.New(gateway.Config{
		Account: v.account, Region: v.control.region, Access: a, Audit: p.audit, Upstream: upstream, Principals: rates, Logger: p.log,
		Domains: v.domains,
	})
	if err != nil {
		return fault.New(fault.Invalid, "%w", err)
	}
	front.ready.Store(api.New(api.Config{
		Region: v.control.region, Access: a, Audit: p.audit, Log: p.log, Metrics: p.metrics,
		Ready:     func() error { return p.ready(v.staleness) },
		Addresses: newRates(v.perAddress, perAddress), Principals: rates, Gate: limit.NewGate(atOnce, 0),
	}, "s3", g.Door()))
	return nil
}

// ready is what /readyz says. A gateway that is cut off goes on being ready while it may answer: all of an account's gateways
// may lose their server at once, and the objects must not go with it.
func (p *follower) ready(staleness time.Duration) error {
	if age := p.store.Age(); age > staleness {
		return fault.New(fault.Unavailable, "cut off from the server for %v", age.Round(time.Second))
	}
	return p.store.Ready()
}

func (p *follower) close() error {
	p.end()
	closed := p.audit.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	p.leaving = true
	if _, err := p.tell(ctx, p.audit.Head()); err != nil { // the next start will not know of the last second, and that is all
		p.log.Warn("the head of the audit log was not told to the server", "error", err)
	}
	return errors.Join(closed, p.store.Close())
}

const (
	reportEach = time.Second     // while the audit log grows
	reportIdle = 5 * time.Second // else: the server counts on live gateways when keys are changed
)

// report tells the server how far this gateway is, until ctx is done.
func (p *follower) report(ctx context.Context) error {
	tick := time.NewTicker(reportEach)
	defer tick.Stop()
	told, at := p.audit.Head(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		head := p.audit.Head()
		if head == told && time.Since(at) < reportIdle {
			continue
		}
		if _, err := p.tell(ctx, head); err != nil {
			if ctx.Err() == nil {
				p.log.Warn("the server was not told how far this gateway is", "error", err)
			}
			continue
		}
		told, at = head, time.Now()
	}
}

// firstReport asks where the audit log stood, until the server answers.
func (p *follower) firstReport(ctx context.Context) (audit.Head, error) {
	for {
		known, err := p.tell(ctx, audit.Head{})
		if err == nil || ctx.Err() != nil {
			return known, err
		}
		p.log.Warn("the server does not say where this gateway's audit log stood; asking again", "error", err)
		select {
		case <-time.After(reportEach):
		case <-ctx.Done():
			return known, fmt.Errorf("waiting for the server: %w", ctx.Err())
		}
	}
}

func (p *follower) tell(ctx context.Context, head audit.Head) (known audit.Head, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	in := p.position(head)
	in.Leaving = p.leaving
	known, _, err = p.control.report(ctx, p.name, in)
	return known, err
}

func (p *follower) position(head audit.Head) gatewayReport {
	return gatewayReport{Instance: p.instance, Epoch: p.store.Epoch(), Revision: p.store.Revision(), auditHead: headOf(head)}
}

// signDigest has the server sign, which alone has the key.
func (p *follower) signDigest(ctx context.Context, digest []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	in := p.position(audit.Head{})
	in.AuditDigest = string(digest)
	_, signature, err := p.control.report(ctx, p.name, in)
	if err == nil && signature == nil {
		err = errors.New("the server does not sign digests")
	}
	return signature, err
}
