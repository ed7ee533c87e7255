//go:build !linux

package reactor

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// Without epoll there are no loops, and nothing of this file is ever called but openPoller.

type event struct{}

func (*event) about() (fd int, generation int32) { return 0, 0 }
func (*event) what() happening                   { return 0 }

type set struct{ fd int }

func openSet() (set, error)           { return set{}, errors.ErrUnsupported }
func (set) close()                    {}
func (set) add(int, int32) error      { return errors.ErrUnsupported }
func (set) within(set) error          { return errors.ErrUnsupported }
func (set) remove(int) error          { return errors.ErrUnsupported }
func (set) collect(e []event) []event { return nil }

type poller struct{ set }

func openPoller() (*poller, error)                 { return nil, errors.ErrUnsupported }
func (*poller) close()                             {}
func (*poller) wait(bool) ([]event, bool)          { return nil, false }
func (*poller) rest()                              {}
func (*poller) wake()                              {}
func rawRead(int, []byte) (int, syscall.Errno)     { return 0, syscall.ENOSYS }
func rawWrite(int, []byte) (int, syscall.Errno)    { return 0, syscall.ENOSYS }
func rawWritev(int, [][]byte) (int, syscall.Errno) { return 0, syscall.ENOSYS }
func rawAccept(uintptr) (int, netip.AddrPort, syscall.Errno) {
	return -1, netip.AddrPort{}, syscall.ENOSYS
}
func localAddr(int) netip.AddrPort        { return netip.AddrPort{} }
func duplicate(syscall.Conn) (int, error) { return -1, errors.ErrUnsupported }
func standard(int) (net.Conn, error)      { return nil, errors.ErrUnsupported }
func setNoDelay(int)                      {}
func setLinger(int, int) error            { return errors.ErrUnsupported }
func shutdownWrite(int) error             { return errors.ErrUnsupported }
func closeFD(int)                         {}

const maxVector = 4
