package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnswerIsWhatEverySDKReads(t *testing.T) {
	r := newRig(t, nil)
	w := r.wantStatus(t, day("a"), http.StatusOK)
	want := `{"AccessKeyId":"ASIAPOD1","SecretAccessKey":"pod-secret","Token":"pod-session/+\u003c\u0026","AccountId":"111122223333","Expiration":"2026-11-22T13:00:00Z"}`
	if diff := cmp.Diff(w.Body.String(), want); diff != "" {
		t.Errorf("body (-got +want):\n%s", diff)
	}
	if got, want := w.Header().Get("Content-Length"), strconv.Itoa(len(want)); got != want {
		t.Errorf("Content-Length %q, want %q", got, want)
	}
	if got, want := w.Header()["Content-Type"], []string{"application/json"}; !cmp.Equal(got, want) {
		t.Errorf("Content-Type %q, want %q", got, want)
	}
}

func expiration(t *testing.T, w *httptest.ResponseRecorder) time.Time {
	t.Helper()
	var body struct{ Expiration time.Time }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("body %s: %v", w.Body, err)
	}
	return body.Expiration
}

func TestExpirationIsClipped(t *testing.T) {
	cases := []struct {
		name    string
		session time.Duration
		later   time.Duration
		want    time.Duration // after noon
	}{
		{"a long session: an hour", 6 * time.Hour, 0, time.Hour},
		{"within the minute: the prepared answer", 6 * time.Hour, 59 * time.Second, time.Hour},
		{"later: it moves on", 6 * time.Hour, 90 * time.Minute, 150 * time.Minute},
		{"a short session: its end", 20 * time.Minute, 0, 20 * time.Minute},
		{"a short session later: still its end", 20 * time.Minute, 10 * time.Minute, 20 * time.Minute},
		{"near the end of a long one: its end", 6 * time.Hour, 5*time.Hour + 30*time.Minute, 6 * time.Hour},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.fake.session.Store(int64(c.session.Seconds()))
			r.wantStatus(t, day("a"), http.StatusOK)
			r.fake.clock.advance(c.later)
			got := expiration(t, r.wantStatus(t, day("a"), http.StatusOK))
			if want := noon.Add(c.want); !got.Equal(want) {
				t.Errorf("Expiration %v, want %v", got, want)
			}
			r.wantCalls(t, 1)
		})
	}
}

func TestHeldCredentialsEndInTime(t *testing.T) {
	r := newRig(t, nil)
	short := token("short", noon.Add(10*time.Minute))
	r.wantStatus(t, short, http.StatusOK)
	r.fake.clock.advance(10*time.Minute - time.Second)
	r.wantStatus(t, short, http.StatusOK)
	r.fake.clock.advance(time.Second)
	r.wantStatus(t, short, http.StatusBadRequest) // the token is over, whatever the session says
	r.wantCalls(t, 1)

	r.wantStatus(t, day("long"), http.StatusOK)
	r.fake.clock.advance(6*time.Hour - spent)
	r.wantStatus(t, day("long"), http.StatusOK) // the session is over: a new one
	r.wantCalls(t, 3)
}

func TestEveryRefusalHasOneShape(t *testing.T) {
	cases := []struct {
		name           string
		status         int
		exception      string
		want           int
		code           string
		message        string
		drops, remains bool // what is held; whether it is remembered
	}{
		{"no association", 404, "ResourceNotFoundException", 404, "ResourceNotFoundException", "no association", true, true},
		{"role refused", 400, "AccessDeniedException", 400, "AccessDeniedException", "no association", true, true},
		{"caller refused", 403, "AccessDeniedException", 400, "AccessDeniedException", "no association", true, true},
		{"pod token over", 400, "ExpiredTokenException", 400, "ExpiredTokenException", "no association", true, true},
		{"pod token bad", 400, "InvalidTokenException", 400, "InvalidTokenException", "no association", true, true},
		{"parameter", 400, "InvalidParameterException", 400, "InvalidParameterException", "no association", false, true},
		{"request", 400, "InvalidRequestException", 400, "InvalidRequestException", "no association", false, true},
		{"unknown name", 400, "NewException", 400, "InvalidParameterException", "NewException: no association", false, true},
		{"throttled", 429, "ThrottlingException", 429, "ThrottlingException", "EKS Auth is asked too often: try again", false, false},
		{"throttled as 400", 400, "ThrottlingException", 429, "ThrottlingException", "EKS Auth is asked too often: try again", false, false},
		{"internal", 500, "InternalServerException", 503, "ServiceUnavailable", "EKS Auth is not available: try again", false, false},
		{"unavailable", 503, "ServiceUnavailableException", 503, "ServiceUnavailable", "EKS Auth is not available: try again", false, false},
		{"a proxy's 404", 404, "", 503, "ServiceUnavailable", "EKS Auth is not available: try again", false, false},
		{"a redirect", 302, "", 503, "ServiceUnavailable", "EKS Auth is not available: try again", false, false},
		{"the agent's signature", 403, "InvalidSignatureException", 503, "ServiceUnavailable", "EKS Auth does not accept this node's agent: try again", false, false},
		{"the agent's session", 403, "ExpiredTokenException", 503, "ServiceUnavailable", "EKS Auth does not accept this node's agent: try again", false, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.wantStatus(t, day("held"), http.StatusOK)
			r.fake.refuseWith(c.status, c.exception, "no\nassociation")
			w := r.wantStatus(t, day("new"), c.want)
			want, err := json.Marshal(struct {
				LowerCode    string `json:"code"`
				LowerMessage string `json:"message"`
				Code         string
				Message      string
			}{c.code, c.message, c.code, c.message})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.Body.String(), string(want)+"\n"); diff != "" {
				t.Errorf("body (-got +want):\n%s", diff)
			}
			if got := w.Header()["Content-Type"]; !cmp.Equal(got, []string{"application/json"}) {
				t.Errorf("Content-Type %q", got)
			}
			calls := r.fake.calls.Load()
			r.wantStatus(t, day("new"), c.want)
			if remembered := r.fake.calls.Load() == calls; remembered != c.remains {
				t.Errorf("refusal remembered: %v, want %v", remembered, c.remains)
			}

			r.fake.clock.advance(150 * time.Minute)
			r.wantStatus(t, day("held"), http.StatusOK) // in use still, and due soon
			r.fake.clock.advance(time.Hour)
			r.second(t)
			if _, held := r.cache.find(keyOf(day("held")), r.now()); held == c.drops {
				t.Errorf("credentials held after the renewal was refused: %v, want %v", held, !c.drops)
			}
		})
	}
}

func TestARefusalIsRememberedForTwoSeconds(t *testing.T) {
	r := newRig(t, nil)
	r.fake.refuseWith(404, "ResourceNotFoundException", "no association")
	r.wantStatus(t, day("a"), http.StatusNotFound)
	r.fake.clock.advance(refusalMemory - time.Millisecond)
	r.wantStatus(t, day("a"), http.StatusNotFound)
	r.wantCalls(t, 1)
	r.fake.answerWith(nil)
	r.wantStatus(t, day("b"), http.StatusOK) // another token is another question
	r.fake.clock.advance(time.Millisecond)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.wantCalls(t, 3)
}

func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	for i := range 3 * refusalCount {
		var k key
		k[0], k[1], k[2] = byte(i), byte(i>>8), byte(i>>16)
		r.put(k, errShape, noon.Add(time.Duration(i)*time.Microsecond))
	}
	if len(r.known) > refusalCount || len(r.order) != len(r.known) {
		t.Errorf("%d known, %d in order, want at most %d", len(r.known), len(r.order), refusalCount)
	}
}

// Each client writes the address that it asks in a way of its own: Go and curl put brackets around one of IPv6, AWS's common
// runtime does not.
func TestHostsOfTheAgent(t *testing.T) {
	r := newRig(t, func(cfg *Config) { cfg.Hosts = []string{IPv4, IPv6} })
	for host, want := range map[string]int{
		"169.254.170.23": 200, "169.254.170.23:80": 200, "[fd00:ec2::23]": 200, "[fd00:ec2::23]:80": 200, "fd00:ec2::23": 200,
		"169.254.170.24": 403, "[fd00:ec2::24]": 403, "fd00:ec2::24": 403, "fd00:ec2::23:80": 403, "[fd00:ec2::23": 403, "::": 403, ":": 403,
		"fd00:ec2::23.example:80": 403, "[fd00:ec2::23].example": 403, "127.0.0.1": 403,
	} {
		request := httptest.NewRequest(http.MethodGet, "http://"+IPv4+Path, http.NoBody)
		request.Host = host
		request.Header.Set("Authorization", day("good"))
		w := httptest.NewRecorder()
		if r.Handler().ServeHTTP(w, request); w.Code != want {
			t.Errorf("Host %q: %d, want %d: %s", host, w.Code, want, w.Body)
		}
	}
}

func TestHostileRequests(t *testing.T) {
	good := day("good")
	claims := func(payload string) string {
		return tokenMark + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	cases := []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"as it should be", func(*http.Request) {}, 200},
		{"a query", func(r *http.Request) { r.URL.RawQuery = "x=1" }, 200},
		{"a port in the host", func(r *http.Request) { r.Host = "127.0.0.1:8080" }, 200},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, 405},
		{"HEAD", func(r *http.Request) { r.Method = http.MethodHead }, 405},
		{"root", func(r *http.Request) { r.URL.Path = "/" }, 404},
		{"slash behind", func(r *http.Request) { r.URL.Path = "/v1/credentials/" }, 404},
		{"dots", func(r *http.Request) { r.URL.Path = "/v1/../v1/credentials" }, 404},
		{"another host", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"a rebound name", func(r *http.Request) { r.Host = "127.0.0.1.evil.example:80" }, 403},
		{"no host", func(r *http.Request) { r.Host = "" }, 403},
		{"the other address", func(r *http.Request) { r.Host = "[fd00:ec2::23]:80" }, 403},
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 400},
		{"empty token", func(r *http.Request) { r.Header.Set("Authorization", "") }, 400},
		{"two tokens", func(r *http.Request) { r.Header.Add("Authorization", good) }, 400},
		{"Bearer", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+good) }, 400},
		{"a newline behind", func(r *http.Request) { r.Header.Set("Authorization", good+"\n") }, 400},
		{"a quote, to leave the JSON", func(r *http.Request) { r.Header.Set("Authorization", good+`","x":"`) }, 400},
		{"two parts", func(r *http.Request) { r.Header.Set("Authorization", "a.b") }, 400},
		{"four parts", func(r *http.Request) { r.Header.Set("Authorization", good+".x") }, 400},
		{"an empty part", func(r *http.Request) { r.Header.Set("Authorization", "a..c") }, 400},
		{"no signature", func(r *http.Request) { r.Header.Set("Authorization", "a.b.") }, 400},
		{"dots only", func(r *http.Request) { r.Header.Set("Authorization", "..") }, 400},
		{"too long", func(r *http.Request) { r.Header.Set("Authorization", good+strings.Repeat("A", maxToken)) }, 400},
		{"no base64url", func(r *http.Request) { r.Header.Set("Authorization", "aaaa.a.aaaa") }, 400},
		{"no JSON", func(r *http.Request) { r.Header.Set("Authorization", claims("{")) }, 400},
		{"an array", func(r *http.Request) { r.Header.Set("Authorization", claims("[]")) }, 400},
		{"deep", func(r *http.Request) { r.Header.Set("Authorization", claims(strings.Repeat("[", 12000))) }, 400},
		{"no exp", func(r *http.Request) { r.Header.Set("Authorization", claims(`{"nbf":1}`)) }, 400},
		{"exp null", func(r *http.Request) { r.Header.Set("Authorization", claims(`{"exp":null}`)) }, 400},
		{"exp a string", func(r *http.Request) { r.Header.Set("Authorization", claims(`{"exp":"9"}`)) }, 400},
		{"exp of the far future", func(r *http.Request) { r.Header.Set("Authorization", claims(`{"exp":1e300}`)) }, 400},
		{"exp negative", func(r *http.Request) { r.Header.Set("Authorization", claims(`{"exp":-1}`)) }, 400},
		{"expired", func(r *http.Request) { r.Header.Set("Authorization", token("old", noon)) }, 400},
		{"not for long yet", func(r *http.Request) {
			r.Header.Set("Authorization", token("young", noon.Add(time.Second)))
		}, 200},
		{"of tomorrow", func(r *http.Request) { r.Header.Set("Authorization", claims(`{"exp":1800000000,"nbf":1795435200}`)) }, 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			request := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/v1/credentials", nil)
			request.Header.Set("Authorization", good)
			c.change(request)
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, request)
			if w.Code != c.want {
				t.Fatalf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if c.want == 200 {
				return
			}
			r.wantCalls(t, 0)
			var body struct{ Code, Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Code == "" || body.Message == "" {
				t.Errorf("body %s: %v", w.Body, err)
			}
			if len(body.Message) > maxMessage || strings.ContainsAny(body.Message, "\r\n") {
				t.Errorf("the message is not one short line: %q", body.Message)
			}
		})
	}
}

func TestAHerdMakesOneCall(t *testing.T) {
	r := newRig(t, nil)
	arrived, release := make(chan struct{}, 64), make(chan struct{})
	r.fake.answerWith(func(http.ResponseWriter, string) bool { <-release; return false })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		arrived <- struct{}{}
		r.Handler().ServeHTTP(w, request)
	}))
	defer server.Close()
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			if status, err := fetchOver(t.Context(), server.URL, day("herd")); status != http.StatusOK || err != nil {
				t.Errorf("status %d, %v", status, err)
			}
		})
	}
	for range 64 {
		<-arrived
	}
	close(release)
	clients.Wait()
	r.wantCalls(t, 1)
}

func fetchOver(ctx context.Context, url, token string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+Path, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func TestALeavingClientDoesNotTakeTheCallAlong(t *testing.T) {
	r := newRig(t, nil)
	called, release := make(chan struct{}), make(chan struct{})
	r.fake.answerWith(func(http.ResponseWriter, string) bool { close(called); <-release; return false })
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := fetchOver(ctx, server.URL, day("a"))
		left <- err
	}()
	<-called
	leave()
	if err := <-left; err == nil {
		t.Error("the first client did not leave")
	}
	second := make(chan int)
	go func() {
		status, _ := fetchOver(t.Context(), server.URL, day("a"))
		second <- status
	}()
	close(release)
	if got := <-second; got != http.StatusOK {
		t.Errorf("the second client got status %d", got)
	}
	r.wantCalls(t, 1)
}

func TestADeadUpstreamIsTold(t *testing.T) {
	cases := []struct {
		name   string
		answer func(w http.ResponseWriter)
	}{
		{"cut off", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
		{"no JSON", func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }},
		{"half of it", func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"credentials":{"accessKeyId":"A"}}`)) }},
		{"already over", func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"credentials":{"accessKeyId":"A","secretAccessKey":"S","sessionToken":"T","expiration":1000}}`))
		}},
		{"larger than SDKs read", func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"credentials":{"accessKeyId":"A","secretAccessKey":"S","sessionToken":"` + strings.Repeat("T", maxBody) + `","expiration":1900000000}}`))
		}},
		{"endless", func(w http.ResponseWriter) {
			for range 100 {
				_, _ = w.Write(make([]byte, maxAnswer))
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.wantStatus(t, day("held"), http.StatusOK)
			r.fake.answerWith(func(w http.ResponseWriter, _ string) bool { c.answer(w); return true })
			r.wantStatus(t, day("new"), http.StatusServiceUnavailable)
			r.wantStatus(t, day("held"), http.StatusOK)
		})
	}
}

func TestAHangingUpstreamIsToldInTime(t *testing.T) {
	r := newRig(t, nil)
	r.wantStatus(t, day("held"), http.StatusOK)
	release := make(chan struct{})
	defer close(release)
	r.fake.answerWith(func(http.ResponseWriter, string) bool { <-release; return false })
	w := r.wantStatus(t, day("new"), http.StatusServiceUnavailable) // it returns at all: the fake never answers
	if !strings.Contains(w.Body.String(), "cannot be reached") {
		t.Errorf("body %s", w.Body)
	}
	r.wantStatus(t, day("held"), http.StatusOK)
}

func TestAStaleConnectionCostsNobodyAnAnswer(t *testing.T) {
	r := newRig(t, nil)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.fake.closeConnections()
	r.wantStatus(t, day("b"), http.StatusOK)
}
