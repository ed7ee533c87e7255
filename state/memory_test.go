package state_test

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stormdoor/state"
	"stormdoor/state/statetest"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, budget int64) *state.Memory {
	t.Helper()
	m, err := state.NewMemory(budget, noon)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustRate(t testing.TB, q state.Quota) state.Rate {
	t.Helper()
	r, err := state.NewRate(q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rate is mustRate for a question.
func rate(t testing.TB, q state.Quota) *state.Rate {
	r := mustRate(t, q)
	return &r
}

func TestMemoryContract(t *testing.T) {
	statetest.Contract(t, func(start time.Time) state.Store {
		m, err := state.NewMemory(4<<20, start)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func TestMemoryBudget(t *testing.T) {
	for _, bad := range []int64{-1, 0, state.MinMemory - 1, state.MaxMemory + 1} {
		if _, err := state.NewMemory(bad, noon); err == nil {
			t.Errorf("a budget of %d is taken", bad)
		}
	}
	for _, budget := range []int64{state.MinMemory, 100_001, 1 << 20, 64 << 20} {
		st := open(t, budget).Stats()
		if want := 8 * ((budget - 16<<10 - 1<<10) / 128); st.Entries != want {
			t.Errorf("%d bytes: %d entries, the formula says %d", budget, st.Entries, want)
		}
		if st.Bytes > budget || st.Bytes < budget-128 {
			t.Errorf("%d bytes: uses %d", budget, st.Bytes)
		}
	}
}

// TestFullTableIsExactOrSaysSo drives the smallest table far beyond its size: wherever it does not say NoRoom it must
// give the answer of the twin, which forgets nothing.
func TestFullTableIsExactOrSaysSo(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m, w := open(t, state.MinMemory), statetest.Twin{}
		r, err := w.Rate(state.Quota{Amount: 1, Per: time.Second, Burst: 4})
		if err != nil {
			rt.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		now, refused := noon, 0
		for range 12_000 {
			now = now.Add(time.Duration(rnd.IntN(600_000)))
			a := state.Ask{Key: state.Key(rnd.IntN(6000)) * 0x9e3779b97f4a7c15, Rate: &r, Units: 1 + rnd.Int64N(2)}
			got := m.Spend(now, a)
			if got.Finding == state.NoRoom {
				refused++
				continue
			}
			if want := w.Spend(now, a); got != want {
				rt.Fatalf("%+v at %v: %+v, the twin says %+v", a, now, got, want)
			}
		}
		if refused == 0 {
			rt.Fatalf("the table was never full: the test tests nothing (%d debtors)", w.Debtors(now))
		}
		if st := m.Stats(); st.NoRoom != uint64(refused) || st.Displaced != 0 {
			rt.Errorf("counted %+v, want %d times no room and nobody displaced", st, refused)
		}
	})
}

// fill brings new keys in debt until the table refuses 1,000 in a row.
func fill(m *state.Memory, r state.Rate, b state.Breadth) (keys []state.Key) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for misses := 0; misses < 1000; {
		k := state.Key(rnd.Uint64())
		if m.Spend(noon, state.Ask{Key: k, Breadth: b, Rate: &r, Units: 2}).Finding == state.NoRoom {
			misses++
			continue
		}
		keys, misses = append(keys, k), 0
	}
	return keys
}

func TestBroaderKeysDisplaceNarrowerOnes(t *testing.T) {
	m := open(t, state.MinMemory)
	r := mustRate(t, state.Quota{Amount: 1, Per: time.Minute, Burst: 10})
	single := fill(m, r, state.Single)
	if n := int64(len(single)); n < m.Stats().Entries*95/100 {
		t.Fatalf("only %d of %d places were taken", n, m.Stats().Entries)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		a := state.Ask{Key: state.Key(rnd.Uint64()), Breadth: 2, Rate: &r, Units: 10}
		if got := m.Spend(noon, a); got.Finding != state.Conforms {
			t.Fatalf("a broad key in a table full of single ones: %v", got.Finding)
		}
		if got := m.Spend(noon, a); got.Finding != state.Exceeds {
			t.Fatalf("its debt was not kept: %v", got.Finding)
		}
	}
	if d := m.Stats().Displaced; d < 95 || d > 100 {
		t.Errorf("%d displaced by 100 broad keys", d)
	}
	// a table full of broad keys takes no equally broad one, but a broader one
	m = open(t, state.MinMemory)
	fill(m, r, 1)
	if got := m.Peek(noon, state.Ask{Key: 1 << 60, Breadth: 1, Rate: &r, Units: 1}); got.Finding != state.NoRoom {
		t.Errorf("an equally broad key: %v", got.Finding)
	}
	if got := m.Peek(noon, state.Ask{Key: 1 << 60, Breadth: state.Broadest, Rate: &r, Units: 1}); got.Finding != state.Conforms {
		t.Errorf("a broader key: %v", got.Finding)
	}
}

func TestTheHeaviestIsKept(t *testing.T) {
	m := open(t, state.MinMemory)
	r := mustRate(t, state.Quota{Amount: 1, Per: time.Minute, Burst: 10})
	heavy := state.Ask{Key: 1 << 62, Rate: &r, Units: 10}
	m.Spend(noon, heavy)
	fill(m, r, state.Single)
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 2000 { // about five broad keys for each set
		m.Spend(noon, state.Ask{Key: state.Key(rnd.Uint64()), Breadth: 1, Rate: &r, Units: 1})
	}
	heavy.Units = 1
	if got := m.Peek(noon, heavy); got.Finding != state.Exceeds {
		t.Errorf("the heaviest client of its set was forgotten before lighter ones: %v", got.Finding)
	}
}

// TestClockBackLeavesRoom: debts that a clock left in the future must not fill the table.
func TestClockBackLeavesRoom(t *testing.T) {
	m := open(t, state.MinMemory)
	r := mustRate(t, state.Quota{Amount: 1, Per: time.Second, Burst: 10})
	fill(m, r, state.Single)
	year := noon.AddDate(-1, 0, 0)
	m.Spend(year, state.Ask{Key: 9, Rate: &r, Units: 1})
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		a := state.Ask{Key: state.Key(rnd.Uint64()), Rate: &r, Units: 1}
		if got := m.Spend(year.Add(3*time.Second), a); got.Finding != state.Conforms {
			t.Fatalf("three seconds after the clock went back by a year, all debts being 2 s: %v", got.Finding)
		}
	}
}

// TestPeekOfThePast: explaining an old request must not make the store believe that the clock went back.
func TestPeekOfThePast(t *testing.T) {
	m := open(t, state.MinMemory)
	a := state.Ask{Key: 9, Rate: rate(t, state.Quota{Amount: 1, Per: time.Hour, Burst: 1}), Units: 1}
	m.Spend(noon, a)
	for _, at := range []time.Duration{-300 * 24 * time.Hour, -time.Minute, 300 * 24 * time.Hour} {
		if got := m.Peek(noon.Add(at), a); got.Finding != state.Exceeds {
			t.Errorf("asked as of %v: %v, want the state of now", at, got.Finding)
		}
	}
	if got := m.Spend(noon, a); got.Finding != state.Exceeds || got.Wait != time.Hour {
		t.Errorf("after peeks: %+v, want a wait of an hour", got)
	}
}

// TestMemoryIsFixed is number 15 of the museum: what holds the clients must not grow with them. BenchmarkTenMillionSources
// does the same at full size.
func TestMemoryIsFixed(t *testing.T) {
	const budget = 8 << 20
	r := mustRate(t, state.Quota{Amount: 50, Per: time.Second, Burst: 1000})
	before := heap()
	m := open(t, budget)
	a := state.Ask{Rate: &r, Units: 1}
	for i := range 600_000 {
		a.Key += 0x9e3779b97f4a7c15
		m.Spend(noon.Add(time.Duration(i)*time.Microsecond), a)
	}
	if used := heap() - before; used > budget+64<<10 {
		t.Errorf("%d bytes of the heap are used in a budget of %d", used, budget)
	}
	runtime.KeepAlive(m)
}

func TestMemoryAllocatesNothing(t *testing.T) {
	m := open(t, 1<<20)
	a := state.Ask{Rate: rate(t, state.Quota{Amount: 50, Per: time.Second, Burst: 1000}), Units: 1}
	if n := testing.AllocsPerRun(1000, func() {
		a.Key += 0x9e3779b97f4a7c15
		m.Spend(noon, a)
		m.Peek(noon, a)
	}); n != 0 {
		t.Errorf("%v allocations a decision", n)
	}
}
