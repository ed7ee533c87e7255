package admission

import (
	"math/bits"
	"time"

	"stormdoor/flow"
)

// Priority is whose turn it is. Between priorities the order is strict: nobody of a later one goes to the origin while
// somebody of an earlier one waits.
type Priority uint8

// The priorities, the first one first. The zero value is for requests that nobody had to judge.
const (
	Unjudged Priority = iota
	Operator          // whom an allow list or a rule of the operator lets pass
	Vouched           // a session or a credential for which the origin has vouched
	Known             // seen in good standing before
	New               // not known
	Excess            // over its share, or suspicious
)

// String is the priority's name in logs, metrics and explanations, "" for Unjudged.
func (p Priority) String() string {
	if p == Unjudged || p > Excess {
		return ""
	}
	return flow.Priorities[p-Operator]
}

// levels is how many levels a priority has; 0 is the first.
const levels = 12

// ranks is how many (priority, level) there are.
const ranks = int(Excess) * levels

// rankOf is the place of a priority and level in the order, 0 the first.
func rankOf(p Priority, level uint8) int {
	return (int(max(p, Operator))-1)*levels + int(min(level, levels-1))
}

// waiter is somebody in the line. It belongs to whoever pushed it.
type waiter struct {
	rank     int
	route    int
	body     bool          // it has a body to send
	resumes  bool          // it has sent it: the origin has the request but for its end
	at       time.Duration // when it was let in, and
	flying   int           // how many were in flight then, itself included
	since    time.Duration
	most     time.Duration // how long it may wait
	in       bool
	before   *waiter      // came later
	behind   *waiter      // came earlier
	wake     chan Refusal // of a gate: how the wait ended
	bell     *bell        // rung with it; nil before the wait has begun
	expected time.Duration
}

// line is who waits for the origin, by rank. Within a rank the order is that of arrival; in a line that is jammed, the
// last is served first, because whoever has waited long will not be served in time any more (adaptive LIFO,
// Maurer, "Fail at Scale", ACM Queue 2015). It has no clock and no lock. The zero line is empty.
type line struct {
	ends  [ranks]struct{ newest, oldest *waiter }
	count [ranks]int
	used  uint64 // bit r: somebody of rank r waits
	n     int
}

// push lets w wait.
func (l *line) push(w *waiter) {
	e := &l.ends[w.rank]
	w.in, w.before, w.behind = true, nil, e.newest
	if e.newest != nil {
		e.newest.before = w
	} else {
		e.oldest = w
	}
	e.newest = w
	l.count[w.rank]++
	l.used |= 1 << w.rank
	l.n++
}

func (w *waiter) older() *waiter   { return w.behind }
func (w *waiter) younger() *waiter { return w.before }

// remove takes w out; it reports whether it was in.
func (l *line) remove(w *waiter) bool {
	if !w.in {
		return false
	}
	e := &l.ends[w.rank]
	if w.before != nil {
		w.before.behind = w.behind
	} else {
		e.newest = w.behind
	}
	if w.behind != nil {
		w.behind.before = w.before
	} else {
		e.oldest = w.before
	}
	w.in, w.before, w.behind = false, nil, nil
	l.n--
	if l.count[w.rank]--; l.count[w.rank] == 0 {
		l.used &^= 1 << w.rank
	}
	return true
}

// next takes out whose turn it is among those that may go; nil when there is none.
func (l *line) next(jammed bool, may func(*waiter) bool) *waiter {
	for used := l.used; used != 0; used &= used - 1 {
		e := &l.ends[bits.TrailingZeros64(used)]
		w, on := e.newest, (*waiter).older
		if !jammed {
			w, on = e.oldest, (*waiter).younger
		}
		for ; w != nil; w = on(w) {
			if may(w) {
				l.remove(w)
				return w
			}
		}
	}
	return nil
}

// last is who gives way first: the oldest of the last rank; nil when nobody waits.
func (l *line) last() *waiter {
	if l.used == 0 {
		return nil
	}
	return l.ends[bits.Len64(l.used)-1].oldest
}

// ahead is how many wait whose turn comes before that of a newcomer of the rank: those of earlier ranks.
func (l *line) ahead(rank int) (n int) {
	for used := l.used & (1<<rank - 1); used != 0; used &= used - 1 {
		n += l.count[bits.TrailingZeros64(used)]
	}
	return n
}
