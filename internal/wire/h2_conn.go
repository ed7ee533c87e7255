package wire

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes in bytes, see H2Server for their sum.
const (
	h2SmallInput = 1024
	h2LargeInput = 18 << 10  // a frame of the largest size, and the beginning of the next
	h2HeldHeads  = 128 << 10 // of the requests under way
)

// h2Buffer is pooled memory.
type h2Buffer struct{ b []byte }

// h2Conn is one connection. Its reader, the goroutine of ServeConn, owns the first part; mu guards the second.
type h2Conn struct {
	srv  *H2Server
	cfg  *H2Config
	nc   net.Conn
	info *Conn
	base context.Context // the values of ServeConn's context, without its end
	loop int             // the event loop of its handlers

	in       []byte // in[r:w] has been read and not been handled
	r, w     int
	small    []byte    // in, as long as it is enough
	large    *h2Buffer // in otherwise
	clock    time.Time // the time, as of the last read
	partial  time.Time // since when the preface, a header section or a frame is incomplete; zero for none
	deadline time.Time // as the connection has it
	heard    time.Time // when the last bytes came
	answerBy time.Time // a PING waits until then for an answer, whatever the client sends; zero for none
	settled  bool      // the client's first SETTINGS have come
	dec      h2Decoder
	head     h2Head
	data     h2Incoming
	block    h2Block
	ended    atomic.Bool // err is set

	mu         sync.Mutex
	streams    map[uint32]*h2Stream // open on the wire
	active     int                  // streams that are open, or whose handler runs
	running    int                  // handlers that run
	ending     int                  // streams that are answered and that the client has not ended
	stalled    int                  // handlers that wait for the client
	hungry     int                  // handlers that wait for more of a body
	moves      uint64               // how often data has moved, either way
	ramp       h2Ramp
	waitsSince h2Standing
	growing    bool        // a timer will look whether more handlers may run
	denied     bool        // nothing was left to lend the last time
	proven     bool        // the client knows that it may have MaxStreams
	acked      bool        // the client knows our first SETTINGS
	queue      []*h2Stream // streams whose handler has not begun
	free       sync.Cond   // active has become 0, or flushing false
	past       h2Past
	lastID     uint32    // the client's highest stream
	promised   uint32    // the last stream that is served, when away
	heads      int       // bytes of request heads held
	bodies     int       // bytes of memory for bodies that came and were not read
	input      int       // bytes of memory to read into, as of the last wait
	section    int       // bytes of memory of a header section that is not whole, as of the last wait
	idle       time.Time // since when active is 0
	budget     h2Budget
	told       h2Mood // what Abused knows
	away       bool   // the last GOAWAY is out: no new streams
	retired    bool   // a first GOAWAY is out
	err        error  // the connection is over
	killed     bool   // without a last word

	enc        h2Encoder
	out        *h2Buffer // to be written; nil for nothing
	writing    int       // bytes of memory of what is being written
	flushing   bool
	flusher    func()    // flush; kept, so that starting a goroutine allocates nothing
	writeBy    time.Time // as the connection has it
	control    int       // bytes of answers to control frames in out
	tail       h2Tail
	window     int64 // what we may send
	peerWindow int64 // the client's SETTINGS_INITIAL_WINDOW_SIZE
	waiting    []*h2Stream

	recv     int64 // what the client may still send
	credit   int64 // what has been read since the last WINDOW_UPDATE
	recvSize int64 // the size of the window
}

func newH2Conn(s *H2Server, ctx context.Context, nc net.Conn) *h2Conn {
	now := s.cfg.Now()
	c := &h2Conn{
		srv: s, cfg: s.inForce.Load(), nc: nc, info: h2Info(nc), base: context.WithoutCancel(ctx), loop: s.cfg.Loops.Pick(),
		small: make([]byte, h2SmallInput), clock: now, heard: now, partial: now, idle: now,
		streams: make(map[uint32]*h2Stream), budget: h2BudgetOf(s.cfg.Budget),
		ramp: h2RampTo(s.cfg.MaxStreams), window: h2WindowStart, peerWindow: h2WindowStart, recv: h2WindowStart, recvSize: h2ConnWindow,
	}
	c.in = c.small
	c.free.L = &c.mu
	c.flusher = c.flush
	c.enc.seed = s.seed
	c.head = h2Head{maxBytes: s.cfg.MaxHeaderBytes, maxFields: s.cfg.MaxFields}
	return c
}

// serve reads until the connection ends and sees to it that nothing of it is left.
func (c *h2Conn) serve() {
	c.mu.Lock()
	c.greet()
	c.mu.Unlock()
	err := c.read()
	c.mu.Lock()
	c.end(err)
	for c.flushing {
		c.free.Wait()
	}
	killed := c.killed
	c.mu.Unlock()
	if killed {
		_ = h2Raw(c.nc).Close()
	} else {
		c.linger()
	}
	c.release()
	c.mu.Lock()
	for c.active > 0 {
		c.free.Wait()
	}
	c.mu.Unlock()
}

// read handles frames until one of them, the client or the server ends the connection.
func (c *h2Conn) read() error {
	if err := c.preface(); err != nil {
		return err
	}
	for !c.ended.Load() {
		if err := c.frame(); err != nil {
			return err
		}
	}
	return errH2Closed // c.err says more
}

func (c *h2Conn) preface() error {
	for c.w < len(h2Preface) {
		if err := c.more(); err != nil {
			return err
		}
		if n := min(c.w, len(h2Preface)); string(c.in[:n]) != h2Preface[:n] {
			return &h2ConnError{h2Protocol, "the client preface is wrong"}
		}
	}
	c.r = len(h2Preface)
	return nil
}

// frame handles the next frame, or the next part of a frame of DATA.
func (c *h2Conn) frame() error {
	if c.data.left > 0 {
		if c.r == c.w {
			if err := c.more(); err != nil {
				return err
			}
		}
		return c.dataPart()
	}
	if err := c.need(h2FrameHead); err != nil {
		return err
	}
	f := h2ReadFrame(c.in[c.r:])
	if f.length > h2FrameMax {
		return &h2ConnError{h2FrameSize, "a frame is larger than SETTINGS_MAX_FRAME_SIZE"}
	}
	if f.kind == h2Data && !c.block.open {
		c.r += h2FrameHead
		c.partial = time.Time{}
		if !c.settled {
			return &h2ConnError{h2Protocol, "the first frame is not SETTINGS"}
		}
		return c.onData(f)
	}
	if err := c.need(h2FrameHead + f.length); err != nil {
		return err
	}
	p := c.in[c.r+h2FrameHead : c.r+h2FrameHead+f.length]
	c.r += h2FrameHead + f.length
	if c.settled && !c.block.open {
		c.partial = time.Time{}
	}
	err := c.handle(f, p)
	switch {
	case !c.block.open && c.settled:
		c.partial = time.Time{}
	case c.partial.IsZero():
		c.partial = c.clock
	}
	return err
}

// need reads until n bytes are there.
func (c *h2Conn) need(n int) error {
	for c.w-c.r < n {
		if c.w > c.r && c.partial.IsZero() {
			c.partial = c.clock
		}
		c.fit(n)
		if err := c.more(); err != nil {
			return err
		}
	}
	return nil
}

// fit makes place in the input for n bytes from r on.
func (c *h2Conn) fit(n int) {
	if c.r+n <= len(c.in) && c.w < len(c.in) {
		return
	}
	to := c.in
	if n > len(c.in) || c.large == nil && c.w-c.r > h2SmallInput/2 {
		to = c.enlarge()
	}
	c.w = copy(to, c.in[c.r:c.w])
	c.r, c.in = 0, to
}

func (c *h2Conn) enlarge() []byte {
	if c.large == nil {
		if b, ok := c.srv.inputs.Get().(*h2Buffer); ok {
			c.large = b
		} else {
			c.large = &h2Buffer{make([]byte, h2LargeInput)}
		}
	}
	return c.large.b
}

// more reads what there is. Before it waits, it starts the handlers of what has come and sends the answers to it: a
// request that is taken back in the same breath never starts.
func (c *h2Conn) more() error {
	if c.r == c.w {
		filled := c.w == len(c.in)
		c.r, c.w = 0, 0
		c.resizeInput(filled)
	}
	c.mu.Lock()
	c.input, c.section = len(c.small), cap(c.block.b)
	if c.large != nil {
		c.input += h2LargeInput
	}
	c.waitsSince.partial = c.partial
	c.shed()
	c.start()
	c.kick()
	c.mu.Unlock()
	for {
		if err := c.arm(); err != nil {
			return err
		}
		n, err := c.nc.Read(c.in[c.w:])
		c.w += n
		if n > 0 {
			c.clock = c.cfg.Now()
			c.heard, c.answerBy = c.clock, time.Time{}
			return nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		c.clock = c.cfg.Now()
	}
}

// resizeInput takes the large buffer when the small one was full, and gives it back when the connection is idle.
func (c *h2Conn) resizeInput(filled bool) {
	switch {
	case filled && c.large == nil, c.data.left > 0 && c.large == nil:
		c.in = c.enlarge()
	case c.large != nil && !filled && c.data.left == 0:
		c.mu.Lock()
		quiet := c.active == 0
		c.mu.Unlock()
		if quiet {
			c.srv.inputs.Put(c.large)
			c.large, c.in = nil, c.small
		}
	}
}

// arm sets the deadline of the next read, or says that the connection is over. Deadlines are moved only when it matters;
// one that comes too early is set again.
func (c *h2Conn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if c.away && c.active == 0 {
		return errH2Done
	}
	var by time.Time
	switch {
	case !c.partial.IsZero():
		if by = c.partial.Add(c.cfg.Head); !by.After(c.clock) {
			return &h2ConnError{h2EnhanceCalm, "the preface, a header section or a frame took too long"}
		}
	case c.active == 0:
		if by = c.idle.Add(c.cfg.KeepAlive); !by.After(c.clock) {
			return errH2Done
		}
	case !c.answerBy.IsZero():
		if by = c.answerBy; !by.After(c.clock) {
			return errH2Silent
		}
	default:
		if by = c.heard.Add(c.cfg.KeepAlive); !by.After(c.clock) {
			c.put(append(h2AppendFrame(nil, 8, h2Ping, 0, 0), "stormdor"...))
			c.kick()
			c.answerBy = c.clock.Add(c.cfg.Head)
			by = c.answerBy
		}
	}
	if !c.deadline.After(c.clock) || by.Before(c.deadline) || by.Sub(c.deadline) > c.cfg.KeepAlive/4 {
		c.deadline = by
		return c.nc.SetReadDeadline(by)
	}
	return nil
}

// release gives the reader's memory back.
func (c *h2Conn) release() {
	if c.large != nil {
		c.srv.inputs.Put(c.large)
		c.large = nil
	}
	c.in, c.small = nil, nil
	c.block = h2Block{}
}
