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
	message string // one sentence
}

func (n *note) about() string {
	if n.Owner.UID != "" {
		return n.Owner.UID + " " + n.reason
	}
	return n.Namespace + "/" + n.Name + " " + n.reason
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

func newNotes(client eventsclient.EventsV1Interface, instance string, uid func(string, string) (types.UID, bool), log *slog.Logger, m *metrics) *notes {
	return &notes{
		client: client, instance: instance, uid: uid, log: log, metrics: m,
		pace: rate.NewLimiter(5, 50), queue: make(chan note, notesWaiting), last: map[string]time.Time{},
	}
}

// put hands in a note. It never waits: an admission does not take longer for it.
func (n *notes) put(one note) {
	if n.repeats(one.about()) {
		return
	}
	select {
	case n.queue <- one:
	default:
		n.metrics.notes.WithLabelValues("dropped").Inc()
	}
}

func (n *notes) repeats(about string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	if last, ok := n.last[about]; ok && now.Sub(last) < noteRepeat {
		return true
	}
	if len(n.last) >= 4*notesWaiting {
		clear(n.last) // a few come twice then
	}
	n.last[about] = now
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
// its Event too.
func (n *notes) write(ctx context.Context, one note) {
	if one.Name != "" && one.UID == "" {
		found, cancel := context.WithTimeout(ctx, notePatience)
		defer cancel()
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for known := false; !known && found.Err() == nil; {
			select {
			case <-tick.C:
				uid, ok := n.uid(one.Namespace, one.Name)
				one.UID, known = string(uid), ok
			case <-found.Done():
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callDeadline)
	defer cancel()
	_, err := n.client.Events(one.Namespace).Create(ctx, n.event(&one, time.Now()), metav1.CreateOptions{FieldManager: FieldManager})
	if err != nil {
		n.metrics.notes.WithLabelValues("failed").Inc()
		n.log.LogAttrs(ctx, slog.LevelWarn, "an Event was not made", slog.String("namespace", one.Namespace), slog.String("pod", one.Name),
			slog.String("note", one.reason), slog.String("reason", err.Error()))
		return
	}
	n.metrics.notes.WithLabelValues("made").Inc()
}

func (n *notes) event(one *note, now time.Time) *eventsv1.Event {
	regarding := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: one.Namespace, Name: one.Name, UID: types.UID(one.UID)}
	if one.Name == "" && one.Owner.UID != "" {
		regarding = corev1.ObjectReference{
			APIVersion: one.Owner.APIVersion, Kind: one.Owner.Kind, Namespace: one.Namespace, Name: one.Owner.Name, UID: types.UID(one.Owner.UID),
		}
	}
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{GenerateName: "lanyard.", Namespace: one.Namespace},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "lanyard.dev/connector",
		ReportingInstance:   n.instance[:min(len(n.instance), 128)],
		Type:                corev1.EventTypeWarning,
		Reason:              one.reason,
		Action:              "Inject",
		Regarding:           regarding,
		Note:                strings.ToValidUTF8(one.message[:min(len(one.message), maxNote)], ""),
	}
}
