package wire

import (
	"encoding/binary"
	"errors"
	"runtime"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/reactor"
)

// Sizes in bytes.
const (
	h2OutputFirst = 16 << 10 // of a client that has not shown yet that it takes its answers; otherwise
	h2OutputFull  = 32 << 10 // nothing but answers to control frames is added to this much unsent
	h2OutputSpare = 512      // less room than this is no room
	h2OutputExtra = 2 << 10  // room for what is added all the same
	h2OutputKeep  = 64 << 10 // larger buffers are not kept
	h2ControlMost = 16 << 10
)

// h2Patience is the time over which the minimum rate is measured.
const h2Patience = 10 * time.Second

var errH2Deaf = errors.New("the visitor does not read the answers to its control frames")

// h2Tail is the last frame in the output, which may still be changed. A zero id stands for none.
type h2Tail struct {
	id   uint32
	at   int // where its head begins
	data bool
}

// buffer returns what is to be written. mu is held.
func (c *h2Conn) buffer() *h2Buffer {
	if c.out == nil {
		pool, size := &c.srv.outputs, h2OutputFull+h2OutputExtra
		if !c.proven {
			pool, size = &c.srv.firstOutputs, h2OutputFirst+h2OutputExtra
		}
		if b, ok := pool.Get().(*h2Buffer); ok {
			c.out = b
		} else {
			c.out = &h2Buffer{make([]byte, 0, size)}
		}
	}
	return c.out
}

func (c *h2Conn) unsent() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.b)
}

// most is how much data may be unsent. mu is held.
func (c *h2Conn) most() int {
	if c.proven {
		return h2OutputFull
	}
	return h2OutputFirst
}

func (c *h2Conn) full() bool { return c.unsent() > c.most()-h2OutputSpare }

// kick makes what there is go out. The writer is a goroutine that lives as long as there is something to write, so that
// handlers and the reader never wait in a system call. mu is held.
func (c *h2Conn) kick() { c.kickAfter(nil) }

// kickAfter is kick when the event loop of task, nil for none, has been through what else it has to do now: others of its
// tasks may have something for the same write. mu is held.
func (c *h2Conn) kickAfter(task *reactor.Task) {
	switch {
	case c.out == nil || c.flushing || c.killed:
		return
	case task != nil:
		task.Later(c.flusher)
	default:
		go c.flusher()
	}
	c.flushing = true
}

func (c *h2Conn) flush() {
	runtime.Gosched() // what is about to be answered may go along
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out != nil && !c.killed {
		b := c.out
		c.out, c.tail, c.control, c.writing = nil, h2Tail{}, 0, cap(b.b)
		c.wakeAll()
		err := c.armWrite()
		c.mu.Unlock()
		if err == nil {
			_, err = c.nc.Write(b.b)
		}
		c.mu.Lock()
		c.writing = 0
		switch b.b = b.b[:0]; {
		case cap(b.b) > h2OutputKeep:
		case cap(b.b) >= h2OutputFull:
			c.srv.outputs.Put(b)
		default:
			c.srv.firstOutputs.Put(b)
		}
		if err != nil {
			c.kill(err)
		}
	}
	c.flushing = false
	c.free.Broadcast()
}

// armWrite bounds the next write: a connection that is over gets a second for its last word. mu is held.
func (c *h2Conn) armWrite() error {
	limit := h2Patience
	if c.cfg.MinRate > 0 {
		limit += time.Duration(h2FrameMax) * time.Second / time.Duration(c.cfg.MinRate)
	}
	if c.err != nil {
		limit = time.Second
	}
	now := c.cfg.Now()
	if left := c.writeBy.Sub(now); left <= limit && left >= limit*3/4 {
		return nil
	}
	c.writeBy = now.Add(limit)
	return c.nc.SetWriteDeadline(c.writeBy)
}

// put adds the answer to a control frame. A client that does not read them is closed. mu is held.
func (c *h2Conn) put(frame []byte) {
	if c.killed {
		return
	}
	if c.control += len(frame); c.control > h2ControlMost {
		c.kill(errH2Deaf)
		return
	}
	b := c.buffer()
	b.b = append(b.b, frame...)
	c.tail = h2Tail{}
}

// greet sends the server's preface.
func (c *h2Conn) greet() {
	var p []byte
	set := func(id uint16, v int) {
		p = binary.BigEndian.AppendUint16(p, id)
		p = binary.BigEndian.AppendUint32(p, uint32(v))
	}
	set(h2SetStreams, min(c.cfg.MaxStreams, h2FirstStreams))
	set(h2SetList, c.cfg.MaxHeaderBytes)
	set(h2SetConnect, 1)
	set(h2SetNoPriority, 1)
	c.put(append(h2AppendFrame(nil, len(p), h2Settings, 0, 0), p...))
	c.recv = h2ConnWindow
	c.putUpdate(0, h2ConnWindow-h2WindowStart)
	c.kick()
}

// putSetting changes one of our settings. mu is held.
func (c *h2Conn) putSetting(id uint16, v int) {
	var b [h2FrameHead + 6]byte
	p := binary.BigEndian.AppendUint16(h2AppendFrame(b[:0], 6, h2Settings, 0, 0), id)
	c.put(binary.BigEndian.AppendUint32(p, uint32(v)))
	c.budget.hints++ // for its acknowledgement
	c.kick()
}

func (c *h2Conn) putWord(kind h2Type, id, word uint32) {
	var b [h2FrameHead + 4]byte
	c.put(binary.BigEndian.AppendUint32(h2AppendFrame(b[:0], 4, kind, 0, id), word))
}

func (c *h2Conn) putUpdate(id uint32, n int64) { c.putWord(h2Update, id, uint32(n)) }
func (c *h2Conn) putReset(id uint32, code h2Code) {
	c.putWord(h2Reset, id, uint32(code))
}

func (c *h2Conn) goaway(last uint32, code h2Code) {
	var b [h2FrameHead + 8]byte
	p := h2AppendFrame(b[:0], 8, h2Goaway, 0, 0)
	p = binary.BigEndian.AppendUint32(p, last)
	c.put(binary.BigEndian.AppendUint32(p, uint32(code)))
}

// putHead adds a header section; status 0 stands for trailers, length < 0 for no content-length. mu is held.
func (c *h2Conn) putHead(id uint32, status int, h flow.Header, length int64, end bool) {
	if c.killed {
		return
	}
	b := c.buffer()
	at := len(b.b)
	flags := byte(h2FlagEndHeaders)
	if end {
		flags |= h2FlagEnd
	}
	p := h2AppendFrame(b.b, 0, h2Headers, flags, id)
	p = c.enc.begin(p)
	if status > 0 {
		p = c.enc.status(p, status)
	}
	if length >= 0 {
		p = c.enc.length(p, length)
	}
	p = c.enc.fields(p, h)
	c.tail = h2Tail{id: id, at: at}
	n := len(p) - at - h2FrameHead
	if n > h2FrameMax {
		p = h2Split(p, at)
		c.tail = h2Tail{}
	} else {
		h2PutLength(p[at:], n)
	}
	b.b = p
	c.budget.earn(0)
}

// h2Split cuts the header block of the frame at p[at:] into HEADERS and CONTINUATION.
func h2Split(p []byte, at int) []byte {
	f := h2ReadFrame(p[at:])
	block := append([]byte(nil), p[at+h2FrameHead:]...)
	p = p[:at]
	kind, flags := h2Headers, f.flags&^h2FlagEndHeaders
	for len(block) > 0 {
		n := min(len(block), h2FrameMax)
		if n == len(block) {
			flags |= h2FlagEndHeaders
		}
		p = append(h2AppendFrame(p, n, kind, flags, f.id), block[:n]...)
		block = block[n:]
		kind, flags = h2Continuation, 0
	}
	return p
}

// putData adds as much of p as windows, frame and output allow, and returns how much that is. mu is held.
func (c *h2Conn) putData(s *h2Stream, p []byte) int {
	if c.killed || c.full() {
		return 0
	}
	allowed := int(min(int64(len(p)), s.window, c.window))
	if allowed <= 0 {
		return 0
	}
	b := c.buffer()
	n := min(allowed, c.most()-len(b.b))
	if c.tail.id == s.id && c.tail.data {
		have := len(b.b) - c.tail.at - h2FrameHead
		n = min(n, h2FrameMax-have)
		h2PutLength(b.b[c.tail.at:], have+n)
	}
	if c.tail.id != s.id || !c.tail.data || n == 0 {
		n = min(allowed, c.most()-len(b.b), h2FrameMax)
		c.tail = h2Tail{id: s.id, at: len(b.b), data: true}
		b.b = h2AppendFrame(b.b, n, h2Data, 0, s.id)
	}
	b.b = append(b.b, p[:n]...)
	s.window -= int64(n)
	c.window -= int64(n)
	c.moves++
	if n == allowed && allowed < len(p) && n < 16*h2Tiny {
		c.spendAt(c.cfg.Now(), h2CostTinyWindow)
	} else {
		c.budget.earn(n)
	}
	if len(b.b) >= c.most()/2 { // it is worth sending without being asked for
		c.kick()
	}
	return n
}

// putEnd ends the stream on our side, in its last frame where that has not gone out. mu is held.
func (c *h2Conn) putEnd(s *h2Stream) {
	if c.killed {
		return
	}
	b := c.buffer()
	if c.tail.id == s.id {
		b.b[c.tail.at+4] |= h2FlagEnd
		c.tail = h2Tail{}
		return
	}
	b.b = h2AppendFrame(b.b, 0, h2Data, h2FlagEnd, s.id)
	c.tail = h2Tail{}
}

// wakeAll lets everybody who waits for room or for the connection's window look again. mu is held.
func (c *h2Conn) wakeAll() {
	for i, s := range c.waiting {
		h2Poke(s.wake)
		c.waiting[i] = nil
	}
	c.waiting = c.waiting[:0]
}

// h2Poke wakes whoever waits on wake, now or later.
func h2Poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
