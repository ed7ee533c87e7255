package admission

import "time"

// How long and how many may wait.
const (
	waitLeast = 256  // places in the line of any gate
	waitMost  = 1024 // and of the fastest: a waiting request costs some KiB
	waitSpan  = time.Second

	keptPatience = 5 * time.Second        // how long anybody may wait while the origin keeps up: then the limit is only what was not tried yet,
	keptStep     = 250 * time.Millisecond // and this is how often that is looked at

	jamPatience = 3 // in a jammed line newcomers wait for this part of their patience only: the answer is to come soon, either way

	sendLeast = 256 // forwards whose visitor may still be sending the body, at least, and
	sendTimes = 4   // this many times those that may be in flight
)

// patience is how long a priority may wait before it is told to come again. Newcomers are told soon, because an answer
// that says so is worth more to them than a place that may never come.
var patience = [...]time.Duration{
	Operator: 5 * time.Second,
	Vouched:  3 * time.Second,
	Known:    2 * time.Second,
	New:      1500 * time.Millisecond,
	Excess:   1500 * time.Millisecond, // as for newcomers: where nobody else wants the place, a batch may have it
}

// Refusal says why a request was not admitted; the zero value is that it was.
type Refusal uint8

// The refusals.
const (
	Admitted Refusal = iota
	Full             // the line was full of requests whose turn comes before
	GaveWay          // it waited, and its turn did not come
	Left             // the visitor left
	waits            // of desk.join: there is no answer yet
)

// desk decides who goes to the origin. It has no clock and no lock: the times are passed in, as the time since the gate
// exists.
type desk struct {
	limiter  limiter
	routes   routes
	line     line
	inFlight int
	lent     int // forwards whose visitor is still sending the body: not in flight yet, bounded by themselves
}

// free reports whether a forward to the route, with a body or without, may go now.
func (d *desk) free(route int, body bool) bool { return d.room() && d.roomFor(route, body) }

func (d *desk) room() bool { return d.inFlight < d.limiter.most() }

func (d *desk) roomFor(route int, body bool) bool {
	limit := d.limiter.most()
	if body && d.lent >= max(sendLeast, sendTimes*limit) {
		return false
	}
	return d.routes.all[route].inFlight < d.routes.most(route, limit)
}

// take counts a forward in.
func (d *desk) take(at time.Duration, route int) {
	d.inFlight++
	d.routes.enter(at, route)
	d.limiter.sent(d.inFlight)
}

// leave counts a forward out; whoever calls it asks next until nobody's turn it is.
func (d *desk) leave(at time.Duration, route int) {
	d.inFlight--
	d.routes.leave(at, route)
}

// join lets w in at once (Admitted), puts it into the line (waits), or refuses it (Full). Whoever had to give way for it is
// returned too.
func (d *desk) join(at time.Duration, w *waiter, p Priority) (r Refusal, gaveWay *waiter) {
	w.expected = d.routes.expected(w.route)
	if d.free(w.route, w.body) { // whoever waits now waits for its route
		d.take(at, w.route)
		w.at, w.flying = at, d.inFlight
		return Admitted, nil
	}
	d.limiter.bind()
	keepsUp := d.limiter.keepsUp(at)
	if ahead := float64(d.line.ahead(w.rank)); !keepsUp && d.limiter.rate > 0 && ahead > d.limiter.rate*patience[p].Seconds() {
		return Full, nil
	}
	if d.line.n >= d.places(at) {
		last := d.line.last()
		if last.rank < w.rank || last.rank == w.rank && at-last.since < 2*patience[p]/3 {
			return Full, nil
		}
		d.line.remove(last)
		gaveWay = last
	}
	w.most = patience[p]
	if p >= New && d.jammed(at) {
		w.most /= jamPatience
	}
	d.line.push(w)
	return waits, gaveWay
}

// longer is how much longer w may wait when its time is over; 0 when it has to give way. While the origin keeps up nobody has
// to: who waits then waits until the door knows that more may be in flight.
func (d *desk) longer(at time.Duration, w *waiter) time.Duration {
	left := w.since + keptPatience - at
	if left <= 0 || !d.limiter.keepsUp(at) {
		return 0
	}
	return min(left, keptStep)
}

// jammed reports whether more wait than are likely to be served in time.
func (d *desk) jammed(at time.Duration) bool {
	return !d.limiter.keepsUp(at) && d.line.n > d.places(at)/2
}

// places is how many may wait: what the origin can do in a second, where that is known.
func (d *desk) places(at time.Duration) int {
	if d.limiter.keepsUp(at) {
		return waitMost
	}
	return min(max(int(d.limiter.rate*waitSpan.Seconds()), waitLeast), waitMost)
}

// next takes whose turn it is out of the line and counts it in; nil when nobody may go.
func (d *desk) next(at time.Duration) *waiter {
	if d.line.n == 0 {
		return nil
	}
	if !d.room() {
		d.limiter.bind()
		return nil
	}
	w := d.line.next(d.jammed(at), func(w *waiter) bool { return w.resumes || d.roomFor(w.route, w.body) })
	if w != nil {
		d.take(at, w.route)
		w.at, w.flying = at, d.inFlight
	}
	return w
}

// answered learns from an answer to a forward that is still counted in. It returns the place of its route, which may have
// got one of its own by this answer.
func (d *desk) answered(at time.Duration, f flight) (route int) {
	clean := !d.limiter.overloaded() && f.flying <= max(cleanLeast, int(d.limiter.healthy/cleanShare))
	if f.route == other && f.of.Tag != 0 {
		d.routes.learn(at, other, f.took, clean, d.limiter.queue)
		f.route = d.settleDown(at, f)
	}
	service, spread, _ := d.routes.service(f.route)
	d.routes.learn(at, f.route, f.took, clean, d.limiter.queue)
	d.relearn(at, d.limiter.answered(at, answer{began: f.began, took: f.took, flying: f.flying, left: d.inFlight, service: service, spread: spread}))
	return f.route
}

// flight is a forward that was answered.
type flight struct {
	of     Route
	route  int
	began  time.Duration
	took   time.Duration
	flying int // how many were in flight when it began, itself included
}

// failed learns from a forward that the origin failed on.
func (d *desk) failed(at time.Duration) { d.relearn(at, d.limiter.failed(at)) }

// settleDown gives the route of a forward a place of its own, if there is one.
func (d *desk) settleDown(at time.Duration, f flight) int {
	i := d.routes.find(f.of.Tag)
	if i == other {
		i = d.routes.place(at, f.of)
	}
	if i != other {
		d.routes.leave(at, f.route)
		d.routes.enter(at, i)
	}
	return i
}

func (d *desk) relearn(at time.Duration, factor float64) {
	if factor > 0 {
		d.routes.relearn(at, factor)
	}
	d.routes.window = d.limiter.windows
}
