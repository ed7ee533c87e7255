package origin

import (
	"slices"
	"time"
)

// acquire chooses the origin for the next try and counts the forward in. trial says that the try decides about an origin
// that was left out. m is nil when no origin may be asked now.
//
// Origins that are up are balanced, and with them an origin whose time out is over, for one trial. When none is left the
// door does not refuse everybody because a check may be wrong (Envoy's panic threshold): it asks those that only their
// checks speak against, else the one that is down for the longest, by a few requests at once.
func (c *call) acquire() (m *member, trial bool) {
	p := c.pool
	cs, now := c.candidates[:0], time.Time{}
	for i, m := range p.members {
		if c.tried&(1<<i) != 0 {
			continue
		}
		if !m.up.Load() {
			if now.IsZero() {
				now = p.now()
			}
			if s, cond := m.standing(now); s != up && (s != halfOpen || cond.trials >= halfOpenTrials) {
				continue
			}
		}
		cs = append(cs, m.candidate())
	}
	c.candidates = cs
	for len(cs) > 0 {
		i := p.choose(cs, c.o.Facts.Bucket)
		m := cs[i].member
		if m.up.Load() {
			return m.enter(), false
		}
		if m.try(halfOpenTrials) {
			return m.enter(), true
		}
		cs = slices.Delete(cs, i, i+1)
	}
	return c.lastResort(now)
}

// lastResort chooses when no origin is up.
func (c *call) lastResort(now time.Time) (m *member, trial bool) {
	p := c.pool
	cs := c.candidates[:0]
	var oldest *member
	var since time.Time
	for i, m := range p.members {
		if c.tried&(1<<i) != 0 {
			continue
		}
		s, cond := m.standing(now)
		if s == checkedOut {
			cs = append(cs, m.candidate())
		}
		if oldest == nil || cond.since.Before(since) {
			oldest, since = m, cond.since
		}
	}
	c.candidates = cs
	if len(cs) > 0 {
		return cs[p.choose(cs, c.o.Facts.Bucket)].member.enter(), false
	}
	if oldest == nil || !oldest.try(lastResortTrials) {
		return nil, false
	}
	return oldest.enter(), true
}

func (m *member) candidate() candidate {
	return candidate{member: m, weight: m.weight, busy: m.busy.Load(), seed: m.seed}
}

// enter counts a forward in; leave counts it out.
func (m *member) enter() *member {
	m.busy.Add(1)
	m.forwards.Add(1)
	return m
}

func (m *member) leave() { m.busy.Add(-1) }
