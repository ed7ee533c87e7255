// Package reactor answers "which connection can go on?": event loops that serve many connections in one goroutine each, as
// nginx does in a process. What is served on a loop is written as if it blocked; where it would, the loop goes on with
// another connection by switching coroutines, without the scheduler.
//
// It knows no protocol. Where the system has no epoll, there are no loops, and connections stay with package net.
package reactor

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Group is the loops of a server. The nil Group has none. It is safe for concurrent use.
type Group struct {
	loops []*loop
	next  atomic.Uint32
	born  time.Time
}

// New returns n loops that Run sets going. The error is errors.ErrUnsupported where the system has no epoll.
func New(n int) (*Group, error) {
	g := &Group{born: time.Now()}
	for i := range n {
		p, err := openPoller()
		if err != nil {
			g.discard()
			return nil, err
		}
		g.loops = append(g.loops, newLoop(g, i, p))
	}
	return g, nil
}

func (g *Group) discard() {
	for _, l := range g.loops {
		l.poll.close()
	}
}

// Run runs the loops until ctx ends. Then their connections are closed, and Run returns when the last task has ended.
func (g *Group) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, l := range g.loops {
		all.Go(l.run)
	}
	<-ctx.Done()
	for _, l := range g.loops {
		l.post(message{stop: true})
	}
	all.Wait()
	return nil
}

// Listener returns a listener on the socket of l whose connections are *Conn, each to be started on its loop. Closing it
// closes l. It is l itself when there is no loop or l is not a TCP listener.
func (g *Group) Listener(l net.Listener) (net.Listener, error) {
	t, ok := l.(*net.TCPListener)
	if g == nil || !ok {
		return l, nil
	}
	return newListener(g, t)
}

// Pick chooses a loop for what is new, in turn.
func (g *Group) Pick() int {
	if g == nil {
		return 0
	}
	return int(g.next.Add(1) % uint32(len(g.loops)))
}

// Go begins f as a task of a loop; false when there is none, or it has ended.
func (g *Group) Go(loop int, f func(*Task)) bool {
	return g != nil && g.loops[loop].post(message{begin: f})
}

// since is the group's clock: nanoseconds from its birth, never 0.
func (g *Group) since(t time.Time) int64 {
	if n := int64(t.Sub(g.born)); n != 0 {
		return n
	}
	return 1
}

var errStopped = errors.New("the event loops have ended")
