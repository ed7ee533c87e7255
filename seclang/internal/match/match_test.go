package match

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// twin is the slow, obvious matcher: one regexp after the other.
type twin struct {
	patterns []Pattern
	compiled []*regexp.Regexp
}

func newTwin(tb testing.TB, patterns []Pattern) *twin {
	tb.Helper()
	t := &twin{patterns: patterns}
	for _, p := range patterns {
		t.compiled = append(t.compiled, regexp.MustCompile(p.Expr))
	}
	return t
}

// matches says whether pattern i matches value.
func (t *twin) matches(i int, value string) bool {
	if t.patterns[i].Raw {
		value = latin1(value)
	}
	return t.compiled[i].MatchString(value)
}

// latin1 is the Latin-1 reading of value, as UTF-8.
func latin1(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// compare fails if m says anything else about value than the twin, for the patterns in ids.
func (t *twin) compare(tb testing.TB, m *Matcher, ids []int, value string, budget Budget) {
	tb.Helper()
	hits := NewBits(len(t.patterns))
	extent := m.Match([]byte(value), m.Patterns(), &budget, hits)
	for i, p := range t.patterns {
		want := slices.Contains(ids, i) && t.matches(i, value)
		switch got := hits.Has(i); {
		case got && !want && !p.Superset, got && !slices.Contains(ids, i):
			tb.Errorf("pattern %d %.200q hits %q, which it does not match", i, p.Expr, value)
		case want && !got && extent == Whole:
			tb.Errorf("pattern %d %.200q misses %q, which it matches", i, p.Expr, value)
		}
	}
}

// all returns the numbers below n.
func all(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// budgets make scans take each of their ways: with any number of states, with a few, with none.
var budgets = []Budget{{Work: Unlimited, States: Unlimited}, {Work: Unlimited, States: 5}, {Work: Unlimited}, {Work: Unlimited, States: 5, Both: true}}

func mustCompile(tb testing.TB, patterns []Pattern, o Options) *Set {
	tb.Helper()
	set, err := Compile(patterns, o)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func TestSmallPatternsAsRegexp(t *testing.T) {
	var patterns []Pattern
	for _, expr := range []string{
		``, `a`, `^`, `$`, `^$`, `(?m)^$`, `\A`, `\z`, `\b`, `\B`, `(?m)^a`, `(?m)a$`, `a\b`, `\ba`, `\Ba`, `a\B`, `\b\b`, `\b\B`, `x*`, `x*$`,
		`(?i)k`, `(?i)s`, `(?i)[a-z]`, `(?i)straße`, `[^a]`, `.`, `(?s).`, `(?s)^.$`, `^..$`, `\x{fffd}`, `\x{10ffff}`, `é`, `[\x80-\xff]`, `[^\x00-\x7f]`,
		`a{3}`, `a{2,4}b`, `(a|ab)(c|bcd)`, `(?:a*)*b`, `(?:a|b)*abb$`, `\d+\s\w`, `a.c`, `(?s)a.c`, `[[:^alpha:]]`, `\pL\PL`, `\QA.B\E`,
		`(?:^|x)y`, `(?:y|\b)z\z`, `(?m)(?:$|q)\n`, `\w\b\W`, `(?:)a(?:)`, `[^\x00-\x{10FFFF}]`, `(?i:Ab)c`, `(?m)^\b.\B`, `^a|b$`, `a?b?c?$`,
		`.*é`, `[^é]*a`, `x.*я$`, `(?i)[^Я]+ю`, `[^\x00-\x7f]*.*b\z`, `\PL*.*1`, `(?s)^.*\n[^é]*$`, `.*\x{fffd}`, `(?i)я.*ж`, `y[^ж]*я`, `.*\xff`, `[^ю]*ю.*я`,
	} {
		patterns = append(patterns, Pattern{Expr: expr}, Pattern{Expr: expr, Raw: true})
	}
	tw := newTwin(t, patterns)
	values := []string{
		"", "a", "b", "\n", "a\n", "\na", "a b", "ab", "abc", "abcd", "aaab", "xyz", "y\nz", "K", "ſ", "k", "S", "é", "\xe9", "\xff", "a\xffc",
		"\xc3\xa9\xa9", "\xed\xa0\x80", "\U0010ffff", "\ufffd", "STRASSE straße STRAẞE", "a.b A.B", "1 x", "é\n", "xяю", "юxЖя", "x é я", "яaюЖб1", "yбя\nю", "yжя", "a\r\nb\x00c", "aéc", "a\nc", "q\n\n", " ", "_", "bz",
	}
	for _, ids := range [][]int{all(len(patterns)), {3, 17}, {}} {
		for _, budget := range budgets {
			m := mustCompile(t, patterns, Options{}).Subset(ids)
			for _, v := range values {
				tw.compare(t, m, ids, v, budget)
			}
		}
	}
}

func TestRandomValuesAsRegexp(t *testing.T) {
	patterns := crsPatterns(t, func(crsRule) bool { return true })
	tw, ids := newTwin(t, patterns), all(len(patterns))
	payloads := crsPayloads(t)
	r := rand.New(rand.NewPCG(1, 4))
	for _, budget := range budgets {
		m := mustCompile(t, patterns, Options{}).Subset(ids)
		for range 40 {
			tw.compare(t, m, ids, mutated(r, payloads), budget)
		}
	}
}

// Long values are scanned by many automata side by side, block by block, over runes of any width.
func TestLongValuesAsRegexp(t *testing.T) {
	patterns := crsPatterns(t, argsAt("1"))
	tw, ids := newTwin(t, patterns), all(len(patterns))
	payloads := crsPayloads(t)
	r := rand.New(rand.NewPCG(3, 4))
	m := mustCompile(t, patterns, Options{}).Subset(ids)
	for range 8 {
		var b strings.Builder
		for n := 1000 + r.IntN(6000); b.Len() < n; {
			b.WriteString(prose[r.IntN(len(prose)):])
			b.WriteString(strings.Repeat("обувь ", r.IntN(60)))
			if r.IntN(3) == 0 {
				b.WriteString(mutated(r, payloads))
			}
		}
		tw.compare(t, m, ids, b.String(), budgets[0])
	}
}

func TestForgetting(t *testing.T) {
	patterns := crsPatterns(t, argsAt("1"))
	tw, ids := newTwin(t, patterns), all(len(patterns))
	set := mustCompile(t, patterns, Options{Memory: 1, States: 40})
	m := set.Subset(ids)
	m.Warm([][]byte{[]byte("a normal value")})
	kept := m.text.quick.kept
	r, payloads := rand.New(rand.NewPCG(2, 4)), crsPayloads(t)
	for _, budget := range budgets {
		for range 15 {
			tw.compare(t, m, ids, mutated(r, payloads), budget)
		}
	}
	if m.text.quick.table.Load().epoch == 0 {
		t.Error("nothing was forgotten: the test tries nothing")
	}
	if rows := len(m.text.quick.table.Load().states); rows > kept+rowsSpare {
		t.Errorf("%d rows, though there is memory for %d", rows, kept+rowsSpare)
	}
	budget := Budget{Work: Unlimited, States: 0}
	if m.Match([]byte("a normal value"), m.Patterns(), &budget, set.Hits()); budget.Work < Unlimited-50 {
		t.Errorf("a value that was warm took %d work: its states were forgotten", Unlimited-budget.Work)
	}
}

// What has filled the memory does not keep it from what comes later: that would build its states again for each value.
func TestMemoryIsReclaimed(t *testing.T) {
	patterns := crsPatterns(t, argsAt("1"))
	set, ids := mustCompile(t, patterns, Options{Memory: 512 << 10}), all(len(patterns))
	first, later := set.Subset(ids[:len(ids)/2]), set.Subset(ids[len(ids)/2:])
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[r.IntN(64)]
		}
		return b
	}
	built := func(m *Matcher, value []byte) int {
		budget := Budget{Work: Unlimited}
		m.Match(value, m.Patterns(), &budget, set.Hits())
		return budget.Built
	}
	built(first, text(300_000))
	value := text(2_000)
	built(later, value)
	if again := built(later, value); again > 0 {
		t.Errorf("a value that was scanned before took %d work to build its states", again)
	}
	for _, m := range []*memory{set.quick, set.steady} {
		if m.held.Load() > m.limit*2 {
			t.Errorf("%d bytes are held, of %d", m.held.Load(), m.limit)
		}
	}
}

// A scan that is to warm both ways leaves nothing to build for a steady one.
func TestBoth(t *testing.T) {
	patterns := crsPatterns(t, argsAt("1"))
	m := mustCompile(t, patterns, Options{}).Subset(all(len(patterns)))
	for _, both := range []bool{false, true} {
		m.Match([]byte("blue"), m.Patterns(), &Budget{Work: Unlimited, States: Unlimited, Both: both}, NewBits(len(patterns)))
		budget := Budget{Work: Unlimited}
		m.text.steadily(&scan{value: []byte("blue"), hits: NewBits(len(patterns)), asked: m.Patterns(), budget: &budget})
		if built := Unlimited-budget.Work >= workBuild; built == both {
			t.Errorf("both %v: a steady scan took %d work", both, Unlimited-budget.Work)
		}
	}
}

func TestPartial(t *testing.T) {
	set := mustCompile(t, []Pattern{{Expr: "early"}, {Expr: "late$"}}, Options{})
	value := []byte("early" + strings.Repeat(" ", 10_000) + "late")
	for _, states := range []int{Unlimited, 0} {
		budget, hits := Budget{Work: 5_000, States: states}, set.Hits()
		if got := set.Subset([]int{0, 1}).Match(value, set.Subset([]int{0, 1}).Patterns(), &budget, hits); got != Partial {
			t.Errorf("states %d: Extent %v, want Partial", states, got)
		}
		if !slices.Equal(slices.Collect(hits.All()), []int{0}) {
			t.Errorf("states %d: hits %v, want the early one", states, hits)
		}
		if budget.Work > 0 || budget.Work < -5_000 {
			t.Errorf("states %d: ended with work %d left", states, budget.Work)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	_, err := Compile([]Pattern{{Expr: "a"}, {Expr: "("}}, Options{})
	if want := "pattern 1: error parsing regexp: missing closing ): `(`"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestManyGoroutines(t *testing.T) {
	patterns := crsPatterns(t, argsAt("1"))
	set := mustCompile(t, patterns, Options{Memory: 1 << 20, States: 256})
	tw, ids, payloads := newTwin(t, patterns), all(len(patterns)), crsPayloads(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 4))
			m := set.Subset(ids)
			for i := range 9 {
				tw.compare(t, m, ids, mutated(r, payloads), budgets[i%len(budgets)])
			}
		})
	}
	wg.Wait()
}

// mutated returns a value made of payloads: cut, joined, with bytes exchanged.
func mutated(r *rand.Rand, payloads []string) string {
	v := []byte(payloads[r.IntN(len(payloads))])
	other := payloads[r.IntN(len(payloads))]
	if len(v) > 300 {
		v = v[:300]
	}
	switch r.IntN(4) {
	case 0:
		v = append(v[:r.IntN(len(v)+1)], other[:min(len(other), 100)]...)
	case 1:
		for range 1 + r.IntN(4) {
			if len(v) > 0 {
				v[r.IntN(len(v))] = byte(r.IntN(256))
			}
		}
	case 2:
		at := r.IntN(len(v) + 1)
		v = slices.Insert(v, at, []byte("\n \xff'\"\xc3\xa9;/")[r.IntN(9):]...)
	}
	return string(v)
}
