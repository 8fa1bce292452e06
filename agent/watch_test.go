package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pusher is the server's side of the stream: what the test sends is a line.
type pusher struct {
	lines chan pushed
	asked chan string // the body of each request
	end   chan bool
}

func (r *rig) push() *pusher {
	p := &pusher{make(chan pushed), make(chan string, 1000), make(chan bool)}
	r.fake.mu.Lock()
	defer r.fake.mu.Unlock()
	r.fake.stream = func(w http.ResponseWriter, request *http.Request, asked string) {
		p.asked <- asked
		for {
			select {
			case line := <-p.lines:
				text, _ := json.Marshal(line)
				_, _ = w.Write(append(text, '\n'))
				_ = http.NewResponseController(w).Flush()
			case <-p.end:
				return
			case <-request.Context().Done():
				return
			}
		}
	}
	return p
}

func line(revision int64, list ...invalidation) pushed {
	return pushed{Epoch: "e", Revision: revision, Invalidations: list}
}

func TestAnInvalidationEndsWhatItNamesAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		in   invalidation
		ends bool
	}{
		{invalidation{byServiceAccount, "default/api"}, true},
		{invalidation{byServiceAccount, "default/ap"}, false},
		{invalidation{byServiceAccount, "other/api"}, false},
		{invalidation{byAssociation, "a-1"}, true},
		{invalidation{byAssociation, "a-2"}, false},
		{invalidation{byRole, "AROA"}, true},
		{invalidation{byRole, "AROA:eks-dev-api"}, false},
		{invalidation{bySession, "ASIAPOD1"}, true},
		{invalidation{bySession, "ASIAPOD2"}, false},
		{invalidation{byPod, "default/p"}, true},
		{invalidation{byPod, "default/q"}, false},
		{invalidation{byPodUID, "uid-of-p"}, true},
		{invalidation{byPodUID, "uid-of-q"}, false},
		{invalidation{byNode, "node-1"}, true},
		{invalidation{byNode, "node-2"}, false},
		{invalidation{byCluster, ""}, true},
	} {
		t.Run(c.in.Kind+" "+c.in.Value, func(t *testing.T) {
			r := newRig(t, nil)
			r.wantStatus(t, day("p"), http.StatusOK)
			r.obey(t.Context(), line(1, c.in))
			r.wantStatus(t, day("p"), http.StatusOK)
			want := int64(1)
			if c.ends {
				want = 2
			}
			r.wantCalls(t, want)
		})
	}
}

// An association that has just been made serves the pod that was refused a moment ago.
func TestAnInvalidationEndsRefusalsToo(t *testing.T) {
	r := newRig(t, nil)
	r.fake.refuseWith(404, "ResourceNotFoundException", "no association")
	r.wantStatus(t, day("a"), http.StatusNotFound)
	r.fake.answerWith(nil)
	r.wantStatus(t, day("a"), http.StatusNotFound)
	r.obey(t.Context(), line(1, invalidation{byServiceAccount, "default/api"}))
	r.wantStatus(t, day("a"), http.StatusOK)
}

// What was asked before a change and answered after it is of before, perhaps.
func TestAnInvalidationDuringACall(t *testing.T) {
	hers := invalidation{byServiceAccount, "default/api"}
	for _, c := range []struct {
		name string
		push func(call int64) []pushed // during the call
		want int64                     // calls for two requests
	}{
		{"nothing", func(int64) []pushed { return nil }, 1},
		{"of another", func(int64) []pushed { return []pushed{line(1, invalidation{byServiceAccount, "x/y"})} }, 1},
		{"once", func(call int64) []pushed {
			if call == 1 {
				return []pushed{line(1, hers)}
			}
			return nil
		}, 2}, // asked again, and kept
		{"each time", func(int64) []pushed { return []pushed{line(1, hers)} }, 4}, // never kept
		{"more than is remembered", func(call int64) []pushed {
			var many []pushed
			for i := range int64(100) {
				many = append(many, line(call+i, invalidation{byPod, "x/y"}))
			}
			return many
		}, 4},
		{"a recheck", func(call int64) []pushed {
			if call == 1 {
				return []pushed{{Epoch: "e", Recheck: true}}
			}
			return nil
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.fake.answerWith(func(http.ResponseWriter, string) bool {
				for _, l := range c.push(r.fake.calls.Load()) {
					r.obey(t.Context(), l)
				}
				return false
			})
			r.wantStatus(t, day("a"), http.StatusOK)
			r.wantStatus(t, day("a"), http.StatusOK)
			r.wantCalls(t, c.want)
		})
	}
}

func TestTheStreamIsFollowedAndTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, net := newBubble(t, nil)
		p := r.push()
		defer r.run(t)()
		synctest.Wait()
		if got, want := <-p.asked, `{"epoch":"","revision":0,"associations":[],"roles":[]}`; got != want {
			t.Errorf("at first the agent says %s, want %s", got, want)
		}
		p.lines <- line(7)
		r.wantStatus(t, day("p"), http.StatusOK)
		p.lines <- line(8, invalidation{byServiceAccount, "default/api"})
		synctest.Wait()
		r.wantStatus(t, day("p"), http.StatusOK)
		r.wantCalls(t, 2)

		want := `{"epoch":"e","revision":8,"associations":["a-1"],"roles":["AROA"]}`
		for name, breaks := range map[string]func(){
			"it ends":                   func() { p.end <- true },
			"it cannot be read":         func() { p.lines <- pushed{} },
			"it is dead and not closed": net.halfOpen,
		} {
			breaks()
			began := time.Now()
			if got := <-p.asked; got != want {
				t.Errorf("%s: the agent says %s, want %s", name, got, want)
			}
			limit := time.Second
			if name == "it is dead and not closed" {
				limit += silence
			}
			if d := time.Since(began); d > limit {
				t.Errorf("%s: it is taken up again after %v", name, d)
			}
			p.lines <- line(8)
		}
		for range 100 { // heartbeats keep it open
			time.Sleep(5 * time.Second)
			p.lines <- line(8)
		}
		if n := len(p.asked); n > 0 {
			t.Errorf("a stream that lives is opened %d more times", n)
		}
		r.wantStatus(t, day("p"), http.StatusOK)
		r.wantCalls(t, 2)
	})
}

// A server that says nothing of what has changed makes everything be asked about again within a minute, while it is
// answered still.
func TestARecheckAsksAboutEverythingInAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tokens = 600
		r, _ := newBubble(t, nil)
		p := r.push()
		defer r.run(t)()
		synctest.Wait()
		p.lines <- line(1)
		for i := range tokens {
			r.wantStatus(t, day(fmt.Sprint(i)), http.StatusOK)
		}
		time.Sleep(time.Second)
		r.fake.answerWith(func(w http.ResponseWriter, token string) bool {
			if token == day("1") {
				exception(w, 404, "ResourceNotFoundException", "no association")
				return true
			}
			return false
		})
		p.lines <- pushed{Epoch: "other", Revision: 1, Recheck: true}
		most, last := int64(0), int64(tokens)
		for range 60 / 5 {
			for range 5 {
				r.wantStatus(t, day("0"), http.StatusOK)
				time.Sleep(time.Second)
				now := r.fake.calls.Load()
				most, last = max(most, now-last), now
			}
			p.lines <- pushed{Epoch: "other", Revision: 1}
		}
		r.wantCalls(t, 2*tokens)
		if most > 60 {
			t.Errorf("%d calls in one second: a herd", most)
		}
		r.wantStatus(t, day("1"), http.StatusNotFound)
	})
}

func TestARecheckDropsWhatIsNotInUse(t *testing.T) {
	r := newRig(t, nil)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.fake.clock.advance(idle)
	r.obey(t.Context(), pushed{Epoch: "e", Recheck: true})
	r.wantStatus(t, day("a"), http.StatusOK)
	r.wantCalls(t, 2)
}

// A kind that a newer server pushes may mean anything.
func TestAnUnknownKindIsARecheck(t *testing.T) {
	r := newRig(t, nil)
	r.wantStatus(t, day("a"), http.StatusOK)
	r.obey(t.Context(), line(1, invalidation{"weather", "bad"}))
	r.second(t)
	r.wantCalls(t, 2)
}

func TestAStreamThatDoesNotComeAboutIsTriedLessAndLess(t *testing.T) {
	for _, c := range []struct {
		name        string
		refuse      func(http.ResponseWriter)
		least, most int // in an hour
		identities  int64
	}{
		{"unavailable", func(w http.ResponseWriter) { exception(w, 503, "ServiceUnavailableException", "later") }, 110, 300, 2},
		{"throttled", func(w http.ResponseWriter) { exception(w, 429, "ThrottlingException", "Rate exceeded") }, 110, 300, 2},
		{"the session is over", func(w http.ResponseWriter) { exception(w, 403, "ExpiredTokenException", "revoked") }, 110, 300, 300},
		{"not this agent's", func(w http.ResponseWriter) { exception(w, 403, "AccessDeniedException", "no") }, 5, 13, 2},
		{"no Lanyard", func(w http.ResponseWriter) { exception(w, 404, "UnknownOperationException", "") }, 5, 13, 2},
		{"a web page", func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }, 5, 13, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := newBubble(t, nil)
				tried := make(chan bool, 10_000)
				r.fake.stream = func(w http.ResponseWriter, _ *http.Request, _ string) {
					tried <- true
					w.Header().Set("Content-Type", "text/html")
					c.refuse(w)
				}
				defer r.run(t)()
				time.Sleep(time.Hour)
				if n := len(tried); n < c.least || n > c.most {
					t.Errorf("tried %d times in an hour, want %d to %d", n, c.least, c.most)
				}
				if got := r.fake.identities.Load(); got > c.identities {
					t.Errorf("%d sessions in an hour", got)
				}
				r.wantStatus(t, day("a"), http.StatusOK) // and pods are served
				if n := strings.Count(r.log.String(), "no invalidations are pushed"); n != 1 {
					t.Errorf("told %d times in the log:\n%s", n, r.log)
				}
			})
		})
	}
}

// Nodes that lose a server together do not come back together.
func TestPausesDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 8 {
			r, _ := newBubble(t, nil)
			var times []time.Time
			r.fake.stream = func(w http.ResponseWriter, _ *http.Request, _ string) {
				times = append(times, time.Now())
				exception(w, 503, "ServiceUnavailableException", "")
			}
			stop := r.run(t)
			time.Sleep(20 * time.Second)
			stop()
			seen[times[4].Sub(times[3])] = true
		}
		if len(seen) < 5 {
			t.Errorf("the pauses of eight agents are %v", seen)
		}
	})
}

func TestHeldNamesEachOnce(t *testing.T) {
	c := newCache(10)
	for i, of := range []credentials{
		{association: "a-1", role: "AROA1"}, {association: "a-1", role: "AROA1"}, {association: "a-2", role: "AROA1"}, {},
	} {
		of.expires = noon.Add(time.Hour)
		e, err := newEntry(keyOf(fmt.Sprint(i)), podToken{expires: noon.Add(time.Hour)}, of, noon)
		if err != nil {
			t.Fatal(err)
		}
		c.put(e)
	}
	associations, roles := c.held()
	if diff := cmp.Diff([][]string{associations, roles}, [][]string{{"a-2", "a-1"}, {"AROA1"}}); diff != "" {
		t.Errorf("held (-got +want):\n%s", diff)
	}
}
