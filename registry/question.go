package registry

import (
	"context"
	"time"

	"github.com/openlanyard/lanyard/fault"
)

// ServiceAccountQuestion is what a cluster's connectors are asked: which service accounts there are, in a namespace or in all.
type ServiceAccountQuestion struct{ ID, Namespace string }

// ServiceAccountList is what a connector answers. Nothing of it is stored.
type ServiceAccountList struct {
	Namespaces      []string
	ServiceAccounts []ServiceAccount
	Truncated       bool // there are more
}

// ServiceAccount is one of a cluster's.
type ServiceAccount struct{ Namespace, Name string }

const (
	answerTime   = 5 * time.Second // that a connector has for an answer
	maxQuestions = 8               // of one account that wait for an answer: its clusters may be made to give none
	maxWaiting   = 16              // of all accounts
)

// question waits for one answer; the first is taken.
type question struct {
	cluster string
	answer  chan *ServiceAccountList
}

// AskForServiceAccounts asks the connectors that follow the cluster at this replica and waits for the first answer.
//
// Errors: Unavailable where no connector follows or none answers in time, Throttled for too many questions at once.
func (r *Registry) AskForServiceAccounts(ctx context.Context, cluster *Cluster, namespace string) (*ServiceAccountList, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	done, err := r.followers.turns.Take(ctx, cluster.Account)
	if err != nil {
		return nil, err
	}
	defer done()
	q := &question{cluster.ID, make(chan *ServiceAccountList, 1)}
	id, err := r.followers.ask(q, namespace)
	if err != nil {
		return nil, err
	}
	defer r.followers.forget(id)
	select {
	case list := <-q.answer:
		return list, nil
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "The connector of cluster %s has not answered in %s; try again.", cluster.Name, answerTime)
	}
}

func (f *followers) ask(q *question, namespace string) (id string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.clusters[q.cluster]
	if len(own) == 0 {
		return "", fault.New(fault.Unavailable, "No connector of the cluster is connected to this server: see `lanyard cluster status`, or try again.")
	}
	id = randomText(26, lowerAlnum)
	f.questions[id] = q
	for _, w := range own {
		if len(w.questions) >= 2*maxQuestions { // it does not read
			w.questions = w.questions[1:]
		}
		w.questions = append(w.questions, ServiceAccountQuestion{id, namespace})
		w.wake()
	}
	return id, nil
}

func (f *followers) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.questions, id)
}

// AnswerServiceAccounts takes a connector's answer. NotFound: the question was answered, is given up, or was asked by another
// replica.
func (r *Registry) AnswerServiceAccounts(cluster *Cluster, id string, list *ServiceAccountList) error {
	f := r.followers
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.questions[id]
	if q == nil || q.cluster != cluster.ID {
		return fault.New(fault.NotFound, "No question %.64q waits for an answer here.", id)
	}
	delete(f.questions, id)
	q.answer <- list // it has room for one
	return nil
}
