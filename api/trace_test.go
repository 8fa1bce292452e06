package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/openlanyard/lanyard/api"
)

func TestTheBrokersPartIsASpanOfTheRequest(t *testing.T) {
	w := newWorld(t)
	w.account(t, ours)
	w.associate(t, ours)
	spans := tracetest.NewInMemoryExporter()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")
	frame := api.New(w.config(), "eks", w.doors()...)
	traced := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if traced {
			ctx, span := tracer.Start(r.Context(), "request")
			defer span.End()
			r = r.WithContext(ctx)
		}
		frame.ServeHTTP(w, r)
	}))
	ask := func() {
		t.Helper()
		if got := w.send(t, server, w.pod(w.agent(t, ours), w.token(t, podToken(w.clock())))); got.status != http.StatusOK {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
	}
	ask()
	traced = true
	ask()
	server.Close() // the request's own span has ended by then
	made := spans.GetSpans()
	if len(made) != 2 || made[0].Name != "broker.ForPod" || made[1].Name != "request" || made[0].Parent.SpanID() != made[1].SpanContext.SpanID() {
		t.Errorf("spans %+v, want the broker's within the traced request, and none of the other", made)
	}
}
