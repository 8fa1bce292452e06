package connector

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/openlanyard/lanyard/addon"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/inject"
)

// LeaseName is of the Lease, in the connector's namespace, that the one replica holds which acts.
const LeaseName = "lanyard-connector"

const (
	// The lease: how long a leader that is gone keeps the others waiting, and when one that cannot renew gives up.
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second

	reportEvery = 10 * time.Second
)

// Config is what one replica of a cluster's connector needs.
type Config struct {
	Upstream
	Images
	Activation Activation
	Issuers    []string // of the cluster's tokens, beyond the one that its API server names
	CA         string   // PEM of the server's authority, as agents shall have it; empty: a public one

	AgentRights []string // words of room addon: what add-on values may make the agent use; empty: the least

	Kube      *rest.Config // of the cluster's API server
	Namespace string       // the connector's own
	Service   string       // of the webhook, in that namespace
	Fail      bool         // refuse pods while no connector answers

	// What pods are told of this cluster alone.
	AgentURI     string // where they find the agent; empty: http://169.254.170.23/v1/credentials
	RegionalSTS  bool   // AWS_STS_REGIONAL_ENDPOINTS=regional, unless their service account says otherwise
	TokenSeconds int64  // how long their tokens live; 0: 22 to 24 hours

	Logger     *slog.Logger          // nil: silent. Neither tokens nor credentials are ever logged
	Registerer prometheus.Registerer // nil: metrics are counted and not shown
}

// Connector is one replica. Handler is served with Certificate on the listener that the API server reaches; Run must run
// beside.
type Connector struct {
	Config
	log     *slog.Logger
	metrics *metrics

	client       *Client
	stream       *Stream
	associations *Associations
	webhook      *Webhook
	certificates *Certificates
	registrar    *Registrar
	keys         *keys
	pods         *deletedPods
	memory       *memory
	accounts     *accounts
	questions    *questions
	notes        *notes
	refusals     *notes // apart, since the server says them
	addons       *addons
	elector      *leaderelection.LeaderElector

	leading atomic.Bool
	acting  sync.Mutex    // held while this replica does what one must
	news    chan struct{} // something that the server should hear of at once
}

// New checks the configuration and prepares a connector. Nothing goes over the network before Run. An error of kind Invalid
// names the member.
func New(cfg Config) (*Connector, error) {
	if cfg.Namespace == "" || cfg.Service == "" || cfg.Kube == nil {
		return nil, fault.New(fault.Invalid, "the connector needs its namespace, its Service and an API server")
	}
	rights := make([]addon.Right, len(cfg.AgentRights))
	for i, name := range cfg.AgentRights {
		rights[i] = addon.Right(name)
	}
	if err := errors.Join(cfg.Images.check(), addon.CheckRights(rights)); err != nil {
		return nil, err
	}
	c := &Connector{Config: cfg, log: cfg.Logger, news: make(chan struct{}, 1)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	kube, err := newKube(cfg.Kube)
	if err != nil {
		return nil, err
	}
	spare := newSpare(kube.set, cfg.Namespace)
	if c.client, err = NewClient(cfg.Upstream, spare.token); err != nil {
		return nil, err
	}
	c.associations = NewAssociations(func(ctx context.Context) (Position, error) { return c.stream.Barrier(ctx) },
		func() { c.stream.Reopen() })
	c.stream = newStream(c.client, cfg.Build, c.log, c.metrics, c.apply)
	c.keys = &keys{
		client: c.client, api: kube.set.CoreV1().RESTClient(), issuers: cfg.Issuers, leads: c.leading.Load, spare: spare,
		log: c.log, metrics: c.metrics, recheck: make(chan struct{}, 1), lead: make(chan struct{}, 1),
	}
	c.pods = newDeletedPods(c.client, kube.set.CoreV1().RESTClient(), c.has, c.leading.Load, c.log, c.metrics)
	c.memory = &memory{kube: kube.set, namespace: cfg.Namespace, pods: c.pods, log: c.log}
	c.accounts = newAccounts(kube.metadata)
	c.questions = newQuestions(c.client, c.accounts, c.log)
	c.notes = newNotes(kube.set.EventsV1(), cfg.Instance, c.pods.uid, notesPace(), c.log, c.metrics)
	c.refusals = newNotes(kube.set.EventsV1(), cfg.Instance, c.pods.uid, refusedPace(), c.log, c.metrics)
	c.addons = newAddons(kube.set, applier{kube.dynamic}, &agentSettings{c.client.Upstream, cfg.Images, cfg.CA, rights}, c.log)
	c.certificates = &Certificates{Client: kube.set, Namespace: cfg.Namespace, Service: cfg.Service, Logger: c.log}
	c.registrar = &Registrar{Client: kube.set, Certificates: c.certificates, Fail: cfg.Fail, Logger: c.log}
	if c.webhook, err = NewWebhook(WebhookConfig{
		Associations:   c.associations,
		Local:          inject.Settings{URI: cfg.AgentURI, RegionalSTS: cfg.RegionalSTS, TokenSeconds: cfg.TokenSeconds},
		ServiceAccount: c.accounts.annotations, Event: c.note,
		Logger: c.log, Registerer: cfg.Registerer,
	}); err != nil {
		return nil, err
	}
	return c, c.prepareElection(kube.set)
}

// kube are the clients of one API server, which share its connections and its limits.
type kube struct {
	set      kubernetes.Interface
	metadata metadata.Interface
	dynamic  dynamic.Interface
}

// newKube asks for protobuf where there is: pods are read whole.
func newKube(cfg *rest.Config) (*kube, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 50, 100
	cfg.UserAgent = "lanyard-connector"
	plain := rest.CopyConfig(cfg)
	cfg.ContentConfig.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.ContentConfig.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	set, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(plain)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(plain)
	return &kube{set, meta, dyn}, err
}

func (c *Connector) prepareElection(set kubernetes.Interface) (err error) {
	c.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: LeaseName,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: LeaseName}, Client: set.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: c.Instance},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: c.lead,
			OnStoppedLeading: func() {},
		},
	})
	return err
}

// Handler answers the API server's questions about new pods, /healthz and /readyz.
func (c *Connector) Handler() http.Handler { return c.webhook.Handler() }

// Certificate is the webhook's, for tls.Config.GetCertificate.
func (c *Connector) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.certificates.Certificate(hello)
}

// Ready says what is missing until pods can be served, or nil.
func (c *Connector) Ready() error {
	if !c.associations.Ready() {
		return errNotYet
	}
	_, err := c.certificates.Certificate(nil)
	return err
}

// apply takes a line of the stream. An error makes the stream begin anew.
func (c *Connector) apply(line *Line) error {
	wishes, told, err := readAddons(line.Addons)
	if err != nil {
		return err
	}
	if err := c.associations.Apply(line); err != nil {
		return err
	}
	if told {
		c.addons.wish(wishes)
	}
	if line.RecheckKeys {
		c.keys.ask()
	}
	for i := range line.Refused[:min(len(line.Refused), maxRefused)] {
		c.refusals.refused(&line.Refused[i])
	}
	for _, q := range line.Questions {
		c.questions.ask(q)
	}
	return nil
}

func (c *Connector) has(namespace, serviceAccount string) bool {
	_, ok := c.associations.ID(Identity{namespace, serviceAccount})
	return ok
}

// note tells the people of a pod what the webhook could not know.
func (c *Connector) note(about Pod, message string) {
	c.notes.put(note{Pod: about, reason: "PodIdentityUnknown", action: "Inject", message: message})
}

// Run starts in this order: what pods are served with (certificates, service accounts) and what is noticed of them; the
// election; the way to the server, which may need the cluster to join first; and with it keys, stream and reports. It
// returns when ctx is done and nothing of the connector is under way any more. The lease is given up last, so that another
// replica leads at once.
func (c *Connector) Run(ctx context.Context) error {
	// What the connector itself stands on ends after what leads by it.
	leaving, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var running, electing sync.WaitGroup
	running.Go(func() { _ = c.certificates.Run(ctx) }) // it ends with ctx and has logged everything else
	running.Go(func() { c.accounts.run(ctx) })
	running.Go(func() { c.pods.run(ctx) })
	running.Go(func() { c.notes.run(ctx) })
	running.Go(func() { c.refusals.run(ctx) })
	running.Go(func() { c.client.identity.keep(ctx, c.log) })
	electing.Go(func() { c.elect(leaving) })
	err := c.keys.activate(ctx, c.Activation)
	if err == nil {
		running.Go(func() { c.keys.run(ctx) })
		running.Go(func() { c.stream.Run(ctx, c.associations.Broken) })
		running.Go(func() { c.report(ctx) })
		running.Go(func() { c.questions.run(ctx) })
	}
	<-ctx.Done()
	running.Wait()
	leave()
	electing.Wait()
	c.acting.Lock() // the election does not wait for what it started
	defer c.acting.Unlock()
	c.client.http.CloseIdleConnections()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// elect stands for election again and again until ctx is done.
func (c *Connector) elect(ctx context.Context) {
	for ctx.Err() == nil {
		c.elector.Run(ctx)
		// Leading ended: the election took it, or ctx did.
	}
}

// lead does what one replica must do. The election waits for nobody, but ends ctx when it is lost.
func (c *Connector) lead(ctx context.Context) {
	c.acting.Lock()
	defer c.acting.Unlock()
	if ctx.Err() != nil {
		return // this is late: it was lost already
	}
	c.log.LogAttrs(ctx, slog.LevelInfo, "leading")
	c.leading.Store(true)
	c.metrics.leading.Set(1)
	defer func() {
		c.leading.Store(false)
		c.metrics.leading.Set(0)
	}()
	c.keys.wake()
	c.tell()
	var leading sync.WaitGroup
	leading.Go(func() {
		// A webhook that cannot answer yet would keep pods waiting, or under Fail from being made.
		if c.associations.wait(ctx) == nil {
			_ = c.registrar.Run(ctx) // it ends with ctx and has logged everything else
		}
	})
	leading.Go(func() { c.addons.run(ctx, c.tell) })
	leading.Go(func() {
		if c.associations.wait(ctx) == nil { // before it whose pods matter is not known
			c.memory.run(ctx)
		}
	})
	leading.Wait()
}

// tell has the server hear soon of what has changed.
func (c *Connector) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// connectorReport is what a replica says of itself.
type connectorReport struct {
	Instance string        `json:"instance"`
	Version  string        `json:"version"`
	Leader   bool          `json:"leader"`
	Webhook  webhookState  `json:"webhook"`
	Addons   []addonReport `json:"addons"`
}

type webhookState struct {
	Ready   bool   `json:"ready"`
	Message string `json:"message"` // at most 1,024 bytes
}

func (c *Connector) state() connectorReport {
	r := connectorReport{
		Instance: c.Instance, Version: c.Build, Leader: c.leading.Load(), Webhook: webhookState{Ready: true}, Addons: []addonReport{},
	}
	if err := c.Ready(); err != nil {
		r.Webhook = webhookState{false, cut(err.Error(), 1024)}
	} else if err := c.stream.Broken(); err != nil {
		r.Webhook.Message = cut(err.Error(), 1024)
	}
	if r.Leader {
		r.Addons = c.addons.reports()
	}
	return r
}

// report tells the server where this replica and the add-ons stand, every few seconds and at once when something changes.
func (c *Connector) report(ctx context.Context) {
	again := retry{log: c.log, what: "the server is not told where this connector stands"}
	for ctx.Err() == nil {
		wait := reportEvery - reportEvery/8 + rand.N(reportEvery/4)
		if err := c.client.call(ctx, http.MethodPut, c.client.path("connector"), c.state(), nil); err == nil {
			again.ok()
		} else {
			wait = again.failed(ctx, err)
		}
		select {
		case <-time.After(wait):
			continue
		case <-c.news:
		case <-ctx.Done():
			continue
		}
		select { // several changes are one report
		case <-time.After(shortestPause):
		case <-ctx.Done():
		}
	}
}
