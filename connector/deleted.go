package connector

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	maxReported = 500              // pods that the server takes in one report
	maxOwed     = 50_000           // pods that are kept while the server cannot be told
	handover    = 10 * time.Minute // how long a replica that does not lead remembers, for when it does
	gathering   = time.Second      // how long a report waits for more
)

// deletedPod is a pod that is gone, as ReportDeletedPods takes it.
type deletedPod struct {
	UID            types.UID `json:"uid"`
	Namespace      string    `json:"namespace"`
	Name           string    `json:"name"`
	ServiceAccount string    `json:"serviceAccount"`

	at time.Time
}

// deletedPods tells the server of pods that are gone, so that their tokens and sessions end.
//
// The service account is in a pod's spec, so metadata alone would not do: pods are read whole and cut down at once
// (podRef, about 300 bytes each). What that costs is the decoding of every change of every pod; the right is the same.
//
// All replicas watch, and the one that leads tells. Each remembers for a while, so that nothing is lost when another
// leads. What is deleted while no replica runs is found by what one has left (memory).
type deletedPods struct {
	client  *Client
	core    rest.Interface // of core/v1
	has     func(namespace, serviceAccount string) bool
	leads   func() bool
	log     *slog.Logger
	metrics *metrics

	store  cache.Store
	synced cache.Controller

	mu   sync.Mutex
	owed []deletedPod
	more chan struct{}
}

// podRef is what is kept of a pod.
type podRef struct {
	metav1.ObjectMeta
	serviceAccount string
}

func newDeletedPods(c *Client, core rest.Interface, has func(namespace, serviceAccount string) bool, leads func() bool, log *slog.Logger, m *metrics) *deletedPods {
	d := &deletedPods{client: c, core: core, has: has, leads: leads, log: log, metrics: m, more: make(chan struct{}, 1)}
	d.store, d.synced = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(core, "pods", metav1.NamespaceAll, fields.Everything()),
		ObjectType:    &corev1.Pod{},
		Transform:     cutDown,
		Handler: cache.ResourceEventHandlerFuncs{
			UpdateFunc: func(before, after any) {
				// Between two lists a pod may have been replaced by another of its name.
				if was, ok := before.(*podRef); ok && was.UID != after.(*podRef).UID {
					d.gone(was)
				}
			},
			DeleteFunc: func(last any) {
				if unseen, ok := last.(cache.DeletedFinalStateUnknown); ok {
					last = unseen.Obj
				}
				if was, ok := last.(*podRef); ok {
					d.gone(was)
				}
			},
		},
	})
	return d
}

// cutDown keeps of a pod what is asked of it. What is cut down already stays as it is.
func cutDown(whole any) (any, error) {
	pod, ok := whole.(*corev1.Pod)
	if !ok {
		return whole, nil
	}
	return &podRef{
		ObjectMeta:     metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion},
		serviceAccount: pod.Spec.ServiceAccountName,
	}, nil
}

// uid returns a pod's uid, if there is one of the name just now.
func (d *deletedPods) uid(namespace, name string) (types.UID, bool) {
	found, ok, err := d.store.GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return "", false
	}
	return found.(*podRef).UID, true
}

func (d *deletedPods) gone(was *podRef) {
	if !d.has(was.Namespace, was.serviceAccount) {
		return
	}
	d.mu.Lock()
	d.owed = append(d.owed, deletedPod{UID: was.UID, Namespace: was.Namespace, Name: was.Name, ServiceAccount: was.serviceAccount, at: time.Now()})
	if over := len(d.owed) - maxOwed; over > 0 {
		d.metrics.deletedPods.WithLabelValues("dropped").Add(float64(over))
		d.owed = slices.Delete(d.owed, 0, over)
	}
	d.mu.Unlock()
	select {
	case d.more <- struct{}{}:
	default:
	}
}

// run watches and tells, until ctx is done.
func (d *deletedPods) run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { d.synced.RunWithContext(ctx) })
	defer watching.Wait()
	again := retry{log: d.log, what: "the server is not told of deleted pods"}
	for ctx.Err() == nil {
		n, err := d.tell(ctx)
		wait := time.Minute
		if !d.leads() {
			wait = gathering // until it leads, perhaps
		}
		if err == nil {
			again.ok()
		} else {
			wait = again.failed(ctx, err)
		}
		if n > 0 {
			continue // there may be more
		}
		select {
		case <-time.After(wait):
		case <-d.more:
			select {
			case <-time.After(gathering):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}
}

// tell makes one report, if there is something to report, and forgets what the server has taken.
func (d *deletedPods) tell(ctx context.Context) (n int, err error) {
	if !d.leads() {
		d.mu.Lock()
		defer d.mu.Unlock()
		old := time.Now().Add(-handover)
		d.owed = slices.DeleteFunc(d.owed, func(p deletedPod) bool { return p.at.Before(old) })
		return 0, nil
	}
	d.mu.Lock()
	batch := slices.Clone(d.owed[:min(len(d.owed), maxReported)])
	d.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	err = d.client.call(ctx, http.MethodPost, d.client.path("deleted-pods"), struct {
		Pods []deletedPod `json:"pods"`
	}{batch}, nil)
	outcome := "told"
	if refusal := new(Refusal); errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest {
		// The same report would be refused for ever, and keep all others from being made.
		d.log.LogAttrs(ctx, slog.LevelError, "the server refuses a report of deleted pods", slog.Int("pods", len(batch)), slog.String("reason", err.Error()))
		outcome, err = "refused", nil
	}
	if err != nil {
		return 0, err
	}
	d.metrics.deletedPods.WithLabelValues(outcome).Add(float64(len(batch)))
	d.mu.Lock()
	defer d.mu.Unlock()
	last := batch[len(batch)-1]
	if i := slices.IndexFunc(d.owed, func(p deletedPod) bool { return p.UID == last.UID }); i >= 0 {
		d.owed = slices.Delete(d.owed, 0, i+1)
	}
	return len(batch), nil
}
