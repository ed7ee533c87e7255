package origin

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// pipeStream is one end of a connection whose directions end one by one.
type pipeStream struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func streamPair() (a, b *pipeStream) {
	r1, w1 := io.Pipe()
	r2, w2 := io.Pipe()
	return &pipeStream{r1, w2}, &pipeStream{r2, w1}
}

func (s *pipeStream) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s *pipeStream) Write(p []byte) (int, error) { return s.w.Write(p) }
func (s *pipeStream) CloseWrite() error           { return s.w.Close() }
func (s *pipeStream) SetDeadline(time.Time) error { return nil }
func (s *pipeStream) Close() error {
	s.r.CloseWithError(io.ErrClosedPipe)
	s.w.CloseWithError(io.ErrClosedPipe)
	return nil
}

func (s *pipeStream) reset() {
	s.r.CloseWithError(errors.New("reset"))
	s.w.CloseWithError(errors.New("reset"))
}

func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// switches is a step that answers 101 with the stream.
func switches(s wire.Stream, accept func(*wire.Request) string) step {
	return func(_ context.Context, r *wire.Request, _ io.Reader, _ wire.Hooks) (*wire.Response, error) {
		return &wire.Response{Status: 101, Length: -1, Stream: s, Body: io.NopCloser(strings.NewReader("")),
			Header: fieldsOf("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: "+accept(r), "Sec-WebSocket-Protocol: chat")}, nil
	}
}

func anyAccept(r *wire.Request) string { return acceptFor(r.Header.Get("Sec-WebSocket-Key")) }

// upgradeBy starts a forward that becomes a stream, and returns the far ends of both sides and the result.
func upgradeBy(t *testing.T, ex *fakeExchange, change func(*Config)) (browser, server *pipeStream, u *fakeOrigin, o *flow.Outcome, done chan flow.Reason) {
	browser, visitorEnd := streamPair()
	server, originEnd := streamPair()
	ex.stream = visitorEnd
	u = plays(switches(originEnd, anyAccept))
	p := script(t, change, u)
	o, done = facts(), make(chan flow.Reason, 1)
	go func() { done <- p.Forward(ex, o) }()
	return browser, server, u, o, done
}

func webSocket() *fakeExchange {
	ex := visitor("GET", "/chat", "Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")
	ex.req.Upgrade = "websocket"
	return ex
}

func TestWebSocket(t *testing.T) {
	ex := webSocket()
	browser, server, u, o, done := upgradeBy(t, ex, nil)
	io.WriteString(browser, "hello")
	got := make([]byte, 64)
	n, _ := io.ReadFull(server, got[:5])
	if string(got[:n]) != "hello" {
		t.Fatalf("the server read %q", got[:n])
	}
	browser.CloseWrite()
	if _, err := server.Read(got); err != io.EOF {
		t.Fatalf("the half close was not passed on: %v", err)
	}
	io.WriteString(server, "and still talking") // the other direction goes on
	n, _ = io.ReadFull(browser, got[:17])
	if string(got[:n]) != "and still talking" {
		t.Fatalf("the browser read %q", got[:n])
	}
	server.CloseWrite()
	if r := <-done; r != "" || o.Status != 101 || !o.Upgraded || o.BytesIn != 5 || o.BytesOut != 17 {
		t.Errorf("%q, %+v", r, o)
	}
	if q := u.asked[0].req; q.Upgrade != "websocket" || q.Header.Has("Upgrade") || q.Header.Get("Sec-WebSocket-Key") == "" {
		t.Errorf("asked %+v", q)
	}
	if got := lines(ex.header); !slices.Contains(got, "Sec-WebSocket-Protocol: chat") || slices.Contains(got, "Upgrade: websocket") {
		t.Errorf("fields %q", got)
	}
}

func TestStreamFaults(t *testing.T) {
	browser, server, _, o, done := upgradeBy(t, webSocket(), nil)
	server.reset()
	if r := <-done; r != flow.OriginBroken || o.Err == "" {
		t.Errorf("the origin resets: %q", r)
	}
	if _, err := browser.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the visitor takes it for a clean end: %v", err)
	}
	browser, _, _, _, done = upgradeBy(t, webSocket(), nil)
	browser.reset()
	if r := <-done; r != flow.ClientGone {
		t.Errorf("the visitor resets: %q", r)
	}
}

// TestStreamOutlivesTheContext: servers end a request's context when the visitor has sent all it will, but the origin may
// have more to say.
func TestStreamOutlivesTheContext(t *testing.T) {
	ex := webSocket()
	ctx, cancel := context.WithCancel(context.Background())
	ex.ctx = ctx
	browser, server, u, _, done := upgradeBy(t, ex, nil)
	io.WriteString(browser, "x")
	io.ReadFull(server, make([]byte, 1))
	cancel()
	if err := u.asked[0].ctx.Err(); err != nil {
		t.Errorf("the origin's connection has ended with it: %v", err)
	}
	browser.CloseWrite()
	io.WriteString(server, "more")
	got := make([]byte, 4)
	io.ReadFull(browser, got)
	server.CloseWrite()
	if r := <-done; r != "" || string(got) != "more" {
		t.Errorf("%q, the browser read %q", r, got)
	}
}

func TestVisitorLeavesBeforeTheSwitch(t *testing.T) {
	ex := webSocket()
	ctx, cancel := context.WithCancel(context.Background())
	ex.ctx = ctx
	p := script(t, nil, plays(func(asked context.Context, _ *wire.Request, _ io.Reader, _ wire.Hooks) (*wire.Response, error) {
		cancel()
		<-asked.Done()
		return nil, &wire.UpstreamError{Fault: wire.FaultCanceled, Err: asked.Err()}
	}))
	if r := p.Forward(ex, facts()); r != flow.ClientGone {
		t.Errorf("%q", r)
	}
}

func TestIdleStreamIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := func(c *Config) { c.Timeouts.Idle = policy.Duration(time.Minute) }
		browser, server, _, o, done := upgradeBy(t, webSocket(), idle)
		start := time.Now()
		go io.Copy(io.Discard, server)
		for range 5 { // one direction alone keeps it open
			time.Sleep(50 * time.Second)
			io.WriteString(browser, "ping")
		}
		r := <-done
		if took := time.Since(start) - 250*time.Second; r != "" || took < time.Minute || took > 76*time.Second {
			t.Errorf("%q after %v of silence", r, took)
		}
		if !strings.Contains(o.Err, "nothing moved") {
			t.Errorf("cause %q", o.Err)
		}
	})
}

func TestExtendedConnect(t *testing.T) {
	tunnel := func() *fakeExchange {
		ex := visitor("CONNECT", "/chat", "sec-websocket-version: 13")
		ex.req.Proto, ex.req.Upgrade, ex.req.Length = flow.HTTP2, "websocket", -1
		return ex
	}
	ex := tunnel()
	browser, server, u, o, done := upgradeBy(t, ex, nil)
	go io.Copy(io.Discard, browser)
	io.WriteString(browser, "hi")
	got := make([]byte, 2)
	io.ReadFull(server, got)
	browser.CloseWrite()
	server.CloseWrite()
	if r := <-done; r != "" || o.Status != 200 || !o.Upgraded || string(got) != "hi" {
		t.Fatalf("%q, %+v", r, o)
	}
	q := u.asked[0].req
	if key, _ := base64.StdEncoding.DecodeString(q.Header.Get("Sec-WebSocket-Key")); q.Method != "GET" || q.Upgrade != "websocket" || len(key) != 16 {
		t.Errorf("asked %+v", q)
	}
	if ex.header.Has("Sec-WebSocket-Accept") {
		t.Error("Sec-WebSocket-Accept has no place in HTTP/2")
	}

	_, end := streamPair()
	p, o := script(t, nil, plays(switches(end, func(*wire.Request) string { return "wrong" }))), facts()
	if r := p.Forward(tunnel(), o); r != flow.OriginBroken || o.Status != 0 {
		t.Errorf("a wrong Sec-WebSocket-Accept: %q", r)
	}
	for status, want := range map[int]flow.Reason{200: flow.OriginBroken, 403: ""} {
		p, o := script(t, nil, plays(answers(status, "no"))), facts()
		if r := p.Forward(tunnel(), o); r != want {
			t.Errorf("%d instead of 101: %q, want %q", status, r, want)
		}
	}
}

func TestUpgradeToHTTPIsNotPassedOn(t *testing.T) {
	for _, to := range []string{"h2c", "H2C", "h2c, websocket", "TLS/1.0", "HTTP/2.0"} {
		ex := visitor("GET", "/")
		ex.req.Upgrade = to
		u := plays(answers(200, ""))
		if r := script(t, nil, u).Forward(ex, facts()); r != "" || u.asked[0].req.Upgrade != "" {
			t.Errorf("upgrade to %s: %q, asked for %q", to, r, u.asked[0].req.Upgrade)
		}
	}
	ex := visitor("GET", "/ws")
	ex.req.Upgrade = "websocket"
	if r := script(t, nil, plays(answers(426, "no"))).Forward(ex, facts()); r != "" || ex.status != 426 {
		t.Errorf("an origin that does not switch: %q, %d", r, ex.status)
	}
}

// TestNoWebSocketByHTTP2: where origins by HTTP/1.1 are there it goes to those, and else the visitor is told.
func TestNoWebSocketByHTTP2(t *testing.T) {
	urls := func(all ...string) func(*Config) {
		return func(c *Config) {
			for i, u := range all {
				c.Origins[i].URL = u
			}
		}
	}
	one, two := plays(answers(200, "ok")), plays(answers(200, "ok"))
	p, o := script(t, urls("h2c://o0:80", "h2c://o1:80"), one, two), facts()
	if r := p.Forward(webSocket(), o); r != flow.RequestUpgrade || !strings.Contains(o.Err, "http://") || one.count()+two.count() != 0 {
		t.Errorf("%q, %q, asked %d times", r, o.Err, one.count()+two.count())
	}
	other := visitor("GET", "/", "Connection: Upgrade", "Upgrade: something")
	other.req.Upgrade = "something"
	if r := p.Forward(other, facts()); r != "" || other.status != 200 {
		t.Errorf("an upgrade that may be passed over: %q, %d", r, other.status)
	}

	_, end := streamPair()
	one, two = plays(answers(200, "ok")), plays(switches(end, anyAccept))
	p = script(t, urls("h2c://o0:80", "http://o1:80"), one, two)
	for range 4 {
		ex := webSocket()
		browser, visitorEnd := streamPair()
		browser.Close()
		ex.stream = visitorEnd
		p.Forward(ex, facts())
	}
	if one.count() != 0 || two.count() != 4 {
		t.Errorf("the origin by HTTP/2 was asked %d times, the other %d times, want 0 and 4", one.count(), two.count())
	}
}
