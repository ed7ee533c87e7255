//go:build otel

package observe

import (
	"context"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"stormdoor/flow"
)

func TestSpanContinuesTheVisitorsTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tr := newTracer(spans, "test")
	o := outcome(start, flow.Verdict{})
	o.Facts.Header.Add("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	o.End = flow.OriginTimeout
	tr.record(o)
	tr.record(outcome(start, flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate}))
	ended := spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans, want one: refused requests have none", len(ended))
	}
	var s sdk.ReadOnlySpan = ended[0]
	if s.Parent().TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || s.EndTime().Sub(s.StartTime()) != time.Millisecond || s.Status().Description != "origin.timeout" {
		t.Errorf("parent %v, took %v, status %v", s.Parent(), s.EndTime().Sub(s.StartTime()), s.Status())
	}
	if err := tr.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestNoCollectorNoTracer(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	if tr, err := NewTracer(context.Background(), "test"); tr != nil || err != nil {
		t.Errorf("%v, %v", tr, err)
	}
}
