package wire

import (
	"net"
	"time"
)

// h1Stream is a visitor's connection after a protocol switch.
type h1Stream struct {
	c    net.Conn
	rest []byte // what came right behind the request
}

// hijack sends the 101 and hands the connection over.
func (h *h1Conn) hijack() (Stream, error) {
	h.comeBack()
	if err := h.flush(); err != nil {
		return nil, err
	}
	s := &h1Stream{c: h.c}
	if n := h.in.buffered(); n > 0 {
		s.rest = append([]byte(nil), h.in.buf[h.in.r:h.in.w]...)
	}
	h.in.drop()
	h.returnOut()
	return s, h.c.SetDeadline(time.Time{})
}

func (s *h1Stream) Read(p []byte) (int, error) {
	if len(s.rest) > 0 {
		n := copy(p, s.rest)
		s.rest = s.rest[n:]
		return n, nil
	}
	return s.c.Read(p)
}

func (s *h1Stream) Write(p []byte) (int, error)   { return s.c.Write(p) }
func (s *h1Stream) Close() error                  { return s.c.Close() }
func (s *h1Stream) CloseWrite() error             { return closeWrite(s.c) }
func (s *h1Stream) SetDeadline(t time.Time) error { return s.c.SetDeadline(t) }
