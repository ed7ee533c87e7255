package wire

import (
	"io"
	"time"

	"stormdoor/flow"
)

// h2Tunnel is the Stream over the DATA frames of an extended CONNECT (RFC 8441).
type h2Tunnel struct{ s *h2Stream }

func (s *h2Stream) Upgrade(h flow.Header) (Stream, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.responded:
		return nil, errH2Twice
	case s.req.Upgrade == "":
		return nil, errH2NoAsk
	}
	if err := s.awaitRoom(); err != nil {
		return nil, err
	}
	s.responded, s.upgraded, s.length = true, true, -1
	s.c.putHead(s.id, 200, h, -1, false)
	s.c.kick()
	return &h2Tunnel{s}, nil
}

func (t *h2Tunnel) Read(p []byte) (int, error) { return t.s.body.Read(p) }

// Write sends at once: what is said on a tunnel is a conversation.
func (t *h2Tunnel) Write(p []byte) (int, error) {
	s := t.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if s.sentEnd {
		return 0, io.ErrClosedPipe
	}
	n, err := s.write(p)
	s.c.kick()
	return n, err
}

func (t *h2Tunnel) CloseWrite() error {
	s := t.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil || s.sentEnd {
		return s.err
	}
	s.c.putEnd(s)
	s.sentEnd = true
	s.c.settle(s)
	s.c.kick()
	return nil
}

// Close ends both directions: with END_STREAM where the client has ended its own, by a reset otherwise.
func (t *h2Tunnel) Close() error {
	s := t.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil {
		return nil
	}
	s.c.closeTunnel(s)
	s.err = errH2Over
	h2Poke(s.wake)
	return nil
}

// closeTunnel takes an upgraded stream off the wire. mu is held.
func (c *h2Conn) closeTunnel(s *h2Stream) {
	if !s.listed {
		return
	}
	if !s.sentEnd {
		c.putEnd(s)
		s.sentEnd = true
	}
	if s.recvEnd {
		c.settle(s)
	} else {
		c.reset(s, h2Cancel, errH2Over)
	}
	c.kick()
}

func (t *h2Tunnel) SetDeadline(at time.Time) error {
	_ = t.s.SetReadDeadline(at)
	return t.s.SetWriteDeadline(at)
}
