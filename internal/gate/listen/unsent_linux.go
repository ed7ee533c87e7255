package listen

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// unsentMost bounds what the kernel keeps for a visitor beyond what the visitor's window lets it send, in bytes. Without
// it the bound is the send buffer, up to 4 MiB for each visitor who asks for something large and does not read it. It is
// four of the largest writes of our servers, so that a fast visitor never waits for one.
const unsentMost = 128 << 10

// boundUnsent sets the bound on l; the connections that it accepts inherit it, so it costs none of them a system call.
func boundUnsent(l net.Listener) error {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentMost)
	})
	return errors.Join(err, failed)
}
