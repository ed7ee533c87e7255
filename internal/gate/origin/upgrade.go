package origin

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// detach returns a context for a round trip that may end in a switch of protocols. Until settled is called it ends with the
// exchange's own. A stream must outlive that: servers end a request's context when they see the end of what the visitor
// sends, and the origin may have more to say then. The streams themselves tell when a side is gone.
func detach(parent context.Context) (ctx context.Context, settled, cancel func()) {
	ctx, cancel = context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, cancel)
	return ctx, func() { stop() }, cancel
}

// switchProtocols hands both connections over to each other after an origin's 101.
func (c *call) switchProtocols(resp *wire.Response) flow.Reason {
	origin := resp.Stream
	defer origin.Close()
	if c.key != "" && !accepts(c.key, resp.Header.Get("Sec-WebSocket-Accept")) {
		c.o.Err = "origin " + c.o.Origin + ": its Sec-WebSocket-Accept does not fit the key that it was sent"
		return flow.OriginBroken
	}
	stripAnswer(&resp.Header, &c.nominated, false)
	c.o.Status = resp.Status
	if c.tunnel {
		resp.Header.Del("Sec-WebSocket-Accept") // RFC 8441, section 5
		c.o.Status = 200
	}
	visitor, err := c.ex.Upgrade(resp.Header)
	if err != nil {
		return c.breakOff(flow.ClientGone, err)
	}
	defer visitor.Close()
	c.o.Upgraded, c.o.Err = true, ""
	return c.join(visitor, origin)
}

// duplex is two streams joined with each other.
type duplex struct {
	visitor, origin wire.Stream
	buffers         *buffers
	moved           atomic.Bool // something moved since the watchdog looked last
	idle            atomic.Bool // the watchdog has given the streams up
	ends            sync.Once
	first           flow.Reason // whose stream broke first
	err             error
}

// join copies both ways until both sides are done, one breaks, or nothing moves for the idle time. An end of one
// direction is passed on as an end of that direction only.
func (c *call) join(visitor, origin wire.Stream) flow.Reason {
	d := &duplex{visitor: visitor, origin: origin, buffers: &c.pool.buffers}
	stopWatch := d.watch(c.pool.idle)
	defer stopWatch()

	var down sync.WaitGroup
	var out int64
	down.Go(func() { out = d.copy(visitor, origin, flow.ClientGone, flow.OriginBroken) })
	c.o.BytesIn += d.copy(origin, visitor, flow.OriginBroken, flow.ClientGone)
	down.Wait()
	c.o.BytesOut += out

	d.ends.Do(func() {}) // from now on nobody cuts, and what the one who did has written is seen
	switch {
	case d.idle.Load():
		c.o.Err = fmt.Sprintf("closed after %v in which nothing moved either way", c.pool.idle)
		return ""
	case d.err != nil:
		return c.breakOff(d.first, d.err)
	}
	return ""
}

// copy moves bytes from one stream to the other until the end of from. A write error is to's fault, a read error from's.
func (d *duplex) copy(to, from wire.Stream, toFault, fromFault flow.Reason) (moved int64) {
	buffer := copyBuffer{from: d.buffers}
	defer buffer.put()
	buf := buffer.take(-1)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			d.moved.Store(true)
			w, werr := to.Write(buf[:n])
			moved += int64(w)
			if werr != nil {
				d.cut(toFault, werr)
				return moved
			}
			d.moved.Store(true)
		}
		if err == io.EOF {
			if err := to.CloseWrite(); err != nil {
				d.cut(toFault, err)
			}
			return moved
		}
		if err != nil {
			d.cut(fromFault, err)
			return moved
		}
		buf = buffer.next(n)
	}
}

// cut closes both streams; the first cause counts.
func (d *duplex) cut(r flow.Reason, err error) {
	d.ends.Do(func() {
		d.first, d.err = r, err
		d.visitor.Close()
		d.origin.Close()
	})
}

// watch gives the streams up when nothing has moved for idle, give or take a quarter. The function that it returns ends
// the watch.
func (d *duplex) watch(idle time.Duration) (stop func()) {
	const looks = 4
	var mu sync.Mutex
	var timer *time.Timer
	quiet, stopped := 0, false
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		if quiet++; d.moved.Swap(false) {
			quiet = 0
		}
		if quiet >= looks {
			d.idle.Store(true)
			d.cut("", nil)
			return
		}
		timer.Reset(idle / looks)
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(idle/looks, look)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}
