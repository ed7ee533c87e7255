package origin

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// attemptsMost bounds how often one request is tried, the first time included.
const attemptsMost = 3

// call is one forward at work. Calls are reused; one whose round trip failed is not, because the wire may still hold it.
type call struct {
	pool *Pool
	ex   wire.Exchange
	o    *flow.Outcome
	out  wire.Request
	body *visitorBody // nil without a body

	nominated  nominations
	scratch    []byte
	candidates []candidate
	tried      uint64 // the members that could not be connected to, by index; those from 64 on are tried again
	seen       uint8
	settled    func() // of detach, for a request that asks for a switch of protocols
	tunnel     bool   // the visitor sent an extended CONNECT, the origin gets a GET
	key        string // of the WebSocket handshake that the door made up for a tunnel

	hooks   wire.Hooks
	wrote   atomic.Int64 // nanoseconds from the pool's birth to the first byte out, 0 before
	account account

	sends    bool      // the visitor counts as one who is sending a body
	gathered *gathered // nil when the body is streamed

	wait *waiting // with a body it is the body's, and outlives the call
	own  waiting
}

func newCall(p *Pool) *call {
	c := &call{pool: p}
	c.out.Header = flow.NewHeader(32)
	c.hooks = wire.Hooks{Inform: c.inform, Wrote: func() { c.wrote.Store(p.age()) }}
	return c
}

// Forward sends the request of ex to an origin and streams the answer back. It returns "" when the visitor has been
// answered completely. With any other reason either o.Status is 0: nothing was sent to the visitor, and the caller
// answers; or the exchange has been aborted. A request that was not admitted has a Verdict that says so. It fills Status, BytesIn, BytesOut, Origin, Attempts, OriginTime,
// OriginStatus, Upgraded, Priority, Level and Err of o, adds to Waited, whose Facts must be filled.
func (p *Pool) Forward(ex wire.Exchange, o *flow.Outcome) flow.Reason {
	r := ex.Request()
	if looped(r, p.token) {
		return p.looping(o)
	}
	if p.maxBody > 0 && r.Length > p.maxBody {
		o.Err = fmt.Sprintf("the request announces a body of %d bytes; %d are allowed", r.Length, p.maxBody)
		return flow.RequestTooLarge
	}
	if r.Method == "CONNECT" && !upgradable(r.Upgrade) {
		o.Err = "CONNECT asks for a tunnel to anywhere or to HTTP itself, which an origin server does not give"
		return flow.RequestMalformed
	}
	if asksForStream(r) && p.http2 == 1<<len(p.members)-1 {
		o.Err = "a WebSocket was asked for, and the door speaks HTTP/2 to " + p.addresses() + ": give it an origin by http:// or https://"
		return flow.RequestUpgrade
	}
	c := p.calls.Get().(*call)
	c.ex, c.o = ex, o
	reason, again := c.serve(r)
	if again {
		c.reset()
		p.calls.Put(c)
	}
	return reason
}

// serve is Forward of a request that may be forwarded once it is admitted. again says whether the call may be used for
// another one; what is deferred here is done by then.
func (c *call) serve(r *wire.Request) (reason flow.Reason, again bool) {
	defer c.scatter()
	if reason := c.gather(); reason != "" {
		return reason, true
	}
	if reason := c.admit(c.ex.Context()); reason != "" {
		return reason, true
	}
	c.pool.forwards.Add(1)
	return c.forward(r)
}

// forward is serve of a request that has its permit.
func (c *call) forward(r *wire.Request) (reason flow.Reason, again bool) {
	defer c.abandonIfPanicking()
	c.compose(r, &c.o.Facts)
	if asksForStream(r) {
		c.tried = c.pool.http2 // they have no such thing
	}
	c.wait = &c.own
	if c.out.Length != 0 {
		c.body = newVisitorBody(c.pool, c.ex, &c.account.permit)
		c.body.sends.Store(c.sends)
		c.sends = false
		c.wait = &c.body.wait
	}
	reason, again = c.run()
	if c.body != nil {
		c.o.BytesIn += c.body.over()
	}
	c.settle()
	return reason, again
}

// abandonIfPanicking gives the permit back should the forward panic before the tries are over.
func (c *call) abandonIfPanicking() {
	if !c.account.given {
		c.account.permit.Abandon(false)
	}
}

// reset forgets the request, so that nothing of it outlives it.
func (c *call) reset() {
	h := c.out.Header
	h.Reset()
	c.out = wire.Request{Header: h}
	clear(c.nominated.names[:cap(c.nominated.names)])
	clear(c.candidates[:cap(c.candidates)])
	c.ex, c.o, c.body, c.settled = nil, nil, nil, nil
	c.tried, c.seen, c.tunnel, c.key = 0, 0, false, ""
	c.wrote.Store(0)
	c.account = account{}
	c.wait = nil
	c.own.state.Store(0)
}

// run tries until there is an answer or a reason why not. again is true when the call may be used again.
func (c *call) run() (reason flow.Reason, again bool) {
	p := c.pool
	if c.body == nil { // otherwise the wait begins when the visitor has sent the body
		c.wait.begin(p)
	}
	defer c.wait.end(p)
	ctx := c.ex.Context()
	if c.upgrading() {
		detached, settled, cancel := detach(ctx)
		defer cancel()
		c.settled, ctx = settled, detached
	}
	resp, m, trial, reason := c.ask(ctx)
	c.wait.end(p)
	waited, now := c.worked()
	c.giveBack(resp, reason, waited)
	if resp == nil {
		p.warm(now, forward{failed: originsFault(reason), took: waited})
		return reason, false
	}
	c.o.OriginStatus = resp.Status
	c.noteVouching(resp.Header)
	p.warm(now, forward{failed: overloaded(resp.Status), headed: true, took: waited})
	m.settle(succeeded, trial, now, "")
	defer m.leave()
	if resp.Stream != nil && c.upgrading() {
		c.settled()
		return c.switchProtocols(resp), false
	}
	reason = c.relay(resp)
	return reason, reason == "" && c.body == nil
}

// ask tries until an origin answers. On success it has settled nothing about m yet; otherwise resp is nil.
func (c *call) ask(ctx context.Context) (resp *wire.Response, m *member, trial bool, reason flow.Reason) {
	p := c.pool
	for attempt := 1; ; attempt++ {
		if m == nil {
			if m, trial = c.acquire(); m == nil {
				return nil, nil, false, c.nobody(reason)
			}
		}
		c.o.Attempts, c.o.Origin = attempt, m.label
		resp, err := c.trip(ctx, m, trial)
		if err == nil {
			return resp, m, trial, ""
		}
		fault := upstreamFault(err)
		reason = c.blame(ctx, fault)
		c.o.Err = err.Error()
		m.settle(resultOf(fault.Fault, reason), trial, p.now(), err.Error())
		m.leave()
		if !originsFault(reason) || attempt == attemptsMost || !c.repeatable(fault) {
			return nil, nil, false, reason
		}
		if fault.Fault != wire.FaultDial {
			// The origin is there, only this connection was not: a fresh one to the same origin.
			m, trial = c.sameAgain(m)
		} else {
			c.tried |= 1 << m.index
			m = nil
			if c.exhausted() {
				return nil, nil, false, reason
			}
		}
		if !p.retry() {
			if m != nil {
				m.settle(neutral, trial, p.now(), "")
				m.leave()
			}
			c.o.Err += "; not tried again, because the retry budget is used up"
			return nil, nil, false, reason
		}
	}
}

// sameAgain enters the same origin once more if it is up; otherwise the balance decides.
func (c *call) sameAgain(m *member) (*member, bool) {
	if m.up.Load() {
		return m.enter(), false
	}
	return nil, false
}

// exhausted reports whether every origin has been tried, so that a retry would only spend from the budget.
func (c *call) exhausted() bool {
	n := len(c.pool.members)
	return n <= 64 && c.tried == 1<<n-1
}

// nobody is the reason when no origin may be asked; before is the reason of the last try, "" before the first.
func (c *call) nobody(before flow.Reason) flow.Reason {
	if before != "" {
		return before
	}
	c.o.Err = "all origins are down, and as many requests as may are trying them: " + c.pool.addresses()
	return flow.OriginDown
}

// trip makes one round trip. What was counted in is counted out again should it panic.
func (c *call) trip(ctx context.Context, m *member, trial bool) (resp *wire.Response, err error) {
	returned := false
	defer func() {
		if !returned {
			m.settle(neutral, trial, c.pool.now(), "")
			m.leave()
		}
	}()
	c.wrote.Store(0)
	c.out.Scheme = m.scheme
	if c.out.Authority = c.ex.Request().Authority; c.out.Authority == "" || !c.pool.preserve {
		c.out.Authority = m.host
	}
	if c.body == nil {
		resp, err = m.upstream.RoundTrip(ctx, &c.out, nil, nil, c.hooks)
	} else {
		resp, err = m.upstream.RoundTrip(ctx, &c.out, c.body, c.body.trailer, c.hooks)
	}
	returned = true
	return resp, err
}

// worked notes how long the origin worked on the last try. It returns the part of it in which the origin had the whole
// request, because a visitor who sends slowly does not make an origin slow, and the time.
func (c *call) worked() (waited time.Duration, now time.Time) {
	now = c.pool.now()
	at := c.wrote.Load()
	if at == 0 {
		return 0, now
	}
	since := now.Sub(c.pool.born)
	c.o.OriginTime = max(0, since-time.Duration(at))
	if c.body == nil {
		return c.o.OriginTime, now
	}
	ended := c.body.ended.Load()
	if ended == 0 {
		return 0, now
	}
	return max(0, since-time.Duration(max(at, ended))), now
}

// inform passes an interim answer on. 100 Continue is between the door and each side.
func (c *call) inform(status int, h flow.Header) {
	if status <= 101 || status > 199 {
		return
	}
	stripAnswer(&h, &c.nominated, false)
	_ = c.ex.Inform(status, h) // a visitor who is gone shows in the answer
}

// upstreamFault returns err as the wire's own error. Anything else would be a broken promise, and counts as garbage.
func upstreamFault(err error) *wire.UpstreamError {
	var e *wire.UpstreamError
	if errors.As(err, &e) {
		return e
	}
	return &wire.UpstreamError{Fault: wire.FaultGarbage, Err: err}
}

// blame says whose fault a failed try is.
func (c *call) blame(ctx context.Context, e *wire.UpstreamError) flow.Reason {
	if c.body != nil {
		if r := c.body.blame(); r == flow.RequestTooLarge || r != "" && e.Fault == wire.FaultBody {
			return r
		}
	}
	if ctx.Err() != nil {
		return flow.ClientGone
	}
	switch e.Fault {
	case wire.FaultBody: // read without an error and still not what was announced, or a head that must not be sent
		return flow.RequestMalformed
	case wire.FaultDial:
		return flow.OriginDown
	case wire.FaultTimeout:
		return flow.OriginTimeout
	}
	return flow.OriginBroken
}

// resultOf says what a failed try tells about the origin. A kept connection that was closed tells nothing; one that broke
// while the request was on its way may have been the answer to a body that the origin did not want.
func resultOf(f wire.Fault, r flow.Reason) result {
	if !originsFault(r) {
		return neutral
	}
	switch f {
	case wire.FaultDial, wire.FaultTimeout, wire.FaultClosed, wire.FaultGarbage:
		return failed
	}
	return neutral
}

func originsFault(r flow.Reason) bool {
	return r == flow.OriginDown || r == flow.OriginTimeout || r == flow.OriginBroken
}

// repeatable reports whether the request may be sent again: the origin cannot have acted on it, or acting twice is the
// same as once (RFC 9110, section 9.2.2) and the origin had only closed a connection that it kept. A body of which
// anything was asked for cannot be sent again.
func (c *call) repeatable(e *wire.UpstreamError) bool {
	if c.body != nil && c.body.touched() {
		return false
	}
	return e.Unseen || e.Fault == wire.FaultDial || e.Fault == wire.FaultStale && idempotent(c.out.Method) && !c.upgrading()
}

func (c *call) upgrading() bool { return c.out.Upgrade != "" }

func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}
