package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/openlanyard/lanyard/connector"
)

// drain is how long reviews under way may take when the connector stops; the manifests give it 30 s.
const drain = 10 * time.Second

// linger is how long the webhook answers on after it was told to stop: API servers may not have heard yet that another
// replica is to be asked.
const linger = 5 * time.Second

// settings are the flags as they were given.
type settings struct {
	cluster, endpoint, stsEndpoint, region, role, tokenFile, caFile string

	instance, namespace, service, kubeconfig string
	repository, failurePolicy                string
	activationDir, apiServer                 string
	issuers, agentRights                     []string
	listen, metricsListen                    string
	regionalSTS                              bool
	agentURI                                 string
	tokenSeconds                             int64
	linger                                   time.Duration
	verbosity                                string
}

func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVar(&s.cluster, "cluster-name", "", "name of the cluster in its account (required)")
	f.StringVar(&s.endpoint, "endpoint", os.Getenv("AWS_ENDPOINT_URL"), "base URL of the server (AWS_ENDPOINT_URL)")
	f.StringVar(&s.stsEndpoint, "sts-endpoint", os.Getenv("AWS_ENDPOINT_URL_STS"), "base URL of STS (AWS_ENDPOINT_URL_STS); empty: the endpoint")
	f.StringVar(&s.region, "region", firstEnv("AWS_REGION", "AWS_DEFAULT_REGION"), "region of the signatures (AWS_REGION)")
	f.StringVar(&s.role, "role-arn", os.Getenv("AWS_ROLE_ARN"), "the connector's own role (AWS_ROLE_ARN)")
	f.StringVar(&s.tokenFile, "web-identity-token-file", os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), "the connector's own service-account token (AWS_WEB_IDENTITY_TOKEN_FILE)")
	f.StringVar(&s.caFile, "ca-file", os.Getenv("AWS_CA_BUNDLE"), "PEM file of the CAs of the server; empty: the system's (AWS_CA_BUNDLE)")
	f.StringVar(&s.activationDir, "activation-dir", "", "folder with the files id and code, which a cluster joins with that has not joined yet; they may be gone")
	f.StringVar(&s.apiServer, "api-server", "", "the API server's URL as people reach it, told when the cluster joins; may be empty")
	f.StringSliceVar(&s.issuers, "issuer", nil, "issuer of the cluster's tokens beyond the one that its API server names; repeatable")
	f.StringVar(&s.instance, "instance", firstEnv("POD_NAME", "HOSTNAME"), "name of this replica (POD_NAME)")
	f.StringVar(&s.namespace, "namespace", firstEnv("POD_NAMESPACE"), "the connector's own namespace (POD_NAMESPACE)")
	f.StringVar(&s.service, "service", "lanyard-connector", "name of the webhook's Service in that namespace")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "file that says how to reach the API server; empty: as a pod does")
	f.StringVar(&s.repository, "image-repository", "", "where the agent's image is: HOST[:PORT]/PATH without the program's name (required)")
	f.StringSliceVar(&s.agentRights, "agent-rights", nil, "what add-on values may make the agents use: verify-pods, startup-taint; the cluster must have given them")
	f.StringVar(&s.failurePolicy, "failure-policy", "Ignore", "what becomes of new pods while no connector answers: Ignore creates them without credentials, Fail refuses them (never those of kube-system)")
	f.StringVar(&s.listen, "listen", ":8443", "address of the webhook, which speaks TLS")
	f.StringVar(&s.metricsListen, "metrics-listen", ":2706", "address of /metrics, /healthz and /readyz; empty: none")
	f.StringVar(&s.agentURI, "agent-uri", "", "where pods find the agent; empty: http://169.254.170.23/v1/credentials")
	f.BoolVar(&s.regionalSTS, "sts-regional-endpoints", false, "give pods AWS_STS_REGIONAL_ENDPOINTS=regional, unless their service account says otherwise")
	f.Int64Var(&s.tokenSeconds, "token-expiration", 0, "seconds that pods' tokens live; 0: 22 to 24 hours")
	f.DurationVar(&s.linger, "linger", linger, "how long the webhook answers on after a signal to stop")
	f.StringVarP(&s.verbosity, "verbosity", "v", "info", "log level: debug, info, warn or error")
}

func firstEnv(names ...string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

func (s *settings) config(log *slog.Logger, registerer prometheus.Registerer) (connector.Config, error) {
	cfg := connector.Config{
		Upstream: connector.Upstream{
			Endpoint: s.endpoint, STSEndpoint: s.stsEndpoint, Region: s.region, Cluster: s.cluster, RoleARN: s.role,
			TokenFile: s.tokenFile, Instance: s.instance,
		},
		Images:  connector.Images{Repository: s.repository, Build: version(), Digest: agentDigest},
		Issuers: s.issuers, Namespace: s.namespace, Service: s.service, Fail: s.failurePolicy == "Fail", AgentRights: s.agentRights,
		AgentURI: s.agentURI, RegionalSTS: s.regionalSTS, TokenSeconds: s.tokenSeconds,
		Logger: log, Registerer: registerer,
	}
	if s.failurePolicy != "Fail" && s.failurePolicy != "Ignore" {
		return cfg, fmt.Errorf("--failure-policy %q: Ignore and Fail are accepted", s.failurePolicy)
	}
	if s.caFile != "" {
		pem, err := os.ReadFile(s.caFile)
		if err != nil {
			return cfg, fmt.Errorf("reading the CAs: %w", err)
		}
		cfg.CAs, cfg.CA = x509.NewCertPool(), string(pem)
		if !cfg.CAs.AppendCertsFromPEM(pem) {
			return cfg, fmt.Errorf("%s has no certificate in PEM form", s.caFile)
		}
	}
	var err error
	if cfg.Kube, err = s.kube(); err != nil {
		return cfg, err
	}
	cfg.Activation = connector.Activation{Dir: s.activationDir, Endpoint: s.apiServer}
	cfg.Activation.CA, err = authority(cfg.Kube)
	return cfg, err
}

func (s *settings) kube() (*rest.Config, error) {
	if s.kubeconfig != "" {
		return clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the API server as a pod does (or name a --kubeconfig): %w", err)
	}
	return cfg, nil
}

// authority is the API server's CA, which people are told with its URL.
func authority(cfg *rest.Config) (string, error) {
	if len(cfg.CAData) > 0 {
		return string(cfg.CAData), nil
	}
	if cfg.CAFile == "" {
		return "", nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return "", fmt.Errorf("reading the API server's CA: %w", err)
	}
	return string(pem), nil
}

// serve starts in this order: listeners, so that a taken address is told at once; the connector; the webhook, which answers
// when the first list has come. It stops in the reverse order: the webhook lingers while API servers learn of it, then the
// connector gives up its lease.
func (s *settings) serve(ctx context.Context, log *slog.Logger) error {
	klog.SetSlogLogger(log.With(slog.String("from", "client-go")))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg, err := s.config(log, registry)
	if err != nil {
		return err
	}
	c, err := connector.New(cfg)
	if err != nil {
		return err
	}
	front, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	defer func() { _ = front.Close() }() // the server has closed it, unless it never served
	failed := make(chan error, 3)
	var back *http.Server
	metrics := ""
	if s.metricsListen != "" {
		l, err := net.Listen("tcp", s.metricsListen)
		if err != nil {
			return err
		}
		metrics = l.Addr().String()
		back = connector.NewServer(s.health(c, registry), nil, log)
		go func() { failed <- back.Serve(l) }()
		defer func() { _ = back.Close() }() // after Shutdown there is nothing left to close
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- c.Run(running) }()
	webhook := connector.NewServer(c.Handler(), c.Certificate, log)
	go func() { failed <- webhook.ServeTLS(front, "", "") }()
	log.InfoContext(ctx, "serving", slog.String("webhook", front.Addr().String()), slog.String("metrics", metrics), slog.String("cluster", s.cluster),
		slog.String("server", strings.TrimSuffix(s.endpoint, "/")), slog.String("build", version()))

	select {
	case err = <-failed:
	case err = <-done:
		done <- nil // it has ended
		if err == nil {
			err = errors.New("the connector ended by itself")
		}
	case <-ctx.Done():
		log.InfoContext(running, "stopping")
		select {
		case err = <-failed:
		case <-time.After(s.linger):
		}
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err = errors.Join(err, webhook.Shutdown(limit))
	stop()
	err = errors.Join(err, <-done)
	if back != nil {
		err = errors.Join(err, back.Shutdown(limit))
	}
	return err
}

// health answers whoever watches the connector, on a listener that API servers do not use.
func (s *settings) health(c *connector.Connector, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := c.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}
