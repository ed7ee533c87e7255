package origin

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/internal/gate/origin/admission"
	"stormdoor/internal/wire"
)

var errTooLarge = errors.New("the request's body is larger than allowed")

// visitorBody is the body of a request on its way to an origin: it counts, enforces the bound, and remembers whose fault
// an error is. The wire may read it after the forward is over, so it is never reused.
type visitorBody struct {
	pool    *Pool
	ex      wire.Exchange
	src     io.Reader
	length  int64 // as announced, -1 for not at all
	most    int64 // 0: no bound
	n       atomic.Int64
	started atomic.Bool
	sends   atomic.Bool // its visitor counts as one who is sending
	lent    atomic.Bool // the permit was lent once: from then on it comes back only at the body's end
	fault   atomic.Pointer[flow.Reason]
	trailed trailerKeeper
	ended   atomic.Int64 // nanoseconds from the pool's birth to the body's end, 0 before
	wait    waiting
	permit  *admission.Permit
}

func newVisitorBody(p *Pool, ex wire.Exchange, permit *admission.Permit) *visitorBody {
	return &visitorBody{permit: permit, pool: p, ex: ex, src: ex.Body(), length: ex.Request().Length, most: p.maxBody}
}

func (b *visitorBody) Read(p []byte) (int, error) {
	b.started.Store(true)
	if b.Buffered() == 0 && b.ended.Load() == 0 && !b.lent.Swap(true) {
		b.permit.Lend() // the visitor may take its time: that is not the origin's
	}
	n, err := b.src.Read(p)
	if total := b.n.Add(int64(n)); b.most > 0 && total > b.most {
		r := flow.RequestTooLarge
		b.fault.Store(&r)
		return 0, errTooLarge
	}
	if err == io.EOF || b.n.Load() == b.length {
		b.end()
	}
	switch {
	case err == io.EOF:
		b.trailed.keep(b.ex)
	case err != nil:
		r := VisitorReason(err)
		b.fault.CompareAndSwap(nil, &r)
	}
	return n, err
}

// end notes that the visitor has sent everything: from now on it is the origin that is waited for.
func (b *visitorBody) end() {
	if b.ended.CompareAndSwap(0, b.pool.age()) {
		b.sent()
		b.permit.Resume()
		b.wait.begin(b.pool)
	}
}

// sent notes that the visitor sends no more.
func (b *visitorBody) sent() {
	if b.sends.Swap(false) {
		b.pool.bodies.sending.Add(-1)
	}
}

// Buffered is how many bytes can be read without waiting, 0 when that is not known. The wire sends a body that is there
// already together with the head.
func (b *visitorBody) Buffered() int { return atHand(b.src) }

// atHand is how much of a body can be read without waiting, 0 when that is not known.
func atHand(body io.Reader) int {
	switch src := body.(type) {
	case interface{ Buffered() int }:
		return src.Buffered()
	case interface{ Len() int }:
		return src.Len()
	}
	return 0
}

// arrived reports whether the whole body of a request has come with its head.
func arrived(ex wire.Exchange) bool {
	n := ex.Request().Length
	return n == 0 || n > 0 && int64(atHand(ex.Body())) >= n
}

// touched reports whether anything of the body was asked for.
func (b *visitorBody) touched() bool { return b.started.Load() }

// blame is the reason why the body broke off, "" when it did not.
func (b *visitorBody) blame() flow.Reason {
	if r := b.fault.Load(); r != nil {
		return *r
	}
	return ""
}

// trailer is the trailer section, for the wire.
func (b *visitorBody) trailer() flow.Header { return b.trailed.get() }

// over ends the forward's part: the exchange is not touched from now on, only its body. It returns the bytes read.
func (b *visitorBody) over() int64 {
	b.trailed.close()
	return b.n.Load()
}

// VisitorReason says how a read from a visitor or a write to one failed.
func VisitorReason(err error) flow.Reason {
	var malformed *wire.MalformedError
	if errors.As(err, &malformed) {
		return flow.RequestMalformed
	}
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return flow.ClientSlow
	}
	return flow.ClientGone
}

// waiting is the time in which a forward waits for an origin that has the whole request. It begins once and ends once, whoever
// comes first. The zero value has not begun.
type waiting struct{ state atomic.Uint32 }

// The states of waiting.
const (
	waitingAhead = iota
	waitingNow
	waitingOver
)

func (w *waiting) begin(p *Pool) {
	if !w.state.CompareAndSwap(waitingAhead, waitingNow) {
		return
	}
	if n := p.waiting.Add(1); n > heatCrowd {
		p.crowd(int(n))
	}
}

func (w *waiting) end(p *Pool) {
	if w.state.Swap(waitingOver) == waitingNow {
		p.waiting.Add(-1)
	}
}

// trailerKeeper keeps the trailer section of a request's body. The wire may reach the end of a body after the forward is
// over, when the exchange is another request's already; so it is taken under a lock, as a copy, or not at all.
type trailerKeeper struct {
	mu     sync.Mutex
	closed bool
	h      flow.Header
}

func (k *trailerKeeper) keep(ex wire.Exchange) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	k.h.Reset()
	for f := range ex.Trailer().All() {
		// Some origins merge the trailer section into the head: a visitor must not say there what it may not say in
		// the head (RFC 9110, section 6.5.1).
		if classOf(f.Name) == endToEnd {
			k.h.Add(strings.Clone(f.Name), strings.Clone(f.Value))
		}
	}
}

func (k *trailerKeeper) get() flow.Header {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.h
}

func (k *trailerKeeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
}
