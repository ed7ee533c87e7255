package wire

import (
	"errors"
	"io"
	"net"
	"time"
)

// h2Linger is how long a connection that has been ended may go on sending, so that it reads our last word.
const h2Linger = 500 * time.Millisecond

// h2LingerMost is how much it may send then, in bytes.
const h2LingerMost = 256 << 10

var (
	errH2Done   = errors.New("the connection is idle or has been shut down")
	errH2Silent = errors.New("the visitor's connection is dead")
	errH2Closed = errors.New("the visitor's connection is closed")
)

// end ends the connection for its streams and says the last word. mu is held.
func (c *h2Conn) end(err error) {
	c.fail(err)
	for _, s := range c.streams {
		c.drop(s, errH2Closed)
	}
	code := h2No
	var ce *h2ConnError
	if errors.As(c.err, &ce) {
		code = ce.code
	}
	switch {
	case errors.Is(c.err, errH2Closed), err == io.EOF:
	case !c.away:
		c.goaway(c.lastID, code)
	case code != h2No:
		c.goaway(c.promised, code)
	}
	if c.flushing && !c.killed {
		_ = c.armWrite()
	}
	c.kick()
}

// fail makes the reader end the connection, and ends the exchanges. mu is held.
func (c *h2Conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.ended.Store(true)
	for _, s := range c.streams {
		c.drop(s, errH2Closed)
	}
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	c.wakeAll()
}

// abort closes the connection at once.
func (c *h2Conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill(errH2Closed)
}

// kill makes reader and writer end without a last word. mu is held.
func (c *h2Conn) kill(err error) {
	if c.killed {
		return
	}
	c.fail(err)
	c.killed = true
	_ = c.nc.SetDeadline(time.Unix(1, 0))
	c.wakeAll()
}

// retire begins a graceful shutdown: GOAWAY without a bound, and with one a moment later, when requests that crossed it
// have come (RFC 9113, section 6.8). The answer to the PING behind it says when.
func (c *h2Conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired || c.err != nil {
		return
	}
	c.goaway(h2WindowMax, h2No)
	c.put(append(h2AppendFrame(nil, 8, h2Ping, 0, 0), h2RetirePing...))
	c.retired = true
	c.kick()
	if c.active == 0 {
		c.finish(h2No)
	}
}

// h2RetirePing is the content of the PING behind the first GOAWAY.
const h2RetirePing = "retiring"

// finish refuses new streams from here on and ends the connection with the last one. mu is held.
func (c *h2Conn) finish(code h2Code) {
	if c.away || c.err != nil {
		return
	}
	c.goaway(c.lastID, code)
	c.away, c.retired, c.promised = true, true, c.lastID
	c.kick()
	c.quiet()
}

// quiet wakes the reader when the connection has nothing left to do. mu is held.
func (c *h2Conn) quiet() {
	if c.active > 0 {
		return
	}
	c.free.Broadcast()
	if c.retired {
		c.finish(h2No)
	}
	if c.away && c.err == nil {
		c.deadline = time.Unix(1, 0)
		_ = c.nc.SetReadDeadline(c.deadline)
	}
}

// linger lets the client read our last word before the connection is closed.
func (c *h2Conn) linger() {
	defer c.nc.Close()
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if raw := h2Raw(c.nc); raw != c.nc {
		if half, ok = raw.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	if c.nc.SetReadDeadline(c.cfg.Now().Add(h2Linger)) != nil {
		return
	}
	for n := 0; n < h2LingerMost; {
		got, err := h2Raw(c.nc).Read(c.in)
		if err != nil {
			return
		}
		n += got
	}
}

// h2Raw is the connection below TLS, or c itself.
func h2Raw(c net.Conn) net.Conn {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c
}
