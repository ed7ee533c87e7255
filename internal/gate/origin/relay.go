package origin

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// Sizes of the buffers that answers pass through. A stream that trickles, and one of which nobody knows yet whether its
// visitor takes it, is held in a small one, because there may be tens of thousands of them.
const (
	smallBuffer  = 4 << 10
	mediumBuffer = 16 << 10
	largeBuffer  = 64 << 10
)

// flowing is how much of an answer the visitor has to have taken before a large buffer is worth it, in bytes: more than the
// kernel keeps for one who takes nothing.
const flowing = 256 << 10

// buffers keeps buffers for reuse.
type buffers struct{ small, medium, large sync.Pool }

func (b *buffers) pool(size int) *sync.Pool {
	switch size {
	case smallBuffer:
		return &b.small
	case mediumBuffer:
		return &b.medium
	}
	return &b.large
}

// copyBuffer is a buffer whose size follows the stream: larger while reads fill it and the visitor takes them, small while
// they do not.
type copyBuffer struct {
	from   *buffers
	buf    *[]byte // nil for none
	passed int64   // bytes that have gone through
}

// take returns a buffer for a body of length bytes, -1 for unknown.
func (b *copyBuffer) take(length int64) []byte {
	if length > smallBuffer {
		return b.of(mediumBuffer)
	}
	return b.of(smallBuffer)
}

// next returns the buffer for the next read after one of n bytes, which the visitor has taken.
func (b *copyBuffer) next(n int) []byte {
	b.passed += int64(n)
	switch size := len(*b.buf); {
	case n < smallBuffer/2:
		return b.of(smallBuffer)
	case n == size && b.passed >= flowing:
		return b.of(largeBuffer)
	case n == size && size == smallBuffer:
		return b.of(mediumBuffer)
	}
	return *b.buf
}

// of returns a buffer of the size.
func (b *copyBuffer) of(size int) []byte {
	if b.buf != nil && len(*b.buf) == size {
		return *b.buf
	}
	b.put()
	if b.buf, _ = b.from.pool(size).Get().(*[]byte); b.buf == nil {
		fresh := make([]byte, size)
		b.buf = &fresh
	}
	return *b.buf
}

// put gives the buffer back.
func (b *copyBuffer) put() {
	if b.buf != nil {
		b.from.pool(len(*b.buf)).Put(b.buf)
		b.buf = nil
	}
}

// relay sends an origin's answer to the visitor.
func (c *call) relay(resp *wire.Response) flow.Reason {
	defer resp.Body.Close()
	r := c.ex.Request()
	if resp.Status < 200 || resp.Status > 999 {
		c.o.Err = "origin " + c.o.Origin + ": a final answer cannot have the status " + strconv.Itoa(resp.Status)
		return flow.OriginBroken
	}
	if c.tunnel && resp.Status < 300 {
		c.o.Err = "origin " + c.o.Origin + ": it answers a request to switch protocols with " + strconv.Itoa(resp.Status) + ", which would look like a switch"
		return flow.OriginBroken
	}
	stripAnswer(&resp.Header, &c.nominated, r.Trailers)
	length := resp.Length
	if resp.Status == 204 {
		length = -1
	}
	c.o.Status, c.o.Err = resp.Status, ""
	if err := c.ex.Respond(resp.Status, resp.Header, length); err != nil {
		return c.breakOff(VisitorReason(err), err)
	}
	if r.Method == "HEAD" || resp.Status == 204 || resp.Status == 304 {
		return c.finishEmpty(resp, nil)
	}
	if resp.Length == 0 {
		return c.finishEmpty(resp, resp.Trailer)
	}
	if reason := c.stream(resp); reason != "" {
		return reason
	}
	return c.finish(resp.Trailer)
}

// finish completes the answer.
func (c *call) finish(trailer func() flow.Header) flow.Reason {
	var h flow.Header
	if trailer != nil {
		if h = trailer(); h.Len() > 0 {
			stripAnswer(&h, &c.nominated, false)
		}
	}
	if err := c.ex.End(h); err != nil {
		return c.breakOff(VisitorReason(err), err)
	}
	return ""
}

// breakOff aborts an exchange whose answer has begun.
func (c *call) breakOff(r flow.Reason, err error) flow.Reason {
	c.ex.Abort()
	c.o.Err = err.Error()
	return r
}

// buffered is a body that knows how many bytes it can give without waiting.
type buffered interface{ Buffered() int }

// stream copies the body. What came is passed on at once whenever the next read may wait; nothing is held back, and
// nothing is read before the visitor has taken what came before. A visitor who takes nothing for the idle time is given up
// here, an origin that sends nothing for it by the wire.
func (c *call) stream(resp *wire.Response) flow.Reason {
	if b, ok := resp.Body.(buffered); resp.Length < 0 && (!ok || b.Buffered() == 0) {
		// The body may take its time (server-sent events): the head must not wait for it.
		if err := c.ex.Flush(); err != nil {
			return c.breakOff(VisitorReason(err), err)
		}
	}
	bound := writeBound{}
	bound.roll(c)
	buffer := copyBuffer{from: &c.pool.buffers}
	defer buffer.put()
	buf, left := c.firstBuffer(&buffer, resp.Length), resp.Length
	for {
		n, rerr := resp.Body.Read(buf)
		if n > 0 {
			if left >= 0 {
				if left -= int64(n); left < 0 {
					return c.breakOff(flow.OriginBroken, fmt.Errorf("origin %s: the body is longer than announced", c.o.Origin))
				}
			}
			bound.roll(c)
			if err := c.pass(buf[:n], rerr == nil && n < len(buf) && left != 0); err != nil {
				return c.breakOff(VisitorReason(err), err)
			}
		}
		switch {
		case rerr == nil:
			buf = buffer.next(n)
		case rerr != io.EOF:
			return c.breakOff(c.blameBody(rerr), rerr)
		case left > 0:
			return c.breakOff(flow.OriginBroken, fmt.Errorf("origin %s: the body is shorter than announced", c.o.Origin))
		default:
			return ""
		}
	}
}

// firstBuffer returns the buffer for the first read. An HTTP/2 visitor can ask for a hundred answers and take none, so a
// larger one is for those who have taken a small one; elsewhere it would only cost a system call more.
func (c *call) firstBuffer(b *copyBuffer, length int64) []byte {
	if c.ex.Request().Proto == flow.HTTP2 {
		return b.take(-1)
	}
	return b.take(length)
}

// pass writes a part of the body.
func (c *call) pass(p []byte, flush bool) error {
	n, err := c.ex.Write(p)
	c.o.BytesOut += int64(n)
	if err != nil {
		return err
	}
	if flush {
		return c.ex.Flush()
	}
	return nil
}

// finishEmpty completes an answer without a body. The read takes note of the body's end, so that the connection can be
// kept; whatever it says, the answer is complete.
func (c *call) finishEmpty(resp *wire.Response, trailer func() flow.Header) flow.Reason {
	reason := c.finish(trailer)
	var none [1]byte
	_, _ = resp.Body.Read(none[:])
	return reason
}

// blameBody says whose fault it is that the body of an answer broke off.
func (c *call) blameBody(err error) flow.Reason {
	if c.body != nil {
		if r := c.body.blame(); r != "" {
			return r
		}
	}
	var e *wire.UpstreamError
	var t interface{ Timeout() bool }
	switch {
	case c.ex.Context().Err() != nil:
		return flow.ClientGone
	case errors.As(err, &e) && e.Fault == wire.FaultTimeout, errors.As(err, &t) && t.Timeout():
		return flow.OriginTimeout
	}
	return flow.OriginBroken
}

// writeBound bounds writes to the visitor by the idle time from the last progress. It is set anew only after an eighth of
// that time, because setting costs: the bound may be that much shorter.
type writeBound struct{ set time.Time }

func (b *writeBound) roll(c *call) {
	now := c.pool.now()
	if !b.set.IsZero() && now.Sub(b.set) < c.pool.idle/8 {
		return
	}
	b.set = now
	_ = c.ex.SetWriteDeadline(now.Add(c.pool.idle)) // an exchange without deadlines is bounded by its server
}
