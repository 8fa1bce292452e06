package connector

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Question is one of the server's, for somebody who waits: which service accounts are there?
type Question struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"` // "" is every one
}

// answerList is what the server is told. It holds names alone.
type answerList struct {
	ID              string        `json:"id"`
	Namespaces      []string      `json:"namespaces"`
	ServiceAccounts []accountName `json:"serviceAccounts"`
	Truncated       bool          `json:"truncated"`
}

type accountName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

const (
	maxListed     = 1000            // namespaces, and service accounts, of one answer
	questionTime  = 4 * time.Second // after which nobody waits any more
	questionAgain = 200 * time.Millisecond
	maxAsked      = 16 // questions that wait; more are dropped, and asked again by people
	answerers     = 2
)

// questions answers what the server asks, from the copy that the webhook has anyway.
type questions struct {
	client   *Client
	accounts *accounts
	log      *slog.Logger
	asked    chan Question
}

func newQuestions(c *Client, a *accounts, log *slog.Logger) *questions {
	return &questions{c, a, log, make(chan Question, maxAsked)}
}

// ask has a question answered soon. It never waits.
func (q *questions) ask(one Question) {
	select {
	case q.asked <- one:
	default:
	}
}

func (q *questions) run(ctx context.Context) {
	var running sync.WaitGroup
	for range answerers {
		running.Go(func() {
			for {
				select {
				case one := <-q.asked:
					q.answer(ctx, one)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	running.Wait()
}

// answer tells the server's replica that asked. Where several are behind one address, another may have got the call, which
// knows no such question: so it is told again, by a new connection.
func (q *questions) answer(ctx context.Context, one Question) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	for {
		err := errNotListed
		if q.accounts.watch.HasSynced() {
			list := q.accounts.list(one)
			err = q.client.call(ctx, http.MethodPut, q.client.path("service-accounts"), list, nil)
		}
		if err == nil {
			return
		}
		if refusal := new(Refusal); errors.As(err, &refusal) && refusal.Status != http.StatusNotFound && refusal.final() {
			q.log.LogAttrs(ctx, slog.LevelWarn, "the server is not told this cluster's service accounts", slog.String("reason", err.Error()))
			return
		}
		q.client.http.CloseIdleConnections()
		select {
		case <-time.After(questionAgain):
		case <-ctx.Done():
			return // answered by another connector, or given up
		}
	}
}

var errNotListed = errors.New("the API server has not told its service accounts yet")

// list is the answer, in order and cut to what a person can look through.
func (a *accounts) list(one Question) *answerList {
	out := &answerList{ID: one.ID, Namespaces: []string{}, ServiceAccounts: []accountName{}}
	keys := a.store.ListKeys()
	slices.Sort(keys)
	for _, key := range keys {
		found, ok, err := a.store.GetByKey(key)
		if err != nil || !ok {
			continue // it is gone meanwhile
		}
		o := found.(*metav1.PartialObjectMetadata)
		if n := len(out.Namespaces); n == 0 || out.Namespaces[n-1] != o.Namespace {
			if n == maxListed {
				out.Truncated = true
				break
			}
			out.Namespaces = append(out.Namespaces, o.Namespace)
		}
		if one.Namespace != "" && one.Namespace != o.Namespace {
			continue
		}
		if len(out.ServiceAccounts) == maxListed {
			out.Truncated = true
			continue
		}
		out.ServiceAccounts = append(out.ServiceAccounts, accountName{o.Namespace, o.Name})
	}
	return out
}
