package wire

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
)

// What may still come of a request's body when its answer is complete, and for how long, if the connection is to go on.
const (
	h1DrainBytes = 64 << 10
	h1DrainTime  = time.Second
)

// h1ReqBody is the body of one request. It has memory of its own, unlike the exchange: somebody may still read it when
// the connection has gone on to the next request.
type h1ReqBody struct {
	x   *h1Exchange // another's when over
	ctx *exchangeContext
	// over is set when the exchange is.
	over atomic.Bool

	mu     sync.Mutex // held while the body is read
	framed h1Framed
}

func newH1ReqBody(x *h1Exchange) *h1ReqBody {
	b := &h1ReqBody{x: x, ctx: x.ctx}
	cfg := x.conn.cfg
	b.framed.reset(&x.conn.in, x.req.framing, x.req.Length, cfg.MaxHeadBytes, cfg.MaxFields)
	return b
}

// Read implements io.Reader.
func (b *h1ReqBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over.Load() {
		return 0, errOver
	}
	if b.framed.err == nil {
		b.x.conn.pauseLookOut()
		if err := b.x.sendContinue(); err != nil {
			return 0, err
		}
	}
	n, err := b.framed.Read(p)
	switch e := b.framed.err; {
	case e == nil || e == io.EOF:
	case errors.Is(e, os.ErrDeadlineExceeded) && !errors.Is(e, ErrSlow):
		b.framed.err = nil // the caller's bound, or the end of the exchange: what has come is not lost
		if n > 0 {
			return n, nil
		}
		err = e
	case !errors.Is(e, ErrSlow) && !errors.As(e, new(*MalformedError)):
		b.ctx.end() // the visitor has left
	}
	return n, err
}

// Buffered is how many bytes Read gives without waiting for the visitor.
func (b *h1ReqBody) Buffered() int {
	if !b.mu.TryLock() {
		return 0
	}
	defer b.mu.Unlock()
	if b.over.Load() {
		return 0
	}
	return int(b.framed.ready())
}

func (b *h1ReqBody) trailer() flow.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.framed.err != io.EOF {
		return flow.Header{}
	}
	return b.framed.trailer
}

// tooMuchLeft reports whether it is certain that the rest is not worth waiting for.
func (b *h1ReqBody) tooMuchLeft() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	f := &b.framed
	return f.err != nil && f.err != io.EOF || f.framing == h1Sized && f.left > h1DrainBytes
}

// finish ends the exchange's hold on the body: whoever reads it gets an error from now on. Then it waits a moment for a
// small rest; done is false when the connection cannot go on because of what is still to come.
func (b *h1ReqBody) finish(wait bool) (done bool) {
	b.over.Store(true)
	h := b.x.conn
	if !b.mu.TryLock() {
		h.stopBody()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	f := &b.framed
	if f.err == io.EOF {
		return true
	}
	if f.err != nil || !wait {
		return false
	}
	block := h.srv.blocks.get()
	defer h.srv.blocks.put(block)
	h.drainBody(time.Now().Add(h1DrainTime))
	for n := 0; n < h1DrainBytes; {
		k, err := f.Read(block[:])
		if err != nil {
			return err == io.EOF
		}
		n += k
	}
	return false
}
