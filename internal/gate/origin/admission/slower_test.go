package admission

import (
	"fmt"
	"testing"
	"time"
)

// readers lets readers come: a page, at once what belongs to it, and a moment later two more pages, now and then a search.
// Beside them programs ask. A visit a second is visitCost of a worker's time.
func (s *sim) readers(visits float64, end time.Duration) {
	page := func(tag uint64, cost time.Duration) *ask {
		return &ask{from: "readers", priority: Known, level: 3, route: Route{Tag: tag << 60, Method: "GET", Path: "/"}, service: cost}
	}
	s.stream(visits, end, func() *ask {
		for range 3 {
			s.after(20*ms, func() { s.arrive(page(2, 10*ms/4)) })
		}
		s.after(400*ms, func() { s.arrive(page(3, 10*ms)) })
		s.after(900*ms, func() {
			if s.rnd.IntN(6) == 0 {
				s.arrive(page(5, 100*ms))
				return
			}
			s.arrive(page(4, 10*ms))
		})
		return page(1, 10*ms)
	})
	s.stream(2*visits, end, func() *ask { return page(6, 10*ms) })
	s.stream(visits/4, end, func() *ask { return page(7, ms/4) })
}

const (
	visitCost     = 0.0725 // seconds
	visitRequests = 8.25
)

// origins are those of the tests below: workers that serve one after the other, that take turns, and as many as are wanted.
var origins = []struct {
	name    string
	workers int
	shares  bool
}{{"8 workers", 8, false}, {"4 in turns", 4, true}, {"any number", 0, false}}

// TestOriginThatIsSlowIsNotThrottled: for 20 s an origin takes several times as long, or some time longer, for what it does, and
// can still do all that its readers ask for. What the door makes of it is held to what they would have had without one.
func TestOriginThatIsSlowIsNotThrottled(t *testing.T) {
	for _, o := range origins {
		for _, c := range []struct {
			times time.Duration
			plus  time.Duration
			use   float64 // the part of the origin that is used while it is slow
		}{{10, 0, .25}, {10, 0, .7}, {3, 0, .5}, {3, 0, .8}, {1, 100 * ms, .4}, {1, 30 * ms, .4}, {1, 0, .85}} {
			t.Run(fmt.Sprintf("%s, x%d +%v, %.0f %% used", o.name, c.times, c.plus, 100*c.use), func(t *testing.T) {
				slow := func(limit float64) (late float64, p99 time.Duration) {
					const seeds = 3
					for seed := range uint64(seeds) {
						s := newSim(o.workers, seed)
						s.shares = o.shares
						s.d.limiter.limit = limit
						if limit > limitFirst {
							s.d.limiter.fixed = int(limit)
						}
						s.work = func(s *sim, a *ask) time.Duration {
							if s.now > 10*time.Second && s.now < 30*time.Second {
								return c.times*a.service + c.plus
							}
							return a.service
						}
						workers := float64(o.workers)
						if o.workers == 0 {
							workers = 32
						}
						s.readers(workers*c.use/(visitCost*float64(c.times)+visitRequests*c.plus.Seconds()), 50*time.Second)
						s.run(10 * time.Second)
						s.forget()
						s.run(30 * time.Second)
						v := s.tally("readers")
						n := v.refused
						for _, d := range v.took {
							if d > time.Second {
								n++
							}
						}
						late += float64(n) / float64(v.asked) / seeds
						p99 += v.p99() / seeds
						s.forget()
						s.run(50 * time.Second)
						if r := s.tally("readers").refused; r > 0 {
							t.Errorf("%d refused when the origin was well again", r)
						}
					}
					return late, p99
				}
				without, p99without := slow(limitMost)
				late, p99 := slow(limitFirst)
				t.Logf("%.1f %% late or refused, p99 %v; without a limit %.1f %%, p99 %v", 100*late, p99, 100*without, p99without)
				if late > without+0.01 || p99 > p99without+300*ms {
					t.Errorf("%.1f %% of the readers were late or refused, p99 %v; without a limit %.1f %%, p99 %v", 100*late, p99, 100*without, p99without)
				}
			})
		}
	}
}

// TestFloodOfManyKinds: bots ask for everything that readers ask for, at twenty times what the origin can do, all the time or by fits,
// while it is well or three times as slow. It must not be taken for one that is only slow.
func TestFloodOfManyKinds(t *testing.T) {
	for _, o := range origins[:2] {
		for _, c := range []struct {
			times  float64
			pulse  time.Duration // 0: all the time
			slower time.Duration
		}{{20, 0, 1}, {1.5, 0, 1}, {10, 500 * ms, 1}, {10, 3 * time.Second, 1}, {20, 0, 3}} {
			t.Run(fmt.Sprintf("%s, %.1f times, pulses of %v, slower x%d", o.name, c.times, c.pulse, c.slower), func(t *testing.T) {
				s := newSim(o.workers, 17)
				s.shares = o.shares
				s.work = func(s *sim, a *ask) time.Duration {
					if s.now > 10*time.Second {
						return c.slower * a.service
					}
					return a.service
				}
				capacity := float64(o.workers) / float64(c.slower) // seconds of work in a second
				s.readers(0.2*capacity/visitCost, 30*time.Second)
				s.run(8 * time.Second)
				bot := func() *ask {
					a := &ask{from: "bots", priority: New, level: 6, route: Route{Tag: 1 << 60, Method: "GET", Path: "/"}, service: 10 * ms}
					switch n := s.rnd.IntN(20); {
					case n == 0:
						a.route.Tag, a.service = 5<<60, 100*ms
					case n < 6:
						a.route.Tag, a.service = 2<<60, 10*ms/4
					case n < 11:
						a.route.Tag = 3 << 60
					}
					return a
				}
				rate := c.times * capacity / 0.0126
				if c.pulse == 0 {
					s.stream(rate, 30*time.Second, bot)
				}
				for at := s.now; c.pulse > 0 && at < 30*time.Second; at += 2 * c.pulse {
					s.after(at-s.now, func() { s.stream(rate, s.now+c.pulse, bot) })
				}
				s.run(10 * time.Second)
				s.forget()
				s.run(30 * time.Second)
				v := s.tally("readers")
				wait := 700 * ms * c.slower // a search takes 100 ms, and longer where the workers take turns
				t.Logf("readers %.2f %% p99 %v, queueing p50 %v p99 %v, most in flight %d", 100*v.share(), v.p99(), at(s.queued, .5), at(s.queued, .99), s.mostFlying)
				if v.share() < 0.99 || v.p99() > wait {
					t.Errorf("%.2f %% of the readers were served, p99 %v; most in flight %d", 100*v.share(), v.p99(), s.mostFlying)
				}
			})
		}
	}
}

// TestStartUnderLoad: the door starts before an origin of 40 workers that are used to 90 %, or asked for twenty times as much, so that many are in
// flight from the first moment on and no answer tells what one takes when nobody waits.
func TestStartUnderLoad(t *testing.T) {
	for seed := range uint64(6) {
		s := newSim(40, seed)
		s.readers(40*.9/visitCost, 20*time.Second)
		s.run(5 * time.Second)
		s.forget()
		s.run(21 * time.Second)
		if v := s.tally("readers"); v.refused > 0 || v.p99() > 300*ms {
			t.Errorf("seed %d: %d of %d refused, p99 %v, limit %.1f", seed, v.refused, v.asked, v.p99(), s.d.limiter.limit)
		}
	}
	for seed := range uint64(6) {
		s := newSim(8, seed)
		s.readers(8*.2/visitCost, 20*time.Second)
		s.stream(20*8/.01, 20*time.Second, func() *ask {
			a := botPage()
			a.route.Tag, a.service = uint64(1+s.rnd.IntN(15))<<60, 10*ms
			return a
		})
		s.run(2 * time.Second)
		s.forget()
		s.run(20 * time.Second)
		if v := s.tally("readers"); v.share() < 0.99 || v.p99() > 200*ms || at(s.queued, .99) > 80*ms { // what they take is learned with what queued
			t.Errorf("seed %d, in a storm: %.2f %% of the readers served, p99 %v, queueing p99 %v, limit %.1f", seed, 100*v.share(), v.p99(), at(s.queued, .99), s.d.limiter.limit)
		}
	}
}

// TestHostileCostsDoNotPushTheOriginOver: bots ask for one route whose cost differs from request to request, by chance or as they like, for five minutes. Neither chance
// nor a trial may take their queue for an origin that has become slower, time and again, until the origin has no end to its work.
func TestHostileCostsDoNotPushTheOriginOver(t *testing.T) {
	page := func(cost time.Duration) *ask {
		return &ask{from: "bots", priority: New, level: 6, route: Route{Tag: 9 << 60, Method: "GET", Path: "/"}, service: cost}
	}
	pulses := func(period time.Duration, dear, cheap int) func(s *sim, end time.Duration) {
		return func(s *sim, end time.Duration) {
			var pulse func()
			pulse = func() {
				if s.now >= end {
					return
				}
				for range dear {
					s.arrive(page(2 * time.Second))
				}
				for i := range cheap {
					s.after(time.Duration(i)*ms/4, func() { s.arrive(page(ms)) })
				}
				s.after(period, pulse)
			}
			pulse()
		}
	}
	for _, c := range []struct {
		name    string
		workers int
		shares  bool
		least   float64 // of the readers
		bots    func(s *sim, end time.Duration)
	}{
		{"one in eleven is not stored, 2 in turns", 2, true, 0.97, func(s *sim, end time.Duration) {
			s.stream(625, end, func() *ask {
				if s.rnd.IntN(10) == 0 {
					return page(300 * ms)
				}
				return page(2 * ms)
			})
		}},
		{"one in twenty is dear, 4 in turns", 4, true, 0.93, func(s *sim, end time.Duration) {
			s.stream(1600, end, func() *ask {
				if s.rnd.IntN(20) == 0 {
					return page(500 * ms)
				}
				return page(ms)
			})
		}},
		{"pulses, 8 workers", 8, false, 0.97, pulses(time.Second, 8, 100)},
		{"pulses, 4 in turns", 4, true, 0.75, pulses(300*ms, 4, 240)},
		{"dear and cheap by turns, 8 workers", 8, false, 0.7, func(s *sim, end time.Duration) {
			s.stream(2400, end, func() *ask {
				if s.now/(2*time.Second)%2 == 0 {
					return page(ms)
				}
				return page(2 * time.Second)
			})
		}},
	} {
		for seed := range uint64(2) {
			s := newSim(c.workers, seed)
			s.shares = c.shares
			const end = 310 * time.Second
			s.readers(.2*float64(c.workers)/visitCost, end)
			s.run(8 * time.Second)
			c.bots(s, end)
			s.run(10 * time.Second)
			s.forget()
			s.run(end)
			v := s.tally("readers")
			t.Logf("%s, seed %d: readers %.1f %%, p99 %v, most in flight %d", c.name, seed, 100*v.share(), v.p99(), s.mostFlying)
			if v.share() < c.least || s.mostFlying > 150 {
				t.Errorf("%s, seed %d: %.1f %% of the readers served, most in flight %d", c.name, seed, 100*v.share(), s.mostFlying)
			}
		}
	}
}
