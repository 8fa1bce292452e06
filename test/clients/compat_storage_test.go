package clients

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
)

// storage is what libraries try that speak S3 alone, each with an HTTP client, a signer and checksums of its own. Each
// section is one of its program.
var storage = map[string][]string{
	"pod":      {"credentials by the default chain", "objects", "odd keys", "AccessDenied"},
	"stranger": {"the agent's reason"},
}

// inStorage are the clients that go by storage.
var inStorage = []string{pyarrow, minioGo, objectStore, mountpoint}

func TestCompatPyarrow(t *testing.T) { library(t, pyarrow, here.asPod, python(t, "arrow")) }

func TestCompatObjectStore(t *testing.T) {
	library(t, objectStore, here.asPod, python(t, "rust_store"))
}

func TestCompatMinioGo(t *testing.T) {
	library(t, minioGo, here.asPod, []string{tools(t, "minio/client")})
}

// TestCompatMountpoint runs a client that reads the proxy of the environment and not its exceptions.
func TestCompatMountpoint(t *testing.T) {
	unproxied := func(serviceAccount string) caller {
		return here.asPod(serviceAccount).with("http_proxy=", "HTTP_PROXY=")
	}
	library(t, mountpoint, unproxied, python(t, "crt"))
}

// python runs a library's module of the folder storage.
func python(t *testing.T, module string) []string {
	return []string{tools(t, "storage/bin/python3"), beside(t, "storage"), module}
}

// library runs a library's program in a bucket of its own, which not every one of them can make.
func library(t *testing.T, client string, asPod func(serviceAccount string) caller, program []string) {
	t.Parallel()
	output(t, here.asPod(client), "aws", "s3", "mb", "s3://pod-"+client)
	argv := func(section string) []string { return append(program[:len(program):len(program)], section) }
	by := map[string]caller{
		"pod": asPod(client), "uploads": asPod(client), "stranger": asPod("stranger"), "plain": plainSpoken(t),
		"refresh": shortLived(t),
	}
	endpoint, ca := securedS3(t)
	if client != mountpoint { // which does not give up an endpoint that it does not trust
		by["tls"] = overTLS(asPod(client), endpoint, "AWS_CA_BUNDLE", ca)
	}
	sections(t, client, argv, by)
	t.Run("SSL_CERT_FILE", func(t *testing.T) {
		for _, line := range linesOf(t, overTLS(asPod(client), endpoint, "SSL_CERT_FILE", ca).run(t, argv("tls")...)) {
			if line.Error != nil || line.Note != "" {
				t.Errorf("with SSL_CERT_FILE: %+v, want it to trust the CA", line)
			}
		}
	})
}

// overTLS is a pod whose gateway has a certificate that only a CA of a file vouches for. `lanyard exec` takes AWS's variables
// away, so they are set behind it.
func overTLS(as caller, endpoint, variable, ca string) caller {
	return func(ctx context.Context, argv ...string) *exec.Cmd {
		told := fmt.Sprintf(`AWS_ENDPOINT_URL_S3=%s %s=%s exec "$0" "$@"`, endpoint, variable, ca)
		return as(ctx, append([]string{"sh", "-c", told}, argv...)...)
	}
}

// securedS3 is the gateway behind a certificate of Lanyard's own CA.
func securedS3(t *testing.T) (endpoint, ca string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "server")
	output(t, here.asNobody, "lanyard", "init", "--dir", dir, "--address", "127.0.0.1")
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	inside, err := url.Parse(here.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(inside)
		r.Out.Host = r.In.Host // it is signed
	}})
	front.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // of the clients that do not trust it
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.URL, filepath.Join(dir, "ca.pem")
}
