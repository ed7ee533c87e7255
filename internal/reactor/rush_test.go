//go:build linux

package reactor

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
)

// crowd is many connections of one loop, and their other ends. What its tasks read is put down in order.
type crowd struct {
	group *Group
	conns []*Conn // by the order in which they were accepted, which is that of ends
	ends  []*net.TCPConn
	order []int // of the loop
}

const crowdSize = 1200 // more than rushFrom rounds

func newCrowd(t *testing.T) *crowd {
	k := &crowd{}
	var all sync.WaitGroup
	all.Add(crowdSize)
	addr := serveWith(t, 1, func(c *Conn) {
		i := len(k.conns)
		k.conns, k.group = append(k.conns, c), c.loop.group
		c.Start(func() {
			all.Done()
			defer c.Close()
			var one [1]byte
			for {
				if _, err := io.ReadFull(c, one[:]); err != nil {
					return
				}
				k.order = append(k.order, i)
				if one[0] == 'l' {
					c.Task().Leave()
				}
				if _, err := c.Write(one[:]); err != nil {
					return
				}
			}
		}, nil)
	})
	for range crowdSize {
		k.ends = append(k.ends, dial(t, addr))
	}
	all.Wait()
	return k
}

// onLoop runs f between the steps of the loop's tasks.
func (k *crowd) onLoop(f func(l *loop)) {
	done := make(chan struct{})
	k.group.Go(0, func(t *Task) {
		f(t.loop)
		close(done)
	})
	<-done
}

// ask lets every end send a byte, in order, while the loop has no time, and waits for the answers.
func (k *crowd) ask(t *testing.T, what byte) {
	t.Helper()
	k.onLoop(func(*loop) {
		k.order = k.order[:0]
		for i, e := range k.ends {
			if _, err := e.Write([]byte{what}); err != nil {
				t.Error(err)
			}
			for n := 0; n != 1; { // the kernel has taken it there
				n, _, _ = syscall.Recvfrom(k.conns[i].fd, make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			}
		}
	})
	for _, e := range k.ends {
		if _, err := io.ReadFull(e, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// place is where a connection came in the order.
func (k *crowd) place(i int) (at int) {
	k.onLoop(func(*loop) {
		for n, who := range k.order {
			if who == i {
				at = n + 1
			}
		}
	})
	return at
}

func (k *crowd) inRush() (on bool) {
	k.onLoop(func(l *loop) { on = l.rush.on })
	return on
}

// TestWhoComesFirstIsServedFirstInARush: the last of a crowd that asks at the same time does not wait for all the others.
func TestWhoComesFirstIsServedFirstInARush(t *testing.T) {
	k := newCrowd(t)
	const last, other = crowdSize - 1, crowdSize - 2
	k.conns[last].First(true)
	k.ask(t, 'x')
	if at := k.place(last); at > (rushFrom+1)*mostEvents || !k.inRush() {
		t.Errorf("who comes first comes in place %d of %d", at, crowdSize)
	}
	if at := k.place(other); at < crowdSize-1 {
		t.Errorf("who does not comes in place %d of %d", at, crowdSize)
	}
	// It goes on so, for who is named in the rush too, and ends for who is not any more.
	k.conns[other].First(true)
	k.ask(t, 'x')
	k.conns[last].First(false)
	k.ask(t, 'x')
	if at := k.place(other); at > mostEvents {
		t.Errorf("in the rush, who comes first comes in place %d of %d", at, crowdSize)
	}
	k.ask(t, 'x')
	if at := k.place(last); at < crowdSize-1 {
		t.Errorf("who does not come first any more comes in place %d of %d", at, crowdSize)
	}
}

// TestNobodyIsLostWhenARushEnds: connections that come first are served afterwards, and may leave their loop at any time.
func TestNobodyIsLostWhenARushEnds(t *testing.T) {
	k := newCrowd(t)
	for i := 0; i < crowdSize; i += 3 {
		k.conns[i].First(true)
	}
	k.ask(t, 'x')
	k.ask(t, 'x')
	if !k.inRush() {
		t.Fatal("there was no rush")
	}
	k.onLoop(func(l *loop) { l.rush.last -= int64(rushCalm) + 1 })
	if k.inRush() {
		t.Fatal("the rush does not end")
	}
	k.ask(t, 'x')
	k.ask(t, 'l') // in the rush that this begins, all leave
	k.ends = k.ends[:0]
}
