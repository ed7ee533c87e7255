package wire

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// h1LookOut is how long an exchange lasts before its connection looks whether the visitor is still there. Most are over
// by then, and have cost nothing but a timer.
const h1LookOut = 150 * time.Millisecond

// h1Lookout waits for the visitor to leave while nobody reads from the connection: a read that is not expected to return,
// in a goroutine of its own.
type h1Lookout struct {
	wanted atomic.Bool // the exchange is going on, and somebody waits on its context

	mu      sync.Mutex // guards the following
	timer   *time.Timer
	reading chan struct{} // closed when the read has returned; nil when there is none
	// one holds the byte that came, if got. Both belong to the reading goroutine until reading is closed.
	one [1]byte
	got bool
}

// lookOut is called when somebody waits on the context of the current exchange.
func (h *h1Conn) lookOut() {
	l := &h.look
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.wanted.Swap(true) && (h.loop == nil || h.loop.HungUp()) {
		l.arm(h)
	}
}

// arm starts the timer. The caller holds mu.
func (l *h1Lookout) arm(h *h1Conn) {
	if l.timer == nil {
		l.timer = time.AfterFunc(h1LookOut, h.lookOutNow)
	} else {
		l.timer.Reset(h1LookOut)
	}
}

func (h *h1Conn) lookOutNow() {
	l := &h.look
	l.mu.Lock()
	if l.wanted.Load() && h.loop != nil { // the loop has said that the visitor is gone
		ctx := h.ex.ctx
		l.mu.Unlock()
		ctx.end()
		return
	}
	defer l.mu.Unlock()
	if !l.wanted.Load() || l.reading != nil {
		return
	}
	if b := h.ex.body; b != nil {
		if !b.mu.TryLock() { // whoever reads the body will notice himself
			l.arm(h)
			return
		}
		defer b.mu.Unlock()
	}
	l.reading = make(chan struct{})
	_ = h.c.SetReadDeadline(time.Time{})
	go h.lookOutRead(h.ex.ctx, l.reading)
}

func (h *h1Conn) lookOutRead(ctx *exchangeContext, done chan struct{}) {
	n, err := h.c.Read(h.look.one[:])
	h.look.got = n > 0
	close(done)
	if n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
		ctx.end()
	}
}

// comeBack ends the look-out for good, at the end of an exchange.
func (h *h1Conn) comeBack() {
	l := &h.look
	if !l.wanted.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wanted.Store(false)
	if l.timer != nil {
		l.timer.Stop()
	}
	l.stop(h)
}

// pauseLookOut ends the look-out while somebody reads the body.
func (h *h1Conn) pauseLookOut() {
	l := &h.look
	if !l.wanted.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading != nil {
		l.stop(h)
		l.arm(h)
	}
}

// stop waits for the read to return, and puts what it has read where it belongs. The caller holds mu.
func (l *h1Lookout) stop(h *h1Conn) {
	if l.reading == nil {
		return
	}
	_ = h.c.SetReadDeadline(longAgo)
	<-l.reading
	l.reading = nil
	h.forgetReadDeadline()
	if l.got {
		l.got = false
		h.in.unread(l.one[0])
	}
}
