package flow

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHeaderKeepsOrderAndSpelling(t *testing.T) {
	var h Header
	h.Add("hOST", "a")
	h.Add("X-One", "1")
	h.Add("x-one", "2")
	if h.Get("Host") != "a" || h.Get("X-ONE") != "1" || !h.Has("x-One") || h.Get("X-Two") != "" {
		t.Errorf("look-up must ignore case: %+v", h)
	}
	if got := slices.Collect(h.Values("X-One")); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("Values = %v", got)
	}
	if h.At(0).Name != "hOST" || h.At(2).Name != "x-one" {
		t.Errorf("spelling changed: %+v", h)
	}
}

func TestHeaderSetAndDel(t *testing.T) {
	var h Header
	for _, n := range []string{"A", "B", "a", "C"} {
		h.Add(n, "old")
	}
	c := h.Clone()
	c.Set("a", "new")
	c.Set("D", "added")
	if got := slices.Collect(c.All()); !slices.Equal(got, []Field{{"A", "new"}, {"B", "old"}, {"C", "old"}, {"D", "added"}}) {
		t.Errorf("Set: %v", got)
	}
	if h.Len() != 4 || h.Get("A") != "old" {
		t.Errorf("the original changed with its clone: %+v", h)
	}
	c.Del("A")
	if c.Has("a") || c.Len() != 3 {
		t.Errorf("Del left %+v", c)
	}
}

func TestEqualFoldFoldsASCIIOnly(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"Host", "hOST", true}, {"a", "b", false}, {"K", "\u212a", false}, {"[", "{", false}, {"a", "aa", false}, {"", "", true}} {
		if got := EqualFold(c.a, c.b); got != c.want {
			t.Errorf("EqualFold(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

// A reference is read out, written down and typed: which of 0 and o, and of 1, i and l, it was does not matter.
func TestRequestIDIsReadAsItWasHeard(t *testing.T) {
	id, _ := ParseRequestID("0123456789abcdef")
	for _, heard := range []string{"0123456789ABCDEF", "o123456789abcdef", "O123456789abcdef", "0i23456789abcdef", "0L23456789abcdef"} {
		if got, ok := ParseRequestID(heard); !ok || got != id {
			t.Errorf("%q is not read as 0123456789abcdef", heard)
		}
	}
}

func TestRequestIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var id RequestID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "id"))
		if got, ok := ParseRequestID(id.String()); !ok || got != id {
			t.Fatalf("%v became %v", id, got)
		}
	})
	for _, bad := range []string{"", "short", "uuuuuuuuuuuuuuuu", "00000000000000000"} {
		if _, ok := ParseRequestID(bad); ok {
			t.Errorf("ParseRequestID(%q) took it", bad)
		}
	}
}

// says is a stage that says one thing.
type says struct {
	name    string
	verdict Verdict
	err     error
	panics  bool
	asked   *[]string
	settled *[]string
}

func (s says) Name() string { return s.name }

func (s says) Decide(context.Context, *Facts) (Verdict, error) {
	*s.asked = append(*s.asked, s.name)
	if s.panics {
		panic("out of order")
	}
	return s.verdict, s.err
}

func (s says) Settle(*Outcome) { *s.settled = append(*s.settled, s.name) }

func TestChainAsksUntilOneIsSure(t *testing.T) {
	refuse := Verdict{Action: Refuse, Reason: RuleMatch}
	dry := Verdict{Action: Refuse, Reason: LimitRate, Dry: true}
	slow := Verdict{Delay: time.Second, Rule: "slow"}
	slower := Verdict{Delay: time.Minute, Rule: "slower"}
	for _, c := range []struct {
		name    string
		stages  []says
		verdict Verdict
		stage   string
		dry     Verdict
		asked   int
	}{
		{"none", nil, Verdict{}, "", Verdict{}, 0},
		{"no opinion", []says{{name: "a"}, {name: "b"}}, Verdict{}, "", Verdict{}, 2},
		{"first sure wins", []says{{name: "a"}, {name: "b", verdict: Verdict{Action: Admit}}, {name: "c", verdict: refuse}}, Verdict{Action: Admit}, "b", Verdict{}, 2},
		{"dry goes on", []says{{name: "a", verdict: dry}, {name: "b", verdict: refuse}}, refuse, "b", dry, 2},
		{"longest delay", []says{{name: "a", verdict: slow}, {name: "b", verdict: slower}, {name: "c", verdict: slow}}, slower, "", Verdict{}, 3},
		{"error goes on", []says{{name: "a", err: errors.New("lost")}, {name: "b", verdict: refuse}}, refuse, "b", Verdict{}, 2},
		{"panic goes on", []says{{name: "a", panics: true}, {name: "b", verdict: refuse}}, refuse, "b", Verdict{}, 2},
	} {
		var asked, settled []string
		var list []Stage
		for _, s := range c.stages {
			s.asked, s.settled = &asked, &settled
			list = append(list, s)
		}
		chain := NewChain(list, nil)
		var o Outcome
		n := chain.Decide(context.Background(), &o)
		chain.Settle(&o, n)
		if o.Verdict != c.verdict || o.Stage != c.stage || o.Dry != c.dry || n != c.asked || len(asked) != n || !slices.Equal(asked, settled) {
			t.Errorf("%s: verdict %+v by %q, dry %+v, asked %v, settled %v", c.name, o.Verdict, o.Stage, o.Dry, asked, settled)
		}
		if steps := chain.Explain(context.Background(), &Facts{}); len(steps) != len(c.stages) {
			t.Errorf("%s: explained %d of %d stages", c.name, len(steps), len(c.stages))
		}
	}
}

func TestPolicyDecidesAfterAFailure(t *testing.T) {
	var asked, settled []string
	closed := func(stage string, err error) Verdict {
		if stage != "a" || err == nil {
			t.Errorf("told of stage %q, error %v", stage, err)
		}
		return Verdict{Action: Refuse, Reason: StageFailed}
	}
	chain := NewChain([]Stage{says{name: "a", panics: true, asked: &asked, settled: &settled}}, closed)
	var o Outcome
	if chain.Decide(context.Background(), &o); o.Verdict.Reason != StageFailed {
		t.Errorf("verdict %+v", o.Verdict)
	}
}

func TestReasonsAreDocumentedOnce(t *testing.T) {
	seen := map[Reason]bool{}
	for _, r := range Reasons {
		if seen[r.Reason] || r.Meaning == "" || r.Do == "" {
			t.Errorf("reason %q: twice, or without words", r.Reason)
		}
		seen[r.Reason] = true
	}
}
