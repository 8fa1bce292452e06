package agent

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The node's clock is wrong by some minutes, the server's is right.
func TestAWrongClock(t *testing.T) {
	for _, c := range []struct {
		name  string
		ahead time.Duration // of this node
		fine  bool
	}{
		{"right", 0, true},
		{"by a second", time.Second, true},
		{"ten minutes ahead", 10 * time.Minute, true},
		{"ten minutes behind", -10 * time.Minute, true},
		{"twenty minutes ahead", 20 * time.Minute, false},
		{"twenty minutes behind", -20 * time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.fake.behind.Store(int64(-c.ahead))
			server := func() time.Time { return r.now().Add(-c.ahead) }
			r.fake.session.Store(20 * 60)
			r.second(t)
			// A token of ten minutes, by the clock of who made it.
			text := token("short", server().Add(10*time.Minute))
			if !c.fine {
				w := r.wantStatus(t, text, http.StatusServiceUnavailable)
				for _, clock := range []time.Time{r.now(), server()} {
					if !strings.Contains(w.Body.String(), clock.Format(zulu)) {
						t.Errorf("the error does not name %s: %s", clock.Format(zulu), w.Body)
					}
				}
				if got := r.fake.identities.Load(); got != 1 {
					t.Errorf("%d sessions: another one does not set the clock", got)
				}
				return
			}
			w := r.wantStatus(t, text, http.StatusOK)
			r.wantStatus(t, text, http.StatusOK)
			r.wantCalls(t, 1)
			// SDKs on this node compare the end with this node's clock.
			want := r.now().Add(20 * time.Minute)
			if d := expiration(t, w).Sub(want); d.Abs() > noticed {
				t.Errorf("the session of twenty minutes ends %v off for this node", d)
			}
			r.fake.clock.advance(9*time.Minute + 45*time.Second)
			r.wantStatus(t, text, http.StatusOK)
			r.fake.clock.advance(30 * time.Second)
			r.wantStatus(t, text, http.StatusBadRequest) // the token is over
			long := token("long", server().Add(time.Hour))
			r.wantStatus(t, long, http.StatusOK)
			r.fake.clock.advance(20*time.Minute - spent + time.Second)
			r.wantStatus(t, long, http.StatusOK) // the session is over: another
			r.wantCalls(t, 3)
		})
	}
}

func TestTheClockIsLearnedFromDatesThatMakeSense(t *testing.T) {
	w := &wall{now: func() time.Time { return noon }}
	for _, c := range []struct {
		date  string
		ahead time.Duration
		wrong bool
	}{
		{noon.Add(-5 * time.Minute).Format(http.TimeFormat), 5 * time.Minute, false},
		{"", 5 * time.Minute, false}, // says nothing
		{"yesterday", 5 * time.Minute, false},
		{noon.Add(-5 * time.Second).Format(http.TimeFormat), 0, false},
		{noon.Add(15 * time.Minute).Format(http.TimeFormat), -15 * time.Minute, false},
		{noon.Add(16 * time.Minute).Format(http.TimeFormat), 0, true},
		{time.Unix(0, 0).UTC().Format(http.TimeFormat), 0, true},
	} {
		w.learn(http.Header{"Date": {c.date}})
		if ahead, wrong := w.ahead(), w.wrong() != nil; ahead != c.ahead || wrong != c.wrong {
			t.Errorf("after the Date %q: %v ahead, wrong %v; want %v, %v", c.date, ahead, wrong, c.ahead, c.wrong)
		}
	}
}
