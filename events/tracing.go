package events

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/actionflows/lifeline/storage"
)

// Spans are made beneath the one that a request brings along, by that one's own
// provider, and only while somebody records it: without Caddy's directive tracing they
// cost a look into the context. Their attributes are those of OpenTelemetry's
// conventions for messaging.

const tracerName = "github.com/actionflows/lifeline/events"

// The spans.
const (
	spanPublish  = "lifeline publish"  // of one event or a batch, as a whole
	spanStorage  = "lifeline storage"  // until storage has acknowledged it
	spanDelivery = "lifeline delivery" // until it is queued for those who follow its session
)

// startSpan begins a span beneath that of ctx. Without one that is recorded the answer
// is that one, whose methods do nothing. about is asked only if there is one.
func startSpan(ctx context.Context, name string, kind trace.SpanKind, about func() []attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, parent
	}
	attributes := append(about(), attribute.String("messaging.system", "lifeline"))
	return parent.TracerProvider().Tracer(tracerName).Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

// endSpan ends a span of startSpan with what came of it.
func endSpan(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// attributes tell which event it is.
func (ev Event) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.destination.name", ev.Session), attribute.String("messaging.message.id", ev.ID),
	}
}

// batch tells of how many events a batch is.
func batch(n int) func() []attribute.KeyValue {
	return func() []attribute.KeyValue {
		return []attribute.KeyValue{attribute.Int("messaging.batch.message_count", n)}
	}
}

func firstError(results []storage.Result) error {
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// trace has the way of d to its subscribers be a span, beneath that of ctx.
func (d *delivery) trace(ctx context.Context, ev Event) {
	if _, span := startSpan(ctx, spanDelivery, trace.SpanKindProducer, ev.attributes); span.IsRecording() {
		d.span = span
	}
}

// arrived ends the span of a delivery to so many connections.
func (d *delivery) arrived(connections int) {
	if d.span != nil {
		d.span.SetAttributes(attribute.Int("lifeline.connections", connections))
		endSpan(d.span, nil)
	}
}
