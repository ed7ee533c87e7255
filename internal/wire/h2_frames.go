package wire

import "encoding/binary"

// handle handles a whole frame other than DATA.
func (c *h2Conn) handle(f h2Frame, p []byte) error {
	if !c.settled && (f.kind != h2Settings || f.has(h2FlagAck)) {
		return &h2ConnError{h2Protocol, "the first frame is not SETTINGS"}
	}
	if c.block.open && (f.kind != h2Continuation || f.id != c.block.id) {
		return &h2ConnError{h2Protocol, "another frame stands inside a header section"}
	}
	switch f.kind {
	case h2Headers:
		return c.onHeaders(f, p)
	case h2Priority:
		return c.onPriority(f, p)
	case h2Reset:
		return c.onReset(f, p)
	case h2Settings:
		return c.onSettings(f, p)
	case h2Push:
		return &h2ConnError{h2Protocol, "a client may not push"}
	case h2Ping:
		return c.onPing(f, p)
	case h2Goaway:
		if f.id != 0 || len(p) < 8 {
			return &h2ConnError{h2Protocol, "GOAWAY is malformed"}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.finish(h2No)
		return nil
	case h2Update:
		return c.onUpdate(f, p)
	case h2Continuation:
		return c.onContinuation(f, p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget.hint(c.clock)
	c.spend(0)
	return nil
}

func (c *h2Conn) onPriority(f h2Frame, p []byte) error {
	if f.id == 0 {
		return &h2ConnError{h2Protocol, "PRIORITY without a stream"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p) != 5 {
		return c.streamError(f.id, h2FrameSize)
	}
	if binary.BigEndian.Uint32(p)&(1<<31-1) == f.id {
		return c.streamError(f.id, h2Protocol)
	}
	c.budget.hint(c.clock)
	c.spend(0)
	return nil
}

// streamError resets a stream over a mistake of the client; a stream that is not open ends the connection. mu is held.
func (c *h2Conn) streamError(id uint32, code h2Code) error {
	s := c.streams[id]
	if s == nil {
		return &h2ConnError{code, "an error on a stream that is not open"}
	}
	c.reset(s, code, errH2Wrong)
	c.spend(h2CostProvoked)
	return nil
}

func (c *h2Conn) onReset(f h2Frame, p []byte) error {
	if len(p) != 4 {
		return &h2ConnError{h2FrameSize, "RST_STREAM has a wrong size"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.id == 0 || f.id > c.lastID || f.id%2 == 0 {
		return &h2ConnError{h2Protocol, "RST_STREAM for an idle stream"}
	}
	s := c.streams[f.id]
	cost := int64(h2CostResetLate)
	switch {
	case s == nil:
		c.past.left(f.id)
		c.spend(cost)
		return nil
	case !s.started:
		cost = h2CostResetEarly
	case !s.responded:
		cost = h2CostReset
	}
	c.drop(s, errH2Reset)
	c.spend(cost)
	return nil
}

func (c *h2Conn) onPing(f h2Frame, p []byte) error {
	if f.id != 0 {
		return &h2ConnError{h2Protocol, "PING on a stream"}
	}
	if len(p) != 8 {
		return &h2ConnError{h2FrameSize, "PING has a wrong size"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.has(h2FlagAck) {
		if string(p) == h2RetirePing && c.retired {
			c.finish(h2No)
		}
		c.budget.hint(c.clock)
		c.spend(0)
		return nil
	}
	c.budget.ack(c.clock)
	c.spend(0)
	var b [h2FrameHead + 8]byte
	c.put(append(h2AppendFrame(b[:0], 8, h2Ping, h2FlagAck, 0), p...))
	return nil
}

func (c *h2Conn) onUpdate(f h2Frame, p []byte) error {
	if len(p) != 4 {
		return &h2ConnError{h2FrameSize, "WINDOW_UPDATE has a wrong size"}
	}
	n := int64(binary.BigEndian.Uint32(p) & (1<<31 - 1))
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.id == 0 {
		if c.budget.ack(c.clock); n == 0 {
			return &h2ConnError{h2Protocol, "WINDOW_UPDATE by nothing"}
		}
		if c.window += n; c.window > h2WindowMax {
			return &h2ConnError{h2FlowControl, "the connection's window is too large"}
		}
		c.wakeAll()
		c.spend(0)
		return nil
	}
	if f.id > c.lastID || f.id%2 == 0 {
		return &h2ConnError{h2Protocol, "WINDOW_UPDATE for an idle stream"}
	}
	c.budget.ack(c.clock)
	c.spend(0)
	s := c.streams[f.id]
	switch {
	case n == 0:
		return c.streamError(f.id, h2Protocol)
	case s == nil:
	case s.window+n > h2WindowMax:
		return c.streamError(f.id, h2FlowControl)
	default:
		s.window += n
		h2Poke(s.wake)
	}
	return nil
}

func (c *h2Conn) onSettings(f h2Frame, p []byte) error {
	if f.id != 0 {
		return &h2ConnError{h2Protocol, "SETTINGS on a stream"}
	}
	if len(p)%6 != 0 || f.has(h2FlagAck) && len(p) != 0 {
		return &h2ConnError{h2FrameSize, "SETTINGS has a wrong size"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.has(h2FlagAck) {
		c.acked = true
		c.budget.hint(c.clock)
		c.spend(0)
		return nil
	}
	if c.settled {
		c.spend(h2CostSettings)
	}
	if len(p) > 6*32 {
		c.spend(h2CostSettings)
	}
	c.settled = true
	for ; len(p) > 0; p = p[6:] {
		if err := c.set(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	var b [h2FrameHead]byte
	c.put(h2AppendFrame(b[:0], 0, h2Settings, h2FlagAck, 0))
	return nil
}

// set takes one setting of the client. mu is held.
func (c *h2Conn) set(id uint16, v uint32) error {
	switch id {
	case h2SetTable:
		c.enc.resize(v)
	case h2SetPush, h2SetConnect:
		if v > 1 {
			return &h2ConnError{h2Protocol, "a setting is neither 0 nor 1"}
		}
	case h2SetFrame:
		if v < h2FrameMax || v > 1<<24-1 {
			return &h2ConnError{h2Protocol, "SETTINGS_MAX_FRAME_SIZE is out of range"}
		}
	case h2SetWindow:
		if v > h2WindowMax {
			return &h2ConnError{h2FlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is out of range"}
		}
		change := int64(v) - c.peerWindow
		c.peerWindow = int64(v)
		for _, s := range c.streams {
			if s.window += change; s.window > h2WindowMax {
				return &h2ConnError{h2FlowControl, "a stream's window is too large"}
			}
			h2Poke(s.wake)
		}
	}
	return nil
}
