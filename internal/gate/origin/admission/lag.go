package admission

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	lagTick = 10 * time.Millisecond // how often the door looks whether it is late,
	lagRest = 100                   // until nobody has wanted it for so many times
	lagMost = 10 * time.Second      // more than this is a machine that slept
)

// Lag measures how late the door itself is, because its machine or its process has no time for it: answers that have come wait then in the
// door, and the time must not be taken for the origin's. It lets a timer go off in steps of 10 ms while forwards are in flight, and looks how
// late each is. It is safe for concurrent use.
//
// What it gives is the integral of the lateness over time, in s²: the lateness at a time is how long something that becomes ready then has to
// wait, which after a pause of d has added up to d²/2. The difference of two integrals by the time between them is the mean delay of what
// came in that time, evenly.
type Lag struct {
	now     func() time.Time
	born    time.Time
	running atomic.Bool
	wanted  atomic.Bool  // since the timer went off last
	due     atomic.Int64 // when the timer is to go off, in nanoseconds since born
	idle    int          // times in a row that the timer went off and nobody had wanted it
	sum     atomic.Int64 // the integral up to the last time that the timer went off, in µs²
	timer   *time.Timer
}

// NewLag returns a Lag that rests until somebody wants it; now is the clock of the machine, also where the rest of the door has another one.
func NewLag(now func() time.Time) *Lag {
	l := &Lag{now: now, born: now()}
	l.due.Store(math.MaxInt64)
	l.timer = time.AfterFunc(time.Hour, l.tick)
	l.timer.Stop()
	return l
}

// Want keeps the measurement going.
func (l *Lag) Want() {
	if !l.wanted.Load() {
		l.wanted.Store(true)
	}
	if !l.running.Load() && l.running.CompareAndSwap(false, true) {
		l.due.Store(l.since() + int64(lagTick))
		l.timer.Reset(lagTick)
	}
}

func (l *Lag) since() int64 { return int64(l.now().Sub(l.born)) }

// tick counts how late it comes, and goes on if it is still wanted.
func (l *Lag) tick() {
	since := l.since()
	late := lateness(since - l.due.Load())
	l.due.Store(math.MaxInt64) // in this order, Total is never too high
	l.sum.Add(late)
	if l.idle++; l.wanted.Swap(false) {
		l.idle = 0
	}
	if l.idle >= lagRest {
		l.idle = 0
		l.running.Store(false)
		return
	}
	l.due.Store(since + int64(lagTick))
	l.timer.Reset(lagTick)
}

// Total is the integral up to now, in s²; it hardly ever falls.
func (l *Lag) Total() float64 {
	late := lateness(l.since() - l.due.Load())
	return float64(l.sum.Load()+late) * 1e-12
}

// lateness is the integral, in µs², of one pause that has lasted for so many nanoseconds.
func lateness(late int64) int64 {
	us := min(max(late, 0), int64(lagMost)) / 1000
	return us * us / 2
}
