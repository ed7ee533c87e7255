package cache

import (
	"context"
	"errors"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/cache/disk"
	"stormdoor/internal/wire"
)

// Bounds on what is read from disk. A disk that is slower than readMost is slower than most origins: then nothing is read
// for readRest.
const (
	readsMost  = 16 // at once
	readMost   = 250 * time.Millisecond
	readRest   = 10 * time.Second
	streamMost = 10 * time.Second // for the next part of an answer that has begun
	wholeMost  = 256 << 10        // a longer body is sent as it is read
	streamPart = 4 * (disk.BlockSize + 4)
)

var errDisk = errors.New("the rest of a stored answer cannot be read from disk")

// loading is one read of an answer as a whole. Whoever wants the same answer meanwhile waits for it.
type loading struct {
	done chan struct{}
	head answerHead
	body [][]byte // nil when there is none, or it could not be read
	ok   bool
}

// recall returns the answer on disk that the request selects, nil for none. A large one comes without its body: it has a
// spot instead. It is not on disk only from then on.
func (w *walk) recall() *entry {
	t := w.c.tier
	if t == nil {
		return nil
	}
	w.stamp = w.c.stamps.of(w.hash) // before the disk is looked at: what is purged from then on is not put back
	s, again := t.find(w.hash, w.key, w.req.Header)
	if s == nil {
		return nil
	}
	large := s.place.Length() > wholeMost
	if !large || again || t.log.NextToGo(s.place.Segment) {
		return w.recallWhole(s)
	}
	e := w.recallHead(s)
	if e != nil && !e.at(w.now).fresh() { // to be validated, and kept
		return w.recallWhole(s)
	}
	return e
}

// recallWhole reads an answer that recall has found and stores it in memory, too.
func (w *walk) recallWhole(s *spot) *entry {
	t, c := w.c.tier, w.c
	l, leads := t.load(w.ex.Context(), s)
	if l == nil {
		return nil
	}
	e := l.head.entry(w.rules)
	e.body, e.length = l.body, s.place.Length()
	if !e.serves(w.ask, w.req.Header) {
		return nil
	}
	t.hits.Add(1)
	if leads && c.stamps.of(w.hash) == w.stamp {
		c.store.putBack(w.hash, string(w.key), e)
	}
	return e
}

// recallHead reads the head of an answer.
func (w *walk) recallHead(s *spot) *entry {
	t := w.c.tier
	var head answerHead
	var err error
	if !t.mayRead() || !t.read(w.ex.Context(), readMost, func() { head, err = s.head() }) {
		return nil
	}
	if err != nil {
		t.unreadable(s, err)
		return nil
	}
	e := head.entry(w.rules)
	e.spot, e.length = s, s.place.Length()
	if !e.serves(w.ask, w.req.Header) {
		return nil
	}
	t.hits.Add(1)
	return e
}

// head reads the head of the answer and makes sure that it is the one.
func (s *spot) head() (h answerHead, err error) {
	b, err := s.place.ReadHead()
	if err != nil {
		return h, err
	}
	return s.check(b)
}

func (s *spot) check(b []byte) (h answerHead, err error) {
	if h, err = parseHead(b); err == nil && h.key != s.key {
		err = errHead
	}
	return h, err
}

// load reads an answer as a whole, or waits for whoever does; nil when it cannot be had in time. leads is true for who read.
func (t *tier) load(ctx context.Context, s *spot) (l *loading, leads bool) {
	t.mu.Lock()
	l = s.loading
	if leads = l == nil; leads {
		l = &loading{done: make(chan struct{})}
		s.loading = l
	}
	t.mu.Unlock()
	if !leads {
		wire.Block(ctx, func(gone <-chan struct{}) { await(l.done, readMost, gone) })
		select {
		case <-l.done:
		default:
			return nil, false
		}
	} else if !t.lead(ctx, s, l) {
		return nil, true
	}
	if !l.ok {
		return nil, leads
	}
	return l, leads
}

// lead reads for everybody who waits.
func (t *tier) lead(ctx context.Context, s *spot, l *loading) bool {
	size := s.place.Length()
	over := func() {
		t.fills.Add(-size)
		t.mu.Lock()
		s.loading = nil
		t.mu.Unlock()
		close(l.done)
	}
	if t.fills.Add(size) > t.budget.Load() || !t.mayRead() {
		over()
		return false
	}
	return t.read(ctx, readMost, func() {
		defer over()
		b, body, err := s.place.Read()
		if err == nil {
			l.head, err = s.check(b)
		}
		if err != nil {
			t.unreadable(s, err)
			return
		}
		l.body, l.ok = body, true
	})
}

// mayRead takes one of the places for reads, if there is one. read gives it back.
func (t *tier) mayRead() bool {
	select {
	case t.reading <- struct{}{}:
		return true
	default:
		return false
	}
}

// read runs f, which reads from disk, and reports whether it was done in time; if not, it may still be running. The serving
// goroutine calls it.
func (t *tier) read(ctx context.Context, most time.Duration, f func()) (ok bool) {
	late := false
	wire.Block(ctx, func(gone <-chan struct{}) {
		done := make(chan struct{})
		go func() {
			defer func() { <-t.reading; close(done) }()
			f()
		}()
		ok, late = await(done, most, gone)
	})
	if late {
		t.slow()
	}
	return ok
}

// readSoon is read for who has no place yet, and waits for one.
func (t *tier) readSoon(ctx context.Context, most time.Duration, f func()) bool {
	placed := t.mayRead()
	if !placed {
		wire.Block(ctx, func(gone <-chan struct{}) {
			timer := time.NewTimer(most)
			defer timer.Stop()
			select {
			case t.reading <- struct{}{}:
				placed = true
			case <-timer.C:
			case <-gone:
			}
		})
	}
	return placed && t.read(ctx, most, f)
}

// await waits for done.
func await(done <-chan struct{}, most time.Duration, gone <-chan struct{}) (ok, late bool) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
		return true, false
	case <-timer.C:
		return false, true
	case <-gone:
		return false, false
	}
}

var errSlow = errors.New("reading takes longer than 250 ms: nothing is read for 10 s")

// slow takes note of a read that was not done in time.
func (t *tier) slow() {
	t.mu.Lock()
	first := t.now().After(t.awake)
	t.awake = t.now().Add(readRest)
	t.mu.Unlock()
	t.failures.Add(1)
	if first {
		t.o.Failed(errSlow)
	}
}

// unreadable forgets an answer that is not what was written, or is no more.
func (t *tier) unreadable(s *spot, err error) {
	t.mu.Lock()
	t.drop(s)
	t.mu.Unlock()
	if errors.Is(err, disk.ErrDamaged) || errors.Is(err, errHead) {
		t.failures.Add(1)
	}
}

// stream sends a part of an answer whose body is on disk.
func (w *walk) stream(status int, h flow.Header, length int64, s *spot, part span) (n int64, err error) {
	if err := w.ex.Respond(status, h, length); err != nil {
		return 0, err
	}
	buf := make([]byte, streamPart)
	for part.length > 0 {
		first := part.start / disk.BlockSize
		var blocks [][]byte
		var failed error
		if !w.c.tier.readSoon(w.ex.Context(), streamMost, func() { blocks, failed = s.place.ReadBlocks(buf, first) }) {
			return n, errDisk
		}
		if failed == nil && len(blocks) == 0 {
			failed = disk.ErrDamaged
		}
		if failed != nil {
			w.c.tier.unreadable(s, failed)
			return n, errDisk
		}
		for skip := part.start - first*disk.BlockSize; len(blocks) > 0 && part.length > 0; blocks, skip = blocks[1:], 0 {
			p := blocks[0][skip:]
			p = p[:min(int64(len(p)), part.length)]
			if err := w.ex.SetWriteDeadline(time.Now().Add(w.rules.idle())); err != nil {
				return n, err
			}
			k, err := w.ex.Write(p)
			if n += int64(k); err != nil {
				return n, err
			}
			part = span{part.start + int64(len(p)), part.length - int64(len(p))}
		}
	}
	return n, w.ex.End(flow.Header{})
}
