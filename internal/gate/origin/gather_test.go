package origin

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
)

// dripping is a body that comes a part each second, and then ends as it is told to.
func dripping(parts int, part string, end error) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		time.Sleep(time.Second)
		if parts == 0 {
			return 0, end
		}
		parts--
		return copy(p, part), nil
	})
}

// announced is a visitor who says how long the body is.
func announced(length int64, body io.Reader, fields ...string) *fakeExchange {
	ex := visitor("POST", "/login", fields...).chunked(body)
	ex.req.Length = length
	return ex
}

// crowd lets so many visitors send a form slowly, and says when they have begun. Each form is whole after ten seconds.
func crowd(t *testing.T, p *Pool, n int) (done func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			o := facts()
			if r := p.Forward(announced(30, dripping(10, "abc", io.EOF)), o); r != "" || o.BytesIn != 30 {
				t.Errorf("a slow form: %q, %d bytes", r, o.BytesIn)
			}
		})
	}
	synctest.Wait()
	return func() {
		all.Wait()
		synctest.Wait()
		if s, held := p.bodies.sending.Load(), p.bodies.held.Load(); s != 0 || held != 0 {
			t.Errorf("at the end %d count as sending, %d bytes as held", s, held)
		}
		if s := p.Gate().Status(); s.InFlight != 0 || s.Sending != 0 {
			t.Errorf("at the end in flight %d, sending %d", s.InFlight, s.Sending)
		}
	}
}

// TestManySlowFormsDoNotReachTheOriginInPart: an origin may work on the head of a request alone. So of many visitors who send a
// form slowly no more than it works on at once reach it before the form is whole; and all of them are answered.
func TestManySlowFormsDoNotReachTheOriginInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plays(answers(200, "ok"))
		p := script(t, func(c *Config) { c.Admission = policy.Admission{MaxInFlight: 20} }, o)
		done := crowd(t, p, 200)
		if n := o.count(); n != 20 {
			t.Errorf("the origin was asked %d times by forms that are not whole, want 20", n)
		}
		whole := visitor("POST", "/login").with("user=a")
		if r := p.Forward(whole, facts()); r != "" || whole.wrote.String() != "ok" {
			t.Errorf("a form that is whole: %q, %q", r, whole.wrote.String())
		}
		done()
		if n := o.count(); n != 201 {
			t.Errorf("the origin was asked %d times in all", n)
		}
	})
}

// TestWhatIsStreamedInACrowd: long bodies, those of unknown length and those that wait for 100 Continue are never taken in whole first.
func TestWhatIsStreamedInACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plays(answers(200, "ok"))
		p := script(t, func(c *Config) { c.Admission = policy.Admission{MaxInFlight: 50} }, o)
		done := crowd(t, p, 60)
		for what, ex := range map[string]*fakeExchange{
			"long":    announced(gatherMost+1, dripping(1, "a", io.EOF)),
			"chunked": announced(-1, dripping(1, "a", io.EOF)),
			"expect":  announced(1, dripping(1, "a", io.EOF), "Expect: 100-continue"),
			"upgrade": announced(1, dripping(1, "a", io.EOF)),
		} {
			if what == "upgrade" {
				ex.req.Upgrade = "foo"
			}
			before := o.count()
			var one sync.WaitGroup
			one.Go(func() { p.Forward(ex, facts()) })
			synctest.Wait()
			if n := o.count() - before; n != 1 {
				t.Errorf("%s: the origin was asked %d times before the body was whole", what, n)
			}
			one.Wait()
		}
		done()
	})
}

// TestFormsThatBreakOffInACrowd: whoever fails to send a body is told so at once, and the origin is not asked.
func TestFormsThatBreakOffInACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plays(answers(200, "ok"))
		p := script(t, func(c *Config) { c.Admission = policy.Admission{MaxInFlight: 4} }, o)
		done := crowd(t, p, 20)
		before := o.count()
		for err, want := range map[error]flow.Reason{errors.New("gone"): flow.ClientGone, timeout{}: flow.ClientSlow} {
			out := facts()
			if r := p.Forward(announced(30, dripping(2, "abc", err)), out); r != want || out.Status != 0 || out.BytesIn != 6 || out.Err == "" || out.Attempts != 0 {
				t.Errorf("%v: %q, %+v", err, r, out)
			}
		}
		if n := o.count() - before; n != 0 {
			t.Errorf("the origin was asked %d times", n)
		}
		done()
	})
}

type timeout struct{}

func (timeout) Error() string { return "too slow" }
func (timeout) Timeout() bool { return true }

// TestNoMemoryForBodies: where the bodies hold all that they may, further ones are streamed, none is lost or cut.
func TestNoMemoryForBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plays(answers(200, "ok"))
		p := script(t, func(c *Config) { c.Admission = policy.Admission{MaxInFlight: 4} }, o)
		done := crowd(t, p, 20)
		p.bodies.held.Add(gatherAll)
		before := o.count()
		var one sync.WaitGroup
		one.Go(func() {
			out := facts()
			if r := p.Forward(announced(30, dripping(10, "abc", io.EOF)), out); r != "" || out.BytesIn != 30 {
				t.Errorf("%q, %d bytes", r, out.BytesIn)
			}
		})
		synctest.Wait()
		if n := o.count() - before; n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
		one.Wait()
		p.bodies.held.Add(-gatherAll)
		done()
	})
}

// TestGatheredBody: what is read is what came, in one piece or many, with its length reached or not.
func TestGatheredBody(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	for _, c := range []struct {
		body   string
		length int64
	}{{"", 1}, {"a", 1}, {long, int64(len(long))}, {long[:5000], int64(len(long))}, {long[:gatherFirst], gatherFirst}, {long, 10}} {
		var of gathering
		b := gatheredBody{rest: strings.NewReader(c.body), of: &of}
		if err := b.take(c.length); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(&b)
		if err != nil || string(got) != c.body {
			t.Errorf("%d bytes, announced %d: %d bytes, %v", len(c.body), c.length, len(got), err)
		}
		if of.held.Load() != b.held || b.held > c.length+1 {
			t.Errorf("%d bytes, announced %d: %d held, %d counted", len(c.body), c.length, b.held, of.held.Load())
		}
	}
}
