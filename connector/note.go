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

// Note is what someone who looks at a pod should see as an Event.
type Note struct {
	Namespace string
	Pod       string                 // its name; empty while the API server has yet to make one
	UID       types.UID              // of the pod; empty while it has none
	Owner     *metav1.OwnerReference // who made the pod; told instead while it has no name
	Reason    string                 // one word of ours in CamelCase
	Message   string                 // one sentence
}

func (n *Note) about() string {
	if n.Owner != nil {
		return string(n.Owner.UID) + " " + n.Reason
	}
	return n.Namespace + "/" + n.Pod + " " + n.Reason
}

// Notes makes Events of notes, a few a second: a pod that comes again and again must not fill etcd.
type Notes struct {
	client   eventsclient.EventsV1Interface
	instance string
	uid      func(namespace, name string) (types.UID, bool) // of a pod that is there
	log      *slog.Logger
	metrics  *metrics
	pace     *rate.Limiter
	queue    chan Note

	mu   sync.Mutex
	last map[string]time.Time
}

func newNotes(client eventsclient.EventsV1Interface, instance string, uid func(string, string) (types.UID, bool), log *slog.Logger, m *metrics) *Notes {
	return &Notes{
		client: client, instance: instance, uid: uid, log: log, metrics: m,
		pace: rate.NewLimiter(5, 50), queue: make(chan Note, notesWaiting), last: map[string]time.Time{},
	}
}

// Put hands in a note. It never waits: an admission does not take longer for it.
func (n *Notes) Put(note Note) {
	if n.repeats(note.about()) {
		return
	}
	select {
	case n.queue <- note:
	default:
		n.metrics.notes.WithLabelValues("dropped").Inc()
	}
}

func (n *Notes) repeats(about string) bool {
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
func (n *Notes) run(ctx context.Context) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case note := <-n.queue:
			if n.pace.Wait(ctx) != nil {
				return
			}
			waiting.Go(func() { n.write(ctx, note) })
		}
	}
}

// write waits until a pod that has a name exists, since people find an Event by the pod's uid. One that never comes gets
// its Event too.
func (n *Notes) write(ctx context.Context, note Note) {
	if note.Pod != "" && note.UID == "" {
		found, cancel := context.WithTimeout(ctx, notePatience)
		defer cancel()
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for known := false; !known && found.Err() == nil; {
			select {
			case <-tick.C:
				note.UID, known = n.uid(note.Namespace, note.Pod)
			case <-found.Done():
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callDeadline)
	defer cancel()
	_, err := n.client.Events(note.Namespace).Create(ctx, n.event(&note, time.Now()), metav1.CreateOptions{FieldManager: FieldManager})
	if err != nil {
		n.metrics.notes.WithLabelValues("failed").Inc()
		n.log.LogAttrs(ctx, slog.LevelWarn, "an Event was not made", slog.String("namespace", note.Namespace), slog.String("pod", note.Pod),
			slog.String("note", note.Reason), slog.String("reason", err.Error()))
		return
	}
	n.metrics.notes.WithLabelValues("made").Inc()
}

func (n *Notes) event(note *Note, now time.Time) *eventsv1.Event {
	regarding := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: note.Namespace, Name: note.Pod, UID: note.UID}
	if note.Pod == "" && note.Owner != nil {
		regarding = corev1.ObjectReference{
			APIVersion: note.Owner.APIVersion, Kind: note.Owner.Kind, Namespace: note.Namespace, Name: note.Owner.Name, UID: note.Owner.UID,
		}
	}
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{GenerateName: "lanyard.", Namespace: note.Namespace},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: "lanyard.dev/connector",
		ReportingInstance:   n.instance[:min(len(n.instance), 128)],
		Type:                corev1.EventTypeWarning,
		Reason:              note.Reason,
		Action:              "Inject",
		Regarding:           regarding,
		Note:                strings.ToValidUTF8(note.Message[:min(len(note.Message), maxNote)], ""),
	}
}
