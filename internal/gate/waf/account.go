package waf

import (
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/seclang"
)

// account is what the inspections of a site or a route have come to.
type account struct {
	inspected, work atomic.Int64
	hits            atomic.Pointer[[]atomic.Int64] // by the rule's place; nil while nothing has matched
}

// mostAccounts bounds how many routes are counted apart. In a policy with more, routes are counted with their sites.
const mostAccounts = 200

// every is how many inspections pass for one of which each rule's cost is noted down: that takes longer than most rules.
const every = 64

// ledger notes down what rules cost, in a part of the inspections. It implements seclang.Observer.
type ledger struct {
	stage   *Stage
	turn    atomic.Uint64
	scanned [6]atomic.Int64 // by phase
	rules   []atomic.Int64  // by place
}

// Scanned implements seclang.Observer.
func (l *ledger) Scanned(phase int, work int64) { l.scanned[phase].Add(work * every) }

// Evaluated implements seclang.Observer.
func (l *ledger) Evaluated(r *seclang.Rule, work int64, _ bool) {
	if n := l.stage.numbers[r.ID]; n > 0 && work > 0 {
		l.rules[n-1].Add(work * every)
	}
}

// observer is the ledger for one inspection of every, nil for the others.
func (s *Stage) observer() seclang.Observer {
	if s.ledger.turn.Add(1)%every != 0 {
		return nil
	}
	return s.ledger
}

// accountOf is where a request is counted; nil for a request of no site.
func (s *Stage) accountOf(f *flow.Facts) *account {
	if a := s.accounts[place{f.Site, f.Route}]; a != nil {
		return a
	}
	return s.accounts[place{f.Site, ""}]
}

// countInspection counts a request that was inspected.
func (s *Stage) countInspection(f *flow.Facts) {
	if a := s.accountOf(f); a != nil {
		a.inspected.Add(1)
	}
}

// charge counts what an inspection took, of a request or of a piece of its body.
func (s *Stage) charge(f *flow.Facts, tx *seclang.Transaction) {
	a := s.accountOf(f)
	if a != nil {
		a.work.Add(tx.Cost().Work)
	}
	matches := tx.Matches()
	for i := range matches {
		m := &matches[i]
		if m.Excused {
			s.countExcused(f, m)
		}
		if n := s.numbers[m.Rule.ID]; n > 0 && a != nil {
			a.hit(n-1, len(s.numbers))
		}
	}
}

func (a *account) hit(rule, of int) {
	hits := a.hits.Load()
	if hits == nil {
		fresh := make([]atomic.Int64, of)
		if hits = &fresh; !a.hits.CompareAndSwap(nil, hits) {
			hits = a.hits.Load()
		}
	}
	(*hits)[rule].Add(1)
}

// Hits calls f for each rule that has matched on a site or a route ("" for the site itself), with in how many requests, since
// the policy is in force.
func (s *Stage) Hits(f func(site, route string, rule int, requests int64)) {
	for at, a := range s.accounts {
		hits := a.hits.Load()
		if hits == nil {
			continue
		}
		for id, n := range s.numbers {
			if times := (*hits)[n-1].Load(); times > 0 {
				f(at.site, at.route, id, times)
			}
		}
	}
}

// Spent calls f for each site and route with the inspections there and the work that they took, in units of seclang.Cost.
func (s *Stage) Spent(f func(site, route string, inspections, work int64)) {
	for at, a := range s.accounts {
		if n := a.inspected.Load(); n > 0 {
			f(at.site, at.route, n, a.work.Load())
		}
	}
}

// SpentOn calls f for each rule that is evaluated by itself, and with rule 0 for the scan of each phase that looks for the
// patterns of all others at once, with the work that they took: an estimate from every 64th inspection.
func (s *Stage) SpentOn(f func(rule, phase int, work int64)) {
	if s.ledger == nil {
		return
	}
	for phase := range s.ledger.scanned {
		if work := s.ledger.scanned[phase].Load(); work > 0 {
			f(0, phase, work)
		}
	}
	for _, r := range s.rules.Rules() {
		if n := s.numbers[r.ID]; n > 0 {
			if work := s.ledger.rules[n-1].Load(); work > 0 {
				f(r.ID, r.Phase, work)
			}
		}
	}
}
