package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
)

// flight is one fetch from the origin that several visitors may wait for and read from while it comes in. It does not
// depend on the visitor who happened to be first: once its head may be shared, it goes on without him, and nobody waits
// for how fast another reads.
type flight struct {
	id     string // in flights, "" for one that nobody can join
	fills  *atomic.Int64
	most   int64 // of bytes that may be kept
	budget int64 // of all flights together

	mu      sync.Mutex
	wake    chan struct{} // closed at each change, for those who wait
	moved   chan struct{} // holds something when a reader has moved
	phase   phase
	reason  flow.Reason // of failed
	err     string
	entry   *entry // from settled or streaming on
	how     outcome
	length  int64 // announced, -1 for unknown
	chunks  [][]byte
	first   int // how many chunks were given up before chunks[0]
	held    int64
	size    int64
	kept    int64 // what is counted in fills
	over    bool  // too large to be kept: it only passes through
	readers []*reader
	waiting int
	cancel  func() // ends the fetch; nil before it has begun
	left    bool   // the visitor who began it left before that, and nobody waited
}

// phase is how far a flight is.
type phase uint8

const (
	asking    phase = iota
	declined        // there is an answer, and it is not to be shared
	failed          // there is none
	settled         // a stored answer is the answer
	streaming       // the answer may be shared, and is coming in
	complete
	broken
)

// reader is somebody who reads from a flight.
type reader struct {
	chunk, at int // of the next byte; chunk counts from the first that there ever was
	cut       bool
}

var (
	errNobody = errors.New("nobody reads an answer that is too large to be kept")
	errCut    = errors.New("the visitor reads too slowly for an answer that others wait for")
	errBroken = errors.New("the origin's answer broke off")
)

const (
	firstChunk  = 4 << 10
	largeChunk  = 256 << 10
	windowMost  = 1 << 20          // of an answer that only passes through
	laggardTime = 10 * time.Second // a reader who does not move for so long is left behind
)

func newFlight(id string) *flight {
	return &flight{id: id, wake: make(chan struct{}), moved: make(chan struct{}, 1), length: -1}
}

// change sets the phase and wakes everybody; the caller holds mu.
func (f *flight) change(p phase) {
	f.phase = p
	close(f.wake)
	f.wake = make(chan struct{})
}

// end sets a final phase unless there is one already.
func (f *flight) end(p phase, reason flow.Reason, err string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.phase == asking || f.phase == streaming {
		f.reason, f.err = reason, err
		f.change(p)
	}
}

// settle ends the flight with a stored answer.
func (f *flight) settle(e *entry, how outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entry, f.how = e, how
	f.change(settled)
}

// begin takes the head of an answer that may be shared. A known length has been reserved by the caller.
func (f *flight) begin(e *entry, length int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entry, f.length = e, length
	if length > 0 {
		f.chunks = [][]byte{make([]byte, 0, length)}
	}
	f.change(streaming)
}

// reserve counts n more bytes as kept; false when they may not be.
func (f *flight) reserve(n int64) bool {
	if f.kept+n > f.most {
		return false
	}
	if f.fills.Add(n) > f.budget {
		f.fills.Add(-n)
		return false
	}
	f.kept += n
	return true
}

// release gives back what was reserved.
func (f *flight) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fills.Add(-f.kept)
	f.kept = 0
}

// mayEnd sets what ends the fetch. The visitor who began it may be gone already.
func (f *flight) mayEnd(cancel func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cancel = cancel
	if f.left {
		f.cancel()
	}
}

// leaderLeft is called when the visitor who began the flight is gone: the fetch ends if nobody else wants it.
func (f *flight) leaderLeft() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.phase == asking && f.waiting == 0 {
		if f.left = true; f.cancel != nil {
			f.cancel()
		}
	}
}

// write appends a copy of p, and waits for the readers when the answer is too large to be kept.
func (f *flight) write(p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(p) > 0 {
		if f.over {
			if err := f.makeRoom(); err != nil {
				return err
			}
		}
		last := f.grow()
		n := min(len(p), cap(*last)-len(*last))
		*last = append(*last, p[:n]...)
		p = p[n:]
		f.size += int64(n)
		f.held += int64(n)
		close(f.wake)
		f.wake = make(chan struct{})
	}
	return nil
}

// grow returns a chunk with room; the caller holds mu.
func (f *flight) grow() *[]byte {
	if n := len(f.chunks); n > 0 && len(f.chunks[n-1]) < cap(f.chunks[n-1]) {
		return &f.chunks[n-1]
	}
	size := min(max(firstChunk, f.size), largeChunk)
	if !f.over && !f.reserve(size) {
		f.over = true
	}
	f.chunks = append(f.chunks, make([]byte, 0, size))
	return &f.chunks[len(f.chunks)-1]
}

// makeRoom gives up what every reader has read, and waits while more than the window is held. The caller holds mu, which
// is let go of while it waits.
func (f *flight) makeRoom() error {
	for {
		slowest := f.first + len(f.chunks)
		reading := 0
		for _, r := range f.readers {
			if !r.cut {
				reading++
				slowest = min(slowest, r.chunk)
			}
		}
		if reading == 0 {
			return errNobody
		}
		for f.first < slowest && len(f.chunks) > 0 {
			f.held -= int64(len(f.chunks[0]))
			f.chunks, f.first = f.chunks[1:], f.first+1
		}
		if f.held < windowMost {
			return nil
		}
		f.mu.Unlock()
		t := time.NewTimer(laggardTime)
		late := false
		select {
		case <-f.moved:
		case <-t.C:
			late = true
		}
		t.Stop()
		f.mu.Lock()
		if late {
			f.cutLaggards()
		}
	}
}

// cutLaggards leaves those behind who have read the least.
func (f *flight) cutLaggards() {
	slowest := f.first + len(f.chunks)
	for _, r := range f.readers {
		if !r.cut {
			slowest = min(slowest, r.chunk)
		}
	}
	for _, r := range f.readers {
		r.cut = r.cut || r.chunk == slowest
	}
	close(f.wake)
	f.wake = make(chan struct{})
}

// subscribe adds a reader who begins at the first byte; nil when that is gone.
func (f *flight) subscribe() *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over || f.first > 0 {
		return nil
	}
	r := &reader{}
	f.readers = append(f.readers, r)
	return r
}

// leave takes a reader out.
func (f *flight) leave(r *reader) {
	f.mu.Lock()
	r.cut = true
	f.mu.Unlock()
	f.signal()
}

func (f *flight) signal() {
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// next returns what r can read now, which stays valid; nil with done at the end. Otherwise wait is closed when there is
// more to know.
func (f *flight) next(r *reader) (p []byte, done bool, wait <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.cut {
		return nil, false, nil, errCut
	}
	for r.chunk-f.first < len(f.chunks) {
		c := f.chunks[r.chunk-f.first]
		if r.at < len(c) {
			p, r.at = c[r.at:], len(c)
			return p, false, nil, nil
		}
		if len(c) < cap(c) {
			break
		}
		r.chunk, r.at = r.chunk+1, 0
		f.signal()
	}
	switch f.phase {
	case complete:
		return nil, true, nil, nil
	case broken:
		return nil, false, nil, errBroken
	}
	return nil, false, f.wake, nil
}

// body is what came in, in memory that is not larger than it. nil when it was not kept.
func (f *flight) body() ([][]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil, false
	}
	if n := len(f.chunks); n == 0 || n == 1 && len(f.chunks[0]) == cap(f.chunks[0]) {
		return f.chunks, true
	}
	if f.size <= largeChunk {
		whole := make([]byte, 0, f.size)
		for _, c := range f.chunks {
			whole = append(whole, c...)
		}
		return [][]byte{whole}, true
	}
	body := append([][]byte(nil), f.chunks...)
	body[len(body)-1] = append(make([]byte, 0, len(body[len(body)-1])), body[len(body)-1]...)
	return body, true
}

// await waits until there is something to know of the answer, at most until the timer.
func (f *flight) await(ctx context.Context, most time.Duration) (p phase, gone bool) {
	t := time.NewTimer(most)
	defer t.Stop()
	for {
		f.mu.Lock()
		p, wake := f.phase, f.wake
		f.mu.Unlock()
		if p != asking {
			return p, false
		}
		select {
		case <-wake:
		case <-t.C:
			return asking, false
		case <-ctx.Done():
			return asking, true
		}
	}
}
