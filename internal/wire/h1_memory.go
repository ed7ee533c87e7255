package wire

import (
	"sync/atomic"
	"time"
)

// What a connection holds, in bytes, rounded up from what was measured (docs/decisions/0014-memory-ladder.md).
const (
	h1ConnCost    = 12 << 10 // between two requests: goroutine, connection, its place in the tables
	h1HandlerCost = 32 << 10 // more with a request: buffers, the deeper stack, the connection to an origin
)

// h1Wait is what a connection waits for its visitor for.
type h1Wait int64

const (
	h1WaitNone h1Wait = iota
	h1WaitIdle        // another request
	h1WaitHead        // the rest of a head
	h1WaitBody        // more of a body, or room for more of an answer
)

// h1Waiting is the wait that a connection is in, for the account of memory: a time in Unix nanoseconds with the kind in
// its two lowest bits.
type h1Waiting struct{ word atomic.Int64 }

func (w *h1Waiting) begin(kind h1Wait, now time.Time) { w.word.Store(now.UnixNano()&^3 | int64(kind)) }
func (w *h1Waiting) end()                             { w.word.Store(0) }

func (w *h1Waiting) load() (kind h1Wait, since time.Time) {
	n := w.word.Load()
	return h1Wait(n & 3), time.Unix(0, n&^3)
}

// holders implements memoryCrowd.
func (s *Server) holders(to []memoryHolder) []memoryHolder {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.conns {
		to = append(to, h)
	}
	return to
}

// stand implements memoryHolder.
func (h *h1Conn) stand() memoryStand {
	cfg := h.cfg
	kind, since := h.waiting.load()
	s := memoryStand{held: h1ConnCost + int(h.in.large.Load()), since: since}
	switch kind {
	case h1WaitIdle:
		s.limit, s.idle = cfg.KeepAlive, true
	case h1WaitHead:
		s.limit = cfg.HeadTimeout
	case h1WaitBody:
		s.limit = h1Window
	}
	if kind == h1WaitNone || kind == h1WaitBody {
		s.held += h1HandlerCost
	}
	return s
}

// relieve implements memoryHolder.
func (h *h1Conn) relieve(w memoryStand, _ bool) bool {
	if _, since := h.waiting.load(); !since.Equal(w.since) {
		return false
	}
	if !w.idle {
		h.reset()
		return true
	}
	if !h.state.CompareAndSwap(h1Idle, h1Closed) {
		return false
	}
	_ = h.c.Close()
	return true
}
