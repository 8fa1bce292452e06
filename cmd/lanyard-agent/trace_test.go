package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A collector gets the spans of a fetched credential as the agent stops, with the headers and the resource that OpenTelemetry's
// variables say.
func TestTracesAreSentAsOTLP(t *testing.T) {
	bodies := make(chan otlpRequest, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body otlpRequest
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Team") != "a b" {
			t.Errorf("%s %v", r.URL.Path, r.Header)
		}
		bodies <- body
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL+"/")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a%20b,broken")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.node.name=node-1")
	released := make(chan struct{})
	close(released)
	ctx, stop := context.WithCancel(t.Context())
	addr, ended := start(ctx, t, "--endpoint", control(t, released, make(chan struct{}, 1)), "--sts-endpoint", "")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/credentials", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", podToken())
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	got := (<-bodies).ResourceSpans[0]
	resource := map[string]string{}
	for _, a := range got.Resource.Attributes {
		resource[a.Key] = a.Value.Text
	}
	if resource["service.name"] != "lanyard-agent" || resource["k8s.node.name"] != "node-1" {
		t.Errorf("the resource is %v", resource)
	}
	spans := got.ScopeSpans[0].Spans
	if len(spans) != 2 || spans[0].Kind != 3 || spans[1].Kind != 2 || spans[0].ParentID != spans[1].SpanID || spans[0].TraceID != spans[1].TraceID || spans[1].ParentID != "" {
		t.Errorf("spans %+v, want a client's within a server's", spans)
	}
}

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	for _, c := range []struct {
		name, variable, value, more string
		on                          bool
		refused                     string
	}{
		{name: "nothing said", variable: "OTEL_SERVICE_NAME", value: "x"},
		{name: "an endpoint", variable: "OTEL_EXPORTER_OTLP_ENDPOINT", value: "http://127.0.0.1:4318", on: true},
		{name: "one for traces", variable: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value: "http://127.0.0.1:4318/x", on: true},
		{name: "no exporter", variable: "OTEL_EXPORTER_OTLP_ENDPOINT", value: "http://127.0.0.1:4318", more: "none"},
		{name: "no URL", variable: "OTEL_EXPORTER_OTLP_ENDPOINT", value: "collector", refused: "http or https"},
		{name: "another protocol", variable: "OTEL_EXPORTER_OTLP_PROTOCOL", value: "grpc", more: "otlp", refused: `"grpc"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			t.Setenv("OTEL_TRACES_EXPORTER", c.more)
			got, err := newTraces(t.Context())
			if (got != nil) != c.on || (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("traces %v, %v", got, err)
			}
			if got != nil {
				_ = got.Shutdown(t.Context()) // nothing was made
			}
		})
	}
}
