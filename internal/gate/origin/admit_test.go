package origin

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// busy is an origin with so many workers, each of which takes so long.
type busy struct {
	workers chan struct{}
	takes   time.Duration
	answer  func(r *wire.Request) (status int, fields flow.Header)

	mu           sync.Mutex
	flying, most int
}

func newBusy(workers int, takes time.Duration) *busy {
	return &busy{workers: make(chan struct{}, workers), takes: takes, answer: func(*wire.Request) (int, flow.Header) { return 200, flow.Header{} }}
}

func (b *busy) count(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying += n
	b.most = max(b.most, b.flying)
}

func (b *busy) RoundTrip(_ context.Context, r *wire.Request, body io.Reader, _ func() flow.Header, hooks wire.Hooks) (*wire.Response, error) {
	hooks.Wrote()
	if body != nil {
		_, _ = io.Copy(io.Discard, body)
	}
	b.count(1)
	defer b.count(-1)
	b.workers <- struct{}{}
	time.Sleep(b.takes)
	<-b.workers
	status, h := b.answer(r)
	return &wire.Response{Status: status, Header: h, Length: 0, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func (b *busy) Close() {}

// before puts a pool before an origin.
func before(t *testing.T, b *busy, a policy.Admission) *Pool {
	t.Helper()
	p, err := New(Config{Site: "shop", Origins: []policy.Origin{{URL: "http://127.0.0.1:1"}}, Token: testToken, Admission: a,
		NewUpstream: func(wire.UpstreamConfig) wire.Upstream { return b }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestOriginIsNeverPushedOverItsCapacity: 2,000 at once for an origin of 8 workers.
func TestOriginIsNeverPushedOverItsCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBusy(8, 5*time.Millisecond)
		p := before(t, b, policy.Admission{})
		var all sync.WaitGroup
		var mu sync.Mutex
		served, refused := 0, 0
		for range 2000 {
			all.Go(func() {
				o := facts()
				r := p.Forward(visitor("GET", "/"), o)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case r == "":
					served++
				case (r == flow.OriginShed || r == flow.OriginQueueFull) && o.Verdict.Action == flow.Refuse && o.Verdict.Reason == r &&
					o.Stage == AdmissionStage && o.Verdict.RetryIn > 0 && o.Priority == "new" && o.Attempts == 0 && o.End == "":
					refused++
				default:
					t.Errorf("reason %q, outcome %+v", r, o.Verdict)
				}
			})
		}
		all.Wait()
		if b.most > 32 || served < 250 || refused == 0 || !p.Hot(time.Now()) {
			t.Errorf("most in flight %d, served %d, refused %d, hot %v", b.most, served, refused, p.Hot(time.Now()))
		}
		if s := p.Gate().Status(); s.InFlight != 0 || s.Waiting != 0 || s.Admitted[""]+s.Admitted["new"] != uint64(served) || s.Refused["new"] != uint64(refused) {
			t.Errorf("%+v", s)
		}
	})
}

func TestAdmissionCanBeTurnedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBusy(200, 5*time.Millisecond)
		p := before(t, b, policy.Admission{Off: true})
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				if r := p.Forward(visitor("GET", "/"), facts()); r != "" {
					t.Error(r)
				}
			})
		}
		all.Wait()
		if b.most != 200 || p.Gate() != nil {
			t.Errorf("most in flight %d", b.most)
		}
	})
}

// TestVouchedSessionGoesFirst: the origin says who is signed in; under pressure these are served at once, who is not stands behind them.
func TestVouchedSessionGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBusy(2, 10*time.Millisecond)
		b.answer = func(r *wire.Request) (int, flow.Header) {
			if r.Header.Get("Authorization") == "good" {
				return 200, fieldsOf("X-Signed-In: yes")
			}
			return 200, flow.Header{}
		}
		p := before(t, b, policy.Admission{MaxInFlight: 2, VouchedHeader: "x-signed-in"})
		ask := func(word string, credential uint64) *flow.Outcome {
			o := facts()
			o.Facts.Credential = credential
			p.Forward(visitor("GET", "/", "Authorization: "+word), o)
			return o
		}
		ask("good", 1)
		ask("bad", 2)
		var storm sync.WaitGroup
		for range 500 {
			storm.Go(func() {
				if o := ask("bad", 2); o.Priority == "vouched" {
					t.Error("nobody has vouched for this one")
				}
			})
		}
		synctest.Wait()
		for range 20 {
			if o := ask("good", 1); o.Status != 200 || o.Priority != "vouched" || o.Waited > 25*time.Millisecond {
				t.Fatalf("status %d, priority %q after %v", o.Status, o.Priority, o.Waited)
			}
		}
		storm.Wait()
	})
}

// TestSlowUploadsAreNoLoad: more visitors who send slowly than may be in flight, and pages are served at once.
func TestSlowUploadsAreNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := before(t, newBusy(8, 5*time.Millisecond), policy.Admission{MaxInFlight: 4})
		var uploads sync.WaitGroup
		for range 100 {
			uploads.Go(func() {
				slow := readerFunc(func([]byte) (int, error) {
					time.Sleep(10 * time.Second)
					return 0, io.EOF
				})
				if r := p.Forward(visitor("POST", "/").chunked(slow), facts()); r != "" {
					t.Error(r)
				}
			})
		}
		synctest.Wait()
		if s := p.Gate().Status(); s.InFlight != 0 || s.Sending != 100 {
			t.Errorf("in flight %d, sending %d", s.InFlight, s.Sending)
		}
		o := facts()
		if r := p.Forward(visitor("GET", "/"), o); r != "" || o.Waited != 0 {
			t.Errorf("a page: %q after %v", r, o.Waited)
		}
		uploads.Wait()
		if s := p.Gate().Status(); s.InFlight != 0 || s.Sending != 0 {
			t.Errorf("at the end in flight %d, sending %d", s.InFlight, s.Sending)
		}
	})
}

// begun is a body whose first byte came together with the head, and that then goes on as slowly as rest.
type begun struct {
	first bool
	rest  io.Reader
}

func (b *begun) Buffered() int {
	if b.first {
		return 0
	}
	return 1
}

func (b *begun) Read(p []byte) (int, error) {
	if b.first {
		return b.rest.Read(p)
	}
	b.first = true
	p[0] = 'a'
	return 1, nil
}

// TestUploadsThatBeginWithTheirHeadAreNoLoadEither: a byte at once does not buy a place for the rest of a slow body.
func TestUploadsThatBeginWithTheirHeadAreNoLoadEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := before(t, newBusy(8, 5*time.Millisecond), policy.Admission{MaxInFlight: 4})
		var uploads sync.WaitGroup
		for range 100 {
			uploads.Go(func() {
				slow := &begun{rest: readerFunc(func([]byte) (int, error) {
					time.Sleep(10 * time.Second)
					return 0, io.EOF
				})}
				p.Forward(visitor("POST", "/").chunked(slow), facts())
			})
		}
		synctest.Wait()
		if s := p.Gate().Status(); s.InFlight != 0 || s.Sending == 0 {
			t.Errorf("in flight %d, sending %d", s.InFlight, s.Sending)
		}
		o := facts()
		if r := p.Forward(visitor("GET", "/"), o); r != "" || o.Waited != 0 {
			t.Errorf("a page: %q after %v", r, o.Waited)
		}
		uploads.Wait()
		if s := p.Gate().Status(); s.InFlight != 0 || s.Sending != 0 {
			t.Errorf("at the end in flight %d, sending %d", s.InFlight, s.Sending)
		}
	})
}

// whole is a body that came with its head.
type whole struct{ *strings.Reader }

func (w whole) Buffered() int { return w.Len() }

// TestFormsThatHaveComeAreNoUploads: however many send slowly, a short form that is there already is a request like any other.
func TestFormsThatHaveComeAreNoUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := before(t, newBusy(8, 5*time.Millisecond), policy.Admission{MaxInFlight: 4})
		var uploads sync.WaitGroup
		for range 1000 {
			uploads.Go(func() {
				slow := readerFunc(func([]byte) (int, error) {
					time.Sleep(10 * time.Second)
					return 0, io.EOF
				})
				p.Forward(visitor("POST", "/").chunked(slow), facts())
			})
		}
		synctest.Wait()
		form := visitor("POST", "/login").chunked(whole{strings.NewReader("user=a")})
		form.Request().Length = 6
		o := facts()
		o.Facts.Length = 6
		if r := p.Forward(form, o); r != "" || o.Waited != 0 {
			t.Errorf("a form: %q after %v", r, o.Waited)
		}
		uploads.Wait()
	})
}

// TestReloadKeepsWhoIsInFlight: a pool that is made anew for the same origins goes on with the gate.
func TestReloadKeepsWhoIsInFlight(t *testing.T) {
	b := newBusy(8, 0)
	p := before(t, b, policy.Admission{})
	c := Config{Site: "shop", Origins: []policy.Origin{{URL: "http://127.0.0.1:1"}}, Token: testToken, Before: p, MaxBody: 1,
		NewUpstream: func(wire.UpstreamConfig) wire.Upstream { return b }}
	again, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again == p || again.Gate() != p.Gate() {
		t.Error("the gate does not go on")
	}
	c.Admission.MaxInFlight = 5
	fixed, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer fixed.Close()
	if fixed.Gate() == p.Gate() || fixed.Gate().Status().Limit != 5 {
		t.Error("the operator's limit is not in force")
	}
}
