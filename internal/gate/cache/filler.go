package cache

import (
	"context"
	"hash/maphash"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// filler is the exchange of a fetch: it stands between the origin's answer and the visitor who began it, and decides at
// the head what the answer is to the cache.
type filler struct {
	wire.Exchange // the visitor's; from the moment that a goroutine serves him it belongs to that one
	w             *walk
	f             *flight
	req           wire.Request
	ctx           context.Context
	old           *entry // that is being validated, nil for none
	stamp         uint64
	begun         time.Time

	mode     mode
	refusal  refusal
	header   flow.Header // for the first visitor: with what is not stored
	serving  chan struct{}
	sent     int64
	sendErr  error
	finished bool
}

// mode is what becomes of the answer that comes in.
type mode uint8

const (
	modeAsking mode = iota
	modePass        // it goes straight to the visitor
	modeFill        // it goes into the flight
	modeTee         // it goes straight to the visitor, and a copy into the flight, which nobody else reads
	modeDrop        // a stored one goes to the visitor instead
)

// servedWhole is how much of an answer may have come, in bytes, before its first visitor is sent what there is of it by a goroutine, if the
// origin does not pause before: most answers have come in whole by then, and need none.
const servedWhole = 16 << 10

// Request is what the origin is asked.
func (x *filler) Request() *wire.Request { return &x.req }

// Context ends when nobody wants the answer any more.
func (x *filler) Context() context.Context { return x.ctx }

// Respond takes the head.
func (x *filler) Respond(status int, h flow.Header, length int64) error {
	a := &arriving{request: x.w.req.Header, status: status, header: h, asked: x.begun, arrived: x.w.c.now()}
	switch {
	case status == 304 && x.old != nil && confirms(h, x.old):
		x.confirmed(a)
		return nil
	case status >= 500 && x.old != nil && x.w.mayStandIn(x.old, a.arrived, status):
		x.mode = modeDrop
		x.f.settle(x.old, outcome{result: flow.CacheStale, detail: "fwd=stale; fwd-status=" + itoa(status)})
		return nil
	}
	d := governing(h)
	life, explicit := x.w.rules.lifetime(status, h, d, a.arrived)
	x.refusal = mayStore(x.w.ask, status, h, d, life > 0, explicit)
	if x.refusal == "" && !x.fits(length) {
		x.refusal = tooLarge
	}
	x.learn(status, h, d)
	if x.refusal != "" || x.w.req.Method != "GET" {
		return x.pass(status, h, length)
	}
	x.f.begin(newEntry(a, d, x.w.rules), length)
	x.header = h.Clone()
	if x.f.id == "" {
		x.mode = modeTee
		x.complete()
		return x.Exchange.Respond(status, x.header, length)
	}
	x.mode = modeFill
	if length == 0 {
		x.f.end(complete, "", "")
	}
	return nil
}

// complete adds to the header for the first visitor what the cache has to say.
func (x *filler) complete() {
	if age := x.f.entry.at(x.w.c.now()).age; age >= time.Second && !x.header.Has("Age") {
		x.header.Add("Age", itoa(int(age/time.Second)))
	}
	x.header.Add("Cache-Status", cacheName+"; fwd="+x.w.why+"; stored")
}

// fits reserves room for a body of known length.
func (x *filler) fits(length int64) bool {
	x.f.mu.Lock()
	defer x.f.mu.Unlock()
	return length <= 0 || x.f.reserve(length)
}

// confirmed takes a 304 for the stored answer.
func (x *filler) confirmed(a *arriving) {
	x.mode = modeDrop
	e := x.old.freshened(a, x.w.rules)
	if mayStore(x.w.ask, e.status, e.header, e.rules, e.life > 0, true) == "" {
		x.keep(e)
	} else { // the 304 says that it may not be stored any longer
		x.w.c.forget(x.w.hash, x.w.key)
	}
	x.f.settle(e, outcome{result: flow.CacheValidated, detail: "fwd=stale; fwd-status=304; stored"})
}

// pass hands the answer to the visitor as it is.
func (x *filler) pass(status int, h flow.Header, length int64) error {
	x.mode = modePass
	x.f.end(declined, "", "")
	return x.Exchange.Respond(status, h, length)
}

// learn takes note of whether answers of this path can be stored. What failed, what was refused and what is about this one
// request says nothing about the path.
func (x *filler) learn(status int, h flow.Header, d directives) {
	w := x.w
	if status >= 400 && x.refusal != "" && status != 404 && status != 410 || x.refusal == notWanted {
		return
	}
	if x.refusal == statusAlone { // of a part, or of nothing: the head says what the whole would be
		life, explicit := w.rules.lifetime(200, h, d, w.c.now())
		w.c.past.note(w.path, mayStore(w.ask, 200, h, d, life > 0, explicit) == "", w.c.now())
		return
	}
	w.c.past.note(w.path, x.refusal == "", w.c.now())
}

// Write takes a part of the body.
func (x *filler) Write(p []byte) (int, error) {
	switch x.mode {
	case modePass:
		return x.Exchange.Write(p)
	case modeTee:
		if !x.f.over {
			_ = x.f.write(p) // an error says that it is too large to be kept
		}
		return x.Exchange.Write(p)
	case modeFill:
		if err := x.f.write(p); err != nil {
			return 0, err
		}
		if x.f.size > servedWhole && x.f.size != x.f.length {
			x.serve()
		}
	}
	return len(p), nil
}

// Flush is called before the origin's next word may take its time: then the visitor must not wait for the end.
func (x *filler) Flush() error {
	switch x.mode {
	case modePass, modeTee:
		return x.Exchange.Flush()
	case modeFill:
		x.serve()
	}
	return nil
}

// serve serves the first visitor from the flight, from a goroutine of his own.
func (x *filler) serve() {
	if x.serving != nil {
		return
	}
	r := x.f.subscribe()
	if r == nil {
		return
	}
	x.Exchange.Context().Done() // from now on, others use the exchange: it leaves its event loop
	x.serving = make(chan struct{})
	go func() {
		defer close(x.serving)
		defer func() {
			if p := recover(); p != nil { // the path's own guard stands in another goroutine
				x.sendErr = errPanic
				x.Exchange.Abort()
			}
		}()
		x.send(r)
	}()
}

// send sends the flight to the first visitor.
func (x *filler) send(r *reader) {
	x.complete()
	x.sent, x.sendErr = x.f.sendTo(x.Exchange, r, x.header, x.w.rules.idle())
}

// End completes the answer.
func (x *filler) End(trailer flow.Header) error {
	switch x.mode {
	case modePass:
		return x.Exchange.End(trailer)
	case modeFill, modeTee:
		x.f.end(complete, "", "")
		x.finished = true
		if x.mode == modeTee {
			return x.Exchange.End(trailer)
		}
	}
	return nil
}

// Abort breaks the answer off.
func (x *filler) Abort() {
	switch x.mode {
	case modeFill:
		x.f.end(broken, "", "")
	case modeDrop:
	default:
		x.f.end(broken, "", "")
		x.Exchange.Abort()
	}
}

// SetWriteDeadline bounds writes to the visitor, where they are his own.
func (x *filler) SetWriteDeadline(t time.Time) error {
	if x.mode == modePass || x.mode == modeTee {
		return x.Exchange.SetWriteDeadline(t)
	}
	return nil
}

// keep stores an entry, unless its key was invalidated since the origin was asked.
func (x *filler) keep(e *entry) {
	w := x.w
	if w.c.stamps.of(w.hash) != x.stamp {
		return
	}
	key := string(w.key)
	w.c.store.put(w.hash, key, e)
	w.c.tier.forget(w.hash, key) // what lies there is older
}

// store keeps what has come in whole.
func (x *filler) store() {
	if !x.finished {
		return
	}
	body, ok := x.f.body()
	if !ok {
		x.w.c.past.note(x.w.path, false, x.w.c.now())
		return
	}
	e := &entry{stored: x.f.entry.stored}
	e.body, e.length, e.trimmed = body, x.f.size, x.f.length < 0
	x.keep(e)
	if x.w.group != 0 {
		x.w.c.bust.learn(x.w.group, x.w.ask.path, x.w.o.Facts.Path.Clean, x.w.query, x.w.c.digest(&e.chosen), x.w.c.bodyHash(e), x.w.c.now())
	}
}

// bodyHash tells whether two answers are the same to a visitor.
func (c *Cache) bodyHash(e *entry) uint64 {
	var h maphash.Hash
	h.SetSeed(c.store.seed)
	for _, p := range e.body {
		h.Write(p)
	}
	h.WriteString(e.header.Get("Content-Type"))
	h.WriteString(e.header.Get("Location"))
	h.WriteByte(byte(e.status))
	return h.Sum64()
}

// digest tells whether two answers were chosen by the same fields of the request.
func (c *Cache) digest(s *selecting) uint64 {
	var h maphash.Hash
	h.SetSeed(c.store.seed)
	for i := range s.names {
		h.WriteString(s.names[i])
		h.WriteString(s.values[i])
	}
	return h.Sum64()
}
