package state

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNewRateErrors(t *testing.T) {
	for name, c := range map[string]struct {
		q    Quota
		want []string
	}{
		"nothing given":  {Quota{}, []string{"amount is 0", "time is 0s", "burst is 0"}},
		"negative":       {Quota{Amount: -1, Per: -1, Burst: -1, Patience: -1, Overdraft: -1}, []string{"amount is -1", "burst is -1", "wait is -1ns", "overdraft is -1ns"}},
		"slow to refill": {Quota{Amount: 1, Per: 30 * 24 * time.Hour, Burst: 4}, []string{"burst of 4 takes more than 90 days"}},
		"overflow":       {Quota{Amount: 1, Per: math.MaxInt64, Burst: math.MaxInt64}, []string{"takes more than 90 days"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewRate(c.q)
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("error %q lacks %q", err, w)
				}
			}
		})
	}
}

func TestZeroRateLetsPass(t *testing.T) {
	if tat, a := (Rate{}).Spend(math.MaxInt64, 5, 1<<50, false); tat != 5 || a != (Answer{}) {
		t.Errorf("the zero rate says %+v and keeps %d", a, tat)
	}
}

func TestBurstIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := Quota{Amount: rapid.Int64Range(1, 100_000).Draw(t, "amount"), Per: time.Second, Burst: rapid.Int64Range(1, 3000).Draw(t, "burst")}
		r, err := NewRate(q)
		if err != nil {
			t.Fatal(err)
		}
		tat, n := int64(0), int64(0)
		for ; n <= q.Burst; n++ {
			next, a := r.Spend(tat, 1000, 1, false)
			if a.Finding != Conforms {
				break
			}
			tat = next
		}
		if n != q.Burst {
			t.Fatalf("%d of a burst of %d conform at once", n, q.Burst)
		}
	})
}

func TestPatienceHoldsBack(t *testing.T) {
	r, _ := NewRate(Quota{Amount: 10, Per: time.Second, Burst: 1, Patience: 250 * time.Millisecond})
	want := []Answer{{}, {Wait: 100 * time.Millisecond}, {Wait: 200 * time.Millisecond}, {Finding: Exceeds, Wait: 50 * time.Millisecond}}
	tat := int64(0)
	for i, w := range want {
		next, a := r.Spend(tat, 1e9, 1, false)
		if a != w {
			t.Errorf("request %d: %+v, want %+v", i+1, a, w)
		}
		tat = next
	}
}

func TestBytesFasterThanANanosecond(t *testing.T) {
	r, err := NewRate(Quota{Amount: 10e9, Per: time.Second, Burst: 10e9})
	if err != nil {
		t.Fatal(err)
	}
	tat, a := r.Spend(0, 1, 5e9, false)
	if a.Finding != Conforms || tat != 1+5e8 {
		t.Errorf("5 GB at 10 GB/s: %+v, paid at %d, want 500,000,001", a, tat)
	}
}

// TestAnyNumber holds the pure function to its bounds for every time, debt and amount, sane or not.
func TestAnyNumber(t *testing.T) {
	any64 := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64}))
	rapid.Check(t, func(t *rapid.T) {
		q := Quota{
			Amount: rapid.Int64Range(1, math.MaxInt64).Draw(t, "amount"), Per: time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "per")),
			Burst:    rapid.Int64Range(1, math.MaxInt64).Draw(t, "burst"),
			Patience: time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "patience")), Overdraft: time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "overdraft")),
		}
		r, err := NewRate(q)
		if err != nil {
			t.Skip()
		}
		tat, now, units := any64.Draw(t, "tat"), any64.Draw(t, "now"), any64.Draw(t, "units")
		next, a := r.Spend(tat, now, units, rapid.Bool().Draw(t, "settle"))
		if next < now {
			t.Fatalf("the TAT to keep, %d, is before now, %d", next, now)
		}
		if debt := uint64(next) - uint64(now); debt > uint64(MaxDebt) {
			t.Fatalf("a debt of %d ns is over MaxDebt", debt)
		}
		if a.Wait < 0 || a.Finding == Exceeds && a.Wait == 0 || a.Finding == Conforms && a.Wait > q.Patience {
			t.Fatalf("a wait of %v with %v", a.Wait, a.Finding)
		}
	})
}
