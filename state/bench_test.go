package state_test

import (
	"runtime"
	"testing"
	"time"

	"stormdoor/state"
)

const tableSize = 64 << 20 // the policy's default

// BenchmarkKnownKey has the entries of 1,000 clients in the processor's caches, BenchmarkKnownKeyCold waits for main
// memory at each decision, as does BenchmarkNewKey.
func BenchmarkKnownKey(b *testing.B)     { known(b, 1000) }
func BenchmarkKnownKeyCold(b *testing.B) { known(b, 2<<20) }

// used is a table whose memory the system has given already: the first key of each page waits for that, too. At later it
// bears no debt any more.
func used(b *testing.B) *state.Memory {
	m := open(b, tableSize)
	a := state.Ask{Rate: rate(b, state.Quota{Amount: 50, Per: time.Second, Burst: 1000}), Units: 1}
	for range 1 << 20 {
		a.Key += 0x9e3779b97f4a7c15
		m.Spend(noon, a)
	}
	return m
}

var later = noon.Add(time.Minute)

func known(b *testing.B, keys int) {
	m := used(b)
	a := state.Ask{Rate: rate(b, state.Quota{Amount: 50, Per: time.Second, Burst: 1000}), Units: 1}
	now := later
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.Key = state.Key(i%keys) * 0x9e3779b97f4a7c15
		now = now.Add(time.Microsecond)
		m.Spend(now, a)
	}
}

func BenchmarkNewKey(b *testing.B) {
	m := used(b)
	a := state.Ask{Key: 1, Rate: rate(b, state.Quota{Amount: 50, Per: time.Second, Burst: 1000}), Units: 1}
	now := later
	b.ReportAllocs()
	for b.Loop() {
		a.Key += 0x9e3779b97f4a7c15
		now = now.Add(time.Microsecond)
		m.Spend(now, a)
	}
}

func BenchmarkNewKeyFullTable(b *testing.B) {
	m := open(b, tableSize)
	a := state.Ask{Rate: rate(b, state.Quota{Amount: 1, Per: time.Hour, Burst: 10}), Units: 1}
	for range 8 << 20 {
		a.Key += 0x9e3779b97f4a7c15
		m.Spend(noon, a)
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Key += 0x9e3779b97f4a7c15
		m.Spend(noon, a)
	}
}

// BenchmarkTenMillionSources brings ten million distinct keys at a million a second and reports the memory of the heap.
func BenchmarkTenMillionSources(b *testing.B) {
	before := heap()
	m := open(b, tableSize)
	a := state.Ask{Rate: rate(b, state.Quota{Amount: 50, Per: time.Second, Burst: 1000}), Units: 1}
	b.ReportAllocs()
	for b.Loop() {
		now := noon
		for range 10_000_000 {
			a.Key += 0x9e3779b97f4a7c15
			now = now.Add(time.Microsecond)
			m.Spend(now, a)
		}
	}
	b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e7, "ns/source")
	b.ReportMetric(float64(m.Stats().NoRoom)/float64(b.N), "no-room")
}

func heap() int64 {
	var ms runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&ms)
	return int64(ms.HeapAlloc)
}
