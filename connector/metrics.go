package connector

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a person wants to know of a connector. Labels come from our tables, never from input.
type metrics struct {
	streaming, leading, keysTold prometheus.Gauge
	keyPushes, deletedPods       *prometheus.CounterVec
	notes                        *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		streaming: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lanyard_connector_streaming", Help: "1 while the server's stream is followed.",
		}),
		leading: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lanyard_connector_leading", Help: "1 in the replica that applies add-ons and reports.",
		}),
		keysTold: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lanyard_connector_keys_told_seconds", Help: "When this replica last told the server the cluster's keys.",
		}),
		keyPushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_connector_key_pushes_total", Help: "Times that the cluster's keys were told to the server, by outcome.",
		}, []string{"outcome"}),
		deletedPods: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_connector_deleted_pods_total", Help: "Deleted pods of associated service accounts, by outcome of the report.",
		}, []string{"outcome"}),
		notes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lanyard_connector_events_total", Help: "Events about pods, by outcome.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{"ok", "failed"} {
		m.keyPushes.WithLabelValues(outcome)
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.streaming, m.leading, m.keysTold, m.keyPushes, m.deletedPods, m.notes} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}
