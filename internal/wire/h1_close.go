package wire

import (
	"net"
	"time"
)

// How long a client that has got its answer may go on sending before it reads that answer: in silence, in all, and in bytes.
// Many send a large body to its end first; 16 MiB is what is on its way for 100 ms at 1 Gbit/s, and more.
const (
	h1LingerQuiet = time.Second
	h1LingerTime  = 5 * time.Second
	h1LingerBytes = 16 << 20
)

// linger closes our half and reads what is still on its way, for a moment: closing at once would reset the connection,
// and the client would lose the answer (RFC 9112, section 9.6).
func (h *h1Conn) linger() {
	if closeWrite(h.c) != nil {
		return
	}
	h.in.drop()
	block := h.srv.blocks.get()
	defer h.srv.blocks.put(block)
	now := time.Now()
	end := now.Add(h1LingerTime)
	for n := 0; n < h1LingerBytes && now.Before(end); now = time.Now() {
		quiet := now.Add(h1LingerQuiet)
		if quiet.After(end) {
			quiet = end
		}
		h.setReadDeadline(quiet)
		k, err := h.c.Read(block[:])
		if err != nil {
			return
		}
		n += k
	}
}

// reset closes the connection so that nobody can take what was sent for the whole.
func (h *h1Conn) reset() {
	if h.isReset.Swap(true) {
		return
	}
	c := h.c
	for {
		switch r := c.(type) {
		case interface{ Reset() error }:
			_ = r.Reset()
			return
		case interface{ SetLinger(int) error }:
			_ = r.SetLinger(0)
			_ = c.Close()
			return
		}
		n, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			_ = c.Close()
			return
		}
		c = n.NetConn()
	}
}

// close ends the connection; what the goroutine borrowed goes back.
func (h *h1Conn) close() {
	h.srv.untrack(h)
	_ = h.c.Close()
	h.in.drop()
	h.returnOut()
}
