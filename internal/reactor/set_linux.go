package reactor

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// set is an epoll set.
type set struct{ fd int }

func openSet() (set, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return set{}, fmt.Errorf("epoll: %w", err)
	}
	return set{fd}, nil
}

func (s set) close() { _ = syscall.Close(s.fd) }

// add begins to watch a connection. Closing it ends that.
func (s set) add(fd int, generation int32) error {
	return s.control(syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edge, Fd: int32(fd), Pad: generation})
}

// within lets s tell, as long as it is so, that something has happened in another set.
func (s set) within(other set) error {
	return s.control(syscall.EPOLL_CTL_ADD, other.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(other.fd)})
}

func (s set) remove(fd int) error {
	return s.control(syscall.EPOLL_CTL_DEL, fd, &syscall.EpollEvent{})
}

func (s set) control(op, fd int, e *syscall.EpollEvent) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(s.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(e)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// collect takes what has happened without waiting.
func (s set) collect(events []event) []event {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(s.fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		switch errno {
		case 0:
			return events[:n]
		case syscall.EINTR:
		default:
			panic(fmt.Sprintf("epoll_wait: %v", errno)) // the arguments are wrong, and would be again
		}
	}
}
