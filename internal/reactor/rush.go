package reactor

import "time"

const (
	rushFrom = 3               // rounds in a row that leave something behind: then a loop has more to do than it can
	rushLook = 32              // events, or messages, between two looks at those who come first
	rushCalm = 2 * time.Second // without such a round it is over
)

// rush is what a loop does while it has more to do than it can. The kernel tells what has happened in the order in which it has, so
// that everybody waits for everybody before him: with ten thousand connections that want something, visitors who were there
// before, and the origin's answers, waited for seconds. In a rush connections that are to come first are in a set of
// their own, which is looked at all the time.
type rush struct {
	on     bool
	set    *set // nil until it was needed once
	full   int  // rounds in a row
	last   int64
	events [64]event
}

// First says whether what happens to the connection comes before what happens to others, while its loop has more to do than it
// can. It may be called from any goroutine, and takes effect the next time that something happens.
func (c *Conn) First(first bool) {
	if c.first.Load() != first {
		c.first.Store(first)
	}
}

// rushing notes that a round has begun, and whether it left something behind.
func (l *loop) rushing(more bool) {
	r := &l.rush
	now := l.now.Load()
	switch {
	case more:
		if r.full++; r.full < rushFrom {
			return
		}
		r.last = now
		if !r.on {
			l.beginRush()
		}
	case r.on && now-r.last > int64(rushCalm):
		l.endRush()
	default:
		r.full = 0
	}
}

// beginRush moves those who come first. Where the system has nothing left for a set of their own, everything stays as it is.
func (l *loop) beginRush() {
	r := &l.rush
	if r.set == nil {
		s, err := openSet()
		if err != nil {
			return
		}
		r.set = &s
	}
	if l.poll.within(*r.set) != nil {
		return
	}
	r.on = true
	for _, c := range l.conns {
		if c != nil && c.first.Load() {
			l.move(c)
		}
	}
}

func (l *loop) endRush() {
	l.rush.on, l.rush.full = false, 0
	for _, c := range l.conns {
		if c != nil && c.apart {
			l.move(c)
		}
	}
	_ = l.poll.remove(l.rush.set.fd)
}

// move watches a connection in the other set. A connection that cannot be watched is closed.
func (l *loop) move(c *Conn) {
	from, to := l.setOf(c.apart), l.setOf(!c.apart)
	if from.remove(c.fd) != nil || to.add(c.fd, c.generation) != nil {
		_ = c.Close()
		return
	}
	c.apart = !c.apart
}

// setOf is the set of those who come first in a rush, or that of everybody.
func (l *loop) setOf(apart bool) set {
	if apart {
		return *l.rush.set
	}
	return l.poll.set
}

// firstFirst serves those who come first, in a rush.
func (l *loop) firstFirst() {
	if !l.rush.on {
		return
	}
	for _, e := range l.rush.set.collect(l.rush.events[:]) {
		l.serve(&e)
	}
}

// serve lets a connection know what has happened to it.
func (l *loop) serve(e *event) {
	c := l.find(e)
	if c == nil {
		return
	}
	if l.rush.on && c.first.Load() != c.apart {
		l.move(c)
	}
	c.happened(e.what())
}
