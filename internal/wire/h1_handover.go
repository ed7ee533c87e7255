package wire

import (
	"net"
	"time"
)

// h1SeenPreface is what a connection begins with whose client knows that we speak HTTP/2 (RFC 9113, section 3.4).
const h1SeenPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// prefaced reports whether the connection begins with the preface, and waits for the rest of what may be one.
func (h *h1Conn) prefaced() bool {
	for {
		got := h.in.buf[h.in.r:h.in.w]
		n := min(len(got), len(h1SeenPreface))
		if string(got[:n]) != h1SeenPreface[:n] {
			return false
		}
		if n == len(h1SeenPreface) {
			return true
		}
		if h.in.fill() != nil {
			return false
		}
	}
}

// handOver gives the connection, with what has been read of it, to the HTTP/2 server, and returns when that is done
// with it.
func (h *h1Conn) handOver() {
	c := h.c
	if n := h.in.buffered(); n > 0 {
		c = &h1Unread{Conn: c, rest: append([]byte(nil), h.in.buf[h.in.r:h.in.w]...)}
	}
	h.in.drop()
	h.leaveLoop()
	h.srv.untrack(h)
	_ = h.c.SetDeadline(time.Time{})
	if h.cfg.H2 != nil {
		h.cfg.H2(c)
	}
}

// h1Unread is a connection of which something has been read already.
type h1Unread struct {
	net.Conn
	rest []byte
}

func (c *h1Unread) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite sends a FIN and leaves reading open, for the last word of HTTP/2.
func (c *h1Unread) CloseWrite() error { return closeWrite(c.Conn) }

// NetConn gives the connection below.
func (c *h1Unread) NetConn() net.Conn { return c.Conn }
