package wire

import (
	"io"
	"time"
)

// h2CalmHandlers is how many handlers run at once on a connection whose budget is a quarter spent.
const h2CalmHandlers = 4

// h2Past remembers how the last streams ended. The zero value is empty.
type h2Past struct {
	ids  [128]uint32
	ours [128]bool
	next int
}

// h2Ended says what is known of a stream that is not open.
type h2Ended uint8

const (
	h2EndedUnknown h2Ended = iota // long ago, or skipped
	h2EndedByPeer                 // by the client's reset or by both sides: it may not send any more
	h2EndedByUs                   // reset by us: what was under way is ignored
)

func (p *h2Past) add(id uint32, ours bool) {
	p.ids[p.next], p.ours[p.next] = id, ours
	p.next = (p.next + 1) % len(p.ids)
}

// left notes that the client has reset a stream, too: now it may not send any more.
func (p *h2Past) left(id uint32) {
	for i, x := range p.ids {
		if x == id {
			p.ours[i] = false
		}
	}
}

func (p *h2Past) how(id uint32) h2Ended {
	for i, x := range p.ids {
		if x == id && p.ours[i] {
			return h2EndedByUs
		} else if x == id {
			return h2EndedByPeer
		}
	}
	return h2EndedUnknown
}

// spend counts an abusive event that the reader has seen. mu is held.
func (c *h2Conn) spend(cost int64) { c.spendAt(c.clock, cost) }

// spendAt counts an abusive event and does what the budget asks for. mu is held.
func (c *h2Conn) spendAt(now time.Time, cost int64) {
	c.budget.spend(now, cost)
	mood := c.budget.mood()
	if mood < h2Warned || c.err != nil {
		return
	}
	if c.told < h2Warned {
		c.told = h2Warned
		c.finish(h2EnhanceCalm)
		c.cfg.Abused(c.info, false)
	}
	if mood == h2Hostile || mood == h2Spent && c.cfg.Hot() {
		c.told = h2Hostile
		c.fail(&h2ConnError{h2EnhanceCalm, "the client spent its budget of abusive events"})
		c.cfg.Abused(c.info, true)
	}
}

// start starts the handlers of what has come, as many as may run at once. mu is held.
func (c *h2Conn) start() {
	if len(c.queue) == 0 {
		return
	}
	n := 0
	for _, s := range c.queue {
		switch {
		case s.err != nil:
			c.over(s)
		case c.mayRun() || c.starved(s):
			s.started = true
			c.running++
			c.launch(s)
		default:
			c.queue[n] = s
			n++
		}
	}
	clear(c.queue[n:])
	c.queue = c.queue[:n]
	c.growLater()
}

// run serves one exchange.
func (c *h2Conn) run(s *h2Stream) {
	c.cfg.Handle(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	task := s.task()
	if s.sentEnd && s.recvEnd && s.err == nil {
		c.taken()
	}
	if len(c.queue) == 0 {
		c.srv.repaid(c.ramp.rest(c.running))
	}
	switch {
	case !s.listed:
	case s.upgraded:
		c.closeTunnel(s)
	case !s.sentEnd:
		c.reset(s, h2Internal, errH2Aborted)
	case !s.recvEnd:
		c.kick()
		c.awaitEnd(s)
		c.start()
		return
	}
	c.kickAfter(task)
	if s.err == nil {
		s.err = errH2Over
	}
	c.over(s)
	c.start()
}

// h2AwaitEnd is how long a client has to end a request that has been answered completely.
const h2AwaitEnd = 200 * time.Millisecond

// awaitEnd waits for the end of a request that has been answered completely: it may be under way, and many clients take
// even the reset without error that RFC 9113, section 8.1 provides for a failure. More DATA is reset at once. mu is held.
func (c *h2Conn) awaitEnd(s *h2Stream) {
	s.answered = true
	c.ending++
	s.let(errH2Over)
	c.heads -= s.held
	s.held = 0
	id := s.id
	time.AfterFunc(h2AwaitEnd, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if s := c.streams[id]; s != nil {
			c.cutShort(s)
		}
	})
}

// cutShort resets a stream whose request goes on after it has been answered. mu is held.
func (c *h2Conn) cutShort(s *h2Stream) {
	c.reset(s, h2No, errH2Over)
	c.spendAt(c.cfg.Now(), h2CostResetLate)
}

// closed frees the place of a stream that was answered before the client ended it. mu is held.
func (c *h2Conn) closed(s *h2Stream) {
	c.ending--
	if s.err == nil {
		c.taken()
	}
	c.over(s)
	if c.err == nil {
		c.start()
	}
}

// taken notes an answer that the client has taken to its end, of a request that it has ended. mu is held.
func (c *h2Conn) taken() {
	c.srv.repaid(c.ramp.taken())
	c.prove()
}

// let ends what the handler and its helpers may still hold. c.mu is held.
func (s *h2Stream) let(err error) {
	if s.body != nil {
		s.body.give(err)
	}
	if s.ctx != nil {
		s.ctx.end()
	}
}

// over frees the place of a stream that is off the wire and whose handler has returned or never began. mu is held.
func (c *h2Conn) over(s *h2Stream) {
	s.let(errH2Over)
	c.heads -= s.held
	c.srv.retireStream(s)
	if c.active--; c.active == 0 {
		c.idle = c.cfg.Now()
		c.quiet()
	}
}

// settle takes a stream off the wire when both sides have ended it. mu is held.
func (c *h2Conn) settle(s *h2Stream) {
	if s.listed && s.recvEnd && s.sentEnd {
		c.unlist(s, false)
		if s.answered {
			c.closed(s)
		}
	}
}

func (c *h2Conn) unlist(s *h2Stream, ours bool) {
	s.listed = false
	delete(c.streams, s.id)
	c.past.add(s.id, ours)
}

// reset resets a stream from our side; err is what the handler gets. Where it costs the client something, that is spent
// afterwards: the budget may end every stream of the connection, and a stream that has ended belongs to others. mu is held.
func (c *h2Conn) reset(s *h2Stream, code h2Code, err error) {
	if !s.listed {
		return
	}
	c.putReset(s.id, code)
	c.unlist(s, true)
	c.brk(s, err)
	c.kick()
}

// drop takes a stream off the wire without a word. mu is held.
func (c *h2Conn) drop(s *h2Stream, err error) {
	c.unlist(s, false)
	c.brk(s, err)
}

// brk breaks the exchange off towards the handler. mu is held.
func (c *h2Conn) brk(s *h2Stream, err error) {
	if s.err == nil {
		s.err = err
	}
	s.let(err)
	h2Poke(s.wake)
	switch {
	case !s.started:
		c.unqueue(s)
	case s.answered:
		c.closed(s)
	}
}

// unqueue takes back a stream whose handler has not begun. mu is held.
func (c *h2Conn) unqueue(s *h2Stream) {
	for i, q := range c.queue {
		if q == s {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			c.over(s)
			return
		}
	}
}

// endBody notes END_STREAM from the client. It reports whether the body has the length that was announced. mu is held.
func (c *h2Conn) endBody(s *h2Stream) bool {
	s.recvEnd = true
	if s.announced >= 0 && s.received != s.announced {
		return false
	}
	if s.body != nil {
		s.body.finish(io.EOF)
	}
	c.settle(s)
	return true
}
