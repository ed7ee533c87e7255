// Package waf answers "does what the client sent look like an attack?", by the rules of a SecLang rule set such as the
// OWASP Core Rule Set.
//
// A request without a body is judged from its facts, as every stage does. A body is not a fact: it is read up to a bound,
// held in memory while it is judged, and then sent on as it came. Nothing is inspected twice.
package waf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf/openapi"
	"stormdoor/internal/gate/waf/protobuf"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// Name is the stage's name in verdicts.
const Name = "waf"

// maxHeld bounds the bodies that are held at once to be inspected, in bytes.
const maxHeld = 64 << 20

// mayHold is what bodies may take together when one of them grows to a size: the last eighth is for those of up to 16 KiB, and half of
// it for those of up to 4 KiB. So senders of large bodies who never end, of which 400 fill the rest, do not keep ordinary forms out.
func mayHold(size int64) int64 {
	switch {
	case size <= 4<<10:
		return maxHeld
	case size <= 16<<10:
		return maxHeld * 15 / 16
	}
	return maxHeld * 7 / 8
}

// retryFull is when a client may try again whose body could not be held.
const retryFull = 2 * time.Second

// Stage inspects requests. It is safe for concurrent use. A Stage without a site that inspects anything costs nothing.
type Stage struct {
	rules *seclang.Ruleset // nil when every mode is off
	modes map[place]policy.WAFMode
	limit int64 // bytes of a body that are inspected
	over  policy.OverBody
	held  *atomic.Int64 // bytes of bodies, of all editions together

	policy     policy.WAF
	exclusions exclusions
	numbers    map[int]int // of the rules by id: from 1 on, and 0 for none
	accounts   map[place]*account
	ledger     *ledger
	turns      *Turns   // nil: every request is judged where it is served
	repeats    *repeats // nil when every mode is off
	shadow     *shadow  // nil without one
	contracts  contracts
	schemas    map[string]*protobuf.Schema // of messages, by site
}

// place is a site, or a route of it.
type place struct{ site, route string }

// Options adjust a Stage.
type Options struct {
	// Before is the stage that is in force until now, nil for none: what both rule sets need alike is kept once.
	Before *Stage
	// Held counts the bytes of bodies that are held, over all editions of a door. Required.
	Held *atomic.Int64
	// Turns are those of the door, by which large requests are judged aside. nil: every request is judged where it is served.
	Turns *Turns
	// Bare says that of requests nothing is known but method, path and query: they come from a log.
	Bare bool
	// Shadows are those of the door. nil: a rule set on trial is not compiled.
	Shadows *Shadows

	at string // where in the policy the rules stand; "" is waf
}

// New compiles the rules of a policy with its defaults. Nothing is compiled where no site wants it. Its errors are
// *policy.Fault: every mistake of every file at once.
func New(p *policy.Policy, o Options) (*Stage, error) {
	s := &Stage{modes: map[place]policy.WAFMode{}, limit: int64(p.WAF.InspectBody), over: p.WAF.OverBody, held: o.Held, turns: o.Turns, policy: p.WAF,
		exclusions: newExclusions(p.WAF.Exclude), numbers: map[int]int{}, accounts: map[place]*account{}}
	var wrong error
	if o.at == "" {
		var wrongTypes error
		s.contracts, wrong = newContracts(p, o.Bare)
		s.schemas, wrongTypes = newSchemas(p)
		wrong = errors.Join(wrong, wrongTypes)
	}
	wanted := false
	for i := range p.Sites {
		site := &p.Sites[i]
		for j := range site.Routes {
			s.modes[place{site.Name, site.Routes[j].Name}] = site.Routes[j].WAF
			wanted = wanted || site.Routes[j].WAF != policy.WAFOff
		}
		s.modes[place{site.Name, ""}] = site.WAF
		wanted = wanted || site.WAF != policy.WAFOff
	}
	if !wanted {
		return s, wrong
	}
	text := directives(&p.WAF)
	options := seclang.Options{Directives: text, Name: "waf", Nested: own(&p.WAF), Doubt: doubtOf(&p.WAF)}
	if o.Before != nil {
		options.Beside = o.Before.rules
	}
	rules, err := seclang.Compile(files{}, options)
	if err != nil {
		return nil, errors.Join(wrong, policy.At(cmp.Or(o.at, "waf"), fmt.Errorf("the rules do not compile: %w", err)))
	}
	s.rules = rules
	for _, r := range rules.Rules() {
		if r.ID > 0 {
			s.numbers[r.ID] = len(s.numbers) + 1
		}
	}
	s.repeats = newRepeats()
	s.ledger = &ledger{stage: s, rules: make([]atomic.Int64, len(s.numbers))}
	for at := range s.modes {
		if at.route == "" || len(s.modes) <= mostAccounts {
			s.accounts[at] = new(account)
		}
	}
	s.shadow, err = newShadow(p, s, o)
	return s, errors.Join(wrong, err)
}

// Off reports whether no site has anything inspected.
func (s *Stage) Off() bool { return s.rules == nil && len(s.contracts.of) == 0 }

// Name implements flow.Stage.
func (s *Stage) Name() string { return Name }

// mode is what is done with a request.
func (s *Stage) mode(f *flow.Facts) policy.WAFMode {
	if s.rules == nil {
		return policy.WAFOff
	}
	if m, ok := s.modes[place{f.Site, f.Route}]; ok {
		return m
	}
	return s.modes[place{f.Site, ""}]
}

// Decide implements flow.Stage. It judges requests without a body; others are left to Inspect. A large one is judged off the
// event loop of ctx, which goes on meanwhile.
func (s *Stage) Decide(ctx context.Context, f *flow.Facts) (flow.Verdict, error) {
	mode := s.mode(f)
	c := s.contracts.find(f)
	switch {
	case mode == policy.WAFOff && c.contract == nil:
		return flow.Verdict{}, nil
	case s.WantsBody(f):
		return c.early(f), nil
	}
	return s.judgeUnder(ctx, f, mode, openapi.Body{Whole: f.Length == 0}), nil
}

// inspect takes a request through the rules. It also returns the numbers of the rules that matched, nil where the verdict is
// not one to remember.
func (s *Stage) inspect(f *flow.Facts, mode policy.WAFMode, body []byte) (flow.Verdict, []int) {
	start := s.start(f, mode, len(body))
	start.Observer = s.observer()
	tx := s.rules.New(start)
	defer tx.Close()
	s.feed(tx, f, body)
	s.charge(f, tx)
	s.countInspection(f)
	return s.verdict(f, tx, mode), s.rulesOf(tx)
}

// start is what the transaction of a request begins with; body is how many bytes of one it is told.
func (s *Stage) start(f *flow.Facts, mode policy.WAFMode, body int) seclang.Start {
	return seclang.Start{ID: f.ID.String(), Arrived: f.Arrived, Mode: engine(mode), Budget: budget(f, mode, body), Excuser: s.excuserOf(f)}
}

func engine(m policy.WAFMode) seclang.Mode {
	if m == policy.WAFBlocks {
		return seclang.On
	}
	return seclang.Detect
}

// What an inspection may cost, in the units of seclang.Cost: a byte of an ordinary text costs 25 to 130, of texts with
// programs and of chats up to 1,200 where many rules have to look closely, and of what was made to cost as much as it can,
// over 1,000 however long it is.
const (
	workOnce = 500_000
	workByte = 1000     // of the first
	workFew  = 16 << 10 // bytes
	workMany = 400      // of each other byte
)

// budget bounds the inspection of a request by its size: nobody sends much that costs more by accident.
func budget(f *flow.Facts, mode policy.WAFMode, body int) seclang.Budget {
	size := sizeOf(f, nil) + body
	few := min(size, workFew)
	b := seclang.Budget{Work: workOnce + int64(workByte*few+workMany*(size-few))}
	if mode == policy.WAFBlocks {
		b.Over = seclang.OverRefuse
	}
	return b
}

// verdict says what a transaction came to.
func (s *Stage) verdict(f *flow.Facts, tx *seclang.Transaction, mode policy.WAFMode) flow.Verdict {
	v := flow.Verdict{Found: s.findings(f, tx), Work: tx.Cost().Work}
	it := tx.Interruption()
	if mode == policy.WAFCounts {
		it, v.Dry = tx.WouldInterrupt(), true
	}
	dear := tx.Cost().Exceeded
	if !it.Refuses() && !dear {
		v.Dry = false
		return v
	}
	v.Action, v.Status = flow.Refuse, it.Status
	switch {
	case it.Rule == 0 && dear:
		v.Reason, v.Status = flow.WAFCost, 0
	case it.Rule == 0:
		v.Reason, v.Status = flow.WAFBody, 0
	case scored(it.Rule):
		v.Reason, v.Rule = flow.WAFScore, heaviest(tx)
	default:
		v.Reason, v.Rule = flow.WAFRule, strconv.Itoa(it.Rule)
	}
	if it.Action == seclang.Drop {
		v.Action = flow.Hangup
	}
	return v
}

// scored reports whether the rule is one of the Core Rule Set that weigh what the others have found.
func scored(rule int) bool {
	return rule >= 949_000 && rule < 950_000 || rule >= 980_000 && rule < 981_000
}

// heaviest is the id of the match with the highest severity, the first of them.
func heaviest(tx *seclang.Transaction) string {
	id, worst := 0, seclang.Severity(100)
	for _, m := range tx.Matches() {
		if !m.Doubted && m.Rule.Severity != seclang.NoSeverity && m.Rule.Severity < worst && !scored(m.Rule.ID) {
			id, worst = m.Rule.ID, m.Rule.Severity
		}
	}
	if id == 0 {
		return ""
	}
	return strconv.Itoa(id)
}
