package stormdoor

import (
	"strconv"
	"time"

	"stormdoor/internal/gate/waf"
)

// wafMetrics adds what the firewall of the deployment in force has found and spent. Rules, sites, routes and exclusions are
// the policy's: no visitor adds a series.
func (d *Door) wafMetrics() {
	m, stage := d.metrics, func() *waf.Stage { return d.deployed.Load().Stable.waf }
	where := []string{"site", "route"}
	m.Counts("stormdoor_waf_matches_total", "Requests that a rule of the web application firewall matched, since the policy is in force.", []string{"site", "route", "rule"}, func(add func(float64, ...string)) {
		stage().Hits(func(site, route string, rule int, n int64) { add(float64(n), site, route, strconv.Itoa(rule)) })
	})
	m.Counts("stormdoor_waf_inspections_total", "Requests that the web application firewall has inspected, since the policy is in force.", where, func(add func(float64, ...string)) {
		stage().Spent(func(site, route string, n, _ int64) { add(float64(n), site, route) })
	})
	m.Counts("stormdoor_waf_repeats_total", "Those of them that came again byte for byte and were judged by comparing.", nil, func(add func(float64, ...string)) {
		add(float64(stage().Repeats()))
	})
	m.Counts("stormdoor_waf_work_total", "What those inspections took, in units of work (1 to 3 ns of a processor).", where, func(add func(float64, ...string)) {
		stage().Spent(func(site, route string, _, work int64) { add(float64(work), site, route) })
	})
	m.Counts("stormdoor_waf_rule_work_total", "What a rule took by itself, in units of work, and under rule 0 what the scan for all rules at once took; estimated from every 64th inspection.", []string{"rule", "phase"}, func(add func(float64, ...string)) {
		stage().SpentOn(func(rule, phase int, work int64) { add(float64(work), strconv.Itoa(rule), strconv.Itoa(phase)) })
	})
	m.Counts("stormdoor_waf_shadow_total", "Requests by how the verdict of the rule set on trial compares with that of the rules in force, since the policy is in force.", []string{"outcome"}, func(add func(float64, ...string)) {
		stage().ShadowOutcomes(func(outcome string, n int64) { add(float64(n), outcome) })
	})
	m.Counts("stormdoor_waf_shadow_matches_total", "Requests that a rule of the rule set on trial matched, since the policy is in force.", []string{"site", "route", "rule"}, func(add func(float64, ...string)) {
		if s := stage().Shadow(); s != nil {
			s.Hits(func(site, route string, rule int, n int64) { add(float64(n), site, route, strconv.Itoa(rule)) })
		}
	})
	m.Counts("stormdoor_openapi_requests_total", "Requests that were held to a site's OpenAPI document, by what was wrong with them first, since the policy is in force.", []string{"site", "operation", "outcome"}, func(add func(float64, ...string)) {
		stage().Conformity(func(site, operation, outcome string, n int64) { add(float64(n), site, operation, outcome) })
	})
	exclusion := []string{"number", "rule", "field", "site", "route", "path"}
	each := func(f func(x *waf.Exclusion, labels ...string)) {
		for i, x := range stage().Exclusions(d.now()) {
			f(&x, strconv.Itoa(i+1), strconv.Itoa(x.Rule), x.Field, x.Site, x.Route, x.Path)
		}
	}
	m.Counts("stormdoor_waf_excluded_total", "Requests in which an exclusion took a match back, since the policy is in force.", exclusion, func(add func(float64, ...string)) {
		each(func(x *waf.Exclusion, labels ...string) { add(float64(x.Hits), labels...) })
	})
	m.Gauges("stormdoor_waf_exclusion_days_left", "Days for which an exclusion with an end is still in force; 0 on its last day, -1 afterwards.", exclusion, func(add func(float64, ...string)) {
		each(func(x *waf.Exclusion, labels ...string) {
			switch {
			case x.Ended:
				add(-1, labels...)
			case x.Left >= 0:
				add(float64(x.Left), labels...)
			}
		})
	})
}

// sayExclusions says which exclusions of an edition have ended, end soon or have no effect.
func (d *Door) sayExclusions(e *Edition) {
	now := d.now()
	d.excluded.Store(dayOf(now))
	for _, message := range e.waf.Notices(now) {
		d.log.Warn("waf: " + message)
	}
}

// remindOfExclusions says the same once more on each day.
func (d *Door) remindOfExclusions() {
	if dayOf(d.now()) != d.excluded.Load() {
		d.sayExclusions(d.deployed.Load().Stable)
	}
}

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }
