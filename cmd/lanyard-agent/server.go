package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/openlanyard/lanyard/agent"
)

// drain is how long requests under way may take when the agent stops; the chart gives it 30 s.
const drain = 25 * time.Second

// settings are the flags of `server`, as they were given.
type settings struct {
	cluster, endpoint, stsEndpoint, region, role, tokenFile, caFile, node string

	bindHosts   []string
	port        uint16
	probePort   uint16
	probeSocket string
	metricsHost string
	metricsPort uint16
	retention   time.Duration
	cacheSize   int
	qps         int
	rotate      bool
	reusePort   bool
	skipMissing bool
	verifyPods  bool
	untaint     bool
}

func newServer(logger func(*cobra.Command) (*slog.Logger, error)) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Answer GET " + agent.Path,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd)
			if err != nil {
				return err
			}
			return s.serve(cmd.Context(), log)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&s.cluster, "cluster-name", "c", "", "name of the cluster (required)")
	f.Uint16VarP(&s.port, "port", "p", 80, "port of the credentials endpoint")
	f.StringSliceVarP(&s.bindHosts, "bind-hosts", "b", []string{agent.IPv4, "[" + agent.IPv6 + "]"}, "addresses of the credentials endpoint")
	f.Uint16Var(&s.probePort, "probe-port", 2703, "port for /healthz and /readyz on localhost")
	f.StringVar(&s.probeSocket, "probe-socket", "", "a Unix socket for /healthz and /readyz as well, which no other agent answers: `lanyard-agent probe` asks there")
	f.StringVar(&s.metricsHost, "metrics-address", "0.0.0.0", "address for /metrics, /healthz and /readyz")
	f.Uint16Var(&s.metricsPort, "metrics-port", 2705, "port for /metrics, /healthz and /readyz")
	f.DurationVar(&s.retention, "max-credential-retention-before-renewal", 3*time.Hour, "how long credentials are kept before they are renewed; 0 keeps nothing")
	f.IntVar(&s.cacheSize, "max-cache-size", 2000, "tokens whose credentials are kept; 0 keeps nothing")
	f.IntVar(&s.qps, "max-service-qps", 3, "renewals a second; exceeded where credentials would expire otherwise")
	f.BoolVar(&s.rotate, "rotate-credentials", false, "accepted for AWS's Helm values: this agent's identity is always renewed")
	f.BoolVar(&s.reusePort, "reuse-port", false, "share the addresses with another agent of the same user, so that a new one takes over before the old one stops (Linux)")
	f.BoolVar(&s.skipMissing, "skip-missing-hosts", false, "serve the --bind-hosts that this node has, at least one, instead of all or none")
	f.BoolVar(&s.verifyPods, "verify-pods", false, "ask the API server about each pod's token before EKS Auth is asked (TokenReview; needs the right to create tokenreviews)")
	f.BoolVar(&s.untaint, "remove-startup-taint", false, "free the node --node-name of the taint "+agent.StartupTaint+" once the agent serves (needs the rights to get and patch nodes)")
	f.StringVar(&s.endpoint, "endpoint", firstEnv("AWS_ENDPOINT_URL_EKS_AUTH", "AWS_ENDPOINT_URL"), "base URL of EKS Auth (AWS_ENDPOINT_URL_EKS_AUTH or AWS_ENDPOINT_URL)")
	f.StringVar(&s.stsEndpoint, "sts-endpoint", firstEnv("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"), "base URL of STS (AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL); empty: the endpoint")
	f.StringVar(&s.region, "region", firstEnv("AWS_REGION", "AWS_DEFAULT_REGION"), "region of the signatures (AWS_REGION)")
	f.StringVar(&s.role, "role-arn", os.Getenv("AWS_ROLE_ARN"), "the agent's own role (AWS_ROLE_ARN)")
	f.StringVar(&s.tokenFile, "web-identity-token-file", os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), "the agent's own service-account token (AWS_WEB_IDENTITY_TOKEN_FILE)")
	f.StringVar(&s.caFile, "ca-file", os.Getenv("AWS_CA_BUNDLE"), "PEM file of the CAs of the endpoints; empty: the system's (AWS_CA_BUNDLE)")
	f.StringVar(&s.node, "node-name", firstEnv("NODE_NAME", "MY_NODE_NAME"), "names the agent's sessions (NODE_NAME); empty: the host's name")
	return cmd
}

func firstEnv(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

func (s *settings) config(log *slog.Logger, registerer prometheus.Registerer) (agent.Config, error) {
	cfg := agent.Config{
		Cluster: s.cluster, Region: s.region, Endpoint: s.endpoint, STSEndpoint: s.stsEndpoint,
		RoleARN: s.role, TokenFile: s.tokenFile, SessionName: s.node,
		CacheSize: s.cacheSize, Retention: s.retention, QPS: float64(s.qps),
		Logger: log, Registerer: registerer,
	}
	// AWS's flags say 0 for "none" where the room's zero value is the default.
	if s.cacheSize == 0 {
		cfg.CacheSize = -1
	}
	if s.retention == 0 {
		cfg.Retention = -1
	}
	if s.cacheSize < 0 || s.retention < 0 || s.qps < 1 {
		return cfg, errors.New("--max-cache-size and --max-credential-retention-before-renewal cannot be negative, --max-service-qps is at least 1")
	}
	for _, host := range s.bindHosts {
		cfg.Hosts = append(cfg.Hosts, strings.Trim(host, "[]"))
	}
	if cfg.SessionName == "" {
		name, err := os.Hostname()
		if err != nil {
			return cfg, fmt.Errorf("reading the host's name: %w", err)
		}
		cfg.SessionName = name
	}
	var err error
	if s.caFile != "" {
		if cfg.CAs, err = readCAs(s.caFile); err != nil {
			return cfg, err
		}
	}
	if s.verifyPods || s.untaint {
		cfg.Kubernetes, err = s.kubernetes(cfg.SessionName)
	}
	return cfg, err
}

func readCAs(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the CAs: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", file)
	}
	return pool, nil
}

// inCluster is where a pod finds its service account
// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api).
const inCluster = "/var/run/secrets/kubernetes.io/serviceaccount/"

// kubernetes is the API server as a pod finds it.
func (s *settings) kubernetes(node string) (*agent.Kubernetes, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("--verify-pods and --remove-startup-taint need a pod's environment: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
	}
	k := &agent.Kubernetes{URL: "https://" + net.JoinHostPort(host, port), TokenFile: inCluster + "token", VerifyPods: s.verifyPods}
	if s.untaint {
		k.Untaint = node
	}
	var err error
	k.CAs, err = readCAs(inCluster + "ca.crt")
	return k, err
}

// serve starts in this order: listeners, so that a taken address is told at once; the agent; the probes, which say ready
// when both are there. It stops in the reverse order, and the requests under way are answered.
func (s *settings) serve(ctx context.Context, log *slog.Logger) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg, err := s.config(log, registry)
	if err != nil {
		return err
	}
	traces, err := newTraces(ctx)
	if err != nil {
		return err
	}
	cfg.Traces = provider(traces)
	a, err := agent.New(cfg)
	if err != nil {
		return err
	}
	if s.rotate {
		log.InfoContext(ctx, "--rotate-credentials has no effect: the agent's identity is read from its token file and always renewed")
	}

	var front, back listeners
	defer front.close()
	defer back.close()
	var urls []string
	if s.reusePort {
		front.shared, back.shared = true, true
	}
	for _, host := range cfg.Hosts {
		addr, err := front.listen(ctx, host, s.port)
		if err != nil && s.skipMissing && isMissing(err) {
			log.WarnContext(ctx, "this node does not have the address", slog.String("host", host), slog.String("error", err.Error()))
			continue
		}
		if err != nil {
			return err
		}
		urls = append(urls, "http://"+addr)
	}
	if len(urls) == 0 {
		return errors.New("this node has none of the --bind-hosts")
	}
	probes := a.Probes(urls...)
	probeAddr, err := back.listen(ctx, "127.0.0.1", s.probePort)
	if err != nil {
		return err
	}
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	metrics.Handle("/", probes)
	metricsAddr, err := back.listen(ctx, s.metricsHost, s.metricsPort)
	if err != nil {
		return err
	}
	if s.probeSocket != "" {
		if err := back.listenOwn(ctx, s.probeSocket); err != nil {
			return err
		}
	}
	for _, url := range urls {
		log.InfoContext(ctx, "serving credentials", slog.String("address", strings.TrimPrefix(url, "http://")),
			slog.String("cluster", s.cluster), slog.String("probes", probeAddr), slog.String("metrics", metricsAddr))
	}

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(running) }()
	failed := make(chan error, len(front.all)+len(back.all))
	for i := range front.all {
		front.serve(i, a.Server(), failed)
	}
	back.serve(0, agent.NewServer(probes), failed)
	back.serve(1, agent.NewServer(metrics), failed)
	if s.probeSocket != "" {
		// No listeners are tried: another agent may answer on them. This one's are bound, and are being served.
		back.serve(2, agent.NewServer(a.Probes()), failed)
	}

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.InfoContext(running, "stopping")
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err = errors.Join(err, front.shutdown(limit))
	stop()
	err = errors.Join(err, <-done, back.shutdown(limit))
	if traces != nil {
		err = errors.Join(err, traces.Shutdown(limit)) // sends what is left
	}
	return err
}
