package cache

import (
	"context"
	"io"
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// refresh validates a stored answer while the visitor is served from it (RFC 5861, section 3). At most one refresh of an
// answer is under way, and refreshesMost in all; beyond that the answer stays as it is until somebody comes again.
func (w *walk) refresh(e *entry) {
	c := w.c
	if c.behind.Add(1) > refreshesMost {
		c.behind.Add(-1)
		return
	}
	f, leads := c.takeOff(w.flightID(e))
	if !leads {
		c.behind.Add(-1)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), refreshTimeMost)
	b := &backstage{conn: *w.ex.Conn(), req: cloneRequest(w.req), ctx: ctx}
	o := &flow.Outcome{}
	o.Facts.Arrived, o.Facts.Site, o.Facts.Hot = w.o.Facts.Arrived, w.o.Facts.Site, w.o.Facts.Hot
	later := &walk{}
	later.begin(c, b, o, w.rules, forwarder(w.origin.Later()))
	later.why, later.path = "stale", later.pathHash()
	go func() {
		defer cancel()
		defer c.behind.Add(-1)
		defer func() { _ = recover() }() // there is no visitor to tell; the flight ends in lead
		later.lead(f, e)
		c.refreshed.Add(1)
	}()
}

// forwarder is the Origin of a refresh.
type forwarder func(wire.Exchange) flow.Reason

func (f forwarder) Forward(ex wire.Exchange) flow.Reason   { return f(ex) }
func (f forwarder) Later() func(wire.Exchange) flow.Reason { return f }

// cloneRequest copies a request into memory that outlives its exchange.
func cloneRequest(r *wire.Request) wire.Request {
	out := *r
	out.Method, out.Target, out.Scheme, out.Authority = strings.Clone(r.Method), strings.Clone(r.Target), strings.Clone(r.Scheme), strings.Clone(r.Authority)
	out.Header = flow.NewHeader(r.Header.Len())
	for f := range r.Header.All() {
		out.Header.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	return out
}

// backstage is the exchange of a refresh: nobody reads what it says.
type backstage struct {
	conn wire.Conn
	req  wire.Request
	ctx  context.Context
}

var _ wire.Exchange = (*backstage)(nil)

func (b *backstage) Conn() *wire.Conn                         { return &b.conn }
func (b *backstage) Request() *wire.Request                   { return &b.req }
func (b *backstage) Context() context.Context                 { return b.ctx }
func (b *backstage) Body() io.Reader                          { return noBody{} }
func (b *backstage) Trailer() flow.Header                     { return flow.Header{} }
func (b *backstage) Inform(int, flow.Header) error            { return nil }
func (b *backstage) Respond(int, flow.Header, int64) error    { return nil }
func (b *backstage) Write(p []byte) (int, error)              { return len(p), nil }
func (b *backstage) Flush() error                             { return nil }
func (b *backstage) End(flow.Header) error                    { return nil }
func (b *backstage) Upgrade(flow.Header) (wire.Stream, error) { return nil, errNobody }
func (b *backstage) CloseAfter()                              {}
func (b *backstage) Abort()                                   {}
func (b *backstage) SetReadDeadline(time.Time) error          { return nil }
func (b *backstage) SetWriteDeadline(time.Time) error         { return nil }

type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, io.EOF }
