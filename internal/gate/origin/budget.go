package origin

import "time"

// The retry budget: how much a pool may retry. The shape is that of Finagle's RetryBudget (a share of the traffic, a
// small floor for quiet pools, a bounded reserve).
const (
	budgetShare = 0.1 // retries for each forward
	budgetFloor = 3   // retries a second for a pool with little traffic
	budgetMost  = 100 // the reserve that can be saved up
	budgetFirst = 30  // the reserve at the start: ten seconds of the floor
)

// budget is a token bucket over forwards: each forward brings a tenth of a token, each second three, and a retry spends
// one. So retries stay at a tenth of the traffic, and a failing origin is never asked much more than a healthy one. The
// zero budget is full enough to begin with. It has no clock and no lock.
type budget struct {
	tokens   float64
	forwards uint64
	at       time.Time
}

// spend takes one token. forwards is how many forwards the pool has begun since it exists; now is the time. When ok is
// false there was none, and the retry must not happen.
func (b budget) spend(now time.Time, forwards uint64) (next budget, ok bool) {
	if b.at.IsZero() {
		b = budget{tokens: budgetFirst, at: now}
	}
	b.tokens += budgetShare * float64(forwards-b.forwards)
	if d := now.Sub(b.at); d > 0 {
		b.tokens += budgetFloor * d.Seconds()
		b.at = now
	}
	b.tokens = min(b.tokens, budgetMost)
	b.forwards = forwards
	if b.tokens < 1 {
		return b, false
	}
	b.tokens--
	return b, true
}
