package reactor

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// listener accepts connections for the loops of a group. Accept belongs to one goroutine.
type listener struct {
	net.Listener // owns the socket's name; closed together with file
	group        *Group
	file         *os.File // a second descriptor of the socket
	raw          syscall.RawConn
	accept       func(fd uintptr) bool
	local        netip.AddrPort // what it is bound to
	waiting      []accepted     // have been accepted, and not yet returned
	err          error          // comes behind waiting
	closing      sync.Once
}

type accepted struct {
	fd   int
	peer netip.AddrPort
}

// batch is how many connections are accepted at once.
const batch = 32

func newListener(g *Group, l *net.TCPListener) (*listener, error) {
	fd, err := duplicate(l)
	if err != nil {
		return nil, err
	}
	setNoDelay(fd) // accepted sockets inherit it
	a := &listener{Listener: l, group: g, file: os.NewFile(uintptr(fd), "listener"), local: localAddr(fd)}
	a.accept = a.take
	if a.raw, err = a.file.SyscallConn(); err != nil {
		_ = a.file.Close()
		return nil, err
	}
	return a, nil
}

// take accepts what waits; false when nothing does.
func (a *listener) take(fd uintptr) bool {
	for len(a.waiting) < batch {
		nfd, peer, errno := rawAccept(fd)
		switch errno {
		case 0:
			a.waiting = append(a.waiting, accepted{nfd, peer})
		case syscall.EAGAIN:
			return len(a.waiting) > 0
		case syscall.EINTR, syscall.ECONNABORTED:
		default:
			a.err = &net.OpError{Op: "accept", Net: "tcp", Addr: a.Addr(), Err: os.NewSyscallError("accept4", errno)}
			return true
		}
	}
	return true
}

// Accept implements net.Listener. Connections that have been accepted are returned even when the listener was closed.
func (a *listener) Accept() (net.Conn, error) {
	if len(a.waiting) == 0 && a.err == nil {
		if err := a.raw.Read(a.accept); err != nil {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: a.Addr(), Err: net.ErrClosed}
		}
	}
	if len(a.waiting) == 0 {
		err := a.err
		a.err = nil
		return nil, err
	}
	n := a.waiting[0]
	a.waiting = a.waiting[:copy(a.waiting, a.waiting[1:])]
	local := a.local
	if local.Addr().IsUnspecified() {
		local = localAddr(n.fd)
	}
	return newConn(a.group.loops[a.group.Pick()], n.fd, local, n.peer), nil
}

// Close implements net.Listener.
func (a *listener) Close() error {
	err := net.ErrClosed
	a.closing.Do(func() {
		err = a.Listener.Close()
		_ = a.file.Close()
	})
	return err
}
