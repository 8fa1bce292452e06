package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/fault"
)

type serverVerb struct {
	dir, listen, debugListen string
	cert, key                string
	plain, await             bool
	staleness                time.Duration
	perAddress, perPrincipal int
	issuers                  []string
	stsRate, associations    int
	trail                    trailFlags
}

func newServer() *cobra.Command {
	var v serverVerb
	cmd := &cobra.Command{
		Use:   "server --dir DIR --listen ADDRESS:PORT",
		Short: "Run the control plane over TLS, with its state in a folder",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return unlessStopped(cmd.Context(), v.run(cmd.Context(), newLogger(slog.LevelInfo)))
		},
	}
	f := cmd.Flags()
	f.StringVar(&v.dir, "dir", "", "folder that lanyard init made (required)")
	f.StringVar(&v.listen, "listen", "127.0.0.1:8443", "address of all APIs")
	f.StringVar(&v.cert, "tls-cert", "", "certificate file; empty: the folder's. It is read again when it changes")
	f.StringVar(&v.key, "tls-key", "", "key file; empty: the folder's")
	f.DurationVar(&v.staleness, "max-staleness", 5*time.Minute, "cut off from the state for longer, the server answers nothing but 503")
	f.IntVar(&v.perAddress, "rate-per-address", perAddress, "requests a second of one source address, with as many in a burst")
	f.IntVar(&v.perPrincipal, "rate-per-principal", perPrincipal, "requests a second of one principal, with as many in a burst")
	f.StringSliceVar(&v.issuers, "oidc-allow-private", nil, "networks such as 10.0.0.0/8 in which OIDC providers may be that tell their keys themselves; otherwise only public addresses are asked")
	f.IntVar(&v.stsRate, "sts-rate", 100, "questions a second to AWS's STS for one account with AWS behind it, with twice as many in a burst")
	f.IntVar(&v.associations, "associations-per-cluster", 5000, "associations that a cluster may have, 40000 at most")
	v.trail.add(f)
	f.BoolVar(&v.await, "await-init", false, "wait until lanyard init has made the folder, instead of ending")
	f.BoolVar(&v.plain, "plain-http", false, "speak HTTP; on a loopback address only")
	f.StringVar(&v.debugListen, "debug-listen", "", "address of metrics and profiles; loopback only; empty: none")
	require(cmd, "dir")
	return cmd
}

// run starts the control plane first, so that a second process on the folder is refused before it takes an address.
func (v *serverVerb) run(ctx context.Context, log *slog.Logger) (err error) {
	if v.await {
		if err := awaitInit(ctx, serverDir(v.dir)); err != nil {
			return err
		}
	}
	d, cfg, master, err := openServerDir(v.dir)
	if err != nil {
		return err
	}
	issuers, err := networks("--oidc-allow-private", v.issuers)
	if err != nil {
		return err
	}
	if v.associations < 1 || v.associations > maxAssociations {
		return fault.New(fault.Invalid, "--associations-per-cluster %d: 1 to %d are accepted", v.associations, maxAssociations)
	}
	sink, err := v.trail.sink()
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	p, err := openPlane(ctx, planeConfig{
		State: d.file(stateFolder), Audit: d.file(auditFolder), MasterKey: master, Region: cfg.Region, MaxStaleness: v.staleness,
		PerAddress: v.perAddress, PerPrincipal: v.perPrincipal, Issuers: issuers, STSRate: v.stsRate, Associations: v.associations,
		AuditKeep: v.trail.keep, Trail: sink, TrailEach: v.trail.each, Account: cfg.Account, Log: log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if _, err := p.directory.Account(cfg.Account); err != nil {
		return fmt.Errorf("the state in %s is not the one that `lanyard init` made: %w", d.file(stateFolder), err)
	}
	listener, err := v.open(d)
	if err != nil {
		return err
	}
	log.Info("serving", "address", listener.Addr().String(), "tls", !v.plain, "region", cfg.Region)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	start := func(run func() error) {
		running.Go(func() { cancel(run()) })
	}
	start(func() error { return serve(ctx, listener, p.frame("eks"), log) })
	if v.debugListen != "" {
		debug, err := listenLoopback("--debug-listen", v.debugListen)
		if err != nil {
			cancel(err)
		} else {
			start(func() error { return serve(ctx, debug, debugHandler(metrics), log) })
		}
	}
	select {
	case err := <-p.failed:
		cancel(err)
	case <-ctx.Done():
	}
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// open listens with TLS, or without it on loopback when told so.
func (v *serverVerb) open(d serverDir) (net.Listener, error) {
	if v.plain {
		l, err := listenLoopback("--plain-http with --listen", v.listen)
		return l, err
	}
	cert, err := newCertificate(firstOf(v.cert, d.file(certFile)), firstOf(v.key, d.file(keyFile)))
	if err != nil {
		return nil, err
	}
	if _, err := net.ResolveTCPAddr("tcp", v.listen); err != nil {
		return nil, fault.New(fault.Invalid, "--listen %q: ADDRESS:PORT is accepted", v.listen)
	}
	return listenTLS(v.listen, cert)
}

// networks reads networks in CIDR form.
func networks(flag string, texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return nil, fault.New(fault.Invalid, "%s %q: networks such as 10.0.0.0/8 are accepted, without bits beyond their length", flag, text)
		}
		all = append(all, p)
	}
	return all, nil
}
