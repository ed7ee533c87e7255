package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"stormdoor/flow"
)

// h2Upstream keeps HTTP/2 connections to one origin. It hands each request to a connection once: whether a request that
// the origin refused is sent again is the caller's question. A wish to switch protocols is left out: an origin is free to
// ignore it (RFC 9110, section 7.8).
type h2Upstream struct {
	cfg    UpstreamConfig
	framer *http2.Transport
	blocks sync.Pool // *h1SendBlock

	mu      sync.Mutex
	conns   []*h2UpConn
	dialing *h2Dial // nil when no connection is being opened
	closed  bool
}

type h2UpConn struct {
	*http2.ClientConn
	used atomic.Bool // it has carried an answer
}

// h2Dial is a connection being opened, for everybody who waits for one.
type h2Dial struct {
	done chan struct{}
	err  error // set before done is closed
}

func newH2Upstream(cfg UpstreamConfig) *h2Upstream {
	return &h2Upstream{cfg: cfg, framer: &http2.Transport{
		AllowHTTP:          cfg.TLS == nil,
		DisableCompression: true,
		MaxHeaderListSize:  uint32(min(cfg.MaxHeadBytes, 1<<30)),
		IdleConnTimeout:    cfg.KeepIdle,
		ReadIdleTimeout:    15 * time.Second, // then a PING: a dead connection is noticed while others wait on it
		PingTimeout:        15 * time.Second,
		WriteByteTimeout:   cfg.IdleTimeout,
	}}
}

// Close implements Upstream.
func (u *h2Upstream) Close() {
	u.mu.Lock()
	conns := u.conns
	u.conns, u.closed = nil, true
	u.mu.Unlock()
	for _, c := range conns {
		c.retire()
	}
}

// retire closes the connection now, or when its last stream ends.
func (c *h2UpConn) retire() {
	c.SetDoNotReuse()
	if s := c.State(); s.StreamsActive+s.StreamsReserved+s.StreamsPending == 0 {
		_ = c.ClientConn.Close()
	}
}

// take reserves a stream on a connection, and opens one when none has room.
func (u *h2Upstream) take(ctx context.Context) (*h2UpConn, error) {
	for {
		c, d := u.reserve()
		if c != nil {
			return c, nil
		}
		select {
		case <-d.done:
			if d.err != nil {
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, u.cfg.fault(FaultCanceled, true, ctx.Err())
		}
	}
}

func (u *h2Upstream) reserve() (*h2UpConn, *h2Dial) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conns = slices.DeleteFunc(u.conns, func(c *h2UpConn) bool {
		if s := c.State(); s.Closed || s.Closing {
			c.retire()
			return true
		}
		return false
	})
	for _, c := range u.conns {
		if c.ReserveNewRequest() {
			return c, nil
		}
	}
	if u.dialing == nil {
		u.dialing = &h2Dial{done: make(chan struct{})}
		go u.open(u.dialing)
	}
	return nil, u.dialing
}

// open opens a connection. It is no visitor's own: one who leaves does not take it from the others.
func (u *h2Upstream) open(d *h2Dial) {
	nc, err := u.cfg.dial(context.Background())
	var cc *http2.ClientConn
	if err == nil {
		if cc, err = u.framer.NewClientConn(nc); err != nil {
			_ = nc.Close()
			err = u.cfg.fault(FaultDial, true, err)
		}
	}
	u.mu.Lock()
	if err == nil {
		c := &h2UpConn{ClientConn: cc}
		if u.closed {
			c.SetDoNotReuse()
			_ = cc.Close()
			err = u.cfg.fault(FaultDial, true, errors.New("the client is closed"))
		} else {
			u.conns = append(u.conns, c)
		}
	}
	u.dialing, d.err = nil, err
	u.mu.Unlock()
	close(d.done)
}

// The ends that an exchange over HTTP/2 comes to by our own decision. They are never changed.
var (
	errNoAnswer  = errors.New("no head of an answer in time")
	errNoMove    = errors.New("nothing has moved for too long")
	errAnswerEnd = errors.New("the answer is complete")
)

// RoundTrip implements Upstream.
func (u *h2Upstream) RoundTrip(ctx context.Context, r *Request, body io.Reader, trailer func() flow.Header, hooks Hooks) (*Response, error) {
	leaveLoop(ctx) // it waits for other goroutines
	if err := ctx.Err(); err != nil {
		return nil, u.cfg.fault(FaultCanceled, true, err)
	}
	req, err := h2Request(r)
	if err == nil && r.Length > 0 && body == nil {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, u.cfg.fault(FaultBody, true, err)
	}
	c, err := u.take(ctx)
	if err != nil {
		return nil, err
	}
	t := &h2Trip{up: u, conn: c, visitor: ctx, inform: hooks.Inform}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.move()
	t.idle = time.AfterFunc(u.cfg.IdleTimeout, t.checkIdle)
	t.attach(req, r.Length, body, trailer)
	if hooks.Wrote != nil {
		hooks.Wrote()
	}
	res, err := t.run(req)
	if err == nil && (res.StatusCode < 200 || res.StatusCode > 999) {
		_ = res.Body.Close()
		err = errStatusLine
	}
	if err != nil {
		fault := t.fault(err)
		t.end(err)
		return nil, fault
	}
	t.answered()
	return t.response(res), nil
}

// h2Request makes the head of a request. The target's bytes survive because net/url takes an opaque part as it is.
func h2Request(r *Request) (*http.Request, error) {
	if !validMethod(r.Method) || r.Target == "" || !only(r.Target, classTarget) || !validAuthority(r.Authority) {
		return nil, errUnsendable
	}
	u := &url.URL{Scheme: r.Scheme, Host: r.Authority, Opaque: "//" + r.Authority + r.Target}
	if r.Target == "*" {
		u.Opaque = "*"
	}
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	h := make(http.Header, r.Header.Len()+1)
	h["User-Agent"] = nil // or the library names itself
	for i := range r.Header.Len() {
		f := r.Header.At(i)
		if framingField(f.Name) || flow.EqualFold(f.Name, "host") {
			continue
		}
		if !validFieldName(f.Name) || !validFieldValue(f.Value) {
			return nil, errUnsendable
		}
		h.Add(f.Name, f.Value)
	}
	return &http.Request{Method: r.Method, URL: u, Host: r.Authority, Header: h,
		Proto: "HTTP/2.0", ProtoMajor: 2}, nil
}
