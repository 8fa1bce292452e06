package limit

import (
	"context"
	"sync"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// turnPatience is how long Take waits at most.
const turnPatience = 2 * time.Second

// Turns lets few at a time do what takes long. Who waits for a turn, or has one, holds a place of a Gate as well: so they are
// bounded, all together and those of each account, to leave places for others.
type Turns struct {
	at         chan struct{} // each who has a turn
	most, each int

	mu  sync.Mutex
	all int // who have a turn or wait for one
	of  map[string]int
}

// NewTurns gives atOnce turns. At most so many have one or wait for one, of whom one account has at most each.
func NewTurns(atOnce, most, each int) *Turns {
	return &Turns{at: make(chan struct{}, atOnce), most: most, each: each, of: map[string]int{}}
}

// NewQuestions gives turns to the questions of an API that take long: one account's are half of those that have one or wait for one.
func NewQuestions(atOnce int) *Turns { return NewTurns(atOnce, 16, 8) }

// Take waits for a turn. Call done exactly once, when the work is done.
//
// Errors: Throttled for too many, and for who has waited too long.
func (t *Turns) Take(ctx context.Context, account string) (done func(), err error) {
	if !t.arrive(account) {
		return nil, fault.New(fault.Throttled, "Rate exceeded")
	}
	late := time.NewTimer(turnPatience)
	defer late.Stop()
	select {
	case t.at <- struct{}{}:
		return func() {
			<-t.at
			t.depart(account)
		}, nil
	case <-late.C:
	case <-ctx.Done():
	}
	t.depart(account)
	return nil, fault.New(fault.Throttled, "Rate exceeded")
}

func (t *Turns) arrive(account string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all >= t.most || t.of[account] >= t.each {
		return false
	}
	t.all++
	t.of[account]++
	return true
}

func (t *Turns) depart(account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.of[account]--; t.of[account] == 0 {
		delete(t.of, account)
	}
}
