package awssts_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlanyard/lanyard/awssts"
	"github.com/openlanyard/lanyard/fault"
)

// life is something that lives for six hours, and knows the how manyth it is.
type life struct {
	from   time.Time
	number int
}

func (l life) Life() (from, to time.Time) { return l.from, l.from.Add(6 * time.Hour) }

// asker counts the questions to an STS that takes a moment, or fails.
type asker struct {
	asked atomic.Int64
	fails atomic.Pointer[error]
	takes time.Duration
}

func (a *asker) ask(ctx context.Context) (life, error) {
	n := a.asked.Add(1)
	if a.takes > 0 { // two timers that are due at once end the race detector inside a bubble (golang/go#78156)
		select {
		case <-time.After(a.takes):
		case <-ctx.Done():
			return life{}, fault.Hide(fault.Unavailable, ctx.Err(), "no answer")
		}
	}
	if err := a.fails.Load(); err != nil {
		return life{}, *err
	}
	return life{time.Now(), int(n)}, nil
}

func (a *asker) fail(err error) {
	if err == nil {
		a.fails.Store(nil)
		return
	}
	a.fails.Store(&err)
}

var (
	away     = fault.New(fault.Unavailable, "away")
	slowDown = fault.New(fault.Throttled, "slow down")
	no       = fault.New(fault.Denied, "no")
)

func always(life) bool { return true }

// get asks as a pod's request does, for 800 ms.
func get(k *awssts.Keeper[life], key byte, a *asker) (life, bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 800*time.Millisecond)
	defer cancel()
	return k.Get(ctx, "111122223333", awssts.Key{key}, always, a.ask)
}

func newKeeper(p awssts.Pace) *awssts.Keeper[life] { return awssts.NewKeeper[life](p, nil) }

func TestOneCallForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{}), &asker{takes: 100 * time.Millisecond}
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if got, fresh, err := get(k, 1, a); err != nil || got.number != 1 || !fresh {
					t.Errorf("got %v, %v, %v", got, fresh, err)
				}
			})
		}
		all.Wait()
		if _, fresh, err := get(k, 1, a); err != nil || fresh || a.asked.Load() != 1 {
			t.Errorf("later: fresh %v, %v, %d questions in all, want the one that is kept", fresh, err, a.asked.Load())
		}
		if got, _, err := get(k, 2, a); err != nil || got.number != 2 {
			t.Errorf("another key: %v, %v, want a session of its own", got, err)
		}
	})
}

// TestSlow: the call goes on when those who wait have gone, and serves who comes again.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{}), &asker{takes: 3 * time.Second}
		for range 3 {
			if _, _, err := get(k, 1, a); !fault.Is(err, fault.Unavailable) {
				t.Errorf("while it takes: %v, want Unavailable", err)
			}
		}
		time.Sleep(time.Second)
		if got, _, err := get(k, 1, a); err != nil || got.number != 1 || a.asked.Load() != 1 {
			t.Errorf("then: %v, %v, %d questions, want the first's answer", got, err, a.asked.Load())
		}
	})
}

func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early, late := 6*time.Hour, time.Duration(0)
		for key := range byte(50) {
			k, a := newKeeper(awssts.Pace{}), &asker{}
			began := time.Now()
			_, _, err := get(k, key, a)
			must(t, err)
			for a.asked.Load() == 1 {
				time.Sleep(time.Minute)
				_, _, err := get(k, key, a)
				must(t, err)
			}
			early, late = min(early, time.Since(began)), max(late, time.Since(began))
		}
		if early < 3*time.Hour+12*time.Minute || late > 4*time.Hour+time.Minute || late-early < 20*time.Minute {
			t.Errorf("renewed after %s to %s, want up to two thirds of 6 h, spread over a fifth of that", early, late)
		}
	})
}

// TestOutage: STS is away for an hour, in one way or another. Who has something keeps it, hardly anybody asks, and when STS
// is back it is used within a minute; who has nothing hears why.
func TestOutage(t *testing.T) {
	for name, how := range map[string]error{"away": away, "throttling": slowDown} {
		synctest.Test(t, func(t *testing.T) {
			k, a := newKeeper(awssts.Pace{}), &asker{}
			for key := range byte(100) {
				_, _, err := get(k, key, a)
				must(t, err)
			}
			time.Sleep(4*time.Hour + 30*time.Minute) // all are due, and have an hour and a half
			a.fail(how)
			a.asked.Store(0)
			for range 60 {
				for key := range byte(100) {
					if got, fresh, err := get(k, key, a); err != nil || fresh || got.number == 0 {
						t.Fatalf("%s: %v, %v, %v: a valid session was dropped", name, got, fresh, err)
					}
				}
				time.Sleep(time.Minute)
			}
			if n := a.asked.Load(); n > 300 {
				t.Errorf("%s: %d questions in the hour, want a few a minute", name, n)
			}
			if _, _, err := get(k, 200, a); fault.Of(err) != fault.Of(how) {
				t.Errorf("%s: who has nothing gets %v, want %v", name, err, how)
			}
			a.fail(nil)
			time.Sleep(time.Minute)
			for key := range byte(100) {
				if _, fresh, err := get(k, key, a); err != nil || !fresh {
					t.Errorf("%s: afterwards: fresh %v, %v", name, fresh, err)
				}
			}
		})
	}
}

// TestNewcomers wait two seconds at most after a failure, however long renewals pause.
func TestNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{}), &asker{}
		a.fail(away)
		for range 10 {
			if _, _, err := get(k, 1, a); !fault.Is(err, fault.Unavailable) {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		a.fail(nil)
		time.Sleep(2 * time.Second)
		if _, _, err := get(k, 1, a); err != nil {
			t.Errorf("two seconds later: %v", err)
		}
	})
}

// TestSpent: what is about to end is not handed out, even where STS gives nothing else.
func TestSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{}), &asker{}
		_, _, err := get(k, 1, a)
		must(t, err)
		a.fail(away)
		time.Sleep(6*time.Hour - 16*time.Second)
		if _, _, err := get(k, 1, a); err != nil {
			t.Errorf("16 s before its end: %v", err)
		}
		time.Sleep(2 * time.Second)
		if got, _, err := get(k, 1, a); err == nil {
			t.Errorf("14 s before its end it is still handed out: %v", got)
		}
	})
}

// TestRefusal: STS's no is the last word, and is not asked for again at once.
func TestRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{}), &asker{}
		_, _, err := get(k, 1, a)
		must(t, err)
		time.Sleep(4*time.Hour + time.Minute)
		a.fail(no)
		for range 5 {
			if _, _, err := get(k, 1, a); !errors.Is(err, no) {
				t.Errorf("got %v, want STS's refusal", err)
			}
		}
		if n := a.asked.Load(); n != 2 {
			t.Errorf("%d questions, want one for the refusal", n)
		}
		a.fail(nil)
		time.Sleep(2 * time.Second)
		if _, _, err := get(k, 1, a); err != nil {
			t.Errorf("allowed again: %v", err)
		}
	})
}

// TestRevoked: what is no longer good is not handed out, neither where STS is away nor if it became so during the call.
func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{}), &asker{takes: 100 * time.Millisecond}
		revoked := 0
		good := func(l life) bool { return l.number > revoked }
		get := func() (life, error) {
			ctx, cancel := context.WithTimeout(context.Background(), 800*time.Millisecond)
			defer cancel()
			l, _, err := k.Get(ctx, "111122223333", awssts.Key{1}, good, a.ask)
			return l, err
		}
		if l, err := get(); err != nil || l.number != 1 {
			t.Fatal(l, err)
		}
		revoked = 2 // the kept one, and the one that comes
		if l, err := get(); err != nil || l.number != 3 {
			t.Errorf("got %v, %v, want the third", l, err)
		}
		revoked = 3
		a.fail(away)
		if l, err := get(); err == nil {
			t.Errorf("got %v though it is revoked", l)
		}
	})
}

// TestBucket: one account's calls are paced, and another's are not held back by them.
func TestBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{Rate: 10, Burst: 20}), &asker{}
		var served atomic.Int64
		var all sync.WaitGroup
		for key := range byte(200) {
			all.Go(func() {
				if _, _, err := get(k, key, a); err == nil {
					served.Add(1)
				}
			})
		}
		all.Wait()
		if n := a.asked.Load(); n < 20 || n > 28 || served.Load() != n && served.Load() != n-1 { // the last may come as its time is up
			t.Errorf("%d questions in 0.8 s and %d served, want 20 and 8 at most", n, served.Load())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 800*time.Millisecond)
		defer cancel()
		if _, _, err := k.Get(ctx, "444455556666", awssts.Key{250}, always, a.ask); err != nil {
			t.Errorf("another account: %v", err)
		}
		time.Sleep(20 * time.Second)
		kept := 0
		for key := range byte(200) {
			_, fresh, err := get(k, key, a)
			must(t, err)
			if !fresh {
				kept++
			}
		}
		if kept < 165 { // 20 at once and 10 in each of the 15 s that a call may take, whoever came first
			t.Errorf("of what was waited for in vain %d were kept, want about 170", kept)
		}
	})
}

func TestSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, a := newKeeper(awssts.Pace{Size: 100}), &asker{}
		for key := range byte(200) {
			_, _, err := get(k, key, a)
			must(t, err)
			time.Sleep(time.Second)
		}
		kept := 0
		for key := range byte(200) {
			before := a.asked.Load()
			_, _, err := get(k, 199-key, a)
			must(t, err)
			if a.asked.Load() == before {
				kept++
			}
		}
		if kept == 0 || kept > 150 {
			t.Errorf("%d of 200 were kept or found again, want about 100", kept)
		}
	})
}
