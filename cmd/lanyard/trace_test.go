package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/openlanyard/lanyard/api"
	"github.com/openlanyard/lanyard/api/eks"
	"github.com/openlanyard/lanyard/limit"
)

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		on   bool
	}{
		{"nothing said", nil, false},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, true},
		{"the exporter", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{"no exporter", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, false},
		{"switched off", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			got, err := newTraces(t.Context())
			if err != nil || (got != nil) != c.on {
				t.Errorf("traces %v, %v; want them on: %v", got, err, c.on)
			}
			if err := got.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARequestContinuesTheTraceOfItsCaller(t *testing.T) {
	frame := api.New(api.Config{
		Addresses: limit.NewRates(100, 100, 1), Gate: limit.NewGate(2, 1), Log: newLogger(0), Ready: func() error { return nil },
	}, "eks", eks.New(nil))
	if (*traces)(nil).wrap(frame) != http.Handler(frame) {
		t.Error("without traces something stands before the frame")
	}
	spans := tracetest.NewInMemoryExporter()
	on := &traces{sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))}
	handler := on.wrap(frame)
	if _, ends := handler.(interface{ EndStreams() }); !ends {
		t.Error("streams do not end with the server any more")
	}
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/healthz", nil)
	r.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	made := spans.GetSpans()
	if len(made) != 1 || made[0].SpanContext.TraceID().String() != "0123456789abcdef0123456789abcdef" || made[0].Parent.SpanID().String() != "0123456789abcdef" || made[0].Name != "GET" {
		t.Errorf("spans %+v, want one within the caller's", made)
	}
}
