package reactor

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// happening is what a loop learns of a connection.
type happening uint8

const (
	readable happening = 1 << iota
	writable
	hungUp // the other end sends nothing more, or is gone
)

// direction is what a task waits for.
type direction uint8

const (
	nothing direction = iota
	reading
	writing
)

// Conn is a TCP connection of a loop. Reads and writes belong to tasks of that loop; all else may be called from any
// goroutine. Once the task that holds it has left the loop, it is an ordinary connection.
type Conn struct {
	loop          *loop
	fd            int
	generation    int32
	local, remote netip.AddrPort

	// Of the loop and its tasks:
	ready      bool // there may be something to read
	gone       bool // nothing will come behind what there is to read
	waiter     *Task
	parked     func() // to start when there is something to read
	waitingFor direction
	hangUp     func()
	place      place
	apart      bool // watched with those who come first

	first               atomic.Bool // see First
	closed              atomic.Bool
	waiting             atomic.Bool // somebody has to be told of a new deadline
	readBy, writeBy     atomic.Int64
	readLate, writeLate atomic.Bool // the deadline has passed

	std atomic.Pointer[net.Conn] // what it has become after leaving
	mu  sync.Mutex               // guards fd against being closed during a call by others than the loop's goroutine
	off bool                     // fd is closed, or another's; under mu
}

var _ net.Conn = (*Conn)(nil)

// generations tell connections apart that have the same descriptor one after the other.
var generations atomic.Int32

func newConn(l *loop, fd int, local, remote netip.AddrPort) *Conn {
	return &Conn{loop: l, fd: fd, generation: generations.Add(1), local: local, remote: remote, ready: true}
}

// Start hands the connection to its loop, where f begins as a task that holds it. It is called once, before all else.
// hangUp is called on the loop, between the steps of tasks, when the other end hangs up while nobody waits to read.
func (c *Conn) Start(f, hangUp func()) {
	c.hangUp = hangUp
	if !c.loop.post(message{conn: c, start: f}) {
		c.release()
	}
}

// join takes a connection into the loop. A new one has probably something to say already. f finds out when it is closed.
func (c *Conn) join(f func()) {
	c.mu.Lock()
	off := c.off // somebody has closed it on its way here: the descriptor is another's by now
	c.mu.Unlock()
	if off || c.loop.stopping || c.loop.admit(c) != nil {
		c.closed.Store(true)
	}
	c.begin(f)
}

// begin starts f as a task that holds c.
func (c *Conn) begin(f func()) {
	c.loop.start(func(t *Task) {
		t.Hold(c)
		f()
	})
}

// Task is the task that calls it; nil when the connection has left its loop.
func (c *Conn) Task() *Task {
	if c.std.Load() != nil {
		return nil
	}
	return c.loop.running
}

// Loop is the connection itself, for those that are wrapped around one.
func (c *Conn) Loop() *Conn { return c }

// Readable reports whether a read would tell something new: bytes, the end, or an error. It may be wrong in saying yes.
func (c *Conn) Readable() bool {
	return c.ready || c.closed.Load() || c.readLate.Load()
}

// Quiet reports whether the connection is open and has nothing to say. It asks the kernel only where the last read was filled
// by just what there was.
func (c *Conn) Quiet() bool {
	if c.closed.Load() || c.gone || c.std.Load() != nil {
		return false
	}
	if c.ready {
		var one [1]byte
		_, errno := rawRead(c.fd, one[:])
		c.ready = errno != syscall.EAGAIN
	}
	return !c.ready
}

// HungUp reports whether the other end will send nothing behind what there is to read.
func (c *Conn) HungUp() bool { return c.gone }

// Park lets f begin as a task that holds c when there is something to read. The caller's own task must be about to end.
func (c *Conn) Park(f func()) {
	c.parked = f
	c.await(nil, reading)
	if c.Readable() { // a deadline or an end came in between
		c.loop.post(message{conn: c})
	}
}

// await notes that t, or whoever is parked, waits.
func (c *Conn) await(t *Task, d direction) {
	c.waiter, c.waitingFor = t, d
	c.waiting.Store(true)
	c.schedule()
}

// schedule lets the loop look at the connection when its deadline passes.
func (c *Conn) schedule() {
	by := c.readBy.Load()
	if c.waitingFor == writing {
		by = c.writeBy.Load()
	}
	if by != 0 {
		c.loop.wheel.set(c, by)
	}
}

// wake lets whoever waits go on.
func (c *Conn) wake() {
	t, f := c.waiter, c.parked
	c.waiter, c.parked, c.waitingFor = nil, nil, nothing
	c.waiting.Store(false)
	if t != nil {
		c.loop.step(t)
	} else if f != nil {
		c.begin(f)
	}
}

// happened is the loop's word that something has.
func (c *Conn) happened(w happening) {
	if w&hungUp != 0 {
		c.gone = true
	}
	if w&readable != 0 {
		c.ready = true
	}
	switch {
	case c.waitingFor == reading && w&readable != 0, c.waitingFor == writing && w&writable != 0:
		c.wake()
	case w&hungUp != 0 && c.hangUp != nil:
		c.hangUp()
	}
}

// lookAgain is called when a goroutine has closed the connection or moved a deadline.
func (c *Conn) lookAgain() {
	if c.std.Load() != nil {
		return
	}
	switch {
	case c.waitingFor == nothing:
	case c.closed.Load() || c.late() || c.waitingFor == reading && c.ready:
		c.wake()
	default:
		c.schedule()
	}
	if c.closed.Load() {
		c.release() // every call looks at closed first
	}
}

// timed is called when the wheel comes to the connection.
func (c *Conn) timed() {
	if c.waitingFor == nothing {
		return
	}
	if now := c.loop.now.Load(); c.waitingFor == reading {
		passed(&c.readBy, &c.readLate, now)
	} else {
		passed(&c.writeBy, &c.writeLate, now)
	}
	c.lookAgain()
}

// pause lets the calling task wait.
func (c *Conn) pause(d direction) {
	t := c.loop.running
	c.await(t, d)
	if c.closed.Load() || c.late() {
		c.waiter, c.waitingFor = nil, nothing
		c.waiting.Store(false)
		return
	}
	t.wait()
}

// Read implements net.Conn. A read that does not fill p has taken all that there was, so the next one waits first.
func (c *Conn) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if s := c.std.Load(); s != nil {
			return (*s).Read(p)
		}
		if err := c.failed("read", &c.readLate); err != nil {
			return 0, err
		}
		if !c.ready {
			c.pause(reading)
			continue
		}
		n, errno := rawRead(c.fd, p)
		c.ready = n == len(p) || c.gone || errno == syscall.EINTR
		switch {
		case errno == syscall.EAGAIN || errno == syscall.EINTR:
		case errno != 0:
			c.ready = true
			return 0, c.opError("read", os.NewSyscallError("read", errno))
		case n == 0:
			c.ready = true
			return 0, io.EOF
		default:
			c.loop.running.spend(n)
			return n, nil
		}
	}
	return 0, nil
}

// More reads what has come already behind a read that was filled, without waiting: 0 when there is nothing. An end or an
// error is left to the next Read.
func (c *Conn) More(p []byte) int {
	if len(p) == 0 || !c.ready || c.std.Load() != nil || c.closed.Load() || c.readLate.Load() {
		return 0
	}
	n, errno := rawRead(c.fd, p)
	if errno == syscall.EAGAIN {
		c.ready = false
	}
	if errno != 0 || n == 0 {
		return 0
	}
	c.ready = n == len(p) || c.gone
	c.loop.running.spend(n)
	return n
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if s := c.std.Load(); s != nil {
			k, err := (*s).Write(p[n:])
			return n + k, err
		}
		if err := c.failed("write", &c.writeLate); err != nil {
			return n, err
		}
		k, errno := rawWrite(c.fd, p[n:])
		if err := c.wrote(&n, k, errno); err != nil {
			return n, err
		}
	}
	return n, nil
}

// wrote judges a write of k bytes, and waits where the kernel takes no more.
func (c *Conn) wrote(n *int, k int, errno syscall.Errno) error {
	switch errno {
	case 0:
		*n += k
		c.loop.running.spend(k)
	case syscall.EAGAIN:
		c.pause(writing)
	case syscall.EINTR:
	default:
		return c.opError("write", os.NewSyscallError("write", errno))
	}
	return nil
}

// WriteBuffers writes all of b, with one system call where the kernel takes it.
func (c *Conn) WriteBuffers(b *net.Buffers) (sum int64, err error) {
	for len(*b) > 0 {
		if s := c.std.Load(); s != nil {
			k, err := b.WriteTo(*s)
			return sum + k, err
		}
		if err := c.failed("write", &c.writeLate); err != nil {
			return sum, err
		}
		n := 0
		k, errno := rawWritev(c.fd, (*b)[:min(len(*b), maxVector)])
		err := c.wrote(&n, k, errno)
		sum += int64(n)
		consume(b, n)
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// consume takes n bytes off the front of b.
func consume(b *net.Buffers, n int) {
	for len(*b) > 0 && n >= len((*b)[0]) {
		n -= len((*b)[0])
		*b = (*b)[1:]
	}
	if n > 0 {
		(*b)[0] = (*b)[0][n:]
	}
}

// ReadFrom keeps splice for io.Copy to a connection that has left its loop.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if s := c.std.Load(); s != nil {
		return io.Copy(*s, r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (c *Conn) failed(op string, late *atomic.Bool) error {
	switch {
	case c.closed.Load():
		return c.opError(op, net.ErrClosed)
	case late.Load():
		return c.opError(op, os.ErrDeadlineExceeded)
	}
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// AddrPorts are both ends, without an allocation.
func (c *Conn) AddrPorts() (local, remote netip.AddrPort) { return c.local, c.remote }

// Close implements net.Conn. The loop closes the socket a moment later, and whoever waits is told.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return c.opError("close", net.ErrClosed)
	}
	if s := c.std.Load(); s != nil {
		return (*s).Close()
	}
	if !c.loop.post(message{conn: c}) {
		c.release()
	}
	return nil
}
