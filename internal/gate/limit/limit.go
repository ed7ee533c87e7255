// Package limit answers "has this client had its share?": it counts what keys use (requests, bytes, origin time) in a
// state.Store and judges who is over the limits of the policy.
package limit

import (
	"context"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
	"stormdoor/state"
)

// Name is the stage's name.
const Name = "limits"

// DefaultTable is the size of the table that counts for limits when the policy gives none, in bytes.
const DefaultTable = 64 << 20

// Options are what a Stage needs beside its policy. The zero value is usable in tests.
type Options struct {
	// Secret keys the hash of all that is counted, so that nobody can choose addresses or header values that share a
	// counter. Stages with the same secret, store and limit names go on with each other's counts, across a reload or
	// on several doors.
	Secret [32]byte
}

// Stage judges requests by the limits of a policy. It is immutable but for its store, and safe for concurrent use.
//
// Limits are asked in the order of the policy. A request is charged to all limits that match it, or to none: when one
// refuses, what others were charged is given back, and those behind are only asked. The strictest verdict counts: the
// refusal with the longest RetryIn, else the longest Delay. A limit on a dry run, or one that acts while hot when it is
// not, counts like the others but never decides; its verdict is given with Dry when no other has an opinion.
//
// Limits of requests are charged when a request arrives. Those of bytes and origin time refuse who is in debt beyond the
// burst, and are charged by Settle when the cost is known.
//
// When the store has no room for a key, the request is counted by a wider one, whose rate and burst are multiplied:
//
//	IPv4: /24 by 16, then the network by 1024
//	IPv6: /56 by 16, /48 by 64, then the network by 1024
//
// The network is the autonomous system, or the /16 (IPv4) or /32 (IPv6) while that is not known. Wider keys displace
// narrower ones, so this is also the way for keys that are no addresses (credentials, paths, headers): what has no room
// is counted by who sent it. A request that even the network has no room for passes uncounted: a full table must never
// refuse a visitor whom nobody has seen yet.
type Stage struct {
	store  state.Store
	expect func(state.Key, state.Breadth) // nil where the store has nothing to fetch ahead
	names  map[string]*limit
	bySite map[string][]*limit // for sites that a limit names
	rest   []*limit            // for all other sites
}

// Default is the limit in force when a policy gives none. It acts only while an origin is in trouble.
func Default() policy.Limit { return policy.DefaultLimit() }

// New compiles the limits of a policy; nil limits stand for Default alone, and an empty list for none. It reports every
// mistake at once. The stage keeps nothing of p.
func New(p *policy.Policy, store state.Store, o Options) (*Stage, error) {
	given := p.Limits
	if given == nil {
		given = []policy.Limit{Default()}
	}
	limits, err := compile(given, o.Secret)
	if err != nil {
		return nil, err
	}
	s := &Stage{store: store, names: map[string]*limit{}, bySite: map[string][]*limit{}}
	if x, ok := store.(state.Expecter); ok {
		s.expect = x.Expect
	}
	for _, l := range limits {
		s.names[l.name] = l
		for _, site := range l.sites {
			s.bySite[site] = nil
		}
		if len(l.sites) == 0 {
			s.rest = append(s.rest, l)
		}
	}
	for site := range s.bySite {
		for _, l := range limits {
			if l.hasSite(site) {
				s.bySite[site] = append(s.bySite[site], l)
			}
		}
	}
	return s, nil
}

// Name implements flow.Stage.
func (s *Stage) Name() string { return Name }

// Expect begins to fetch what Decide will need to know of the request's client. Called as soon as the client is known, it
// lets the main memory work while other stages judge. It has no effect on any verdict.
func (s *Stage) Expect(f *flow.Facts) {
	if s.expect == nil {
		return
	}
	for _, l := range s.limits(f.Site) {
		if l.by == byClient || l.by == byCredential {
			if k, ok := l.key(f); ok {
				s.expect(k, state.Single)
			}
		}
	}
}

// Decide implements flow.Stage. Its error is always nil.
func (s *Stage) Decide(_ context.Context, f *flow.Facts) (flow.Verdict, error) {
	return s.judge(f, true), nil
}

// Preview implements flow.Previewer: the verdict of Decide, and nothing is charged.
func (s *Stage) Preview(_ context.Context, f *flow.Facts) (flow.Verdict, error) {
	return s.judge(f, false), nil
}

// Settle implements flow.Settler: it charges the bytes of both bodies and the origin's time. A request that this stage
// itself refused costs nothing.
func (s *Stage) Settle(o *flow.Outcome) {
	if o.Stage == Name && o.Verdict.Sure() {
		return
	}
	f, now := &o.Facts, o.Facts.Arrived.Add(max(0, o.Took))
	for _, l := range s.limits(f.Site) {
		units := l.cost(o)
		if units <= 0 || !l.matches(f) {
			continue
		}
		s.count(l, f, question{now: now, units: units, spend: true, settle: true})
	}
}

// Quota is a limit in the words of the RateLimit-Policy field (draft-ietf-httpapi-ratelimit-headers): who uses Amount in
// each Window, at any moments of it, is never refused.
type Quota struct {
	Amount int64
	Window int64 // seconds, at least 1
	// Unit is "requests", "content-bytes" or "origin-milliseconds".
	Unit string
}

// Quota returns the quota of the limit called name; ok is false when there is none. It is the burst and the time of its
// refilling, or what the rate gives in a second when refilling takes less.
func (s *Stage) Quota(name string) (q Quota, ok bool) {
	l, ok := s.names[name]
	if !ok {
		return Quota{}, false
	}
	return l.quota, true
}

func (s *Stage) limits(site string) []*limit {
	if len(s.bySite) > 0 {
		if ls, ok := s.bySite[site]; ok {
			return ls
		}
	}
	return s.rest
}

// charged notes what can be given back.
type charged struct {
	limit   *limit
	key     state.Key
	breadth state.Breadth
}

func (s *Stage) judge(f *flow.Facts, spend bool) flow.Verdict {
	limits := s.limits(f.Site)
	if len(limits) == 1 {
		return s.judgeAlone(limits[0], f, spend)
	}
	return s.judgeAll(limits, f, spend)
}

// judgeAlone is judgeAll for one limit.
func (s *Stage) judgeAlone(l *limit, f *flow.Facts, spend bool) (verdict flow.Verdict) {
	if !l.all && !l.matches(f) {
		return verdict
	}
	answer, _, _ := s.count(l, f, question{now: f.Arrived, units: 1, spend: spend && l.charge == requests})
	if objects(answer) && (!l.hot || f.Hot) {
		verdict = l.verdict(answer)
	}
	return verdict
}

func (s *Stage) judgeAll(limits []*limit, f *flow.Facts, spend bool) (verdict flow.Verdict) {
	var dry flow.Verdict
	var space [8]charged
	taken := space[:0]
	for _, l := range limits {
		if !l.all && !l.matches(f) {
			continue
		}
		q := question{now: f.Arrived, units: 1, spend: spend && l.charge == requests}
		answer, key, breadth := s.count(l, f, q)
		if q.spend && answer.Finding == state.Conforms {
			taken = append(taken, charged{l, key, breadth})
		}
		if !objects(answer) || l.hot && !f.Hot {
			continue
		}
		if l.dry {
			dry = stricter(dry, l.verdict(answer))
			continue
		}
		verdict = stricter(verdict, l.verdict(answer))
		if spend && verdict.Action == flow.Refuse {
			s.giveBack(f.Arrived, taken)
			spend = false
		}
	}
	if verdict.Reason == "" {
		return dry
	}
	return verdict
}

func (s *Stage) giveBack(now time.Time, taken []charged) {
	for _, c := range taken {
		s.store.Spend(now, state.Ask{Key: c.key, Breadth: c.breadth, Rate: &c.limit.rates[c.breadth], Units: -1, Settle: true})
	}
}

// question is what count asks of a limit.
type question struct {
	now           time.Time
	units         int64
	spend, settle bool
}

// count asks the store for the request's key and, while there is no room, for wider ones. It returns the answer and the
// key that was asked for last; the finding is NoRoom when the request could not be counted at all, or has nothing to
// count.
func (s *Stage) count(l *limit, f *flow.Facts, q question) (state.Answer, state.Key, state.Breadth) {
	key, ok := l.key(f)
	if !ok {
		return state.Answer{Finding: state.NoRoom}, 0, 0
	}
	for b := state.Single; ; {
		a := state.Ask{Key: key, Breadth: b, Rate: &l.rates[b], Units: q.units, Settle: q.settle}
		var answer state.Answer
		if q.spend {
			answer = s.store.Spend(q.now, a)
		} else {
			answer = s.store.Peek(q.now, a)
		}
		if answer.Finding != state.NoRoom {
			return answer, key, b
		}
		if key, b, ok = l.wider(f, b); !ok {
			return answer, 0, 0
		}
	}
}

// stricter returns the stricter of two verdicts of this stage, the first one when they are equal.
func stricter(a, b flow.Verdict) flow.Verdict {
	switch {
	case a.Action != b.Action:
		if b.Action > a.Action {
			return b
		}
	case b.RetryIn > a.RetryIn || b.Delay > a.Delay:
		return b
	}
	return a
}
