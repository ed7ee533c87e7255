package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"stormdoor/flow"
)

// Windows in bytes. A stream's window doubles each time that its reader has emptied four of them, waiting for the
// client; the connection's grows with it; neither grows while the door is hot.
const (
	h2ConnWindow    = 72 << 10 // one body that nobody reads leaves place for others
	h2ConnWindowMax = 1 << 20
	h2BodyWindowMax = 512 << 10
)

// h2ChunkSizes are the sizes of the pieces in which bodies are kept. A piece is the largest one that is filled, and for a
// small rest the smallest one that fits, so that a body takes at most half a KiB more than its bytes.
var h2ChunkSizes = [...]int{256, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10}

// Errors of bodies and answers. Those that wrap os.ErrDeadlineExceeded blame the visitor's slowness.
var (
	errH2Over  = errors.New("the exchange is over")
	errH2Reset = errors.New("the visitor took the request back")
	errH2Wrong = errors.New("the visitor broke the protocol on this request")
	errH2Slow  = fmt.Errorf("the visitor is slower than the minimum rate: %w", os.ErrDeadlineExceeded)
	errH2Late  = fmt.Errorf("the deadline of the exchange has passed: %w", os.ErrDeadlineExceeded)
)

// h2ChunkFilled is the size above which a piece is taken only when it will be filled.
const h2ChunkFilled = 1 << 10

type h2Chunk struct {
	b     []byte // len is what has been written
	r     int
	class int
	next  *h2Chunk
}

// chunk returns a piece for the beginning of want bytes. mu is held.
func (c *h2Conn) chunk(want int) *h2Chunk {
	class := len(h2ChunkSizes) - 1
	for class > 0 && (h2ChunkSizes[class] > want && h2ChunkSizes[class] > h2ChunkFilled || h2ChunkSizes[class-1] >= want) {
		class--
	}
	c.bodies += h2ChunkSizes[class]
	if k, ok := c.srv.chunks[class].Get().(*h2Chunk); ok {
		return k
	}
	return &h2Chunk{b: make([]byte, 0, h2ChunkSizes[class]), class: class}
}

// recycle gives a piece back. mu is held.
func (c *h2Conn) recycle(k *h2Chunk) {
	c.bodies -= h2ChunkSizes[k.class]
	k.b, k.r, k.next = k.b[:0], 0, nil
	c.srv.chunks[k.class].Put(k)
}

// h2Body is the body of a request. It outlives its stream, because an upstream may still be reading: it is never
// pooled, and c.mu guards all of it.
type h2Body struct {
	c          *h2Conn
	s          *h2Stream // nil when the exchange is over
	head, tail *h2Chunk
	n          int   // bytes buffered
	err        error // after the last byte; io.EOF at the end
	wake       chan struct{}
	timer      *time.Timer
	by         time.Time
	rate       h2Rate
	stuck      h2Stuck
	expects    bool // 100 Continue is still to be sent
	patient    bool // the minimum rate does not apply

	window, recv, credit int64 // its size, what the client may still send, what has been read since the last update
	drained              int64 // read since the window last grew
}

// newH2Body returns a body for s. gRPC clients keep a stream open without sending anything.
func newH2Body(s *h2Stream, expects bool) *h2Body {
	return &h2Body{
		c: s.c, s: s, wake: make(chan struct{}, 1), expects: expects,
		patient: s.req.Upgrade != "" || h2IsGRPC(s.req.Header), window: h2WindowStart, recv: h2WindowStart,
	}
}

func h2IsGRPC(h flow.Header) bool {
	v := h.Get("content-type")
	is := func(begin string) bool { return len(v) >= len(begin) && flow.EqualFold(v[:len(begin)], begin) }
	return is("application/grpc") || is("application/connect+")
}

// Read is safe to call at any time, also when the exchange is over, by one goroutine at a time.
func (b *h2Body) Read(p []byte) (int, error) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	for {
		if b.n > 0 || len(p) == 0 {
			n := b.take(p)
			b.rate.moved += int64(n)
			b.c.consumed(b, n)
			return n, nil
		}
		if b.err != nil {
			return 0, b.err
		}
		if err := b.await(); err != nil {
			return 0, err
		}
	}
}

// await waits for bytes. c.mu is held.
func (b *h2Body) await() error {
	c := b.c
	if b.expects {
		b.expects = false
		if !b.s.responded {
			c.putHead(b.s.id, 100, flow.Header{}, -1, false)
		}
	}
	start, limit := c.cfg.Now(), time.Duration(-1)
	if !b.by.IsZero() {
		if limit = b.by.Sub(start); limit <= 0 {
			return errH2Late
		}
	}
	timed := c.cfg.MinRate > 0 && !b.patient && (!b.s.responded || b.s.announced >= 0)
	if timed && (limit < 0 || limit > b.rate.left()) {
		limit = b.rate.left()
	}
	c.hungry++
	defer func() { c.hungry-- }()
	if !timed {
		c.park(b.wake, &b.timer, limit, nil)
		return nil
	}
	c.park(b.wake, &b.timer, c.waits(&b.stuck, start, limit), nil)
	now := c.cfg.Now()
	tooMany := c.waited(&b.stuck, now)
	if b.err == nil && (b.rate.waited(now.Sub(start), c.cfg.MinRate) || tooMany) {
		c.giveUp(b.s, &b.stuck, now)
		return errH2Slow
	}
	return nil
}

// take moves bytes to p.
func (b *h2Body) take(p []byte) (n int) {
	for n < len(p) && b.head != nil {
		k := b.head
		m := copy(p[n:], k.b[k.r:])
		n += m
		if k.r += m; k.r == len(k.b) {
			b.head = k.next
			b.c.recycle(k)
		}
	}
	if b.head == nil {
		b.tail = nil
	}
	b.n -= n
	return n
}

// push appends what came. c.mu is held.
func (b *h2Body) push(p []byte) {
	b.n += len(p)
	for len(p) > 0 {
		if b.tail == nil || len(b.tail.b) == cap(b.tail.b) {
			k := b.c.chunk(len(p))
			if b.tail == nil {
				b.head = k
			} else {
				b.tail.next = k
			}
			b.tail = k
		}
		k := b.tail
		m := min(len(p), cap(k.b)-len(k.b))
		k.b = append(k.b, p[:m]...)
		p = p[m:]
	}
	h2Poke(b.wake)
}

// finish sets what comes after the last byte. c.mu is held.
func (b *h2Body) finish(err error) {
	if b.err == nil {
		b.err = err
	}
	h2Poke(b.wake)
}

// give drops what nobody will read, and gives the connection its credit. c.mu is held.
func (b *h2Body) give(err error) {
	if b.s == nil {
		return
	}
	n := b.n
	for b.head != nil {
		k := b.head
		b.head = k.next
		b.c.recycle(k)
	}
	b.tail, b.n, b.s = nil, 0, nil
	if b.err == nil || n > 0 || b.err == io.EOF && err == errH2Over {
		b.err = err
	}
	b.c.returned(int64(n))
	h2Poke(b.wake)
}

// consumed takes note of n bytes that the reader of b has taken. mu is held.
func (c *h2Conn) consumed(b *h2Body, n int) {
	if n == 0 || b.s == nil {
		return
	}
	c.returned(int64(n))
	if b.err != nil {
		return
	}
	b.credit += int64(n)
	if b.n == 0 {
		b.drained += int64(n)
	}
	if b.drained >= 4*b.window && b.window < h2BodyWindowMax && !c.cfg.Hot() {
		more := b.window
		b.window, b.credit, b.drained = b.window+more, b.credit+more, 0
		if c.recvSize+more <= h2ConnWindowMax {
			c.recvSize += more
			c.credit += more
		}
	}
	if b.credit >= b.window/2 {
		c.putUpdate(b.s.id, b.credit)
		b.recv += b.credit
		b.credit = 0
		c.kick()
	}
}

// returned gives the connection's window n bytes back. mu is held.
func (c *h2Conn) returned(n int64) {
	if c.credit += n; c.credit >= c.recvSize/2 && c.err == nil {
		c.putUpdate(0, c.credit)
		c.recv += c.credit
		c.credit = 0
		c.kick()
	}
}

// h2Rate measures a minimum rate over the time that was spent waiting.
type h2Rate struct {
	waiting time.Duration
	moved   int64
}

// left is how long a wait may last before the rate is looked at.
func (r *h2Rate) left() time.Duration { return h2Patience - r.waiting }

// waited adds a wait and reports whether less than rate bytes a second have moved over h2Patience.
func (r *h2Rate) waited(d time.Duration, rate int) (slow bool) {
	if r.waiting += d; r.waiting < h2Patience {
		return false
	}
	slow = r.moved < int64(rate)*int64(h2Patience/time.Second)
	*r = h2Rate{}
	return slow
}
