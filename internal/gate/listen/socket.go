package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Set is the open listening sockets of the process, by the address that the policy names. It is not safe for concurrent
// use, but what it hands out is.
type Set struct {
	sockets []socket
}

// socket is one of both: a listener or a packet connection.
type socket struct {
	addr     string
	listener net.Listener
	packet   net.PacketConn
}

// filer is what can hand its file descriptor on.
type filer interface{ File() (*os.File, error) }

func (s socket) file() (*os.File, error) {
	var from any = s.packet
	if s.listener != nil {
		from = s.listener
	}
	c, ok := from.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%s: a %T cannot be handed over", s.addr, from)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	// The File method of net's listeners would do, but its Fd, which starting a process calls, puts the socket into
	// blocking mode, for this process too: its Accept could then not be ended by Close.
	var fd int
	var failed error
	err = raw.Control(func(ours uintptr) { fd, failed = unix.FcntlInt(ours, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), s.addr), nil
}

func (s socket) close() error {
	if s.listener != nil {
		return s.listener.Close()
	}
	return s.packet.Close()
}

// Open opens a socket for each address, or none at all. An address is "host:port", ":port" (IPv4 and IPv6),
// "unix:/path", or one of the first two behind "udp:" for a packet socket. Sockets that were inherited are taken
// over where their address fits; those that nobody asks for are left in inherited. Nil inherits nothing.
//
// The errors of all addresses come at once. Each names the address and says what to do.
func Open(addrs []string, inherited *Inherited) (*Set, error) {
	return (&Set{}).Next(addrs, inherited)
}

// Next returns a Set for addrs that shares with s the sockets which both name, and opens the others, all or none. s
// stays as it is: close what it has beyond the next one with Retire when the next one serves.
func (s *Set) Next(addrs []string, inherited *Inherited) (*Set, error) {
	next, fresh := &Set{}, &Set{}
	var errs []error
	for _, a := range addrs {
		if next.find(a) != nil {
			continue
		}
		if k := s.find(a); k != nil {
			next.sockets = append(next.sockets, *k)
			continue
		}
		k, err := openSocket(a, inherited)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.sockets, fresh.sockets = append(next.sockets, k), append(fresh.sockets, k)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, fresh.Close())...)
	}
	return next, nil
}

// Retire closes the sockets that next does not have. Whoever serves one may have closed it already.
func (s *Set) Retire(next *Set) error {
	var errs []error
	for _, k := range s.sockets {
		if next.find(k.addr) != nil {
			continue
		}
		if err := k.close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Close closes all sockets.
func (s *Set) Close() error { return s.Retire(&Set{}) }

// Addrs returns the addresses as the policy names them.
func (s *Set) Addrs() []string {
	var out []string
	for _, k := range s.sockets {
		out = append(out, k.addr)
	}
	return out
}

// Listener returns the listener for an address that Open was given, nil for any other.
func (s *Set) Listener(addr string) net.Listener {
	if k := s.find(addr); k != nil {
		return k.listener
	}
	return nil
}

// Packet returns the packet connection for a "udp:" address that Open was given, nil for any other.
func (s *Set) Packet(addr string) net.PacketConn {
	if k := s.find(addr); k != nil {
		return k.packet
	}
	return nil
}

func (s *Set) find(addr string) *socket {
	i := slices.IndexFunc(s.sockets, func(k socket) bool { return k.addr == addr })
	if i < 0 {
		return nil
	}
	return &s.sockets[i]
}

func openSocket(addr string, inherited *Inherited) (socket, error) {
	network, where, err := splitAddr(addr)
	if err != nil {
		return socket{}, err
	}
	if k, ok := inherited.take(addr, network, where); ok {
		return k.bounded()
	}
	if network == "unix" {
		if err := removeStale(where); err != nil {
			return socket{}, err
		}
	}
	// The door bounds idle connections by itself; keep-alive probes would only cost system calls at each accept.
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	k := socket{addr: addr}
	if network == "udp" {
		k.packet, err = lc.ListenPacket(context.Background(), network, where)
	} else {
		k.listener, err = lc.Listen(context.Background(), network, where)
	}
	if err != nil {
		return socket{}, explain(addr, network, where, err)
	}
	if network == "unix" {
		if err := os.Chmod(where, 0o660); err != nil {
			return socket{}, errors.Join(fmt.Errorf("listen on %s: %w", addr, err), k.close())
		}
	}
	return k.bounded()
}

// bounded bounds what the kernel keeps for each visitor of s; an s for which that fails is closed.
func (s socket) bounded() (socket, error) {
	if err := boundUnsent(s.listener); err != nil {
		return socket{}, errors.Join(fmt.Errorf("listen on %s: bound what the kernel keeps for a visitor: %w", s.addr, err), s.close())
	}
	return s, nil
}

// splitAddr takes an address of the policy apart.
func splitAddr(addr string) (network, where string, err error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if path == "" {
			return "", "", fmt.Errorf("listen on %q: the path is missing, want unix:/path", addr)
		}
		return "unix", path, nil
	}
	network, where = "tcp", addr
	if rest, ok := strings.CutPrefix(addr, "udp:"); ok {
		network, where = "udp", rest
	}
	_, port, err := net.SplitHostPort(where)
	if err != nil {
		return "", "", fmt.Errorf(`listen on %q: want "host:port", ":port" or "unix:/path"`, addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", fmt.Errorf("listen on %q: %q is not a port, want 0 to 65535", addr, port)
	}
	return network, where, nil
}

// removeStale removes a unix socket file when nobody answers there.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("listen on unix:%s: there is a file that is not a socket; move it away or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("listen on unix:%s: another process answers there; stop it or choose another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen on unix:%s: cannot tell whether another process uses it: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen on unix:%s: cannot remove the file that an earlier process left: %w", path, err)
	}
	return nil
}

// explain says what to do about a failure to listen.
func explain(addr, network, where string, err error) error {
	var do string
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		do = "another process has this address; stop it or choose another port"
		if who := portOwner(network, where); who != "" {
			do = who + " has this address; stop it or choose another port"
		}
	case errors.Is(err, syscall.EACCES) && network != "unix":
		do = "ports below 1024 need CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep, or AmbientCapabilities in the unit), or choose a higher port"
	case errors.Is(err, syscall.EACCES):
		do = "the folder must be writable for the user that the door runs as"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		do = "this machine has no such address; see `ip address`"
	case errors.Is(err, fs.ErrNotExist):
		do = "make the folder first"
	default:
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return fmt.Errorf("listen on %s: %w: %s", addr, errors.Unwrap(err), do)
}
