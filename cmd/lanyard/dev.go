package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/directory"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/gateway"
)

func newDev() *cobra.Command {
	var v devVerb
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process on loopback, with practice clusters and an embedded S3 store",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelWarn // the walk-through is what a newcomer should see
			if v.verbose {
				level = slog.LevelInfo
			}
			v.cmd, v.log = cmd, newLogger(level)
			return unlessStopped(cmd.Context(), v.run(cmd.Context()))
		},
	}
	f := cmd.Flags()
	dirFlag(cmd)
	f.StringVar(&v.listen, "listen", "127.0.0.1:8780", "address of all APIs; loopback only")
	f.StringVar(&v.agentListen, "agent-listen", "127.0.0.1:8723", "address of the agents; loopback only")
	f.StringVar(&v.debugListen, "debug-listen", "", "address of metrics and profiles; loopback only; empty: none")
	f.BoolVar(&v.empty, "empty", false, "leave out the walk-through and what it needs")
	f.BoolVarP(&v.verbose, "verbose", "v", false, "log each request")
	return cmd
}

// devVerb is a run of `lanyard dev`.
type devVerb struct {
	listen, agentListen, debugListen string
	empty, verbose                   bool

	cmd *cobra.Command
	log *slog.Logger
	dir dev.Dir
}

// run starts in this order: the folder, which a second process is refused; the addresses; the control plane; the object
// store; the doors and the agents. It stops in the reverse order.
func (v *devVerb) run(ctx context.Context) (err error) {
	if v.dir, err = dev.OpenDir(v.cmd.Flag("dir").Value.String()); err != nil {
		return err
	}
	master, err := readOrMakeMasterKey(v.dir.MasterKey(), v.dir.State())
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	p, err := openPlane(ctx, planeConfig{
		State: v.dir.State(), Audit: v.dir.Audit(), MasterKey: master, Region: dev.Region, Account: dev.Account, Log: v.log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	doors, agents, err := v.listeners()
	if err != nil {
		return err
	}
	if err := v.administrator(ctx, p); err != nil {
		return errors.Join(err, doors.Close(), agents.Close())
	}
	objects, err := dev.StartS3(ctx, v.dir.Objects())
	if err != nil {
		return errors.Join(err, doors.Close(), agents.Close())
	}
	defer func() { err = errors.Join(err, objects.Close()) }()
	s3, err := gateway.New(gateway.Config{
		Account: dev.Account, Region: dev.Region, Access: p.access, Audit: p.audit, Principals: p.rates,
		Upstream: objects.Upstream, Logger: v.log,
	})
	if err != nil {
		return errors.Join(err, doors.Close(), agents.Close())
	}
	return v.serve(ctx, p, s3, doors, agents, metrics)
}

// serve answers until a signal, the end of a listener or the failure of a task.
func (v *devVerb) serve(ctx context.Context, p *plane, s3 *gateway.Gateway, doors, agents net.Listener, metrics *prometheus.Registry) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	at := dev.Addresses{Endpoint: "http://" + doors.Addr().String(), Agent: "http://" + agents.Addr().String(), PID: os.Getpid()}
	practice := &dev.Agents{Dir: v.dir, Endpoint: at.Endpoint, Log: v.log}
	var running sync.WaitGroup
	start := func(run func() error) {
		running.Go(func() {
			if err := run(); err != nil {
				cancel(err)
			}
		})
	}
	start(func() error { return serve(ctx, doors, p.frame("s3", s3.Door()), v.log) })
	start(func() error { return practice.Run(ctx) })
	start(func() error { return serve(ctx, agents, practice, v.log) })
	start(func() error { return v.debug(ctx, metrics) })
	start(func() error {
		select {
		case err := <-p.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	err := v.ready(ctx, at)
	if err == nil {
		<-ctx.Done()
	}
	cancel(err)
	running.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return errors.Join(err, v.dir.ClearAddresses())
}

// ready tells other commands where this process is, and does the first start where it is not done.
func (v *devVerb) ready(ctx context.Context, at dev.Addresses) error {
	if err := v.dir.PutAddresses(at); err != nil {
		return err
	}
	c, err := devClient(string(v.dir))
	if err != nil {
		return err
	}
	first := !v.dir.Started()
	if first {
		if err := createPractice(v.cmd, v.dir, c, dev.First); err != nil {
			return err
		}
	}
	if err := printf(v.cmd, "lanyard dev is ready: %s, agents at %s, state in %s\n", at.Endpoint, at.Agent, v.dir); err != nil || !first {
		return err
	}
	if !v.empty {
		if err := dev.Prepare(ctx, c.call); err != nil {
			return err
		}
		if err := dev.Walk(ctx, v.dir, v.cmd.OutOrStdout()); err != nil {
			return err
		}
		if err := v.next(); err != nil {
			return err
		}
	}
	return v.dir.PutStarted()
}

// next prints what to try. The command is named as it was called, and a folder that is not the default is named too.
func (v *devVerb) next() error {
	self, dir := os.Args[0], ""
	if v.cmd.Flag("dir").Changed {
		dir = " --dir " + shellQuote(string(v.dir))
	}
	return printf(v.cmd, `
try next, in a second terminal:
  eval "$(%[1]s env%[2]s)"
  aws eks list-pod-identity-associations --cluster-name dev
  %[1]s exec%[2]s --namespace default --service-account ec2-restart-sa -- aws s3 ls
`, self, dir)
}

// administrator makes the first account, or a new key for its administrator when a first start was cut short before the
// key was kept.
func (v *devVerb) administrator(ctx context.Context, p *plane) error {
	if _, err := v.dir.Administrator(); err == nil || !fault.Is(err, fault.NotFound) {
		return err
	}
	accounts, err := p.directory.Accounts()
	if err != nil {
		return err
	}
	var key *directory.AccessKey
	if len(accounts) == 0 {
		_, key, err = p.directory.CreateAccount(ctx, directory.NewAccount{ID: dev.Account, Name: "dev"})
	} else {
		key, err = p.directory.RecoverAdministrator(ctx, dev.Account)
	}
	if err != nil {
		return fmt.Errorf("making the administrator: %w", err)
	}
	return v.dir.PutAdministrator(dev.Administrator{
		Account: key.Account, Region: dev.Region, AccessKeyID: key.ID, SecretAccessKey: string(key.Secret),
	})
}

func (v *devVerb) listeners() (doors, agents net.Listener, err error) {
	if doors, err = listenLoopback("--listen", v.listen); err != nil {
		return nil, nil, err
	}
	if agents, err = listenLoopback("--agent-listen", v.agentListen); err != nil {
		return nil, nil, errors.Join(err, doors.Close())
	}
	return doors, agents, nil
}

func (v *devVerb) debug(ctx context.Context, metrics *prometheus.Registry) error {
	if v.debugListen == "" {
		return nil
	}
	l, err := listenLoopback("--debug-listen", v.debugListen)
	if err != nil {
		return err
	}
	return serve(ctx, l, debugHandler(metrics), v.log)
}
