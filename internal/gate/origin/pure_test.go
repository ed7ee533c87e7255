package origin

import (
	"fmt"
	"math"
	"testing"
	"time"

	"stormdoor/policy"
)

func members(weights ...int) []candidate {
	cs := make([]candidate, len(weights))
	for i, w := range weights {
		m := &member{weight: w, seed: seedOf([32]byte{9}, fmt.Sprintf("10.0.0.%d:80", i))}
		cs[i] = m.candidate()
	}
	return cs
}

func TestLeastConnections(t *testing.T) {
	for _, tt := range []struct {
		weights []int
		busy    []int64
		want    int
	}{
		{[]int{1, 1, 1}, []int64{3, 1, 2}, 1},
		{[]int{1, 4}, []int64{1, 5}, 1}, // 2/1 against 6/4
		{[]int{1, 4}, []int64{0, 5}, 0}, // 1/1 against 6/4
		{[]int{1, 2}, []int64{0, 0}, 1},
	} {
		for turn := range uint32(7) {
			cs := members(tt.weights...)
			for i := range cs {
				cs[i].busy = tt.busy[i]
			}
			if got := leastConnections(cs, turn); got != tt.want {
				t.Errorf("weights %v, busy %v, turn %d: %d, want %d", tt.weights, tt.busy, turn, got, tt.want)
			}
		}
	}
	got := [3]int{}
	for turn := range uint32(300) {
		got[leastConnections(members(1, 1, 1), turn)]++
	}
	if got != [3]int{100, 100, 100} {
		t.Errorf("equals do not take turns: %v", got)
	}
}

func TestRoundRobinIsSmooth(t *testing.T) {
	cs, got := members(5, 1, 1), ""
	for range 14 {
		got += string(rune('a' + roundRobin(cs)))
	}
	if got != "aabacaaaabacaa" {
		t.Errorf("turns %s, want aabacaa twice (nginx)", got)
	}
}

func TestClientHash(t *testing.T) {
	const n = 60000
	cs := members(1, 2, 3)
	share := [3]int{}
	moved := 0
	for i := range uint32(n) {
		bucket := i * 2654435761
		c := clientHash(cs, bucket)
		share[c]++
		without := clientHash(cs[:2], bucket)
		if c != 2 && without != c {
			moved++
		}
	}
	for i, w := range []float64{1, 2, 3} {
		if want := n * w / 6; math.Abs(float64(share[i])-want) > 0.03*n {
			t.Errorf("origin %d of weight %v has %d of %d clients, want about %.0f", i, w, share[i], n, want)
		}
	}
	if moved > 0 {
		t.Errorf("%d clients of the origins that stayed have moved", moved)
	}
}

func TestBalanceOfAPool(t *testing.T) {
	for _, b := range []policy.Balance{"", policy.LeastConnections, policy.RoundRobin, policy.ClientHash} {
		us := []*fakeOrigin{plays(answers(200, "")), plays(answers(200, "")), plays(answers(200, ""))}
		p := script(t, func(c *Config) { c.Balance = b }, us...)
		for i := range uint32(3000) {
			o := facts()
			o.Facts.Bucket = i * 2654435761
			if r := p.Forward(visitor("GET", "/"), o); r != "" {
				t.Fatal(r)
			}
		}
		for i, u := range us {
			if n := u.count(); n < 850 || n > 1150 {
				t.Errorf("%s: origin %d got %d of 3000", b, i, n)
			}
		}
	}
}

func TestBudget(t *testing.T) {
	now := time.Unix(0, 1)
	var b budget
	spend := func(forwards uint64) (n int) {
		for {
			next, ok := b.spend(now, forwards)
			if b = next; !ok {
				return n
			}
			n++
		}
	}
	if n := spend(0); n != budgetFirst {
		t.Errorf("a new budget gives %d, want %d", n, budgetFirst)
	}
	if n := spend(500); n != 50 {
		t.Errorf("500 forwards bring %d retries, want 50", n)
	}
	now = now.Add(10 * time.Second)
	if n := spend(500); n != 10*budgetFloor {
		t.Errorf("10 s bring %d retries, want %d", n, 10*budgetFloor)
	}
	now = now.Add(time.Hour)
	if n := spend(1e9); n != budgetMost {
		t.Errorf("the reserve is %d, want %d", n, budgetMost)
	}
	now = now.Add(-time.Minute)
	if n := spend(1e9); n != 0 {
		t.Errorf("a clock that steps back brings %d retries", n)
	}
}

func TestHealthStates(t *testing.T) {
	t0 := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	var c condition
	expect := func(now time.Time, want standing) {
		t.Helper()
		if got := c.standing(now); got != want {
			t.Fatalf("standing %d, want %d in %+v", got, want, c)
		}
	}
	c = c.failed(t0, "x").failed(t0, "x")
	expect(t0, up)
	c = c.succeeded(t0) // a success between: not in a row
	c = c.failed(t0, "x").failed(t0, "x")
	expect(t0, up)
	c = c.failed(t0, "refused")
	expect(t0, ejected)
	if c.why != "refused" || !c.since.Equal(t0) {
		t.Errorf("%+v", c)
	}
	now, wait := t0, ejectFirst
	for range 8 { // failed trials double the time out
		expect(now.Add(wait-1), ejected)
		if stale := c.failed(now, "late"); stale.until != c.until {
			t.Error("a failure from before the ejection prolongs it")
		}
		now = now.Add(wait)
		expect(now, halfOpen)
		var ok bool
		if c, ok = c.try(halfOpenTrials); !ok {
			t.Fatal("no trial of a half-open origin")
		}
		if _, ok = c.try(halfOpenTrials); ok {
			t.Fatal("two trials at once")
		}
		c.trials--
		c = c.failed(now, "x")
		wait = min(2*wait, ejectMost)
	}
	expect(now.Add(ejectMost-1), ejected)
	now = now.Add(ejectMost)
	c = c.succeeded(now)
	expect(now, up)
	for range ejectAfter { // soon down again: the time out goes on where it was
		c = c.failed(now.Add(time.Second), "x")
	}
	expect(now.Add(time.Second+ejectMost-1), ejected)
	c = c.succeeded(now.Add(time.Minute))
	now = now.Add(3 * time.Minute)
	for range ejectAfter { // up for long: it begins anew
		c = c.failed(now, "x")
	}
	expect(now.Add(ejectFirst), halfOpen)

	c = condition{}.checked(t0, false, "500")
	expect(t0, up)
	c = c.checked(t0, false, "500")
	expect(t0, checkedOut)
	c = c.succeeded(t0)
	expect(t0, checkedOut)
	c = c.checked(at(time.Second), true, "")
	expect(at(time.Second), up)
	if c.why != "" || !c.since.Equal(at(time.Second)) {
		t.Errorf("%+v", c)
	}
	c = c.failed(at(0), "x").failed(at(0), "x").failed(at(0), "x")
	expect(at(0), ejected)
	c = c.checked(at(time.Millisecond), true, "")
	expect(at(time.Millisecond), halfOpen)
}

func TestHeat(t *testing.T) {
	ok := func(took time.Duration) forward { return forward{headed: true, took: took} }
	bad := forward{failed: true}
	t0 := time.Unix(1000, 0)
	t.Run("failures", func(t *testing.T) {
		var h heat
		for i := range 19 {
			h.ended(t0.Add(time.Duration(i)*time.Millisecond), bad, 0)
		}
		if h.hot(t0) {
			t.Error("19 failures prove nothing")
		}
		h.ended(t0.Add(20*time.Millisecond), bad, 0)
		if !h.hot(t0.Add(20 * time.Millisecond)) {
			t.Error("20 failures of 20 are trouble at once")
		}
		if !h.hot(t0.Add(heatStays)) || h.hot(t0.Add(heatStays+21*time.Millisecond)) {
			t.Error("it must stay hot for 10 s, and not longer")
		}
	})
	t.Run("share", func(t *testing.T) {
		for failures, want := range map[int]bool{4: false, 5: true} {
			var h heat
			for i := range 100 {
				f := ok(time.Millisecond)
				if i >= 100-failures {
					f = bad
				}
				h.ended(t0, f, 0)
			}
			if h.hot(t0) != want {
				t.Errorf("%d of 100 failed: hot %v", failures, !want)
			}
		}
	})
	t.Run("two failures are bad luck", func(t *testing.T) {
		var h heat
		for i := range 30 {
			f := ok(time.Millisecond)
			if i >= 28 {
				f = bad
			}
			h.ended(t0, f, 0)
		}
		if h.hot(t0) {
			t.Error("2 of 30 failed: hot")
		}
	})
	t.Run("old failures are forgotten", func(t *testing.T) {
		var h heat
		for range 19 {
			h.ended(t0, bad, 0)
		}
		h.ended(t0.Add(heatSpan*time.Second), bad, 0)
		if h.hot(t0.Add(heatSpan * time.Second)) {
			t.Error("failures of 5 s ago count")
		}
	})
	t.Run("slow", func(t *testing.T) {
		h, now := learned(t0, 20*time.Millisecond, 120)
		for range 4 {
			now = now.Add(time.Second)
			h.ended(now, ok(200*time.Millisecond), heatCrowd+1)
		}
		if !h.hot(now) {
			t.Errorf("ten times as slow for 3 s: fast %v, slow %v", h.fast, h.slow)
		}
		h, now = learned(t0, 20*time.Millisecond, 120)
		for range 60 {
			now = now.Add(time.Second)
			h.ended(now, ok(200*time.Millisecond), heatCrowd)
		}
		if h.hot(now) {
			t.Error("slow answers without a crowd are no overload")
		}
		h, now = learned(t0, time.Millisecond, 120)
		for range 10 {
			now = now.Add(time.Second)
			h.ended(now, ok(10*time.Millisecond), heatCrowd+1)
		}
		if h.hot(now) {
			t.Error("9 ms more are no queue")
		}
	})
	t.Run("visitors that leave", func(t *testing.T) {
		h, now := learned(t0, 20*time.Millisecond, 120)
		for range 5 {
			now = now.Add(time.Second)
			h.ended(now, forward{took: 3 * time.Second}, heatCrowd+1)
		}
		if !h.hot(now) {
			t.Error("visitors leave after 3 s without an answer, and nothing is noticed")
		}
	})
	t.Run("stall", func(t *testing.T) {
		h, now := learned(t0, 20*time.Millisecond, 120)
		now = now.Add(time.Minute) // quiet: the last head is long ago
		for i := range 3 * heatCrowd {
			h.arrived(now, i)
		}
		if h.hot(now) {
			t.Error("a crowd that has just come has not waited")
		}
		now = now.Add(1100 * time.Millisecond)
		if h.arrived(now, 3*heatCrowd); !h.hot(now) {
			t.Error("96 wait and nothing has come for over a second")
		}
	})
	t.Run("six hours of attack", func(t *testing.T) {
		h, now := learned(t0, 20*time.Millisecond, 120)
		before := h.slow
		for i := range 6 * 3600 {
			now = now.Add(time.Second)
			h.ended(now, ok(500*time.Millisecond), 200)
			if i > 10 && !h.hot(now) {
				t.Fatalf("cold after %d s of the attack", i)
			}
		}
		if h.slow > before*1.1 {
			t.Errorf("the attack has become normal: baseline %v, was %v", h.slow, before)
		}
	})
	t.Run("a slow ramp", func(t *testing.T) {
		h, now := learned(t0, 20*time.Millisecond, 120)
		before := h.slow
		for i := range 1800 { // ten times as slow within half an hour, never a jump
			now = now.Add(time.Second)
			h.ended(now, ok(time.Duration(20+i/10)*time.Millisecond), heatCrowd+1)
		}
		if h.slow > 2*before || !h.hot(now) {
			t.Errorf("the baseline has followed the ramp: %v, was %v, hot %v", h.slow, before, h.hot(now))
		}
	})
}

// learned is a heat that has seen an answer a second.
func learned(now time.Time, took time.Duration, seconds int) (heat, time.Time) {
	var h heat
	for range seconds {
		now = now.Add(time.Second)
		h.ended(now, forward{headed: true, took: took}, 1)
	}
	return h, now
}

func TestPoolTurnsHot(t *testing.T) {
	now := time.Unix(1000, 0)
	p := script(t, func(c *Config) { c.Now = func() time.Time { return now } }, plays(answers(503, "busy")))
	for range heatLeast {
		if p.Hot(now) {
			t.Fatal("hot too early")
		}
		p.Forward(visitor("GET", "/"), facts())
	}
	if !p.Hot(now) || p.Hot(now.Add(heatStays)) {
		t.Error("20 times 503 must make it hot for 10 s")
	}
	if !p.Status()[0].Up {
		t.Error("a 503 is an answer: it must not take the origin out")
	}
}
