package admission

import (
	"time"
)

// Permit is the right to one forward. It is held from Try or Wait until exactly one of Done, Fail and Abandon, which is
// called exactly once; another call panics, because a place that is given back twice would let in one too many for ever.
// The zero Permit is held by nobody: its methods do nothing, which is what a forward without a gate wants. Lend and Resume
// may be called from another goroutine, also after the end.
type Permit struct {
	gate     *Gate
	of       Route
	route    int
	began    time.Duration
	expected time.Duration
	flying   int
	origin   Origin
	state    permitState // guarded by gate.mu
}

type permitState uint8

const (
	unheld  permitState = iota
	held                // counts as in flight
	lent                // its visitor sends the body: it has left what is in flight for a while
	settled             // given back
)

func (p *Permit) hold(at time.Duration, flying int) { p.began, p.flying, p.state = at, flying, held }

// Expected is what the forward is likely to cost.
func (p *Permit) Expected() time.Duration { return p.expected }

// Origin is how the origin was when Try looked for a place.
func (p *Permit) Origin() Origin { return p.origin }

// Done gives the place back after an answer began. took is how long the origin worked: from when it had the whole request
// until the head of its answer.
func (p *Permit) Done(took time.Duration) {
	p.settle(func(g *Gate, at time.Duration) {
		p.route = g.desk.answered(at, flight{of: p.of, route: p.route, began: p.began, took: took, flying: p.flying})
		g.release(at, p.route)
	})
}

// Fail gives the place back after the origin failed, or said itself that it has too much to do.
func (p *Permit) Fail() {
	p.settle(func(g *Gate, at time.Duration) {
		g.desk.failed(at)
		g.release(at, p.route)
	})
}

// Abandon gives the place back when nothing can be learned. asked says that the origin has the request: when its visitor
// has left, it works on all the same, and so the place stays taken for as long as the route usually takes. Otherwise
// visitors who ask and leave at once would be let in without end.
func (p *Permit) Abandon(asked bool) {
	p.settle(func(g *Gate, at time.Duration) {
		rest := min(p.began+p.expected-at, ghostMost)
		if !asked || rest <= 0 {
			g.release(at, p.route)
			return
		}
		route := p.route // p may be used again by then
		time.AfterFunc(rest, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.release(g.since(g.now()), route)
		})
	})
}

// settle ends the holding, and calls give with the gate locked. A permit that nobody holds is left alone.
func (p *Permit) settle(give func(g *Gate, at time.Duration)) {
	g := p.gate
	if g == nil {
		return
	}
	at := g.since(g.now())
	g.mu.Lock()
	defer g.mu.Unlock()
	switch p.state {
	case unheld:
		return
	case settled:
		panic("admission: a permit was given back twice")
	case lent:
		p.resume(at)
	}
	p.state = settled
	give(g, at)
}

// resumeMost is how long the end of a body is held back for want of a place.
const resumeMost = time.Second

// Lend takes the forward out of what is in flight while its visitor sends the body: a slow visitor is no load. Resume
// counts it in again before the origin gets the end of the body.
func (p *Permit) Lend() {
	g := p.gate
	if g == nil {
		return
	}
	at := g.since(g.now())
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.state != held {
		return
	}
	p.state = lent
	g.desk.lent++
	g.release(at, p.route)
}

// Resume counts a lent forward in again. Where there is no place it waits, before all others and at most for resumeMost;
// then it is counted in all the same, because the origin has most of the request.
func (p *Permit) Resume() {
	g := p.gate
	if g == nil || !p.resumeOrQueue(g) {
		return
	}
	w := g.waiters.Get().(*waiter)
	defer g.waiters.Put(w)
	g.mu.Lock()
	*w = waiter{wake: w.wake, rank: rankOf(Operator, 0), route: p.route, resumes: true, since: g.since(g.now())}
	g.desk.line.push(w)
	g.mu.Unlock()
	taken := g.await(Blocking(nil), w, resumeMost) == Admitted
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.since(g.now())
	switch {
	case p.state != lent && taken: // the forward ended while its body waited
		g.release(at, w.route)
	case p.state == lent && taken:
		p.counted(at)
	case p.state == lent:
		p.resume(at)
	}
}

// resumeOrQueue resumes a lent forward if there is a place, and reports whether it has to wait for one.
func (p *Permit) resumeOrQueue(g *Gate) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.state != lent {
		return false
	}
	if !g.desk.room() {
		return true
	}
	p.resume(g.since(g.now()))
	return false
}

// resume takes a place for a lent forward. It is called with the gate locked.
func (p *Permit) resume(at time.Duration) {
	p.gate.desk.take(at, p.route)
	p.counted(at)
}

// counted notes that a lent forward has a place again.
func (p *Permit) counted(at time.Duration) {
	p.gate.desk.lent--
	p.state, p.began, p.flying = held, at, p.gate.desk.inFlight
}
