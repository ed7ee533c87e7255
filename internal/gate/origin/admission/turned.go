package admission

import "time"

// Turned is a place in the line of those who were told to come back later: the second in which that was first, so that who came first
// stands first. 0 is none. It is kept by the door, with what it remembers of the client; there is nothing to carry, to collect or to share.
type Turned uint16

// turnedIn is the place of who is turned away in a second of the memory's.
func turnedIn(at uint32) Turned { return Turned(max(uint16(at), 1)) }

// turnedAt is the client's place, which it has for ten minutes if it is not away for more than two.
func (c *client) turnedAt(at uint32) Turned {
	if c.turned == 0 || c.away(at) > placeAway || Turned(c.turned).seconds(at) > placeFor {
		return 0
	}
	return Turned(c.turned)
}

// seconds is how long ago it was, at a second of the memory's.
func (t Turned) seconds(at uint32) uint16 { return uint16(at) - uint16(t) }

// waited is how long somebody with the place has waited.
func (m *Memory) waited(now time.Time, t Turned) time.Duration {
	if t == 0 {
		return 0
	}
	return time.Duration(t.seconds(m.second(now))) * time.Second
}

const (
	crowdSeconds = 1024             // of places that are counted, a power of two above placeFor
	crowdHalves  = time.Minute      // half of those who are counted don't come back in this time
	crowdRate    = 10 * time.Second // the rate at which they are let in follows in this time
)

// crowd counts those who were told to come back, by the second in which they were first. It has no clock and no lock. The zero crowd is
// empty.
type crowd struct {
	wait [crowdSeconds]float32 // who has come in each second and was not let in yet
	aged uint32                // the second up to which they have aged
	in   int                   // let in during that second
	rate float64               // let in, in a second, of late
}

// advance ages what is counted up to a second.
func (c *crowd) advance(at uint32) {
	if at <= c.aged {
		return
	}
	passed := at - c.aged
	c.rate += (float64(c.in)/float64(passed) - c.rate) * (1 - halves(time.Duration(passed)*time.Second, crowdRate))
	stay := float32(halves(time.Duration(passed)*time.Second, crowdHalves))
	for i := range c.wait {
		c.wait[i] *= stay
	}
	for i := range min(passed, crowdSeconds) {
		c.wait[(at-i)%crowdSeconds] = 0 // what was there came 1024 seconds ago
	}
	c.aged, c.in = at, 0
}

// join counts somebody in who is turned away for the first time, leave out who was let in or does not stand in line any more.
func (c *crowd) join(t Turned) { c.wait[t%crowdSeconds]++ }

func (c *crowd) leave(t Turned, in bool) {
	c.wait[t%crowdSeconds] = max(0, c.wait[t%crowdSeconds]-1)
	if in {
		c.in++
	}
}

// ahead is how many stand before a place, and how long it takes, at the rate of late, until they have been let in; 0 when that is
// not known.
func (c *crowd) ahead(t Turned, at uint32) (n int, wait time.Duration) {
	sum := c.wait[t%crowdSeconds] / 2 // of those who came in the same second
	for s := uint32(t.seconds(at)) + 1; s <= placeFor; s++ {
		sum += c.wait[(at-s)%crowdSeconds]
	}
	if c.rate > 0 {
		wait = time.Duration(float64(sum) / c.rate * float64(time.Second))
	}
	return int(sum), wait
}
