package wire

import (
	"context"
	"net"
	"time"

	"stormdoor/internal/reactor"
)

// h1Idlers are the idle connections of an upstream, by place: 0 for those of goroutines, 1 and up for those of event loop 0
// and up. At each place the one used last is at the end, and taken first.
type h1Idlers struct {
	places [][]*h1UpConn
	n      int
}

func (i *h1Idlers) push(c *h1UpConn) {
	for len(i.places) <= c.place {
		i.places = append(i.places, nil)
	}
	i.places[c.place] = append(i.places[c.place], c)
	i.n++
}

// pop takes the one used last at a place, nil when there is none.
func (i *h1Idlers) pop(place int) *h1UpConn {
	if place >= len(i.places) || len(i.places[place]) == 0 {
		return nil
	}
	list := i.places[place]
	last := len(list) - 1
	c := list[last]
	list[last] = nil
	i.places[place] = list[:last]
	i.n--
	return c
}

// oldest takes the one that has waited longest, at the place if there is one.
func (i *h1Idlers) oldest(place int) *h1UpConn {
	for k := range i.places {
		at := (place + k) % len(i.places)
		if list := i.places[at]; len(list) > 0 {
			c := list[0]
			i.places[at] = append(list[:0], list[1:]...)
			i.n--
			return c
		}
	}
	return nil
}

// all takes all.
func (i *h1Idlers) all() (all []*h1UpConn) {
	for _, list := range i.places {
		all = append(all, list...)
	}
	*i = h1Idlers{}
	return all
}

// before takes those that have been idle since the time or longer, and says since when the next one is.
func (i *h1Idlers) before(t time.Time) (old []*h1UpConn, first time.Time) {
	for at, list := range i.places {
		n := 0
		for n < len(list) && !list[n].idleSince.After(t) {
			n++
		}
		old = append(old, list[:n]...)
		left := copy(list, list[n:])
		clear(list[left:])
		i.places[at] = list[:left]
		i.n -= n
		if left > 0 && (first.IsZero() || list[0].idleSince.Before(first)) {
			first = list[0].idleSince
		}
	}
	return old, first
}

// taskOf is the task that a round trip under ctx belongs to; nil for a goroutine, which may block. TLS and unix sockets are
// for goroutines.
func (u *h1Upstream) taskOf(ctx context.Context) *reactor.Task {
	task := taskOf(ctx)
	if task != nil && (u.cfg.TLS != nil || u.cfg.Network != "tcp") {
		leaveLoop(ctx)
		return nil
	}
	return task
}

// alive reports whether an idle connection is open and silent, as far as can be told without waiting. An event loop mostly
// knows it without asking. Whatever a connection says when nobody has asked makes it useless.
func (c *h1UpConn) alive() bool {
	if c.loop != nil {
		return c.loop.Quiet()
	}
	c.readBy = time.Time{} // the probe may move it
	return c.probe.alive()
}

// dialOnLoop opens the connection, while the event loop goes on with others.
func (c *h1UpConn) dialOnLoop(ctx context.Context, task *reactor.Task) error {
	dialing, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := ctx.(watchedContext)
	d := h1Dialing{cancel}
	w.watch(&d)
	var err error
	task.Block(func() { c.c, err = c.up.cfg.dial(dialing) })
	w.unwatch(&d)
	switch {
	case ctx.Err() != nil:
		if err == nil {
			_ = c.c.Close()
		}
		return c.up.cfg.fault(FaultCanceled, true, ctx.Err())
	case err != nil:
		return err
	}
	t, ok := c.c.(*net.TCPConn)
	if !ok {
		leaveLoop(ctx)
		c.place = 0
		c.probe.init(c.c)
		return nil
	}
	if c.loop, err = task.Adopt(t); err != nil {
		return c.up.cfg.fault(FaultDial, true, err)
	}
	c.c = c.loop
	return nil
}

// h1Dialing is a connection that is being opened.
type h1Dialing struct{ cancel context.CancelFunc }

func (d *h1Dialing) interrupt() { d.cancel() }

var _ interruptible = (*h1Dialing)(nil)
