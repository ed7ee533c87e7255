package admission

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAMillionShed: a full gate with a full line sheds a million, and when it is empty again every count is 0.
func TestAMillionShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(4, time.Now, NewLag(time.Now))
		var all sync.WaitGroup
		var holders [4]Permit
		for i := range holders {
			g.Try(time.Now(), Route{Tag: 1}, &holders[i])
		}
		for range waitLeast {
			all.Go(func() {
				var p Permit
				if g.Try(time.Now(), Route{}, &p) || g.Wait(Blocking(t.Context().Done()), time.Now(), Operator, 0, &p) == Admitted {
					p.Done(time.Millisecond)
				}
			})
		}
		synctest.Wait()
		for range 1_000_000 {
			var p Permit
			if g.Wait(Blocking(t.Context().Done()), time.Now(), Excess, 0, &p) != Full {
				t.Fatal("the line is full")
			}
		}
		for i := range holders {
			holders[i].Done(time.Millisecond)
		}
		all.Wait()
		if d := &g.desk; d.inFlight != 0 || d.line.n != 0 || d.routes.inFlight != 0 || g.admitted[Operator].Load() != waitLeast || g.refused[Excess].Load() != 1_000_000 {
			t.Errorf("in flight %d, waiting %d, admitted %d, refused %d", d.inFlight, d.line.n, g.admitted[Operator].Load(), g.refused[Excess].Load())
		}
	})
}

// TestEveryPlaceIsGivenBack: requests that are refused, displaced, out of patience, abandoned, failed, lent or answered, in all orders:
// then every count is 0 again.
func TestEveryPlaceIsGivenBack(t *testing.T) {
	for _, fixed := range []int{0, 16} { // a learned limit grows, so that few are refused
		synctest.Test(t, func(t *testing.T) {
			g := NewGate(fixed, time.Now, NewLag(time.Now))
			var all sync.WaitGroup
			for seed := range uint64(500) {
				all.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, 7))
					for range 50 {
						oneRequest(g, rnd)
					}
				})
			}
			all.Wait()
			time.Sleep(ghostMost) // abandoned forwards keep their places for a while
			synctest.Wait()
			d := &g.desk
			var routes int
			for i := range d.routes.all {
				routes += d.routes.all[i].inFlight
			}
			if d.inFlight != 0 || d.lent != 0 || d.line.n != 0 || d.line.used != 0 || routes != 0 || d.routes.inFlight != 0 {
				t.Errorf("in flight %d, lent %d, waiting %d (%b), by route %d, of all routes %d", d.inFlight, d.lent, d.line.n, d.line.used, routes, d.routes.inFlight)
			}
			var admitted, refused uint64
			for i := range g.admitted {
				admitted, refused = admitted+g.admitted[i].Load(), refused+g.refused[i].Load()
			}
			if admitted+refused != 25_000 || admitted < 1_000 || fixed > 0 && refused < 5_000 {
				t.Errorf("%d admitted, %d refused", admitted, refused)
			}
		})
	}
}

// oneRequest asks, and does one of the things that can be done with a permit.
func oneRequest(g *Gate, rnd *rand.Rand) {
	var p Permit
	r := Route{Body: rnd.IntN(3) == 0, Tag: rnd.Uint64N(400) << 55, Method: "GET", Path: "/"}
	if !g.Try(time.Now(), r, &p) {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if rnd.IntN(3) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Millisecond)
		}
		defer cancel()
		if g.Wait(Blocking(ctx.Done()), time.Now(), Priority(1+rnd.IntN(5)), uint8(rnd.IntN(levels)), &p) != Admitted {
			return
		}
	}
	took := time.Duration(rnd.IntN(int(20 * time.Millisecond)))
	if rnd.IntN(4) == 0 {
		p.Lend()
		time.Sleep(took)
		if rnd.IntN(2) == 0 {
			p.Resume()
		}
	}
	time.Sleep(took)
	switch rnd.IntN(4) {
	case 0:
		p.Abandon(rnd.IntN(2) == 0)
	case 1:
		p.Fail()
	default:
		p.Done(took)
	}
}

func TestPermitIsGivenBackOnce(t *testing.T) {
	g := NewGate(0, time.Now, NewLag(time.Now))
	for _, again := range []func(*Permit){func(p *Permit) { p.Done(0) }, (*Permit).Fail, func(p *Permit) { p.Abandon(false) }} {
		var p Permit
		if !g.Try(time.Now(), Route{}, &p) {
			t.Fatal("an idle gate has a place")
		}
		p.Done(time.Millisecond)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a second time went unnoticed")
				}
			}()
			again(&p)
		}()
	}
	var none Permit
	none.Done(0)
	none.Abandon(true)
	if g.desk.inFlight != 0 {
		t.Errorf("%d in flight", g.desk.inFlight)
	}
}

// TestAbandonedForwardKeepsItsPlace: visitors who ask and leave at once must not be let in without end.
func TestAbandonedForwardKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2, time.Now, NewLag(time.Now))
		for range 4 {
			var p Permit
			g.Try(time.Now(), Route{Tag: 1 << 60}, &p)
			time.Sleep(100 * time.Millisecond)
			p.Done(100 * time.Millisecond)
		}
		var p, q, r Permit
		if !g.Try(time.Now(), Route{Tag: 1 << 60}, &p) || !g.Try(time.Now(), Route{Tag: 1 << 60}, &q) {
			t.Fatal("no place")
		}
		p.Abandon(true)
		if g.Try(time.Now(), Route{Tag: 1 << 60}, &r) {
			t.Fatal("the origin still works on what was abandoned")
		}
		time.Sleep(101 * time.Millisecond)
		if !g.Try(time.Now(), Route{Tag: 1 << 60}, &r) {
			t.Fatal("the place is lost")
		}
	})
}

// TestEndOfABodyWaitsForAPlace: uploads that end all at once are in flight one after the other.
func TestEndOfABodyWaitsForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2, time.Now, NewLag(time.Now))
		var all sync.WaitGroup
		for range 20 {
			var p Permit
			if !g.Try(time.Now(), Route{Tag: 1 << 60, Body: true}, &p) {
				t.Fatal("a slow upload takes a place")
			}
			p.Lend()
			all.Go(func() {
				time.Sleep(time.Minute)
				p.Resume()
				if n := g.Status().InFlight; n > 2 {
					t.Errorf("%d in flight", n)
				}
				time.Sleep(50 * time.Millisecond)
				p.Done(50 * time.Millisecond)
			})
		}
		all.Wait()
		if s := g.Status(); s.InFlight != 0 || s.Sending != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// slowLine is the line as one would write it without thinking of its cost.
type slowLine []*waiter

func (l *slowLine) next(jammed bool) *waiter {
	best := -1
	for i, w := range *l {
		if best < 0 || w.rank < (*l)[best].rank {
			best = i // the oldest of the first rank
		}
	}
	if best < 0 {
		return nil
	}
	if rank := (*l)[best].rank; jammed {
		for i, w := range *l {
			if w.rank == rank {
				best = i // the newest
			}
		}
	}
	w := (*l)[best]
	*l = append((*l)[:best], (*l)[best+1:]...)
	return w
}

func (l slowLine) last() *waiter {
	var last *waiter
	for _, w := range l {
		if last == nil || w.rank > last.rank {
			last = w
		}
	}
	return last
}

func TestLineKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fast line
		var slow slowLine
		now := time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * ms
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				w := &waiter{rank: rankOf(Priority(rapid.IntRange(1, 5).Draw(t, "priority")), uint8(rapid.IntRange(0, 3).Draw(t, "level"))), since: now}
				fast.push(w)
				slow = append(slow, w)
			case 2:
				jammed := rapid.Bool().Draw(t, "jammed")
				if got, want := fast.next(jammed, func(*waiter) bool { return true }), slow.next(jammed); got != want {
					t.Fatalf("next is %+v, want %+v", got, want)
				}
			case 3:
				got, want := fast.last(), slow.last()
				if got != want {
					t.Fatalf("last is %+v, want %+v", got, want)
				}
				if got != nil {
					fast.remove(got)
					for i := range slow {
						if slow[i] == want {
							slow = append(slow[:i], slow[i+1:]...)
							break
						}
					}
				}
			}
			if fast.n != len(slow) {
				t.Fatalf("%d wait, want %d", fast.n, len(slow))
			}
		}
	})
}

func BenchmarkUncontended(b *testing.B) {
	g := NewGate(0, time.Now, NewLag(time.Now))
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		var p Permit
		if !g.Try(now, Route{Tag: 1 << 60, Method: "GET", Path: "/"}, &p) {
			b.Fatal("no place")
		}
		p.Done(5 * time.Millisecond)
	}
}
