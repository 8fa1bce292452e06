package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/access"
	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/cloudtrail"
	"github.com/openlanyard/lanyard/api/eks"
	"github.com/openlanyard/lanyard/api/eksauth"
	"github.com/openlanyard/lanyard/api/iam"
	"github.com/openlanyard/lanyard/api/lanyard"
	"github.com/openlanyard/lanyard/api/sts"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/console"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/keyring"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/oidc"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
	"github.com/openlanyard/lanyard/sigv4"
	"github.com/openlanyard/lanyard/store"
	"github.com/openlanyard/lanyard/trail"
)

// plane is the control plane of one replica: the rooms, put together in the order in which they must start.
type plane struct {
	store     *store.Store
	directory *directory.Directory
	keyring   *keyring.Keyring
	registry  *registry.Registry
	audit     *audit.Log
	index     *trail.Index
	access    *access.Access
	broker    *broker.Broker
	rates     *limit.Rates // of principals, at every door
	addresses *limit.Rates // what one source address may ask
	traces    *traces
	delivery  *trail.Delivery // nil: the audit is brought nowhere

	region  string
	log     *slog.Logger
	metrics prometheus.Registerer
	tasks
}

// planeConfig says where a replica keeps what it keeps.
type planeConfig struct {
	State, Audit string // folders
	MasterKey    store.MasterKey
	Region       string
	MaxStaleness time.Duration  // 0: access's default
	AuditKeep    time.Duration  // how long closed segments of the audit log stay; 0: for good
	Trail        trail.Sink     // where the audit is brought to; nil: nowhere
	TrailEach    time.Duration  // 0: trail's default
	Account      string         // the management account, which the audit's own records are for
	PerAddress   int            // requests a second of one source address, with as many in a burst; 0: perAddress
	PerPrincipal int            // of one principal; 0: perPrincipal
	Issuers      []netip.Prefix // private networks in which OIDC providers may be
	Associations int            // that a cluster may have; 0: as many as at EKS
	STSRate      int            // questions a second to AWS's STS for one account, with twice as many in a burst; 0: 100
	Log          *slog.Logger
	Metrics      prometheus.Registerer
}

// gcPercent lets garbage grow to eight times what lives before it is collected: what lives is the copy of the records,
// small beside what requests leave behind. It divides the collector's part of a request by four. Where the copy is large,
// the limit makes the collector work sooner.
const (
	gcPercent   = 800
	memoryLimit = 2 << 30 // bytes
)

// What one replica lets in. A node's agent asks for all its pods from one address, and a NAT may hide many nodes.
const (
	perAddress   = 5000
	perPrincipal = 2000
	sourcesKept  = 65536
	atOnce       = 256 // operations that run at the same time
	keptForPods  = 128 // of which management calls cannot have these

	connections      = 16384 // open at once; one costs about 40 KB with TLS
	connectionsOfOne = 4096  // of them from one address

	maxAssociations = 40000 // of a cluster: its connector is told them all in one line, which has a bound

	tokensKept = 20000
	keysKept   = 20000
)

func newRates(given, otherwise int) *limit.Rates {
	if given == 0 {
		given = otherwise
	}
	return limit.NewRates(float64(given), given, sourcesKept)
}

// keepFilesPrivate is for libraries that make files and do not ask who may read them. A command that `exec` runs is not to
// have it, so it is no matter of the whole program.
func keepFilesPrivate() { syscall.Umask(0o077) }

// tuneCollector leaves alone what the environment says.
func tuneCollector() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(memoryLimit)
	}
}

// openPlane starts a replica, in this order: the state's folder is locked and its etcd started; the rooms declare their
// tables; the copy is read; the audit log is opened. What runs beside the requests is started last.
func openPlane(ctx context.Context, cfg planeConfig) (*plane, error) {
	keepFilesPrivate()
	tuneCollector()
	traces, err := newTraces(ctx)
	if err != nil {
		return nil, fmt.Errorf("setting up traces: %w", err)
	}
	st, err := store.Open(ctx, store.Config{Dir: cfg.State, MasterKey: cfg.MasterKey, Logger: cfg.Log})
	if err != nil {
		return nil, err
	}
	p := &plane{store: st, traces: traces, region: cfg.Region, log: cfg.Log, metrics: cfg.Metrics, tasks: tasks{failed: make(chan error, 8)}}
	p.directory = directory.New(st, nil)
	p.keyring = keyring.New(st, cfg.Log, nil)
	p.registry = registry.New(st, p.directory, registry.Config{
		Region: cfg.Region, Log: cfg.Log, MaxAssociations: cfg.Associations,
		Try: func(ctx context.Context, a *registry.Association) error { return p.broker.Try(ctx, a) }, // which is made below
	})
	if err := st.Start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the state: %w", err), st.Close())
	}
	if err := p.openAudit(ctx, cfg); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	p.access = &access.Access{
		Store: st, Directory: p.directory, Registry: p.registry, Ring: p.keyring.Ring(),
		Keys: sigv4.NewCache(keysKept), Sessions: access.NewSessions(keysKept), MaxStaleness: cfg.MaxStaleness,
	}
	p.broker = &broker.Broker{
		Store: st, Directory: p.directory, Registry: p.registry, Keyring: p.keyring, Verifier: podtoken.NewVerifier(tokensKept),
		OIDC: &oidc.Client{Allowed: cfg.Issuers},
		AWS:  broker.NewAWS(awssts.New(awssts.Config{Metrics: cfg.Metrics}), awssts.Pace{Rate: float64(cfg.STSRate), Burst: 2 * cfg.STSRate}, nil),
	}
	p.addresses, p.rates = newRates(cfg.PerAddress, perAddress), newRates(cfg.PerPrincipal, perPrincipal)
	p.startAudit(p.audit, p.delivery)
	p.start(p.keyring.Run)
	p.start(p.registry.Run)
	p.start(p.keepUsage)
	p.start(p.keepAuditHead)
	p.start(p.index.Run)
	return p, nil
}

// openAudit opens the log where the state says that it stood.
func (p *plane) openAudit(ctx context.Context, cfg planeConfig) error {
	if err := p.registry.EnsureAuditKey(ctx); err != nil {
		return fmt.Errorf("making the key of the audit's digests: %w", err)
	}
	kept, err := p.registry.AuditHead(registry.Server)
	if err != nil {
		return err
	}
	log := audit.Config{
		Logger: cfg.Log, Known: audit.Head(kept), Writer: string(registry.Server), Keep: cfg.AuditKeep,
		Sign: func(_ context.Context, digest []byte) ([]byte, error) { return p.registry.SignDigest(digest) },
	}
	if cfg.Trail != nil {
		p.delivery = &trail.Delivery{
			Dir: cfg.Audit, Sink: cfg.Trail, Writer: log.Writer, Region: cfg.Region, Account: cfg.Account, Each: cfg.TrailEach, Logger: cfg.Log,
		}
	}
	if p.audit, err = openDelivered(cfg.Audit, log, p.delivery, cfg.Metrics); err != nil {
		return err
	}
	if p.index, err = trail.OpenIndex(trail.IndexConfig{
		File: indexFile(cfg.Audit), Read: p.audit.Read, Sink: cfg.Trail, Logger: cfg.Log,
	}); err != nil {
		return errors.Join(err, p.audit.Close())
	}
	return nil
}

// close stops the tasks and then what they write to. No request may be under way any more.
func (p *plane) close() error {
	p.end()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(p.putAuditHead(ctx), p.index.Close(), p.audit.Close(), p.store.Close(), p.traces.close())
}

// frame hangs the doors of the server, and those beside them.
func (p *plane) frame(fallback string, beside ...*api.Door) http.Handler {
	doors := append([]*api.Door{
		eks.New(p.registry), eksauth.New(p.broker), sts.New(p.broker), iam.New(p.directory), cloudtrail.New(p.index),
		lanyard.New(p.store, p.directory, p.keyring, p.registry, p.broker, vocabulary()),
	}, beside...)
	return p.traces.wrap(api.New(api.Config{
		Region: p.region, Access: p.access, Audit: p.audit, Log: p.log, Metrics: p.metrics, Ready: p.store.Ready,
		Addresses:  p.addresses,
		Principals: p.rates,
		Gate:       limit.NewGate(atOnce, keptForPods),
		Console:    console.New(),
	}, fallback, doors...))
}

// keepUsage writes when roles and access keys were last used. It is for people to look at: no request waits for it.
func (p *plane) keepUsage(ctx context.Context) error {
	p.directory.RunUsage(ctx, func(err error) { p.log.Warn("keeping the last uses", "error", err) })
	return nil
}

// keepAuditHead keeps the head of the audit's chain in the state each second that it changed, and once more at the end: an
// audit folder that was cut or replaced no longer leads to it, which the next start records.
func (p *plane) keepAuditHead(ctx context.Context) error {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			if err := p.putAuditHead(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("the head of the audit log was not kept", "error", err)
			}
		}
	}
}

func (p *plane) putAuditHead(ctx context.Context) error {
	head := registry.AuditHead(p.audit.Head())
	if kept, err := p.registry.AuditHead(registry.Server); err != nil || head == kept {
		return err
	}
	return p.registry.PutAuditHead(ctx, registry.Server, head)
}
