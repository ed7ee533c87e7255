package reactor

import (
	"sync/atomic"
	"time"
)

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn. A deadline is noticed up to 50 ms late.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.setDeadline(&c.readBy, &c.readLate, t)
	if s := c.std.Load(); s != nil {
		return (*s).SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn; see SetReadDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.setDeadline(&c.writeBy, &c.writeLate, t)
	if s := c.std.Load(); s != nil {
		return (*s).SetWriteDeadline(t)
	}
	return nil
}

func (c *Conn) setDeadline(by *atomic.Int64, late *atomic.Bool, t time.Time) {
	at := int64(0)
	if !t.IsZero() {
		at = c.loop.group.since(t)
	}
	by.Store(at)
	late.Store(at != 0 && at <= c.loop.now.Load())
	if c.waiting.Load() {
		c.loop.post(message{conn: c})
	}
}

func passed(by *atomic.Int64, late *atomic.Bool, now int64) {
	if b := by.Load(); b != 0 && b <= now {
		late.Store(true)
	}
}

func (c *Conn) late() bool {
	return c.waitingFor == reading && c.readLate.Load() || c.waitingFor == writing && c.writeLate.Load()
}
