package listen

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/internal/reactor"
	"stormdoor/internal/wire"
)

// The phases of a connection. In all but phaseOpen the read deadline is our own business too.
const (
	phaseOpen      uint32 = iota // ours is over: reads and deadlines go straight through
	phaseProxy                   // a PROXY header is still to be read
	phaseHandshake               // TLS: the first read is still to come
	phaseHello                   // TLS: our deadline stands, the ClientHello is still to come
	phaseFinish                  // TLS: our deadline stands until the server sets one
)

// conn is an admitted connection. Read must not be called concurrently with itself; all else may be.
type conn struct {
	net.Conn
	a     *Admission
	cfg   *Config // in force when the connection came
	info  wire.Conn
	rest  []byte // read together with the PROXY header, behind it
	phase atomic.Uint32
	place atomic.Int32 // the seat
	tls   bool
	gone  atomic.Bool
	turn  atomic.Bool // one of the turns is held, to calculate the handshake
	// noTurn says that there was none in time. Only the handshake's own goroutine looks at it.
	noTurn bool

	head sync.Mutex // held while the PROXY header is read
	err  error      // why there was no good PROXY header; under head

	mu     sync.Mutex // guards the deadlines
	caller time.Time  // the read deadline that the server asked for
	ours   time.Time  // the read deadline of the phase, zero when it has not begun
}

var _ wire.Informed = (*conn)(nil)

// Info tells what is known of the connection. It waits for the PROXY header where one is due.
func (c *conn) Info() *wire.Conn {
	_ = c.begin()
	return &c.info
}

// RemoteAddr is the visitor's address. It waits for the PROXY header where one is due.
func (c *conn) RemoteAddr() net.Addr {
	_ = c.begin()
	if c.info.Via.IsValid() {
		return net.TCPAddrFromAddrPort(c.info.Peer)
	}
	return c.Conn.RemoteAddr()
}

func (c *conn) Read(p []byte) (int, error) {
	c.endTurn()
	if ph := c.phase.Load(); ph == phaseProxy || ph == phaseHandshake {
		if err := c.begin(); err != nil {
			return 0, err
		}
		c.beginHandshake()
	}
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			c.rest = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// Pending reports whether bytes have been read that Read has not given yet. No event loop will say that they came.
func (c *conn) Pending() bool { return len(c.rest) > 0 }

// Loop is the connection on its event loop, nil when it is on none.
func (c *conn) Loop() *reactor.Conn {
	l, _ := c.Conn.(*reactor.Conn)
	return l
}

// Write goes through even before the PROXY header is read: a server that speaks first does not hang.
func (c *conn) Write(p []byte) (int, error) {
	c.endTurn()
	return c.Conn.Write(p)
}

// ReadFrom keeps sendfile and splice for io.Copy to the connection.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// WriteBuffers writes all of b with one system call where the connection can (net.Buffers cannot see through conn).
func (c *conn) WriteBuffers(b *net.Buffers) (int64, error) {
	if l := c.Loop(); l != nil {
		return l.WriteBuffers(b)
	}
	return b.WriteTo(c.Conn)
}

// CloseWrite sends a FIN and leaves reading open.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives its place back, once.
func (c *conn) Close() error {
	if !c.gone.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	err := c.Conn.Close()
	c.endTurn()
	c.a.crowd.leave(seat(c.place.Swap(0)))
	c.a.open.Add(-1)
	return err
}

// Reset closes the connection by RST.
func (c *conn) Reset() error {
	if t, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	return c.Close()
}

// sit takes a place for peer.
func (c *conn) sit(peer netip.Addr) bool {
	s, ok := c.a.seat(c.cfg, peer)
	if !ok {
		return false
	}
	c.place.Store(int32(s))
	if c.gone.Load() { // closed meanwhile: whoever swaps the seat out gives it back
		c.a.crowd.leave(seat(c.place.Swap(0)))
	}
	return true
}

// SetDeadline and SetReadDeadline can only shorten what a phase of ours allows.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// SetReadDeadline is documented at SetDeadline.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.phase.Load() == phaseOpen {
		return c.Conn.SetReadDeadline(t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caller = t
	if c.phase.Load() == phaseFinish {
		c.ours = time.Time{}
		c.phase.Store(phaseOpen)
	}
	return c.Conn.SetReadDeadline(earlier(t, c.ours))
}

// earlier returns the earlier of two deadlines; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// bound sets the deadline of a phase; the zero time leaves the server's alone in force.
func (c *conn) bound(t time.Time, next uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ours = t
	c.phase.Store(next)
	_ = c.Conn.SetReadDeadline(earlier(c.caller, t))
}

// beginHandshake starts the clock of a TLS handshake.
func (c *conn) beginHandshake() {
	if c.phase.Load() == phaseHandshake {
		c.bound(time.Now().Add(c.cfg.HandshakeTimeout), phaseHello)
	}
}

// greeted notes what a ClientHello says, and waits until the handshake may be calculated. It is called by crypto/tls between
// reading and writing.
func (c *conn) greeted(serverName, ja4 string) {
	c.info.ServerName, c.info.JA4 = serverName, ja4
	c.phase.CompareAndSwap(phaseHello, phaseFinish)
	c.takeTurn()
}

// takeTurn waits until the handshake may be calculated, if it has no turn yet and did not wait in vain before.
func (c *conn) takeTurn() {
	if c.noTurn || c.turn.Load() {
		return
	}
	c.noTurn = !c.a.turns.take()
	c.turn.Store(!c.noTurn)
	if c.gone.Load() { // closed meanwhile: whoever swaps the turn out gives it back
		c.endTurn()
	}
}

// endTurn gives the turn back, where there is one: the calculated part of the handshake is over.
func (c *conn) endTurn() {
	if c.turn.Load() && c.turn.Swap(false) {
		c.a.turns.giveBack()
	}
}

// begin reads the PROXY header if it is still to come.
func (c *conn) begin() error {
	if c.phase.Load() != phaseProxy {
		return nil
	}
	c.head.Lock()
	defer c.head.Unlock()
	if c.phase.Load() != phaseProxy || c.err != nil {
		return c.err
	}
	c.bound(time.Now().Add(c.cfg.HeadTimeout), phaseProxy)
	if err := c.readProxy(); err != nil {
		c.err = fmt.Errorf("PROXY header from %s: %w", c.Conn.RemoteAddr(), err)
		c.a.sayProxyFailed(c.err)
		_ = c.Reset()
		return c.err
	}
	next := phaseOpen
	if c.tls {
		next = phaseHandshake
	}
	c.bound(time.Time{}, next)
	return nil
}

// errTooMany ends the connection of a visitor behind a proxy who has too many of them.
var errTooMany = errors.New("the client has too many connections")

func (c *conn) readProxy() error {
	buf := make([]byte, 0, proxyBuffer)
	for {
		n, err := c.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		h, size, perr := parseProxy(buf)
		if perr != nil {
			return perr
		}
		if size > 0 {
			return c.take(h, buf, size)
		}
		if err != nil {
			return err
		}
	}
}

// take goes in under the header h, which is the first size bytes of buf or reaches beyond it.
func (c *conn) take(h proxyHeader, buf []byte, size int) error {
	if size > len(buf) {
		if _, err := io.CopyN(io.Discard, c.Conn, int64(size-len(buf))); err != nil {
			return err
		}
	} else if size < len(buf) {
		c.rest = buf[size:]
	}
	if !h.source.IsValid() {
		return nil // the proxy's own connection, a health check
	}
	c.info.Via, c.info.Peer = c.info.Peer, h.source
	if !c.sit(h.source.Addr()) {
		return errTooMany
	}
	return nil
}

func (a *Admission) sayProxyFailed(err error) {
	if errors.Is(err, errTooMany) || errors.Is(err, io.EOF) {
		if !errors.Is(err, errTooMany) {
			a.counts.proxy.Add(1) // a bare connect, as a health check makes it: counted, not said
		}
		return
	}
	a.counts.proxy.Add(1)
	cfg := a.config.Load()
	if more, ok := a.proxyQ.say(cfg.Now()); ok {
		cfg.Log.Warn("refused a connection without a good PROXY header", "error", err.Error(),
			"do", "let the proxy send it, or take its address out of trust.proxy_protocol", "unsaid", more)
	}
}

// mayHandshake is asked before the certificate is used. Who was asked to say ClientHello again has lost the turn, and takes another.
func (c *conn) mayHandshake() bool {
	if !c.a.mayHandshake(&c.info) {
		return false
	}
	c.takeTurn()
	return true
}

// refuse ends a connection whose handshake is too dear.
func (c *conn) refuse() { _ = c.Reset() }
