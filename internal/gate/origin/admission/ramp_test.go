package admission

import (
	"testing"
	"time"
)

// TestRamp: what is asked for grows from a tenth of what the origin can do to three times as much, in a minute. Nobody is refused before it is
// nearly all, and then the origin does all that it can.
func TestRamp(t *testing.T) {
	s := newSim(8, 16)
	s.work = func(_ *sim, a *ask) time.Duration { return 8 * a.service } // 200 pages a second
	for second := range 60 {
		from := time.Duration(second) * time.Second
		rate := 20 + 580*float64(second)/60
		s.after(from, func() { s.stream(rate, from+time.Second, botPage) })
	}
	early := 0
	for s.now < time.Minute {
		before := *s.tally("bots")
		s.run(s.now + time.Second)
		b := s.tally("bots")
		offered := float64(b.asked-before.asked) / 200
		if refused := b.refused - before.refused; offered < 0.9 {
			early += refused
		} else if goodput := float64(b.served-before.served) / 200; offered > 1.1 && goodput < 0.93 {
			t.Errorf("at %v %.0f %% are asked for and %.0f %% done, limit %.1f", s.now, 100*offered, 100*goodput, s.d.limiter.limit)
		}
	}
	if early > 0 {
		t.Errorf("%d refused while less than 90 %% were asked for", early)
	}
	if q := at(s.queued, .99); q > 60*ms {
		t.Errorf("queueing in the origin: %v", q)
	}
}
