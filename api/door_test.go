package api_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/broker"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/limit"
	"github.com/openlanyard/lanyard/policy"
	"github.com/openlanyard/lanyard/session"
)

// TestAPanicIsAnsweredWhereverItIs breaks, one after the other, the steps around an operation.
func TestAPanicIsAnsweredWhereverItIs(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	unready := w.config()
	unready.Ready = func() error { panic("the boiler burst") }
	unlimited := w.config()
	unlimited.Addresses = nil
	for _, tt := range []struct {
		name   string
		config api.Config
		in     request
	}{
		{"the frame's own path", unready, request{method: "GET", path: "/readyz"}},
		{"the limit of addresses", unlimited, request{as: admin, service: "eks", method: "GET", path: "/clusters"}},
	} {
		got := w.send(t, w.serve(t, tt.config), tt.in)
		id := got.header.Get("X-Amzn-Requestid")
		if got.status != 500 || got.code() != "InternalFailure" || id == "" || !strings.Contains(got.body, id) || strings.Contains(got.body, "boiler") {
			t.Errorf("%s: %d %s, want InternalFailure with the request's id", tt.name, got.status, got.body)
		}
		if line := logLine(t, w.log.String(), id); !strings.Contains(line, "panic: ") || !strings.Contains(line, `"level":"ERROR"`) {
			t.Errorf("%s: the log has %q, want an error with the panic", tt.name, line)
		}
	}
	mute := broken()
	mute.Fail = func(http.ResponseWriter, *api.Call, error) (string, int) { panic("the pen broke") }
	got := w.send(t, w.serve(t, w.config(), mute), request{as: admin, service: "broken", method: "POST", path: "/fails", body: "{}"})
	id := got.header.Get("X-Amzn-Requestid")
	if got.status != 500 || got.body != "InternalFailure\n" {
		t.Errorf("a door that cannot say what is wrong: %d %q, want 500 InternalFailure", got.status, got.body)
	}
	if line := logLine(t, w.log.String(), id); !strings.Contains(line, "the pen broke") || !strings.Contains(line, "dialing 10.1.2.3") {
		t.Errorf("the log has %q, want both failures", line)
	}
}

// TestAStreamedDoorMayAbort holds that the frame does not answer for a door that has answered.
func TestAStreamedDoorMayAbort(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	frame := api.New(w.config(), "s3", &api.Door{Service: "s3", Stream: func(w http.ResponseWriter, _ *http.Request) (string, string) {
		w.WriteHeader(http.StatusOK)
		panic(http.ErrAbortHandler)
	}})
	defer func() {
		if p, _ := recover().(error); !errors.Is(p, http.ErrAbortHandler) {
			t.Errorf("net/http saw %v, want ErrAbortHandler", p)
		}
	}()
	frame.ServeHTTP(httptest.NewRecorder(), w.build(t, "http://127.0.0.1", request{as: admin, service: "s3", method: "GET", path: "/pay/a"}))
}

func TestEveryDoorIsMeasured(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	config, metrics := w.config(), prometheus.NewRegistry()
	config.Metrics = metrics
	server := w.serve(t, config, &api.Door{Service: "s3", Stream: func(http.ResponseWriter, *http.Request) (string, string) {
		return "GetObject", "AccessDenied"
	}})
	w.send(t, server, request{as: admin, service: "s3", method: "GET", path: "/pay/a"})
	w.send(t, server, request{as: admin, service: "eks", method: "GET", path: "/clusters"})
	w.send(t, server, request{method: "GET", path: "/healthz"}) // is no door's
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got = append(got, strings.Join(labels, "/")) // code, door, operation
		}
	}
	if want := "/eks/ListClusters AccessDenied/s3/GetObject"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDoorErrorsAreNoted holds that who is turned away before a door is found leaves a trace, in the log that cannot fill.
func TestDoorErrorsAreNoted(t *testing.T) {
	w := newWorld(t)
	ok := request{as: w.account(t, ours), service: "eks", method: "GET", path: "/clusters"}
	cases := []struct {
		name, code string
		onWire     func(r *http.Request)
	}{
		{"a service that is none of ours", "InvalidRequestException", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/eks/", "/ec2/", 1))
		}},
		{"signature version 2", "InvalidRequestException", func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:x") }},
		{"a header of another scheme", "IncompleteSignatureException", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }},
		{"no signature", "MissingAuthenticationTokenException", func(r *http.Request) { r.Header.Del("Authorization") }},
	}
	ids := make([]string, len(cases))
	w.auditDir = t.TempDir() + "/strangers"
	t.Run("asking", func(t *testing.T) { // at its end the log is whole
		config := w.config()
		config.Audit = openAudit(t, w.auditDir, audit.Config{})
		server, before := w.serve(t, config), config.Audit.Head()
		for i, tt := range cases {
			r := w.build(t, server.URL, ok)
			tt.onWire(r)
			ids[i] = do(t, server.Client(), r).header.Get("X-Amzn-Requestid")
		}
		if config.Audit.Head() != before {
			t.Error("strangers made durable records")
		}
	})
	for i, tt := range cases {
		if event := w.event(t, ids[i]); event["errorCode"] != tt.code || event["sourceIPAddress"] != "127.0.0.1" {
			t.Errorf("%s: the record is %v, want %s from 127.0.0.1", tt.name, event, tt.code)
		}
	}
}

// TestNoDoorTakesAForgedSession shows every door a session that a gateway could make, which knows the account's key and
// not the server's.
func TestNoDoorTakesAForgedSession(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	server := w.serve(t, w.config())
	role, err := w.directory.Role(ours, "pod")
	if err != nil {
		t.Fatal(err)
	}
	sealing, mac, err := w.keyring.Sealing(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	mint := func(server session.Key) signer {
		now := w.clock()
		credentials, err := session.Mint(&session.Session{
			Account: ours, RoleID: role.ID, RoleName: role.Name, Name: "test", Issued: now, Expires: now.Add(time.Hour),
			Revision: w.store.Revision(), Epoch: w.store.Epoch(),
		}, sealing, server)
		if err != nil {
			t.Fatal(err)
		}
		return byCredentials(credentials)
	}
	guessed := mac
	guessed.Secret[0] ^= 1
	good, forged := mint(mac), mint(guessed)
	covered := map[string]bool{}
	for _, in := range []request{
		{service: "eks", method: "GET", path: "/clusters/dev"},
		{service: "eks-auth", method: "POST", path: "/clusters/dev/assume-role-for-pod-identity", body: `{"token":"x"}`},
		{service: "iam", method: "POST", path: "/", body: "Action=ListRoles&Version=2010-05-08"},
		{service: "sts", method: "POST", path: "/", body: identity},
		{service: "lanyard", method: "POST", path: "/lanyard/v1/revocations", body: `{"kind":"role","value":"pod"}`},
		{service: "cloudtrail", method: "POST", path: "/", body: "{}"},
	} {
		covered[in.service] = true
		want, status := "UnrecognizedClientException", 403
		if in.service == "cloudtrail" {
			status = 400 // as all errors of its protocol
		}
		if isQuery(in.service) {
			want = "InvalidClientTokenId"
		}
		in.as = good
		if got := w.send(t, server, in); got.code() == want {
			t.Errorf("%s: a session of ours is refused: %s", in.service, got.body)
		}
		in.as = forged
		if got := w.send(t, server, in); got.code() != want || got.status != status {
			t.Errorf("%s: a forged session: %d %q, want %d %s", in.service, got.status, got.code(), status, want)
		}
	}
	for _, door := range w.doors() {
		if !covered[door.Service] {
			t.Errorf("the door %s is not asked", door.Service)
		}
	}
}

// TestTheCallersMistakeIsNoErrorOfOurs looks at the level of the log's lines.
func TestTheCallersMistakeIsNoErrorOfOurs(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(api.New(w.config(), "s3", &api.Door{
		Service: "s3", Code: kindOf, Fail: func(w http.ResponseWriter, c *api.Call, err error) (string, int) {
			status := http.StatusServiceUnavailable
			if fault.Is(err, fault.Unsupported) {
				status = http.StatusNotImplemented
			}
			w.Header().Set("X-Amzn-Requestid", c.ID)
			w.WriteHeader(status)
			return fault.Of(err).String(), status
		},
	}))
	t.Cleanup(server.Close)
	for _, tt := range []struct{ name, query, level string }{
		{"presigned with version 2", "?AWSAccessKeyId=AKIA&Signature=x", "INFO"},
		{"what passes", "", "WARN"},
	} {
		got := w.send(t, server, request{method: "GET", path: "/pay/a" + tt.query})
		if line := logLine(t, w.log.String(), got.header.Get("X-Amzn-Requestid")); !strings.Contains(line, `"level":"`+tt.level+`"`) {
			t.Errorf("%s: %d is logged as %q, want %s", tt.name, got.status, line, tt.level)
		}
	}
}

// TestConditionKeysOfTheRequest holds what policies may ask about how a request came, at every door.
func TestConditionKeysOfTheRequest(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.Header.Set("User-Agent", "aws-cli")
	r.Header["Referer"] = []string{"a", "b"} // two are none
	for _, secure := range []bool{false, true} {
		want := policy.Context{
			{Key: "aws:SourceIp", Values: []string{"2001:db8::1"}},
			{Key: "aws:RequestedRegion", Values: []string{region}},
			{Key: "aws:SecureTransport", Values: []string{strconv.FormatBool(secure)}},
			{Key: "aws:ViaAWSService", Values: []string{"false"}},
			{Key: "aws:PrincipalIsAWSService", Values: []string{"false"}},
			{Key: "aws:UserAgent", Values: []string{"aws-cli"}},
		}
		if r.TLS = nil; secure {
			r.TLS = &tls.ConnectionState{}
		}
		if diff := cmp.Diff(want, api.RequestContext(r, region)); diff != "" {
			t.Errorf("TLS %v (-want +got):\n%s", secure, diff)
		}
	}
}

// TestAWebIdentityHasOneRate holds that a node does not get another rate with another session name.
func TestAWebIdentityHasOneRate(t *testing.T) {
	w := newWorld(t)
	w.setClock(goldenTime)
	w.account(t, ours)
	config := w.config()
	config.Principals = limit.NewRates(1, 2, 64)
	server := w.serve(t, config)
	elsewhere := agentToken(w.clock())
	object := elsewhere["kubernetes.io"].(map[string]any)
	object["pod"], object["node"] = map[string]any{"name": "agent-2", "uid": "agent-pod-2"}, map[string]any{"name": "node-2", "uid": "node-2-uid"}
	for _, tt := range []struct {
		session string
		token   string
		want    int
	}{
		{"first", w.token(t, agentToken(w.clock())), 200},
		{"second", w.token(t, agentToken(w.clock())), 200},
		{"third", w.token(t, agentToken(w.clock())), 400}, // Throttling
		{"elsewhere", w.token(t, elsewhere), 200},
	} {
		grant, err := w.broker.ForWebIdentity(t.Context(), broker.WebIdentity{Role: w.agentRole(t, ours), SessionName: tt.session, Token: tt.token, Duration: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		in := request{as: byCredentials(grant.Credentials), service: "sts", method: "POST", path: "/", body: identity}
		if got := w.send(t, server, in); got.status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.session, got.status, got.body, tt.want)
		}
	}
}
