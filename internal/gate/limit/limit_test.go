package limit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/state"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

var (
	_ flow.Stage     = (*Stage)(nil)
	_ flow.Settler   = (*Stage)(nil)
	_ flow.Previewer = (*Stage)(nil)
)

func memory(t testing.TB, budget int64) *state.Memory {
	t.Helper()
	m, err := state.NewMemory(budget, noon)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func stage(t testing.TB, store state.Store, limits ...policy.Limit) *Stage {
	t.Helper()
	s, err := New(&policy.Policy{Limits: limits}, store, Options{Secret: [32]byte{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func perSecond(n policy.Amount) policy.Rate { return policy.Rate{Amount: n, Per: time.Second} }

func from(addr string) flow.Facts {
	a := netip.MustParseAddr(addr)
	return factsOf(a)
}

func factsOf(a netip.Addr) flow.Facts {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	return flow.Facts{
		Arrived: noon, Site: "shop", Method: "GET", Host: "shop.example", Path: flow.Path{Raw: "/", Clean: "/", Script: "/"},
		Peer: a, Client: a, Key: netip.PrefixFrom(a, bits).Masked(),
	}
}

func decide(t testing.TB, s *Stage, f flow.Facts) flow.Verdict {
	t.Helper()
	p, err := s.Preview(context.Background(), &f)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Decide(context.Background(), &f)
	if err != nil {
		t.Fatal(err)
	}
	if p != v {
		t.Errorf("preview %+v, decide %+v", p, v)
	}
	return v
}

// passes sends n requests at once and returns how many were not refused.
func passes(t testing.TB, s *Stage, f flow.Facts, n int) (passed int) {
	t.Helper()
	for range n {
		if decide(t, s, f).Action < flow.Refuse {
			passed++
		}
	}
	return passed
}

func TestDefaultActsOnlyWhileHot(t *testing.T) {
	s := stage(t, memory(t, 1<<20))
	burst := int(Default().Burst)
	f := from("192.0.2.1")
	if n := passes(t, s, f, burst+500); n != burst+500 {
		t.Errorf("%d of %d passed while not hot", n, burst+500)
	}
	f.Hot = true
	v := decide(t, s, f)
	want := flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate, Rule: "default", RetryIn: 20 * time.Millisecond}
	if v != want {
		t.Errorf("hot after more than the burst: %+v, want %+v: it counts all the time", v, want)
	}
	f.Arrived = noon.Add(v.RetryIn)
	if n := passes(t, s, f, 3); n != 1 {
		t.Errorf("%d of 3 passed when the wait was over, want 1", n)
	}
	fresh := from("192.0.2.2")
	fresh.Hot = true
	if n := passes(t, s, fresh, burst+1); n != burst {
		t.Errorf("%d of %d requests of a new client passed, want the burst", n, burst+1)
	}
}

func TestNoLimitsOnPurpose(t *testing.T) {
	s, err := New(&policy.Policy{Limits: []policy.Limit{}}, memory(t, 1<<20), Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := from("192.0.2.1")
	f.Hot = true
	if n := passes(t, s, f, 2000); n != 2000 {
		t.Errorf("an empty list of limits refused %d", 2000-n)
	}
}

func TestKeys(t *testing.T) {
	with := func(change func(*flow.Facts)) flow.Facts {
		f := from("192.0.2.1")
		f.Credential, f.JA4 = 77, "t13d1516h2"
		f.Header.Add("X-Key", "abc")
		change(&f)
		return f
	}
	other := func(f *flow.Facts) { *f = from("2001:db8:1:2::1"); f.Credential, f.JA4, f.Host = 1, "x", "x" }
	for name, c := range map[string]struct {
		by        policy.LimitKey
		same, not flow.Facts // what shares the counter of the request, and what does not
		absent    func(*flow.Facts)
	}{
		"client":     {"", with(func(f *flow.Facts) { f.Host, f.Credential = "b", 5 }), with(other), nil},
		"credential": {policy.ByCredential, with(func(f *flow.Facts) { other(f); f.Credential = 77 }), with(func(f *flow.Facts) { f.Credential = 78 }), func(f *flow.Facts) { f.Credential = 0 }},
		"host":       {policy.ByHost, with(func(f *flow.Facts) { other(f); f.Host = "shop.example" }), with(func(f *flow.Facts) { f.Host = "b" }), nil},
		"path": {policy.ByPath, with(func(f *flow.Facts) { f.Credential, f.Path.Raw = 0, "//" }), with(func(f *flow.Facts) { f.Host = "b" }),
			func(f *flow.Facts) { f.Path = flow.Path{} }},
		"ja4":    {policy.ByJA4, with(func(f *flow.Facts) { other(f); f.JA4 = "t13d1516h2" }), with(func(f *flow.Facts) { f.JA4 = "t13d1517h2" }), func(f *flow.Facts) { f.JA4 = "" }},
		"header": {"header:x-key", with(func(f *flow.Facts) { f.Credential = 5 }), with(func(f *flow.Facts) { f.Header = flow.Header{}; f.Header.Add("x-key", "abd") }), func(f *flow.Facts) { f.Header = flow.Header{} }},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, memory(t, 1<<20), policy.Limit{Name: "l", By: c.by, Rate: perSecond(1), Burst: 1})
			if decide(t, s, with(func(*flow.Facts) {})).Action != flow.Continue {
				t.Fatal("the first request was refused")
			}
			if decide(t, s, c.same).Action != flow.Refuse {
				t.Error("what should share the counter does not")
			}
			if decide(t, s, c.not).Action != flow.Continue {
				t.Error("what should not share the counter does")
			}
			if c.absent != nil && passes(t, s, with(c.absent), 5) != 5 {
				t.Error("requests without the thing were counted")
			}
		})
	}
}

func TestIPv6IsCountedBy64(t *testing.T) {
	s := stage(t, memory(t, 1<<20), policy.Limit{Name: "l", Rate: perSecond(1), Burst: 1})
	passes(t, s, from("2001:db8::1"), 1)
	if passes(t, s, from("2001:db8::ffff:2"), 1) != 0 || passes(t, s, from("2001:db8:0:1::1"), 1) != 1 {
		t.Error("a client is not its /64")
	}
}

func TestWhatALimitIsFor(t *testing.T) {
	l := policy.Limit{
		Name: "l", Rate: perSecond(1), Burst: 1,
		Sites: []string{"shop", "blog"}, Routes: []string{"api"}, Methods: []string{"POST", "PUT"}, Paths: []string{"/login", "/api/*"},
	}
	match := from("192.0.2.1")
	match.Route, match.Method, match.Path.Clean = "api", "POST", "/login"
	for name, c := range map[string]struct {
		change  func(*flow.Facts)
		counted bool
	}{
		"exactly":         {func(*flow.Facts) {}, true},
		"other site of l": {func(f *flow.Facts) { f.Site = "blog" }, true},
		"site":            {func(f *flow.Facts) { f.Site = "mail" }, false},
		"no site":         {func(f *flow.Facts) { f.Site = "" }, false},
		"route":           {func(f *flow.Facts) { f.Route = "" }, false},
		"method":          {func(f *flow.Facts) { f.Method = "GET" }, false},
		"deeper path":     {func(f *flow.Facts) { f.Path.Clean = "/login/x" }, false},
		"prefix":          {func(f *flow.Facts) { f.Path.Clean = "/api/x" }, true},
		"prefix itself":   {func(f *flow.Facts) { f.Path.Clean = "/api" }, true},
		"beside prefix":   {func(f *flow.Facts) { f.Path.Clean = "/apix" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, memory(t, 1<<20), l, policy.Limit{Name: "all", Rate: perSecond(1000), Burst: 1000})
			f := match
			c.change(&f)
			if got := passes(t, s, f, 2) == 1; got != c.counted {
				t.Errorf("counted: %v, want %v", got, c.counted)
			}
		})
	}
}

func TestThrottleHoldsBack(t *testing.T) {
	for _, over := range []policy.Over{policy.OverThrottle, policy.OverQueue} {
		s := stage(t, memory(t, 1<<20), policy.Limit{Name: "l", Rate: perSecond(10), Burst: 1, Over: over, MaxWait: policy.Duration(250 * time.Millisecond)})
		held := func(ms int) flow.Verdict {
			return flow.Verdict{Reason: flow.LimitRate, Rule: "l", Delay: time.Duration(ms) * time.Millisecond}
		}
		want := []flow.Verdict{{}, held(100), held(200), {Action: flow.Refuse, Reason: flow.LimitRate, Rule: "l", RetryIn: 50 * time.Millisecond}}
		for i, w := range want {
			if v := decide(t, s, from("192.0.2.1")); v != w {
				t.Errorf("%s, request %d: %+v, want %+v", over, i+1, v, w)
			}
		}
	}
	s := stage(t, memory(t, 1<<20), policy.Limit{Name: "l", Rate: perSecond(1), Burst: 1, Over: policy.OverThrottle})
	if n := passes(t, s, from("192.0.2.1"), 10); n != 6 {
		t.Errorf("%d passed at 1/s with the usual max_wait, want 1 and 5 held back up to 5 s", n)
	}
}

func TestBytesAndOriginTime(t *testing.T) {
	for name, c := range map[string]struct {
		limit  policy.Limit
		out    flow.Outcome
		reason flow.Reason
	}{
		"bytes":       {policy.Limit{Charge: policy.ChargeBytes, Rate: perSecond(1000), Burst: 10_000}, flow.Outcome{BytesIn: 4000, BytesOut: 8000}, flow.LimitBytes},
		"origin time": {policy.Limit{Charge: policy.ChargeOriginTime, Rate: perSecond(500), Burst: 5000}, flow.Outcome{OriginTime: 6 * time.Second}, flow.LimitOriginTime},
		"inspection":  {policy.Limit{Charge: policy.ChargeInspection, Rate: perSecond(500), Burst: 5000}, flow.Outcome{Work: 6_000_000_000}, flow.LimitInspection},
	} {
		t.Run(name, func(t *testing.T) {
			c.limit.Name = "l"
			s := stage(t, memory(t, 1<<20), c.limit)
			f := from("192.0.2.1")
			if n := passes(t, s, f, 100); n != 100 {
				t.Fatalf("%d of 100 passed before anything was charged", n)
			}
			c.out.Facts, c.out.Took = f, time.Second
			s.Settle(&c.out) // twelve seconds' worth on a burst of ten, at noon and a second
			f.Arrived = noon.Add(time.Second)
			v := decide(t, s, f)
			if v.Action != flow.Refuse || v.Reason != c.reason || v.RetryIn < 2*time.Second || v.RetryIn > 2*time.Second+2*time.Millisecond {
				t.Fatalf("in debt: %+v, want a refusal for 2 s", v)
			}
			f.Arrived = f.Arrived.Add(v.RetryIn - 1)
			if passes(t, s, f, 1) != 0 {
				t.Error("passed before RetryIn was over")
			}
			f.Arrived = f.Arrived.Add(1)
			if passes(t, s, f, 10) != 10 {
				t.Error("refused after RetryIn")
			}
		})
	}
}

func TestManyShortOriginTimesAdd(t *testing.T) {
	s := stage(t, memory(t, 1<<20), policy.Limit{Name: "l", Charge: policy.ChargeOriginTime, Rate: perSecond(1), Burst: 10})
	o := flow.Outcome{Facts: from("192.0.2.1"), OriginTime: 400 * time.Microsecond}
	for range 26 {
		s.Settle(&o)
	}
	if v := decide(t, s, o.Facts); v.Action != flow.Refuse {
		t.Error("26 times 0.4 ms are not over 10 ms")
	}
}

func TestDebtHasAnEnd(t *testing.T) {
	s := stage(t, memory(t, 1<<20), policy.Limit{Name: "l", Charge: policy.ChargeBytes, Rate: perSecond(1000), Burst: 1000})
	s.Settle(&flow.Outcome{Facts: from("192.0.2.1"), BytesOut: 1 << 50})
	if v := decide(t, s, from("192.0.2.1")); v.RetryIn < time.Hour || v.RetryIn > time.Hour+time.Second {
		t.Errorf("a petabyte costs %v, want an hour", v.RetryIn)
	}
}

func TestOwnRefusalsAreNotCharged(t *testing.T) {
	s := stage(t, memory(t, 1<<20), policy.Limit{Name: "l", Charge: policy.ChargeBytes, Rate: perSecond(1000), Burst: 1000})
	o := flow.Outcome{Facts: from("192.0.2.1"), BytesOut: 5000, Stage: Name, Verdict: flow.Verdict{Action: flow.Refuse}}
	s.Settle(&o)
	if v := decide(t, s, o.Facts); v.Action != flow.Continue {
		t.Errorf("the bytes of a refusal were charged: %+v", v)
	}
}

func TestRefusedRequestsCostOtherLimitsNothing(t *testing.T) {
	host := policy.Limit{Name: "host", By: policy.ByHost, Rate: perSecond(10), Burst: 10}
	client := policy.Limit{Name: "client", Rate: perSecond(1), Burst: 2}
	for _, limits := range [][]policy.Limit{{host, client}, {client, host}} {
		s := stage(t, memory(t, 1<<20), limits...)
		if n := passes(t, s, from("192.0.2.1"), 500); n != 2 {
			t.Errorf("%d passed, want 2", n)
		}
		for i := range 8 { // what is left of the host's ten
			if passes(t, s, from(fmt.Sprintf("192.0.2.%d", 10+i)), 1) != 1 {
				t.Errorf("%s first: visitor %d is refused because of another's refused requests", limits[0].Name, i+1)
			}
		}
		v := decide(t, s, from("192.0.2.99"))
		if v.Rule != "host" || v.RetryIn != 100*time.Millisecond {
			t.Errorf("the eleventh: %+v, want host's refusal for 100 ms", v)
		}
	}
}

func TestStrictestVerdictCounts(t *testing.T) {
	short := policy.Limit{Name: "short", Rate: perSecond(10), Burst: 1}
	long := policy.Limit{Name: "long", Rate: policy.Rate{Amount: 1, Per: time.Minute}, Burst: 1}
	slow := policy.Limit{Name: "slow", Rate: perSecond(2), Burst: 1, Over: policy.OverThrottle}
	dry := long
	dry.Name, dry.DryRun = "dry", true
	for name, c := range map[string]struct {
		limits []policy.Limit
		want   flow.Verdict
	}{
		"two refusals":           {[]policy.Limit{short, long}, flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate, Rule: "long", RetryIn: time.Minute}},
		"in the other order":     {[]policy.Limit{long, short}, flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate, Rule: "long", RetryIn: time.Minute}},
		"refusal over delay":     {[]policy.Limit{slow, short}, flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate, Rule: "short", RetryIn: 100 * time.Millisecond}},
		"delay over dry refusal": {[]policy.Limit{dry, slow}, flow.Verdict{Reason: flow.LimitRate, Rule: "slow", Delay: 500 * time.Millisecond}},
		"dry run alone":          {[]policy.Limit{dry}, flow.Verdict{Action: flow.Refuse, Reason: flow.LimitRate, Rule: "dry", RetryIn: time.Minute, Dry: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(t, memory(t, 1<<20), c.limits...)
			passes(t, s, from("192.0.2.1"), 1)
			if v := decide(t, s, from("192.0.2.1")); v != c.want {
				t.Errorf("%+v, want %+v", v, c.want)
			}
		})
	}
}

// TestAllOrNothing compares with a model that knows only this: a request passes when no limit's bucket would overflow,
// and then fills all of them.
func TestAllOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bys := []policy.LimitKey{policy.ByClient, policy.ByHost, policy.ByCredential}
		var limits []policy.Limit
		for i, by := range bys {
			limits = append(limits, policy.Limit{
				Name: fmt.Sprint(i), By: by, Burst: policy.Amount(rapid.IntRange(1, 8).Draw(t, "burst")),
				Rate: perSecond(policy.Amount(rapid.SampledFrom([]int{1, 2, 4, 5, 10}).Draw(t, "rate"))),
			})
		}
		m, err := state.NewMemory(1<<20, noon)
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(&policy.Policy{Limits: limits}, m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		level, seen := map[string]time.Duration{}, map[string]time.Time{}
		now := noon
		for range rapid.IntRange(1, 80).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			f := factsOf(netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(0, 2).Draw(t, "client"))}))
			f.Arrived, f.Host = now, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "host")
			f.Credential = uint64(rapid.IntRange(0, 2).Draw(t, "credential"))
			keys, fits := []string{f.Client.String(), f.Host, fmt.Sprint("c", f.Credential)}, true
			after := make([]time.Duration, len(keys))
			for i, k := range keys {
				if i == 2 && f.Credential == 0 {
					continue
				}
				unit := time.Second / time.Duration(limits[i].Rate.Amount)
				after[i] = max(0, level[k]-now.Sub(seen[k])) + unit
				fits = fits && after[i] <= time.Duration(limits[i].Burst)*unit
			}
			v, _ := s.Decide(context.Background(), &f)
			if (v.Action == flow.Continue) != fits {
				t.Fatalf("%v at %v: %+v, the model passes it: %v", keys, now.Sub(noon), v, fits)
			}
			for i, k := range keys {
				if fits && after[i] > 0 {
					level[k], seen[k] = after[i], now
				}
			}
		}
	})
}

func TestQuota(t *testing.T) {
	minute := policy.Rate{Amount: 600, Per: time.Minute}
	s := stage(t, memory(t, 1<<20),
		policy.Limit{Name: "plain", Rate: minute, Burst: 50},
		policy.Limit{Name: "burst unsaid", Rate: minute},
		policy.Limit{Name: "small burst", Rate: perSecond(100), Burst: 5},
		policy.Limit{Name: "bytes", Rate: perSecond(1e6), Burst: 1e7, Charge: policy.ChargeBytes},
		policy.Limit{Name: "time", Rate: perSecond(500), Charge: policy.ChargeOriginTime},
		policy.Limit{Name: "rare", Rate: policy.Rate{Amount: 10, Per: time.Hour}})
	for name, want := range map[string]Quota{
		"plain": {50, 5, "requests"}, "burst unsaid": {100, 10, "requests"}, "small burst": {100, 1, "requests"},
		"bytes": {1e7, 10, "content-bytes"}, "time": {5000, 10, "origin-milliseconds"}, "rare": {1, 360, "requests"},
	} {
		if q, ok := s.Quota(name); !ok || q != want {
			t.Errorf("%s: %+v %v, want %+v", name, q, ok, want)
		}
	}
	if _, ok := s.Quota("none"); ok {
		t.Error("an unknown limit has a quota")
	}
}

func TestErrorsAllAtOnce(t *testing.T) {
	_, err := New(&policy.Policy{Limits: []policy.Limit{
		{Rate: perSecond(1)},
		{Name: "a", By: "colour", Charge: "money", Over: "shout", While: "cold"},
		{Name: "b", By: "header:", Rate: perSecond(1), MaxWait: -1},
		{Name: "b", Rate: policy.Rate{Amount: 1, Per: 30 * 24 * time.Hour}, Burst: 100},
	}}, memory(t, 1<<20), Options{})
	for _, want := range []string{
		"limit number 1 has no name", `limit "a": by is "colour"`, `charge is "money"`, `over is "shout"`, `while is "cold"`, "amount is 0",
		`limit "b": by is "header:"`, "max_wait is -1ns", `limit "b" is given twice`, "burst of 100 takes more than 90 days",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// TestReloadKeepsCounts: a new stage with the same secret goes on where the old one was.
func TestReloadKeepsCounts(t *testing.T) {
	m := memory(t, 1<<20)
	l := policy.Limit{Name: "l", Rate: perSecond(1), Burst: 5}
	passes(t, stage(t, m, l), from("192.0.2.1"), 5)
	if n := passes(t, stage(t, m, l), from("192.0.2.1"), 5); n != 0 {
		t.Errorf("%d passed after a reload, want none", n)
	}
	l.Name = "other"
	if n := passes(t, stage(t, m, l), from("192.0.2.1"), 6); n != 5 {
		t.Errorf("%d passed under a new name, want its own burst", n)
	}
}

func randomV4(r *rand.Rand, network byte) netip.Addr {
	x := r.Uint32()
	return netip.AddrFrom4([4]byte{network, byte(x), byte(x >> 8), byte(x >> 16)})
}
