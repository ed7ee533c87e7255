package wire

import (
	"context"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/reactor"
)

// H2Config says how an H2Server serves. Every zero value but Handle's is useful.
type H2Config struct {
	// Handle serves one exchange, as Exchange says: in a goroutine of its own, or on one of Loops. A panic in it is not
	// caught.
	// What it does not clone of the Request is overwritten when it has returned.
	Handle func(Exchange)
	// MaxStreams bounds the requests of a connection whose Handle has not returned, those that the client has taken back
	// included: resetting streams buys no more work. Default 100.
	MaxStreams int
	// MaxHeaderBytes bounds a header section in bytes, 32 for each field included; beyond it the answer is 431. Default
	// 32 KiB. A header section of more than a quarter above that on the wire ends the connection.
	MaxHeaderBytes int
	// MaxFields bounds the fields of a header section; beyond it the answer is 431. Default 100. A header section of more
	// than ten times that ends the connection.
	MaxFields int
	// Head bounds the time for the client's preface and settings, and for a header section or any other frame but
	// DATA to come whole. Default 10s.
	Head time.Duration
	// KeepAlive closes a connection without requests for this long, and asks one that is silent during requests whether it
	// still lives (PING); it has Head to answer. Default 75s.
	KeepAlive time.Duration
	// MinRate is the slowest body in bytes per second that a client may send or take, over 10 s of waiting for nobody but
	// the client. Default 240, negative for none. Waiting for a request body of unknown length
	// counts only before the answer begins; bodies of gRPC and WebSockets may be silent.
	MinRate int
	// Budget is how many points of legal but abusive events a connection may collect; they drain by a twentieth a second.
	// At three quarters it gets GOAWAY (ENHANCE_YOUR_CALM) and no new request is served; beyond the whole it is closed
	// when Hot says so, beyond twice the budget in any case. Default 1000. For the weights see h2_calm.go.
	Budget int
	// Unread is told of requests that Handle never sees because they could not be read; nil for nobody. Streams that are
	// refused because of the connection's bounds are not among them: the client may try them again.
	Unread Unread
	// Loops are the event loops for handlers; nil for none. They end after the server.
	Loops *reactor.Group
	// Memory is the account of what connections hold; nil for none.
	Memory *Memory
	// Hot reports whether the door is short of CPU or memory. Nil means never. It must not block.
	Hot func() bool
	// Abused is told once when a connection gets GOAWAY for its events, and once when it is closed for them. It must not
	// block. Nil for nobody.
	Abused func(c *Conn, closed bool)
	// Now is the clock, for deadlines of connections too. Default time.Now.
	Now func() time.Time
}

func (c *H2Config) fill() {
	def := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&c.MaxStreams, 100)
	def(&c.MaxHeaderBytes, 32<<10)
	def(&c.MaxFields, 100)
	def(&c.Budget, 1000)
	c.setTimes(Times{c.Head, c.KeepAlive, c.MinRate})
	if c.Hot == nil {
		c.Hot = func() bool { return false }
	}
	if c.Unread == nil {
		c.Unread = func(*Conn, flow.Proto, *MalformedError) flow.Header { return flow.Header{} }
	}
	if c.Abused == nil {
		c.Abused = func(*Conn, bool) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// H2Server serves HTTP/2 (RFC 9113) on connections that it is handed. It keeps one goroutine for each connection, one
// for each request, and one while there is something to write.
//
// What one connection can make it hold, the handlers with what they hold included, is bounded by 256 KiB until the client
// has shown that it takes its answers: requests that would be more wait, or are refused in such a way that the client may
// try them again. For each answer that it has taken, and while nothing waits for the client, another handler may run, up
// to MaxStreams; where nothing moves on the connection for two seconds, those beyond the first are given up. All connections
// together have at most 1,024 handlers for having waited. Windows for bodies grow only after a body has been read as fast as
// it came. See h2_hold.go.
type H2Server struct {
	cfg     H2Config                 // as it was made
	inForce atomic.Pointer[H2Config] // for new connections: see SetTimes
	seed    maphash.Seed
	lent    atomic.Int64 // handlers on loan: see h2Ramp

	mu       sync.Mutex
	conns    map[*h2Conn]struct{}
	draining bool
	idle     chan struct{} // closed when draining and no connection is left

	streams sync.Pool // of *h2Stream
	inputs  sync.Pool // of *h2Buffer for reading
	outputs sync.Pool // of *h2Buffer for writing
	// firstOutputs are those of clients that have not shown yet that they take their answers.
	firstOutputs sync.Pool
	chunks       [len(h2ChunkSizes)]sync.Pool
}

// NewH2Server returns a server. cfg.Handle must be set.
func NewH2Server(cfg H2Config) *H2Server {
	cfg.fill()
	s := &H2Server{cfg: cfg, seed: maphash.MakeSeed(), conns: make(map[*h2Conn]struct{}), idle: make(chan struct{})}
	s.inForce.Store(&s.cfg)
	cfg.Memory.watch(s)
	return s
}

// ServeConn serves c until it ends, and returns when the last of its requests has been served. TLS and ALPN are done,
// the client's preface is still to come. It closes c. When ctx ends, the connection is closed at once; its values are
// those of Exchange.Context.
func (s *H2Server) ServeConn(ctx context.Context, c net.Conn) {
	conn := newH2Conn(s, ctx, c)
	if !s.enter(conn) {
		_ = c.Close()
		return
	}
	defer s.leave(conn)
	stop := context.AfterFunc(ctx, conn.abort)
	defer stop()
	conn.serve()
	conn.giveBack()
}

func (s *H2Server) enter(c *h2Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.conns[c] = struct{}{}
	s.cfg.Memory.add(h2ConnCost)
	return true
}

func (s *H2Server) leave(c *h2Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.cfg.Memory.add(-h2ConnCost)
	if s.draining && len(s.conns) == 0 {
		close(s.idle)
	}
}

// drain takes no new connection and returns those that there are.
func (s *H2Server) drain() []*h2Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining = true
		if len(s.conns) == 0 {
			close(s.idle)
		}
	}
	conns := make([]*h2Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// Shutdown sends GOAWAY on every connection, lets the requests under way end, and returns when all connections are
// closed. When ctx ends first it closes them and returns ctx's error without waiting for handlers.
func (s *H2Server) Shutdown(ctx context.Context) error {
	for _, c := range s.drain() {
		c.retire()
	}
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		s.Close()
		return ctx.Err()
	}
}

// Close closes every connection at once. It does not wait for handlers.
func (s *H2Server) Close() {
	for _, c := range s.drain() {
		c.abort()
	}
}

// h2Info is what is known of c; never nil.
func h2Info(c net.Conn) *Conn {
	if info := infoOf(c); info != nil {
		return info
	}
	addr := func(a net.Addr) netip.AddrPort {
		if t, ok := a.(*net.TCPAddr); ok {
			p := t.AddrPort()
			return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
		}
		return netip.AddrPort{}
	}
	_, encrypted := c.(interface{ NetConn() net.Conn })
	return &Conn{Peer: addr(c.RemoteAddr()), Local: addr(c.LocalAddr()), TLS: encrypted}
}
