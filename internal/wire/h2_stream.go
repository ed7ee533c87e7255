package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/reactor"
)

// Sizes of what a pooled stream keeps.
const (
	h2ArenaStart = 64
	h2ArenaKeep  = 8 << 10
)

// h2Stream is one stream and its Exchange. It is pooled: it belongs to its connection until it is off the wire and its
// handler has returned. c.mu guards everything that the handler does not own alone.
type h2Stream struct {
	c       *h2Conn
	id      uint32
	req     Request
	trailer flow.Header
	fields  flow.Header // memory of req.Header
	arena   []byte      // the strings of req and trailer that no table holds
	body    *h2Body     // nil when there is none
	held    int         // what the head counts for in c.heads

	listed   bool  // in c.streams: open on the wire
	started  bool  // the handler has begun
	answered bool  // the handler has returned, the client has not ended its request
	recvEnd  bool  // the client has sent END_STREAM
	sentEnd  bool  // we have
	err      error // why the exchange is broken off
	// announced is the length of the body by the request's head, -1 when not known; received is what has come.
	announced, received int64

	responded bool
	bodiless  bool // 204, 304: nothing may be written
	silent    bool // HEAD: what is written is not sent
	upgraded  bool
	length    int64 // of the answer, -1 when not known
	sent      int64
	window    int64
	wake      chan struct{} // window, room or err has changed
	timer     *time.Timer
	begin     func() // serves the stream; kept, so that starting a goroutine allocates nothing
	onLoop    *reactor.Task
	beginTask func(*reactor.Task) // begin, as a task of an event loop
	by        time.Time
	rate      h2Rate
	stuck     h2Stuck
	ctx       *exchangeContext
}

func (s *H2Server) stream(c *h2Conn, id uint32) *h2Stream {
	st, ok := s.streams.Get().(*h2Stream)
	if !ok {
		st = &h2Stream{arena: make([]byte, 0, h2ArenaStart), fields: flow.NewHeader(4), wake: make(chan struct{}, 1)}
	}
	st.c, st.id, st.window = c, id, c.peerWindow
	if st.begin == nil {
		st.begin = func() { st.c.run(st) }
		st.beginTask = func(t *reactor.Task) {
			st.onLoop = t
			st.c.run(st)
		}
	}
	return st
}

// retireStream puts a stream back. Nobody may know it any more.
func (s *H2Server) retireStream(st *h2Stream) {
	if st.upgraded { // its Stream may still be in somebody's hands
		return
	}
	select {
	case <-st.wake:
	default:
	}
	st.fields.Reset()
	*st = h2Stream{fields: st.fields, arena: st.arena[:0], wake: st.wake, timer: st.timer, begin: st.begin, beginTask: st.beginTask}
	if cap(st.arena) > h2ArenaKeep {
		st.arena = make([]byte, 0, h2ArenaStart)
	}
	s.streams.Put(st)
}

// holds is what the strings of the request take.
func (s *h2Stream) holds() int {
	if cap(s.arena) > h2ArenaKeep {
		return cap(s.arena)
	}
	return len(s.arena)
}

var (
	errH2Twice   = errors.New("the answer has begun already")
	errH2Early   = errors.New("the answer has not begun")
	errH2NoBody  = errors.New("an answer with this status has no body")
	errH2NoAsk   = errors.New("the request asks for no upgrade")
	errH2Status  = errors.New("the status is out of range")
	errH2Aborted = errors.New("the exchange was broken off")
)

func (s *h2Stream) Conn() *Conn       { return s.c.info }
func (s *h2Stream) Request() *Request { return &s.req }

func (s *h2Stream) Context() context.Context {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ctx == nil {
		s.ctx = &exchangeContext{of: s, base: s.c.base}
		if s.err != nil {
			s.ctx.end()
		}
	}
	return s.ctx
}

// h2NoBody is the body of requests without one.
type h2NoBody struct{}

func (h2NoBody) Read([]byte) (int, error) { return 0, io.EOF }

func (s *h2Stream) Body() io.Reader {
	if s.body == nil {
		return h2NoBody{}
	}
	return s.body
}

func (s *h2Stream) Trailer() flow.Header {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.trailer
}

func (s *h2Stream) Inform(status int, h flow.Header) error {
	if status < 100 || status > 199 || status == 101 {
		return fmt.Errorf("interim answer %d: %w", status, errH2Status)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.responded {
		return errH2Twice
	}
	if err := s.awaitRoom(); err != nil {
		return err
	}
	if status == 100 && s.body != nil {
		s.body.expects = false
	}
	s.c.putHead(s.id, status, h, -1, false)
	s.c.kick()
	return nil
}

func (s *h2Stream) Respond(status int, h flow.Header, length int64) error {
	if status < 200 || status > 999 {
		return fmt.Errorf("answer %d: %w", status, errH2Status)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.responded {
		return errH2Twice
	}
	if err := s.awaitRoom(); err != nil {
		return err
	}
	s.responded = true
	s.bodiless = status == 204 || status == 304
	announced := length
	s.length = length
	if status == 204 {
		announced = -1
	}
	if s.silent || s.bodiless {
		s.length = -1
	}
	if s.body != nil {
		s.body.expects = false
	}
	s.c.putHead(s.id, status, h, announced, false)
	return nil
}

// awaitRoom waits until a head may be added to the output. c.mu is held.
func (s *h2Stream) awaitRoom() error {
	for s.err == nil && s.c.full() {
		if err := s.await(false); err != nil {
			return err
		}
	}
	return s.err
}

func (s *h2Stream) Write(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case !s.responded:
		return 0, errH2Early
	case s.sentEnd:
		return 0, errH2Over
	case s.silent:
		return len(p), nil
	case s.bodiless:
		return 0, errH2NoBody
	case s.length >= 0 && int64(len(p)) > s.length-s.sent:
		return 0, fmt.Errorf("the answer is longer than the %d bytes announced", s.length)
	}
	return s.write(p)
}

// write sends p. c.mu is held.
func (s *h2Stream) write(p []byte) (n int, err error) {
	for n < len(p) {
		if s.err != nil {
			return n, s.err
		}
		m := s.c.putData(s, p[n:])
		n += m
		s.sent += int64(m)
		s.rate.moved += int64(m)
		if m > 0 {
			continue
		}
		if err := s.await(s.window <= 0 || s.c.window <= 0); err != nil {
			return n, err
		}
	}
	return n, s.err
}

// await waits for room in the output, or for the client to open a window: that alone counts against the minimum rate,
// because how fast the connection as a whole is taken is the writer's question. c.mu is held.
func (s *h2Stream) await(window bool) error {
	c := s.c
	start, limit := c.cfg.Now(), time.Duration(-1)
	if !s.by.IsZero() {
		if limit = s.by.Sub(start); limit <= 0 {
			return errH2Late
		}
	}
	timed := window && c.cfg.MinRate > 0
	if timed && (limit < 0 || limit > s.rate.left()) {
		limit = s.rate.left()
	}
	if !window || s.window > 0 {
		c.waiting = append(c.waiting, s)
	}
	if timed {
		limit = c.waits(&s.stuck, start, limit)
	}
	c.park(s.wake, &s.timer, limit, s.task())
	c.forget(s)
	if !timed {
		return s.err
	}
	now := c.cfg.Now()
	tooMany := c.waited(&s.stuck, now)
	if s.err == nil && (s.rate.waited(now.Sub(start), c.cfg.MinRate) || tooMany) {
		c.giveUp(s, &s.stuck, now)
		return errH2Slow
	}
	return s.err
}

// forget takes s out of those that wait. mu is held.
func (c *h2Conn) forget(s *h2Stream) {
	for i, w := range c.waiting {
		if w == s {
			last := len(c.waiting) - 1
			c.waiting[i], c.waiting[last] = c.waiting[last], nil
			c.waiting = c.waiting[:last]
			return
		}
	}
}

func (s *h2Stream) Flush() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.kick()
	return s.err
}

func (s *h2Stream) End(trailer flow.Header) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case !s.responded:
		return errH2Early
	case s.sentEnd:
		return errH2Over
	case s.length >= 0 && s.sent < s.length:
		err := fmt.Errorf("the answer has %d bytes and not the %d announced", s.sent, s.length)
		s.c.reset(s, h2Internal, errH2Aborted)
		return err
	}
	if trailer.Len() > 0 && !s.silent && !s.bodiless {
		if err := s.awaitRoom(); err != nil {
			return err
		}
		s.c.putHead(s.id, 0, trailer, -1, true)
	} else {
		s.c.putEnd(s)
	}
	s.sentEnd = true
	s.c.settle(s)
	s.c.kick()
	return nil
}

// CloseAfter sends GOAWAY: new requests go to another connection, those under way are served.
func (s *h2Stream) CloseAfter() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.err == nil {
		s.c.finish(h2No)
	}
}

func (s *h2Stream) Abort() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err == nil && !s.sentEnd {
		s.c.reset(s, h2Internal, errH2Aborted)
	}
}

func (s *h2Stream) SetReadDeadline(t time.Time) error {
	if s.body == nil {
		return nil
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.body.by = t
	h2Poke(s.body.wake)
	return nil
}

func (s *h2Stream) SetWriteDeadline(t time.Time) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.by = t
	h2Poke(s.wake)
	return nil
}
