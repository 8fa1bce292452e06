package api_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/openlanyard/lanyard/podtoken"
)

// The variables that make this test binary a client of a benchmark instead.
const (
	loadAddress  = "LANYARD_LOAD_ADDRESS"
	loadRequests = "LANYARD_LOAD_REQUESTS" // a file of requests, one after another
)

func TestMain(m *testing.M) {
	if address := os.Getenv(loadAddress); address != "" {
		if err := load(address, os.Getenv(loadRequests)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// connections is how many agents ask at once.
const connections = 64

// load sends the file's requests over kept connections, each as soon as its connection is free.
func load(address, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	requests := bytes.Split(text, []byte(separator))
	next := make(chan []byte)
	failed := make(chan error, connections)
	var wait sync.WaitGroup
	for range connections {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			answers := bufio.NewReader(conn)
			for request := range next {
				if err := ask(conn, answers, request); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	for _, request := range requests {
		select {
		case next <- request:
		case err := <-failed:
			return err
		}
	}
	close(next)
	wait.Wait()
	return nil
}

func ask(conn net.Conn, answers *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return resp.Body.Close()
}

const separator = "\n--next request--\n"

// BenchmarkAssumeRoleForPodIdentity is an agent's call through the whole frame over loopback, durable audit included. The
// client is a process of its own, so that server-µs/op is the CPU time of the server alone. The goals are 70 µs for a token
// never seen and 40 µs for one seen.
func BenchmarkAssumeRoleForPodIdentity(b *testing.B) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	key := clusterKey{"rsa", private, jwt.SigningMethodRS256, podtoken.Key{ID: "rsa", Algorithm: "RS256", Public: &private.PublicKey}}
	w := newWorld(b)
	w.signer = key
	w.account(b, ours)
	w.associate(b, ours)
	config := w.config()
	config.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
	server := w.serve(b, config)
	agent := w.agent(b, ours)
	fresh := func() string {
		claims := podToken(w.clock())
		claims["jti"] = uuid.NewString()
		return w.token(b, claims)
	}
	b.Run("never seen", func(b *testing.B) { w.measure(b, server.URL, agent, fresh) })
	seen := fresh()
	b.Run("seen", func(b *testing.B) { w.measure(b, server.URL, agent, func() string { return seen }) })
}

// measure writes b.N requests to a file, lets the other process send them, and reports what that cost this one.
func (w *world) measure(b *testing.B, url string, agent signer, token func() string) {
	var requests bytes.Buffer
	for n := range b.N {
		if n > 0 {
			requests.WriteString(separator)
		}
		text, err := httputil.DumpRequestOut(w.build(b, url, w.pod(agent, token())), true)
		if err != nil {
			b.Fatal(err)
		}
		requests.Write(text)
	}
	file := b.TempDir() + "/requests"
	if err := os.WriteFile(file, requests.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	requests = bytes.Buffer{}
	runtime.GC() // of what was built up to here: the server pays for its own
	client := exec.CommandContext(b.Context(), os.Args[0])
	client.Env = append(os.Environ(), loadAddress+"="+url[len("http://"):], loadRequests+"="+file)
	before := cpuTime(b)
	b.ResetTimer()
	if text, err := client.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, text)
	}
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(time.Microsecond)/float64(b.N), "server-µs/op")
}

// cpuTime is what this process has used, in user and kernel, its children not counted.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
