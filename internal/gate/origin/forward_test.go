package origin

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

func TestEveryFaultHasItsReason(t *testing.T) {
	broken := func() *wire.Response {
		return &wire.Response{Status: 200, Length: -1, Body: io.NopCloser(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("reset"))))}
	}
	slow := func() *wire.Response {
		return &wire.Response{Status: 200, Length: -1, Body: io.NopCloser(iotest.ErrReader(os.ErrDeadlineExceeded))}
	}
	sized := func(length int64, body string) func() *wire.Response {
		return func() *wire.Response {
			return &wire.Response{Status: 200, Length: length, Body: io.NopCloser(strings.NewReader(body))}
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		name   string
		step   step
		ex     *fakeExchange
		reason flow.Reason
		begun  bool // the answer had begun
	}{
		{"dial", fails(wire.FaultDial, true), visitor("GET", "/"), flow.OriginDown, false},
		{"stale post", fails(wire.FaultStale, false), visitor("POST", "/"), flow.OriginBroken, false},
		{"send", fails(wire.FaultSend, false), visitor("POST", "/").with("x"), flow.OriginBroken, false},
		{"timeout", fails(wire.FaultTimeout, false), visitor("GET", "/"), flow.OriginTimeout, false},
		{"closed", fails(wire.FaultClosed, false), visitor("GET", "/"), flow.OriginBroken, false},
		{"garbage", fails(wire.FaultGarbage, false), visitor("GET", "/"), flow.OriginBroken, false},
		{"an unknown error", func(context.Context, *wire.Request, io.Reader, wire.Hooks) (*wire.Response, error) {
			return nil, errors.New("not the wire's")
		}, visitor("GET", "/"), flow.OriginBroken, false},
		{"visitor's body breaks off", answers(200, ""), visitor("POST", "/").chunked(iotest.ErrReader(io.ErrUnexpectedEOF)), flow.ClientGone, false},
		{"visitor's body is slow", answers(200, ""), visitor("POST", "/").chunked(iotest.ErrReader(os.ErrDeadlineExceeded)), flow.ClientSlow, false},
		{"visitor gone", fails(wire.FaultCanceled, false), &fakeExchange{ctx: gone, req: visitor("GET", "/").req}, flow.ClientGone, false},
		{"status 99", responds(func() *wire.Response { return &wire.Response{Status: 99, Body: io.NopCloser(strings.NewReader(""))} }), visitor("GET", "/"), flow.OriginBroken, false},
		{"body breaks off", responds(broken), visitor("GET", "/"), flow.OriginBroken, true},
		{"body stalls", responds(slow), visitor("GET", "/"), flow.OriginTimeout, true},
		{"body too long", responds(sized(3, "1234")), visitor("GET", "/"), flow.OriginBroken, true},
		{"body too short", responds(sized(5, "1234")), visitor("GET", "/"), flow.OriginBroken, true},
		{"visitor does not read", answers(200, "hello"), func() *fakeExchange {
			ex := visitor("GET", "/")
			ex.writeErr = os.ErrDeadlineExceeded
			return ex
		}(), flow.ClientSlow, true},
		{"visitor leaves", answers(200, "hello"), func() *fakeExchange {
			ex := visitor("GET", "/")
			ex.writeErr = io.ErrClosedPipe
			return ex
		}(), flow.ClientGone, true},
		{"CONNECT to anywhere", answers(200, ""), visitor("CONNECT", "other:443"), flow.RequestMalformed, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, o := script(t, nil, plays(tt.step)), facts()
			if got := p.Forward(tt.ex, o); got != tt.reason {
				t.Fatalf("reason %q, want %q (%s)", got, tt.reason, o.Err)
			}
			if tt.begun != (o.Status != 0) || tt.begun != tt.ex.aborted || tt.ex.ended {
				t.Errorf("status %d, aborted %v, ended %v; want begun %v", o.Status, tt.ex.aborted, tt.ex.ended, tt.begun)
			}
			if o.Err == "" {
				t.Error("no cause in words")
			}
			if s := p.Status()[0]; s.InFlight != 0 || p.waiting.Load() != 0 {
				t.Errorf("still counted in: %+v, %d waiting", s, p.waiting.Load())
			}
		})
	}
}

func TestAnswerIsPassedOn(t *testing.T) {
	u := plays(answers(206, "part", "Date: today", "Set-Cookie: a=1", "Content-Range: bytes 0-3/9", "Set-Cookie: b=2", "Connection: X-Hop, close",
		"X-Hop: 1", "Keep-Alive: timeout=5", "Content-Length: 4", "Upgrade: h2c", "Transfer-Encoding: chunked", "Content-Encoding: br"))
	p, ex, o := script(t, nil, u), visitor("POST", "/a?b=%2F").with("hello"), facts()
	if r := p.Forward(ex, o); r != "" {
		t.Fatal(r, o.Err)
	}
	want := []string{"Date: today", "Set-Cookie: a=1", "Content-Range: bytes 0-3/9", "Set-Cookie: b=2", "Content-Encoding: br"}
	if got := lines(ex.header); !slices.Equal(got, want) {
		t.Errorf("fields\n%q, want\n%q", got, want)
	}
	if ex.status != 206 || ex.length != 4 || ex.wrote.String() != "part" || !ex.ended {
		t.Errorf("answer %d, length %d, body %q, ended %v", ex.status, ex.length, ex.wrote.String(), ex.ended)
	}
	if q := u.asked[0].req; q.Method != "POST" || q.Target != "/a?b=%2F" || q.Authority != "shop.example" || q.Length != 5 || q.Scheme != "http" {
		t.Errorf("asked %+v", q)
	}
	if o.Status != 206 || o.OriginStatus != 206 || o.BytesIn != 5 || o.BytesOut != 4 || o.Attempts != 1 || o.Origin != "o0:80" || o.Err != "" {
		t.Errorf("outcome %+v", o)
	}
}

func TestAnswersWithoutBody(t *testing.T) {
	for _, tt := range []struct {
		method string
		status int
		length int64
		want   int64
	}{{"HEAD", 200, 1234, 1234}, {"HEAD", 200, -1, -1}, {"GET", 304, 77, 77}, {"GET", 304, -1, -1}, {"GET", 204, 0, -1}, {"GET", 200, 0, 0}} {
		u := plays(responds(func() *wire.Response {
			return &wire.Response{Status: tt.status, Length: tt.length, Body: io.NopCloser(strings.NewReader(""))}
		}))
		p, ex, o := script(t, nil, u), visitor(tt.method, "/"), facts()
		if r := p.Forward(ex, o); r != "" || ex.status != tt.status || ex.length != tt.want || !ex.ended || ex.aborted {
			t.Errorf("%s %d length %d: %q, answered %d with length %d, ended %v", tt.method, tt.status, tt.length, r, ex.status, ex.length, ex.ended)
		}
	}
}

// trickle gives one part for each Read.
type trickle struct{ parts []string }

func (b *trickle) Read(p []byte) (int, error) {
	if len(b.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.parts[0])
	if b.parts[0] = b.parts[0][n:]; b.parts[0] == "" {
		b.parts = b.parts[1:]
	}
	return n, nil
}
func (b *trickle) Close() error { return nil }

func TestStreamsAtOnce(t *testing.T) {
	u := plays(responds(func() *wire.Response {
		return &wire.Response{Status: 200, Length: -1, Body: &trickle{[]string{"data: 1\n\n", "data: 2\n\n"}},
			Trailer: func() flow.Header { return fieldsOf("Grpc-Status: 0", "Content-Length: 7") }}
	}))
	p, ex, o := script(t, nil, u), visitor("GET", "/events"), facts()
	ex.req.Trailers = true
	if r := p.Forward(ex, o); r != "" {
		t.Fatal(r)
	}
	want := []string{"respond", "flush", "write data: 1\n\n", "flush", "write data: 2\n\n", "flush", "end"}
	if !slices.Equal(ex.log, want) {
		t.Errorf("calls %q, want %q", ex.log, want)
	}
	if got := lines(ex.trail); !slices.Equal(got, []string{"Grpc-Status: 0"}) {
		t.Errorf("trailer %q", got)
	}
}

func TestLongBodyIsNotFlushedInTheMiddle(t *testing.T) {
	body := strings.Repeat("x", 100<<10)
	p, ex, o := script(t, nil, plays(answers(200, body))), visitor("GET", "/"), facts()
	if r := p.Forward(ex, o); r != "" || ex.wrote.String() != body || o.BytesOut != int64(len(body)) {
		t.Fatal(r, ex.wrote.Len())
	}
	if slices.Contains(ex.log, "flush") {
		t.Errorf("flushed: %q", ex.log)
	}
	if ex.writes != 7 {
		t.Errorf("%d writes of a body of 100 KiB, want 7 of up to 16 KiB", ex.writes)
	}
}

func TestInterimAnswers(t *testing.T) {
	u := plays(func(ctx context.Context, r *wire.Request, body io.Reader, hooks wire.Hooks) (*wire.Response, error) {
		hooks.Inform(100, flow.Header{})
		hooks.Inform(103, fieldsOf("Link: </a.css>", "Connection: close"))
		hooks.Inform(102, flow.Header{})
		return answers(200, "ok")(ctx, r, body, hooks)
	})
	p, ex := script(t, nil, u), visitor("GET", "/")
	if r := p.Forward(ex, facts()); r != "" {
		t.Fatal(r)
	}
	if !slices.Equal(ex.informed, []int{103, 102}) || !slices.Equal(lines(ex.informs[0]), []string{"Link: </a.css>"}) {
		t.Errorf("interim answers %v with %q, want 103 and 102: 100 is between the door and each side", ex.informed, lines(ex.informs[0]))
	}
}

func TestMaxBody(t *testing.T) {
	small := func(c *Config) { c.MaxBody = 10 }
	u := plays(answers(200, "ok"))
	p := script(t, small, u)
	ex, o := visitor("POST", "/").with(strings.Repeat("x", 11)), facts()
	if r := p.Forward(ex, o); r != flow.RequestTooLarge || u.count() != 0 || o.Status != 0 {
		t.Errorf("announced: %q, the origin was asked %d times", r, u.count())
	}
	ex, o = visitor("POST", "/").chunked(strings.NewReader(strings.Repeat("x", 11))), facts()
	if r := p.Forward(ex, o); r != flow.RequestTooLarge || o.Status != 0 || ex.aborted || u.count() != 1 {
		t.Errorf("not announced: %q, status %d, asked %d times", r, o.Status, u.count())
	}
	if s := p.Status()[0]; s.Failures != 0 {
		t.Errorf("the visitor's fault counts as %d failures of the origin", s.Failures)
	}
	ex, o = visitor("POST", "/").chunked(strings.NewReader(strings.Repeat("x", 10))), facts()
	if r := p.Forward(ex, o); r != "" || o.BytesIn != 10 {
		t.Errorf("exactly the bound: %q, %d bytes in", r, o.BytesIn)
	}
}

// An origin may ask for another page through the door on behalf of the first, but not for the same one, and not for ever.
func TestAnotherRequestOfTheOriginIsNoLoop(t *testing.T) {
	u := plays(answers(200, ""), answers(200, ""), answers(200, ""), answers(200, ""), answers(200, ""))
	p := script(t, nil, u)
	var h flow.Header
	for i := range loopsMost + 1 {
		ex := visitor("GET", "/"+strings.Repeat("a/", i))
		ex.req.Header = h
		want := flow.Reason("")
		if i == loopsMost {
			want = flow.RequestLoop
		}
		if r := p.Forward(ex, facts()); r != want {
			t.Fatalf("pass %d: %q, want %q", i, r, want)
		}
		if i < loopsMost {
			h = u.asked[i].req.Header.Clone()
		}
	}
	again := visitor("GET", "/a/")
	again.req.Header = h
	if r := p.Forward(again, facts()); r != flow.RequestLoop {
		t.Errorf("a page that asks for itself by another: %q", r)
	}
}

func TestLoop(t *testing.T) {
	var log syncLog
	now := time.Unix(1000, 0)
	u := plays(answers(200, ""))
	p := script(t, func(c *Config) { c.Log, c.Now = log.logger(), func() time.Time { return now } }, u)
	if p.Forward(visitor("GET", "/"), facts()) != "" {
		t.Fatal("the first request must pass")
	}
	back := visitor("GET", "/")
	back.req.Header = u.asked[0].req.Header // what the origin was sent comes back to the door
	for range 1000 {
		o := facts()
		if r := p.Forward(back, o); r != flow.RequestLoop || o.Status != 0 {
			t.Fatalf("%q, want a loop", r)
		}
	}
	if u.count() != 1 {
		t.Errorf("the origin was asked %d times", u.count())
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "site=shop") || !strings.Contains(got, "o0:80") {
		t.Errorf("want one line with site and address, got:\n%s", got)
	}
	now = now.Add(loopLogEvery)
	p.Forward(back, facts())
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "not_logged=999") {
		t.Errorf("want a second line that counts, got:\n%s", got)
	}
	other := visitor("GET", "/", "CDN-Loop: stormdoor-fedcba9876543210.01234567", "Via: 1.1 varnish")
	if r := p.Forward(other, facts()); r != "" {
		t.Errorf("another door's token: %q", r)
	}
}

func TestOriginTime(t *testing.T) {
	now := time.Unix(1000, 0)
	u := plays(func(ctx context.Context, r *wire.Request, body io.Reader, hooks wire.Hooks) (*wire.Response, error) {
		now = now.Add(time.Second) // connecting is not the origin's work
		hooks.Wrote()
		now = now.Add(70 * time.Millisecond)
		return answers(200, "")(ctx, r, body, wire.Hooks{})
	})
	p, o := script(t, func(c *Config) { c.Now = func() time.Time { return now } }, u), facts()
	if p.Forward(visitor("GET", "/"), o); o.OriginTime != 70*time.Millisecond {
		t.Errorf("origin time %v, want 70ms", o.OriginTime)
	}
}

func TestRequestTrailer(t *testing.T) {
	var got flow.Header
	p := script(t, func(c *Config) {
		c.NewUpstream = func(wire.UpstreamConfig) wire.Upstream { return trailerReader{&got} }
	}, plays())
	ex := visitor("POST", "/").chunked(strings.NewReader("x"))
	ex.trailer = fieldsOf("X-Sum: 1", "X-Forwarded-For: 1.1.1.1", "Host: evil", "Content-Length: 9")
	if r := p.Forward(ex, facts()); r != "" {
		t.Fatal(r)
	}
	if !slices.Equal(lines(got), []string{"X-Sum: 1"}) {
		t.Errorf("trailer %q: fields of the head must not come by the back door", lines(got))
	}
}

type trailerReader struct{ got *flow.Header }

func (u trailerReader) RoundTrip(_ context.Context, _ *wire.Request, body io.Reader, trailer func() flow.Header, _ wire.Hooks) (*wire.Response, error) {
	io.Copy(io.Discard, body)
	*u.got = trailer()
	return &wire.Response{Status: 200, Length: 0, Body: io.NopCloser(strings.NewReader(""))}, nil
}
func (u trailerReader) Close() {}

func TestDeadOriginIsNotHammered(t *testing.T) {
	asked, hold, now := make(chan bool, 100), make(chan struct{}), time.Unix(1000, 0)
	u := plays(fails(wire.FaultDial, true), fails(wire.FaultDial, true), fails(wire.FaultDial, true),
		func(context.Context, *wire.Request, io.Reader, wire.Hooks) (*wire.Response, error) {
			asked <- true
			<-hold
			return answers(200, "")(context.Background(), nil, nil, wire.Hooks{})
		})
	p := script(t, func(c *Config) { c.Now = func() time.Time { return now } }, u)
	for range ejectAfter {
		p.Forward(visitor("GET", "/"), facts())
	}
	if p.Status()[0].Up {
		t.Fatal("three failures in a row leave the origin up")
	}
	done := make(chan flow.Reason)
	for range 100 {
		go func() { done <- p.Forward(visitor("GET", "/"), facts()) }()
	}
	for range 100 - lastResortTrials {
		if r := <-done; r != flow.OriginDown {
			t.Fatalf("%q, want %q at once", r, flow.OriginDown)
		}
	}
	for range lastResortTrials {
		<-asked
	}
	if got := u.count(); got != ejectAfter+lastResortTrials {
		t.Errorf("the origin was asked %d times", got)
	}
	close(hold)
	for range lastResortTrials {
		if r := <-done; r != "" {
			t.Errorf("a trial of the only origin: %q", r)
		}
	}
	if !p.Status()[0].Up || p.members[0].cond.trials != 0 {
		t.Errorf("after an answer it must be up: %+v", p.Status()[0])
	}
}

func TestSlowVisitorsDoNotMakeTheOriginSlow(t *testing.T) {
	now := time.Unix(1000, 0)
	p := script(t, func(c *Config) { c.Now = func() time.Time { return now } }, plays(answers(200, "")))
	r := iotest.OneByteReader(strings.NewReader("abcdefghij"))
	slow := readerFunc(func(b []byte) (int, error) {
		now = now.Add(time.Second)
		if n := p.waiting.Load(); n != 0 {
			t.Errorf("%d wait while the visitor still sends", n)
		}
		return r.Read(b)
	})
	o := facts()
	if r := p.Forward(visitor("POST", "/").chunked(slow), o); r != "" {
		t.Fatal(r)
	}
	if o.OriginTime < 10*time.Second || p.heat.ring[p.heat.second%heatSpan].sum != 0 {
		t.Errorf("origin time %v, counted as a response time of %v s", o.OriginTime, p.heat.ring[p.heat.second%heatSpan].sum)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestPanicLeavesNothingCounted(t *testing.T) {
	p := script(t, nil, plays(func(context.Context, *wire.Request, io.Reader, wire.Hooks) (*wire.Response, error) { panic("bug") }))
	for _, ex := range []*fakeExchange{visitor("GET", "/"), visitor("POST", "/").with("x")} {
		func() {
			defer func() { recover() }()
			p.Forward(ex, facts())
		}()
	}
	if n := p.Status()[0].InFlight; n != 0 || p.waiting.Load() != 0 {
		t.Errorf("%d in flight, %d waiting", n, p.waiting.Load())
	}
}

// TestACallIsGivenBackLast: nothing looks at a call that the next request has already (the race detector sees it).
func TestACallIsGivenBackLast(t *testing.T) {
	p := script(t, nil, plays(answers(200, "ok")))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 300 {
				if ex := visitor("GET", "/"); p.Forward(ex, facts()) != "" || ex.status != 200 {
					t.Errorf("status %d", ex.status)
				}
			}
		})
	}
	all.Wait()
}
