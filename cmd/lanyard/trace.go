package main

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/openlanyard/lanyard/api"
)

// traces makes spans and sends them; nil does nothing.
type traces struct{ provider *sdktrace.TracerProvider }

// newTraces reads OpenTelemetry's variables (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). Nothing is made
// or sent unless one of them names an endpoint or the exporter.
func newTraces(ctx context.Context) (*traces, error) {
	asked := os.Getenv("OTEL_TRACES_EXPORTER") == "otlp" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	if !asked || os.Getenv("OTEL_TRACES_EXPORTER") == "none" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "lanyard")), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	return &traces{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))}, nil
}

// close sends what is left.
func (t *traces) close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// wrap puts a span around each request of the frame. Without traces it is the frame itself.
func (t *traces) wrap(frame *api.Frame) http.Handler {
	if t == nil {
		return frame
	}
	return &traced{frame, t.provider.Tracer("github.com/openlanyard/lanyard/cmd/lanyard")}
}

type traced struct {
	*api.Frame
	tracer trace.Tracer
}

func (t *traced) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)))
	defer span.End()
	seen := &statusWriter{ResponseWriter: w}
	t.Frame.ServeHTTP(seen, r.WithContext(ctx))
	span.SetAttributes(attribute.Int("http.response.status_code", seen.status))
	if seen.status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(seen.status))
	}
}

// statusWriter notes the status. What else a writer can do is found by Unwrap.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
