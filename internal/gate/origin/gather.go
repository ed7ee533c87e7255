package origin

import (
	"io"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

const (
	gatherFrom  = 8         // visitors who may be sending bodies before others send theirs to the door first, at least
	gatherMost  = 128 << 10 // bytes: a longer body is always streamed
	gatherFirst = 4 << 10   // bytes: memory is taken as a body arrives, beginning with this
	gatherAll   = 32 << 20  // bytes that all bodies of a pool may take; beyond it they are streamed
)

// gathering counts the visitors of a pool who are sending a body, and what is held of those bodies.
type gathering struct {
	sending atomic.Int64
	held    atomic.Int64 // bytes
}

// gathered is an exchange of whose body the beginning, mostly all of it, was taken before anything was asked of an origin.
type gathered struct {
	wire.Exchange
	body gatheredBody
}

// Body gives all of the body, what was taken first.
func (g *gathered) Body() io.Reader { return &g.body }

type gatheredBody struct {
	left []byte
	rest io.Reader // nil when the body ended
	of   *gathering
	held int64
}

// Read implements io.Reader.
func (b *gatheredBody) Read(p []byte) (int, error) {
	switch {
	case len(b.left) > 0:
		n := copy(p, b.left)
		b.left = b.left[n:]
		return n, nil
	case b.rest == nil:
		return 0, io.EOF
	}
	return b.rest.Read(p)
}

// Len is how much can be read without waiting.
func (b *gatheredBody) Len() int { return len(b.left) }

// take reads the body whole. It is nil, too, where there is no memory for it: then rest gives what was not read.
func (b *gatheredBody) take(length int64) error {
	for {
		if int64(len(b.left)) == b.held {
			if !b.grow(min(length+1, max(gatherFirst, 2*b.held))) { // one more shows the end
				return nil
			}
		}
		n, err := b.rest.Read(b.left[len(b.left):b.held])
		b.left = b.left[:len(b.left)+n]
		if err == io.EOF {
			b.rest = nil
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow takes memory for more of the body. False: it holds all that was announced, or the bodies of the pool hold all that they may.
func (b *gatheredBody) grow(to int64) bool {
	if to <= b.held {
		return false // longer than announced: the wire will say so
	}
	if b.of.held.Add(to-b.held) > gatherAll {
		b.of.held.Add(b.held - to)
		return false
	}
	more := make([]byte, len(b.left), to)
	copy(more, b.left)
	b.left, b.held = more, to
	return true
}

// gather takes the body of a request before an origin is asked, where so many visitors are sending theirs that the origin
// would work on requests that are not whole (docs/decisions/0080-bodies-in-whole-first.md). With a reason the visitor has failed to
// send it.
func (c *call) gather() flow.Reason {
	p, r := c.pool, c.ex.Request()
	if p.gate == nil || r.Length == 0 || arrived(c.ex) {
		return ""
	}
	c.sends = true
	sending := p.bodies.sending.Add(1)
	if r.Length < 0 || r.Length > gatherMost || r.Upgrade != "" || r.Header.Has("Expect") || sending <= int64(max(gatherFrom, p.gate.Most())) {
		return ""
	}
	c.gathered = &gathered{Exchange: c.ex, body: gatheredBody{rest: c.ex.Body(), of: &p.bodies}}
	body := &c.gathered.body
	if err := body.take(r.Length); err != nil {
		c.o.Err, c.o.BytesIn = err.Error(), int64(len(body.left))
		return VisitorReason(err)
	}
	if c.ex = c.gathered; body.rest == nil {
		c.sent()
	}
	return ""
}

// sent notes that the visitor sends no more.
func (c *call) sent() {
	if c.sends {
		c.sends = false
		c.pool.bodies.sending.Add(-1)
	}
}

// scatter ends what gather began, when the forward is over.
func (c *call) scatter() {
	c.sent()
	if c.body != nil {
		c.body.sent()
	}
	if c.gathered != nil {
		c.gathered.body.of.held.Add(-c.gathered.body.held)
		c.gathered = nil
	}
}
