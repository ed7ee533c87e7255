package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// errNotLoopback is the answer to any address outside of this machine's loopback network.
var errNotLoopback = errors.New("a drill binds and dials loopback only")

// loopbackOnly is the Control function of every socket of a drill: the last step before the system binds or connects. It
// lets IPv4 loopback pass and nothing else, whatever the code above it believed.
func loopbackOnly(network, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().Is4() || !a.Addr().IsLoopback() {
		return fmt.Errorf("%s %s: %w", network, address, errNotLoopback)
	}
	return nil
}

// listenLoopback opens a free port of 127.0.0.1.
func listenLoopback(ctx context.Context) (net.Listener, error) {
	c := net.ListenConfig{Control: loopbackOnly}
	return c.Listen(ctx, "tcp4", "127.0.0.1:0")
}

// dialer dials from the address; the zero Addr lets the system choose.
func dialer(from netip.Addr, timeout time.Duration) *net.Dialer {
	d := &net.Dialer{Timeout: timeout, Control: loopbackOnly, KeepAlive: -1}
	if from.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	return d
}

// The internet of a drill is 127.0.0.0/8. Good visitors live in 127.10.0.0/16, the office behind one address is
// 127.11.0.1, roaming visitors move about 127.12.0.0/16, and bots come from 127.64.0.0/10.
func visitorAddr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 10, byte(n >> 8), byte(n) | 1})
}
func officeAddr() netip.Addr { return netip.AddrFrom4([4]byte{127, 11, 0, 1}) }
func roamingAddr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 12, byte(n >> 8), byte(n) | 1})
}

// botAddr is the address of bot n. Neighbours in number lie in different /16 networks, so that no two of a small crowd
// share a prefix.
func botAddr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 64 + byte(n%64), byte(n / 64 % 256), 1 + byte(n/64/256%250)})
}

// hostile reports whether the address belongs to a bot.
func hostile(a netip.Addr) bool {
	b := a.Unmap().As4()
	return b[0] == 127 && b[1] >= 64 && b[1] < 128
}
