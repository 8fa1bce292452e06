package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
)

// drain is how long requests under way may take when a process stops.
const drain = 10 * time.Second

// unlessStopped forgives a start that a signal has cut short: to be stopped is no error of a process, whenever it comes.
func unlessStopped(signalled context.Context, err error) error {
	if signalled.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// listenLoopback listens on a loopback address and refuses any other, by the address as it was resolved.
func listenLoopback(flag, address string) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s %q: HOST:PORT is accepted", flag, address)
	}
	if !resolved.IP.IsLoopback() {
		return nil, fault.New(fault.Invalid, "%s %q is not a loopback address: only 127.0.0.0/8 and ::1 are accepted here", flag, address)
	}
	return net.Listen("tcp", resolved.String())
}

// listenTLS listens with TLS, for whoever comes.
func listenTLS(address string, cert *certificate) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	// Below TLS: a handshake is most of what a connection costs.
	l = limit.Connections(l, connections, connectionsOfOne)
	return tls.NewListener(l, &tls.Config{GetCertificate: cert.get, MinVersion: tls.VersionTLS12}), nil
}

// serve answers on the listener until ctx is done, then lets requests under way end.
func serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		DisableGeneralOptionsHandler: true, // it would answer strangers past every limit
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if streaming, ok := handler.(interface{ EndStreams() }); ok {
		server.RegisterOnShutdown(streaming.EndStreams)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(limited); err != nil {
		_ = server.Close() // what is still under way has had its time
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// debugHandler serves metrics and profiles. It never shares a listener with the doors.
func debugHandler(metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// certificate serves a certificate from files and reads them again when they change, so that renewing needs no restart.
type certificate struct {
	certFile, keyFile string

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  [2]time.Time
	looked time.Time
}

// newCertificate reads the files once, so that a process with unusable ones does not start.
func newCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	_, err := c.get(nil)
	return c, err
}

// get is tls.Config's GetCertificate. Files that cannot be read, or do not fit each other yet, leave the former ones
// in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && time.Since(c.looked) < time.Second {
		return c.loaded, nil
	}
	c.looked = time.Now()
	stamp, err := modified(c.certFile, c.keyFile)
	if err == nil && c.loaded != nil && stamp == c.stamp {
		return c.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	if err != nil {
		if c.loaded != nil {
			return c.loaded, nil
		}
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	c.loaded, c.stamp = &pair, stamp
	return c.loaded, nil
}

func modified(files ...string) (stamp [2]time.Time, err error) {
	for i, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}
