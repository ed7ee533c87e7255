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
	set
	file   *os.File // owns the set
	raw    syscall.RawConn
	bell   int // an eventfd: wake rings it
	events [mostEvents]event
	found  []event
	looks  int                   // calls of look or nap since the loop began to wait or rest:
	look   func(fd uintptr) bool // the runtime calls it a second time when it has waited
	nap    func(fd uintptr) bool
}

func openPoller() (*poller, error) {
	s, err := openSet()
	if err != nil {
		return nil, err
	}
	if err := syscall.SetNonblock(s.fd, true); err != nil { // for os.NewFile, which then waits by the runtime's poller
		s.close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	p := &poller{set: s, file: os.NewFile(uintptr(s.fd), "epoll")}
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

// wait returns what has happened; with block set, not before something has. It is valid until the next call. slept says that
// the goroutine has given its processor back meanwhile.
func (p *poller) wait(block bool) (found []event, slept bool) {
	p.found, p.looks = nil, 0
	if !block {
		p.found = p.collect(p.events[:])
		return p.found, false
	}
	p.park(p.look)
	return p.found, p.looks > 1
}

func (p *poller) lookOnce(uintptr) bool {
	p.looks++
	p.found = p.collect(p.events[:])
	return len(p.found) > 0
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

// wake makes wait return, from any goroutine. The bell is not wound back: each ring is an edge of its own.
func (p *poller) wake() {
	one := uint64(1)
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&one)), 8)
}
