package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/agent"
)

// serveVerb makes this program a server; it is not for people. profileVariable names the file for its CPU profile.
const (
	serveVerb       = "serve-for-bench"
	profileVariable = "LANYARD_BENCH_PROFILE"
)

// serve runs the server of a verb until its input ends.
func serve(args []string) (err error) {
	if file := os.Getenv(profileVariable); file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return errors.Join(err, f.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	var ready started
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	switch verb := args[0]; {
	case verb == "echo" && len(args) == 2:
		server.Handler, err = echo(args[1])
	case verb == "verify" && len(args) == 2:
		server.Handler, err = verify(args[1])
	case verb == "sts" && len(args) == 1:
		server.Handler = sts()
	case verb == "agent" && len(args) == 4:
		server, err = agentServer(args[1], args[2], args[3])
	case verb == "upstream" && len(args) == 2:
		server, err = upstream(args[1])
	case verb == "webhook" && len(args) == 1:
		var hook http.Handler
		if hook, err = webhookServer(); err == nil {
			server, ready.Certificate, err = withTLS(hook)
		}
	case verb == "decode" && len(args) == 1:
		server, ready.Certificate, err = withTLS(decoder())
	case verb == "hop" && len(args) == 2:
		server.Handler = hop(args[1])
	case verb == "thin" && len(args) == 2:
		server.Handler, err = newThin(args[1])
	case verb == "gateway" && len(args) == 3:
		var w *gatewayWorld
		if w, err = newGatewayWorld(context.Background(), args[1], args[2]); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		server.Handler, ready = w.handler, w.ready
	default:
		return fmt.Errorf("there is no server %q of %d arguments", verb, len(args)-1)
	}
	if err != nil {
		return err
	}
	return answerUntilEOF(server, ready)
}

func answerUntilEOF(server *http.Server, ready started) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			done <- server.ServeTLS(listener, "", "")
			return
		}
		done <- server.Serve(listener)
	}()
	ready.Address = listener.Addr().String()
	line, err := json.Marshal(ready)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	fmt.Println(string(line))
	if _, err := bufio.NewReader(os.Stdin).WriteTo(io.Discard); err != nil {
		return errors.Join(err, server.Close())
	}
	err = server.Close()
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// echo reads what it is sent and writes a fixed body: what HTTP alone costs.
func echo(size string) (http.Handler, error) {
	body, err := bytesOf(size)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		reply(w, body)
	}), err
}

// verify is echo with one verification of RSA-2048 over what it is sent: what a token never seen costs at the least.
func verify(size string) (http.Handler, error) {
	body, err := bytesOf(size)
	if err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil || sha256.Sum256(sent) == sum || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
			panic(http.ErrAbortHandler)
		}
		reply(w, body)
	}), nil
}

func bytesOf(size string) ([]byte, error) {
	n, err := strconv.Atoi(size)
	return make([]byte, max(n, 0)), err
}

func reply(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// agentServer is a node's agent as lanyard-agent runs it, with its log thrown away.
func agentServer(endpoint, role, tokenFile string) (*http.Server, error) {
	a, err := agent.New(agent.Config{
		Cluster: clusterName, Region: region, Endpoint: endpoint, RoleARN: role, TokenFile: tokenFile, Hosts: []string{"127.0.0.1"},
		Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return nil, err
	}
	return a.Server(), nil
}
