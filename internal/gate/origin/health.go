package origin

import "time"

// How origins are taken out and let in again.
const (
	ejectAfter  = 3                // failures in a row that take an origin out
	ejectFirst  = time.Second      // for how long at first; each failed trial doubles it
	ejectMost   = 30 * time.Second // and at most
	ejectForget = time.Minute      // an origin that was up this long starts from ejectFirst again
	checkAfter  = 2                // failed checks in a row that take an origin out; one good check lets it in

	halfOpenTrials   = 1 // trials at once while an origin is half open and there are others
	lastResortTrials = 8 // trials at once of an origin that is out, when there is no other
)

// standing is how an origin stands with its pool.
type standing uint8

const (
	up         standing = iota
	halfOpen            // its ejection is over: one trial decides
	checkedOut          // the active check fails, real requests have not been seen to
	ejected             // real requests failed, and its time out is not over
)

// condition is the health of one origin: passive, from the forwards themselves (a circuit breaker: closed, open, half
// open), and active, from checks. It is a value; its methods return the next one. The zero condition is up.
type condition struct {
	fails     int       // failures in a row
	ejections int       // ejections in a row
	until     time.Time // when the ejection ends; zero when there is none
	since     time.Time // since when it is up or down
	trials    int       // trials in flight
	bad       int       // failed checks in a row
	why       string    // the last failure in words, "" when up
}

func (c condition) out() bool        { return !c.until.IsZero() }
func (c condition) checkedOut() bool { return c.bad >= checkAfter }
func (c condition) up() bool         { return !c.out() && !c.checkedOut() }

// standing is how the origin stands at now.
func (c condition) standing(now time.Time) standing {
	switch {
	case c.out() && now.Before(c.until):
		return ejected
	case c.checkedOut():
		return checkedOut
	case c.out():
		return halfOpen
	}
	return up
}

// succeeded is the condition after an answer began, whatever its status.
func (c condition) succeeded(now time.Time) condition {
	was := c.up()
	c.fails, c.until = 0, time.Time{}
	return c.turned(was, now)
}

// failed is the condition after a forward failed by the origin's fault.
func (c condition) failed(now time.Time, why string) condition {
	was := c.up()
	c.fails++
	c.why = why
	switch {
	case c.out() && now.Before(c.until):
		return c // a forward from before the ejection, or a last resort: it tells nothing new
	case !c.out() && c.fails < ejectAfter:
		return c
	case !c.out() && was && now.Sub(c.since) > ejectForget:
		c.ejections = 0
	}
	c.until = now.Add(min(ejectFirst<<min(c.ejections, 10), ejectMost))
	c.ejections++
	return c.turned(was, now)
}

// checked is the condition after an active check.
func (c condition) checked(now time.Time, good bool, why string) condition {
	was := c.up()
	if good {
		c.bad = 0
		if c.out() && now.Before(c.until) {
			c.until = now // somebody is there again: let a real request try
		}
		return c.turned(was, now)
	}
	c.bad++
	c.why = why
	return c.turned(was, now)
}

// turned notes the time when the origin went up or down.
func (c condition) turned(was bool, now time.Time) condition {
	if is := c.up(); is != was {
		c.since = now
		if is {
			c.why = ""
		}
	}
	return c
}

// try begins a trial if fewer than most are in flight.
func (c condition) try(most int) (next condition, ok bool) {
	if c.trials >= most {
		return c, false
	}
	c.trials++
	return c, true
}
