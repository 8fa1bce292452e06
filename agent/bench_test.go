package agent

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The servers of the benchmarks are processes of their own, so that their CPU is theirs alone: this test binary again.
const benchRole = "LANYARD_AGENT_BENCH"

func TestMain(m *testing.M) {
	if role := os.Getenv(benchRole); role != "" {
		if err := serveBench(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// sampleBody is as long as a pod's answer with a session token of 1,100 bytes.
var sampleBody = []byte(`{"AccessKeyId":"ASIAAAAAAAAAAAAAAAAA","SecretAccessKey":"0123456789012345678901234567890123456789","Token":"` +
	strings.Repeat("A", 1100) + `","AccountId":"111122223333","Expiration":"2026-11-22T13:00:00Z"}`)

// serveBench serves until its input has a line, or ends; then it prints the CPU that it used since its first line.
func serveBench(role string) error {
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(sampleBody)
	})
	if endpoint, ok := strings.CutPrefix(role, "agent "); ok {
		a, err := New(Config{
			Cluster: "dev", Region: "us-east-1", Endpoint: endpoint, RoleARN: "role",
			TokenFile: os.Getenv(benchRole + "_TOKEN"), Hosts: []string{"127.0.0.1"}, CacheSize: 100_000,
			Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			return err
		}
		handler = a.Handler()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, handler) }()
	fmt.Println(listener.Addr())
	in := bufio.NewReader(os.Stdin)
	for {
		before := cpu()
		if _, err := in.ReadString('\n'); err != nil {
			return nil
		}
		fmt.Println((cpu() - before).Nanoseconds())
	}
}

func cpu() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// benchServer is a running server process.
type benchServer struct {
	addr string
	in   io.WriteCloser
	out  *bufio.Reader
}

func startBench(b *testing.B, role string) *benchServer {
	b.Helper()
	file := filepath.Join(b.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a.b.c"), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchRole+"="+role, benchRole+"_TOKEN="+file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	s := &benchServer{in: in, out: bufio.NewReader(out)}
	s.addr = s.line(b)
	return s
}

func (s *benchServer) line(b *testing.B) string {
	b.Helper()
	line, err := s.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// used returns the server's CPU since the last call.
func (s *benchServer) used(b *testing.B) time.Duration {
	b.Helper()
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		b.Fatal(err)
	}
	var ns int64
	if _, err := fmt.Sscan(s.line(b), &ns); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

// load sends n requests over 32 kept connections; token names the i-th.
func (s *benchServer) load(b *testing.B, n int, token func(i int) string) {
	b.Helper()
	var next atomic.Int64
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if _, err := fmt.Fprintf(conn, "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\nAccept: */*\r\n\r\n", token(i)); err != nil {
					b.Error(err)
					return
				}
				response, err := http.ReadResponse(in, nil)
				if err != nil {
					b.Error(err)
					return
				}
				body, _ := io.ReadAll(response.Body)
				if response.StatusCode != http.StatusOK {
					b.Errorf("status %d: %s", response.StatusCode, body)
					return
				}
			}
		})
	}
	clients.Wait()
}

// benchUpstream is EKS Auth and STS without delay. It counts its connections.
func benchUpstream(b *testing.B) (url string, connections *atomic.Int64) {
	connections = &atomic.Int64{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		end := time.Now().Add(6 * time.Hour)
		if r.URL.Path == "/" {
			fmt.Fprintf(w, `<R><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></R>`,
				end.UTC().Format(time.RFC3339))
			return
		}
		fmt.Fprintf(w, `{"subject":{"namespace":"default","serviceAccount":"api"},"assumedRoleUser":{"arn":"arn:aws:sts::111122223333:assumed-role/api/eks-dev-api"},
"credentials":{"accessKeyId":"ASIAAAAAAAAAAAAAAAAA","secretAccessKey":"0123456789012345678901234567890123456789","sessionToken":"%s","expiration":%d}}`,
			strings.Repeat("A", 1100), end.Unix())
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	b.Cleanup(server.Close)
	return server.URL, connections
}

// benchToken is as long as a pod's token.
func benchToken(i int) string {
	return token(fmt.Sprintf("%d-%s", i, strings.Repeat("x", 750)), time.Now().Add(24*time.Hour))
}

// BenchmarkCachedAnswer prints the server's CPU per cached answer beside that of a bare handler that writes as many bytes,
// and their ratio, measured in turns.
func BenchmarkCachedAnswer(b *testing.B) {
	url, _ := benchUpstream(b)
	agent, bare := startBench(b, "agent "+url), startBench(b, "bare")
	text := benchToken(0)
	same := func(int) string { return text }
	for _, s := range []*benchServer{agent, bare} {
		s.load(b, 2000, same)
		s.used(b)
	}
	var ours, floor time.Duration
	const round = 5000
	b.ResetTimer()
	n := 0
	for n < b.N {
		agent.load(b, round, same)
		ours += agent.used(b)
		bare.load(b, round, same)
		floor += bare.used(b)
		n += round
	}
	reportCPU(b, ours, n, "µs-agent/req")
	reportCPU(b, floor, n, "µs-bare/req")
	b.ReportMetric(float64(ours)/float64(floor), "ratio")
}

// BenchmarkColdMiss prints the server's CPU per token never seen, upstream answering at once, and its connections.
func BenchmarkColdMiss(b *testing.B) {
	url, connections := benchUpstream(b)
	s := startBench(b, "agent "+url)
	s.load(b, 200, benchToken)
	s.used(b)
	n := max(b.N, 2000)
	b.ResetTimer()
	s.load(b, n, func(i int) string { return benchToken(200 + i) })
	reportCPU(b, s.used(b), n, "µs-agent/req")
	b.ReportMetric(float64(connections.Load()), "connections")
}

func reportCPU(b *testing.B, d time.Duration, n int, unit string) {
	b.ReportMetric(float64(d.Microseconds())/float64(n), unit)
}

// BenchmarkHit is the handler alone, without the server around it.
func BenchmarkHit(b *testing.B) {
	url, _ := benchUpstream(b)
	file := filepath.Join(b.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a.b.c"), 0o600); err != nil {
		b.Fatal(err)
	}
	a, err := New(Config{Cluster: "dev", Region: "us-east-1", Endpoint: url, RoleARN: "role", TokenFile: file, Hosts: []string{"127.0.0.1"}})
	if err != nil {
		b.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+Path, nil)
	request.Header.Set("Authorization", benchToken(0))
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, request)
	if w.Code != http.StatusOK {
		b.Fatal(w.Body)
	}
	sink := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		a.Handler().ServeHTTP(sink, request)
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
