package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
)

// ServerConfig says how visitors are served. Only Handle has no default.
type ServerConfig struct {
	// Handle serves one request, in the connection's goroutine.
	Handle func(Exchange)
	// H2 serves a connection that speaks HTTP/2 and closes it: one that agreed on "h2" by ALPN, or begins with the
	// preface, which is still to be read. Shutdown and Close leave such connections to it. nil closes them.
	H2 func(net.Conn)
	// HeadTimeout bounds the TLS handshake and the first head together, and each later head from its first byte on; 0
	// stands for 10 s.
	HeadTimeout time.Duration
	// KeepAlive is how long a connection may wait between two requests; 0 stands for 60 s.
	KeepAlive time.Duration
	// MaxHeadBytes bounds a request's head, and its trailer section; 0 stands for 32 KiB.
	MaxHeadBytes int
	// MaxFields bounds the fields of each; 0 stands for 100.
	MaxFields int
	// MinRate is how many bytes a second must move, over 10 s, while a body is being read or an answer written; 0 stands
	// for 500, a negative number for no bound. A connection after a protocol switch is exempt.
	MinRate int
	// Memory is the account of what connections hold; nil for none.
	Memory *Memory
	// Unread is told of requests that Handle never sees; nil for nobody.
	Unread Unread
	// Log is told of panics, and of failures to accept a connection. The Conn is valid during the call. nil drops it.
	Log func(*Conn, error)
}

// Server serves HTTP/1.1 and HTTP/1.0. A request that can be read in two ways is answered with 400 and the connection
// closed.
type Server struct {
	cfg     ServerConfig                 // as it was made
	inForce atomic.Pointer[ServerConfig] // for new connections: see SetTimes
	blocks  h1Blocks
	dated   atomic.Pointer[h1Date]
	closing atomic.Bool

	mu        sync.Mutex // guards the following
	listeners map[net.Listener]struct{}
	conns     map[*h1Conn]struct{}
	empty     chan struct{} // closed when closing and no connection is left
	closed    bool
}

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("wire: the server is closed")

// NewServer returns a server that serves nobody yet.
func NewServer(cfg ServerConfig) *Server {
	number := func(n *int, def int) {
		if *n <= 0 {
			*n = def
		}
	}
	number(&cfg.MaxHeadBytes, 32<<10)
	number(&cfg.MaxFields, 100)
	cfg.setTimes(Times{cfg.HeadTimeout, cfg.KeepAlive, cfg.MinRate})
	if cfg.Unread == nil {
		cfg.Unread = func(*Conn, flow.Proto, *MalformedError) flow.Header { return flow.Header{} }
	}
	s := &Server{cfg: cfg, listeners: map[net.Listener]struct{}{}, conns: map[*h1Conn]struct{}{}, empty: make(chan struct{})}
	s.inForce.Store(&s.cfg)
	cfg.Memory.watch(s)
	return s
}

// Serve accepts connections until Shutdown or Close, and closes the listener. The error is never nil.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		_ = l.Close()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.checkEmpty()
		s.mu.Unlock()
		_ = l.Close()
	}()
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			s.adopt(c).start()
			continue
		}
		if s.closing.Load() {
			return ErrServerClosed
		}
		var n net.Error
		if !errors.As(err, &n) || !n.Timeout() && !isTemporary(n) {
			return err
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.log(&Conn{}, err)
		time.Sleep(pause)
	}
}

// isTemporary reports whether accepting may work again, as when there are no file descriptors left.
func isTemporary(err net.Error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// ServeConn serves one connection and closes it.
func (s *Server) ServeConn(c net.Conn) {
	h := newH1Conn(s, c)
	if !s.track(h) {
		_ = c.Close()
		return
	}
	h.serve()
}

// adopt counts an accepted connection in. Shutdown waits for it even when it came in while the listener was being closed:
// its visitor has been told that somebody is there.
func (s *Server) adopt(c net.Conn) *h1Conn {
	h := newH1Conn(s, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(h)
	if s.closing.Load() {
		h.hurry()
	}
	return h
}

func (s *Server) track(h *h1Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.enter(h)
	return true
}

// enter counts a connection in. The caller holds mu.
func (s *Server) enter(h *h1Conn) {
	s.conns[h] = struct{}{}
	s.cfg.Memory.add(h1ConnCost)
}

func (s *Server) untrack(h *h1Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[h]; ok {
		delete(s.conns, h)
		s.cfg.Memory.add(-h1ConnCost)
	}
	s.checkEmpty()
}

// checkEmpty tells Shutdown when it is done. The caller holds mu.
func (s *Server) checkEmpty() {
	if s.closing.Load() && len(s.conns) == 0 && len(s.listeners) == 0 && !s.closed {
		s.closed = true
		close(s.empty)
	}
}

// h1Farewell is how long an idle connection may still send a request when the server shuts down: the answer says that it is
// the last one. Who is in the middle of asking would find the connection closed otherwise.
const h1Farewell = 250 * time.Millisecond

// Shutdown takes no new connections, closes idle ones after a moment, and waits for the others: each is closed after the
// answer that it is busy with. When ctx ends first its error is returned, and Close is the caller's next step.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stop()
	for h := range s.conns {
		h.hurry()
	}
	s.mu.Unlock()
	farewell := time.NewTimer(h1Farewell)
	defer farewell.Stop()
	for {
		select {
		case <-s.empty:
			return nil
		case <-farewell.C:
			s.closeIdle()
		case <-ctx.Done():
			s.closeIdle()
			return ctx.Err()
		}
	}
}

func (s *Server) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.conns {
		if h.state.CompareAndSwap(h1Idle, h1Closed) {
			_ = h.c.Close()
		}
	}
}

// Close closes all connections at once. Handlers notice by their next read or write.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	for h := range s.conns {
		h.reset()
	}
}

// stop closes the listeners. The caller holds mu.
func (s *Server) stop() {
	s.closing.Store(true)
	for l := range s.listeners {
		_ = l.Close()
	}
	s.checkEmpty()
}

func (s *Server) log(c *Conn, err error) {
	if s.cfg.Log != nil {
		s.cfg.Log(c, err)
	}
}

// h1Date is a Date field, good for one second.
type h1Date struct {
	second int64
	field  string
}

// date returns the Date field line.
func (s *Server) date() string {
	now := time.Now()
	if d := s.dated.Load(); d != nil && d.second == now.Unix() {
		return d.field
	}
	d := &h1Date{now.Unix(), "Date: " + now.UTC().Format(http.TimeFormat) + "\r\n"}
	s.dated.Store(d)
	return d.field
}
