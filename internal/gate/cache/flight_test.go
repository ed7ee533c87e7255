package cache

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// slowly is an origin that sends its head after a second and a piece of its body each further second.
func slowly(length int64, pieces []string, fields ...string) func(ex wire.Exchange) flow.Reason {
	return func(ex wire.Exchange) flow.Reason {
		if !pause(ex, time.Second) {
			return flow.ClientGone
		}
		if ex.Respond(200, headerOf(fields...), length) != nil {
			return flow.ClientGone
		}
		for _, p := range pieces {
			ex.Flush()
			if !pause(ex, time.Second) {
				ex.Abort()
				return flow.ClientGone
			}
			if _, err := ex.Write([]byte(p)); err != nil {
				ex.Abort()
				return flow.ClientGone
			}
		}
		ex.End(flow.Header{})
		return ""
	}
}

func pause(ex wire.Exchange, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ex.Context().Done():
		return false
	}
}

// crowd lets n visitors ask at once and returns their outcomes when all have ended.
func (s *site) crowd(n int, each func(i int) *visitor) (all []*visitor, outcomes []*flow.Outcome) {
	all, outcomes = make([]*visitor, n), make([]*flow.Outcome, n)
	var wg sync.WaitGroup
	for i := range n {
		all[i] = each(i)
		wg.Go(func() { outcomes[i] = s.serve(all[i]) })
		synctest.Wait()
	}
	wg.Wait()
	return all, outcomes
}

func TestAThousandMissesAreOneRequest(t *testing.T) {
	for _, length := range []int64{6, -1} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, "")
			s.answer = slowly(length, []string{"abc", "def"}, "Cache-Control: max-age=60")
			all, outcomes := s.crowd(1000, func(int) *visitor { return get("/a") })
			for i, v := range all {
				if v.text() != "abcdef" || !v.ended || v.aborted || outcomes[i].End != "" || v.flushes == 0 {
					t.Fatalf("visitor %d got %q, flushed %d times, ended %q", i, v.text(), v.flushes, outcomes[i].End)
				}
			}
			if s.times() != 1 || outcomes[0].Cache != flow.CacheMiss || outcomes[1].Cache != flow.CacheCollapsed {
				t.Errorf("the origin was asked %d times; %q, %q", s.times(), outcomes[0].Cache, outcomes[1].Cache)
			}
			s.want(get("/a"), flow.CacheHit, 200, "abcdef")
			if n := s.cache.filling.Load(); n != 0 {
				t.Errorf("%d bytes are still counted as under way", n)
			}
		})
	}
}

func TestTheFetchOutlivesItsFirstVisitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = slowly(6, []string{"abc", "def"}, "Cache-Control: max-age=60")
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(500*time.Millisecond, cancel)
		all, outcomes := s.crowd(2, func(i int) *visitor {
			v := get("/a")
			if i == 0 {
				v.ctx = ctx
			}
			return v
		})
		if outcomes[0].End != flow.ClientGone || all[1].text() != "abcdef" || outcomes[1].End != "" || s.times() != 1 {
			t.Errorf("first ended %q, second %q with %q, origin asked %d times", outcomes[0].End, outcomes[1].End, all[1].text(), s.times())
		}
	})
}

func TestAFetchThatNobodyWantsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = slowly(6, []string{"abc", "def"}, "Cache-Control: max-age=60")
		v := get("/a")
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		v.ctx = ctx
		began := time.Now()
		if o := s.serve(v); o.End != flow.ClientGone || time.Since(began) != 500*time.Millisecond {
			t.Errorf("ended %q after %v", o.End, time.Since(began))
		}
	})
}

// watchedVisitor counts how often somebody asks for the end of its context, as whoever is going to block does.
type watchedVisitor struct {
	context.Context
	asked atomic.Int32
}

func (w *watchedVisitor) Done() <-chan struct{} {
	w.asked.Add(1)
	return w.Context.Done()
}

// An answer that comes without a pause is sent when it is whole, by whoever fetched it: a goroutine of his own is for the visitor whose
// answer may take its time, since his connection leaves its event loop for it.
func TestAnAnswerThatComesAtOnceNeedsNoGoroutine(t *testing.T) {
	for name, c := range map[string]struct {
		piece  string
		pauses bool
		blocks bool
	}{"at once": {"some of it", false, false}, "with a pause": {"some of it", true, true}, "much": {strings.Repeat("x", servedWhole), false, true}} {
		s := newSite(t, "")
		v := get("/" + name)
		w := &watchedVisitor{Context: context.Background()}
		v.ctx = w
		blocked := false
		s.answer = func(ex wire.Exchange) flow.Reason {
			before := w.asked.Load()
			ex.Respond(200, headerOf("Cache-Control: max-age=60"), -1)
			for range 3 {
				ex.Write([]byte(c.piece))
				if c.pauses {
					ex.Flush()
				}
			}
			blocked = w.asked.Load() > before
			ex.End(flow.Header{})
			return ""
		}
		s.want(v, flow.CacheMiss, 200, strings.Repeat(c.piece, 3))
		if blocked != c.blocks {
			t.Errorf("%s: it leaves its event loop: %v", name, blocked)
		}
	}
}

func TestNobodyWaitsForAVisitorWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = slowly(6, []string{"abc", "def"}, "Cache-Control: max-age=60")
		stuck := make(chan struct{})
		began := time.Now()
		all, _ := s.crowd(2, func(i int) *visitor {
			v := get("/a")
			if i == 0 {
				v.stuck = stuck
				time.AfterFunc(time.Hour, func() { close(stuck) })
			} else {
				v.wrote = make(chan struct{}, 10)
				go func() {
					<-v.wrote
					<-v.wrote
					if d := time.Since(began); d != 3*time.Second {
						t.Errorf("the second visitor was served after %v", d)
					}
				}()
			}
			return v
		})
		if all[0].text() != "abcdef" || all[1].text() != "abcdef" {
			t.Errorf("%q, %q", all[0].text(), all[1].text())
		}
	})
}

// TestAHotUncacheableAddress: only its first answer makes anybody wait, ever.
func TestAHotUncacheableAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		var now, most atomic.Int64
		s.answer = func(ex wire.Exchange) flow.Reason {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			return slowly(1, []string{"x"})(ex)
		}
		began := time.Now()
		s.crowd(100, func(int) *visitor { return get("/a") })
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("unknown, it took %v", d)
		}
		for range 2 {
			began = time.Now()
			most.Store(0)
			_, outcomes := s.crowd(100, func(int) *visitor { return get("/a") })
			if d := time.Since(began); d != 2*time.Second || most.Load() != 100 {
				t.Errorf("known to be uncacheable, it took %v with %d at once", d, most.Load())
			}
			for _, o := range outcomes {
				if o.Waited != 0 || o.Cache != flow.CachePass {
					t.Fatalf("a visitor waited %v: %q", o.Waited, o.Cache)
				}
			}
			time.Sleep(2 * uncacheableFor)
		}
	})
}

func TestWaitingEndsWhenTheOriginTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "body", "Cache-Control: max-age=1")
		s.want(get("/a"), flow.CacheMiss, 200, "body") // proven
		time.Sleep(time.Minute)
		quick := s.answer
		first := true
		s.answer = func(ex wire.Exchange) flow.Reason {
			if first {
				first = false
				pause(ex, time.Hour)
				return flow.OriginTimeout
			}
			return quick(ex)
		}
		s.rules.StaleIfError = time.Second
		began := time.Now()
		var second time.Duration
		var wg sync.WaitGroup
		s.crowd(2, func(i int) *visitor {
			v := get("/a")
			if i == 1 {
				v.wrote = make(chan struct{}, 1)
				wg.Go(func() {
					<-v.wrote
					second = time.Since(began)
				})
			}
			return v
		})
		wg.Wait()
		if second != waitProven {
			t.Errorf("the second visitor had his answer after %v", second)
		}
	})
}

func TestWaitersShareAFailureOfTheOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			reason flow.Reason
			asked  int
		}{{flow.OriginDown, 1}, {"origin.some-overload", 10}} {
			s := newSite(t, "")
			s.answer = func(ex wire.Exchange) flow.Reason {
				pause(ex, 100*time.Millisecond)
				return c.reason
			}
			_, outcomes := s.crowd(10, func(int) *visitor { return get("/a") })
			for i, o := range outcomes {
				if o.End != c.reason || o.Status != 0 {
					t.Errorf("visitor %d ended %q with status %d", i, o.End, o.Status)
				}
			}
			if s.times() != c.asked {
				t.Errorf("%s: the origin was asked %d times", c.reason, s.times())
			}
		}
	})
}

func TestWaitersWithCookiesAreNotGivenWhatIsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = slowly(6, []string{"abc", "def"}, "Cache-Control: max-age=60", "Content-Type: text/html")
		_, outcomes := s.crowd(2, func(i int) *visitor {
			if i == 0 {
				return get("/a")
			}
			return get("/a", "Cookie: me=1")
		})
		if s.times() != 2 || outcomes[1].Cache == flow.CacheCollapsed {
			t.Errorf("asked %d times, %q", s.times(), outcomes[1].Cache)
		}
	})
}

func TestAnAnswerTooLargeToKeepPassesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		piece := strings.Repeat("x", 100_000)
		var pieces []string
		for range 40 {
			pieces = append(pieces, piece)
		}
		s.answer = slowly(-1, pieces, "Cache-Control: max-age=60")
		all, outcomes := s.crowd(3, func(i int) *visitor {
			v := get("/a")
			if i == 2 {
				v.stuck = make(chan struct{}) // never reads
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				t.Cleanup(cancel)
				v.ctx = ctx
			}
			return v
		})
		for i := range 2 {
			if len(all[i].text()) != 40*len(piece) || outcomes[i].End != "" {
				t.Errorf("visitor %d got %d bytes, ended %q", i, len(all[i].text()), outcomes[i].End)
			}
		}
		if outcomes[2].End == "" || s.times() != 1 {
			t.Errorf("the visitor who never read ended %q, origin asked %d times", outcomes[2].End, s.times())
		}
		if n, bytes := s.cache.store.usage(); n != 0 || bytes != 0 || s.cache.filling.Load() != 0 {
			t.Errorf("%d resources of %d bytes are stored, %d bytes under way", n, bytes, s.cache.filling.Load())
		}
	})
}

func TestABrokenAnswerIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = func(ex wire.Exchange) flow.Reason {
			ex.Respond(200, headerOf("Cache-Control: max-age=60"), 6)
			ex.Write([]byte("abc"))
			ex.Flush()
			pause(ex, time.Second)
			ex.Abort()
			return flow.OriginBroken
		}
		all, outcomes := s.crowd(3, func(int) *visitor { return get("/a") })
		for i, o := range outcomes {
			if o.End != flow.OriginBroken || !all[i].aborted || all[i].text() != "abc" || all[i].ended {
				t.Errorf("visitor %d: %q, ended %q, aborted %v", i, all[i].text(), o.End, all[i].aborted)
			}
		}
		s.says(200, "whole", "Cache-Control: max-age=60")
		s.want(get("/a"), flow.CacheMiss, 200, "whole")
	})
}

func TestAPanicLeavesNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = func(ex wire.Exchange) flow.Reason {
			pause(ex, 100*time.Millisecond)
			panic("out of order")
		}
		var panics atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				defer func() {
					if recover() != nil {
						panics.Add(1)
					}
				}()
				s.serve(get("/a"))
			})
			synctest.Wait()
		}
		wg.Wait()
		if panics.Load() != 3 || len(s.cache.flights) != 0 {
			t.Errorf("%d visitors saw it, %d flights are left", panics.Load(), len(s.cache.flights))
		}
	})
}

func TestAnotherTriesWhenTheDoorWouldNotForwardForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		var refused atomic.Int64
		s.answer = func(ex wire.Exchange) flow.Reason {
			pause(ex, 100*time.Millisecond)
			if refused.Add(1) <= 2 {
				return "origin.some-overload"
			}
			return slowly(3, []string{"abc"}, "Cache-Control: max-age=60")(ex)
		}
		all, outcomes := s.crowd(100, func(int) *visitor { return get("/a") })
		served := 0
		for i, o := range outcomes {
			if o.End == "" && all[i].text() == "abc" {
				served++
			}
		}
		if served != 98 || s.times() != 3 {
			t.Errorf("%d visitors served by %d requests", served, s.times())
		}
	})
}

func TestNobodyWaitsForAnAnswerToAnothersCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "")
		s.answer = slowly(3, []string{"abc"}, "Cache-Control: private")
		_, outcomes := s.crowd(10, func(i int) *visitor { return get("/me", "Authorization: Bearer "+strings.Repeat("x", i)) })
		for i, o := range outcomes {
			if o.Waited != 0 || o.End != "" {
				t.Errorf("visitor %d waited %v, ended %q", i, o.Waited, o.End)
			}
		}
	})
}
