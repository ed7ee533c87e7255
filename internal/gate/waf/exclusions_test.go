package waf

import (
	"fmt"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// excluding is the Core Rule Set with exclusions, which need no rule set of their own.
func excluding(_ *testing.T, x ...policy.WAFExclusion) *Stage {
	s := *one()
	s.policy.Exclude, s.exclusions, s.repeats = x, newExclusions(x), newRepeats()
	return &s
}

// counts reports whether the rule has a match that counts in a GET for "path query".
func counts(t *testing.T, s *Stage, rule int, request string) bool {
	t.Helper()
	path, query, _ := strings.Cut(request, " ")
	f := facts("GET", path, query)
	f.Path.Clean = strings.ReplaceAll(path, "%62", "b")
	if path == "/search" {
		f.Route = "search"
	}
	v := decide(t, s, f)
	if v.Found == nil {
		return false
	}
	for _, m := range v.Found.Matches {
		if m.Rule == rule && !strings.Contains(m.Message, "does not count") {
			return true
		}
	}
	return false
}

func TestExclusions(t *testing.T) {
	const other = "q=1%27%20UNION%20SELECT%20password%20FROM%20users--"
	for _, c := range []struct {
		name   string
		x      policy.WAFExclusion
		counts []string // "path query" in which 942100 still counts
		spared []string
	}{
		{"the rule", policy.WAFExclusion{Rule: 942100}, nil, []string{"/ " + injection, "/x " + other}},
		{"a field", policy.WAFExclusion{Rule: 942100, Field: "ARGS:id"}, []string{"/ " + other}, []string{"/ " + injection, "/ ID" + injection[2:]}},
		{"fields that begin so", policy.WAFExclusion{Rule: 942100, Field: "ARGS:i*"}, []string{"/ " + other}, []string{"/ " + injection}},
		{"all of a variable", policy.WAFExclusion{Rule: 942100, Field: "ARGS"}, nil, []string{"/ " + injection, "/ " + other}},
		{"a path", policy.WAFExclusion{Rule: 942100, Path: "/blog/*"}, []string{"/shop " + injection}, []string{"/blog " + injection, "/blog/x " + injection, "/%62log/x " + injection}},
		{"a field on a path", policy.WAFExclusion{Rule: 942100, Field: "ARGS:id", Path: "/blog/*"}, []string{"/shop " + injection, "/blog/x " + other}, []string{"/blog/x " + injection}},
		{"a route", policy.WAFExclusion{Rule: 942100, Route: "search"}, []string{"/ " + injection}, []string{"/search " + injection}},
		{"a site", policy.WAFExclusion{Rule: 942100, Site: "shop"}, nil, []string{"/ " + injection}},
		{"another site", policy.WAFExclusion{Rule: 942100, Site: "blog"}, []string{"/ " + injection}, nil},
		{"one that has ended", policy.WAFExclusion{Rule: 942100, Until: "2026-11-24"}, []string{"/ " + injection}, nil},
		{"one on its last day", policy.WAFExclusion{Rule: 942100, Until: "2026-11-25"}, nil, []string{"/ " + injection}},
	} {
		s := excluding(t, c.x)
		for _, r := range c.counts {
			if !counts(t, s, 942100, r) {
				t.Errorf("%s: %s: 942100 does not count", c.name, r)
			}
		}
		for _, r := range c.spared {
			if counts(t, s, 942100, r) {
				t.Errorf("%s: %s: 942100 counts", c.name, r)
			}
		}
		if got := s.Exclusions(noon)[0].Hits; got != int64(len(c.spared)) {
			t.Errorf("%s: %d hits, want %d", c.name, got, len(c.spared))
		}
	}
}

// An exclusion takes back what one rule says, not what the request is.
func TestAnExclusionSparesNothingElse(t *testing.T) {
	s := excluding(t, policy.WAFExclusion{Rule: 942100, Field: "ARGS:id"})
	v := decide(t, s, facts("GET", "/", injection))
	if v.Action != flow.Refuse || v.Rule == "942100" || v.Rule == "" {
		t.Errorf("the other rules that matched do not refuse any more: %+v", v)
	}
	text := ""
	for _, m := range v.Found.Matches {
		if m.Rule == 942100 {
			text = m.Message
		}
	}
	if !strings.Contains(text, "(does not count: excluded)") {
		t.Errorf("the log does not say that a match was excluded: %q", text)
	}
	if v := decide(t, excluding(t, policy.WAFExclusion{Rule: 949110, Path: "/open", SwitchesOff: true}), facts("GET", "/open", injection)); v.Action != flow.Continue {
		t.Errorf("without the rule that decides: %+v", v)
	}
	without := stage(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.Exclude = []policy.WAFExclusion{{Rule: 949110, SwitchesOff: true}} })
	if v := decide(t, without, facts("GET", "/", injection)); v.Action != flow.Continue {
		t.Errorf("without the rule that decides, anywhere: %+v", v)
	}
}

func TestExclusionsThatDoNothingAreSaid(t *testing.T) {
	s := excluding(t,
		policy.WAFExclusion{Rule: 942100, Field: "ARGS:q"},
		policy.WAFExclusion{Rule: 942100, Field: "ARGS:q", Path: "/search"},
		policy.WAFExclusion{Rule: 123},
		policy.WAFExclusion{Rule: 941100, Until: "2026-11-24"},
		policy.WAFExclusion{Rule: 941110, Until: "2026-11-27"},
		policy.WAFExclusion{Rule: 941120, Until: "2027-11-27"},
		policy.WAFExclusion{Rule: 942190, Until: "2027-01-01"},
		policy.WAFExclusion{Rule: 942190},
	)
	got := fmt.Sprint(strings.Join(s.Notices(noon), "\n"))
	want := `an exclusion has no effect: rule 942100 in ARGS:q on /search: number 1 covers it
an exclusion has no effect: rule 123: there is no rule 123
an exclusion has ended on 2026-11-24 and is not in force: rule 941100
an exclusion ends after 2026-11-27, and what it takes back will count again: rule 941110 (it was needed 0 times)
an exclusion has no effect: rule 942190: number 8 covers it`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestContains(t *testing.T) {
	list := func(x ...policy.WAFExclusion) []*exclusion { return newExclusions(x).all }
	field := func(f, path string) policy.WAFExclusion { return policy.WAFExclusion{Rule: 1, Field: f, Path: path} }
	for _, c := range []struct {
		wide, narrow policy.WAFExclusion
		want         bool
	}{
		{field("", ""), field("ARGS:q", "/x"), true},
		{field("ARGS", ""), field("ARGS_GET:q", "/x"), true},
		{field("ARGS:q*", "/a/*"), field("ARGS:query", "/a/b/*"), true},
		{field("ARGS:query", ""), field("ARGS:q*", ""), false},
		{field("ARGS:q", "/a"), field("ARGS:q", "/a/*"), false},
		{field("ARGS:q", "/a/*"), field("ARGS:q", "/b"), false},
		{field("ARGS:q", ""), field("", ""), false},
	} {
		l := list(c.wide, c.narrow)
		if got := l[0].contains(l[1]); got != c.want {
			t.Errorf("%+v contains %+v: %v", c.wide, c.narrow, got)
		}
	}
}
