package wire

import (
	"context"
	"sync"
	"time"

	"stormdoor/internal/reactor"
)

// exchanger is the exchange that a context is about.
type exchanger interface {
	// lookOut is called when somebody waits on the context: from now on it matters whether the visitor is still there.
	lookOut()
	// leaveLoop gives the serving function a goroutine of its own, if it is on an event loop. It is the serving function
	// that calls it, or task, which is nil when it has one.
	leaveLoop()
	task() *reactor.Task
}

// exchangeContext is the context of one exchange. Nobody pays for it who does not wait on it.
type exchangeContext struct {
	of   exchanger
	base context.Context // gives the values; nil for none

	mu     sync.Mutex // guards the following
	err    error
	inner  context.Context // made when Done is first asked for
	cancel context.CancelFunc
	first  interruptible // the one watcher of most exchanges
	more   []interruptible
}

var _ context.Context = (*exchangeContext)(nil)

// Deadline implements context.Context: there is none.
func (c *exchangeContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Err implements context.Context.
func (c *exchangeContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value implements context.Context. The inner context answers for package context, which links contexts by a private
// key after it has asked for Done.
func (c *exchangeContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Value(key)
	case c.base != nil:
		return c.base.Value(key)
	}
	return nil
}

// Done implements context.Context. Only the first call is the serving function's own: the others leave the loop alone, which
// may be another exchange's by then.
func (c *exchangeContext) Done() <-chan struct{} {
	c.mu.Lock()
	inner, err := c.inner, c.err
	c.mu.Unlock()
	if inner != nil {
		return inner.Done()
	}
	if err == nil {
		c.of.leaveLoop() // whoever asks is going to block
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		base := c.base
		if base == nil {
			base = context.Background()
		}
		c.inner, c.cancel = context.WithCancel(base)
		if c.err != nil {
			c.cancel()
		} else {
			c.of.lookOut()
		}
	}
	return c.inner.Done()
}

// watch implements watchedContext.
func (c *exchangeContext) watch(i interruptible) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		i.interrupt()
	case c.first == nil:
		c.first = i
		c.of.lookOut()
	default:
		c.more = append(c.more, i)
	}
	return true
}

// unwatch implements watchedContext.
func (c *exchangeContext) unwatch(i interruptible) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == i {
		c.first = nil
		return
	}
	for k, m := range c.more {
		if m == i {
			c.more = append(c.more[:k], c.more[k+1:]...)
			return
		}
	}
}

// end ends the context, once.
func (c *exchangeContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.cancel != nil {
		c.cancel()
	}
	if c.first != nil {
		c.first.interrupt()
	}
	for _, i := range c.more {
		i.interrupt()
	}
	c.first, c.more = nil, nil
}

// Block runs f, which may block, and returns when f does. It is for the serving function of the exchange whose context ctx is:
// others on its event loop go on meanwhile, and it stays there. gone is closed when the visitor leaves. f must use nothing of
// the exchange. Any other ctx just lends f its Done.
func Block(ctx context.Context, f func(gone <-chan struct{})) {
	task := taskOf(ctx)
	if task == nil {
		f(ctx.Done())
		return
	}
	left := leaving(make(chan struct{}))
	w := ctx.(watchedContext)
	w.watch(left)
	task.Block(func() { f(left) })
	w.unwatch(left)
}

// Await is for the serving function of the exchange whose context ctx is, to wait until wake, which begin is given, is called: once, in any
// goroutine, maybe before begin returns. Others on its event loop go on meanwhile. left is called when the visitor leaves before.
func Await(ctx context.Context, left func(), begin func(wake func())) {
	c, ok := ctx.(*exchangeContext)
	if !ok {
		woken := make(chan struct{}, 1)
		begin(func() { woken <- struct{}{} })
		defer context.AfterFunc(ctx, left)()
		<-woken
		return
	}
	hook := &leftHook{left}
	defer c.unwatch(hook)
	if task := c.of.task(); task != nil {
		task.Await(func(wake func()) {
			begin(wake)
			c.watch(hook)
		})
		return
	}
	woken := make(chan struct{}, 1)
	begin(func() { woken <- struct{}{} })
	c.watch(hook)
	<-woken
}

// leaving is closed when its visitor leaves.
type leaving chan struct{}

func (l leaving) interrupt() { close(l) }

// Share returns the context of a round trip in the serving function of the exchange whose context ctx is, for an answer that others may
// want too: it does not end when the visitor leaves. left is called then, in any goroutine; it must not block. cancel ends the
// context; stop ends it, and nothing is called from then on.
func Share(ctx context.Context, left func()) (shared context.Context, cancel, stop func()) {
	c, ok := ctx.(*exchangeContext)
	if !ok {
		shared, cancel := context.WithCancel(context.Background())
		unwatch := context.AfterFunc(ctx, left)
		return shared, cancel, func() { unwatch(); cancel() }
	}
	s := &exchangeContext{of: sharing{c.of}, base: c.base}
	l := &leftHook{left}
	c.watch(l)
	return s, s.end, func() { c.unwatch(l); s.end() }
}

// sharing is an exchange whose context is shared: nobody need look out for its visitor on behalf of that one.
type sharing struct{ exchanger }

func (sharing) lookOut() {}

// leftHook calls its function when a visitor leaves.
type leftHook struct{ left func() }

func (l *leftHook) interrupt() { l.left() }

// leaveLoop is for round trips that block: whoever makes one under ctx gets a goroutine of its own.
func leaveLoop(ctx context.Context) {
	if c, ok := ctx.(*exchangeContext); ok {
		c.of.leaveLoop()
	}
}

// taskOf is the task that makes a round trip under ctx, nil for a goroutine.
func taskOf(ctx context.Context) *reactor.Task {
	if c, ok := ctx.(*exchangeContext); ok {
		return c.of.task()
	}
	return nil
}
