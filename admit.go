package stormdoor

import (
	"fmt"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// forward sends a judged request to the origin of its site or route and streams the answer back. It is all that the path
// does with an origin: whoever can answer without one stands before it. What it returns, and what the caller must do
// then, is what origin.Pool.Forward says.
func (d *Door) forward(ex wire.Exchange, v *visit) flow.Reason {
	return v.edition.pool(v.site, v.route).Forward(ex, &v.outcome)
}

// explainCost tells what was learned of the route of a request, and whether it would find a free place now.
func (e *Edition) explainCost(f *flow.Facts) string {
	s := e.sites.Find(f.Host)
	if s == nil {
		return ""
	}
	p := e.pool(s.Policy, s.Route(f.Path.Clean, f.Method))
	if p == nil {
		return ""
	}
	route, known, gate, ok := p.Cost(f)
	if !ok {
		return ""
	}
	text := "nothing is known of such requests yet"
	if known {
		text = fmt.Sprintf("such requests take %s at the origin (p50 %s, p95 %s; %d answers of the origin, %d of the cache)",
			millis(route.Service), millis(route.P50), millis(route.P95), route.Forwards, route.Hits)
	}
	return fmt.Sprintf("%s; %d of at most %d are in flight, %d wait", text, gate.InFlight, gate.Limit, gate.Waiting)
}

// millis writes seconds for a person.
func millis(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Microsecond).String()
}
