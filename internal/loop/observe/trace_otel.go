//go:build otel

package observe

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"stormdoor/flow"
)

// Tracer writes a span for each request that was let pass, after it has ended. The span's parent is what the visitor's
// traceparent field says (W3C Trace Context), and the origin sees the same field. Refused requests have no span: a
// flood must not become a flood of spans. What the collector does not take in time is dropped.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// NewTracer returns a tracer that sends to the collector which the OTEL_* environment variables name, or nil when they
// name none.
func NewTracer(ctx context.Context, version string) (*Tracer, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OpenTelemetry: %w; check the OTEL_EXPORTER_OTLP_* variables", err)
	}
	return newTracer(sdk.NewBatchSpanProcessor(exporter), version), nil
}

func newTracer(p sdk.SpanProcessor, version string) *Tracer {
	r := resource.NewSchemaless(attribute.String("service.name", "stormdoor"), attribute.String("service.version", version))
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(p), sdk.WithResource(r))
	return &Tracer{provider, provider.Tracer("stormdoor")}
}

// Close sends what waits and ends the tracer. Nil does nothing.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// carrier reads the fields of a request for the propagator.
type carrier struct{ flow.Header }

func (c carrier) Set(string, string) {}
func (c carrier) Keys() []string     { return []string{"traceparent", "tracestate"} }

func (t *Tracer) record(o *flow.Outcome) {
	if t == nil || o.Verdict.Action >= flow.Challenge {
		return
	}
	f := &o.Facts
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier{f.Header})
	_, span := t.tracer.Start(ctx, spanName(f), trace.WithTimestamp(f.Arrived), trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("http.request.method", string(append([]byte(nil), f.Method...))),
			attribute.String("url.path", string(append([]byte(nil), f.Path.Raw...))),
			attribute.String("server.address", string(append([]byte(nil), f.Host...))),
			attribute.String("client.address", f.Client.String()),
			attribute.Int("http.response.status_code", o.Status),
			attribute.String("stormdoor.request_id", f.ID.String()),
			attribute.String("stormdoor.site", f.Site),
			attribute.String("stormdoor.origin", o.Origin),
			attribute.Float64("stormdoor.origin_seconds", o.OriginTime.Seconds()),
			attribute.Float64("stormdoor.waited_seconds", o.Waited.Seconds()),
			attribute.Int("stormdoor.attempts", o.Attempts))
		if o.End != "" {
			span.SetStatus(codes.Error, string(o.End))
		}
	}
	span.End(trace.WithTimestamp(f.Arrived.Add(o.Took)))
}

// spanName has few values: a method that nobody knows and a path would make many.
func spanName(f *flow.Facts) string {
	for _, m := range [...]string{"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		if f.Method == m {
			return m + " " + f.Site
		}
	}
	return "HTTP " + f.Site
}
