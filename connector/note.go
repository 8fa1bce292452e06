package connector

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
)

const (
	notesWaiting = 256             // notes that are held; more are dropped
	noteRepeat   = 5 * time.Minute // between two notes of one reason about one pod, or about the pods of one owner
	notePatience = 15 * time.Second

	maxNote = 1024 // bytes, the API's own bound
)

// note is what someone who looks at a pod should see as an Event.
type note struct {
	Pod
	reason  string // one word of ours in CamelCase
	action  string // another: what did not come about
	message string // one sentence

	name  string // of the Event; empty: one that nobody else has
	exact bool   // it is about the pod with this uid and no other
}

func (n *note) about() string {
	if n.Owner.UID != "" {
		return n.Owner.UID + " " + n.reason
	}
	return n.Namespace + "/" + n.Name + " " + n.reason
}

// once says how often something may come.
type once struct {
	what  string
	every time.Duration
}

// notes makes Events of notes, a few a second: a pod that comes again and again must not fill etcd.
type notes struct {
	client   eventsclient.EventsV1Interface
	instance string
	uid      func(namespace, name string) (types.UID, bool) // of a pod that is there
	log      *slog.Logger
	metrics  *metrics
	pace     *rate.Limiter
	queue    chan note

	mu   sync.Mutex
	last map[string]time.Time
}

// notesPace is for Events of the webhook's.
func notesPace() *rate.Limiter { return rate.NewLimiter(5, 50) }

func newNotes(
	client eventsclient.EventsV1Interface, instance string, uid func(string, string) (types.UID, bool), pace *rate.Limiter, log *slog.Logger, m *metrics,
) *notes {
	return &notes{
		client: client, instance: instance, uid: uid, log: log, metrics: m,
		pace: pace, queue: make(chan note, notesWaiting), last: map[string]time.Time{},
	}
}

// put hands in a note. It never waits: an admission does not take longer for it.
func (n *notes) put(one note) { n.enqueue(one, once{one.about(), noteRepeat}) }

// enqueue hands in a note unless one of its bounds says that it comes too soon.
func (n *notes) enqueue(one note, bounds ...once) {
	if n.repeats(bounds) {
		return
	}
	select {
	case n.queue <- one:
	default:
		n.metrics.notes.WithLabelValues("dropped").Inc()
	}
}

// repeats counts what is not too soon, and nothing of what is.
func (n *notes) repeats(bounds []once) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for _, b := range bounds {
		if last, ok := n.last[b.what]; ok && now.Sub(last) < b.every {
			return true
		}
	}
	if len(n.last) >= 4*notesWaiting {
		clear(n.last) // a few come twice then
	}
	for _, b := range bounds {
		n.last[b.what] = now
	}
	return false
}

// run makes the Events, until ctx is done.
func (n *notes) run(ctx context.Context) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case one := <-n.queue:
			if n.pace.Wait(ctx) != nil {
				return
			}
			waiting.Go(func() { n.write(ctx, one) })
		}
	}
}

// write waits until a pod that has a name exists, since people find an Event by the pod's uid. One that never comes gets
// its Event too, unless the note is about a pod that is said to exist.
func (n *notes) write(ctx context.Context, one note) {
	switch {
	case one.exact:
		is := func() bool {
			uid, ok := n.uid(one.Namespace, one.Name)
			return ok && string(uid) == one.UID
		}
		if !is() && !await(ctx, is) { // the pod may be newer than what is known here
			n.metrics.notes.WithLabelValues("no pod").Inc()
			return
		}
	case one.Name != "" && one.UID == "":
		await(ctx, func() bool {
			uid, ok := n.uid(one.Namespace, one.Name)
			one.UID = string(uid)
			return ok
		})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callDeadline)
	defer cancel()
	_, err := n.client.Events(one.Namespace).Create(ctx, n.event(&one, time.Now()), metav1.CreateOptions{FieldManager: FieldManager})
	if kubeerrors.IsAlreadyExists(err) { // another replica was first
		n.metrics.notes.WithLabelValues("repeated").Inc()
		return
	}
	if err != nil {
		n.metrics.notes.WithLabelValues("failed").Inc()
		n.log.LogAttrs(ctx, slog.LevelWarn, "an Event was not made", slog.String("namespace", one.Namespace), slog.String("pod", one.Name),
			slog.String("note", one.reason), slog.String("reason", err.Error()))
		return
	}
	n.metrics.notes.WithLabelValues("made").Inc()
}

// await looks again and again, as long as a note is patient, and reports whether it came to be.
func await(ctx context.Context, is func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, notePatience)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if is() {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

func (n *notes) event(one *note, now time.Time) *eventsv1.Event {
	regarding := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: one.Namespace, Name: one.Name, UID: types.UID(one.UID)}
	if one.Name == "" && one.Owner.UID != "" {
		regarding = corev1.ObjectReference{
			APIVersion: one.Owner.APIVersion, Kind: one.Owner.Kind, Namespace: one.Namespace, Name: one.Owner.Name, UID: types.UID(one.Owner.UID),
		}
	}
	meta := metav1.ObjectMeta{Name: one.name, Namespace: one.Namespace}
	if one.name == "" {
		meta.GenerateName = "lanyard-" // not a dot: that is no beginning of a name
	}
	return &eventsv1.Event{
		ObjectMeta:          meta,
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "lanyard.dev/connector",
		ReportingInstance:   n.instance[:min(len(n.instance), 128)],
		Type:                corev1.EventTypeWarning,
		Reason:              one.reason,
		Action:              one.action,
		Regarding:           regarding,
		Note:                strings.ToValidUTF8(one.message[:min(len(one.message), maxNote)], ""),
	}
}
