package wire

import (
	"errors"
	"net"
	"os"
	"time"
)

// ErrSlow says that a visitor sent or took fewer bytes than the minimal rate for a whole window. errors.Is knows it as
// os.ErrDeadlineExceeded too.
var ErrSlow error = slowError{}

type slowError struct{}

func (slowError) Error() string        { return "the visitor moves fewer bytes than the minimal rate" }
func (slowError) Timeout() bool        { return true }
func (slowError) Temporary() bool      { return true }
func (slowError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// h1Window is the time over which the minimal rate is measured. Only the time that passes in reads and writes counts:
// a stream that has nothing to say is not slow.
const h1Window = 10 * time.Second

// h1Pace measures how fast bytes move.
type h1Pace struct {
	moved int64
	busy  time.Duration
}

// slow notes that n bytes took so long, and judges at the end of each window. rate is in bytes a second, negative for no
// bound.
func (p *h1Pace) slow(n int, took time.Duration, rate int) bool {
	p.moved += int64(n)
	p.busy += took
	if p.busy < h1Window || rate < 0 {
		return false
	}
	slow := float64(p.moved) < p.busy.Seconds()*float64(rate)
	*p = h1Pace{}
	return slow
}

// Read reads from the connection under the bounds of its phase.
func (h *h1Conn) Read(p []byte) (int, error) {
	switch h.read.phase {
	case h1ReadBody:
		return h.readBody(p)
	case h1ReadHead:
		if h.read.headBy.IsZero() {
			now := time.Now()
			h.read.headBy = now.Add(h.cfg.HeadTimeout)
			h.waiting.begin(h1WaitHead, now)
		}
		h.setReadDeadline(h.read.headBy)
	}
	return h.c.Read(p)
}

func (h *h1Conn) readBody(p []byte) (int, error) {
	for {
		start := time.Now()
		if !h.boundBody(start) {
			return 0, os.ErrDeadlineExceeded
		}
		h.waiting.begin(h1WaitBody, start)
		n, err := h.c.Read(p)
		h.waiting.end()
		now := time.Now()
		if h.read.pace.slow(n, now.Sub(start), h.cfg.MinRate) {
			return n, ErrSlow
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || h.bodyBoundPassed(now) {
			return n, err
		}
	}
}

// boundBody sets the deadline of a read that begins now; false when the exchange is over.
func (h *h1Conn) boundBody(now time.Time) bool {
	r := &h.read
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop {
		return false
	}
	var by time.Time
	if h.cfg.MinRate > 0 {
		if left := r.by.Sub(now); left >= h1Window && left <= h1Window*5/4 {
			by = r.by
		} else {
			by = now.Add(h1Window * 9 / 8)
		}
	}
	if !r.user.IsZero() && (by.IsZero() || r.user.Before(by)) {
		by = r.user
	}
	if by != r.by || by.IsZero() {
		r.by = by
		_ = h.c.SetReadDeadline(by) // it fails on a closed connection only, and so will the read
	}
	return true
}

// bodyBoundPassed reports whether a deadline was more than the end of a window.
func (h *h1Conn) bodyBoundPassed(now time.Time) bool {
	r := &h.read
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop || !r.user.IsZero() && !now.Before(r.user)
}

// beginBody prepares the bounds for the next request's body.
func (h *h1Conn) beginBody() {
	r := &h.read
	r.phase, r.pace = h1ReadBody, h1Pace{}
	r.mu.Lock()
	r.stop, r.user = false, time.Time{}
	r.mu.Unlock()
	h.userWriteBy = time.Time{}
}

func (h *h1Conn) setUserReadDeadline(t time.Time) error {
	r := &h.read
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop {
		return errOver
	}
	r.user, r.by = t, time.Time{}
	return h.c.SetReadDeadline(t)
}

// stopBody makes whoever reads the body leave.
func (h *h1Conn) stopBody() {
	h.read.mu.Lock()
	defer h.read.mu.Unlock()
	h.read.stop, h.read.by = true, time.Time{}
	_ = h.c.SetReadDeadline(longAgo)
}

// drainBody lets the connection's own goroutine read on until then.
func (h *h1Conn) drainBody(until time.Time) {
	r := &h.read
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop, r.user, r.by = false, until, time.Time{}
}

// boundRead makes reads end between d and a quarter more from now; most calls find the deadline in force will do.
func (h *h1Conn) boundRead(now time.Time, d time.Duration) {
	h.read.mu.Lock()
	left := h.read.by.Sub(now)
	h.read.mu.Unlock()
	if left < d || left > d+d/4 {
		h.setReadDeadline(now.Add(d + d/8))
	}
}

func (h *h1Conn) setReadDeadline(t time.Time) {
	h.read.mu.Lock()
	defer h.read.mu.Unlock()
	if h.read.by != t {
		h.read.by = t
		_ = h.c.SetReadDeadline(t) // it fails on a closed connection only, and so will the read
	}
}

// forgetReadDeadline is called when somebody else has moved the deadline.
func (h *h1Conn) forgetReadDeadline() {
	h.read.mu.Lock()
	h.read.by = time.Time{}
	h.read.mu.Unlock()
}

// hurry gives a connection that has not said anything a second to do so: the server shuts down.
func (h *h1Conn) hurry() {
	h.read.mu.Lock()
	defer h.read.mu.Unlock()
	if h.state.Load() == h1New {
		h.read.by = time.Now().Add(h1Brief)
		_ = h.c.SetReadDeadline(h.read.by)
	}
}

// borrowOut returns the buffer of what waits to be written.
func (h *h1Conn) borrowOut() []byte {
	if h.head == nil {
		h.outBlock = h.srv.blocks.get()
		h.head = h.outBlock[:0]
	}
	return h.head
}

// returnOut gives the buffer back, with what is in it.
func (h *h1Conn) returnOut() {
	if h.outBlock != nil {
		h.srv.blocks.put(h.outBlock)
	}
	h.head, h.outBlock = nil, nil
}

// roomFor returns the buffer with room for n bytes.
func (h *h1Conn) roomFor(n int) []byte {
	if b := h.borrowOut(); cap(b)-len(b) >= n {
		return b
	}
	_ = h.flush() // the error stays, and comes again with the next write
	return h.borrowOut()
}

// flush writes what waits.
func (h *h1Conn) flush() error {
	if len(h.head) == 0 {
		return h.writeErr
	}
	err := h.write(h.head)
	h.head = h.head[:0]
	return err
}

// send writes p behind what waits, or lets it wait too when there is room.
func (h *h1Conn) send(p []byte) error {
	if b := h.borrowOut(); len(b)+len(p) <= cap(b) {
		h.head = append(b, p...)
		return h.writeErr
	}
	return h.writeAll(p, nil)
}

// crlf is never changed.
var crlf = []byte("\r\n")

// sendChunk writes p as one chunk.
func (h *h1Conn) sendChunk(p []byte) error {
	var prefix [20]byte
	i := len(prefix) - 2
	prefix[i], prefix[i+1] = '\r', '\n'
	for n := len(p); n > 0; n >>= 4 {
		i--
		prefix[i] = "0123456789abcdef"[n&15]
	}
	b := append(h.roomFor(len(prefix)), prefix[i:]...)
	if len(b)+len(p)+2 <= cap(b) {
		h.head = append(append(b, p...), '\r', '\n')
		return h.writeErr
	}
	h.head = b
	if !h.tls {
		return h.writeAll(p, crlf)
	}
	if err := h.writeAll(p, nil); err != nil { // each write is a record
		return err
	}
	h.head = append(h.head, '\r', '\n')
	return nil
}

// writeAll writes what waits, p and q.
func (h *h1Conn) writeAll(p, q []byte) error {
	if h.tls {
		k := min(cap(h.head)-len(h.head), len(p))
		h.head, p = append(h.head, p[:k]...), p[k:]
		if err := h.flush(); err != nil {
			return err
		}
		return h.write(p)
	}
	h.vector = [3][]byte{h.head, p, q}
	h.buffers = h.vector[:]
	for len(h.buffers) > 0 && h.writeErr == nil {
		start := time.Now()
		h.boundWrite(start, h1Window)
		h.waiting.begin(h1WaitBody, start)
		var n int64
		var err error
		if w, ok := h.c.(interface {
			WriteBuffers(*net.Buffers) (int64, error)
		}); ok {
			n, err = w.WriteBuffers(&h.buffers)
		} else {
			n, err = h.buffers.WriteTo(h.c)
		}
		h.waiting.end()
		h.wrote(int(n), start, err)
	}
	h.vector, h.buffers = [3][]byte{}, nil
	h.head = h.head[:0]
	return h.writeErr
}

// h1Record is the largest piece that is written to a TLS connection at once.
const h1Record = 16 << 10

// write writes p. A TLS connection cannot go on after a write that timed out, so its bound grows with the piece.
func (h *h1Conn) write(p []byte) error {
	for len(p) > 0 && h.writeErr == nil {
		q, bound := p, h1Window
		if h.tls {
			q = q[:min(len(q), h1Record)]
			bound += time.Duration(len(q)) * time.Second / time.Duration(max(1, h.cfg.MinRate))
		}
		start := time.Now()
		h.boundWrite(start, bound)
		h.waiting.begin(h1WaitBody, start)
		n, err := h.c.Write(q)
		h.waiting.end()
		p = p[n:]
		h.wrote(n, start, err)
	}
	return h.writeErr
}

func (h *h1Conn) boundWrite(now time.Time, d time.Duration) {
	by := h.writeBy
	switch left := by.Sub(now); {
	case h.cfg.MinRate < 0:
		by = time.Time{}
	case left < d || left > d+d/4:
		by = now.Add(d + d/8)
	}
	if !h.userWriteBy.IsZero() && (by.IsZero() || h.userWriteBy.Before(by)) {
		by = h.userWriteBy
	}
	if by != h.writeBy {
		h.writeBy = by
		_ = h.c.SetWriteDeadline(by) // it fails on a closed connection only, and so will the write
	}
}

// wrote judges a write. An error stays: the visitor is gone.
func (h *h1Conn) wrote(n int, start time.Time, err error) {
	now := time.Now()
	slow := h.sendPace.slow(n, now.Sub(start), h.cfg.MinRate)
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	asked := !h.userWriteBy.IsZero() && !now.Before(h.userWriteBy)
	switch {
	case slow, timeout && h.tls && !asked:
		h.writeErr = ErrSlow
	case err == nil, timeout && !asked:
		return // the window has ended, and enough has moved in it
	default:
		h.writeErr = err
	}
	if h.ex.ctx != nil {
		h.ex.ctx.end()
	}
}
