package agent

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

func TestCredentialsInUseAreRenewedAhead(t *testing.T) {
	cases := []struct {
		name    string
		session time.Duration
		used    time.Duration // when the pod asked last, after noon
		at      time.Duration
		want    int64 // calls, the first included
	}{
		{"not yet", 6 * time.Hour, 2 * time.Hour, 2*time.Hour + 23*time.Minute, 1},
		{"at the retention", 6 * time.Hour, 2 * time.Hour, 3 * time.Hour, 2},
		{"unused for two hours", 6 * time.Hour, time.Hour, 3 * time.Hour, 1},
		{"a short session: at two thirds", 30 * time.Minute, 0, 20 * time.Minute, 2},
		{"a short session: not yet", 30 * time.Minute, 0, 15 * time.Minute, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.fake.session.Store(int64(c.session.Seconds()))
			r.wantStatus(t, day("a"), http.StatusOK)
			r.fake.clock.advance(c.used)
			r.wantStatus(t, day("a"), http.StatusOK)
			r.fake.clock.advance(c.at - c.used)
			r.second(t)
			r.wantCalls(t, c.want)
			r.second(t)
			r.wantCalls(t, c.want)
		})
	}
}

func TestARenewalKeepsTheTokenAndChangesTheAnswer(t *testing.T) {
	r := newRig(t, nil)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.fake.clock.advance(time.Hour + 50*time.Minute)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.fake.clock.advance(70 * time.Minute)
	var asked string
	r.fake.answerWith(func(_ http.ResponseWriter, token string) bool { asked = token; return false })
	r.second(t)
	if asked != day("a") {
		t.Errorf("renewed with %q, want the pod's own token", asked)
	}
	if w := r.wantStatus(t, day("a"), http.StatusOK); !strings.Contains(w.Body.String(), "ASIAPOD2") {
		t.Errorf("the old answer is given: %s", w.Body)
	}
	r.wantCalls(t, 2)
}

func TestAFailedRenewalIsTriedAgainAndKeepsWhatIsHeld(t *testing.T) {
	r := newRig(t, nil)
	r.fake.session.Store(3600)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.fake.clock.advance(40 * time.Minute)
	r.fake.refuseWith(503, "ServiceUnavailableException", "later")
	r.second(t)
	r.second(t)
	r.wantCalls(t, 2) // not each second
	for range 20 * 60 / 10 {
		r.fake.clock.advance(10 * time.Second)
		r.second(t)
	}
	if got := r.fake.calls.Load(); got < 10 || got > 40 {
		t.Errorf("%d calls in the 20 minutes left, want one each minute or two and more towards the end", got)
	}
	if got := len(r.cache.entries); got != 0 {
		t.Errorf("%d entries after the session's end", got)
	}
}

// 10,000 due at once with three minutes left are far more than the configured pace gets done.
func TestEveryDueEntryIsRenewedBeforeItExpires(t *testing.T) {
	const entries = 10_000
	r := newRig(t, func(c *Config) { c.CacheSize = entries })
	end := noon.Add(3 * time.Minute)
	for i := range entries {
		text := day(fmt.Sprint(i))
		parsed, err := parseToken(text, noon)
		if err != nil {
			t.Fatal(err)
		}
		e, err := newEntry(keyOf(text), parsed, credentials{expires: end}, noon)
		if err != nil {
			t.Fatal(err)
		}
		e.renew = noon
		r.cache.put(e)
	}
	most := int64(0)
	for range 3*60 - int(spent.Seconds()) {
		before := r.fake.calls.Load()
		r.second(t)
		most = max(most, r.fake.calls.Load()-before)
		r.fake.clock.advance(time.Second)
	}
	r.wantCalls(t, entries)
	if got := len(r.cache.entries); got != entries {
		t.Errorf("%d entries are held, want all %d", got, entries)
	}
	if most > 200 {
		t.Errorf("%d renewals in one second: they should be spread over half of the time left", most)
	}
}

func TestThePaceIsKeptWhileThereIsTime(t *testing.T) {
	r := newRig(t, nil)
	for i := range 30 {
		r.wantStatus(t, day(fmt.Sprint(i)), http.StatusOK)
	}
	r.fake.clock.advance(100 * time.Minute)
	for i := range 30 {
		r.wantStatus(t, day(fmt.Sprint(i)), http.StatusOK)
	}
	r.fake.clock.advance(80 * time.Minute)
	for i := range int64(10) {
		r.wantCalls(t, 30+3*i)
		r.second(t)
	}
	r.wantCalls(t, 60)
}

func TestOwnIdentity(t *testing.T) {
	r := newRig(t, nil)
	if err := r.Ready(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Ready before the first session = %v", err)
	}
	r.second(t)
	if err := r.Ready(); err != nil {
		t.Errorf("Ready = %v", err)
	}
	form := r.fake.forms[0]
	for name, want := range map[string]string{
		"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "WebIdentityToken": "agent.own.token-1",
		"RoleArn": "arn:aws:iam::111122223333:role/lanyard-agent-x", "RoleSessionName": "node-1.example",
	} {
		if got := form[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if err := os.WriteFile(r.file, []byte("agent.own.token-2"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.fake.clock.advance(31 * time.Minute)
	r.second(t)
	if got := r.fake.identities.Load(); got != 1 {
		t.Errorf("renewed after %d sessions at half time", got)
	}
	r.fake.clock.advance(9 * time.Minute) // two thirds
	r.second(t)
	if got := r.fake.forms[len(r.fake.forms)-1]["WebIdentityToken"][0]; got != "agent.own.token-2" {
		t.Errorf("renewed with %q, want the token file's new content", got)
	}
}

// What somebody else's attempt is about to do is not told as done.
func TestARenewalIsToldWhenItWasOne(t *testing.T) {
	r := newRig(t, nil)
	r.upstream.identity.turn <- struct{}{} // another attempt is under way
	r.second(t)
	if got := r.log.String(); r.fake.identities.Load() != 0 || strings.Contains(got, "identity is") {
		t.Errorf("%d sessions were asked for, and told is:\n%s", r.fake.identities.Load(), got)
	}
	<-r.upstream.identity.turn
	r.second(t)
	if got := strings.Count(r.log.String(), "the agent's identity is renewed"); got != 1 {
		t.Errorf("after the renewal it is told %d times:\n%s", got, r.log)
	}
}

func TestSTSIsNotFloodedWhenItRefuses(t *testing.T) {
	r := newRig(t, nil)
	r.fake.sts = func(w http.ResponseWriter) bool {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>`)
		return true
	}
	for i := range 20 {
		r.wantStatus(t, day(fmt.Sprint(i)), http.StatusServiceUnavailable)
	}
	r.wantCalls(t, 0)
	if got := r.fake.identities.Load(); got != 1 {
		t.Errorf("STS was asked %d times, want once", got)
	}
	if !strings.Contains(r.log.String(), "status 403, AccessDenied: Not authorized") {
		t.Errorf("the log does not tell STS's reason:\n%s", r.log)
	}
	r.fake.mu.Lock()
	r.fake.sts = nil
	r.fake.mu.Unlock()
	r.fake.clock.advance(2 * patience)
	r.wantStatus(t, day("later"), http.StatusOK)
}

func TestARefusedIdentityIsRenewedOnce(t *testing.T) {
	r := newRig(t, nil)
	r.second(t)
	r.fake.clock.advance(time.Minute)
	r.fake.stale["ASIAAGENT1"] = true
	r.wantStatus(t, day("a"), http.StatusOK)
	r.wantCalls(t, 2)
	if got := r.fake.identities.Load(); got != 2 {
		t.Errorf("%d sessions, want 2", got)
	}
	r.fake.mu.Lock()
	r.fake.stale["ASIAAGENT2"] = true
	r.fake.mu.Unlock()
	for i := range 5 { // at once again: a third session would be refused too
		r.wantStatus(t, day(fmt.Sprint(i)), http.StatusServiceUnavailable)
	}
	if got := r.fake.identities.Load(); got != 2 {
		t.Errorf("%d sessions, want 2: STS is hammered", got)
	}
}

func TestManyWaitForOneIdentity(t *testing.T) {
	r := newRig(t, nil)
	var pods sync.WaitGroup
	for i := range 32 {
		pods.Go(func() { r.wantStatus(t, day(fmt.Sprint(i)), http.StatusOK) })
	}
	pods.Wait()
	if got := r.fake.identities.Load(); got != 1 {
		t.Errorf("%d sessions, want 1", got)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CacheSize = 2 })
	for _, name := range []string{"a", "b", "a", "c"} { // b is the longest unused
		r.wantStatus(t, day(name), http.StatusOK)
	}
	r.wantCalls(t, 3)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.wantCalls(t, 3)
	r.wantStatus(t, day("b"), http.StatusOK)
	r.wantCalls(t, 4)
}

func TestNothingIsCachedWhenToldSo(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"size":      func(c *Config) { c.CacheSize = -1 },
		"retention": func(c *Config) { c.Retention = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, change)
			r.wantStatus(t, day("a"), http.StatusOK)
			r.wantStatus(t, day("a"), http.StatusOK)
			r.wantCalls(t, 2)
		})
	}
}

func TestRunEndsWithNothingLeftBehind(t *testing.T) {
	r := newRig(t, nil)
	ctx, stop := contextWithCancel(t)
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	r.wantStatus(t, day("a"), http.StatusOK)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, left := range []string{"agent.(*Agent)", "agent.(*identity)", "agent.(*upstream)"} {
		if strings.Contains(string(stacks), left) {
			t.Errorf("a goroutine of %s is left:\n%s", left, stacks)
		}
	}
}
