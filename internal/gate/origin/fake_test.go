package origin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "0123456789abcdef"

// fakeExchange is a visitor that writes down what it is told.
type fakeExchange struct {
	conn    wire.Conn
	ctx     context.Context
	req     wire.Request
	body    io.Reader
	trailer flow.Header

	status    int
	header    flow.Header
	length    int64
	informed  []int
	informs   []flow.Header
	wrote     strings.Builder
	trail     flow.Header
	log       []string // the order of calls
	ended     bool
	aborted   bool
	writeErr  error
	failAfter int // writes that succeed before writeErr
	writes    int
	onWrite   func(p []byte)
	stream    wire.Stream
}

func visitor(method, target string, fields ...string) *fakeExchange {
	ex := &fakeExchange{ctx: context.Background(), body: strings.NewReader("")}
	ex.req = wire.Request{Proto: flow.HTTP11, Method: method, Target: target, Scheme: "https", Authority: "shop.example", Header: fieldsOf(fields...)}
	return ex
}

func (ex *fakeExchange) with(body string) *fakeExchange {
	ex.body, ex.req.Length = strings.NewReader(body), int64(len(body))
	return ex
}

func (ex *fakeExchange) chunked(body io.Reader) *fakeExchange {
	ex.body, ex.req.Length = body, -1
	return ex
}

func fieldsOf(fields ...string) flow.Header {
	h := flow.NewHeader(len(fields))
	for _, f := range fields {
		n, v, _ := strings.Cut(f, ": ")
		h.Add(n, v)
	}
	return h
}

// lines writes the fields, a CDN-Loop of the door without the mark of its request.
func lines(h flow.Header) []string {
	all := []string{}
	for f := range h.All() {
		all = append(all, f.Name+": "+unmarked(f.Value))
	}
	return all
}

func unmarked(via string) string {
	before, mark, ok := strings.Cut(via, testToken+".")
	if !ok || len(mark) < 8 {
		return via
	}
	return before + testToken + mark[8:]
}

func (ex *fakeExchange) Conn() *wire.Conn         { return &ex.conn }
func (ex *fakeExchange) Request() *wire.Request   { return &ex.req }
func (ex *fakeExchange) Context() context.Context { return ex.ctx }
func (ex *fakeExchange) Body() io.Reader          { return ex.body }
func (ex *fakeExchange) Trailer() flow.Header     { return ex.trailer }

func (ex *fakeExchange) Inform(status int, h flow.Header) error {
	ex.informed, ex.informs = append(ex.informed, status), append(ex.informs, h.Clone())
	return nil
}

func (ex *fakeExchange) Respond(status int, h flow.Header, length int64) error {
	if ex.status != 0 {
		return errors.New("answered twice")
	}
	ex.status, ex.header, ex.length = status, h.Clone(), length
	ex.log = append(ex.log, "respond")
	return nil
}

func (ex *fakeExchange) Write(p []byte) (int, error) {
	if ex.writes++; ex.writeErr != nil && ex.writes > ex.failAfter {
		return 0, ex.writeErr
	}
	if ex.onWrite != nil {
		ex.onWrite(p)
	}
	ex.log = append(ex.log, "write "+string(p[:min(len(p), 16)]))
	return ex.wrote.Write(p)
}

func (ex *fakeExchange) Flush() error { ex.log = append(ex.log, "flush"); return nil }

func (ex *fakeExchange) End(trailer flow.Header) error {
	ex.ended, ex.trail = true, trailer.Clone()
	ex.log = append(ex.log, "end")
	return nil
}

func (ex *fakeExchange) Upgrade(h flow.Header) (wire.Stream, error) {
	ex.status, ex.header = 101, h.Clone()
	if ex.stream == nil {
		return nil, errors.New("cannot upgrade")
	}
	return ex.stream, nil
}
func (ex *fakeExchange) CloseAfter()                      {}
func (ex *fakeExchange) Abort()                           { ex.aborted = true }
func (ex *fakeExchange) SetReadDeadline(time.Time) error  { return nil }
func (ex *fakeExchange) SetWriteDeadline(time.Time) error { return nil }

// seen is what an origin was asked.
type seen struct {
	req wire.Request
	ctx context.Context
}

// fakeOrigin is an Upstream that follows a script: one step for each round trip, the last one for all that follow.
type fakeOrigin struct {
	mu     sync.Mutex
	steps  []step
	asked  []seen
	closed bool
}

type step func(ctx context.Context, r *wire.Request, body io.Reader, hooks wire.Hooks) (*wire.Response, error)

func (u *fakeOrigin) RoundTrip(ctx context.Context, r *wire.Request, body io.Reader, _ func() flow.Header, hooks wire.Hooks) (*wire.Response, error) {
	u.mu.Lock()
	s := u.steps[min(len(u.asked), len(u.steps)-1)]
	kept := *r
	kept.Header = r.Header.Clone()
	u.asked = append(u.asked, seen{req: kept, ctx: ctx})
	u.mu.Unlock()
	return s(ctx, r, body, hooks)
}

func (u *fakeOrigin) Close() { u.closed = true }

func (u *fakeOrigin) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked)
}

// fails is a step that fails without reading the body.
func fails(f wire.Fault, unseen bool) step {
	return func(context.Context, *wire.Request, io.Reader, wire.Hooks) (*wire.Response, error) {
		return nil, &wire.UpstreamError{Fault: f, Unseen: unseen, Err: errors.New("scripted")}
	}
}

// failsAfterBody is a step that fails when it has read the body.
func failsAfterBody(f wire.Fault, unseen bool) step {
	return func(_ context.Context, _ *wire.Request, body io.Reader, _ wire.Hooks) (*wire.Response, error) {
		if _, err := io.Copy(io.Discard, body); err != nil {
			return nil, &wire.UpstreamError{Fault: wire.FaultBody, Err: err}
		}
		return nil, &wire.UpstreamError{Fault: f, Unseen: unseen, Err: errors.New("scripted")}
	}
}

// answers is a step that reads the body and answers.
func answers(status int, body string, fields ...string) step {
	return func(_ context.Context, _ *wire.Request, in io.Reader, hooks wire.Hooks) (*wire.Response, error) {
		if hooks.Wrote != nil {
			hooks.Wrote()
		}
		if in != nil {
			if _, err := io.Copy(io.Discard, in); err != nil {
				return nil, &wire.UpstreamError{Fault: wire.FaultBody, Err: err}
			}
		}
		return &wire.Response{Proto: flow.HTTP11, Status: status, Header: fieldsOf(fields...), Length: int64(len(body)),
			Body: io.NopCloser(strings.NewReader(body)), Trailer: func() flow.Header { return flow.Header{} }}, nil
	}
}

// responds is a step that answers with resp and does not look at the body.
func responds(resp func() *wire.Response) step {
	return func(context.Context, *wire.Request, io.Reader, wire.Hooks) (*wire.Response, error) {
		return resp(), nil
	}
}

// script makes a pool over scripted origins, named o0:80, o1:80, …
func script(t testing.TB, change func(*Config), origins ...*fakeOrigin) *Pool {
	t.Helper()
	c := Config{Site: "shop", Hosts: []string{"*.shop.example", "shop.example"}, PreserveHost: true, Token: testToken}
	for i := range origins {
		c.Origins = append(c.Origins, policy.Origin{URL: "http://o" + string(rune('0'+i)) + ":80"})
	}
	c.NewUpstream = func(u wire.UpstreamConfig) wire.Upstream {
		return origins[u.Address[1]-'0']
	}
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func plays(steps ...step) *fakeOrigin { return &fakeOrigin{steps: steps} }

// facts are those of a visitor at 192.0.2.7.
func facts() *flow.Outcome {
	a := netip.MustParseAddr("192.0.2.7")
	return &flow.Outcome{Facts: flow.Facts{Client: a, Peer: a, ID: flow.RequestID{1, 2, 3}}}
}

// syncLog collects log lines.
type syncLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *syncLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *syncLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
