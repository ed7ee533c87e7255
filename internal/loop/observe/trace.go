//go:build !otel

package observe

import (
	"context"
	"errors"
	"os"

	"stormdoor/flow"
)

// Tracer writes spans. This build has none: OpenTelemetry is behind the build tag "otel".
type Tracer struct{}

// NewTracer returns no tracer. The error says so when the environment asks for traces.
func NewTracer(context.Context, string) (*Tracer, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		return nil, errors.New("the environment asks for OpenTelemetry traces, and this binary was built without them; build it with: go build -tags otel ./cmd/stormdoor")
	}
	return nil, nil
}

// Close does nothing.
func (*Tracer) Close(context.Context) error { return nil }

func (*Tracer) record(*flow.Outcome) {}
