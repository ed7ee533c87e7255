package admission

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"
)

// sim is an origin, a desk before it, and those who ask, in virtual time. It is driven by one seed, so that a run can be
// repeated.
type sim struct {
	d   desk
	rnd *rand.Rand
	now time.Duration
	todo
	seq int

	workers int // 0: any number at once
	busy    int
	queue   []*ask // in the origin, waiting for a worker
	work    func(s *sim, a *ask) time.Duration
	shared  []*share // an origin whose workers take turns: what they work on; nil for one whose workers end one request before the next
	shares  bool
	turned  time.Duration // when the shares were settled last
	turn    int           // counts the events of the shares

	asleep []func()      // what has come while the door has no time; nil while it has
	since  time.Duration // since when it has none
	late   float64       // the integral of its lateness, in s²

	mostFlying, overLimit int
	queued                []time.Duration // queueing in the origin of each answer since the last look
	stats                 map[string]*tally
	waiting               map[*waiter]*ask
}

// ask is one request.
type ask struct {
	from     string // whose tally counts it
	priority Priority
	level    uint8
	route    Route
	service  time.Duration // what it costs the origin
	retries  int           // how often it is tried again after a refusal, at once

	arrived, sent, began time.Duration
	w                    waiter
	flying, at           int
}

// tally is what became of the requests of one kind.
type tally struct {
	asked, served, refused int
	took                   []time.Duration // from arrival to answer
}

func (t *tally) share() float64 { return float64(t.served) / float64(max(1, t.asked)) }

func (t *tally) p99() time.Duration { return at(t.took, 0.99) }

func at(d []time.Duration, share float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(int(share*float64(len(s))), len(s)-1)]
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type todo []event

func (t todo) Len() int { return len(t) }
func (t todo) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].seq < t[j].seq
}
func (t todo) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *todo) Push(x any)   { *t = append(*t, x.(event)) }
func (t *todo) Pop() any {
	old := *t
	e := old[len(old)-1]
	*t = old[:len(old)-1]
	return e
}

func newSim(workers int, seed uint64) *sim {
	return &sim{d: desk{limiter: newLimiter(0)}, rnd: rand.New(rand.NewPCG(seed, 1)), workers: workers, stats: map[string]*tally{}, waiting: map[*waiter]*ask{},
		work: func(_ *sim, a *ask) time.Duration { return a.service }}
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.todo, event{s.now + d, s.seq, do})
}

// run lets virtual time pass until end.
func (s *sim) run(end time.Duration) {
	for len(s.todo) > 0 && s.todo[0].at <= end {
		e := heap.Pop(&s.todo).(event)
		s.now = e.at
		e.do()
	}
	s.now = end
}

// stream lets requests arrive at a rate, as chance has it, until end.
func (s *sim) stream(rate float64, end time.Duration, make func() *ask) {
	gap := time.Duration(s.rnd.ExpFloat64() / rate * float64(time.Second))
	s.after(gap, func() {
		if s.now >= end {
			return
		}
		s.arrive(make())
		s.stream(rate, end, make)
	})
}

func (s *sim) tally(name string) *tally {
	t := s.stats[name]
	if t == nil {
		t = &tally{}
		s.stats[name] = t
	}
	return t
}

func (s *sim) arrive(a *ask) {
	a.arrived = s.now
	s.tally(a.from).asked++
	s.whenAwake(func() { s.ask(a) })
}

func (s *sim) ask(a *ask) {
	a.at = s.d.routes.find(a.route.Tag)
	if s.d.free(a.at, false) {
		s.d.take(s.now, a.at)
		a.flying = s.d.inFlight
		s.send(a)
		return
	}
	a.w = waiter{rank: rankOf(a.priority, a.level), route: a.at, since: s.now}
	s.waiting[&a.w] = a
	r, gaveWay := s.d.join(s.now, &a.w, a.priority)
	if gaveWay != nil {
		s.refuse(s.waiting[gaveWay])
	}
	switch r {
	case Admitted:
		s.let(&a.w)
	case Full:
		s.refuse(a)
	default:
		s.after(a.w.most, func() { s.giveUp(a) })
	}
}

// giveUp ends the wait of a request, unless it may wait for longer.
func (s *sim) giveUp(a *ask) {
	if !a.w.in {
		return
	}
	if longer := s.d.longer(s.now, &a.w); longer > 0 {
		s.after(longer, func() { s.giveUp(a) })
		return
	}
	s.d.line.remove(&a.w)
	s.refuse(a)
}

func (s *sim) refuse(a *ask) {
	delete(s.waiting, &a.w)
	s.tally(a.from).refused++
	if a.retries > 0 {
		s.after(10*time.Millisecond, func() {
			again := *a
			again.retries--
			s.arrive(&again)
		})
	}
}

// let sends a request whose turn has come.
func (s *sim) let(w *waiter) {
	a := s.waiting[w]
	delete(s.waiting, w)
	a.flying = w.flying
	s.send(a)
}

// send gives a request to the origin.
func (s *sim) send(a *ask) {
	a.sent = s.now
	s.mostFlying = max(s.mostFlying, s.d.inFlight)
	s.queue = append(s.queue, a)
	s.serve()
}

func (s *sim) serve() {
	if s.shares {
		s.settleShares()
		for _, a := range s.queue {
			a.began = s.now
			s.shared = append(s.shared, &share{a, s.work(s, a)})
		}
		s.queue = nil
		s.nextShare()
		return
	}
	for len(s.queue) > 0 && (s.workers == 0 || s.busy < s.workers) {
		a := s.queue[0]
		s.queue = s.queue[1:]
		a.began = s.now
		s.busy++
		s.after(s.work(s, a), func() {
			s.busy--
			s.whenAwake(func() { s.answer(a) })
			s.serve()
		})
	}
}

// share is a request that an origin works on in turns with others.
type share struct {
	*ask
	left time.Duration // of its work
}

// speed is how fast each share is worked on.
func (s *sim) speed() float64 { return min(1, float64(s.workers)/float64(max(1, len(s.shared)))) }

func (s *sim) settleShares() {
	done := time.Duration(float64(s.now-s.turned) * s.speed())
	s.turned = s.now
	for _, h := range s.shared {
		h.left -= done
	}
}

// nextShare waits for the share that is done next.
func (s *sim) nextShare() {
	if len(s.shared) == 0 {
		return
	}
	s.turn++
	turn := s.turn
	first := slices.MinFunc(s.shared, func(a, b *share) int { return int(a.left - b.left) })
	s.after(time.Duration(float64(max(0, first.left))/s.speed())+1, func() {
		if turn != s.turn {
			return
		}
		s.settleShares()
		var done []*ask
		s.shared = slices.DeleteFunc(s.shared, func(h *share) bool {
			if h.left <= 0 {
				done = append(done, h.ask)
			}
			return h.left <= 0
		})
		for _, a := range done {
			a.began = s.now - s.work(s, a) // as if it had queued for what sharing has cost it
			s.whenAwake(func() { s.answer(a) })
		}
		s.serve()
	})
}

// whenAwake does something of the door's as soon as it has time.
func (s *sim) whenAwake(do func()) {
	if s.asleep != nil {
		s.asleep = append(s.asleep, do)
		return
	}
	do()
}

// pause takes the door's time away for so long, and again after as long with time, as chance has it, until end.
func (s *sim) pause(with, without time.Duration, end time.Duration) {
	s.after(time.Duration(s.rnd.ExpFloat64()*float64(with)), func() {
		if s.now >= end {
			return
		}
		s.asleep, s.since = []func(){}, s.now
		s.after(time.Duration((0.5+s.rnd.Float64())*float64(without)), func() {
			pause := (s.now - s.since).Seconds()
			s.late += pause * pause / 2
			waited := s.asleep
			s.asleep = nil
			for _, do := range waited {
				do()
			}
			s.pause(with, without, end)
		})
	})
}

func (s *sim) answer(a *ask) {
	t := s.tally(a.from)
	t.served++
	t.took = append(t.took, s.now-a.arrived)
	s.queued = append(s.queued, a.began-a.sent)
	route := s.d.answered(s.now, flight{of: a.route, route: a.at, began: a.sent, took: s.now - a.sent, flying: a.flying})
	s.d.leave(s.now, route)
	for w := s.d.next(s.now); w != nil; w = s.d.next(s.now) {
		s.let(w)
	}
}

// forget begins new tallies.
func (s *sim) forget() {
	s.stats, s.queued, s.mostFlying = map[string]*tally{}, nil, 0
}
