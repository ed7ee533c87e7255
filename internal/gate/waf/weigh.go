package waf

import (
	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// Weigh judges a request and tells what that has cost; o, unless it is nil, is told on what. Nothing is counted. ok is false
// where the firewall is off.
func (s *Stage) Weigh(f *flow.Facts, body []byte, o seclang.Observer) (cost seclang.Cost, ok bool) {
	mode := s.mode(f)
	if mode == policy.WAFOff {
		return cost, false
	}
	if len(body) > 0 && !s.WantsBody(f) {
		body = nil
	}
	body = body[:min(int64(len(body)), s.limit)]
	start := s.start(f, mode, len(body))
	start.Observer = o
	tx := s.rules.New(start)
	defer tx.Close()
	s.feed(tx, f, body)
	s.verdict(f, tx, mode)
	return tx.Cost(), true
}

// RuleNames calls f for each rule with its id and the file that it stands in.
func (s *Stage) RuleNames(f func(rule int, file string)) {
	if s.rules == nil {
		return
	}
	for _, r := range s.rules.Rules() {
		f(r.ID, r.File)
	}
}
