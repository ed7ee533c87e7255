package wire

import "time"

// What a connection holds and may hold, in bytes (docs/decisions/0013-held-memory.md). The costs are what the parts were
// measured to take, rounded up.
const (
	// h2Allowance is what a connection may hold that has not shown yet that it takes its answers.
	h2Allowance = 256 << 10
	// h2ConnCost is the connection itself: its goroutines and the tables of both directions.
	h2ConnCost = 20 << 10
	// h2StreamCost is a request beyond its head.
	h2StreamCost = 768
	// h2HandlerCost is a handler at work: its stack, the connection to an origin, and the buffers between both.
	h2HandlerCost = 26 << 10
	// h2RequestsLeast is what requests may take in any case. More are refused only where the connection holds more than
	// its allowance.
	h2RequestsLeast = 56 << 10
)

// Handlers and streams of a connection that has shown nothing yet.
const (
	h2FirstHandlers = 2
	h2FirstStreams  = 50
)

// h2GrowEvery is how often a connection gains handlers while requests wait and nothing waits for the client.
const h2GrowEvery = 25 * time.Millisecond

// h2DeniedFor is how long a connection waits before it asks again when nothing was left to lend: many may wait then, and each
// asks for as long as its requests do.
const h2DeniedFor = 10 * h2GrowEvery

// h2StuckFor is how long a connection on which nothing moves may keep more handlers waiting for it than it began with.
const h2StuckFor = 2 * time.Second

// h2LentMost bounds the handlers that all connections of a server may have together on loan.
const h2LentMost = 1 << 10

// h2Ramp is how many handlers of a connection may run at once. It is pure. A handler with its answer is the dearest thing
// that a client can make the door hold, for a hundred bytes sent and nothing read. So a client begins with few, gains one
// with each answer that it takes, and begins again when an answer was given up. For each moment in which requests wait and
// nothing waits for the client it is lent as many again: the origin may just be slow. What is lent becomes the client's own
// with each answer that it takes.
type h2Ramp struct{ may, most, lent int }

func h2RampTo(most int) h2Ramp { return h2Ramp{may: min(h2FirstHandlers, most), most: most} }

// wants is how many handlers the connection would be lent.
func (r *h2Ramp) wants() int { return min(r.may, r.most-r.may) }

func (r *h2Ramp) lend(n int) {
	r.may += n
	r.lent += n
}

// taken, rest and stuck return how many of those that were lent are so no more.

// taken notes an answer that was taken.
func (r *h2Ramp) taken() int {
	r.may = min(r.may+1, r.most)
	n := min(r.lent, 1)
	r.lent -= n
	return n
}

// rest gives back what is not in use while so many run and nothing waits for its turn.
func (r *h2Ramp) rest(running int) int {
	n := max(0, min(r.lent, r.may-running, r.may-h2FirstHandlers))
	r.may -= n
	r.lent -= n
	return n
}

// stuck notes an answer that was given up.
func (r *h2Ramp) stuck() int {
	n := r.lent
	r.may, r.lent = min(h2FirstHandlers, r.most), 0
	return n
}

// proven reports whether the client may have as many streams as any.
func (r *h2Ramp) proven() bool { return r.may > 2*h2FirstHandlers || r.may == r.most }

// allowance is what a connection may hold.
func (r *h2Ramp) allowance() int { return h2Allowance + max(0, r.may-h2FirstHandlers)*h2HandlerCost }

// h2Stuck tells since when nothing has moved on a connection, for one who waits for its client.
type h2Stuck struct {
	at    time.Time
	moves uint64
}

// since notes a wait that begins at now, when the connection has moved data so often.
func (s *h2Stuck) since(now time.Time, moves uint64) time.Time {
	if s.at.IsZero() || s.moves != moves {
		s.at, s.moves = now, moves
	}
	return s.at
}

// requests is what the requests under way take, with a header section that is coming. mu is held.
func (c *h2Conn) requests() int { return c.heads + c.active*h2StreamCost + c.section }

// holds is what the connection holds. mu is held.
func (c *h2Conn) holds() int {
	n := h2ConnCost + c.input + c.writing + c.bodies + c.requests() + c.running*h2HandlerCost
	if c.out != nil {
		n += cap(c.out.b)
	}
	return n
}

// mayRun reports whether another handler may begin: there has to be room for it and for what the client may send
// meanwhile. mu is held.
func (c *h2Conn) mayRun() bool {
	taken := c.running + c.ending
	if taken == 0 {
		return true
	}
	most := c.ramp.may
	if c.budget.mood() > h2Calm {
		most = min(most, h2CalmHandlers)
	}
	promised := int(max(0, c.recv)) + max(0, h2RequestsLeast-c.requests())
	return taken < most && c.holds()+promised+h2HandlerCost <= c.ramp.allowance()
}

// starved reports whether s has to begin, whatever the connection holds, because what has come of its body is in the way of
// bodies that handlers wait for: nothing would go on any more. mu is held.
func (c *h2Conn) starved(s *h2Stream) bool {
	return s.body != nil && s.body.n > 0 && c.hungry > 0 && c.recv < c.recvSize/4
}

// growLater lets requests begin that have waited for a moment, unless something waits for the client. mu is held.
func (c *h2Conn) growLater() {
	if c.growing || len(c.queue) == 0 || c.stalled+c.ending > 0 || c.err != nil {
		return
	}
	c.growing = true
	wait := h2GrowEvery
	if c.denied {
		wait = h2DeniedFor
	}
	time.AfterFunc(wait, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.growing = false
		if c.err == nil && c.stalled+c.ending == 0 && len(c.queue) > 0 && c.budget.mood() == h2Calm {
			wants := c.ramp.wants()
			n := c.srv.lend(wants)
			c.denied = n == 0 && wants > 0
			c.ramp.lend(n)
			c.prove()
		}
		c.start()
	})
}

// lend returns how many handlers more, of n, a connection may have on loan.
func (s *H2Server) lend(n int) int {
	n = max(0, min(n, h2LentMost-int(s.lent.Load())))
	s.lent.Add(int64(n)) // two at once may go over the bound by what one wants
	return n
}

func (s *H2Server) repaid(n int) {
	if n > 0 {
		s.lent.Add(int64(-n))
	}
}

// giveBack ends the connection's loan when nothing of it is left.
func (c *h2Conn) giveBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.srv.repaid(c.ramp.stuck())
}

// prove tells a client that has shown that it takes its answers how many streams it may have. mu is held.
func (c *h2Conn) prove() {
	if c.proven || c.err != nil || !c.ramp.proven() {
		return
	}
	c.proven = true
	if c.cfg.MaxStreams > h2FirstStreams {
		c.putSetting(h2SetStreams, c.cfg.MaxStreams)
	}
}

// maxStreams is how many streams the client may have. It counts for a client only when that has said that it knows. mu is
// held.
func (c *h2Conn) maxStreams() int {
	if c.proven || !c.acked {
		return c.cfg.MaxStreams
	}
	return min(h2FirstStreams, c.cfg.MaxStreams)
}

// roomFor reports whether a request that takes n bytes may come in. mu is held.
func (c *h2Conn) roomFor(n int) bool {
	return c.active == 0 || c.heads+n <= h2HeldHeads && !c.crowded(n+h2StreamCost)
}

// crowded reports whether n bytes more for requests would be too many. mu is held.
func (c *h2Conn) crowded(n int) bool {
	return c.requests()+n > h2RequestsLeast && c.holds()+n > c.ramp.allowance()
}

// shed refuses what has not begun, the latest first, while requests take more than they may. The client may try it
// again (RFC 9113, section 8.7). mu is held.
func (c *h2Conn) shed() {
	for len(c.queue) > 0 && c.active > 1 && c.crowded(0) {
		c.spend(h2CostRefused)
		if len(c.queue) == 0 { // the budget has ended everything
			return
		}
		c.reset(c.queue[len(c.queue)-1], h2Refused, errH2Over)
	}
}

// waits begins a wait for the client, and says how long it may last: at most limit, negative for ever. mu is held.
func (c *h2Conn) waits(s *h2Stuck, now time.Time, limit time.Duration) time.Duration {
	c.stalled++
	since := s.since(now, c.moves)
	if c.stalled == 1 || since.After(c.waitsSince.stalled) {
		c.waitsSince.stalled = since
	}
	left := max(h2StuckFor-now.Sub(since), time.Millisecond)
	if c.running > h2FirstHandlers && (limit < 0 || left < limit) {
		return left
	}
	return limit
}

// waited ends a wait for the client. It reports whether the one who waited has to go, because nothing moves. mu is held.
func (c *h2Conn) waited(s *h2Stuck, now time.Time) (tooMany bool) {
	if c.stalled--; c.stalled == 0 && len(c.queue) > 0 {
		c.start()
	}
	return c.running > h2FirstHandlers && s.moves == c.moves && now.Sub(s.at) >= h2StuckFor
}

// giveUp resets a stream whose client neither sends nor takes. Where nothing has moved on the whole connection for as long
// as the minimum rate is measured over, nothing new is served on it. mu is held.
func (c *h2Conn) giveUp(s *h2Stream, stuck *h2Stuck, now time.Time) {
	c.srv.repaid(c.ramp.stuck())
	c.spendAt(now, h2CostStalled)
	c.reset(s, h2Cancel, errH2Slow)
	if stuck.moves == c.moves && now.Sub(stuck.at) >= h2Patience && !c.away {
		c.told = max(c.told, h2Warned)
		c.finish(h2EnhanceCalm)
		for len(c.queue) > 0 {
			c.reset(c.queue[len(c.queue)-1], h2Refused, errH2Over)
		}
		c.cfg.Abused(c.info, false)
	}
}
