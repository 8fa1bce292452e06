package connector

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/inject"
)

// maxReview is what the API server sends at most: the pod, twice in the worst case, and who asks.
const maxReview = 3 << 20

// WebhookConfig is what a webhook decides by.
type WebhookConfig struct {
	Associations *Associations
	// Local are the settings that are the cluster's own: URI, RegionalSTS, TokenSeconds. The rest comes from the server.
	Local inject.Settings
	// ServiceAccount returns a service account's annotations; nil: none are known.
	ServiceAccount func(Identity) map[string]string
	// Event tells the people of a pod about it in one sentence; nil: nobody is told. It must not block, and sees to it
	// itself that the same is not told again and again.
	Event func(p Pod, message string)

	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: metrics are counted and not shown
}

// A Pod is what an Event can be about. A pod that a controller makes has no name yet: its owner has.
type Pod struct {
	Namespace, Name, UID string
	Owner                Owner
}

// An Owner is the pod's first owner; all empty: it has none.
type Owner struct{ APIVersion, Kind, Name, UID string }

// Webhook answers the API server's question about each new pod.
type Webhook struct {
	WebhookConfig
	log     *slog.Logger
	metrics *webhookMetrics
	recipe  atomic.Pointer[recipe]
}

// A recipe is made once from the server's settings.
type recipe struct {
	from *Settings
	*inject.Recipe
}

// NewWebhook makes a webhook, or fails because its metrics are registered already.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	m, err := newWebhookMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	w := &Webhook{WebhookConfig: c, log: c.Logger, metrics: m}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	return w, nil
}

// Handler answers MutatePath, /healthz and /readyz. It is ready when a list of associations has come, and stays so: an
// old list is better than none.
func (w *Webhook) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(MutatePath, w.serve)
	mux.HandleFunc("GET /healthz", func(to http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(to, "ok") })
	mux.HandleFunc("GET /readyz", func(to http.ResponseWriter, _ *http.Request) {
		if !w.Associations.Ready() {
			http.Error(to, "no list of associations has come yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(to, "ok")
	})
	return mux
}

func (w *Webhook) serve(to http.ResponseWriter, r *http.Request) {
	start := time.Now()
	if r.Method != http.MethodPost {
		to.Header().Set("Allow", http.MethodPost)
		http.Error(to, "only POST is answered", http.StatusMethodNotAllowed)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(to, "the body must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	text, err := body(to, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(to, "the body could not be read", status)
		return
	}
	// Without a uid there is no answer that the API server would take: a status hands the pod to the failure policy.
	v, err := readReview(text)
	if err != nil {
		w.metrics.decided[malformed].Inc()
		http.Error(to, err.Error(), http.StatusBadRequest)
		return
	}
	patch, how, err := w.decide(r.Context(), &v)
	w.metrics.decided[how].Inc()
	if err != nil {
		w.log.Warn("a pod could not be patched", "namespace", v.namespace, "serviceAccount", v.serviceAccount, "error", err)
	}
	answer := v.answer(patch, err)
	h := to.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = to.Write(answer)
	w.metrics.seconds.Observe(time.Since(start).Seconds())
}

func body(to http.ResponseWriter, r *http.Request) (string, error) {
	if r.ContentLength > maxReview {
		return "", &http.MaxBytesError{Limit: maxReview}
	}
	// A length that is only claimed costs 64 KiB at most; the byte beyond it is where the end is read.
	text := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), 64<<10)+bytes.MinRead))
	_, err := text.ReadFrom(http.MaxBytesReader(to, r.Body, maxReview))
	return text.String(), err
}

// decide is the whole question: does this pod have an association, and what does it need then.
func (w *Webhook) decide(ctx context.Context, v *review) ([]byte, decision, error) {
	if !v.isNewPod {
		return nil, elsewhere, nil
	}
	who := Identity{v.namespace, v.serviceAccount}
	_, found := w.Associations.ID(who)
	if !found {
		if err := w.Associations.Settle(ctx); err != nil {
			if _, found = w.Associations.ID(who); !found {
				return nil, w.doubt(v, err), nil
			}
		} else if _, found = w.Associations.ID(who); !found {
			return nil, unassociated, nil
		}
	}
	var annotations map[string]string
	if w.ServiceAccount != nil {
		annotations = w.ServiceAccount(who)
	}
	patch, err := w.current().Patch(v.pod, annotations)
	if err != nil {
		return nil, malformed, err
	}
	return patch, injected, nil
}

// doubt tells whom it may concern that a pod starts without credentials by an old list. An unassociated pod is the
// common case, so this may be right; nobody but the pod's people can say.
func (w *Webhook) doubt(v *review, cause error) decision {
	how := unsettled
	if IsBroken(cause) {
		how = broken
	}
	if w.Event != nil && !v.dryRun {
		w.Event(v.subject(), "Lanyard could not ask whether service account "+v.serviceAccount+
			" has a pod identity association: by the last list it has none, and the pod starts without credentials.")
	}
	return how
}

// current is the recipe of the newest settings.
func (w *Webhook) current() *inject.Recipe {
	from := w.Associations.Settings()
	if made := w.recipe.Load(); made != nil && made.from == from {
		return made.Recipe
	}
	s := w.Local
	if from != nil {
		s.Region, s.S3Endpoint, s.STSEndpoint, s.CABundle = from.Region, from.S3Endpoint, from.STSEndpoint, from.CABundle
		s.RegionalSTS = s.RegionalSTS || from.RegionalSTS
	}
	made := &recipe{from, inject.New(s)}
	w.recipe.Store(made)
	return made.Recipe
}

// answer is a review of the version that was asked in.
func (v *review) answer(patch []byte, err error) []byte {
	b := make([]byte, 0, 256+base64.StdEncoding.EncodedLen(len(patch)))
	b = append(b, `{"kind":"AdmissionReview","apiVersion":`...)
	b = appendJSON(b, v.apiVersion)
	b = append(b, `,"response":{"uid":`...)
	b = appendJSON(b, v.uid)
	switch {
	case err != nil:
		b = append(b, `,"allowed":false,"status":{"code":400,"message":`...)
		b = appendJSON(b, err.Error())
		b = append(b, '}')
	case patch == nil:
		b = append(b, `,"allowed":true`...)
	default:
		b = append(b, `,"allowed":true,"patchType":"JSONPatch","patch":"`...)
		b = base64.StdEncoding.AppendEncode(b, patch)
		b = append(b, '"')
	}
	return append(b, "}}\n"...)
}
