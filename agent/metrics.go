package agent

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openlanyard/lanyard/fault"
)

// outcome is how a request was answered.
type outcome uint8

const (
	hit outcome = iota
	miss
	refused
)

var outcomes = [...]string{"hit", "miss", "refused"}

// metrics bear the names of AWS's agent, so that its dashboards show ours. A cache "hit" here is one, where AWS's agent
// counts a renewal; renewals are "renewed".
type metrics struct {
	responses   *prometheus.CounterVec // by status
	cacheErrors *prometheus.CounterVec // by type and exception
	seconds     [len(outcomes)]prometheus.Observer
	calls       *prometheus.HistogramVec // by exception
	watching    prometheus.Gauge

	ok, cacheHit, cacheMiss, renewed, evicted, invalidated prometheus.Counter
}

// observeCall notes a question to EKS Auth.
func (m *metrics) observeCall(err error, took time.Duration) {
	name := "ok"
	if err != nil {
		name = code(fault.Of(err))
	}
	m.calls.WithLabelValues(name).Observe(took.Seconds())
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	responses := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pod_identity_http_response", Help: "Answers to pods by HTTP status.",
	}, []string{"code"})
	cacheErrors := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pod_identity_cache_errors", Help: "Failed calls to EKS Auth by exception; NonRecoverable ones end what is held.",
	}, []string{"type", "code"})
	state := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pod_identity_cache_state", Help: "What happened to entries of the cache.",
	}, []string{"state"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "lanyard_agent_request_seconds", Help: "Time to an answer by how it was found.",
		Buckets: []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5},
	}, []string{"outcome"})
	calls := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "lanyard_agent_upstream_seconds", Help: "Time of a question to EKS Auth by its outcome.",
		Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1},
	}, []string{"code"})
	watching := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "lanyard_agent_watching", Help: "1 while the server pushes invalidations.",
	})
	if registerer != nil {
		for _, c := range []prometheus.Collector{responses, cacheErrors, state, seconds, calls, watching} {
			if err := registerer.Register(c); err != nil {
				return nil, fmt.Errorf("registering metrics: %w", err)
			}
		}
	}
	m := &metrics{
		responses: responses, cacheErrors: cacheErrors, ok: responses.WithLabelValues("200"),
		cacheHit: state.WithLabelValues("hit"), cacheMiss: state.WithLabelValues("miss"),
		renewed: state.WithLabelValues("renewed"), evicted: state.WithLabelValues("evicted"),
		invalidated: state.WithLabelValues("invalidated"), calls: calls, watching: watching,
	}
	for i, name := range outcomes {
		m.seconds[i] = seconds.WithLabelValues(name)
	}
	return m, nil
}
