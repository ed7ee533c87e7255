package waf

import (
	"fmt"
	"slices"
	"testing"

	"stormdoor/policy"
)

func TestHitsAndWorkAreCountedByRoute(t *testing.T) {
	s := stage(t, policy.WAFCounts, func(p *policy.Policy) { p.Sites[0].Routes = []policy.Route{{Name: "search", Path: "/search"}} })
	decide(t, s, facts("GET", "/", injection))
	for n := range 2 * every {
		f := facts("GET", "/search", fmt.Sprint(injection, n))
		f.Route = "search"
		decide(t, s, f)
	}
	var got []string
	s.Hits(func(site, route string, rule int, requests int64) {
		if rule == 942100 {
			got = append(got, fmt.Sprint(site, " ", route, " ", requests))
		}
	})
	slices.Sort(got)
	if fmt.Sprint(got) != "[shop  1 shop search 128]" {
		t.Errorf("hits %v", got)
	}
	work := map[string]int64{}
	s.Spent(func(_, route string, n, units int64) { work[route] = units / n })
	if work[""] == 0 || work["search"] == 0 {
		t.Errorf("work %v", work)
	}
	scanned, alone := int64(0), map[int]int64{}
	s.SpentOn(func(rule, phase int, units int64) {
		if rule == 0 {
			scanned += units
		} else {
			alone[rule] = units
		}
	})
	if scanned == 0 || alone[942190] == 0 {
		t.Errorf("scanned %d, rules %v", scanned, alone)
	}
}
