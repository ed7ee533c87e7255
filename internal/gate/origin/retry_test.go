package origin

import (
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

func TestRetryRules(t *testing.T) {
	ok := answers(200, "ok")
	for _, tt := range []struct {
		name   string
		ex     *fakeExchange
		first  step
		two    bool // there is a second origin
		reason flow.Reason
		tries  int
	}{
		{"dial, alone", visitor("GET", "/"), fails(wire.FaultDial, true), false, flow.OriginDown, 1},
		{"dial, another origin", visitor("GET", "/"), fails(wire.FaultDial, true), true, "", 2},
		{"dial, POST", visitor("POST", "/").with("pay"), fails(wire.FaultDial, true), true, "", 2},
		{"refused stream", visitor("POST", "/"), fails(wire.FaultClosed, true), false, "", 2},
		{"stale GET", visitor("GET", "/"), fails(wire.FaultStale, false), false, "", 2},
		{"stale DELETE", visitor("DELETE", "/"), fails(wire.FaultStale, false), false, "", 2},
		{"stale PUT, body untouched", visitor("PUT", "/").with("x"), fails(wire.FaultStale, false), false, "", 2},
		{"stale PUT, body sent", visitor("PUT", "/").with("x"), failsAfterBody(wire.FaultStale, false), true, flow.OriginBroken, 1},
		{"unseen, body read", visitor("POST", "/").with("x"), failsAfterBody(wire.FaultClosed, true), true, flow.OriginBroken, 1},
		{"stale POST", visitor("POST", "/"), fails(wire.FaultStale, false), true, flow.OriginBroken, 1},
		{"stale PATCH", visitor("PATCH", "/"), fails(wire.FaultStale, false), true, flow.OriginBroken, 1},
		{"closed GET", visitor("GET", "/"), fails(wire.FaultClosed, false), true, flow.OriginBroken, 1},
		{"timeout GET", visitor("GET", "/"), fails(wire.FaultTimeout, false), true, flow.OriginTimeout, 1},
		{"garbage GET", visitor("GET", "/"), fails(wire.FaultGarbage, false), true, flow.OriginBroken, 1},
		{"503 is an answer", visitor("GET", "/"), answers(503, "busy"), true, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			origins := []*fakeOrigin{plays(tt.first, ok)}
			if tt.two {
				origins = append(origins, plays(ok))
			}
			p, o := script(t, nil, origins...), facts()
			p.turn.Store(^uint32(0)) // the first origin's turn
			if r := p.Forward(tt.ex, o); r != tt.reason || o.Attempts != tt.tries {
				t.Fatalf("%q after %d tries, want %q after %d (%s)", r, o.Attempts, tt.reason, tt.tries, o.Err)
			}
			asked := 0
			for _, u := range origins {
				asked += u.count()
			}
			if asked != tt.tries {
				t.Errorf("the origins were asked %d times, want %d", asked, tt.tries)
			}
			for _, s := range p.Status() {
				if s.InFlight != 0 {
					t.Errorf("%s: %d still in flight", s.Address, s.InFlight)
				}
			}
		})
	}
}

func TestRetriesStayInTheBudget(t *testing.T) {
	now := time.Unix(1000, 0)
	u := plays(fails(wire.FaultStale, false))
	p := script(t, func(c *Config) { c.Now = func() time.Time { return now } }, u)
	const n = 10000
	for i := range n {
		p.Forward(visitor("GET", "/"), facts())
		if i%1000 == 0 {
			now = now.Add(time.Second)
		}
	}
	tried := u.count()
	if most := n + n/10 + budgetMost + 3*10; tried > most || tried < n+n/10 {
		t.Errorf("%d forwards made %d round trips; the budget allows about %d", n, tried, most)
	}
}
