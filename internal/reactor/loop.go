package reactor

import (
	"sync"
	"sync/atomic"
	"time"
)

// loop serves its connections, one step of one task at a time. But for what is said to be atomic or under mu, all of it
// belongs to the goroutine of run and the tasks that it steps through.
type loop struct {
	group *Group
	index int
	poll  *poller
	conns []*Conn // by file descriptor
	open  int     // of them, those that are not nil

	running *Task    // the one that is being stepped through
	free    []*Task  // idle coroutines
	again   []*Task  // have had their share of this round
	later   []func() // to start in goroutines at the end of the round
	live    int      // tasks that have begun and not ended
	wheel   wheel
	now     atomic.Int64 // the group's clock at the beginning of the round
	ticker  *time.Timer
	ticking atomic.Bool
	relief  relief
	rush    rush

	mu      sync.Mutex // guards the following
	inbox   []message
	asleep  bool
	stopped bool // nothing is taken any more

	taken    []message // of the round
	stopping bool
}

// message is what other goroutines ask of a loop.
type message struct {
	conn  *Conn  // look at it again
	start func() // with conn: take it in, and start this
	task  *Task  // resume it
	begin func(*Task)
	stop  bool
}

// mostEvents is how many events are taken at once.
const mostEvents = 256

// maxFree bounds the idle coroutines that a loop keeps with their stacks.
const maxFree = 256

func newLoop(g *Group, index int, p *poller) *loop {
	l := &loop{group: g, index: index, poll: p}
	l.ticker = time.AfterFunc(time.Hour, l.tick)
	l.ticker.Stop()
	l.relief.init()
	return l
}

// post hands m over; false when the loop has ended.
func (l *loop) post(m message) bool {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return false
	}
	l.inbox = append(l.inbox, m)
	wake := l.asleep
	l.asleep = false
	l.mu.Unlock()
	if wake {
		l.poll.wake()
	}
	return true
}

// run steps through tasks until it is stopped and the last one has ended.
func (l *loop) run() {
	for !l.over() {
		events, slept := l.poll.wait(l.idle())
		now := time.Now()
		l.now.Store(l.group.since(now))
		if slept {
			l.relief.seen(now)
		}
		l.rushing(len(events) == mostEvents)
		for i := range events {
			if i%reliefLook == reliefLook-1 {
				l.relieve()
			}
			if i%rushLook == 0 {
				l.firstFirst()
			}
			l.serve(&events[i])
		}
		l.firstFirst()
		l.readMail()
		l.wheel.advance(l.now.Load(), (*Conn).timed)
		l.goOn()
		l.startLater()
		l.setTicker()
		l.relieve()
	}
	l.end()
}

// relieve lets others have their turn, if it is time.
func (l *loop) relieve() {
	if l.relief.due(time.Now()) {
		l.poll.rest()
		l.relief.seen(time.Now())
	}
}

// idle reports whether there is nothing to do until an event comes. A tick since setTicker has woken nobody: then there is.
func (l *loop) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asleep = len(l.inbox) == 0 && len(l.again) == 0 && (l.wheel.n == 0 || l.ticking.Load())
	return l.asleep
}

func (l *loop) readMail() {
	l.mu.Lock()
	l.asleep = false
	l.taken, l.inbox = l.inbox, l.taken[:0]
	l.mu.Unlock()
	for i := range l.taken {
		if i%rushLook == rushLook-1 {
			l.firstFirst()
		}
		m := l.taken[i]
		l.taken[i] = message{}
		switch {
		case m.stop:
			l.stop()
		case m.begin != nil:
			l.start(m.begin)
		case m.start != nil:
			m.conn.join(m.start)
		case m.conn != nil:
			m.conn.lookAgain()
		default:
			l.step(m.task)
		}
	}
}

// goOn resumes the tasks that have had their share.
func (l *loop) goOn() {
	n := len(l.again)
	for i := range n {
		l.step(l.again[i])
	}
	l.again = append(l.again[:0], l.again[n:]...)
}

func (l *loop) startLater() {
	for i, f := range l.later {
		go f()
		l.later[i] = nil
	}
	l.later = l.later[:0]
}

// stop closes every connection; whoever waits on one is told.
func (l *loop) stop() {
	l.stopping = true
	for _, c := range l.conns {
		if c != nil {
			c.closed.Store(true)
			c.lookAgain()
		}
	}
}

func (l *loop) over() bool { return l.stopping && l.live == 0 }

// end gives back what the loop holds.
func (l *loop) end() {
	l.mu.Lock()
	l.stopped = true
	rest := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, m := range rest {
		if m.conn != nil {
			m.conn.release()
		}
	}
	for _, c := range l.conns {
		if c != nil {
			c.release()
		}
	}
	for _, t := range l.free {
		t.stop()
	}
	l.ticker.Stop()
	l.poll.close()
	if l.rush.set != nil {
		l.rush.set.close()
	}
}

// setTicker makes sure that the loop wakes up for the next deadline.
func (l *loop) setTicker() {
	if l.wheel.n > 0 && !l.ticking.Swap(true) {
		l.ticker.Reset(slotWidth)
	}
}

func (l *loop) tick() {
	l.ticking.Store(false)
	l.mu.Lock()
	wake := l.asleep
	l.asleep = false
	l.mu.Unlock()
	if wake {
		l.poll.wake()
	}
}

// find returns the connection that an event is about, nil for one that has left.
func (l *loop) find(e *event) *Conn {
	fd, generation := e.about()
	if fd >= len(l.conns) || l.conns[fd] == nil || l.conns[fd].generation != generation {
		return nil
	}
	return l.conns[fd]
}

// admit begins to watch c.
func (l *loop) admit(c *Conn) error {
	for len(l.conns) <= c.fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[c.fd] = c
	l.open++
	c.apart = l.rush.on && c.first.Load()
	return l.setOf(c.apart).add(c.fd, c.generation)
}

// dismiss stops watching c.
func (l *loop) dismiss(c *Conn) {
	if c.fd < len(l.conns) && l.conns[c.fd] == c {
		l.conns[c.fd] = nil
		l.open--
	}
	l.wheel.remove(c)
}
