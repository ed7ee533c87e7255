package admission

import (
	"math"
	"time"
)

// How the limit follows the origin.
const (
	limitFirst = 32 // before anything is known: enough for most origins, soon lowered where it is too much
	limitLeast = 2  // so that one forward that hangs does not close the site
	limitMost  = 10_000

	overload    = 20 * time.Millisecond // queueing that is overload (DAGOR, SoCC'18)
	target      = 10 * time.Millisecond // queueing to aim at: no worker is idle, and nobody waits long
	comfort     = target / 4            // queueing below this says that there is room
	saturated   = 1.0 / 8               // queueing beyond it and this part of the service time says that more in flight would not get more done
	troubleFor  = 5 * time.Second       // and this long that stays known
	windowSpan  = 50 * time.Millisecond // a window is at least this long, and
	windowMost  = time.Second           // after this it ends with however few answers
	windowFull  = 64                    // has so many answers,
	windowFair  = 16                    // or so many that vary little,
	windowLeast = 6                     // or, under a low limit, no fewer than this; unless it lasts for windowMost
	noiseLevel  = 4                     // standard errors of the mean that are no finding yet

	growthFresh = 4.0                    // the steps of the limit while nothing was ever too much for the origin,
	growthFirst = 2.0                    // while this limit was not,
	growth      = 1.5                    // and where that is forgotten or far away
	growthNear  = 1.02                   // its steps close to where it was too high, at least
	growthLeast = 0.25                   // so many forwards
	nearBad     = 0.8                    // how close that is
	badForget   = 30 * time.Second       // a limit that was too high is forgotten after this long
	floorHalves = time.Second            // the floor halves in this time while the origin is overloaded
	elastic     = 0.3                    // see limiter.inelastic
	beliefMost  = 4                      // see limiter.believes
	fallMost    = 4                      // the limit falls to this part of it at once, so that there is evidence on the way
	staleAfter  = 100 * time.Millisecond // how long a decrease is given to show an effect, at least
)

// limiter learns how many forwards an origin can have in flight. It has no clock and no lock: times are passed in, as
// the time since the gate exists. The zero limiter is not ready; see newLimiter.
//
// What it looks at is live traffic only: how long answers took beyond what the same routes take when nobody waits for them
// (see routes), and beyond what the door itself was late (see Lag). That surplus is the time that requests queue in the origin. By Little's law an origin that gives n
// answers in T, each of which takes service time s, has n/T·s of its workers busy; with the target of queueing q that is
//
//	limit = Σ (sᵢ + q) / T
//
// forwards in flight, and as many more as wait in a door that is late. This is no search: one window with more work than the origin can do finds it. It is also never too
// low for an origin that is not saturated, because its answers show no queueing and the limit grows while it binds.
//
// Answers that take longer are no queue where they take as long whether many or few are in flight: then the origin has become slower, and less in
// flight would help nobody. Three things tell: chance, which lets now many and now few come (crowds), a limit that was lowered and changed
// nothing (inelastic), and where neither says anything, a limit that is raised for a moment (trial).
//
// The limit does not fall below what was lately in flight without queueing (the floor), so that noise cannot close the
// site; the floor ages while the origin is overloaded, so that an origin that has become smaller is found.
type limiter struct {
	limit float64
	// fixed is the operator's own limit; 0 for a learned one.
	fixed int

	w       window
	windows uint32        // how many have ended
	changed time.Duration // when the limit was lowered or tried last: answers to older requests tell of the older limit

	healthy float64        // the floor
	bad     float64        // a limit at which the origin was overloaded, 0 for none
	badAt   time.Duration  // when
	tried   bool           // something was too much for the origin once
	trouble time.Duration  // until when the origin counts as one that has had more to do than it can
	first   evidence       // where the present overload was worst
	lowered bool           // the limit was, in the present overload
	crowds  crowds         // of its windows
	trial   trial          // whether the limit is too low
	slower  belief         // that the origin has become so
	busy    float64        // of late: workers that were busy, by Little's law
	rate    float64        // of late: answers in a second
	queue   time.Duration  // of the last window: queueing in the origin, or unmeasured,
	own     time.Duration  // and how late the door itself was
	late    func() float64 // the integral of the door's own lateness up to now, in s²: see Lag; nil is for never late
}

// window sums up the answers of a short time.
type window struct {
	began     time.Duration
	n, failed int
	known     int      // answers whose service time is known and that were sent under the present limit,
	sum       crowdSum // what they come to, by how many were in flight when they were sent,
	variance  float64  // and the sum of the variances of their service times
	all       float64  // seconds: the service of all answers, as far as it is known
	bound     bool     // somebody had to wait for the limit
	peak      int      // most in flight
	crowdMost int      // most in flight when a known answer was sent
	crowds    crowds
	late      float64 // limiter.late when the window began
}

// evidence is what an overloaded window showed.
type evidence struct {
	at time.Duration
	crowdSum
}

// answer is how one forward went, as the limiter sees it.
type answer struct {
	began, took time.Duration
	flying      int // how many were in flight when it was sent
	left        int // and when it was answered, itself included both times
	// service is what the route takes when nobody waits, spread its standard deviation; zero when not known yet.
	service, spread time.Duration
}

// unmeasured is the queueing of a window that tells of none.
const unmeasured time.Duration = -1

// asItCame is the factor by which what is known is not wrong: only what is not known is to be learned.
const asItCame = 1

func newLimiter(fixed int) limiter {
	l := limiter{limit: limitFirst, fixed: fixed, queue: unmeasured}
	if fixed > 0 {
		l.limit = float64(fixed)
	}
	return l
}

// most is how many may be in flight.
func (l *limiter) most() int { return int(l.limit) }

// Origin is what is known of an origin's work.
type Origin struct {
	Busy float64       // how many of its workers have been busy of late
	Cost time.Duration // what a request costs it on average
}

func (l *limiter) origin() Origin {
	o := Origin{Busy: l.busy}
	if l.rate > 0 {
		o.Cost = seconds(l.busy / l.rate)
	}
	return o
}

// keepsUp reports whether nothing of late says that the origin has more to do than it can: a limit that binds then is only
// what was not tried yet. The operator's own limit is his word.
func (l *limiter) keepsUp(now time.Duration) bool { return l.fixed == 0 && now >= l.trouble }

// overloaded reports whether the last window showed queueing in the origin.
func (l *limiter) overloaded() bool { return l.first.n > 0 }

// sent notes that so many are in flight.
func (l *limiter) sent(inFlight int) { l.w.peak = max(l.w.peak, inFlight) }

// bind notes that somebody waits for the limit.
func (l *limiter) bind() { l.w.bound = true }

// answered notes an answer. A factor says that the service times that are known are wrong, by about so much, and have to be learned
// anew from the answers of late; 0 that they are not.
func (l *limiter) answered(now time.Duration, a answer) (factor float64) {
	w := &l.w
	w.n++
	if a.service > 0 {
		w.all += a.service.Seconds()
		if a.began >= l.changed {
			w.known++
			w.variance += a.spread.Seconds() * a.spread.Seconds()
			w.crowdMost = max(w.crowdMost, a.flying)
			w.crowds.add(a)
			w.sum.add(sumOf(a, a.flying), 1)
		}
	}
	return l.advance(now)
}

// failed notes a forward that the origin answered with an error of overload, or not in time.
func (l *limiter) failed(now time.Duration) (factor float64) {
	l.w.failed++
	return l.advance(now)
}

// advance ends the window if it is time.
func (l *limiter) advance(now time.Duration) (factor float64) {
	w := &l.w
	span := now - w.began
	if span < windowSpan || span < windowMost && !w.telling(l.limit) {
		return 0
	}
	late := 0.0
	if l.late != nil {
		late = l.late()
	}
	if l.trial.on && now-l.trial.since > 2*trialMost { // nothing came that tells anything
		l.endTrial(now)
	}
	if span < 2*windowMost { // longer: it was quiet, and an average over the quiet says nothing
		factor = l.judge(now, span, max(0, late-w.late))
	}
	*w = window{began: now, late: late}
	l.windows++
	return factor
}

// telling reports whether the window has enough answers for a finding.
func (w *window) telling(limit float64) bool {
	n := w.n + w.failed
	fair := max(windowLeast, min(2*int(limit), windowFair)) // a low limit gives few answers, and has to be left soon
	return n >= windowFull || n >= fair && w.noise() <= overload.Seconds()
}

// noise is how far, in seconds, the mean time of the known answers may be off by chance.
func (w *window) noise() float64 {
	if w.known == 0 {
		return 0
	}
	return noiseLevel * math.Sqrt(w.variance) / float64(w.known)
}

// judge learns from a window that is over; late is the integral, in s², of how late the door was in it.
func (l *limiter) judge(now, span time.Duration, late float64) (factor float64) {
	w := &l.w
	seconds := span.Seconds()
	l.rate += (float64(w.n)/seconds - l.rate) / 4
	l.busy += (w.all/seconds - l.busy) / 4
	if l.fixed > 0 {
		return 0
	}
	if w.failed > w.n {
		l.trouble = now + badForget
		l.lower(now, max(l.limit/2, limitLeast))
		return 0
	}
	if w.known == 0 {
		l.queue = unmeasured
		if w.all == 0 {
			return asItCame // nothing is known of what is asked for
		}
		return 0
	}
	n := float64(w.known)
	took, service := w.sum.took/n, w.sum.service/n
	own := late / seconds
	surplus, queue := took-service, took-service-own
	l.queue, l.own = time.Duration(max(0, queue)*float64(time.Second)), time.Duration(own*float64(time.Second))
	noise := w.noise() + own/2 // it is an estimate, from few pauses
	needed := float64(w.n) * (service + own + target.Seconds()) / seconds
	if done, factor := l.try(now); done {
		return factor
	}
	if surplus < -comfort.Seconds()-noise {
		l.calm()
		return took / service // nothing takes less than its service time
	}
	if queue > target.Seconds()+noise {
		if l.crowds.follow(&w.crowds); l.crowds.slower() && l.believes(now, w.sum.crowd/n) {
			l.absolve(now)
			return took / service
		}
	} else {
		l.crowds = crowds{}
	}
	if queue > overload.Seconds()+noise {
		return l.overload(now, span, needed)
	}
	l.first, l.lowered = evidence{}, false
	l.healthy = max(l.healthy*halves(span, time.Minute), float64(w.crowdMost))
	if w.bound && queue > max(comfort.Seconds(), service*saturated)+noise {
		l.trouble = max(l.trouble, now+troubleFor)
	}
	// Forwards in flight that give no answers (a route that hangs) are no reason for more of them.
	if busy := float64(w.n) * took / seconds; 3*busy >= float64(w.peak) || !w.bound {
		l.grow(now, span, queue, needed)
	}
	return 0
}

// overload lowers the limit after a window with queueing, unless the queueing is none.
func (l *limiter) overload(now, span time.Duration, needed float64) (factor float64) {
	of := l.w.sum
	if !l.overloaded() && !l.w.bound { // one window may be chance, and nobody waits whom a lower limit would keep off
		l.first = evidence{now, of}
		return 0
	}
	l.trouble, l.tried = now+badForget, true
	if l.overloaded() {
		l.healthy *= halves(span, floorHalves)
	}
	if !l.lowered {
		l.bad, l.badAt, l.lowered = l.limit, now, true
	}
	if l.inelastic(now, of) {
		l.absolve(now)
		return of.ratio()
	}
	l.lower(now, max(needed, l.healthy, l.limit/fallMost, limitLeast))
	return 0
}

// believes reports whether an origin may have become slower with so many in flight. It may several times in a row while it becomes so and more come
// to be in flight by that; but who goes on to find it so while ever more are in flight has let a queue grow.
func (l *limiter) believes(now time.Duration, crowd float64) bool {
	b := &l.slower
	if now-b.at > badForget || b.at == 0 {
		b.crowd = max(crowd, limitFirst/beliefMost)
	}
	if crowd > beliefMost*b.crowd {
		return false
	}
	b.at = now
	return true
}

// belief is a finding that the origin has become slower: when it was made last, and with how many in flight the first time.
type belief struct {
	at    time.Duration
	crowd float64
}

// absolve gives the limit back that was lowered for nothing, in the present overload: it is not the origin that has too much to do. With the right service times
// the next window says where the limit belongs.
func (l *limiter) absolve(now time.Duration) {
	if l.lowered {
		l.limit = max(l.limit, l.bad)
	}
	l.trouble, l.tried = 0, true
	l.bad, l.badAt = l.limit, now // from there on it grows slowly
	l.calm()
}

// calm notes that there is no overload.
func (l *limiter) calm() { l.first, l.crowds, l.lowered = evidence{}, crowds{}, false }

// grow raises a limit that binds, and lets one that nobody needs come back.
func (l *limiter) grow(now, span time.Duration, queue, needed float64) {
	if !l.w.bound {
		if idle := float64(max(limitFirst, 4*l.w.peak)); l.limit > idle {
			l.limit += (idle - l.limit) * (1 - halves(span, time.Minute))
		}
		return
	}
	next, step := l.limit, growth
	switch {
	case !l.tried:
		step = growthFresh
	case l.bad == 0:
		step = growthFirst
	}
	switch {
	case queue < comfort.Seconds():
		next = max(l.limit*step, l.limit+1)
	case queue < target.Seconds():
		next = min(max(needed, l.limit), l.limit*step)
	}
	if now-l.badAt > badForget {
		l.bad = 0
	}
	if near := nearBad * l.bad; l.bad > 0 && next > near {
		next = min(next, max(l.limit*growthNear, l.limit+growthLeast, near))
	}
	l.limit = min(max(next, limitLeast), limitMost)
}

// lower lowers the limit.
func (l *limiter) lower(now time.Duration, limit float64) {
	if limit < l.limit {
		l.limit, l.changed = limit, now
	}
}

// inelastic tells queueing from an origin that has become slower by what a lower limit has brought. With a queue, fewer in flight means
// shorter waits in the same proportion; where they stay although less is in flight, or nearly nothing, the door's requests do not
// wait for each other, and the service times are what has changed.
func (l *limiter) inelastic(now time.Duration, of crowdSum) bool {
	f := &l.first
	if f.n == 0 || of.mean(of.crowd) > f.mean(f.crowd) {
		*f = evidence{now, of}
		return false
	}
	if now-f.at < staleAfter {
		return false
	}
	fewer := 1 - of.mean(of.crowd)/f.mean(f.crowd)
	if least := l.limit < limitLeast+1; fewer < crowdFewer && !least {
		return false
	}
	shorter := 1 - of.part(&f.crowdSum)
	*f = evidence{now, of}
	return shorter <= elastic*fewer || fewer <= 0
}

// halves is the share that is left after d of what halves in each time half.
func halves(d, half time.Duration) float64 { return math.Exp2(-float64(d) / float64(half)) }
