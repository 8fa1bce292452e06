package agent

import (
	"fmt"
	"net/http"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestAMissIsTracedToTheUpstream(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	r := newRig(t, func(c *Config) { c.Traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)) })
	var sent []string
	r.fake.seen = func(request *http.Request) { sent = append(sent, request.Header.Get("Traceparent")) }
	r.wantStatus(t, day("a"), http.StatusOK)
	r.wantStatus(t, day("a"), http.StatusOK) // held: no trace
	made := spans.GetSpans()
	if len(made) != 2 || made[0].Name != "AssumeRoleForPodIdentity" || made[1].Name != "GET /v1/credentials" || made[0].Parent.SpanID() != made[1].SpanContext.SpanID() {
		t.Fatalf("spans %+v, want a call of EKS Auth within a request", made)
	}
	want := fmt.Sprintf("00-%s-%s-01", made[0].SpanContext.TraceID(), made[0].SpanContext.SpanID())
	if len(sent) != 1 || sent[0] != want {
		t.Errorf("traceparent %q, want %q", sent, want)
	}
}

func TestWithoutTracesNothingIsSent(t *testing.T) {
	r := newRig(t, nil)
	r.fake.seen = func(request *http.Request) {
		if got, sent := request.Header["Traceparent"]; sent {
			t.Errorf("traceparent %q", got)
		}
	}
	r.wantStatus(t, day("a"), http.StatusOK)
}
