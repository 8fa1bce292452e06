package registry

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

// asked puts a question beside the test and returns where its answer comes.
func (w *world) asked(ctx context.Context, c *Cluster, namespace string) <-chan error {
	done := make(chan error, 1)
	go func() {
		list, err := w.AskForServiceAccounts(ctx, c, namespace)
		if err == nil && !cmp.Equal(list.Namespaces, []string{namespace}) {
			err = fault.New(fault.Invalid, "%v is no answer to %s", list.Namespaces, namespace)
		}
		done <- err
	}()
	return done
}

// questions waits until the follower is told of some.
func questionsOf(t *testing.T, f *Follower) []ServiceAccountQuestion {
	t.Helper()
	for {
		if _, open := <-f.Woken; !open {
			t.Fatal("the follower is cut off")
		}
		c, err := f.Next()
		must(t, err)
		if len(c.Questions) > 0 {
			return c.Questions
		}
	}
}

// Who asks gets the first answer to its own question; every other one is refused.
func TestAskForServiceAccounts(t *testing.T) {
	w := fresh(t)
	prod, other := w.join(t, one, "prod"), w.join(t, one, "other")
	if _, err := w.AskForServiceAccounts(t.Context(), prod, ""); !fault.Is(err, fault.Unavailable) {
		t.Errorf("where nobody follows: got %v, want Unavailable", err)
	}
	f, foreign := w.Follow(prod), w.Follow(other)
	defer f.Close()
	defer foreign.Close()
	done := w.asked(t.Context(), prod, "shop")
	q := questionsOf(t, f)
	if len(q) != 1 || q[0].Namespace != "shop" {
		t.Fatalf("questions: %+v", q)
	}
	list := &ServiceAccountList{Namespaces: []string{"shop"}}
	if err := w.AnswerServiceAccounts(other, q[0].ID, list); !fault.Is(err, fault.NotFound) {
		t.Errorf("answered by another cluster: got %v, want NotFound", err)
	}
	if err := w.AnswerServiceAccounts(prod, q[0].ID+"x", list); !fault.Is(err, fault.NotFound) {
		t.Errorf("an answer to nothing: got %v, want NotFound", err)
	}
	must(t, w.AnswerServiceAccounts(prod, q[0].ID, list))
	must(t, <-done)
	if err := w.AnswerServiceAccounts(prod, q[0].ID, list); !fault.Is(err, fault.NotFound) {
		t.Errorf("answered again: got %v, want NotFound", err)
	}
	if c, err := foreign.Next(); err != nil || len(c.Questions) > 0 {
		t.Errorf("another cluster is asked: %+v, %v", c.Questions, err)
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	w := fresh(t)
	prod := w.join(t, one, "prod")
	f := w.Follow(prod)
	defer f.Close()
	ctx, giveUp := context.WithCancel(t.Context())
	var waiting []<-chan error
	for range maxQuestions {
		waiting = append(waiting, w.asked(ctx, prod, "shop"))
	}
	for n := 0; n < maxQuestions; {
		n += len(questionsOf(t, f))
	}
	if _, err := w.AskForServiceAccounts(t.Context(), prod, ""); !fault.Is(err, fault.Throttled) {
		t.Errorf("one more: got %v, want Throttled", err)
	}
	giveUp()
	for _, done := range waiting {
		if err := <-done; !fault.Is(err, fault.Unavailable) {
			t.Errorf("given up: got %v, want Unavailable", err)
		}
	}
	if n := len(w.followers.questions); n != 0 {
		t.Errorf("%d questions are kept after those who asked", n)
	}
}
