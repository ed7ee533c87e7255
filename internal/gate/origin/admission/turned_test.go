package admission

import (
	"testing"
	"time"
)

// TestCrowdCountsWhoStandsBefore: a hundred come in each of ten seconds, twenty are let in each second, the first ones first.
func TestCrowdCountsWhoStandsBefore(t *testing.T) {
	var c crowd
	at := uint32(100_000) // beyond what 16 bits hold
	for s := range uint32(60) {
		c.advance(at + s)
		if s < 10 {
			for range 100 {
				c.join(turnedIn(at + s))
			}
		}
		for range 20 {
			c.leave(turnedIn(at+s/5), true) // those of the first second in the first five, and so on
		}
	}
	end := at + 60
	c.advance(end)
	first, _ := c.ahead(turnedIn(at), end)
	last, wait := c.ahead(turnedIn(at+9), end)
	if first > 10 || last > 60 { // nearly all have been let in by then
		t.Errorf("%d stand before the first, %d before the last", first, last)
	}
	for range 500 {
		c.join(turnedIn(end))
	}
	n, wait := c.ahead(turnedIn(end+1), end+1)
	if n < 490 || n > 560 || wait < 20*time.Second || wait > 32*time.Second {
		t.Errorf("%d stand before who comes now, and it takes %v; want some 500 and 25 s", n, wait)
	}
	c.advance(end + 120)
	if n, _ := c.ahead(turnedIn(end+120), end+120); n > 150 {
		t.Errorf("two minutes later %d of them still count, and nobody has come back", n)
	}
	c.advance(end + 5000)
	if n, wait := c.ahead(turnedIn(end+5000), end+5000); n != 0 || wait != 0 {
		t.Errorf("an hour later %d stand there, for %v", n, wait)
	}
}

func TestPlacesOutliveTheWrapOfTheirSeconds(t *testing.T) {
	for _, at := range []uint32{1<<16 - 3, 1<<16 - 1, 1 << 16, 1<<16 + 1} {
		c := client{last: at + 50, turned: uint16(turnedIn(at))}
		if got := c.turnedAt(at + 50); got == 0 || got.seconds(at+50) < 49 || got.seconds(at+50) > 50 {
			t.Errorf("turned away at %d: %d seconds ago, 50 seconds later", at, got.seconds(at+50))
		}
		c.last = at + placeFor + 2
		if got := c.turnedAt(at + placeFor + 2); got != 0 {
			t.Errorf("turned away at %d: still has a place after %d s", at, got.seconds(at+placeFor+1))
		}
	}
}
