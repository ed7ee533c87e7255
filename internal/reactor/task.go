package reactor

import "iter"

// Task is a function that runs on a loop, and on which nothing else of the loop runs until it waits for a connection. It
// must not block otherwise: Block and Leave are for that.
type Task struct {
	loop   *loop
	f      func(*Task)
	resume func() (signal, bool)
	stop   func()
	yield  func(signal) bool
	held   []*Conn
	spent  int
	left   bool
}

// signal is what a task says when it gives the loop back.
type signal uint8

const (
	waits  signal = iota // for a connection, or for what Block does
	done                 // the function has returned
	leaves               // it goes on outside of the loop
)

// share is how much a task may do before it is another's turn: bytes moved, and callCost for each read or write.
const (
	share    = 256 << 10
	callCost = 4 << 10
)

// start runs f as a task until it waits.
func (l *loop) start(f func(*Task)) {
	var t *Task
	if n := len(l.free); n > 0 {
		t, l.free[n-1] = l.free[n-1], nil
		l.free = l.free[:n-1]
	} else {
		t = &Task{loop: l}
		t.resume, t.stop = iter.Pull(t.body)
	}
	t.f, t.spent = f, 0
	l.live++
	l.step(t)
}

// body is the coroutine: it serves one function after the other until one has left or the loop stops it.
func (t *Task) body(yield func(signal) bool) {
	t.yield = yield
	for {
		t.f(t)
		t.f = nil
		if t.left || !yield(done) {
			return
		}
	}
}

// step lets t go on until it gives the loop back.
func (l *loop) step(t *Task) {
	l.running = t
	s, _ := t.resume()
	l.running = nil
	switch s {
	case done:
		l.live--
		clear(t.held)
		t.held = t.held[:0]
		if len(l.free) < maxFree && !l.stopping {
			l.free = append(l.free, t)
		} else {
			t.stop()
		}
	case leaves:
		l.live--
		go t.resume() // returns when the function does
	}
}

// wait gives the loop back until somebody resumes the task.
func (t *Task) wait() { t.yield(waits) }

// spend notes that the task has moved n bytes, and lets others have their turn when it has had its share.
func (t *Task) spend(n int) {
	if t.spent += n + callCost; t.spent > share {
		t.spent = 0
		t.loop.again = append(t.loop.again, t)
		t.wait()
	}
}

// Block runs f in a goroutine of its own and lets the loop go on meanwhile. f must not touch connections of the loop.
func (t *Task) Block(f func()) {
	go func() {
		f()
		t.loop.post(message{task: t})
	}()
	t.wait()
}

// Await runs begin and lets the loop go on until wake is called, once, in any goroutine. It is Block for what can say when it is over.
func (t *Task) Await(begin func(wake func())) {
	begin(func() { t.loop.post(message{task: t}) })
	t.wait()
}

// Later starts f in a goroutine at the end of the loop's round, when every task that can go on has done so.
func (t *Task) Later(f func()) { t.loop.later = append(t.loop.later, f) }

// Hold says that the task uses c, so that c leaves the loop together with it; Release takes that back.
func (t *Task) Hold(c *Conn) { t.held = append(t.held, c) }

// Release undoes Hold.
func (t *Task) Release(c *Conn) {
	for i, h := range t.held {
		if h == c {
			last := len(t.held) - 1
			t.held[i], t.held[last] = t.held[last], nil
			t.held = t.held[:last]
			return
		}
	}
}

// Leave lets the function go on as an ordinary goroutine, which may block: the task and the connections that it holds are
// the loop's no more.
func (t *Task) Leave() {
	if t.left {
		return
	}
	for _, c := range t.held {
		c.detach()
	}
	t.left = true
	t.yield(leaves)
}

// Left reports whether the task has left its loop.
func (t *Task) Left() bool { return t.left }

// Loop is the index of the task's loop in its group.
func (t *Task) Loop() int { return t.loop.index }
