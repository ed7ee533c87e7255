package listen

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The environment by which sockets are inherited: systemd's (sd_listen_fds(3)) and our own.
const (
	envListenPID   = "LISTEN_PID"
	envListenFDs   = "LISTEN_FDS"
	envListenNames = "LISTEN_FDNAMES"
	envHandover    = "STORMDOOR_FDS"
	envReady       = "STORMDOOR_READY_FD"
	envWatchdogPID = "WATCHDOG_PID"

	firstFD = 3
)

// Inherited is the sockets that another process has opened for this one. Nil is none.
type Inherited struct {
	sockets []inheritedSocket
	ready   *os.File
}

type inheritedSocket struct {
	socket
	name string // the address, in a handover; the unit's FileDescriptorName, from systemd
	ours bool   // from a handover
}

// FromEnvironment takes over the sockets that systemd or an earlier door has left for this process, and removes the
// variables that told of them, so that no child sees them. It is called once, early. It returns nil without an error when
// there is nothing to inherit.
func FromEnvironment() (*Inherited, error) {
	defer func() {
		for _, k := range []string{envListenPID, envListenFDs, envListenNames, envHandover, envReady} {
			_ = os.Unsetenv(k)
		}
	}()
	if v, ok := os.LookupEnv(envHandover); ok {
		return fromHandover(v, os.Getenv(envReady))
	}
	pid, err := strconv.Atoi(os.Getenv(envListenPID))
	if err != nil || pid != os.Getpid() {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv(envListenFDs))
	if err != nil || n < 0 || n > 1024 {
		return nil, fmt.Errorf("systemd sockets: %s is %q, which is not a number of sockets", envListenFDs, os.Getenv(envListenFDs))
	}
	names := strings.Split(os.Getenv(envListenNames), ":")
	in := &Inherited{}
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		if err := in.add(firstFD+i, name, false); err != nil {
			return nil, errors.Join(fmt.Errorf("systemd socket %d (%q): %w", i, name, err), in.Close())
		}
	}
	return in, nil
}

func fromHandover(list, ready string) (*Inherited, error) {
	in := &Inherited{}
	if fd, err := strconv.Atoi(ready); err == nil && fd >= firstFD {
		syscall.CloseOnExec(fd)
		in.ready = os.NewFile(uintptr(fd), "ready")
	}
	for i, quoted := range strings.Split(list, ",") {
		if quoted == "" {
			continue
		}
		name, err := url.QueryUnescape(quoted)
		if err == nil {
			err = in.add(firstFD+i, name, true)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("socket %q from the earlier process: %w", quoted, err), in.Close())
		}
	}
	return in, nil
}

// add makes a socket of a file descriptor.
func (in *Inherited) add(fd int, name string, ours bool) error {
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return fmt.Errorf("there is no file descriptor %d", fd)
	}
	defer f.Close() // the socket below has its own
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	if err != nil {
		return fmt.Errorf("file descriptor %d is not a socket: %w", fd, err)
	}
	k := inheritedSocket{name: name, ours: ours}
	if kind == syscall.SOCK_DGRAM {
		k.packet, err = net.FilePacketConn(f)
	} else {
		k.listener, err = net.FileListener(f)
	}
	if err != nil {
		return err
	}
	if u, ok := k.listener.(*net.UnixListener); ok && ours {
		u.SetUnlinkOnClose(true)
	}
	in.sockets = append(in.sockets, k)
	return nil
}

// take removes and returns the socket that fits an address of the policy: by its name, or by where it is bound.
func (in *Inherited) take(addr, network, where string) (socket, bool) {
	if in == nil {
		return socket{}, false
	}
	i := slices.IndexFunc(in.sockets, func(k inheritedSocket) bool { return k.name == addr && k.network() == network })
	if i < 0 {
		i = slices.IndexFunc(in.sockets, func(k inheritedSocket) bool {
			return !k.ours && k.network() == network && sameEnd(k.bound(), where)
		})
	}
	if i < 0 {
		return socket{}, false
	}
	k := in.sockets[i].socket
	k.addr = addr
	in.sockets = slices.Delete(in.sockets, i, i+1)
	return k, true
}

func (s socket) bound() net.Addr {
	if s.listener != nil {
		return s.listener.Addr()
	}
	return s.packet.LocalAddr()
}

func (s socket) network() string {
	switch s.bound().(type) {
	case *net.UnixAddr:
		return "unix"
	case *net.UDPAddr:
		return "udp"
	}
	return "tcp"
}

// sameEnd reports whether a socket bound to a is what where asks for.
func sameEnd(a net.Addr, where string) bool {
	if u, ok := a.(*net.UnixAddr); ok {
		return u.Name == where
	}
	have := addrPort(a)
	host, port, err := net.SplitHostPort(where)
	if err != nil || port != strconv.Itoa(int(have.Port())) {
		return false
	}
	if host == "" {
		return have.Addr().IsUnspecified()
	}
	ips, err := net.LookupIP(host) // names such as "localhost"; an address stands for itself
	return err == nil && slices.ContainsFunc(ips, func(ip net.IP) bool { return ip.Equal(have.Addr().AsSlice()) })
}

// Names returns what the sockets that nobody took are called, for a warning.
func (in *Inherited) Names() []string {
	if in == nil {
		return nil
	}
	var out []string
	for _, k := range in.sockets {
		out = append(out, strings.TrimSpace(k.name+" "+k.bound().String()))
	}
	return out
}

// Ready tells the process that started this one by a handover that this one serves now. Without a handover it does
// nothing. It is called once.
func (in *Inherited) Ready() error {
	if in == nil || in.ready == nil {
		return nil
	}
	_, err := in.ready.WriteString(readyWord)
	err = errors.Join(err, in.ready.Close())
	in.ready = nil
	if err != nil {
		return fmt.Errorf("tell the earlier process that this one is ready: %w", err)
	}
	return nil
}

// Close closes what nobody took. Files of unix sockets stay: they belong to somebody else.
func (in *Inherited) Close() error {
	if in == nil {
		return nil
	}
	var errs []error
	for _, k := range in.sockets {
		if u, ok := k.listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		errs = append(errs, k.close())
	}
	in.sockets = nil
	if in.ready != nil {
		errs = append(errs, in.ready.Close())
		in.ready = nil
	}
	return errors.Join(errs...)
}
