package wire

import (
	"time"

	"stormdoor/internal/reactor"
)

// looped is a connection that may be on an event loop; Loop is nil when it is not.
type looped interface {
	Loop() *reactor.Conn
}

// pending is a connection that may have read more than it has given: what came in one piece with a PROXY header.
type pending interface {
	Pending() bool
}

// start lets the connection be served.
func (h *h1Conn) start() {
	if h.loop == nil {
		go h.serve()
		return
	}
	h.loop.Start(h.serve, h.hungUp)
}

// park leaves the connection to its event loop until something comes; false when it has come already, or the time is over
// for which the loop has waited: only reading tells which.
func (h *h1Conn) park(first bool) bool {
	if h.parked {
		h.parked = false
		return false
	}
	if first {
		h.setReadDeadline(h.opened.Add(h.cfg.HeadTimeout))
	} else {
		now := time.Now()
		h.waiting.begin(h1WaitIdle, now)
		h.boundRead(now, h.cfg.KeepAlive)
	}
	if p, ok := h.c.(pending); ok && p.Pending() || h.loop.Readable() {
		return false
	}
	h.in.release()
	h.parked = true
	h.loop.Park(h.goOn)
	return true
}

// h1Settled is how many requests in a row must not have needed a goroutine before a connection goes back to its event loop:
// leaving and coming back cost several system calls, and the loop may have to open a connection of its own to the origin.
const h1Settled = 8

// goHome takes a connection that has left its event loop back to it, between two requests; false when it stays. When it is
// true, the connection is the loop's already.
func (h *h1Conn) goHome() bool {
	if h.home == nil || h.settled < h1Settled || h.state.Load() != h1Idle {
		return false
	}
	h.in.release()
	h.setLoop(h.home)
	if h.home.Return(h.goOn) {
		return true
	}
	h.setLoop(nil)
	return false
}

func (h *h1Conn) setLoop(l *reactor.Conn) {
	h.look.mu.Lock()
	h.loop = l
	h.look.mu.Unlock()
}

// leaveLoop takes the connection off its event loop: for the rest of the exchange this goroutine may block, and others may
// use the connection.
func (h *h1Conn) leaveLoop() {
	h.strayed.Store(true)
	if h.loop == nil {
		return
	}
	h.loop.Task().Leave()
	l := &h.look
	l.mu.Lock()
	defer l.mu.Unlock()
	h.loop = nil
	if l.wanted.Load() {
		l.arm(h)
	}
}

// hungUp is the event loop's word that the visitor sends nothing more while nobody reads. Some close their half and still
// want the answer, so that an exchange goes on for a moment.
func (h *h1Conn) hungUp() {
	l := &h.look
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted.Load() {
		l.arm(h)
	}
}

// task is the task that serves the connection, nil for a goroutine.
func (h *h1Conn) task() *reactor.Task {
	if h.loop == nil {
		return nil
	}
	return h.loop.Task()
}
