package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// h1UpBody is the body of an answer.
type h1UpBody struct {
	conn   *h1UpConn // nil once the connection is given back or closed
	framed h1Framed
	err    error
}

// Read implements io.Reader. The connection goes back to the pool with the body's last byte, and the end comes with that byte where it is
// known: then nothing has to be flushed that an end will follow.
func (b *h1UpBody) Read(p []byte) (int, error) {
	if b.conn == nil {
		return 0, b.err
	}
	n, err := b.framed.Read(p)
	switch {
	case b.framed.err == io.EOF:
		b.conn.finish()
		b.conn, b.err, err = nil, io.EOF, io.EOF
	case b.framed.err != nil:
		b.err = b.conn.bodyFault(b.framed.err)
		b.conn.abandon()
		b.conn = nil
		err = b.err
		if n > 0 {
			err = nil
		}
	}
	return n, err
}

// Buffered is how many bytes Read gives without waiting for the origin.
func (b *h1UpBody) Buffered() int {
	if b.conn == nil {
		return 0
	}
	return int(b.framed.ready())
}

// bodyFault says whose fault it is that an answer broke off.
func (c *h1UpConn) bodyFault(err error) error {
	f := FaultClosed
	var malformed *MalformedError
	switch {
	case c.interrupted.Load() && c.sender != nil && c.sender.failed() == FaultBody:
		f = FaultBody
	case c.interrupted.Load():
		f = FaultCanceled
	case errors.As(err, &malformed):
		f = FaultGarbage
	case errors.Is(err, os.ErrDeadlineExceeded):
		f = FaultTimeout
	}
	return c.up.cfg.fault(f, false, err)
}

// Close implements io.Closer.
func (b *h1UpBody) Close() error {
	if b.conn != nil {
		b.conn.abandon()
		b.conn, b.err = nil, os.ErrClosed
	}
	return nil
}

// h1UpStream is a connection after a 101.
type h1UpStream struct {
	conn   *h1UpConn
	closed atomic.Bool
}

// Read gives what came right behind the 101 first.
func (s *h1UpStream) Read(p []byte) (int, error) {
	if s.conn.in.buffered() > 0 {
		n, err := s.conn.in.read(p, int64(len(p)))
		s.conn.in.release()
		return n, err
	}
	return s.conn.c.Read(p)
}

func (s *h1UpStream) Write(p []byte) (int, error) { return s.conn.c.Write(p) }

func (s *h1UpStream) SetDeadline(t time.Time) error {
	err := s.conn.c.SetDeadline(t)
	if s.conn.interrupted.Load() {
		return s.conn.c.SetDeadline(longAgo)
	}
	return err
}

func (s *h1UpStream) CloseWrite() error { return closeWrite(s.conn.c) }

// Close is called by any goroutine, and leaves the buffer to a Read that may be under way.
func (s *h1UpStream) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.conn.unwatch()
	return s.conn.c.Close()
}

// closeWrite tells the other end that nothing more will come.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	if _, ok := c.(*tls.Conn); ok {
		return nil
	}
	if n, ok := c.(interface{ NetConn() net.Conn }); ok {
		return closeWrite(n.NetConn())
	}
	return errors.ErrUnsupported
}
