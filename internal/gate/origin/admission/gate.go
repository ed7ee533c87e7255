// Package admission answers "who goes to the origin next, and how many at once?".
//
// It protects an origin from the first second of the first storm without detecting anything: no more forwards are in flight
// than the origin can have without queueing (limiter), and where that is less than what is asked for, the order of who
// goes is that of the priorities (Priority, line), so that the visitors who were there before keep being served. What each
// client has used and how it has behaved is remembered in a table of fixed size (Memory), what each route costs in another
// one (routes).
//
// While nothing waits, none of this acts: a request that finds a free place takes it, whoever sent it.
package admission

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	pressed   = time.Second // a gate counts as pressed for this long after somebody had to wait
	ghostMost = time.Second // the longest time that an abandoned forward keeps its place
)

// Gate admits forwards to the origins of one pool. It is safe for concurrent use. It is a lock around a desk, and the
// goroutines that wait.
type Gate struct {
	now  func() time.Time
	born time.Time
	lag  *Lag

	mu   sync.Mutex
	desk desk

	away struct {
		sync.Mutex
		crowd
	}

	pressedUntil atomic.Int64 // since born, in nanoseconds
	admitted     [Excess + 1]atomic.Uint64
	refused      [Excess + 1]atomic.Uint64
	waiters      sync.Pool
}

// NewGate returns a gate. fixed is the operator's own limit of forwards in flight, 0 for a learned one; now is the clock, lag what
// tells how late the door is, which gates may share.
func NewGate(fixed int, now func() time.Time, lag *Lag) *Gate {
	g := &Gate{now: now, born: now(), lag: lag, desk: desk{limiter: newLimiter(fixed)}}
	g.desk.limiter.late = lag.Total
	g.waiters.New = func() any { return &waiter{wake: make(chan Refusal, 1)} }
	return g
}

// Most is how many forwards may be in flight now.
func (g *Gate) Most() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.desk.limiter.most()
}

// since is a time as the desk counts it.
func (g *Gate) since(t time.Time) time.Duration { return t.Sub(g.born) }

// Fixed is the operator's own limit, 0 for a learned one.
func (g *Gate) Fixed() int { return g.desk.limiter.fixed }

// Try takes a place for a forward if there is one; then nobody waits for it, or only such whose route has used up its own
// (routes.most). When it returns false, the caller decides on the
// request's priority and asks Wait. p must be a zero Permit.
func (g *Gate) Try(now time.Time, r Route, p *Permit) bool {
	at := g.since(now)
	g.lag.Want()
	g.mu.Lock()
	defer g.mu.Unlock()
	d := &g.desk
	p.gate, p.of, p.route = g, r, d.routes.find(r.Tag)
	p.expected, p.origin = d.routes.expected(p.route), d.limiter.origin()
	if !d.free(p.route, r.Body) {
		return false
	}
	d.take(at, p.route)
	p.hold(at, d.inFlight)
	g.admitted[Unjudged].Add(1)
	return true
}

// Wait waits for a place, for as long as the priority may and the visitor is not gone, after Try has said that there is none. With Admitted p is held.
// Whoever need not or may not wait is told at once, and await is not called.
func (g *Gate) Wait(await Await, now time.Time, pr Priority, level uint8, p *Permit) Refusal {
	at := g.since(now)
	g.pressedUntil.Store(int64(at + pressed))
	w := g.waiters.Get().(*waiter)
	defer g.waiters.Put(w)
	w.rank, w.route, w.body, w.resumes, w.since = rankOf(pr, level), p.route, p.of.Body, false, at
	w.bell = nil
	r := g.join(at, w, pr)
	if r == waits {
		r = g.await(await, w, w.most)
	}
	if r != Admitted {
		g.refused[pr].Add(1)
		return r
	}
	g.admitted[pr].Add(1)
	p.expected = w.expected
	p.hold(w.at, w.flying)
	return Admitted
}

func (g *Gate) join(at time.Duration, w *waiter, pr Priority) Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, gaveWay := g.desk.join(at, w, pr)
	if gaveWay != nil {
		gaveWay.tell(GaveWay)
	}
	return r
}

// giveUp takes w out of the line, unless it may wait for longer. in says that it was in.
func (g *Gate) giveUp(w *waiter, why Refusal) (in bool, longer time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if why == GaveWay && w.in && !w.resumes {
		if longer = g.desk.longer(g.since(g.now()), w); longer > 0 {
			return true, longer
		}
	}
	return g.desk.line.remove(w), 0
}

// release counts a forward out and lets in whose turn it is. It is called with the gate locked.
func (g *Gate) release(at time.Duration, route int) {
	g.desk.leave(at, route)
	for w := g.desk.next(at); w != nil; w = g.desk.next(at) {
		w.tell(Admitted)
	}
}

// Pressed reports whether somebody had to wait a moment ago. It is one atomic load.
func (g *Gate) Pressed(now time.Time) bool { return int64(g.since(now)) < g.pressedUntil.Load() }

// TurnedAway counts somebody whom Memory.TurnAway has given a place, and tells how many stand before it and how long that is likely to
// take, 0 when nobody knows.
func (g *Gate) TurnedAway(at uint32, t Turned, first bool) (ahead int, wait time.Duration) {
	g.away.Lock()
	defer g.away.Unlock()
	g.away.advance(at)
	if first {
		g.away.join(t)
	}
	return g.away.ahead(t, at)
}

// LeftLine counts somebody out who had a place: in says that he was let in.
func (g *Gate) LeftLine(at uint32, t Turned, in bool) {
	g.away.Lock()
	defer g.away.Unlock()
	g.away.advance(at)
	g.away.leave(t, in)
}
