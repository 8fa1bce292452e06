package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/fault"
)

const ours = "111122223333"

const identity = "Action=GetCallerIdentity&Version=2011-06-15"

// code returns the error code of an answer in either shape, or "".
func (a answer) code() string {
	if name := a.header.Get("X-Amzn-Errortype"); name != "" {
		return name
	}
	_, rest, _ := strings.Cut(a.body, "<Code>")
	name, _, _ := strings.Cut(rest, "</Code>")
	return name
}

// kindOf is what a door of a test calls its errors.
func kindOf(_ *api.Call, err error) string { return fault.Of(err).String() }

func TestScopePicksTheDoor(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	var streamed int
	var mu sync.Mutex
	server := w.serve(t, w.config(), &api.Door{
		Service: "s3", Source: "s3.amazonaws.com", Code: kindOf,
		Stream: func(w http.ResponseWriter, _ *http.Request) (operation, code string) {
			mu.Lock()
			defer mu.Unlock()
			streamed++
			w.WriteHeader(http.StatusTeapot)
			return "Brew", "Teapot"
		},
		Fail: func(w http.ResponseWriter, _ *api.Call, err error) (string, int) {
			w.WriteHeader(http.StatusForbidden)
			return fault.Of(err).String(), http.StatusForbidden
		},
	})
	for _, tt := range []struct {
		name, service, method, path, body string
		status                            int
	}{
		{"EKS's own path", "eks", "GET", "/clusters/dev", "", 200},
		{"EKS's path in the scope of S3", "s3", "GET", "/clusters/dev", "", 418},
		{"healthz in the scope of S3", "s3", "GET", "/healthz", "", 418},
		{"EKS's path in the scope of EKS Auth", "eks-auth", "GET", "/clusters/dev", "", 404},
		{"EKS Auth's path in the scope of EKS", "eks", "POST", "/clusters/dev/assume-role-for-pod-identity", "{}", 404},
		{"EKS's path in the scope of Lanyard", "lanyard", "GET", "/clusters/dev", "", 404},
		{"Lanyard's path in the scope of EKS", "eks", "POST", "/lanyard/v1/accounts", "{}", 404},
		{"EKS's path in the scope of IAM", "iam", "GET", "/clusters/dev", "", 400},
		{"IAM's form in the scope of STS", "sts", "POST", "/", "Action=ListRoles&Version=2010-05-08", 400},
		{"STS's form in the scope of IAM", "iam", "POST", "/", identity, 400},
		{"STS's form in its own scope", "sts", "POST", "/", identity, 200},
		{"dots before EKS's path", "eks", "GET", "/x/../clusters/dev", "", 404},
		{"an encoded letter in EKS's path", "eks", "GET", "/%63lusters/dev", "", 404},
		{"two slashes in EKS's path", "eks", "GET", "//clusters/dev", "", 404},
		{"a service that is none of ours", "ec2", "GET", "/clusters/dev", "", 400},
		{"the service in another case", "EKS", "GET", "/clusters/dev", "", 400},
	} {
		in := request{as: admin, service: tt.service, method: tt.method, path: tt.path, body: tt.body}
		r := w.build(t, server.URL, in)
		if tt.path == "//clusters/dev" { // else the URL's host would be empty
			r = w.build(t, server.URL+"/", request{as: admin, service: tt.service, method: tt.method, path: "/clusters/dev"})
		}
		if got := do(t, server.Client(), r); got.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, got.status, tt.status, got.body)
		}
	}
	if streamed != 2 {
		t.Errorf("the S3 door had %d requests, want 2", streamed)
	}
}

func TestUnsignedSetIsClosed(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	config := w.config()
	config.Console = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) })
	server := w.serve(t, config)
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	web := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleSessionName": {"agent"},
		"RoleArn": {w.agentRole(t, ours)}, "WebIdentityToken": {w.token(t, agentToken(w.clock()))},
	}.Encode()
	for _, tt := range []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
	}{
		{"healthz", "GET", "/healthz", "", nil, 200},
		{"readyz", "GET", "/readyz", "", nil, 200},
		{"AssumeRoleWithWebIdentity", "POST", "/", web, form, 200},
		{"healthz with POST", "POST", "/healthz", "", nil, 403},
		{"healthz and more", "GET", "/healthz/x", "", nil, 403},
		{"healthz with a query", "GET", "/healthz?x", "", nil, 403},
		{"another spelling of healthz", "GET", "/%68ealthz", "", nil, 403},
		{"metrics", "GET", "/metrics", "", nil, 403},
		{"pprof", "GET", "/debug/pprof/", "", nil, 403},
		{"the root", "GET", "/", "", nil, 403},
		{"web identity on another path", "POST", "/x", web, form, 403},
		{"web identity with GET", "GET", "/?" + web, "", nil, 403},
		{"web identity as JSON", "POST", "/", web, http.Header{"Content-Type": {"application/json"}}, 403},
		{"two actions", "POST", "/", web + "&Action=CreateRole", form, 403},
		{"two actions, the other first", "POST", "/", "Action=CreateRole&" + web, form, 403},
		{"every action of STS and IAM but one", "POST", "/", identity, form, 403},
		{"no action", "POST", "/", "", form, 403},
		{"an action of no service", "POST", "/", "Action=x", form, 403},
		{"not a form", "POST", "/", "Action=%zz", form, 403},
		{"a list of clusters", "GET", "/clusters", "", nil, 403},
		{"credentials of a pod", "POST", "/clusters/dev/assume-role-for-pod-identity", "{}", nil, 403},
		{"an account", "POST", "/lanyard/v1/accounts", "{}", nil, 403},
		{"a browser's preflight", "OPTIONS", "/clusters", "", nil, 403},
		{"the console", "GET", "/console/", "", nil, 418},
		{"the console without its slash", "HEAD", "/console", "", nil, 418},
		{"what is below the console", "GET", "/console/..%2fhealthz", "", nil, 418},
		{"the console with POST", "POST", "/console/", "", nil, 403},
		{"the console with a query", "GET", "/console/?x", "", nil, 403},
		{"the console with a header of a signature", "GET", "/console/", "", http.Header{"Authorization": {"AWS4-HMAC-SHA256"}}, 400},
		{"what begins like the console", "GET", "/consoles/", "", nil, 403},
		{"another spelling of the console", "GET", "/%63onsole/", "", nil, 403},
		{"a way out of a bucket", "GET", "/bucket/../console/", "", nil, 403},
	} {
		got := w.send(t, server, request{service: "eks", method: tt.method, path: tt.path, body: tt.body, header: tt.header})
		if got.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, got.status, tt.status, got.body)
		}
		if got.status == 403 && !strings.HasPrefix(got.code(), "MissingAuthenticationToken") {
			t.Errorf("%s: code %q, want MissingAuthenticationToken", tt.name, got.code())
		}
	}
	// Each operation but one wants a caller, whatever its door.
	for _, door := range w.doors() {
		for _, op := range door.Operations {
			if op.Unsigned != (op.Name == "AssumeRoleWithWebIdentity") {
				t.Errorf("%s %s: unsigned is %v", door.Service, op.Name, op.Unsigned)
			}
		}
	}
}

// A browser's preflight bears no signature, or that of the link that it asks about. Only S3 has an answer.
func TestPreflightsReachTheDoorOfS3Alone(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	s3 := &api.Door{
		Service: "s3", Source: "s3.amazonaws.com", Code: kindOf,
		Stream: func(w http.ResponseWriter, _ *http.Request) (operation, code string) {
			w.WriteHeader(http.StatusTeapot)
			return "Brew", "Teapot"
		},
		Fail: func(w http.ResponseWriter, _ *api.Call, err error) (string, int) {
			w.WriteHeader(http.StatusForbidden)
			return fault.Of(err).String(), http.StatusForbidden
		},
	}
	config := w.config()
	server := httptest.NewServer(api.New(config, "s3", append(w.doors(), s3)...))
	t.Cleanup(server.Close)
	link := "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261126%2Fus-east-1%2FSERVICE%2Faws4_request&X-Amz-Date=20261126T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		name   string
		in     request
		status int
	}{
		{"unsigned", request{method: "OPTIONS", path: "/pay/a"}, 418},
		{"about a link of S3", request{method: "OPTIONS", path: "/pay/a" + strings.Replace(link, "SERVICE", "s3", 1)}, 418},
		{"about a link of STS", request{method: "OPTIONS", path: "/" + strings.Replace(link, "SERVICE", "sts", 1)}, 403},
		{"signed for EKS", request{as: admin, service: "eks", method: "OPTIONS", path: "/clusters"}, 404},
		{"no preflight", request{method: "GET", path: "/pay/a"}, 403},
		{"another method of no signature", request{method: "TRACE", path: "/pay/a"}, 403},
	} {
		if got := w.send(t, server, tt.in); got.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, got.status, tt.status, got.body)
		}
	}
}

func TestReadyzHidesTheReason(t *testing.T) {
	w := newWorld(t)
	config := w.config()
	config.Ready = func() error { return errors.New("etcd member at 10.1.2.3 is gone") }
	server := w.serve(t, config)
	got := w.send(t, server, request{method: "GET", path: "/readyz"})
	if got.status != 503 || strings.Contains(got.body, "10.1.2.3") {
		t.Errorf("readyz of a replica that is not ready: %d %q", got.status, got.body)
	}
	if !strings.Contains(w.log.String(), "10.1.2.3") {
		t.Error("the log does not have the reason")
	}
	if got := w.send(t, server, request{method: "GET", path: "/healthz"}); got.status != 200 {
		t.Errorf("healthz of a replica that is not ready: %d, want 200", got.status)
	}
}

func TestAuthentication(t *testing.T) {
	w := newWorld(t)
	start := goldenTime.Truncate(time.Second) // as fine as X-Amz-Date
	w.setClock(start)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	ok := request{as: admin, service: "sts", method: "POST", path: "/", body: identity}
	expired := w.role(t, ours, "nobody")
	w.setClock(start.Add(time.Hour + time.Second))
	now := w.clock()
	for _, tt := range []struct {
		name   string
		asked  func(in *request)     // before it is signed
		onWire func(r *http.Request) // after
		code   string                // "" is success
	}{
		{"as it should be", nil, nil, ""},
		{"fifteen minutes behind", func(in *request) { in.at = now.Add(-15 * time.Minute) }, nil, ""},
		{"more than fifteen minutes behind", func(in *request) { in.at = now.Add(-15*time.Minute - time.Second) }, nil, "SignatureDoesNotMatch"},
		{"fifteen minutes ahead", func(in *request) { in.at = now.Add(15 * time.Minute) }, nil, ""},
		{"more than fifteen minutes ahead", func(in *request) { in.at = now.Add(15*time.Minute + time.Second) }, nil, "SignatureDoesNotMatch"},
		{"a wrong secret", func(in *request) { in.as.secret += "x" }, nil, "SignatureDoesNotMatch"},
		{"an unknown key", func(in *request) { in.as.id = "AKIAAAAAAAAAAAAAAAAA" }, nil, "InvalidClientTokenId"},
		{"a key of no kind", func(in *request) { in.as.id = "root" }, nil, "InvalidClientTokenId"},
		{"a long-term key with a token", func(in *request) { in.as.token = expired.token }, nil, "InvalidClientTokenId"},
		{"a session without its token", func(in *request) { in.as = signer{id: expired.id, secret: expired.secret} }, nil, "InvalidClientTokenId"},
		{"a session that is over", func(in *request) { in.as = expired }, nil, "ExpiredToken"},
		{"a session that is over, and the secret is wrong", func(in *request) {
			in.as = signer{expired.id, "x", expired.token}
		}, nil, "SignatureDoesNotMatch"},
		{"another session's token", func(in *request) {
			in.as = signer{"ASIAAAAAAAAAAAAAAAAA", expired.secret, expired.token}
		}, nil, "InvalidClientTokenId"},
		{"another body under the signature", func(in *request) {
			in.body, in.signedPayload = "Action=GetCallerIdentity&Version=2011-06-15&x=y", identity
		}, nil, "SignatureDoesNotMatch"},
		{"a header added on the way", nil, func(r *http.Request) { r.Header.Set("X-Amz-Target", "x") }, "IncompleteSignature"},
		{"a signed header changed on the way", nil, func(r *http.Request) { r.Header.Set("X-Amz-Date", now.Add(time.Second).Format("20060102T150405Z")) }, "SignatureDoesNotMatch"},
		{"two Authorization headers", nil, func(r *http.Request) { r.Header.Add("Authorization", "x") }, "IncompleteSignature"},
		{"header and query", nil, func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=x" }, "IncompleteSignature"},
		{"presigned in part", nil, func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=x"
		}, "IncompleteSignature"},
		{"signature version 2", nil, func(r *http.Request) { r.Header.Set("Authorization", "AWS AKIA:x") }, "Unsupported"},
		{"another scheme", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "IncompleteSignature"},
	} {
		in := ok
		if tt.asked != nil {
			tt.asked(&in)
		}
		r := w.build(t, server.URL, in)
		if tt.onWire != nil {
			tt.onWire(r)
		}
		got := do(t, server.Client(), r)
		code := got.code()
		if code == "InvalidRequestException" {
			code = "Unsupported" // answered in EKS's shape: without a scope there is no door
		}
		if code = strings.TrimSuffix(code, "Exception"); code != tt.code {
			t.Errorf("%s: %d %q, want %q: %s", tt.name, got.status, code, tt.code, got.body)
		}
	}
}

// broken is a door whose operations do what none should.
func broken() *api.Door {
	operation := func(name string, serve func(context.Context, *api.Call) (any, error)) api.Route {
		return api.Route{Method: "POST", Path: "/" + name, Operation: api.Operation{Name: name, Serve: serve}}
	}
	return api.RESTJSON("broken", "broken.example.com", api.Errors{}, []api.Route{
		operation("panic", func(context.Context, *api.Call) (any, error) { panic("the password is hunter2") }),
		operation("beyond", func(_ context.Context, c *api.Call) (any, error) { return c.Body[len(c.Body)], nil }),
		operation("forgets", func(context.Context, *api.Call) (any, error) { return map[string]string{"secret": "hunter2"}, nil }),
		operation("fails", func(context.Context, *api.Call) (any, error) { return nil, errors.New("dialing 10.1.2.3: hunter2") }),
		operation("unspeakable", func(_ context.Context, c *api.Call) (any, error) {
			c.Open()
			return map[string]any{"hunter2": func() {}}, nil
		}),
		operation("open", func(_ context.Context, c *api.Call) (any, error) {
			c.Open()
			return struct{}{}, nil
		}),
	})
}

func TestDefectsStayInside(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config(), broken())
	for _, tt := range []struct{ operation, logged string }{
		{"panic", "panic: the password is hunter2"},
		{"beyond", "index out of range"},
		{"forgets", "without asking whether it may"},
		{"fails", "dialing 10.1.2.3"},
		{"unspeakable", "unsupported type"},
	} {
		got := w.send(t, server, request{as: admin, service: "broken", method: "POST", path: "/" + tt.operation, body: "{}"})
		if got.status != 500 || got.code() != "InternalFailure" {
			t.Errorf("%s: %d %s, want 500 InternalFailure", tt.operation, got.status, got.code())
		}
		if strings.Contains(got.body, "hunter2") || strings.Contains(got.body, "10.1.2.3") || strings.Contains(got.body, "panic") {
			t.Errorf("%s: the answer tells what is inside: %s", tt.operation, got.body)
		}
		id := got.header.Get("X-Amzn-Requestid")
		if id == "" || !strings.Contains(got.body, id) {
			t.Errorf("%s: the answer does not name its request id: %s", tt.operation, got.body)
		}
		if line := logLine(t, w.log.String(), id); !strings.Contains(line, tt.logged) || !strings.Contains(line, `"level":"ERROR"`) {
			t.Errorf("%s: the log has %q, want an error with %q", tt.operation, line, tt.logged)
		}
		event := w.event(t, id)
		if tt.operation != "unspeakable" && (event["errorCode"] != "InternalFailure" || event["errorMessage"] != nil) {
			t.Errorf("%s: the audit has %v %v, want InternalFailure without a text", tt.operation, event["errorCode"], event["errorMessage"])
		}
	}
	if got := w.send(t, server, request{as: admin, service: "broken", method: "POST", path: "/open", body: "{}"}); got.status != 200 {
		t.Errorf("after all that, open answers %d: %s", got.status, got.body)
	}
}

// logLine returns the one line of the log with a request's id.
func logLine(t *testing.T, log, id string) string {
	t.Helper()
	found := ""
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(line, `"request":"`+id+`"`) {
			if found != "" {
				t.Errorf("request %s has more than one line in the log", id)
			}
			found = line
		}
	}
	return found
}

func TestBodies(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	big := strings.Repeat("x", 512<<10+1)
	for _, tt := range []struct {
		name    string
		body    io.Reader // sent in place of the signed body
		length  int64     // 0: chunked
		service string
		code    string
	}{
		{"too large, and says so", strings.NewReader(big), int64(len(big)), "eks", "RequestEntityTooLargeException"},
		{"too large, in chunks", strings.NewReader(big), 0, "eks", "RequestEntityTooLargeException"},
		{"too large, a form", strings.NewReader(big), 0, "iam", "RequestEntityTooLarge"},
		{"as large as it may be", strings.NewReader(big[1:]), 0, "eks", "InvalidSignatureException"},
	} {
		r := w.build(t, server.URL, request{as: admin, service: tt.service, method: "POST", path: "/", body: "{}"})
		r.Body, r.ContentLength = io.NopCloser(tt.body), tt.length
		r.GetBody = nil
		if got := do(t, server.Client(), r); got.code() != tt.code {
			t.Errorf("%s: %d %q, want %q", tt.name, got.status, got.code(), tt.code)
		}
	}
}

// TestMessagesStayShort sends what a message would quote.
func TestMessagesStayShort(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	long := strings.Repeat("x", 100<<10)
	for _, in := range []request{
		{service: "sts", method: "POST", path: "/", body: "Action=AssumeRoleWithWebIdentity&Version=" + long},
		{service: "sts", method: "POST", path: "/", body: "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + long + "&RoleSessionName=" + long + "&WebIdentityToken=" + long},
		{as: admin, service: "iam", method: "POST", path: "/", body: "Action=GetRole&Version=2010-05-08&RoleName=" + long},
		{as: admin, service: "eks", method: "GET", path: "/clusters/" + long},
		{as: admin, service: "eks", method: "GET", path: "/" + long},
		{as: admin, service: "lanyard", method: "POST", path: "/lanyard/v1/revocations", body: `{"kind":"` + long + `"}`},
	} {
		before := len(w.log.String())
		got := w.send(t, server, in)
		if got.status < 400 || len(got.body) > 8<<10 {
			t.Errorf("%s %.30s: status %d and %d bytes, want a short refusal", in.method, in.path, got.status, len(got.body))
		}
		if line := w.log.String()[before:]; len(line) > 16<<10 {
			t.Errorf("%s %.30s: the log line has %d bytes", in.method, in.path, len(line))
		}
	}
}

// TestLogLinesStayLines sends what would begin a new line, or another member, in a log that is careless.
func TestLogLinesStayLines(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	got := w.send(t, server, request{
		as: admin, service: "eks", method: "GET", path: "/clusters/x%0a%7b%22level%22:%22FORGED%22%7d%22,%22level%22:%22FORGED",
		header: http.Header{"User-Agent": {`x","level":"FORGED`}},
	})
	if got.status != 404 {
		t.Fatalf("status %d, want 404", got.status)
	}
	for _, line := range strings.Split(strings.TrimSpace(w.log.String()), "\n") {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("log line %q: %v", line, err)
		}
		if fields["level"] == "FORGED" {
			t.Errorf("log line %q was forged", line)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	admin := w.account(t, ours)
	server := w.serve(t, w.config())
	var wait sync.WaitGroup
	codes := make([]string, 64)
	for i := range codes {
		wait.Add(1)
		go func() {
			defer wait.Done()
			r := w.build(t, server.URL, request{as: admin, service: "eks", method: "GET", path: "/clusters/dev"})
			resp, err := server.Client().Do(r)
			if err != nil {
				codes[i] = err.Error()
				return
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != 200 {
				codes[i] = resp.Status
			}
		}()
	}
	wait.Wait()
	for i, code := range codes {
		if code != "" {
			t.Errorf("call %d: %s", i, code)
		}
	}
}
