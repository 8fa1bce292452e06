package connector

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns a server that the cluster reaches, without an address: the caller listens. The certificate is asked for at
// each handshake, so a new one needs no restart; it may be nil where plain HTTP is spoken.
func NewServer(h http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler: h,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: certificate, NextProtos: []string{"h2", "http/1.1"},
		},
		// Anybody in the cluster may connect: nobody may hold a connection by being slow.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	if log != nil {
		s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	}
	return s
}
