package wire

// h2Incoming is a frame of DATA that is coming.
type h2Incoming struct {
	id     uint32
	left   int // bytes to come, padding included
	pad    int // how many of them are padding
	end    bool
	wanted bool
}

// onData takes the head of a frame of DATA.
func (c *h2Conn) onData(f h2Frame) error {
	if f.id == 0 {
		return &h2ConnError{h2Protocol, "DATA without a stream"}
	}
	pad := 0
	if f.has(h2FlagPadded) {
		if f.length == 0 {
			return &h2ConnError{h2FrameSize, "DATA is too short for its padding"}
		}
		if err := c.need(1); err != nil {
			return err
		}
		pad = int(c.in[c.r])
		c.r++
		if pad >= f.length {
			return &h2ConnError{h2Protocol, "DATA has too much padding"}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.id > c.lastID || f.id%2 == 0 {
		return &h2ConnError{h2Protocol, "DATA on an idle stream"}
	}
	if c.recv -= int64(f.length); c.recv < 0 {
		return &h2ConnError{h2FlowControl, "the client sent more than the connection's window"}
	}
	left := f.length
	if f.has(h2FlagPadded) {
		left--
		c.returned(1)
	}
	c.data = h2Incoming{id: f.id, left: left, pad: pad, end: f.has(h2FlagEnd)}
	if err := c.admitData(f, left-pad); err != nil {
		return err
	}
	if left == 0 {
		c.endData()
	}
	return nil
}

// admitData says whether the n bytes of a frame of DATA are wanted. mu is held.
func (c *h2Conn) admitData(f h2Frame, n int) error {
	s := c.streams[f.id]
	if s == nil {
		if c.past.how(f.id) == h2EndedByPeer {
			return &h2ConnError{h2StreamClosed, "DATA on a closed stream"}
		}
		c.spend(h2CostTinyData + int64(f.length)/h2CostStrayBytes)
		return nil
	}
	if s.recvEnd {
		return c.streamError(f.id, h2StreamClosed)
	}
	switch {
	case n == 0 && !c.data.end:
		c.spend(h2CostEmptyData)
	case c.data.pad > n:
		c.spend(h2CostPadding)
	case n < h2Tiny && !c.data.end:
		c.spend(h2CostTinyData)
	}
	if c.err != nil { // the budget has ended everything
		return nil
	}
	s.received += int64(n)
	if s.announced >= 0 && s.received > s.announced {
		return c.streamError(f.id, h2Protocol)
	}
	if b := s.body; b != nil {
		if b.recv -= int64(f.length); b.recv < 0 {
			return c.streamError(f.id, h2FlowControl)
		}
		b.credit += int64(f.length - n)
	}
	if s.answered && !c.data.end {
		c.cutShort(s)
		return nil
	}
	c.data.wanted = true
	return nil
}

// dataPart takes what is there of the frame of DATA that is coming.
func (c *h2Conn) dataPart() error {
	p := c.in[c.r:min(c.w, c.r+c.data.left)]
	c.r += len(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.data
	body := p[:max(0, min(len(p), d.left-d.pad))]
	d.left -= len(p)
	s := c.streams[d.id]
	if d.wanted && s != nil && s.body != nil && s.body.err == nil {
		c.returned(int64(len(p) - len(body)))
		if len(body) > 0 {
			c.moves++
			s.body.push(body)
		}
	} else {
		c.returned(int64(len(p)))
	}
	if d.left == 0 {
		c.endData()
	}
	return nil
}

// endData ends a frame of DATA. mu is held.
func (c *h2Conn) endData() {
	d := c.data
	c.data = h2Incoming{}
	s := c.streams[d.id]
	if !d.end || !d.wanted || s == nil {
		return
	}
	if !c.endBody(s) {
		c.reset(s, h2Protocol, errH2Wrong)
		c.spend(h2CostProvoked)
	}
}
