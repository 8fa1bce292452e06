package connector

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxRefused    = 64 // that are read of one line
	refusedRepeat = time.Minute
	maxReason     = 512 // bytes

	// The longest that Kubernetes lets these be, and more than its uids are.
	maxNamespaceName = 63
	maxPodName       = 253
	maxUID           = 64
)

// refusedPace is for Events about refused pods: twenty at once, then one a second. They have a queue of their own, so that
// whatever the server says takes nothing from what the webhook has to say.
func refusedPace() *rate.Limiter { return rate.NewLimiter(1, 20) }

// refused hands in what the server says of a pod that it gave no credentials. The server is not trusted with it: the text is
// made harmless, one pod has one Event a minute at most, and none is made about a pod that is not there with this uid. All
// replicas hear of a refusal; its Event has a name that comes of it, so that it is made once.
func (n *notes) refused(p *RefusedPod) {
	reason := strings.TrimSpace(printable(p.Reason, maxReason))
	if p.Namespace == "" || p.Name == "" || p.UID == "" || reason == "" ||
		len(p.Namespace) > maxNamespaceName || len(p.Name) > maxPodName || len(p.UID) > maxUID {
		n.metrics.notes.WithLabelValues("invalid").Inc()
		return
	}
	at := strconv.FormatFloat(p.At, 'f', -1, 64)
	sum := sha256.Sum256([]byte(strings.Join([]string{p.UID, at, reason}, "\x00")))
	n.enqueue(note{
		Pod:    Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		reason: "PodIdentityDenied", action: "AssumeRole", exact: true, name: "lanyard." + hex.EncodeToString(sum[:16]),
		message: "Lanyard refused this pod's request for credentials: " + reason,
	}, once{p.UID, refusedRepeat}, once{p.UID + " " + reason, noteRepeat})
}
