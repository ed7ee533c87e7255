package rule

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"

	"stormdoor/flow"
	"stormdoor/policy"
)

// twins is a condition compiled both ways.
type twins struct {
	when string
	fast func(*scope) bool
	slow func(*scope) (bool, error)
}

// pairs compiles the shared conditions both ways, and leaves out what only cel-go can evaluate.
func pairs(t testing.TB) (all []twins, facts *shared) {
	l, err := newLoader(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conditions {
		checked, issues := l.env.Compile(c.when)
		if issues.Err() != nil {
			t.Fatal(c.when, issues.Err())
		}
		p, err := l.env.Program(checked, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			t.Fatal(err)
		}
		if fast := (&compiler{ast: checked.NativeRep(), all: l.all}).boolean(checked.NativeRep().Expr()); fast != nil {
			all = append(all, twins{c.when, fast, slowly(p)})
		}
	}
	if len(all) < len(conditions)*3/4 {
		t.Fatalf("only %d of %d conditions compile to closures", len(all), len(conditions))
	}
	return all, l.all
}

// FuzzOracle holds the closures to what cel-go says of the same request.
func FuzzOracle(f *testing.F) {
	all, facts := pairs(f)
	f.Add("GET", "/a/catalogue/list.php", "page=2&q=%C3%A4", "theme=dark; session=abc", "Firefox", "shop", []byte{198, 51, 100, 7}, uint32(64500), int64(0), byte(7))
	f.Add("", "*", "a=%zz&=&&%66lag=+", ";=;a;theme", "\xff\xfeFIREFOX", "", []byte{}, uint32(0), int64(-1), byte(0))
	f.Fuzz(func(t *testing.T, method, path, query, cookie, ua, site string, addr []byte, network uint32, length int64, bits byte) {
		h := flow.NewHeader(4)
		h.Add("User-AGENT", ua)
		h.Add("cookie", cookie)
		h.Add("Cookie", path)
		if bits&8 != 0 {
			h.Add("X-Two", query)
		}
		client, ok := netip.AddrFromSlice(addr)
		if !ok {
			client = netip.IPv6Unspecified()
		}
		facts1 := &flow.Facts{Site: site, Route: path, Hot: bits&1 != 0, TLS: bits&2 != 0, Proto: flow.Proto(bits & 7), Method: method, Host: site,
			Path: flow.Path{Raw: path, Clean: strings.ToLower(path), Script: path}, Query: query, Header: h, Length: length,
			Client: client, JA4: ua, Country: site, Network: network}
		fast, slow := newScope(facts), newScope(facts)
		fast.f, slow.f = facts1, facts1
		for _, p := range all {
			want, err := p.slow(slow)
			if err != nil {
				t.Fatalf("%s: cel-go fails where closures cannot: %v", p.when, err)
			}
			if got := p.fast(fast); got != want {
				t.Errorf("%s: closures say %v, cel-go says %v of %+v", p.when, got, want, *facts1)
			}
		}
	})
}

func TestOracleOnVisit(t *testing.T) {
	all, facts := pairs(t)
	s := newScope(facts)
	s.f = visit()
	for _, p := range all {
		want, err := p.slow(s)
		if got := p.fast(s); err != nil || got != want {
			t.Errorf("%s: closures say %v, cel-go says %v, %v", p.when, got, want, err)
		}
	}
}

// FuzzNew feeds expressions from outside to the compiler: it may refuse them, but must not panic, and what it accepts has
// to be evaluated.
func FuzzNew(f *testing.F) {
	for _, c := range conditions {
		f.Add(c.when)
	}
	f.Add(`client_in('::ffff:1.2.3.4/100')`)
	f.Fuzz(func(t *testing.T, when string) {
		s, err := New([]policy.Rule{rule(when)}, Options{})
		if err != nil {
			_ = err.Error()
			return
		}
		s.Decide(context.Background(), visit())
		if s.PutAside() != 0 {
			t.Errorf("%q panics", when)
		}
	})
}

var common = []policy.Rule{
	rule(`path.startsWith('/wp-admin') && !client_in('10.0.0.0/8', '192.168.0.0/16')`),
	rule(`method == 'POST' && header('content-type').startsWith('text/plain') && country in ['KP', 'XX']`),
	rule(`user_agent.contains('sqlmap') || query_param('cmd') != '' || path_raw.endsWith('.env')`),
}

func benchmark(b *testing.B, rules ...policy.Rule) {
	s, err := New(rules, Options{Budget: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	f, ctx := visit(), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if v, err := s.Decide(ctx, f); err != nil || v.Sure() {
			b.Fatal(v, err)
		}
	}
}

func BenchmarkThreeRules(b *testing.B) { benchmark(b, common...) }

func BenchmarkOneRule(b *testing.B) { benchmark(b, common[0]) }

func BenchmarkLowerCase(b *testing.B) {
	benchmark(b, rule(`user_agent.lowerAscii().contains('sqlmap')`), rule(`user_agent.lowerAscii().contains('nikto')`))
}

func BenchmarkPattern(b *testing.B) {
	benchmark(b, rule(`path.matches('(?i)\\.(env|git|svn)(/|$)')`))
}

func BenchmarkList(b *testing.B) { benchmark(b, rule(`headers('x-two').exists(v, v == 'c')`)) }

// The same three rules by cel-go, for comparison.
func BenchmarkThreeRulesByCEL(b *testing.B) {
	l, err := newLoader(1 << 40)
	if err != nil {
		b.Fatal(err)
	}
	s := &Stage{}
	s.pool.New = func() any { return newScope(l.all) }
	for i := range common {
		c, bad := l.load(i, &common[i])
		if bad != nil {
			b.Fatal(bad)
		}
		checked, _ := l.env.Compile(common[i].When)
		p, err := l.env.Program(checked, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			b.Fatal(err)
		}
		c.when, c.slow = nil, slowly(p)
		s.rules = append(s.rules, c)
	}
	f, ctx := visit(), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		s.Decide(ctx, f)
	}
}

// The dearest expression that the default budget lets through, on the longest request: what a unit is at worst.
func BenchmarkWorstCase(b *testing.B) {
	s, err := New([]policy.Rule{rule(`path.matches('(a|b|ab)*c.*(x+x+)+y[a-c]{1,9}(?:d|e|f)*z(a|b|ab)*c.*(x+x+)+y0123456789')`)}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	f, ctx := visit(), context.Background()
	f.Path.Clean = strings.Repeat("abcxxxxy", longestLine/8)
	b.ReportAllocs()
	for b.Loop() {
		s.Decide(ctx, f)
	}
}
