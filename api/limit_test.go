package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/podtoken"
	"github.com/openlanyard/lanyard/registry"
)

// from is a client with an address of its own.
func from(tb testing.TB, address string) *http.Client {
	tb.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestAFloodFromOneAddressLeavesTheOthers(t *testing.T) {
	w := newWorld(t)
	w.setClock(goldenTime) // no token comes back
	w.account(t, ours)
	w.associate(t, ours)
	config := w.config()
	config.Addresses = limit.NewRates(1, 10, 64)
	config.Console = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	server := w.serve(t, config)
	credentials := w.pod(w.agent(t, ours), w.token(t, podToken(w.clock())))
	flooder, agent := from(t, "127.0.0.1"), from(t, "127.0.0.2")
	flood := []request{
		{service: "eks", method: "GET", path: "/clusters"},
		{service: "sts", method: "POST", path: "/", body: "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"},
		{as: signer{id: "AKIAAAAAAAAAAAAAAAAA", secret: "x"}, service: "eks", method: "GET", path: "/clusters"},
	}
	throttled := 0
	for i := range 60 {
		if got := do(t, flooder, w.build(t, server.URL, flood[i%len(flood)])); strings.HasPrefix(got.code(), "Throttling") {
			throttled++
		}
	}
	if throttled != 50 {
		t.Errorf("of 60 requests %d were throttled, want 50", throttled)
	}
	if got := do(t, flooder, w.build(t, server.URL, credentials)); got.code() != "ThrottlingException" || got.status != 429 {
		t.Errorf("EKS Auth from the flooding address: %d %q, want 429 ThrottlingException", got.status, got.code())
	}
	if got := do(t, agent, w.build(t, server.URL, credentials)); got.status != 200 {
		t.Errorf("EKS Auth from another address: %d %s, want 200", got.status, got.body)
	}
	if got := do(t, flooder, w.build(t, server.URL, request{method: "GET", path: "/healthz"})); got.status != 200 {
		t.Errorf("healthz from the flooding address: %d, want 200", got.status)
	}
	page := request{method: "GET", path: "/console/"}
	if got := do(t, flooder, w.build(t, server.URL, page)); got.status != 429 {
		t.Errorf("the console from the flooding address: %d, want 429", got.status)
	}
	if got := do(t, agent, w.build(t, server.URL, page)); got.status != 200 {
		t.Errorf("the console from another address: %d, want 200", got.status)
	}
}

func TestAPrincipalHasItsOwnRate(t *testing.T) {
	w := newWorld(t)
	w.setClock(goldenTime)
	admin := w.account(t, ours)
	config := w.config()
	config.Principals = limit.NewRates(1, 2, 64)
	server := w.serve(t, config)
	for i, want := range []int{200, 200, 429} {
		if got := w.send(t, server, request{as: admin, service: "eks", method: "GET", path: "/clusters"}); got.status != want {
			t.Errorf("call %d: %d, want %d", i+1, got.status, want)
		}
	}
	if got := w.send(t, server, request{as: w.role(t, ours, "nobody"), service: "sts", method: "POST", path: "/", body: identity}); got.status != 200 {
		t.Errorf("another principal: %d, want 200", got.status)
	}
}

func TestManagementLeavesEKSAuthItsPart(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	w.associate(t, ours)
	const places, reserved = 4, 1
	config := w.config()
	config.Gate = limit.NewGate(places, reserved)
	entered, release := make(chan struct{}), make(chan struct{})
	server := w.serve(t, config, api.RESTJSON("slow", "slow.example.com", api.Errors{}, []api.Route{{
		Method: "GET", Path: "/", Operation: api.Operation{Name: "Slow", Serve: func(_ context.Context, c *api.Call) (any, error) {
			c.Open()
			entered <- struct{}{}
			<-release
			return struct{}{}, nil
		}},
	}}))
	credentials := w.pod(w.agent(t, ours), w.token(t, podToken(w.clock())))
	var wait sync.WaitGroup
	slow := make([]string, places-reserved)
	for i := range slow {
		r := w.build(t, server.URL, request{as: admin, service: "slow", method: "GET", path: "/"})
		wait.Add(1)
		go func() {
			defer wait.Done()
			resp, err := server.Client().Do(r)
			if err != nil {
				slow[i] = err.Error()
				return
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != 200 {
				slow[i] = resp.Status
			}
		}()
		<-entered
	}
	if got := w.send(t, server, request{as: admin, service: "eks", method: "GET", path: "/clusters"}); got.code() != "ThrottlingException" {
		t.Errorf("one management call more: %d %q, want ThrottlingException", got.status, got.code())
	}
	if got := w.send(t, server, credentials); got.status != 200 {
		t.Errorf("EKS Auth beside it: %d %s, want 200", got.status, got.body)
	}
	close(release)
	wait.Wait()
	for i, problem := range slow {
		if problem != "" {
			t.Errorf("slow call %d: %s", i, problem)
		}
	}
	if got := w.send(t, server, request{as: admin, service: "eks", method: "GET", path: "/clusters"}); got.status != 200 {
		t.Errorf("a management call afterwards: %d %s, want 200", got.status, got.body)
	}
}

// late joins a cluster whose unknown keys may be about to come.
func (w *world) late(t *testing.T, known clusterKey) *registry.Cluster {
	t.Helper()
	late, err := w.registry.RegisterCluster(t.Context(), registry.NewCluster{
		Account: ours, Name: "late", Provider: "OTHER", RoleARN: "arn:aws:iam::" + ours + ":role/connector",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.registry.ActivateCluster(t.Context(), late.Activation.ID, registry.Joining{
		Issuers: []string{issuer}, Keys: []podtoken.Key{known.key},
	}); err != nil {
		t.Fatal(err)
	}
	return late
}

// TestStrangersLeaveEKSAuthItsPart lets unsigned requests wait for keys that nobody will tell, in every place they can get.
func TestStrangersLeaveEKSAuthItsPart(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	w.associate(t, ours)
	const places, reserved = 4, 1
	config := w.config()
	config.Gate = limit.NewGate(places, reserved)
	server := w.serve(t, config)
	late := w.late(t, newClusterKey(t, "known"))
	stranger := request{service: "sts", method: "POST", path: "/", body: url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleSessionName": {"agent"},
		"RoleArn":          {"arn:aws:iam::" + ours + ":role/" + late.AgentRole()},
		"WebIdentityToken": {newClusterKey(t, "unknown").sign(t, agentToken(w.clock()))},
	}.Encode()}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range places * 4 {
		wait.Add(1)
		go func() { // one after another, so that its place is never free for long
			defer wait.Done()
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, stranger.method, server.URL, strings.NewReader(stranger.body))
				if err != nil {
					return
				}
				r.Header.Set("Content-Type", contentType(stranger.service))
				resp, err := server.Client().Do(r)
				if err != nil {
					return
				}
				_ = resp.Body.Close()
			}
		}()
	}
	agent, token := w.agent(t, ours), w.token(t, podToken(w.clock()))
	for range 20 {
		if got := w.send(t, server, w.pod(agent, token)); got.status != 200 {
			t.Errorf("EKS Auth beside strangers: %d %s, want 200", got.status, got.body)
		}
	}
	cancel()
	wait.Wait()
}

// TestAnAgentLeavesTheOthersTheirPart lets a cluster's own agent, who may use the reserve, show made-up tokens with keys that
// nobody will tell: twice as many at once as the gate has places.
func TestAnAgentLeavesTheOthersTheirPart(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	w.associate(t, ours)
	const places, reserved = 64, 32
	config := w.config()
	config.Gate = limit.NewGate(places, reserved)
	server := w.serve(t, config)
	known := newClusterKey(t, "known")
	late := w.late(t, known)
	grant, err := w.broker.ForWebIdentity(t.Context(), broker.WebIdentity{
		Role: "arn:aws:iam::" + ours + ":role/" + late.AgentRole(), SessionName: "agent", Token: known.sign(t, agentToken(w.clock())),
	})
	if err != nil {
		t.Fatal(err)
	}
	made := w.pod(byCredentials(grant.Credentials), newClusterKey(t, "unknown").sign(t, podToken(w.clock())))
	made.path = strings.Replace(made.path, "/dev/", "/late/", 1)
	honest := w.pod(w.agent(t, ours), w.token(t, podToken(w.clock())))

	statuses := make(chan int, 2*places)
	for range cap(statuses) {
		r := w.build(t, server.URL, made)
		go func() {
			resp, err := server.Client().Do(r)
			if err != nil {
				statuses <- 0
				return
			}
			_ = resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	got := []int{<-statuses} // the places are taken by now: who waits for a key is not the first to be answered
	for range 20 {
		if got := w.send(t, server, honest); got.status != 200 {
			t.Errorf("EKS Auth beside made-up tokens: %d %s, want 200", got.status, got.body)
		}
	}
	for range cap(statuses) - 1 {
		got = append(got, <-statuses)
	}
	if !slices.Contains(got, http.StatusServiceUnavailable) || slices.Contains(got, http.StatusOK) {
		t.Errorf("made-up tokens: got the statuses %v, want 503", got)
	}
}

// Strangers who begin large bodies and do not end them take places from each other, not memory from the process nor places
// from who sends little, nor from who sends from elsewhere.
func TestLargeBodiesOfStrangersAreBounded(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	frame := server.Config.Handler
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") == "elsewhere" {
			r.RemoteAddr = "192.0.2.1:1234"
		}
		frame.ServeHTTP(w, r)
	})
	stranger := func() {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 500000\r\n\r\nAction=")
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 64 {
		stranger()
	}
	large := request{as: admin, service: "iam", method: "POST", path: "/", body: "Action=GetUser&Version=2010-05-08&Padding=" + strings.Repeat("x", 9000)}
	for deadline := time.Now().Add(5 * time.Second); w.send(t, server, large).code() != "Throttling"; {
		if time.Now().After(deadline) {
			t.Fatal("a large body still finds a place")
		}
		stranger() // for the place that the large body may have had among the first
	}
	large.header = http.Header{"User-Agent": {"elsewhere"}}
	if got := w.send(t, server, large); got.code() == "Throttling" {
		t.Errorf("a large request from elsewhere: %d %s, want a place", got.status, got.body)
	}
	small := request{as: admin, service: "iam", method: "POST", path: "/", body: "Action=GetUser&Version=2010-05-08"}
	if got := w.send(t, server, small); got.status != 200 {
		t.Errorf("a small request: %d %s, want 200", got.status, got.body)
	}
}
