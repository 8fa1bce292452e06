package agent

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// trouble is what an upstream may do, beside what a pod with a new token is told.
var trouble = []struct {
	name string
	on   func(*rig, *pipes)
	off  func(*rig, *pipes)
	want int
}{
	{"refused", func(r *rig, p *pipes) { p.refusing.Store(true); p.halfOpen() }, func(_ *rig, p *pipes) { p.refusing.Store(false) }, 503},
	{"hanging", func(r *rig, _ *pipes) {
		r.fake.answerWith(func(http.ResponseWriter, string) bool { time.Sleep(time.Hour); return false })
	}, calm, 503},
	{"throttling", func(r *rig, _ *pipes) { r.fake.refuseWith(429, "ThrottlingException", "Rate exceeded") }, calm, 429},
	{"failing", func(r *rig, _ *pipes) { r.fake.refuseWith(500, "InternalServerException", "") }, calm, 503},
	{"unavailable", func(r *rig, _ *pipes) { r.fake.refuseWith(503, "ServiceUnavailableException", "") }, calm, 503},
	{"cut off", func(r *rig, _ *pipes) {
		r.fake.answerWith(func(http.ResponseWriter, string) bool { panic(http.ErrAbortHandler) })
	}, calm, 503},
	{"a proxy's page", func(r *rig, _ *pipes) {
		r.fake.answerWith(func(w http.ResponseWriter, _ string) bool { w.WriteHeader(404); return true })
	}, calm, 503},
}

func calm(r *rig, _ *pipes) { r.fake.answerWith(nil) }

// Hours without an upstream: what is held goes on being answered at once, a new token is told within a second, the
// upstream is left alone but for a try now and then, and when it is back everything is renewed without a rush.
func TestAnOutageOfHours(t *testing.T) {
	const tokens = 100
	for _, c := range trouble {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, p := newBubble(t, nil)
				stop := r.run(t)
				defer stop()
				ask := func() {
					t.Helper()
					began := time.Now()
					for i := range tokens {
						r.wantStatus(t, day(fmt.Sprint(i)), http.StatusOK)
					}
					if d := time.Since(began); d != 0 {
						t.Errorf("held credentials are answered after %v", d)
					}
				}
				synctest.Wait()
				ask()
				time.Sleep(2 * time.Hour)
				ask() // they are in use: at three hours they are due
				r.wantCalls(t, tokens)

				c.on(r, p)
				dialed := p.dialed.Load()
				for hour := range 3 { // to five hours of the session's six
					for minute := range 60 {
						time.Sleep(time.Minute)
						if minute%20 == 0 {
							ask()
							began := time.Now()
							w := r.wantStatus(t, day(fmt.Sprint("new", hour, minute)), c.want)
							if d := time.Since(began); d > time.Second || !strings.Contains(w.Body.String(), "try again") {
								t.Errorf("a new token is told %s after %v", w.Body, d)
							}
						}
					}
				}
				if tried := r.fake.calls.Load() - tokens; tried > 400 {
					t.Errorf("the upstream is asked %d times in three hours, want about one a minute", tried)
				}
				if churned := p.dialed.Load() - dialed; churned > 400 {
					t.Errorf("%d connections in three hours", churned)
				}
				if c.name != "refused" && r.fake.calls.Load()-tokens < 60 {
					t.Errorf("the upstream is asked %d times only in three hours", r.fake.calls.Load()-tokens)
				}

				c.off(r, p)
				before := r.fake.calls.Load()
				most, last := int64(0), before
				for range 55 * 60 { // up to the session's end
					time.Sleep(time.Second)
					now := r.fake.calls.Load()
					most, last = max(most, now-last), now
				}
				if renewed := last - before; renewed < tokens || most > 10 {
					t.Errorf("%d renewed before their end, %d of them in one second; want all %d, without a rush", renewed, most, tokens)
				}
				time.Sleep(10 * time.Minute)
				ask()
			})
		})
	}
}

func TestAHalfOpenConnectionCostsOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newBubble(t, nil)
		r.wantStatus(t, day("held"), http.StatusOK)
		p.halfOpen()
		began := time.Now()
		r.wantStatus(t, day("a"), http.StatusServiceUnavailable)
		if d := time.Since(began); d > time.Second {
			t.Errorf("told after %v", d)
		}
		r.wantStatus(t, day("held"), http.StatusOK)
		r.wantStatus(t, day("a"), http.StatusOK) // over a connection that lives
		r.wantStatus(t, day("b"), http.StatusOK)
		if got := p.dialed.Load(); got != 2 {
			t.Errorf("%d connections, want the dead one and one more", got)
		}
	})
}

// One answer that takes too long says nothing about the connections of the others, which answer meanwhile.
func TestASlowUpstreamKeepsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newBubble(t, nil)
		r.wantStatus(t, day("first"), http.StatusOK)
		r.fake.answerWith(func(_ http.ResponseWriter, token string) bool {
			if token == day("slowest") {
				time.Sleep(time.Hour)
			}
			time.Sleep(900 * time.Millisecond)
			return false
		})
		slowest := make(chan int)
		go func() { slowest <- r.get(day("slowest")).Code }()
		time.Sleep(10 * time.Millisecond)
		r.wantStatus(t, day("slow"), http.StatusOK)
		if got := <-slowest; got != http.StatusServiceUnavailable {
			t.Errorf("the slowest: status %d", got)
		}
		before := p.dialed.Load()
		r.wantStatus(t, day("another"), http.StatusOK)
		if got := p.dialed.Load(); got != before {
			t.Errorf("%d more connections: the idle one was thrown away", got-before)
		}
	})
}

func TestConnectionsAreAsManyAsCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := newBubble(t, nil)
		r.fake.answerWith(func(http.ResponseWriter, string) bool { time.Sleep(20 * time.Millisecond); return false })
		r.wantStatus(t, day("first"), http.StatusOK) // the identity too
		done := make(chan bool)
		for pod := range 32 {
			go func() {
				for i := range 60 {
					r.wantStatus(t, day(fmt.Sprint(pod, "-", i)), http.StatusOK)
				}
				done <- true
			}()
		}
		for range 32 {
			<-done
		}
		r.wantCalls(t, 1+32*60)
		if got := p.dialed.Load(); got > 32 {
			t.Errorf("%d connections for 32 at once", got)
		}
	})
}

// A pod whose tokens are refused one after the other costs the node no more than a few calls a second.
func TestRefusedTokensAreFew(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CacheSize = 10 })
	good := day("honest")
	r.fake.answerWith(func(w http.ResponseWriter, token string) bool {
		if token == good {
			return false
		}
		exception(w, 400, "InvalidTokenException", "no")
		return true
	})
	for second := range int64(3) {
		for i := range 5 * junkPerPeer {
			want := http.StatusBadRequest
			if i >= junkPerPeer {
				want = http.StatusTooManyRequests
			}
			if got := r.getFrom("10.6.6.6:1", day(fmt.Sprint(second, "-", i))).Code; got != want {
				t.Fatalf("junk %d: status %d, want %d", i, got, want)
			}
		}
		r.wantCalls(t, (second+1)*junkPerPeer+min(second, 1))
		if got := r.getFrom("10.0.0.1:1", good).Code; got != http.StatusOK {
			t.Errorf("the honest pod got status %d", got)
		}
		r.fake.clock.advance(time.Second)
	}
}

// The time at the gate is part of the second that a pod waits.
func TestAFullQueueAndADeadUpstreamAreToldWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newBubble(t, nil)
		r.wantStatus(t, day("first"), http.StatusOK)
		r.fake.answerWith(func(http.ResponseWriter, string) bool { time.Sleep(time.Hour); return false })
		type told struct {
			status int
			after  time.Duration
		}
		answers := make(chan told, 300)
		began := time.Now()
		for i := range 300 {
			go func() {
				status := r.getFrom("10.6.6.6:1", day(fmt.Sprint(i))).Code
				answers <- told{status, time.Since(began)}
			}()
		}
		count := map[int]int{}
		for range 300 {
			got := <-answers
			count[got.status]++
			if got.after > time.Second {
				t.Errorf("status %d after %v", got.status, got.after)
			}
		}
		if count[503] != r.gate.perPeer || count[429] != 300-r.gate.perPeer {
			t.Errorf("answers by status: %v, want %d of 503 and the others 429", count, r.gate.perPeer)
		}
	})
}

// The stream, which may wait for long, does not keep pods from a new attempt where STS took a question and never answers.
func TestAHangingSTSIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newBubble(t, nil)
		r.fake.sts = func(http.ResponseWriter) bool {
			if r.fake.identities.Load() == 1 {
				time.Sleep(time.Hour)
			}
			return false
		}
		followed := make(chan error, 1)
		go func() {
			_, err := r.follow(t.Context())
			followed <- err
		}()
		time.Sleep(5*time.Second + 2*patience)
		r.wantStatus(t, day("a"), http.StatusOK)
		if err := <-followed; err == nil {
			t.Error("the stream is followed without an identity")
		}
	})
}
