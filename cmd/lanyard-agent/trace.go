package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// newTraces returns what makes and sends traces, by OpenTelemetry's variables
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/), or nil when none of them asks for it. The SDK reads those
// for sampling, batches and the resource itself.
func newTraces(ctx context.Context) (*sdktrace.TracerProvider, error) {
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if base := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"); endpoint == "" && base != "" {
		endpoint = strings.TrimRight(base, "/") + "/v1/traces"
	}
	kind := os.Getenv("OTEL_TRACES_EXPORTER")
	if endpoint == "" && kind == "otlp" {
		endpoint = "http://localhost:4318/v1/traces"
	}
	if endpoint == "" || kind == "none" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: an http or https URL is accepted, got %q", endpoint)
	}
	protocol := firstEnv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	if protocol != "" && protocol != "http/json" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q: this program speaks http/json", protocol)
	}
	e := &exporter{url: endpoint, headers: http.Header{}, client: &http.Client{Timeout: 10 * time.Second}}
	for pair := range strings.SplitSeq(firstEnv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"), ",") {
		name, value, ok := strings.Cut(pair, "=")
		if value, err = url.PathUnescape(strings.TrimSpace(value)); ok && err == nil {
			e.headers.Set(strings.TrimSpace(name), value)
		}
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "lanyard-agent")), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("reading OpenTelemetry's resource: %w", err)
	}
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(e), sdktrace.WithResource(about)), nil
}

// exporter sends spans as OTLP over HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). The
// SDK's own exporters bring gRPC along, which is half of what this program may weigh (docs/adr/0006).
type exporter struct {
	url     string
	headers http.Header
	client  *http.Client
}

// The message ExportTraceServiceRequest, as far as it is used.
type (
	otlpRequest struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpScopeSpans struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		ParentID   string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	otlpAttribute struct {
		Key   string `json:"key"`
		Value struct {
			Text string `json:"stringValue"`
		} `json:"value"`
	}
)

// ExportSpans sends a batch. All spans of one provider have its resource.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	var all otlpResourceSpans
	all.Resource.Attributes = otlpAttributes(spans[0].Resource().Attributes())
	var scope otlpScopeSpans
	scope.Scope.Name = spans[0].InstrumentationScope().Name
	for _, s := range spans {
		scope.Spans = append(scope.Spans, newOTLPSpan(s))
	}
	all.ScopeSpans = []otlpScopeSpans{scope}
	body, err := json.Marshal(otlpRequest{[]otlpResourceSpans{all}})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = e.headers.Clone()
	r.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	_ = response.Body.Close() // read; nothing to lose
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("sending traces: status %d", response.StatusCode)
	}
	return err
}

// Shutdown has nothing to do: nothing is kept.
func (e *exporter) Shutdown(context.Context) error { return nil }

func newOTLPSpan(s sdktrace.ReadOnlySpan) otlpSpan {
	out := otlpSpan{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Name: s.Name(),
		Kind:  int(s.SpanKind()), // the numbers are the wire's
		Start: strconv.FormatInt(s.StartTime().UnixNano(), 10), End: strconv.FormatInt(s.EndTime().UnixNano(), 10),
		Attributes: otlpAttributes(s.Attributes()),
	}
	if s.Parent().SpanID().IsValid() {
		out.ParentID = s.Parent().SpanID().String()
	}
	if status := s.Status(); status.Code == codes.Error {
		const wireError = 2
		out.Status = otlpStatus{wireError, status.Description}
	}
	return out
}

func otlpAttributes(list []attribute.KeyValue) []otlpAttribute {
	out := make([]otlpAttribute, len(list))
	for i, a := range list {
		out[i].Key, out[i].Value.Text = string(a.Key), a.Value.String()
	}
	return out
}

// provider is the interface, which is nil where the pointer is.
func provider(p *sdktrace.TracerProvider) trace.TracerProvider {
	if p == nil {
		return nil
	}
	return p
}
