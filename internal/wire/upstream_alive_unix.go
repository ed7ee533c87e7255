//go:build unix

package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
)

// h1Probe asks, without waiting, whether an idle connection is still open and silent. It allocates once for each
// connection. The zero value answers yes: the connection is not a socket of the system's.
type h1Probe struct {
	raw   syscall.RawConn
	check func(fd uintptr)
	tls   *tls.Conn
	quiet bool
	one   [1]byte
}

func (p *h1Probe) init(c net.Conn) {
	flags := syscall.MSG_DONTWAIT
	if t, ok := c.(*tls.Conn); ok {
		p.tls, c = t, t.NetConn()
		flags |= syscall.MSG_PEEK
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	p.raw = raw
	p.check = func(fd uintptr) {
		var err error
		if p.tls == nil {
			_, err = syscall.Read(int(fd), p.one[:]) // whatever comes makes the connection useless
		} else {
			_, _, err = syscall.Recvfrom(int(fd), p.one[:], flags)
		}
		p.quiet = err == syscall.EAGAIN
	}
}

// alive reports whether the connection is open and has nothing to say. Nobody else may use it meanwhile. It may leave a
// read deadline in the past behind.
func (p *h1Probe) alive() bool {
	if p.raw == nil {
		return true
	}
	p.quiet = false
	if err := p.raw.Control(p.check); err != nil || !p.quiet {
		return false
	}
	if p.tls == nil {
		return true
	}
	// A record may wait inside of the TLS connection. A read that has no time left sees it without reading further.
	if err := p.tls.SetReadDeadline(longAgo); err != nil {
		return false
	}
	n, err := p.tls.Read(p.one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}
