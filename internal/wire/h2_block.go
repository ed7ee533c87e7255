package wire

import (
	"encoding/binary"

	"stormdoor/flow"
)

// h2ContinuationsMost bounds the CONTINUATION frames of one header section.
const h2ContinuationsMost = 16

// h2Block is a header section that is coming.
type h2Block struct {
	open   bool
	id     uint32
	end    bool
	frames int
	b      []byte // the fragments, when there is more than one
}

func (c *h2Conn) onHeaders(f h2Frame, p []byte) error {
	p, ok := h2Unpad(f, p)
	if !ok || f.id%2 == 0 {
		return &h2ConnError{h2Protocol, "HEADERS has a wrong stream or padding"}
	}
	if f.has(h2FlagPriority) {
		if len(p) < 5 {
			return &h2ConnError{h2FrameSize, "HEADERS is too short for its priority"}
		}
		if binary.BigEndian.Uint32(p)&(1<<31-1) == f.id {
			return &h2ConnError{h2Protocol, "a stream depends on itself"}
		}
		p = p[5:]
	}
	if f.has(h2FlagEndHeaders) {
		return c.onBlock(f.id, f.has(h2FlagEnd), p)
	}
	c.block = h2Block{open: true, id: f.id, end: f.has(h2FlagEnd), b: append(c.block.b[:0], p...)}
	return nil
}

func (c *h2Conn) onContinuation(f h2Frame, p []byte) error {
	if !c.block.open {
		return &h2ConnError{h2Protocol, "CONTINUATION stands alone"}
	}
	c.mu.Lock()
	if len(p) == 0 {
		c.spend(h2CostEmptyPart)
	} else if c.block.frames > 1 {
		c.spend(h2CostContinuation)
	}
	c.mu.Unlock()
	c.block.frames++
	if c.block.frames > h2ContinuationsMost || len(c.block.b)+len(p) > c.cfg.MaxHeaderBytes+c.cfg.MaxHeaderBytes/4 {
		return &h2ConnError{h2EnhanceCalm, "a header section is too large"}
	}
	c.block.b = append(c.block.b, p...)
	if !f.has(h2FlagEndHeaders) {
		return nil
	}
	c.block.open = false
	err := c.onBlock(c.block.id, c.block.end, c.block.b)
	c.block.b = nil
	return err
}

// onBlock takes a whole header section: a request or its trailers.
func (c *h2Conn) onBlock(id uint32, end bool, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if s := c.streams[id]; s != nil {
		return c.onTrailer(s, end, p)
	}
	if id <= c.lastID {
		switch c.past.how(id) {
		case h2EndedByUs:
			return c.skip(p)
		case h2EndedByPeer:
			return &h2ConnError{h2StreamClosed, "HEADERS on a closed stream"}
		}
		return &h2ConnError{h2Protocol, "a stream has a lower number than one before it"}
	}
	c.lastID = id
	c.budget.hints = min(c.budget.hints+2, 256)
	if c.away {
		c.past.add(id, true)
		c.spend(h2CostRefused)
		return c.skip(p)
	}
	if c.active >= c.maxStreams() {
		c.turnAway(id)
		return c.skip(p)
	}
	return c.onRequest(id, end, p)
}

// turnAway refuses a stream in such a way that the client may try it again. mu is held.
func (c *h2Conn) turnAway(id uint32) {
	c.past.add(id, true)
	c.putReset(id, h2Refused)
	c.spend(h2CostRefused)
}

// onRequest takes the head of a request. mu is held.
func (c *h2Conn) onRequest(id uint32, end bool, p []byte) error {
	s, h := c.srv.stream(c, id), &c.head
	h.reset()
	h.fields = s.fields
	err := c.decode(p, &s.arena)
	if err == nil {
		err = c.err // the budget may have ended everything
	}
	var wrong *MalformedError
	if err == nil {
		wrong = h.fit(end)
	}
	accepted := err == nil && wrong == nil
	if accepted {
		h.request(&s.req, c.info, end, &s.arena)
		s.held = s.holds() + h2EntryCost*h.fields.Len()
	}
	s.fields, h.fields = h.fields, flow.Header{}
	switch {
	case err != nil:
	case wrong != nil:
		c.unread(id, wrong, end)
	case !c.roomFor(s.held):
		c.turnAway(id)
		accepted = false
	}
	if !accepted {
		c.srv.retireStream(s)
		return err
	}
	s.announced, s.silent = s.req.Length, h.method == "HEAD"
	if s.recvEnd = end; !end {
		s.body = newH2Body(s, h.expects)
	}
	s.listed = true
	c.streams[id] = s
	c.active++
	c.heads += s.held
	c.queue = append(c.queue, s)
	return nil
}

// unread answers or resets a request that nobody is asked about. An answer counts as one to a control frame: a client that
// does not read them is closed. mu is held.
func (c *h2Conn) unread(id uint32, wrong *MalformedError, end bool) {
	fields := c.cfg.Unread(c.info, flow.HTTP2, wrong)
	if wrong.Status == 0 {
		c.past.add(id, true)
		c.putReset(id, h2Protocol)
		c.spend(h2CostProvoked)
		return
	}
	before := c.unsent()
	c.putHead(id, wrong.Status, fields, 0, true)
	c.tail = h2Tail{}
	if c.control += c.unsent() - before; c.control > h2ControlMost {
		c.kill(errH2Deaf)
	}
	if !end {
		c.putReset(id, h2No)
	}
	c.past.add(id, !end)
	c.spend(h2CostProvoked)
}

// onTrailer takes the trailers of a request. mu is held.
func (c *h2Conn) onTrailer(s *h2Stream, end bool, p []byte) error {
	id := s.id
	if s.recvEnd || !end {
		code := h2Protocol
		if s.recvEnd {
			code = h2StreamClosed
		}
		if err := c.skip(p); err != nil {
			return err
		}
		return c.streamError(id, code)
	}
	h := &c.head
	h.reset()
	h.trailer = true
	before := s.holds()
	err := c.decode(p, &s.arena)
	trailer := h.fields
	h.fields = flow.Header{}
	if err != nil || c.err != nil { // the budget may have ended everything
		return err
	}
	held := s.holds() - before + h2EntryCost*trailer.Len()
	s.held += held
	c.heads += held
	switch {
	case h.broken:
		return c.streamError(id, h2Protocol)
	case h.over || c.heads > h2HeldHeads:
		return c.streamError(id, h2EnhanceCalm)
	}
	s.trailer = trailer
	if !c.endBody(s) {
		return c.streamError(id, h2Protocol)
	}
	return nil
}

// skip decodes a header section for the sake of the table only. mu is held.
func (c *h2Conn) skip(p []byte) error {
	c.head.reset()
	c.head.over = true
	var arena []byte
	return c.decode(p, &arena)
}

// decode decodes a header section into c.head. mu is held.
func (c *h2Conn) decode(p []byte, arena *[]byte) error {
	before, resizes, first := c.dec.evicted, 0, true
	for n := 0; len(p) > 0; n++ {
		if n > 10*c.cfg.MaxFields {
			return &h2ConnError{h2EnhanceCalm, "a header section has far too many fields"}
		}
		f, got, rest, err := c.dec.next(p, arena, c.head.room(), first)
		if err != nil {
			return &h2ConnError{h2Compression, err.Error()}
		}
		p = rest
		switch got {
		case h2GotField:
			c.head.add(f)
		case h2GotOver:
			c.head.over = true
		case h2GotResize:
			if resizes++; resizes > 2 {
				return &h2ConnError{h2Compression, "a header section resizes the table more than twice"}
			}
			continue
		}
		first = false
	}
	c.spend(h2CostEviction * int64(c.dec.evicted-before))
	return nil
}
