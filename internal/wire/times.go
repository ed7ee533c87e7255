package wire

import "time"

// Times are how long a server waits for its visitors; a zero value stands for the default of its configuration.
type Times struct {
	Head, KeepAlive time.Duration
	MinRate         int // bytes a second
}

// SetTimes changes how long connections that come from now on are waited for. Those that are there end under the times that
// they began with.
func (s *Server) SetTimes(t Times) {
	next := *s.inForce.Load()
	next.setTimes(t)
	s.inForce.Store(&next)
}

// SetTimes is Server.SetTimes for HTTP/2.
func (s *H2Server) SetTimes(t Times) {
	next := *s.inForce.Load()
	next.setTimes(t)
	s.inForce.Store(&next)
}

func (c *ServerConfig) setTimes(t Times) {
	c.HeadTimeout, c.KeepAlive, c.MinRate = positive(t.Head, 10*time.Second), positive(t.KeepAlive, time.Minute), t.MinRate
	if c.MinRate == 0 {
		c.MinRate = 500
	}
}

func (c *H2Config) setTimes(t Times) {
	c.Head, c.KeepAlive, c.MinRate = t.Head, t.KeepAlive, t.MinRate
	if c.Head == 0 {
		c.Head = 10 * time.Second
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 75 * time.Second
	}
	if c.MinRate == 0 {
		c.MinRate = 240
	}
}

// positive is d, or def where d is not positive.
func positive(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
