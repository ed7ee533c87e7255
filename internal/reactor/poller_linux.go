package reactor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// event is what the kernel reports of one connection.
type event syscall.EpollEvent

// about says which connection: its file descriptor and the generation that it was added with.
func (e *event) about() (fd int, generation int32) { return int(e.Fd), e.Pad }

func (e *event) what() (w happening) {
	if e.Events&^syscall.EPOLLOUT != 0 {
		w |= readable
	}
	if e.Events&(syscall.EPOLLOUT|syscall.EPOLLERR|syscall.EPOLLHUP) != 0 {
		w |= writable
	}
	if e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLERR|syscall.EPOLLHUP) != 0 {
		w |= hungUp
	}
	return w
}

// edge asks for each change once (EPOLLET, whose constant in package syscall is negative).
const edge = 1 << 31

// poller is an epoll set. Waiting for it is left to the runtime's own poller, in which it looks like one more
// connection: so waiting costs no thread, and a busy loop finds its next events without the scheduler.
type poller struct {
	fd     int
	file   *os.File // owns fd
	raw    syscall.RawConn
	bell   int // an eventfd: wake rings it
	events [256]event
	found  []event
	looks  int                   // calls of look or nap since the loop began to wait or rest:
	look   func(fd uintptr) bool // the runtime calls it a second time when it has waited
	nap    func(fd uintptr) bool
}

func openPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // for os.NewFile, which then waits by the runtime's poller
		return nil, errors.Join(fmt.Errorf("epoll: %w", err), syscall.Close(fd))
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	p.look, p.nap = p.lookOnce, p.napOnce
	bell, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", errno), p.file.Close())
	}
	p.bell = int(bell)
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.control(syscall.EPOLL_CTL_ADD, p.bell, &syscall.EpollEvent{Events: syscall.EPOLLIN | edge, Fd: int32(p.bell)})
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	_ = p.file.Close()
	_ = syscall.Close(p.bell)
}

// add begins to watch fd. Closing fd ends that.
func (p *poller) add(fd int, generation int32) error {
	return p.control(syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edge, Fd: int32(fd), Pad: generation})
}

func (p *poller) remove(fd int) error {
	return p.control(syscall.EPOLL_CTL_DEL, fd, &syscall.EpollEvent{})
}

func (p *poller) control(op, fd int, e *syscall.EpollEvent) error {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(e)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// wait returns what has happened; with block set, not before something has. It is valid until the next call. slept says that
// the goroutine has given its processor back meanwhile.
func (p *poller) wait(block bool) (found []event, slept bool) {
	p.found, p.looks = nil, 0
	if !block {
		p.collect(uintptr(p.fd))
		return p.found, false
	}
	p.park(p.look)
	return p.found, p.looks > 1
}

func (p *poller) lookOnce(fd uintptr) bool {
	p.looks++
	return p.collect(fd)
}

// rest gives the processor back until the runtime has polled the network. What wait has returned stays valid.
func (p *poller) rest() {
	p.looks = 0
	p.park(p.nap)
}

// napOnce rings the bell, which the runtime's poller finds the next time.
func (p *poller) napOnce(uintptr) bool {
	if p.looks++; p.looks > 1 {
		return true
	}
	p.wake()
	return false
}

// park calls f, and again whenever the runtime's poller has found something, until it returns true.
func (p *poller) park(f func(fd uintptr) bool) {
	if err := p.raw.Read(f); err != nil {
		panic(fmt.Sprintf("waiting for epoll: %v", err)) // the file is open, and has no deadline
	}
}

// collect takes what has happened without waiting; false when nothing has.
func (p *poller) collect(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
		switch errno {
		case 0:
			p.found = p.events[:n]
			return n > 0
		case syscall.EINTR:
		default:
			panic(fmt.Sprintf("epoll_wait: %v", errno)) // the arguments are wrong, and would be again
		}
	}
}

// wake makes wait return, from any goroutine. The bell is not wound back: each ring is an edge of its own.
func (p *poller) wake() {
	one := uint64(1)
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&one)), 8)
}
