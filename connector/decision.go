package connector

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// decision is what became of a pod.
type decision uint8

const (
	injected decision = iota
	unassociated
	broken    // by the last list, as the stream is broken
	unsettled // by the last list, as the server did not answer in time
	malformed
	elsewhere // no new pod
)

var decisions = [...]string{"injected", "unassociated", "stream-broken", "unsettled", "malformed", "not-a-new-pod"}

type webhookMetrics struct {
	decided [len(decisions)]prometheus.Counter
	seconds prometheus.Histogram
}

func newWebhookMetrics(registerer prometheus.Registerer) (*webhookMetrics, error) {
	decided := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lanyard_connector_reviews_total", Help: "Answers to the API server by what became of the pod; stream-broken and unsettled ones were told from the last list.",
	}, []string{"decision"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "lanyard_connector_review_seconds", Help: "Time to an answer.",
		Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5},
	})
	if registerer != nil {
		for _, c := range []prometheus.Collector{decided, seconds} {
			if err := registerer.Register(c); err != nil {
				return nil, fmt.Errorf("registering metrics: %w", err)
			}
		}
	}
	m := &webhookMetrics{seconds: seconds}
	for i, name := range decisions {
		m.decided[i] = decided.WithLabelValues(name)
	}
	return m, nil
}
