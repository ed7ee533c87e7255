package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"

	"stormdoor/internal/reactor"
)

// The states of a connection, for Shutdown.
const (
	h1New    uint32 = iota // no request yet
	h1Busy                 // a request is being read or answered
	h1Idle                 // waiting for another request
	h1Closed               // closed by Shutdown while idle
)

// h1Conn is a visitor's connection and the goroutine that serves it.
type h1Conn struct {
	srv    *Server
	cfg    *ServerConfig // of the server when the connection began
	c      net.Conn
	tls    bool
	scheme string
	info   Conn
	state  atomic.Uint32
	opened time.Time
	loop   *reactor.Conn // c or what is below it, while the connection is on an event loop
	home   *reactor.Conn // that connection whether it is there or has left for a while; nil for one that never was
	parked bool          // the loop waits for the next request, or has just ended to
	// strayed is true when the exchange has needed a goroutine; settled counts those since that have not.
	strayed atomic.Bool
	settled int

	in   h1Reader
	read h1ReadBounds
	one  [1]byte
	look h1Lookout
	ex   h1Exchange

	waiting h1Waiting

	// head is what waits to be written. It is in outBlock, or has outgrown it.
	head     []byte
	outBlock *h1Block
	vector   [3][]byte
	buffers  net.Buffers
	writeBy  time.Time // the write deadline in force, zero for unknown
	// userWriteBy is the deadline that the serving function asked for.
	userWriteBy time.Time
	sendPace    h1Pace
	writeErr    error
	isReset     atomic.Bool
}

func newH1Conn(s *Server, c net.Conn) *h1Conn {
	h := &h1Conn{srv: s, cfg: s.inForce.Load(), c: c, scheme: "http"}
	h.in = h1Reader{src: h, blocks: &s.blocks}
	h.ex.conn = h
	if l, ok := c.(looped); ok {
		h.loop = l.Loop()
		h.home = h.loop
	}
	return h
}

// handshaker is a TLS connection.
type handshaker interface {
	HandshakeContext(context.Context) error
	ConnectionState() tls.ConnectionState
}

// serve serves the connection until it ends, or is parked on its event loop.
func (h *h1Conn) serve() {
	h.opened = time.Now()
	h.waiting.begin(h1WaitHead, h.opened)
	h.setReadDeadline(h.opened.Add(h.cfg.HeadTimeout))
	if !h.greet() {
		h.close()
		return
	}
	h.goOn()
}

// goOn serves requests. On an event loop it is called again whenever a request comes after a silence.
func (h *h1Conn) goOn() {
	for {
		first := h.state.Load() == h1New
		switch h.await(first) {
		case h1Parked:
			return
		case h1Over:
			h.close()
			return
		}
		if first && !h.tls && h.prefaced() {
			h.handOver()
			h.close()
			return
		}
		if !h.serveNext() {
			h.close()
			return
		}
	}
}

// serveNext reads and answers the request that has begun to come; false when the connection is over.
func (h *h1Conn) serveNext() bool {
	if err := h.readRequest(); err != nil {
		h.refuse(err)
		return false
	}
	if !h.serveOne() {
		return false
	}
	if h.settled++; h.strayed.Swap(false) {
		h.settled = 0
	}
	if h.home != nil {
		h.home.First(h.info.ComesFirst())
	}
	return h.state.CompareAndSwap(h1Busy, h1Idle) && !h.srv.closing.Load()
}

// greet learns who is there, and does the TLS handshake; false when the connection is over, or another's.
func (h *h1Conn) greet() bool {
	t, ok := h.c.(handshaker)
	if ok {
		h.tls, h.scheme = true, "https"
		if err := t.HandshakeContext(context.Background()); err != nil {
			return false
		}
	}
	if info := infoOf(h.c); info != nil {
		h.info = *info
	} else {
		h.info.Peer, h.info.Local = addrPort(h.c.RemoteAddr()), addrPort(h.c.LocalAddr())
	}
	if !ok {
		return true
	}
	state := t.ConnectionState()
	h.info.TLS = true
	if h.info.ServerName == "" {
		h.info.ServerName = strings.ToLower(state.ServerName)
	}
	switch state.NegotiatedProtocol {
	case "", "http/1.1":
		return true
	case "h2":
		h.handOver()
	}
	return false // another protocol ends with its handshake (acme-tls/1, RFC 8737)
}

// addrPort is zero for what has no port: a unix socket, a pipe.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// h1Brief is how long a connection waits for another request with its read buffer at hand. After that it waits with a
// single byte.
const h1Brief = time.Second

// h1Awaited is how a wait for a request has ended.
type h1Awaited uint8

const (
	h1Over   h1Awaited = iota // none comes
	h1Begun                   // its first byte is there
	h1Parked                  // the event loop waits for it
)

// await waits for the first byte of a request.
func (h *h1Conn) await(first bool) h1Awaited {
	from := h1Idle
	if first {
		from = h1New
	}
	if h.in.buffered() == 0 {
		h.read.phase = h1ReadRaw
		if h.loop != nil {
			if h.park(first) {
				return h1Parked
			}
			if h.in.fill() != nil {
				return h1Over
			}
		} else if h.goHome() {
			return h1Parked
		} else if !h.awaitHere(first) {
			return h1Over
		}
	}
	h.read.phase, h.read.headBy = h1ReadHead, time.Time{}
	if first {
		h.read.headBy = h.opened.Add(h.cfg.HeadTimeout)
	}
	if !h.state.CompareAndSwap(from, h1Busy) {
		return h1Over
	}
	return h1Begun
}

// awaitHere waits in the connection's own goroutine; false when nothing comes.
func (h *h1Conn) awaitHere(first bool) bool {
	now := time.Now()
	until, brief := now.Add(h.cfg.KeepAlive), h1Brief
	if first {
		until = h.opened.Add(h.cfg.HeadTimeout)
	}
	if brief = min(brief, until.Sub(now)); brief <= 0 {
		return false
	}
	if !first {
		h.waiting.begin(h1WaitIdle, now)
	}
	h.boundRead(now, brief)
	err := h.in.fill()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		h.in.release()
		h.setReadDeadline(until)
		if h.srv.closing.Load() {
			h.hurry()
		}
		var n int
		if n, err = h.c.Read(h.one[:]); n > 0 {
			h.in.unread(h.one[0])
			err = nil
		}
	}
	return err == nil
}

// readRequest reads a head and prepares the exchange.
func (h *h1Conn) readRequest() error {
	cfg := h.cfg
	head, _, err := h.in.head(h1HeadRules{max: cfg.MaxHeadBytes, skip: true, first: judgeRequestLine})
	if err != nil {
		return err
	}
	if err := h.ex.req.parse(string(head), h.scheme, cfg.MaxFields); err != nil {
		return err
	}
	if h.ex.req.framing != h1NoBody || h.ex.req.Upgrade != "" {
		h.leaveLoop() // others than this goroutine will use the connection
	}
	h.waiting.end()
	h.beginBody()
	h.sendPace = h1Pace{}
	h.ex.begin()
	return nil
}

// refuse answers a request that could not be read.
func (h *h1Conn) refuse(err error) {
	var malformed *MalformedError
	switch {
	case errors.As(err, &malformed):
	case errors.Is(err, os.ErrDeadlineExceeded) && h.in.buffered() > 0:
		malformed = errHeadSlow
	default:
		return
	}
	fields := h.cfg.Unread(&h.info, flow.HTTP11, malformed)
	if malformed.Status == 0 {
		return
	}
	b := appendStatusLine(h.borrowOut(), malformed.Status)
	b = append(b, h.srv.date()...)
	b, ok := appendFields(b, fields)
	if !ok {
		return
	}
	h.head = append(b, "Content-Length: 0\r\nConnection: close\r\n\r\n"...)
	if h.flush() == nil {
		h.linger()
	}
}

// serveOne lets the handler answer the request; false when the connection cannot carry another.
func (h *h1Conn) serveOne() bool {
	x := &h.ex
	h.in.release()
	h.call()
	if !x.ended && !x.aborted {
		x.Abort()
	}
	if x.ctx != nil {
		x.ctx.end()
	}
	h.comeBack()
	h.returnOut()
	clean := true
	if x.body != nil {
		clean = x.body.finish(x.keep && !x.aborted && h.writeErr == nil)
	}
	if x.aborted || x.upgraded || h.writeErr != nil {
		return false
	}
	if clean && x.keep {
		x.forget()
		return true
	}
	if !clean || h.in.buffered() > 0 {
		h.linger()
	}
	return false
}

// call calls the handler and survives its panic.
func (h *h1Conn) call() {
	defer func() {
		if p := recover(); p != nil {
			h.ex.Abort()
			h.srv.log(&h.info, fmt.Errorf("panic while serving a request: %v\n%s", p, debug.Stack()))
		}
	}()
	h.cfg.Handle(&h.ex)
}

// h1ReadPhase says what a read is for.
type h1ReadPhase uint8

const (
	h1ReadRaw  h1ReadPhase = iota // the bound is set already
	h1ReadHead                    // the head: one bound for the whole
	h1ReadBody                    // the body: a minimal rate
)

// h1ReadBounds bounds the reads of a connection.
type h1ReadBounds struct {
	phase  h1ReadPhase
	headBy time.Time // when the head must be complete; zero until that is decided
	pace   h1Pace

	mu   sync.Mutex // guards the following
	by   time.Time  // the read deadline in force, zero for unknown
	user time.Time  // the deadline that the serving function asked for
	stop bool       // the exchange is over: the body's reader must leave
}
