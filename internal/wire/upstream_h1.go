package wire

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/internal/reactor"
)

// h1Upstream keeps connections to one origin that speaks HTTP/1.1. A request without a body, or with a small one that is
// there already, is sent and answered in the caller's goroutine; no goroutine watches an idle connection.
type h1Upstream struct {
	cfg        UpstreamConfig
	blocks     h1Blocks
	sendBlocks sync.Pool

	mu      sync.Mutex
	idle    h1Idlers
	reaper  *time.Timer // runs while there are idle connections
	reaping bool
	closed  bool
}

// Close implements Upstream.
func (u *h1Upstream) Close() {
	u.mu.Lock()
	idle := u.idle.all()
	u.closed = true
	if u.reaper != nil {
		u.reaper.Stop()
	}
	u.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// take returns an idle connection that still seems to be open, or a new one.
func (u *h1Upstream) take(ctx context.Context) (*h1UpConn, error) {
	task := u.taskOf(ctx)
	place := 0
	if task != nil {
		place = 1 + task.Loop()
	}
	for {
		c := u.pop(place)
		if c == nil {
			break
		}
		if time.Since(c.idleSince) < u.cfg.KeepIdle && c.alive() {
			if task != nil {
				task.Hold(c.loop)
			}
			return c, nil
		}
		c.close()
	}
	c := &h1UpConn{up: u, place: place}
	c.in = h1Reader{src: c, blocks: &u.blocks}
	if task != nil {
		return c, c.dialOnLoop(ctx, task)
	}
	var err error
	if c.c, err = u.cfg.dial(ctx); err != nil {
		return nil, err
	}
	c.probe.init(c.c)
	return c, nil
}

func (u *h1Upstream) pop(place int) *h1UpConn {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.idle.pop(place)
}

// put keeps c for another request. When there are too many, the one that has waited longest goes.
func (u *h1Upstream) put(c *h1UpConn) {
	if c.loop != nil {
		task := c.loop.Task()
		if task == nil { // it has left its loop together with the visitor
			c.close()
			return
		}
		task.Release(c.loop)
	}
	c.in.release()
	c.used++
	c.idleSince = time.Now()
	u.mu.Lock()
	if u.closed || u.cfg.MaxIdle < 0 {
		u.mu.Unlock()
		c.close()
		return
	}
	var old *h1UpConn
	if u.idle.n >= u.cfg.MaxIdle {
		old = u.idle.oldest(c.place)
	}
	u.idle.push(c)
	if !u.reaping {
		u.reaping = true
		if u.reaper == nil {
			u.reaper = time.AfterFunc(u.cfg.KeepIdle, u.reap)
		} else {
			u.reaper.Reset(u.cfg.KeepIdle)
		}
	}
	u.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// reap closes the connections that have been idle for too long, and comes back while there are others.
func (u *h1Upstream) reap() {
	now := time.Now()
	u.mu.Lock()
	old, first := u.idle.before(now.Add(-u.cfg.KeepIdle))
	u.reaping = u.idle.n > 0 && !u.closed
	if u.reaping {
		u.reaper.Reset(u.cfg.KeepIdle - now.Sub(first))
	}
	u.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// h1Phase is what a connection is waiting for; each phase has its own bound on reading.
type h1Phase uint8

const (
	phaseUpload h1Phase = iota // the body is on its way out: no bound
	phaseHead                  // the head of the answer: ResponseTimeout for the whole of it
	phaseBody                  // the body of the answer: IdleTimeout for each read
	phaseStream                // after a protocol switch: the caller's bound
)

// h1UpConn is one connection. It belongs to one round trip at a time, or to the pool.
type h1UpConn struct {
	up        *h1Upstream
	c         net.Conn
	loop      *reactor.Conn // c, when it is on an event loop
	place     int           // where it is kept while idle
	in        h1Reader
	probe     h1Probe
	used      int // requests that it has carried
	idleSince time.Time
	writeBy   time.Time // the write deadline in force

	// reusable is what the answer's head says.
	reusable bool
	sender   *h1Sender // nil when the request was sent in one go

	ctx         watchedContext
	stop        func() bool // of context.AfterFunc
	interruptFn func()
	interrupted atomic.Bool

	mu     sync.Mutex // guards the following, which the sender changes too
	phase  h1Phase
	readBy time.Time // the read deadline in force
}

// Read reads from the connection under the phase's bound.
func (c *h1UpConn) Read(p []byte) (int, error) {
	for {
		asked := time.Now()
		if c.phaseNow() == phaseBody {
			c.boundRead(asked, c.up.cfg.IdleTimeout)
		}
		n, err := c.c.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.stillMoving(asked) {
			continue
		}
		return n, err
	}
}

// More reads what has come already behind the last read, without waiting. Only event loops know without asking that there may be some.
func (c *h1UpConn) More(p []byte) int {
	if c.loop == nil {
		return 0
	}
	return c.loop.More(p)
}

func (c *h1UpConn) phaseNow() h1Phase {
	if c.sender == nil {
		return c.phase
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase
}

// stillMoving reports whether the request's body went on while the answer's did not.
func (c *h1UpConn) stillMoving(since time.Time) bool {
	return c.sender != nil && !c.interrupted.Load() && c.phaseNow() == phaseBody && c.sender.moved.Load() > since.UnixNano()
}

// enter begins a phase. timeout 0 stands for no bound.
func (c *h1UpConn) enter(p h1Phase, timeout time.Duration) {
	c.mu.Lock()
	c.phase = p
	c.mu.Unlock()
	if timeout > 0 {
		c.boundRead(time.Now(), timeout)
		return
	}
	c.mu.Lock()
	c.setReadDeadline(time.Time{})
	c.mu.Unlock()
}

// boundRead makes reads end between timeout and a quarter more from now. Most calls find that the deadline in force will
// do: setting one costs more than reading the clock.
func (c *h1UpConn) boundRead(now time.Time, timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.readBy.Sub(now); left < timeout || left > timeout+timeout/4 {
		c.setReadDeadline(now.Add(timeout + timeout/8))
	}
}

// setReadDeadline never undoes an interruption. The caller holds mu.
func (c *h1UpConn) setReadDeadline(t time.Time) {
	c.readBy = t
	_ = c.c.SetReadDeadline(t) // it fails on a closed connection only, and so will the read
	if c.interrupted.Load() {
		_ = c.c.SetReadDeadline(longAgo)
	}
}

// startAnswerClock is for the sender: the request is out, so the wait for the answer is bounded from now on.
func (c *h1UpConn) startAnswerClock(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseUpload {
		c.phase = phaseHead
		c.setReadDeadline(time.Now().Add(timeout))
	}
}

// interrupt breaks off all I/O on the connection; it cannot be used again.
func (c *h1UpConn) interrupt() {
	c.interrupted.Store(true)
	_ = c.c.SetDeadline(longAgo)
}

// watch lets the end of ctx interrupt the connection.
func (c *h1UpConn) watch(ctx context.Context) {
	if w, ok := ctx.(watchedContext); ok && w.watch(c) {
		c.ctx = w
		return
	}
	if ctx.Done() == nil {
		return
	}
	if c.interruptFn == nil {
		c.interruptFn = c.interrupt
	}
	c.stop = context.AfterFunc(ctx, c.interruptFn)
}

// unwatch undoes watch; ok is false when the connection has been interrupted or soon will be.
func (c *h1UpConn) unwatch() (ok bool) {
	ok = true
	if c.ctx != nil {
		c.ctx.unwatch(c)
		c.ctx = nil
	}
	if c.stop != nil {
		ok = c.stop()
		c.stop = nil
	}
	return ok && !c.interrupted.Load()
}

// finish ends a round trip whose answer has been read to its end.
func (c *h1UpConn) finish() {
	ok := c.unwatch() && c.reusable && c.in.buffered() == 0
	if c.sender != nil {
		ok = c.sender.finished() && ok
		c.sender = nil
	}
	if !ok {
		c.letGo()
		return
	}
	c.up.put(c)
}

// abandon gives the connection up in the middle of a round trip.
func (c *h1UpConn) abandon() {
	c.unwatch()
	c.letGo()
}

// letGo closes the connection at the end of a round trip.
func (c *h1UpConn) letGo() {
	if c.loop != nil {
		if task := c.loop.Task(); task != nil {
			task.Release(c.loop)
		}
	}
	c.close()
}

func (c *h1UpConn) close() {
	_ = c.c.Close()
	c.in.drop()
}
