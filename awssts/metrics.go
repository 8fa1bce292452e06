package awssts

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func newCalls(metrics prometheus.Registerer) *prometheus.HistogramVec {
	calls := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "lanyard_sts_seconds", Help: "Time of a call to AWS's STS, by operation and error code.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"operation", "code"})
	if metrics != nil {
		metrics.MustRegister(calls)
	}
	return calls
}

// observe counts one call as it went over the wire: one that is tried again is two.
func (s *STS) observe(operation string, began time.Time, err error) {
	s.calls.WithLabelValues(operation, label(err)).Observe(s.now().Sub(began).Seconds())
}

// asked are the codes by which STS refuses what was asked for; see ours for those that refuse who asks.
var asked = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "NoSuchEntity": true, "PackedPolicyTooLarge": true, "MalformedPolicyDocument": true,
	"RegionDisabledException": true, "ValidationError": true, "ValidationException": true, "InvalidParameterValue": true,
}

// label is an error's code where it is one of STS's that are known here, so that nobody who answers in its place can make
// labels up; and how it failed where there is none.
func label(err error) string {
	var r *Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r) && r.throttles():
		return "Throttling"
	case errors.As(err, &r) && (ours[r.Code] || asked[r.Code]):
		return r.Code
	case r != nil:
		return "Other"
	case errors.Is(err, context.DeadlineExceeded):
		return "Timeout"
	case errors.Is(err, context.Canceled):
		return "Canceled"
	}
	return "Unreachable"
}
