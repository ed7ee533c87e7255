package leak

import (
	"errors"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// Guard is an exchange that holds an answer's head back until its beginning has been looked at: until Prefix bytes have
// come, the answer ends, or the origin has what it sent flushed. What follows a flush is still looked at, without being held.
type Guard struct {
	wire.Exchange
	stage *Stage
	path  string
	block bool

	status  int
	header  flow.Header
	length  int64
	seen    []byte // the beginning, as it was sent
	judged  int    // bytes of seen that were there when it was last looked at
	holding bool   // the head has not been sent
	looking bool
	leak    *check
	account int64 // bytes in Stage.held
}

// Guard returns an exchange to forward with. Close it when the answer is over.
func (s *Stage) Guard(ex wire.Exchange, f *flow.Facts, block bool) *Guard {
	return &Guard{Exchange: ex, stage: s, path: f.Path.Clean, block: block}
}

// errLeak ends the forwarding of an answer that is kept back.
var errLeak = errors.New("the answer tells what nobody outside is to read")

// Leak names what was found, "" for nothing, and says whether the visitor has got any of the answer.
func (g *Guard) Leak() (name, message string, sent bool) {
	if g.leak == nil {
		return "", "", !g.holding
	}
	return g.leak.name, g.leak.message, !g.holding
}

// Close gives back what is held.
func (g *Guard) Close() {
	g.stage.held.Add(-g.account)
	g.account, g.seen, g.looking = 0, nil, false
}

// Respond implements wire.Exchange.
func (g *Guard) Respond(status int, h flow.Header, length int64) error {
	if length == 0 || g.Request().Method == "HEAD" || !readable(status, h) {
		return g.Exchange.Respond(status, h, length)
	}
	room := int64(Prefix)
	if length > 0 {
		room = min(room, length)
	}
	if g.stage.held.Add(room) > maxHeld {
		g.stage.held.Add(-room)
		return g.Exchange.Respond(status, h, length)
	}
	g.account, g.seen = room, make([]byte, 0, room)
	g.status, g.header, g.length = status, h.Clone(), length
	g.holding, g.looking = true, true
	return nil
}

// Write implements wire.Exchange.
func (g *Guard) Write(p []byte) (int, error) {
	if !g.looking {
		return g.Exchange.Write(p)
	}
	n := min(len(p), cap(g.seen)-len(g.seen))
	g.seen = append(g.seen, p[:n]...)
	full := len(g.seen) == cap(g.seen)
	if !g.holding { // after a flush: what was looked at before is looked at again when it has doubled
		if full || len(g.seen) >= 2*g.judged {
			if err := g.judge(full); err != nil {
				return 0, err
			}
		}
		return g.Exchange.Write(p)
	}
	if !full {
		return n, nil
	}
	if err := g.judge(true); err != nil {
		return 0, err
	}
	if err := g.release(); err != nil || n == len(p) {
		return n, err
	}
	more, err := g.Exchange.Write(p[n:])
	return n + more, err
}

// judge looks at the beginning. last says that there will be no more of it.
func (g *Guard) judge(last bool) error {
	g.judged = len(g.seen)
	if last {
		g.looking = false
	}
	if g.leak == nil {
		packed := g.header.Has("Content-Encoding") && !flow.EqualFold(g.header.Get("Content-Encoding"), "identity")
		g.leak = g.stage.look(&answer{status: g.status, media: mediaType(g.header), path: g.path, body: unpacked(g.seen, packed)})
	}
	if g.leak != nil {
		g.looking = false
		if g.block {
			return errLeak
		}
	}
	return nil
}

// release sends what is held.
func (g *Guard) release() error {
	g.holding = false
	if err := g.Exchange.Respond(g.status, g.header, g.length); err != nil {
		return err
	}
	if len(g.seen) == 0 {
		return nil
	}
	_, err := g.Exchange.Write(g.seen)
	return err
}

// Flush implements wire.Exchange.
func (g *Guard) Flush() error {
	if g.holding {
		if len(g.seen) == 0 {
			return nil // a head alone shows nobody anything
		}
		if err := g.judge(false); err != nil {
			return err
		}
		if err := g.release(); err != nil {
			return err
		}
	}
	return g.Exchange.Flush()
}

// End implements wire.Exchange.
func (g *Guard) End(trailer flow.Header) error {
	if g.looking {
		if err := g.judge(true); err != nil {
			return err
		}
	}
	if g.holding {
		if err := g.release(); err != nil {
			return err
		}
	}
	return g.Exchange.End(trailer)
}

// Abort implements wire.Exchange. Of an answer of which nothing was sent, nothing has to be broken off.
func (g *Guard) Abort() {
	if g.leak != nil && g.block && g.holding {
		return
	}
	g.Exchange.Abort()
}
