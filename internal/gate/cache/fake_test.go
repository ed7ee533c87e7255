package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// visitor is an exchange that keeps what it is told.
type visitor struct {
	req     wire.Request
	ctx     context.Context
	conn    wire.Conn
	mu      sync.Mutex
	status  int
	header  flow.Header
	length  int64
	body    bytes.Buffer
	flushes int
	informs int
	ended   bool
	aborted bool
	stuck   chan struct{} // writes wait for it, nil for never
	wrote   chan struct{} // gets something after each write that is not waited for
}

var _ wire.Exchange = (*visitor)(nil)

// get is a visitor who asks for a target. fields are "Name: value".
func get(target string, fields ...string) *visitor { return ask("GET", target, fields...) }

func ask(method, target string, fields ...string) *visitor {
	v := &visitor{ctx: context.Background(), req: wire.Request{Proto: flow.HTTP11, Method: method, Target: target, Scheme: "http", Authority: "shop.example"}}
	v.req.Header.Add("Host", "shop.example")
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			v.req.Authority = value
		}
		v.req.Header.Add(name, value)
	}
	return v
}

func (v *visitor) Conn() *wire.Conn         { return &v.conn }
func (v *visitor) Request() *wire.Request   { return &v.req }
func (v *visitor) Context() context.Context { return v.ctx }
func (v *visitor) Body() io.Reader          { return strings.NewReader("") }
func (v *visitor) Trailer() flow.Header     { return flow.Header{} }
func (v *visitor) Inform(int, flow.Header) error {
	v.informs++
	return nil
}

func (v *visitor) Respond(status int, h flow.Header, length int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.status != 0 {
		return errors.New("answered twice")
	}
	v.status, v.header, v.length = status, h.Clone(), length
	return nil
}

func (v *visitor) Write(p []byte) (int, error) {
	if v.stuck != nil {
		select {
		case <-v.stuck:
		case <-v.ctx.Done():
			return 0, v.ctx.Err()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.req.Method != "HEAD" && v.status != 304 {
		v.body.Write(p)
	}
	if v.wrote != nil {
		select {
		case v.wrote <- struct{}{}:
		default:
		}
	}
	return len(p), nil
}

func (v *visitor) Flush() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.flushes++
	return nil
}

func (v *visitor) End(flow.Header) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	return nil
}

func (v *visitor) Upgrade(flow.Header) (wire.Stream, error) { return nil, errors.New("no") }
func (v *visitor) CloseAfter()                              {}
func (v *visitor) Abort()                                   { v.aborted = true }
func (v *visitor) SetReadDeadline(time.Time) error          { return nil }
func (v *visitor) SetWriteDeadline(time.Time) error         { return nil }

func (v *visitor) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.body.String()
}

// site is a cache before an origin.
type site struct {
	t      *testing.T
	cache  *Cache
	rules  *Rules
	answer func(ex wire.Exchange) flow.Reason
	hot    bool
	mu     sync.Mutex
	asked  []wire.Request // what the origin was asked
	status int            // that the origin gave, as origin.Pool tells the outcome
}

// newSite is a site whose origin answers 200 with the fields and a body.
func newSite(t *testing.T, body string, fields ...string) *site {
	s := &site{t: t, cache: New(Options{Memory: 8 << 20, MaxObject: 1 << 20}), rules: &Rules{StaleIfError: 24 * time.Hour}}
	s.says(200, body, fields...)
	return s
}

// says makes the origin answer so from now on.
func (s *site) says(status int, body string, fields ...string) {
	s.answer = func(ex wire.Exchange) flow.Reason {
		h := headerOf(fields...)
		if ex.Respond(status, h, int64(len(body))) != nil {
			return flow.ClientGone
		}
		ex.Write([]byte(body))
		ex.End(flow.Header{})
		return ""
	}
}

func (s *site) fails(r flow.Reason) {
	s.answer = func(wire.Exchange) flow.Reason { return r }
}

func headerOf(fields ...string) flow.Header {
	h := flow.NewHeader(len(fields))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(name, value)
	}
	return h
}

// attempt is one request's way to the origin.
type attempt struct {
	s *site
	o *flow.Outcome
}

func (a attempt) Forward(ex wire.Exchange) flow.Reason {
	a.s.mu.Lock()
	r := *ex.Request()
	r.Header = r.Header.Clone()
	a.s.asked = append(a.s.asked, r)
	answer := a.s.answer
	a.s.mu.Unlock()
	reason := answer(counted{ex, a.o})
	if reason != "" && a.o.Status != 0 {
		ex.Abort()
	}
	return reason
}

func (a attempt) Later() func(wire.Exchange) flow.Reason {
	return attempt{a.s, &flow.Outcome{}}.Forward
}

// counted tells the outcome what the origin gave, as origin.Pool does.
type counted struct {
	wire.Exchange
	o *flow.Outcome
}

func (c counted) Respond(status int, h flow.Header, length int64) error {
	c.o.Status = status
	return c.Exchange.Respond(status, h, length)
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Exchange.Write(p)
	c.o.BytesOut += int64(n)
	return n, err
}

// serve lets a visitor ask, and returns the outcome.
func (s *site) serve(v *visitor) *flow.Outcome {
	s.t.Helper()
	o := &flow.Outcome{}
	o.Facts.Arrived, o.Facts.Site, o.Facts.Method, o.Facts.Hot = s.cache.now(), "shop", v.req.Method, s.hot
	o.Facts.Host = "shop.example"
	o.Facts.Path.Clean, _, _ = strings.Cut(v.req.Target, "?")
	o.End = s.cache.Serve(v, o, s.rules, attempt{s, o})
	return o
}

// want lets a visitor ask and says how the cache must have come to which answer.
func (s *site) want(v *visitor, result flow.CacheResult, status int, body string) *flow.Outcome {
	s.t.Helper()
	o := s.serve(v)
	if o.Cache != result || v.status != status || v.text() != body || o.End != "" || !v.ended {
		s.t.Errorf("%s %s %v: %q by %q with status %d (%s), want %q by %q with %d", v.req.Method, v.req.Target, v.req.Header, v.text(), o.Cache, v.status, o.End, body, result, status)
	}
	if o.Status != v.status || int(o.BytesOut) != v.body.Len() && v.req.Method != "HEAD" {
		s.t.Errorf("the outcome has status %d and %d bytes, the visitor %d and %d", o.Status, o.BytesOut, v.status, v.body.Len())
	}
	return o
}

func (s *site) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}
