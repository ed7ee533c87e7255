package limit

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/state"
)

func TestDecideAllocatesNothing(t *testing.T) {
	one := stage(t, memory(t, 1<<20))
	many := stage(t, memory(t, 1<<20), policy.Limit{Name: "a", Rate: perSecond(1)}, policy.Limit{Name: "b", By: policy.ByPath, Rate: perSecond(1)},
		policy.Limit{Name: "c", By: "header:x", Charge: policy.ChargeBytes, Rate: perSecond(1)})
	f := from("192.0.2.1")
	f.Header.Add("X", "y")
	o := flow.Outcome{Facts: f, BytesOut: 10}
	for _, s := range []*Stage{one, many} {
		var st flow.Stage = s
		if n := testing.AllocsPerRun(500, func() {
			_, _ = st.Decide(context.Background(), &f)
			_, _ = s.Preview(context.Background(), &f)
			s.Settle(&o)
		}); n != 0 {
			t.Errorf("%v allocations a decision", n)
		}
	}
}

func number(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n*0x9e3779b1)))
}

// become makes f a request of another client, as client.Reader does, whose hash is spread as evenly.
func become(f *flow.Facts, n uint32) {
	f.Key, f.KeyHash = netip.PrefixFrom(number(n), 32), uint64(n+1)*0x9e3779b97f4a7c15
}

// began is when the benchmarks begin, with a monotonic reading as the times of requests have.
var began = time.Now()

// arriving is a request that came when the benchmarks began.
func arriving() flow.Facts {
	f := from("192.0.2.1")
	f.Arrived = began
	return f
}

// table is a store of the default size that begins with the benchmarks.
func table(b *testing.B) *state.Memory {
	m, err := state.NewMemory(DefaultTable, began)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// used is a stage whose table the system has given all its memory already, by requests of so many clients.
func used(b *testing.B, clients uint32, limits ...policy.Limit) *Stage {
	s, f := stage(b, table(b), limits...), arriving()
	for n := range clients {
		become(&f, n)
		_, _ = s.Decide(context.Background(), &f)
	}
	return s
}

func bench(b *testing.B, s *Stage, keys int) {
	f := arriving()
	f.Arrived = f.Arrived.Add(time.Hour) // whoever came before has no debt any more
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		become(&f, uint32(i%keys))
		f.Arrived = f.Arrived.Add(time.Microsecond)
		_, _ = s.Decide(ctx, &f)
	}
}

func BenchmarkKnownKey(b *testing.B) { bench(b, used(b, 1000), 1000) }

func BenchmarkKeyOfClient(b *testing.B) {
	l, f := stage(b, memory(b, 1<<20)).names["default"], from("192.0.2.1")
	become(&f, 1)
	b.ReportAllocs()
	for b.Loop() {
		l.key(&f)
	}
}

// BenchmarkNewKey has not seen a client for at least a million others. Each is expected four decisions ahead, which is
// less time than lies between the facts and the decision of one request; BenchmarkJudgementOfNewClients at the root
// measures the real distance.
func BenchmarkNewKey(b *testing.B) {
	const keys, ahead = 1 << 20, 4
	s, f, next := used(b, keys), arriving(), arriving()
	f.Arrived = f.Arrived.Add(time.Hour)
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		become(&next, uint32((i+ahead)%keys))
		s.Expect(&next)
		become(&f, uint32(i%keys))
		f.Arrived = f.Arrived.Add(time.Microsecond)
		_, _ = s.Decide(ctx, &f)
	}
}

// BenchmarkNewKeyUnexpected waits for main memory at each decision.
func BenchmarkNewKeyUnexpected(b *testing.B) { bench(b, used(b, 1<<20), 1<<20) }

func BenchmarkThreeLimits(b *testing.B) {
	bench(b, stage(b, table(b), Default(), policy.Limit{Name: "p", By: policy.ByPath, Rate: perSecond(1e6)},
		policy.Limit{Name: "bytes", Charge: policy.ChargeBytes, Rate: perSecond(1e6)}), 1000)
}

func BenchmarkTenMillionSources(b *testing.B) {
	before := heap()
	m := table(b)
	s := stage(b, m)
	f := arriving()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		for i := range uint32(10_000_000) {
			become(&f, i)
			f.Arrived = f.Arrived.Add(time.Microsecond)
			_, _ = s.Decide(ctx, &f)
		}
	}
	b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e7, "ns/source")
	runtime.KeepAlive(m)
}

func heap() int64 {
	var ms runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&ms)
	return int64(ms.HeapAlloc)
}
