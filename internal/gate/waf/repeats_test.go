package waf

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// fresh is the Core Rule Set with nothing remembered.
func fresh() *Stage {
	s := *one()
	s.repeats = newRepeats()
	return &s
}

// A request that comes again is judged by comparing it from the third time on, and the verdict is the same.
func TestARepeatIsJudgedAsTheFirst(t *testing.T) {
	s := fresh()
	for _, query := range []string{"", "page=2", injection, "q=%3Cscript%3Ealert(1)%3C/script%3E", "file=../../etc/passwd"} {
		want := decide(t, s, facts("GET", "/product/7", query))
		for n := range 5 {
			f := facts("GET", "/product/7", query)
			f.Client = netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}) // whoever sends it
			before := s.Repeats()
			got := decide(t, s, f)
			if got.Work = want.Work; !reflect.DeepEqual(got, want) {
				t.Errorf("%q, again %d: %+v, want %+v", query, n+1, got, want)
			}
			if judged := s.Repeats() - before; judged != min(1, int64(n)) {
				t.Errorf("%q, again %d: judged by comparing: %d", query, n+1, judged)
			}
		}
	}
}

// All of a request counts: whatever differs is inspected.
func TestWhatDiffersIsNoRepeat(t *testing.T) {
	base := func() *flow.Facts { return facts("GET", "/product/7", "a=1", "X-One", "1", "X-Two", "2") }
	for name, change := range map[string]func(f *flow.Facts){
		"method":              func(f *flow.Facts) { f.Method = "HEAD" },
		"path":                func(f *flow.Facts) { f.Path.Raw = "/product/8" },
		"query":               func(f *flow.Facts) { f.Query = "a=2" },
		"path and query":      func(f *flow.Facts) { f.Path.Raw, f.Query = "/product/7a=1", "" },
		"protocol":            func(f *flow.Facts) { f.Proto = flow.HTTP10 },
		"host":                func(f *flow.Facts) { f.Host = "other.example" },
		"site":                func(f *flow.Facts) { f.Site = "blog" },
		"route":               func(f *flow.Facts) { f.Route = "count" },
		"another field":       func(f *flow.Facts) { f.Header.Add("X-Three", "") },
		"a field's value":     func(f *flow.Facts) { f.Header.Set("X-Two", "3") },
		"the case of a field": func(f *flow.Facts) { f.Header.Del("X-Two"); f.Header.Add("x-two", "2") },
		"a field split":       func(f *flow.Facts) { f.Header.Del("X-Two"); f.Header.Add("X-Tw", "o2") },
		"the order of fields": func(f *flow.Facts) { f.Header.Del("X-One"); f.Header.Add("X-One", "1") },
		"a list has it":       func(f *flow.Facts) { f.Client = netip.MustParseAddr("127.0.0.1") },
		"too large":           func(f *flow.Facts) { f.Header.Add("X-Three", strings.Repeat("x", mostRepeat)) },
	} {
		s := fresh()
		for range 3 {
			decide(t, s, base())
		}
		if s.Repeats() != 1 {
			t.Fatalf("%s: the request as it was is not remembered", name)
		}
		f := base()
		change(f)
		if s.recall(f, policy.WAFBlocks, nil); s.Repeats() != 1 {
			t.Errorf("%s: taken for the same request", name)
		}
	}
	s := fresh()
	for range 3 {
		s.recall(post("a=1"), policy.WAFBlocks, []byte("a=1"))
	}
	if s.recall(post("a=1"), policy.WAFBlocks, []byte("a=2")); s.Repeats() != 1 {
		t.Error("body: taken for the same request")
	}
	if s.recall(post("a=1"), policy.WAFCounts, []byte("a=1")); s.Repeats() != 1 {
		t.Error("mode: taken for the same request")
	}
}

// What is counted is counted at every time.
func TestRepeatsAreCounted(t *testing.T) {
	s := *stage(t, policy.WAFBlocks, nil)
	for range 10 {
		decide(t, &s, facts("GET", "/", injection))
	}
	hits := int64(0)
	s.Hits(func(_, _ string, rule int, n int64) {
		if rule == 942100 {
			hits += n
		}
	})
	inspected := int64(0)
	s.Spent(func(_, _ string, n, _ int64) { inspected += n })
	if hits != 10 || inspected != 10 || s.Repeats() != 8 {
		t.Errorf("%d hits, %d inspections, %d repeats, want 10, 10 and 8", hits, inspected, s.Repeats())
	}
	x := excluding(t, policy.WAFExclusion{Rule: 942100})
	for range 10 {
		decide(t, x, facts("GET", "/", injection))
	}
	if got := x.Exclusions(noon)[0].Hits; got != 10 {
		t.Errorf("an exclusion has %d hits, want 10", got)
	}
}

// An exclusion ends for requests that were judged while it was in force, too.
func TestAnExclusionEndsForRepeats(t *testing.T) {
	s := excluding(t, policy.WAFExclusion{Rule: 1, Until: "2026-11-25"}) // of a rule that does not match, so that the verdict is remembered
	for range 3 {
		decide(t, s, facts("GET", "/", "a=1"))
	}
	f := facts("GET", "/", "a=1")
	f.Arrived = noon.AddDate(0, 0, 1)
	if decide(t, s, f); s.Repeats() != 1 {
		t.Errorf("%d repeats, want 1: the exclusion has ended", s.Repeats())
	}
}
