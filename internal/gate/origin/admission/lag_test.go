package admission

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestDoorThatIsLateIsNoFaultOfTheOrigin: the machine takes the door's processors away for 30 to 90 ms, again and again. What comes
// meanwhile waits in the door, and the origin must neither get less for it, nor have it
// taken for its own slowness.
func TestDoorThatIsLateIsNoFaultOfTheOrigin(t *testing.T) {
	queued := map[bool]time.Duration{}
	for _, blind := range []bool{true, false} {
		s := newSim(8, 15)
		if !blind {
			s.d.limiter.late = func() float64 { return s.late }
		}
		s.work = func(s *sim, a *ask) time.Duration { return 8 * a.service }
		s.stream(12, 50*time.Second, visitorPage)
		s.run(10 * time.Second)
		s.forget()
		s.pause(60*ms, 60*ms, 50*time.Second)
		s.stream(4000, 50*time.Second, botPage)
		s.run(50 * time.Second)
		v, b := s.tally("visitors"), s.tally("bots")
		goodput := float64(v.served+b.served) / 40 / 200
		queued[blind] = at(s.queued, .5)
		t.Logf("blind %v: goodput %.1f %%, limit %.1f, queueing p50 %v p99 %v, own delay %v, visitors %.2f%% p99 %v", blind, 100*goodput, s.d.limiter.limit, at(s.queued, .5), at(s.queued, .99), s.d.limiter.own, 100*v.share(), v.p99())
		if !blind && (goodput < 0.8 || queued[blind] > 4*queued[true]/5 || v.share() < 0.99 || v.p99() > 500*ms) {
			t.Errorf("goodput %.1f %%, visitors %.2f%% p99 %v", 100*goodput, 100*v.share(), v.p99())
		}
	}
}

func TestLagIsTheIntegralOfPauses(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := NewLag(func() time.Time { return now })
	if got := l.Total(); got != 0 {
		t.Fatalf("%v s² before anybody wanted to know", got)
	}
	l.running.Store(true) // the timer goes off when the test says so
	l.due.Store(int64(lagTick))
	pause := func(d time.Duration) {
		now = now.Add(lagTick + d)
		before := l.Total()
		l.tick()
		if after := l.Total(); after != before {
			t.Errorf("before the timer %v s², after it %v", before, after)
		}
	}
	pause(0)
	pause(100 * ms)
	pause(20 * ms)
	if got, want := l.Total(), 0.1*0.1/2+0.02*0.02/2; got < want*0.999 || got > want*1.001 {
		t.Errorf("%v s², want %v", got, want)
	}
	l.timer.Stop()
}

// TestLagRests where nobody wants it, so that a door at rest is at rest.
func TestLagRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLag(time.Now)
		for range 3 {
			l.Want()
			time.Sleep(lagRest * lagTick / 2)
			l.Want()
			if !l.running.Load() {
				t.Fatal("it rests")
			}
			time.Sleep((lagRest + 3) * lagTick)
			if l.running.Load() || l.Total() != 0 {
				t.Fatalf("running %v, %v s²", l.running.Load(), l.Total())
			}
			time.Sleep(time.Hour)
		}
	})
}
