// Package statetest answers "does this store keep the contract of state.Store?".
package statetest

import (
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stormdoor/state"
)

// Start is a round time to begin tests with. It has no monotonic reading, as on a tape.
var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Twin is the slow, obvious store: a leaky bucket a key in a map that grows. Its bucket fills by what is spent, and
// time drains it; it never says NoRoom. It wants times that do not go back.
type Twin struct {
	Quotas  map[state.Rate]state.Quota // what each rate was compiled from
	buckets map[state.Key]bucket
}

type bucket struct {
	level *big.Int // ns of refilling
	at    time.Time
}

// Rate compiles a quota and remembers it.
func (w *Twin) Rate(q state.Quota) (state.Rate, error) {
	r, err := state.NewRate(q)
	if err != nil {
		return r, err
	}
	if w.Quotas == nil {
		w.Quotas = map[state.Rate]state.Quota{}
	}
	w.Quotas[r] = q
	return r, nil
}

// Spend implements state.Store.
func (w *Twin) Spend(now time.Time, a state.Ask) state.Answer {
	level, answer := w.ask(now, a)
	if answer.Finding == state.Conforms {
		if w.buckets == nil {
			w.buckets = map[state.Key]bucket{}
		}
		w.buckets[a.Key] = bucket{level, now}
	}
	return answer
}

// Peek implements state.Store.
func (w *Twin) Peek(now time.Time, a state.Ask) state.Answer {
	_, answer := w.ask(now, a)
	return answer
}

// Debtors is how many keys are in debt.
func (w *Twin) Debtors(now time.Time) (n int) {
	for k := range w.buckets {
		if w.level(now, k).Sign() > 0 {
			n++
		}
	}
	return n
}

func (w *Twin) level(now time.Time, k state.Key) *big.Int {
	b, ok := w.buckets[k]
	if !ok {
		return new(big.Int)
	}
	left := new(big.Int).Sub(b.level, big.NewInt(int64(now.Sub(b.at))))
	return atLeast(left, 0)
}

func (w *Twin) ask(now time.Time, a state.Ask) (*big.Int, state.Answer) {
	q, ok := w.Quotas[*a.Rate]
	if !ok {
		panic("statetest: the rate was not compiled by Twin.Rate")
	}
	level, cost := w.level(now, a.Key), price(q, a.Units)
	size := price(q, q.Burst)
	after := new(big.Int).Add(level, cost)
	if a.Settle {
		brim := new(big.Int).Add(size, big.NewInt(int64(max(q.Patience, q.Overdraft))))
		if after.Cmp(brim) > 0 {
			after = brim
		}
		return atLeast(after, 0), state.Answer{}
	}
	over := new(big.Int).Sub(after, size)
	most := big.NewInt(int64(q.Patience))
	switch {
	case over.Sign() <= 0:
		return after, state.Answer{}
	case over.Cmp(most) <= 0:
		return after, state.Answer{Wait: time.Duration(over.Int64())}
	case new(big.Int).Sub(cost, size).Cmp(most) > 0:
		return level, state.Answer{Finding: state.Exceeds, Wait: state.Never}
	}
	return level, state.Answer{Finding: state.Exceeds, Wait: time.Duration(over.Sub(over, most).Int64())}
}

// price is units · Per / Amount, rounded towards zero, and at least 1 ns for what is not nothing.
func price(q state.Quota, units int64) *big.Int {
	c := new(big.Int).Mul(big.NewInt(units), big.NewInt(int64(q.Per)))
	c.Quo(c, big.NewInt(q.Amount))
	if c.Sign() == 0 && units != 0 {
		return big.NewInt(int64(max(-1, min(1, units))))
	}
	return c
}

func atLeast(x *big.Int, least int64) *big.Int {
	if l := big.NewInt(least); x.Cmp(l) < 0 {
		return l
	}
	return x
}

// Contract tests a store. open returns a new one with room for at least 10,000 keys in debt.
func Contract(t *testing.T, open func(start time.Time) state.Store) {
	t.Run("equals its twin", func(t *testing.T) { rapid.Check(t, func(rt *rapid.T) { equalsTwin(rt, open(start)) }) })
	t.Run("burst, then the rate", func(t *testing.T) { burstThenRate(t, open(start)) })
	t.Run("settled debt", func(t *testing.T) { settledDebt(t, open(start)) })
	t.Run("keys are apart", func(t *testing.T) { keysApart(t, open(start)) })
	t.Run("the clock goes back", func(t *testing.T) { clockBack(t, open(start)) })
	t.Run("the clock leaps ahead and returns", func(t *testing.T) { clockLeaps(t, open(start)) })
	t.Run("many at once", func(t *testing.T) { manyAtOnce(t, open(start)) })
}

func equalsTwin(t *rapid.T, s state.Store) {
	var w Twin
	rates := make([]state.Rate, 6)
	for i := range rates {
		q := state.Quota{
			Amount:    rapid.Int64Range(1, 1<<20).Draw(t, "amount"),
			Per:       rapid.SampledFrom([]time.Duration{1, time.Second, time.Minute, 7 * time.Second, time.Hour}).Draw(t, "per"),
			Burst:     rapid.Int64Range(1, 2000).Draw(t, "burst"),
			Patience:  time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "patience")),
			Overdraft: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "overdraft")),
		}
		r, err := w.Rate(q)
		if err != nil {
			continue // a burst that takes too long to refill: the zero rate, which asks nobody
		}
		rates[i] = r
	}
	now := start
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		i := rapid.IntRange(0, len(rates)-1).Draw(t, "key")
		if rates[i] == (state.Rate{}) {
			continue
		}
		a := state.Ask{
			Key: state.Key(i+1) * 0x9e3779b97f4a7c15, Breadth: state.Breadth(i % 3), Rate: &rates[i],
			Units:  rapid.Int64Range(0, 3000).Draw(t, "units"),
			Settle: rapid.Bool().Draw(t, "settle"),
		}
		if a.Settle && rapid.Bool().Draw(t, "give back") {
			a.Units = -a.Units
		}
		now = now.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "later")))
		if x, ok := s.(state.Expecter); ok && rapid.Bool().Draw(t, "expected") {
			x.Expect(a.Key, a.Breadth)
		}
		if want, got := w.Peek(now, a), s.Peek(now, a); got != want {
			t.Fatalf("peek %+v: %+v, the twin says %+v", a, got, want)
		}
		if want, got := w.Spend(now, a), s.Spend(now, a); got != want {
			t.Fatalf("spend %+v: %+v, the twin says %+v", a, got, want)
		}
	}
}

func burstThenRate(t *testing.T, s state.Store) {
	a := state.Ask{Key: 1 << 40, Rate: rate(t, state.Quota{Amount: 3, Per: time.Second, Burst: 5}), Units: 1}
	now := start
	for i := range 5 {
		expect(t, fmt.Sprintf("request %d of the burst", i+1), s.Spend(now, a), state.Conforms)
	}
	over := s.Spend(now, a)
	expect(t, "the request after the burst", over, state.Exceeds)
	if over.Wait < 333*time.Millisecond || over.Wait > 334*time.Millisecond {
		t.Errorf("it must wait %v, want a third of a second", over.Wait)
	}
	expect(t, "a nanosecond too early", s.Spend(now.Add(over.Wait-1), a), state.Exceeds)
	expect(t, "on time", s.Spend(now.Add(over.Wait), a), state.Conforms)
	a.Units = 6
	if got := s.Spend(now.Add(time.Hour), a); got != (state.Answer{Finding: state.Exceeds, Wait: state.Never}) {
		t.Errorf("more than the burst at once: %+v, want Exceeds for ever", got)
	}
}

func settledDebt(t *testing.T, s state.Store) {
	a := state.Ask{Key: 7 << 33, Rate: rate(t, state.Quota{Amount: 1000, Per: time.Second, Burst: 10_000, Overdraft: time.Minute}), Units: 50_000, Settle: true}
	expect(t, "settling", s.Spend(start, a), state.Conforms)
	ask := state.Ask{Key: a.Key, Rate: a.Rate, Units: 1}
	want := 40*time.Second + time.Millisecond
	if got := s.Peek(start, ask); got.Finding != state.Exceeds || got.Wait != want {
		t.Errorf("after 50 s of debt on a burst of 10 s: %+v, want a wait of %v", got, want)
	}
	s.Spend(start, a) // 100 s, but 70 s are the most
	if got := s.Peek(start, ask); got.Wait != time.Minute+time.Millisecond {
		t.Errorf("beyond the overdraft: %+v, want a wait of 60.001 s", got)
	}
	a.Units = -1 << 40
	expect(t, "giving back", s.Spend(start, a), state.Conforms)
	ask.Units = 10_000
	expect(t, "the burst after all was given back", s.Spend(start, ask), state.Conforms)
	ask.Units = 1
	expect(t, "more than the burst, which giving back does not raise", s.Spend(start, ask), state.Exceeds)
}

func keysApart(t *testing.T, s state.Store) {
	r := *rate(t, state.Quota{Amount: 1, Per: time.Hour, Burst: 1})
	for i := range 2000 {
		a := state.Ask{Key: state.Key(i+1) * 0x9e3779b97f4a7c15, Rate: &r, Units: 1}
		expect(t, "the first request of a key", s.Spend(start, a), state.Conforms)
		expect(t, "its second", s.Spend(start, a), state.Exceeds)
	}
}

func clockBack(t *testing.T, s state.Store) {
	a := state.Ask{Key: 3 << 50, Rate: rate(t, state.Quota{Amount: 10, Per: time.Second, Burst: 20}), Units: 1}
	for i := range 20 {
		expect(t, fmt.Sprintf("request %d", i+1), s.Spend(start, a), state.Conforms)
	}
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour, 400 * 24 * time.Hour} {
		then := start.Add(-back)
		if got := s.Spend(then, a); got.Wait > 100*time.Millisecond {
			t.Errorf("the clock went back by %v: a wait of %v, want at most the 100 ms of one request", back, got.Wait)
		}
		expect(t, "two seconds later", s.Spend(then.Add(2*time.Second), a), state.Conforms)
		for range 20 {
			s.Spend(then.Add(2*time.Second), a)
		}
		expect(t, "and with the burst used up", s.Spend(then.Add(2*time.Second), a), state.Exceeds)
	}
}

func clockLeaps(t *testing.T, s state.Store) {
	r := *rate(t, state.Quota{Amount: 1, Per: time.Hour, Burst: 3})
	far := []time.Time{start.AddDate(1, 0, 0), start.AddDate(280, 0, 0), time.Unix(1<<40, 0), {}, time.Unix(-1<<40, 0)}
	for i, f := range far {
		expect(t, fmt.Sprintf("a request at %v", f), s.Spend(f, state.Ask{Key: state.Key(i+1) << 55, Rate: &r, Units: 1}), state.Conforms)
		a := state.Ask{Key: state.Key(i+100) << 50, Rate: &r, Units: 1}
		for range 3 {
			expect(t, "the burst back at the right time", s.Spend(start, a), state.Conforms)
		}
		over := s.Spend(start, a)
		if over.Finding != state.Exceeds || over.Wait > time.Hour {
			t.Errorf("after a leap to %v and back: %+v, want Exceeds for at most an hour", f, over)
		}
		expect(t, "an hour later", s.Spend(start.Add(over.Wait), a), state.Conforms)
	}
}

func manyAtOnce(t *testing.T, s state.Store) {
	a := state.Ask{Key: 5 << 52, Rate: rate(t, state.Quota{Amount: 1, Per: time.Hour, Burst: 500}), Units: 1}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				if s.Spend(start.Add(time.Duration(g*i)), a).Finding == state.Conforms {
					passed.Add(1)
				}
				s.Peek(start, a)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 500 {
		t.Errorf("%d requests passed at once, want the burst of 500", passed.Load())
	}
}

func rate(t *testing.T, q state.Quota) *state.Rate {
	t.Helper()
	r, err := state.NewRate(q)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func expect(t *testing.T, what string, got state.Answer, want state.Finding) {
	t.Helper()
	if got.Finding != want {
		t.Fatalf("%s: %v (wait %v), want %v", what, got.Finding, got.Wait, want)
	}
}
