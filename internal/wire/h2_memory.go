package wire

import "time"

// h2Standing is what the account of memory has to know of a connection's waits; mu guards it.
type h2Standing struct {
	partial time.Time // the preface, a header section or a frame is incomplete since; zero for none
	stalled time.Time // handlers wait for the client, and nothing has moved since; valid while some wait
}

// holders implements memoryCrowd.
func (s *H2Server) holders(to []memoryHolder) []memoryHolder {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		to = append(to, c)
	}
	return to
}

// stand implements memoryHolder.
func (c *h2Conn) stand() memoryStand {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.standing()
}

// standing is stand for who holds mu.
func (c *h2Conn) standing() memoryStand {
	s := memoryStand{held: c.holds()}
	switch {
	case c.err != nil:
	case c.stalled > 0:
		s.since, s.limit = c.waitsSince.stalled, h2Patience
	case !c.waitsSince.partial.IsZero():
		s.since, s.limit = c.waitsSince.partial, c.cfg.Head
	case c.active == 0:
		s.since, s.limit, s.idle = c.idle, c.cfg.KeepAlive, true
	}
	return s
}

// relieve implements memoryHolder.
func (c *h2Conn) relieve(w memoryStand, hard bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := c.standing(); {
	case s.limit == 0 || !s.since.Equal(w.since):
		return false
	case s.idle:
		c.finish(h2No)
	case hard:
		c.kill(errH2Closed)
	default:
		c.fail(&h2ConnError{h2EnhanceCalm, "the client makes the door wait while memory is short"})
	}
	return true
}
