package reactor

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// release closes the socket for good.
func (c *Conn) release() {
	c.loop.dismiss(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.off {
		c.off = true
		closeFD(c.fd)
	}
}

// detach makes an ordinary connection of c. It is called by the task that holds it.
func (c *Conn) detach() {
	if c.std.Load() != nil {
		return
	}
	_ = c.loop.setOf(c.apart).remove(c.fd) // it fails when the loop never watched it
	c.loop.dismiss(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return
	}
	c.off = true
	std, err := standard(c.fd)
	if err != nil {
		std = broken{err}
	}
	c.std.Store(&std)
	// Whoever has closed it or set a deadline before the line above has not reached std.
	_ = std.SetReadDeadline(c.deadline(c.readBy.Load()))
	_ = std.SetWriteDeadline(c.deadline(c.writeBy.Load()))
	if c.closed.Load() {
		_ = std.Close()
	}
}

// Return takes a connection that has left its loop back to it, where f begins as a task that holds it. The caller must be
// the only one who reads or writes, and touch it no more. false: it stays as it is, or is closed, and f is not called.
func (c *Conn) Return(f func()) bool {
	s := c.std.Load()
	if s == nil {
		return false
	}
	old, ok := (*s).(syscall.Conn)
	if !ok {
		return false
	}
	fd, err := duplicate(old)
	if err != nil {
		return false
	}
	c.mu.Lock()
	c.fd, c.off, c.generation = fd, false, generations.Add(1)
	c.mu.Unlock()
	c.ready, c.gone = false, false // watching tells what there is
	c.std.Store(nil)
	_ = (*s).Close()
	if !c.loop.post(message{conn: c, start: f}) {
		c.closed.Store(true)
		c.release()
		return false
	}
	if c.closed.Load() { // by somebody who still saw the ordinary connection
		c.loop.post(message{conn: c})
	}
	return true
}

func (c *Conn) deadline(by int64) time.Time {
	if by == 0 {
		return time.Time{}
	}
	return c.loop.group.born.Add(time.Duration(by))
}

// broken is what a connection becomes when the system has no more descriptors for it.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error)         { return 0, b.err }
func (b broken) Write([]byte) (int, error)        { return 0, b.err }
func (b broken) Close() error                     { return nil }
func (b broken) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (b broken) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (b broken) SetDeadline(time.Time) error      { return b.err }
func (b broken) SetReadDeadline(time.Time) error  { return b.err }
func (b broken) SetWriteDeadline(time.Time) error { return b.err }

// control calls f with the open socket.
func (c *Conn) control(f func(fd int) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return net.ErrClosed
	}
	return f(c.fd)
}

// CloseWrite sends a FIN and leaves reading open.
func (c *Conn) CloseWrite() error {
	if s := c.std.Load(); s != nil {
		if w, ok := (*s).(interface{ CloseWrite() error }); ok {
			return w.CloseWrite()
		}
		return errors.ErrUnsupported
	}
	return c.control(shutdownWrite)
}

// SetLinger is net.TCPConn's.
func (c *Conn) SetLinger(seconds int) error {
	if s := c.std.Load(); s != nil {
		if w, ok := (*s).(interface{ SetLinger(int) error }); ok {
			return w.SetLinger(seconds)
		}
		return errors.ErrUnsupported
	}
	return c.control(func(fd int) error { return setLinger(fd, seconds) })
}

// Adopt takes an open connection over into the task's loop; the task holds it. On an error c is closed.
func (t *Task) Adopt(c *net.TCPConn) (*Conn, error) {
	local, _ := c.LocalAddr().(*net.TCPAddr)
	remote, _ := c.RemoteAddr().(*net.TCPAddr)
	fd, err := duplicate(c)
	_ = c.Close()
	if err != nil {
		return nil, err
	}
	mine := newConn(t.loop, fd, local.AddrPort(), remote.AddrPort())
	mine.ready = false
	mine.First(true) // the loop has opened it for somebody who is being served
	if t.loop.stopping {
		closeFD(fd)
		return nil, errStopped
	}
	if err := t.loop.admit(mine); err != nil {
		mine.release()
		return nil, err
	}
	t.Hold(mine)
	return mine, nil
}
