package api

import (
	"context"

	"go.opentelemetry.io/otel/trace"
)

// Span begins a part of the request's trace, which its caller ends. Without a trace it costs a look.
func Span(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsValid() {
		return ctx, parent
	}
	return parent.TracerProvider().Tracer("github.com/openlanyard/lanyard/api").Start(ctx, name)
}
