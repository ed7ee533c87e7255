package state

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	slack = int64(10 * time.Second) // how late a time may come, for requests overtake each other
	tick  = int64(time.Millisecond) // how finely the newest time is noted
	leap  = int64(MaxDebt)          // beyond it no debt is left, so that further is no different
	reach = int64(1) << 61          // bound of times and offsets: sums of two never overflow
)

// clock turns the times that callers pass in into nanoseconds that do not go back: a table full of debts in the future
// would refuse everybody for as long as the clock was set back.
//
// A time that lies more than slack before the newest one means that the clock was set back: time goes on from the
// newest one. A time that lies more than leap ahead is a clock that was set forward, or a very quiet night: time
// advances by leap, which pays every debt. Times with a monotonic reading do not leap at all, as long as start has one.
type clock struct {
	start  time.Time
	offset atomic.Int64 // added to the distance from start
	newest atomic.Int64
	mend   sync.Mutex // held while offset changes
}

func newClock(start time.Time) *clock {
	c := &clock{start: start}
	c.offset.Store(2 * slack) // so that times a little before start are positive still
	c.newest.Store(2 * slack)
	return c
}

// at returns now on the store's scale and moves the newest time.
func (c *clock) at(now time.Time) int64 {
	d := c.since(now)
	t, newest := d+c.offset.Load(), c.newest.Load()
	if t < newest-slack || t > newest+leap {
		return c.reset(d)
	}
	if t > newest+tick {
		c.newest.CompareAndSwap(newest, t)
	}
	return t
}

// peek is at without an effect. A time that at would call a leap counts as the newest one.
func (c *clock) peek(now time.Time) int64 {
	t, newest := c.since(now)+c.offset.Load(), c.newest.Load()
	if t < newest-slack || t > newest+leap {
		return newest
	}
	return t
}

// reset moves the offset so that the distance d from start follows the newest time.
func (c *clock) reset(d int64) int64 {
	c.mend.Lock()
	defer c.mend.Unlock()
	t, newest := d+c.offset.Load(), c.newest.Load()
	switch {
	case t < newest-slack:
		t = newest
	case t > newest+leap:
		t = min(newest+leap, max(newest, reach))
	default:
		return t // another caller has mended it
	}
	c.offset.Store(t - d)
	c.newest.Store(t)
	return t
}

func (c *clock) since(now time.Time) int64 {
	return min(max(int64(now.Sub(c.start)), -reach), reach)
}
